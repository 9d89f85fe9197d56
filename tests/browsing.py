"""The page of `foxapi serve` in a browser."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from chromium import SHOTS, expect

pytest.importorskip("fastapi.sse", reason="the extra `web` is not installed")
pytest.importorskip("uvicorn", reason="the extra `web` is not installed")


class Server:
    """`foxapi serve` at an emulator, on a port that stays the same."""

    def __init__(self, emulator, folder, port="0"):
        env = {**os.environ, "FOXAPI_API_KEY": emulator.key, "FOXAPI_BASE_URL": emulator.url}
        command = [sys.executable, "-m", "foxapi_async", "serve", "-q", "--port", port, "--out", str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        self.url = self._process.stdout.readline().strip()
        self.port = self.url.rpartition(":")[2].strip("/")

    def end(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        self._process.stdout.close()


def loaded(page):
    """The page has its models and its cards."""
    expect(page.locator("#model-name")).not_to_be_empty()
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false")


def inside(page, module, code):
    """The value of an expression of the page's own code, with the names of one of its modules."""
    return page.evaluate(f"async () => {{ const m = await import('/{module}.js'); return {code}; }}")


def choose(page, model):
    """Choose a model by its whole name."""
    page.click("#model")
    page.fill("#model-search", model)
    page.locator(f"#chooser button[value='{model}']").click()
    expect(page.locator("#model-name")).to_have_text(model)


def send(page, prompt):
    """The card of the new submit."""
    page.fill("#prompt", prompt)
    before = page.locator(".card").count()
    page.click("#send")
    sent(page, before + 1)
    return page.locator(".card").first


def sent(page, cards):
    """The new card is there, perhaps before the answer, and the form is ready for the next submit."""
    expect(page.locator(".card")).to_have_count(cards)
    expect(page.locator("#send")).to_have_text("Generate")


def shot(page, name, **options):
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", **options)
