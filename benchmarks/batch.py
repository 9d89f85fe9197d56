"""Batches: what the ledger, the files and a resume cost.

    python benchmarks/batch.py                          all tables
    python benchmarks/batch.py throughput resume        these alone: throughput, memory, resume, downloads
    python benchmarks/batch.py memory --most 100000     the whole length

Servers are other processes on 127.0.0.1. They share the machine, so items a second say less than the ratios, and the
CPU is this process's alone, with all its threads.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from unittest import mock

import aiohttp
import attrs
from _table import against, interleave, middle, paired, show, spread
from aiohttp import web
from memory import resident

from foxapi_async import Batch, FoxSession, GenerationRequest, Outcome, RawRequest
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.validation import note_finished, validated
from foxapi_async._batch.item import DOWNLOADS_AT_ONCE
from foxapi_async._batch.keys import counted_key, fingerprint
from foxapi_async._files.values import Target
from foxapi_async._handles.result import GeneratedImage
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.group_commit import Writer
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async.emulator import Emulator

KEY = "sk-benchmark"
PYTHON = f"Python {sys.version.split()[0]}"

ITEMS = 3000
IN_FLIGHT = 200
TASK_SECONDS = 0.5
ROUNDS = 3
# With the same prompt for all, the emulator paints one picture, a small one.
REQUEST = RawRequest("z-image-turbo", "a red fox", params={"image_size": "64x64", "output_format": "png"})

SLOWER = 1.15
LEDGER_SHARE = 0.10
GROWTH_MIB = 50.0
RESUME_SECONDS = 3.0
RESUME_SHARE = 0.01
DOWNLOAD_SHARE = 0.80


@contextlib.contextmanager
def serving(kind: str) -> Iterator[str]:
    """The URL of a server in a process of its own."""
    command = [sys.executable, __file__, "serve", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def serve_emulator() -> None:
    """The service, until killed."""
    async with Emulator(seconds=TASK_SECONDS, key=KEY) as emulator:
        print(emulator.url, flush=True)
        await asyncio.Event().wait()


class Cost(NamedTuple):
    """What one item took: seconds of this process's CPU, and of the clock; `writer` is the part of the ledger's thread."""

    cpu: float
    clock: float
    writer: float = 0.0


Work = Callable[[FoxSession, Path, int], Awaitable[None]]


def run(work: Work, url: str, items: int) -> Cost:
    """Have so many items done in a session and a folder of their own."""

    async def measured() -> Cost:
        async with FoxSession(KEY, base_url=url) as fox:
            cpu, clock = time.process_time(), time.perf_counter()
            await work(fox, Path(folder), items)
            return Cost((time.process_time() - cpu) / items, (time.perf_counter() - clock) / items)

    with tempfile.TemporaryDirectory() as folder, writer_cpu() as writer:
        cost = asyncio.run(measured())
    return cost._replace(writer=writer.total() / items)


@contextlib.contextmanager
def writer_cpu() -> Iterator[Counter[str]]:
    """The CPU seconds of every ledger's thread at work, measured by that thread's own clock."""
    seconds: Counter[str] = Counter()
    work = Writer._work  # noqa: SLF001 - what is measured

    def timed(writer: Writer) -> None:
        began = time.thread_time()
        work(writer)
        seconds["writer"] += time.thread_time() - began  # type: ignore[assignment]

    with mock.patch.object(Writer, "_work", timed):
        yield seconds


# Throughput: the same items with and without a ledger.


async def in_series(fox: FoxSession, folder: Path, items: int) -> None:
    """`as_completed`, each result saved as soon as it is there, as many at a time as a batch saves."""
    at_once = asyncio.Semaphore(DOWNLOADS_AT_ONCE)

    async def save(outcome: Outcome) -> None:
        assert outcome.result is not None, outcome.error
        async with at_once:
            await outcome.result.save(folder)

    requests = (REQUEST for _ in range(items))
    async with asyncio.TaskGroup() as group:
        async for outcome in fox.as_completed(requests, max_in_flight=IN_FLIGHT):
            group.create_task(save(outcome))


async def in_batch(fox: FoxSession, folder: Path, items: int) -> None:
    """`Batch`, with its ledger, manifest and files."""
    requests = [(f"item-{number:06d}", REQUEST) for number in range(items)]
    async for outcome in Batch(requests, folder, max_in_flight=IN_FLIGHT).run(fox):
        assert outcome.error is None, outcome.error


def rows_of(found: dict[str, list[Cost]]) -> list[tuple[str, ...]]:
    """A row for each variant, the first being what the others are compared to."""
    base = next(iter(found.values()))
    return [
        (
            name,
            f"{middle([1 / cost.clock for cost in costs]):.0f}",
            spread([1 / cost.clock for cost in costs]),
            f"{paired([c.clock for c in costs], [c.clock for c in base]):.2f}",
            f"{1000 * middle([cost.cpu for cost in costs]):.2f}",
            f"{paired([c.cpu for c in costs], [c.cpu for c in base]):.2f}",
        )
        for name, costs in found.items()
    ]


HEAD = ("", "items/s", "min–max", "time", "ms CPU/item", "CPU")


def throughput(given: argparse.Namespace) -> None:
    """The ledger, the manifest and unlike names against a plain series."""
    with serving("emulator") as url:
        variants = {
            "as_completed + result.save": lambda: run(in_series, url, given.items),
            "Batch": lambda: run(in_batch, url, given.items),
        }
        found = interleave(variants, given.rounds)
    rows = rows_of(found)
    thread = middle([cost.writer / cost.cpu for cost in found["Batch"]])
    show(
        f"Throughput: {given.items:,} items, {IN_FLIGHT} in flight, tasks of {TASK_SECONDS:g} s, "
        f"medians of {given.rounds} interleaved rounds, {PYTHON}",
        HEAD,
        rows,
        [
            against("time of a batch, ratio", float(rows[1][3]), SLOWER),
            against("CPU of the ledger's thread, by its own clock, as a share", thread, LEDGER_SHARE),
        ],
    )


# Memory.


def write_lines(path: Path, count: int) -> None:
    """A file of that many requests, each with its number in the prompt."""
    with path.open("w") as file:
        for number in range(count):
            print(json.dumps({"prompt": f"a red fox, seen from afar, number {number}"}), file=file)


MEMORY_IN_FLIGHT = 1000
MARKS = (1000, 3000, 10_000, 30_000, 100_000)


async def sizes(url: str, folder: Path, items: int) -> dict[int, float]:
    """The resident set in MiB after so many items of one batch."""
    source, found = folder / "lines.jsonl", {}
    write_lines(source, items)
    lines = InputFile(source, defaults={"model": REQUEST.model, **REQUEST.params})
    count = 0
    async with FoxSession(KEY, base_url=url) as fox:
        async for _ in Batch(lines, folder, max_in_flight=MEMORY_IN_FLIGHT).run(fox):
            count += 1
            if count in MARKS or count == items:
                found[count] = resident() / 1024
    assert count == items
    return found


def memory(given: argparse.Namespace) -> None:
    """A batch's process while the batch grows."""
    with serving("emulator") as url, tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(sizes(url, Path(folder), given.most))
    first, *_, last = found.items()
    show(
        f"Memory of a batch: {MEMORY_IN_FLIGHT:,} in flight, lines of a file, tasks of {TASK_SECONDS:g} s, {PYTHON}",
        ("items", "MiB"),
        [(f"{count:,}", f"{size:.1f}") for count, size in found.items()],
        [
            f"growth: {last[1] - first[1]:.1f} MiB (target from 10,000 to 100,000: {GROWTH_MIB:g}; --most 100000)"
        ],
    )


# A resume.

RESUMED = 100_000

# The loop alone does not keep its tasks.
_noting: deque[asyncio.Future[None]] = deque(maxlen=1000)


async def finished_batch(folder: Path, source: InputFile) -> None:
    """The ledger as a run of the whole file leaves it; the images are not looked for."""
    async with SqliteLedger.opened(folder / "ledger.sqlite") as made:
        await validated(source, made)
        async for chunk in source.chunks():
            for line in chunk:
                assert line.request is not None
                note_done(made, line.request)
            await made.set_meta("made", "up")  # so that not all of them wait at a time
        await note_finished(source, made)


def note_done(made: SqliteLedger, request: GenerationRequest) -> None:
    """All steps of one item, with a record of the usual length."""
    mark, task_id = fingerprint(request), f"task-unified-1757165031-{secrets.token_hex(4)}"
    key, fields = counted_key(mark, 1), request.to_dict()
    record = json.dumps(
        {
            "id": key,
            "index": 0,
            "task_id": task_id,
            "status": "done",
            "request": fields,
            "files": [{"path": f"images/{mark}~1-1.jpg", "sha256": mark * 2, "bytes": 1_000_000}],
            "model": fields["model"],
            "usage": {"credits_reserved": 12.5},
            "error": None,
            "timings": {"submitted": 1e9, "finished": 1e9, "elapsed": 15.0, "saved": 0.3},
        }
    )
    opening = json.dumps({"id": key, "index": 0, "request": fields})
    _noting.append(asyncio.ensure_future(made.submitting(key, mark, secrets.token_hex(16), 12.5, opening)))
    asyncio.get_running_loop().call_soon(made.submitted, key, task_id, 12.5)
    asyncio.get_running_loop().call_soon(made.ended, key, ItemState.DONE, record)


async def resumed(folder: Path, source: Path, url: str) -> int:
    """Run the batch again; how many items were begun."""
    async with FoxSession(KEY, base_url=url) as fox:
        lines = InputFile(source, defaults={"model": "z-image-turbo", "image_size": "64x64"})
        return len([outcome async for outcome in Batch(lines, folder).run(fox)])


def timed(work: Callable[[], int]) -> tuple[int, float, float]:
    """What it gave, and the seconds of the clock and of CPU that it took."""
    cpu, clock = time.process_time(), time.perf_counter()
    return work(), time.perf_counter() - clock, time.process_time() - cpu


def resume(given: argparse.Namespace) -> None:
    """A finished batch again: its file as it was, and with more lines at its end."""
    with tempfile.TemporaryDirectory() as name, serving("emulator") as url:
        folder = Path(name)
        source = folder / "lines.jsonl"
        write_lines(source, RESUMED)
        lines = InputFile(source, defaults={"model": "z-image-turbo", "image_size": "64x64"})
        asyncio.run(finished_batch(folder, lines))
        asyncio.run(resumed(folder, source, url))  # makes the manifest
        pace = run(in_batch, url, given.items // 2).clock
        found: dict[str, list[tuple[int, float, float]]] = {
            "the same file": [],
            "one more line at its end": [],
        }
        for number in range(given.rounds):
            found["the same file"].append(timed(lambda: asyncio.run(resumed(folder, source, url))))
            with source.open("a") as file:
                print(json.dumps({"prompt": f"one more, number {number}"}), file=file)
            found["one more line at its end"].append(timed(lambda: asyncio.run(resumed(folder, source, url))))
    assert all(begun == 0 for begun, _, _ in found["the same file"])
    assert all(begun == 1 for begun, _, _ in found["one more line at its end"])
    whole = pace * RESUMED
    rows = [
        (
            label,
            *(f"{middle([run[place] for run in runs]):.2f}" for place in (1, 2)),
            f"{100 * middle([run[1] for run in runs]) / whole:.2f} %",
        )
        for label, runs in found.items()
    ]
    show(
        f"Resume of a finished batch of {RESUMED:,} lines, medians of {given.rounds} rounds, {PYTHON}",
        ("", "s", "s CPU", "of the run"),
        rows,
        [
            f"the run: {1 / pace:.0f} items/s against the emulator, which is {whole:.0f} s; the new line's task takes {TASK_SECONDS:g} s of its row",
            *(against(f"{row[0]}, seconds", float(row[1]), RESUME_SECONDS) for row in rows),
            against("the same file, share of the run", float(rows[0][3].split()[0]) / 100, RESUME_SHARE),
        ],
    )


# Downloads.

FILES = 200
FILE_BYTES = 1_500_000


async def serve_files() -> None:
    """One image under any name, until killed."""
    body = b"\x89PNG\r\n\x1a\n" + secrets.token_bytes(FILE_BYTES - 8)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="image/png", headers={"ETag": '"fox"'})

    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


async def bare(url: str, folder: Path) -> None:
    """What aiohttp's own pages show: the pieces straight to a file."""

    async def fetch(session: aiohttp.ClientSession, number: int) -> None:
        async with at_once, session.get(f"{url}/{number}.png") as response:
            with (folder / f"{number}.png").open("wb") as file:
                async for piece in response.content.iter_any():
                    file.write(piece)

    at_once = asyncio.Semaphore(DOWNLOADS_AT_ONCE)
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(fetch(session, number) for number in range(FILES)))


async def bare_and_sure(url: str, folder: Path) -> None:
    """The same with what the manifest and the ledger promise: a SHA-256, and bytes that are on the disk."""

    def write(file: BinaryIO, piece: bytes) -> None:
        file.write(piece)
        digests[file].update(piece)

    async def fetch(session: aiohttp.ClientSession, number: int) -> None:
        async with at_once, session.get(f"{url}/{number}.png") as response:
            with (folder / f"{number}.png").open("wb") as file:
                digests[file] = hashlib.sha256()
                async for piece in response.content.iter_any():
                    await loop.run_in_executor(threads, write, file, piece)
                await loop.run_in_executor(threads, os.fsync, file.fileno())

    loop, digests = asyncio.get_running_loop(), dict[BinaryIO, Any]()
    at_once = asyncio.Semaphore(DOWNLOADS_AT_ONCE)
    with ThreadPoolExecutor(4) as threads:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(fetch(session, number) for number in range(FILES)))


async def ours(url: str, folder: Path) -> None:
    """As a batch saves: by way of a part file, with a checksum, flushed to the disk before it has its name."""

    async def fetch(number: int) -> None:
        image = GeneratedImage(f"{url}/{number}.png")
        async with at_once:
            await downloads.save([(image, Target(path=folder / str(number), exact=False, overwrite=True))])

    at_once = asyncio.Semaphore(DOWNLOADS_AT_ONCE)
    async with FoxSession(KEY, base_url=url) as fox:
        downloads = fox._for_series(None)[0].api.downloads  # noqa: SLF001 - the port that a batch uses
        await asyncio.gather(*(fetch(number) for number in range(FILES)))


@attrs.frozen
class Speed:
    """MB a second, and seconds of CPU for each GB."""

    rate: float
    cpu: float


def fetch_all(work: Callable[[str, Path], Awaitable[None]], url: str) -> Speed:
    size = FILES * FILE_BYTES / 1e6
    with tempfile.TemporaryDirectory() as folder:

        async def run_it() -> None:
            await work(url, Path(folder))

        cpu, clock = time.process_time(), time.perf_counter()
        asyncio.run(run_it())
        took, used = time.perf_counter() - clock, time.process_time() - cpu
        assert len(list(Path(folder).iterdir())) == FILES
    return Speed(size / took, 1000 * used / size)


def downloads(given: argparse.Namespace) -> None:
    """Our files against bare streaming."""
    with serving("files") as url:
        variants = {
            "aiohttp, streamed to a file": lambda: fetch_all(bare, url),
            "the same with SHA-256 and fsync": lambda: fetch_all(bare_and_sure, url),
            "Downloads.save": lambda: fetch_all(ours, url),
        }
        found = interleave(variants, 2 * given.rounds + 1)
    base = next(iter(found.values()))
    rows = [
        (
            name,
            f"{middle([s.rate for s in speeds]):.0f}",
            spread([s.rate for s in speeds]),
            f"{paired([s.rate for s in speeds], [s.rate for s in base]):.2f}",
            f"{middle([s.cpu for s in speeds]):.2f}",
        )
        for name, speeds in found.items()
    ]
    show(
        f"Downloads: {FILES} files of {FILE_BYTES / 1e6:g} MB, {DOWNLOADS_AT_ONCE} at a time, medians of "
        f"{2 * given.rounds + 1} interleaved rounds, {PYTHON}",
        ("", "MB/s", "min–max", "ratio", "s CPU/GB"),
        rows,
        [
            f"ratio: {rows[1][3]} (target at least {DOWNLOAD_SHARE:.2f}: {'met' if float(rows[1][3]) >= DOWNLOAD_SHARE else 'MISSED'})"
        ],
    )


TABLES = {
    "throughput": throughput,
    "memory": memory,
    "resume": resume,
    "downloads": downloads,
}
SERVERS = {"emulator": serve_emulator, "files": serve_files}


def table_name(text: str) -> str:
    if text not in TABLES:
        raise argparse.ArgumentTypeError(f"no table {text!r}: there are {', '.join(TABLES)}")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", type=table_name, default=list(TABLES))
    parser.add_argument(
        "--items", type=int, default=ITEMS, help=f"of a run against the emulator; default {ITEMS}"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--most", type=int, default=10_000, help="items of the memory table; default 10000")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    for name in given.tables:
        TABLES[name](given)
        print(flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(SERVERS[sys.argv[2]]())
    else:
        main()
