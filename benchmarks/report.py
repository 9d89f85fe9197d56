"""The memory of the browser that shows a report of 10,000 images, after a scroll from its first to its last.

A number as argument replaces 10,000, which takes several minutes: `python benchmarks/report.py 1000`.

The images are JPEG files of 1024 x 1024 pixels, about 520 KB each. The figure is the proportional set size (PSS) of the
Chromium process that renders the page: memory that several processes share counts in part. The browser is the system's,
without a screen and without a GPU, so it holds up to 1,000 decoded images itself, about 250 KB each. It is driven with
nothing but scripts in the page: Playwright would let the browser keep up to 200 MB of what the page has loaded.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from pathlib import Path
from typing import Any, Self

import aiohttp
from _table import show
from PIL import Image

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


class Chromium:
    """A browser in a process of its own, with one page, in which scripts run.

    Args:
        page: the address of the page.
        profile: an empty folder.
    """

    def __init__(self, page: str, profile: Path) -> None:
        self._page, self._profile = page, profile
        self._number = 0

    async def __aenter__(self) -> Self:
        assert CHROMIUM is not None, "there is no Chromium on this machine"
        options = ["--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--window-size=1360,900"]
        self._process = await asyncio.create_subprocess_exec(
            CHROMIUM, *options, f"--user-data-dir={self._profile}", self._page, stdout=DEVNULL, stderr=DEVNULL
        )
        port = self._profile / "DevToolsActivePort"
        while not (port.exists() and port.read_text().strip()):
            assert self._process.returncode is None, "Chromium has ended"
            await asyncio.sleep(0.05)
        address = f"http://127.0.0.1:{port.read_text().split()[0]}/json/list"
        self._http = aiohttp.ClientSession()
        while not (page := await self._find(address)):  # noqa: ASYNC110 - the browser says it in no other way
            await asyncio.sleep(0.05)
        self._socket = await self._http.ws_connect(page)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()
        await self._http.close()
        self._process.kill()
        await self._process.wait()

    async def _find(self, address: str) -> str:
        async with self._http.get(address) as reply:
            pages = [each for each in await reply.json() if each["url"] == self._page]
        return pages[0]["webSocketDebuggerUrl"] if pages else ""

    async def send(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a message of the DevTools protocol. Returns the result."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            reply: dict[str, Any] = await self._socket.receive_json()
            if reply.get("id") == self._number:
                result: dict[str, Any] = reply["result"]
                return result

    async def run(self, script: str) -> Any:
        """The value of a script in the page."""
        return (await self.send("Runtime.evaluate", expression=script))["result"].get("value")

    def memory(self) -> float:
        """The PSS in MiB of the renderer that has most: the others are those of the browser's own pages."""
        parents, renderers = {}, []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if b"--type=renderer" in (folder / "cmdline").read_bytes():
                    renderers.append(int(folder.name))
            except OSError:  # it has ended meanwhile
                continue
        return max(_pss(number) for number in renderers if _descends(number, self._process.pid, parents))


def _descends(number: int, ancestor: int, parents: dict[int, int]) -> bool:
    while number in parents and number != ancestor:
        number = parents[number]
    return number == ancestor


def _pss(number: int) -> float:
    lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


async def scroll(browser: Chromium) -> float:
    """Scroll to the end, and return the greatest memory on the way."""
    greatest, steps, is_end = 0.0, 0, False
    while not is_end:
        is_end = await browser.run(
            f"scrollBy(0, {STEP}); scrollY + innerHeight >= document.documentElement.scrollHeight - 2"
        )
        await asyncio.sleep(0.02)
        steps += 1
        if steps % 25 == 0:
            greatest = max(greatest, browser.memory())
    return greatest


async def measure(folder: Path) -> list[tuple[str, str]]:
    """The rows of the table, from a page in this folder."""
    make_batch(folder)
    begun = time.perf_counter()
    report = write_report(folder)
    rows = [("written", f"{time.perf_counter() - begun:.2f} s, {report.stat().st_size / 1e6:.1f} MB")]
    begun = time.perf_counter()
    async with Chromium(report.as_uri(), folder / "profile") as browser:
        while not await browser.run("document.getElementById('tools')?.hidden === false"):  # noqa: ASYNC110 - the browser says it in no other way
            await asyncio.sleep(0.02)
        rows.append(("browser started, and page opened", f"{time.perf_counter() - begun:.2f} s"))
        await asyncio.sleep(1.5)
        rows.append(("memory before the scroll", f"{browser.memory():.0f} MiB"))
        begun = time.perf_counter()
        rows.append(("the most on the way", f"{await scroll(browser):.0f} MiB"))
        rows.append(("the scroll", f"{time.perf_counter() - begun:.0f} s"))
        await asyncio.sleep(3)
        rows.append(("memory after the scroll", f"{browser.memory():.0f} MiB (target: {TARGET:.0f})"))
        await browser.send("HeapProfiler.collectGarbage")
        await asyncio.sleep(1.5)
        rows.append(("the same, after its garbage is collected", f"{browser.memory():.0f} MiB"))
        await browser.send("Memory.simulatePressureNotification", level="critical")
        await asyncio.sleep(1.5)
        rows.append(("the same, after a signal that memory is short", f"{browser.memory():.0f} MiB"))
    return rows


def main() -> None:
    """Measure, and show the table."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        rows = asyncio.run(measure(Path(name)))
    show(f"A report of {IMAGES:,} images in Chromium", ("", "figure"), rows)


if __name__ == "__main__":
    main()
