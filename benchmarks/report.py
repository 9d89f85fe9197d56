"""The memory of the browser that shows a report of 10,000 images, after a scroll from its first to its last.

A number as argument replaces 10,000, which takes several minutes: `python benchmarks/report.py 1000`.

The images are JPEG files of 1024 x 1024 pixels, about 520 KB each. The figure is the proportional set size (PSS) of Chromium's
renderer processes: a page that several processes share counts once. The browser is the system's, without a screen.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from _table import show
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from foxapi_async.report import write_report

IMAGES = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
DIFFERENT = 40
SIDE = 1024
STEP = 1400  # pixels
TARGET = 250.0  # MiB
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def make_batch(folder: Path) -> None:
    """A batch whose images are links to a few different files. The browser loads each address by itself."""
    images = folder / "images"
    images.mkdir()
    noise = random.Random(1)
    for number in range(DIFFERENT):
        rough = Image.frombytes("RGB", (SIDE // 4, SIDE // 4), noise.randbytes(3 * (SIDE // 4) ** 2))
        rough.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(images / f"source{number}.jpg", quality=90)
    with (folder / "manifest.jsonl").open("w") as manifest:
        for number in range(IMAGES):
            os.link(images / f"source{number % DIFFERENT}.jpg", images / f"{number}.jpg")
            record = {
                "id": f"{number}",
                "task_id": f"task-{number:032}",
                "status": "done",
                "model": "gemini-3-pro-image-preview",
                "prompt": f"A red fox number {number} in the snow, photographed at dawn with a long lens, soft light",
                "files": [{"path": f"images/{number}.jpg"}],
                "credits": 12.5,
                "timings": {"elapsed": 20 + number % 50, "finished": 1_790_000_000 + number},
            }
            manifest.write(json.dumps(record) + "\n")


def memory_of_renderers() -> float:
    """The PSS in MiB of all renderer processes that descend from this process."""
    parents, renderers = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if b"--type=renderer" in (folder / "cmdline").read_bytes():
                renderers.append(int(folder.name))
        except OSError:  # it has ended meanwhile
            continue
    return sum(_pss(number) for number in renderers if _descends(number, parents))


def _descends(number: int, parents: dict[int, int]) -> bool:
    while number in parents and number != os.getpid():
        number = parents[number]
    return number == os.getpid()


def _pss(number: int) -> float:
    lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


def scroll(page: Page) -> float:
    """Scroll to the end, and return the greatest memory on the way."""
    greatest = 0.0
    for step in range(10**6):
        page.evaluate(f"scrollBy(0, {STEP})")
        page.wait_for_timeout(20)
        if step % 25 == 0:
            greatest = max(greatest, memory_of_renderers())
        if page.evaluate("scrollY + innerHeight >= document.documentElement.scrollHeight - 2"):
            return greatest
    raise AssertionError("the page has no end")


def main() -> None:
    """Measure, and show the table."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as running:
        folder = Path(name)
        make_batch(folder)
        begun = time.perf_counter()
        report = write_report(folder)
        written = time.perf_counter() - begun
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        begun = time.perf_counter()
        page.goto(report.as_uri(), wait_until="domcontentloaded")
        page.wait_for_function("!document.getElementById('tools').hidden")
        opened = time.perf_counter() - begun
        page.wait_for_timeout(1500)
        first = memory_of_renderers()
        greatest = scroll(page)
        page.wait_for_timeout(3000)
        after = memory_of_renderers()
        browser_side = page.context.new_cdp_session(page)
        browser_side.send("HeapProfiler.collectGarbage")
        page.wait_for_timeout(1500)
        collected = memory_of_renderers()
        browser_side.send("Memory.simulatePressureNotification", {"level": "critical"})
        page.wait_for_timeout(1500)
        rows = [
            ("written", f"{written:.2f} s, {report.stat().st_size / 1e6:.1f} MB"),
            ("opened", f"{opened:.2f} s"),
            ("memory before the scroll", f"{first:.0f} MiB"),
            ("the most on the way", f"{greatest:.0f} MiB"),
            ("memory after the scroll", f"{after:.0f} MiB (target: {TARGET:.0f})"),
            ("the same, after its garbage is collected", f"{collected:.0f} MiB"),
            ("the same, after a signal that memory is short", f"{memory_of_renderers():.0f} MiB"),
        ]
        browser.close()
    show(f"A report of {IMAGES:,} images in Chromium", ("", "figure"), rows)


if __name__ == "__main__":
    main()
