"""What one poll costs this process in CPU: request, reading, schedule and event, against a bare aiohttp GET.

The server is another process on 127.0.0.1, so its CPU is not counted. It always answers with a task that runs, created
when the server began, whose `progress` grows with every read: no body is like the one before. Both sides keep 100 connections busy; with more tasks
than that in flight, each bare worker goes round its share of the ids. The cadence is set so that polls follow each
other at full speed. Each event reaches a hook, which counts; in one row every handle is iterated over as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

import aiohttp
from _table import against, interleave, middle, paired, show, spread
from aiohttp import web

from foxapi_async import Cadence, FoxSession, Limits, Notice, TaskHandle

CONNECTIONS = 100
POLLS = 1000
ROUNDS = {100: 31, 10_000: 11}
TARGET = 1.35

KEY = "sk-benchmark"
TASK = {
    "id": "task-unified-1757165031-00000000",
    "object": "image.generation.task",
    "type": "image",
    "model": "gemini-3-pro-image-preview",
    "status": "processing",
    "progress": 40,
    "created": 1757165031,
    "task_info": {"can_cancel": False, "estimated_time": 45},
    "results": None,
    "error": None,
    "usage": {"credits_reserved": 12.5},
}

Ids = Sequence[str]


def make_ids(count: int) -> Ids:
    """As many ids as tasks are to be in flight."""
    return [f"task-unified-1757165031-{number:08d}" for number in range(count)]


class Meter:
    """Counts polls, and takes this process's CPU time after the warm-up and at the end."""

    def __init__(self, warm_up: int) -> None:
        self._warm_up = warm_up
        self._count = 0
        self._began = 0.0
        self._done = asyncio.Event()
        self.microseconds = 0.0

    def __call__(self, reading: object) -> None:
        if isinstance(reading, Notice):  # hooks hear of requests as well
            return
        self._count += 1
        if self._count == self._warm_up:
            self._began = time.process_time()
        elif self._count == self._warm_up + POLLS:
            self.microseconds = 1e6 * (time.process_time() - self._began) / POLLS
            self._done.set()

    async def finished(self) -> None:
        await self._done.wait()


async def bare(url: str, ids: Ids) -> float:
    """The least that a client can do: GET and `json.loads`, one worker for each connection."""
    meter = Meter(3 * CONNECTIONS)

    async def work(session: aiohttp.ClientSession, share: Ids) -> None:
        for task_id in itertools.cycle(share):
            async with session.get(f"{url}/v1/tasks/{task_id}") as response:
                meter(json.loads(await response.read()))

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        shares = [ids[number::CONNECTIONS] for number in range(CONNECTIONS)]
        workers = [asyncio.ensure_future(work(session, share)) for share in shares]
        await meter.finished()
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
    return meter.microseconds


async def ours(url: str, ids: Ids, *, iterate: bool = False) -> float:
    """The same polls through a session, once every task was looked at."""
    meter = Meter(len(ids) + 2 * CONNECTIONS)

    async def read(handle: TaskHandle) -> None:
        async for _ in handle:
            pass

    hurry = Cadence(poll_price=1e-9, shortest=1e-6, longest=1e-6)
    limits = Limits(connections=CONNECTIONS)
    async with FoxSession(KEY, base_url=url, cadence=hurry, limits=limits, hooks=[meter]) as fox:
        handles = [fox.attach(task_id) for task_id in ids]
        readers = [asyncio.ensure_future(read(handle)) for handle in handles if iterate]
        await meter.finished()
        for handle in handles:
            handle.stop()
        await asyncio.gather(*readers)
    return meter.microseconds


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a server in a process of its own."""
    with subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def serve() -> None:
    """Answer every read with a running task of that id, on a port of its own, until killed."""
    created = int(time.time())
    progress: Counter[str] = Counter()

    async def answer(request: web.Request) -> web.Response:
        task_id = request.match_info["id"]
        progress[task_id] = (progress[task_id] + 1) % 100
        return web.json_response({**TASK, "id": task_id, "created": created, "progress": progress[task_id]})

    app = web.Application()
    app.router.add_get("/v1/tasks/{id}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def measure(
    url: str, count: int, variants: dict[str, Callable[[str, Ids], Awaitable[float]]]
) -> list[list[str]]:
    """A row for each variant with `count` tasks in flight, the first being what the others are compared to."""
    ids = make_ids(count)
    runs = {
        name: lambda variant=variant: asyncio.run(variant(url, ids)) for name, variant in variants.items()
    }
    found = interleave(runs, ROUNDS[count])
    base = next(iter(found.values()))
    return [
        [f"{name}, {count:,} in flight", f"{middle(cost):.1f}", spread(cost), f"{paired(cost, base):.2f}"]
        for name, cost in found.items()
    ]


def main() -> None:
    logging.disable(logging.WARNING)  # leaving a session with tasks under way is the plan here
    variants = {"aiohttp GET + json.loads": bare, "FoxSession": ours}
    iterated = {"FoxSession, handles iterated": partial(ours, iterate=True)}
    with server() as url:
        few, many = measure(url, 100, variants | iterated), measure(url, 10_000, variants)
    show(
        f"Cost of a poll: client CPU in microseconds, medians of {ROUNDS[100]} and {ROUNDS[10_000]} interleaved rounds "
        f"of {POLLS} polls, {CONNECTIONS} connections, reply of {len(json.dumps(TASK))} bytes, "
        f"Python {sys.version.split()[0]}",
        ("", "CPU/poll", "min–max", "ratio"),
        [*few, *many],
        [against(f"ratio, {rows[1][0]}", float(rows[1][3]), TARGET) for rows in (few, many)],
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main()
