"""What a task in flight costs in memory: growth of this process's resident set from 1,000 tasks to 100,000.

Every task is submitted on one session, so a handle, a watch and a reading are held for each; the reading is the
reply to the submit. The server is another process on 127.0.0.1 that accepts everything. The cadence keeps the tasks
waiting, so nothing is polled meanwhile. In the second row an asyncio task of the user's awaits each handle: most of
what it adds is asyncio's.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from _table import show

from foxapi_async import Cadence, FoxSession, RawRequest, TaskHandle

WARM = 1000
TASKS = 100_000
AT_A_TIME = 50
TARGET = 4.0  # KiB

REPLY = {
    "id": "",
    "object": "image.generation.task",
    "type": "image",
    "model": "gemini-3-pro-image-preview",
    "status": "pending",
    "progress": 0,
    "created": 1757165031,
    "task_info": {"can_cancel": False, "estimated_time": 45},
    "usage": {"credits_reserved": 12.5},
}


def resident() -> float:
    """This process's resident set in KiB, without garbage."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmRSS:")[1].split()[0])


async def grow(url: str, *, await_each: bool) -> float:
    """KiB for each task beyond the first thousand."""
    request = RawRequest("gemini-3-pro-image-preview", "a red fox")
    handles: list[TaskHandle] = []
    waiters: list[asyncio.Task[object]] = []

    async def submit(numbers: Iterator[int]) -> None:
        for _ in numbers:
            handle = await fox.submit(request)
            handles.append(handle)
            if await_each:
                waiters.append(asyncio.create_task(handle.wait()))

    async def reach(count: int) -> float:
        numbers = iter(range(len(handles), count))
        await asyncio.gather(*(submit(numbers) for _ in range(AT_A_TIME)))
        return resident()

    seldom = Cadence(poll_price=1e9, shortest=1e4, longest=1e5)
    async with FoxSession("sk-benchmark", base_url=url, cadence=seldom) as fox:
        warm = await reach(WARM)
        full = await reach(TASKS)
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
    return (full - warm) / (TASKS - WARM)


class Accept(asyncio.Protocol):
    """Answers every request on its connection with a new task, and closes it."""

    numbers = itertools.count()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not data.endswith(b"}"):
            return  # the head alone: the body, a JSON object, follows
        body = json.dumps({**REPLY, "id": f"task-unified-1757165031-{next(self.numbers):08d}"})
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._transport.write(f"{head}Connection: close\r\n\r\n{body}".encode())
        self._transport.close()


async def serve() -> None:
    """Accept tasks on a port of its own until killed."""
    server = await asyncio.get_running_loop().create_server(Accept, "127.0.0.1", 0, backlog=1000)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """This script, run once more with arguments."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def line_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def main() -> None:
    rows = []
    with process("serve") as server:
        url = line_of(server)
        # A process for each: memory that was used once is seldom given back.
        for name, kind in {"handle kept": "keep", "handle kept and awaited by a task": "await"}.items():
            with process(kind, url) as child:
                rows.append((name, float(line_of(child))))
    met = "met" if rows[0][1] <= TARGET else "MISSED"
    show(
        f"Memory of a task in flight: growth of the resident set between {WARM:,} and {TASKS:,} tasks of one session, "
        f"reply of {len(json.dumps(REPLY)) + 32} bytes, Python {sys.version.split()[0]}",
        ("", "KiB/task"),
        [(name, f"{kib:.2f}") for name, kib in rows],
        [f"{rows[0][0]}: {rows[0][1]:.2f} KiB (target at most {TARGET:.2f}: {met})"],
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    elif sys.argv[1:]:
        logging.disable(logging.WARNING)  # leaving a session with tasks under way is the plan here
        print(asyncio.run(grow(sys.argv[2], await_each=sys.argv[1] == "await")))
    else:
        main()
