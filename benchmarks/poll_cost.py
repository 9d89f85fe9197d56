"""What one poll costs this process in CPU: request, reading, schedule and event, against a bare aiohttp GET.

The server is another process on 127.0.0.1 that always answers with a running task, so its CPU is not counted.
Both sides keep the same number of connections busy; the cadence is set so that polls follow each other at full
speed. Each event reaches a hook, which counts; in the third row every handle is iterated over as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import aiohttp
from _table import against, interleave, middle, paired, show, spread
from aiohttp import web

from foxapi_async import Cadence, FoxSession, Limits, TaskHandle

ROUNDS = 41
IN_FLIGHT = 100
WARM_UP = 300
POLLS = 1000
TARGET = 1.5

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
IDS = [f"task-unified-1757165031-{number:08d}" for number in range(IN_FLIGHT)]


class Meter:
    """Counts polls, and takes this process's CPU time after the warm-up and at the end."""

    def __init__(self) -> None:
        self._count = 0
        self._began = 0.0
        self._done = asyncio.Event()
        self.microseconds = 0.0

    def __call__(self, _: object) -> None:
        self._count += 1
        if self._count == WARM_UP:
            self._began = time.process_time()
        elif self._count == WARM_UP + POLLS:
            self.microseconds = 1e6 * (time.process_time() - self._began) / POLLS
            self._done.set()

    async def finished(self) -> None:
        await self._done.wait()


async def bare(url: str) -> float:
    """The least that a client can do: GET and `json.loads`, one worker for each connection."""
    meter = Meter()

    async def work(session: aiohttp.ClientSession, task_id: str) -> None:
        while True:
            async with session.get(f"{url}/v1/tasks/{task_id}") as response:
                meter(json.loads(await response.read()))

    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        workers = [asyncio.ensure_future(work(session, task_id)) for task_id in IDS]
        await meter.finished()
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
    return meter.microseconds


async def ours(url: str, *, iterate: bool) -> float:
    """The same polls through a session."""
    meter = Meter()

    async def read(handle: TaskHandle) -> None:
        async for _ in handle:
            pass

    hurry = Cadence(poll_price=1e-9, shortest=1e-6, longest=1e-6)
    limits = Limits(connections=IN_FLIGHT)
    async with FoxSession(KEY, base_url=url, cadence=hurry, limits=limits, hooks=[meter]) as fox:
        handles = [fox.attach(task_id) for task_id in IDS]
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
    before, after = json.dumps(TASK).encode().split(TASK["id"].encode())

    async def answer(request: web.Request) -> web.Response:
        body = before + request.match_info["id"].encode() + after
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/v1/tasks/{id}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    logging.disable(logging.WARNING)  # leaving a session with tasks under way is the plan here
    with server() as url:
        variants = {
            "aiohttp GET + json.loads": bare,
            "FoxSession": partial(ours, iterate=False),
            "FoxSession, handles iterated": partial(ours, iterate=True),
        }
        runs = {name: lambda variant=variant: asyncio.run(variant(url)) for name, variant in variants.items()}
        found = interleave(runs, ROUNDS)
    base, session, _ = found
    show(
        f"Cost of a poll: client CPU in microseconds, medians of {ROUNDS} interleaved rounds of {POLLS} polls, "
        f"{IN_FLIGHT} in flight, reply of {len(json.dumps(TASK))} bytes, Python {sys.version.split()[0]}",
        ("", "CPU/poll", "min–max", "ratio"),
        [
            (name, f"{middle(cost):.1f}", spread(cost), f"{paired(cost, found[base]):.2f}")
            for name, cost in found.items()
        ],
        [against("ratio", paired(found[session], found[base]), TARGET)],
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main()
