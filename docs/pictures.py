"""Draws the pictures of the README: the page in Chromium, and a batch in a terminal. Both run on the emulator.

`nox -s pictures` runs it. The pictures are small, so that a clone stays small.
"""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).parent / "pictures"
PROMPTS = ["a red fox in the snow", "an owl at night", "a lighthouse in a storm", "a bowl of lemons"]
ANIMALS = ["fox", "owl", "hare", "lynx", "wolf", "bear"]
FOXAPI = [sys.executable, "-m", "foxapi_async"]
COLUMNS, ROWS = 96, 24


def draw_page(folder: str) -> None:
    """The page with four images, one of them still at work."""
    command = [
        *FOXAPI,
        "serve",
        "--emulator",
        "--emulator-seconds",
        "3",
        "--port",
        "0",
        "--out",
        folder,
        "-q",
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    with sync_playwright() as running:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 860}, reduced_motion="reduce")
        page.goto(address)
        page.locator("#cards[aria-busy=false]").wait_for(state="attached")
        for prompt in PROMPTS:
            page.locator("#prompt").fill(prompt)
            page.locator("#send").click()
            page.locator(".card", has_text=prompt).wait_for()
            if prompt is not PROMPTS[-1]:
                page.locator(".card[data-state=done]", has_text=prompt).wait_for(timeout=60_000)
        page.wait_for_function("() => parseInt(document.querySelector('.percent')?.textContent) > 25")
        page.wait_for_function("() => [...document.images].every((image) => image.complete)")
        shot = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    server.send_signal(signal.SIGTERM)
    server.wait()
    shot.convert("RGB").quantize(256).save(PICTURES / "page.png", optimize=True)


def draw_terminal(folder: str) -> None:
    """A batch in the middle of its work, and its end."""
    lines = [
        json.dumps({"id": f"{name}-{n}", "prompt": f"a {name} in the snow"})
        for n in range(20)
        for name in ANIMALS
    ]
    (Path(folder) / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    options = ["--emulator", "--emulator-seconds", "6", "--max-in-flight", "20"]
    words = ["foxapi", "batch", "prompts.jsonl", *options]
    raw = in_terminal([*FOXAPI, *words[1:]], folder)
    middle = Screen()
    middle.feed(raw[: raw.index("\r\x1b[2K", int(len(raw) * 0.6))])  # a whole frame
    end = Screen()
    end.feed(raw)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ " + " ".join(words), style="bold"))
    for shown in (middle.lines()[-3:], end.lines()):
        for line in shown:
            console.print(Text.from_ansi(line))
        console.print()
    picture = console.export_svg(title="foxapi batch")
    # Its fonts come from elsewhere, and are not needed.
    (PICTURES / "terminal.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))


def in_terminal(command: list[str], folder: str) -> str:
    """The output of a command on a terminal of its own."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ.update(COLUMNS=str(COLUMNS), LINES=str(ROWS), TERM="xterm-256color")
        os.execv(command[0], command)
    pieces: list[bytes] = []
    try:
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    except OSError:  # the command has ended
        pass
    os.waitpid(child, 0)
    return b"".join(pieces).decode()


class Screen:
    """The lines of a terminal, with their colours, after the moves that `rich` makes: up, and clear a line."""

    def __init__(self) -> None:
        self._lines = [""]
        self._row = 0

    def feed(self, text: str) -> None:
        """Show a piece of output."""
        for part in re.split(r"(\r|\n|\x1b\[\d*[A-GKJ]|\x1b\[\?\d+[hl])", text):
            if part == "\n":
                self._row += 1
                self._lines += [""] * (self._row + 1 - len(self._lines))
            elif part.endswith("A") and part.startswith("\x1b"):
                self._row = max(0, self._row - int(part[2:-1] or 1))
            elif part.endswith("K") and part.startswith("\x1b"):
                self._lines[self._row] = ""
            elif not part.startswith("\x1b[?") and part != "\r":
                self._lines[self._row] += part

    def lines(self) -> list[str]:
        """The lines that are not empty."""
        return [line for line in self._lines if re.sub(r"\x1b\[[\d;]*m", "", line).strip()]


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        draw_page(folder)
        draw_terminal(folder)
