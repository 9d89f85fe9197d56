"""What a task in flight costs in memory: growth of this process's resident set from 1,000 tasks to 100,000.

All are tasks of one session, whose handles are kept, and that are not polled while they are counted. In the first row
each is submitted, so that what is kept of it is the reply to its submit. In the others it is attached instead, which
is faster and looks at it once: the reply to a poll has more fields. In the last row an asyncio task of the user's awaits
each handle; most of what that adds is asyncio's. The server is another process on 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import itertools
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from _table import show

from foxapi_async import Cadence, FoxSession, RawRequest, TaskHandle

WARM = 1000
TASKS = 100_000
AT_A_TIME = 100
TARGET = 4.0  # KiB

SUBMITTED = {
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
RUNNING = {**SUBMITTED, "status": "processing", "progress": 40, "results": None, "error": None}

Take = Callable[[str], Awaitable[TaskHandle]]


def resident() -> float:
    """This process's resident set in KiB, without garbage."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return float(status.split("VmRSS:")[1].split()[0])


async def submit(fox: FoxSession, _: str) -> TaskHandle:
    """A new task."""
    return await fox.submit(RawRequest("gemini-3-pro-image-preview", "a red fox"))


async def attach(fox: FoxSession, task_id: str) -> TaskHandle:
    """A task that was looked at once."""
    handle = fox.attach(task_id)
    await anext(aiter(handle))
    return handle


async def growth(take: Take) -> float:
    """KiB for each task beyond the first thousand."""
    kept: list[TaskHandle] = []

    async def work(numbers: Iterator[int]) -> None:
        kept.extend([await take(f"task-unified-1757165031-{number:08d}") for number in numbers])

    async def reach(count: int) -> float:
        numbers = iter(range(len(kept), count))
        await asyncio.gather(*(work(numbers) for _ in range(AT_A_TIME)))
        return resident()

    warm = await reach(WARM)
    return (await reach(TASKS) - warm) / (TASKS - WARM)


async def measure(kind: str, url: str) -> float:
    """The growth that one row of the table shows."""
    waiters: list[asyncio.Task[object]] = []

    async def await_it(task_id: str) -> TaskHandle:
        handle = await attach(fox, task_id)
        waiters.append(asyncio.create_task(handle.wait()))
        return handle

    seldom = Cadence(poll_price=1e9, shortest=1e4, longest=1e5)
    async with FoxSession("sk-benchmark", base_url=url, cadence=seldom) as fox:
        takes: dict[str, Take] = {
            "submit": functools.partial(submit, fox),
            "attach": functools.partial(attach, fox),
            "await": await_it,
        }
        found = await growth(takes[kind])
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
    return found


class Answer(asyncio.Protocol):
    """Answers a POST with a new task and closes, and a GET with a task that runs."""

    numbers = itertools.count()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET"):
            path = data.split(b" ", 2)[1].decode()
            self._send({**RUNNING, "id": path.rpartition("/")[2]}, "keep-alive")
        elif data.endswith(b"}"):  # else the head alone: the body, a JSON object, follows
            self._send({**SUBMITTED, "id": f"task-unified-1757165031-{next(self.numbers):08d}"}, "close")
            self._transport.close()

    def _send(self, task: dict[str, object], connection: str) -> None:
        body = json.dumps(task)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._transport.write(f"{head}Connection: {connection}\r\n\r\n{body}".encode())


async def serve() -> None:
    """Answer on a port of its own until killed."""
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", 0, backlog=1000)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def run(*arguments: str) -> Iterator[str]:
    """The first line of this script, run once more with arguments."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def main() -> None:
    rows = {
        "submit": "submitted",
        "attach": "attached, polled once",
        "await": "attached, polled once, awaited",
    }
    found: list[float] = []
    with run("serve") as url:
        for kind in rows:  # a process for each: memory that was used once is seldom given back
            with run(kind, url) as line:
                found.append(float(line))
    met = "met" if max(found[:2]) <= TARGET else "MISSED"
    show(
        f"Memory of a task in flight: growth of the resident set between {WARM:,} and {TASKS:,} tasks of one session, "
        f"replies of {len(json.dumps(SUBMITTED)) + 32} and {len(json.dumps(RUNNING)) + 32} bytes, "
        f"Python {sys.version.split()[0]}",
        ("", "KiB/task"),
        [(name, f"{kib:.2f}") for name, kib in zip(rows.values(), found, strict=True)],
        [f"without a task of the user's: target at most {TARGET:.2f} KiB: {met}"],
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    elif sys.argv[1:]:
        logging.disable(logging.WARNING)  # leaving a session with tasks under way is the plan here
        print(asyncio.run(measure(*sys.argv[1:])))
    else:
        main()
