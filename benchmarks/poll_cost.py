"""What one poll costs this process in CPU: request, reading, schedule and event, against a bare aiohttp GET.

The server is another process on 127.0.0.1, so its CPU is not counted. It always answers with a task that runs, created
when the server began, whose `progress` grows with every read: no body is like the one before. Both sides keep 100 connections busy; with more tasks
than that in flight, each bare worker goes round its share of the ids. The cadence is set so that polls follow each
other at full speed. Each event reaches a hook, which counts; in one row every handle is iterated over as well.

The second table is about polls at the pace of every day. 500 tasks of some eight seconds are in flight, and the default
cadence decides when they are polled. The service notes when each poll came. The bare client then sends as many GETs, at
the same ages of the same tasks, and one coroutine a task sleeps in between. Every run has a process of its own. CPU counts
from the moment when all tasks are submitted until the last one is done, and so do the requests.

    python benchmarks/poll_cost.py                   # both tables
    python benchmarks/poll_cost.py paced             # the second one
    python benchmarks/poll_cost.py paced ../before   # the same, with another checkout of this package in each round
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import math
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from _table import against, interleave, middle, paired, show, spread
from aiohttp import web

from foxapi_async import Cadence, FoxSession, GrokImagineImage, Limits, Notice, TaskHandle

CONNECTIONS = 100
POLLS = 1000
ROUNDS = {100: 31, 10_000: 11}
TARGET = 1.35

PACED_TASKS = 500
PACED_ROUNDS = 5
PACED_TARGET = 1.24
MEDIAN_SECONDS, SIGMA = 8.0, 0.3
SHORTEST, LONGEST = 5.0, 11.0

# All tasks are submitted at once. A connection that does not fit the queue is tried again after a second.
BACKLOG = 2048

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


# What each prompt of a run says: how many seconds its task takes. What the polls of a run were: for each prompt, the ages
# at which its task was polled.
Prompts = Sequence[str]
Ages = dict[str, list[float]]


def draw_prompts() -> Prompts:
    """The same tasks for every run, each with a number, so that no two prompts are equal."""
    source = random.Random(7)
    drawn = (source.lognormvariate(math.log(MEDIAN_SECONDS), SIGMA) for _ in range(PACED_TASKS))
    return [f"{number} {min(max(seconds, SHORTEST), LONGEST):.2f}" for number, seconds in enumerate(drawn)]


async def take_ages(url: str) -> Ages:
    """What was polled since this was asked last."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/ages") as response:
        ages: Ages = await response.json()
        return ages


async def bare_paced(url: str, prompts: Prompts, ages: Ages) -> float:
    """CPU seconds of a bare client that polls each task at the given ages."""

    async def submit(session: aiohttp.ClientSession, prompt: str) -> tuple[str, float]:
        async with session.post(f"{url}/v1/images/generations", json={"prompt": prompt}) as response:
            return json.loads(await response.read())["id"], time.monotonic()

    async def work(session: aiohttp.ClientSession, task_id: str, born: float, moments: list[float]) -> None:
        for age in moments:
            await asyncio.sleep(born + age - time.monotonic())
            async with session.get(f"{url}/v1/tasks/{task_id}") as response:
                json.loads(await response.read())

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        tasks = await asyncio.gather(*(submit(session, prompt) for prompt in prompts))
        await take_ages(url)
        began = time.process_time()
        await asyncio.gather(
            *(work(session, *task, ages.get(prompt, [])) for task, prompt in zip(tasks, prompts, strict=True))
        )
        return time.process_time() - began


async def ours_paced(url: str, prompts: Prompts, ages: Ages) -> float:  # noqa: ARG001 - the cadence decides
    """CPU seconds of a session that awaits all tasks."""
    async with FoxSession(KEY, base_url=url, limits=Limits(connections=CONNECTIONS)) as fox:
        handles = await asyncio.gather(*(fox.submit(GrokImagineImage(prompt)) for prompt in prompts))
        await take_ages(url)
        began = time.process_time()
        await asyncio.gather(*handles)
        return time.process_time() - began


PACED = {"bare": bare_paced, "ours": ours_paced}


async def run_paced(name: str, url: str, ages: Ages) -> dict[str, Any]:
    """One run: its CPU seconds, and what it polled."""
    # What is imported at the first reply is not the cost of a poll.
    await PACED[name](url, ["rehearsal 0.1"], {"rehearsal 0.1": [0.2]})
    cpu = await PACED[name](url, draw_prompts(), ages)
    return {"cpu": cpu, "ages": await take_ages(url)}


class PacedRuns:
    """Runs clients in processes of their own: ours as it pleases, the bare one as ours before it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ages: Ages = {}
        self.requests: list[int] = []

    def run(self, name: str, tree: Path | None = None) -> float:
        """CPU microseconds of a client for each of its requests; `tree` is the checkout that it uses."""
        environ = dict(os.environ) if tree is None else {**os.environ, "PYTHONPATH": str(tree.resolve())}
        said = subprocess.run(
            [sys.executable, __file__, "run", name, self._url],
            input=json.dumps(self._ages),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=environ,
        )
        figures = json.loads(said.stdout)
        requests = sum(map(len, figures["ages"].values()))
        self.requests.append(requests)
        if name == "ours":
            self._ages = figures["ages"]
        return 1e6 * float(figures["cpu"]) / requests


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a server in a process of its own."""
    with subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


class PacedTask:
    """A task that takes as long as its prompt says, and notes at which ages it is polled."""

    def __init__(self, task_id: str, prompt: str) -> None:
        self.prompt = prompt
        self.ages: list[float] = []
        self._began = time.monotonic()
        self._seconds = float(prompt.split()[1])
        self._common = {
            **TASK,
            "id": task_id,
            "created": int(time.time()),
            "progress": 0,
            "task_info": {"can_cancel": False, "estimated_time": round(MEDIAN_SECONDS)},
        }

    def accepted(self) -> dict[str, Any]:
        """The reply to its submit."""
        return {**self._common, "status": "pending"}

    def polled(self) -> dict[str, Any]:
        """The reply to a poll."""
        age = time.monotonic() - self._began
        self.ages.append(age)
        if age < self._seconds:
            return self._common
        results = [{"url": "https://cdn.example/image.png"}]
        return {**self._common, "status": "completed", "progress": 100, "results": results}

    def take_ages(self) -> list[float]:
        """The ages since this was asked last."""
        taken, self.ages = self.ages, []
        return taken


async def serve() -> None:
    """Take submits, and answer every other read with a running task of that id, on a port of its own, until killed."""
    created = int(time.time())
    progress: Counter[str] = Counter()
    tasks: dict[str, PacedTask] = {}

    async def accept(request: web.Request) -> web.Response:
        task_id = f"task-unified-1757165032-{len(tasks):08d}"
        tasks[task_id] = task = PacedTask(task_id, (await request.json())["prompt"])
        return web.json_response(task.accepted())

    async def answer(request: web.Request) -> web.Response:
        task_id = request.match_info["id"]
        if task_id in tasks:
            return web.json_response(tasks[task_id].polled())
        progress[task_id] = (progress[task_id] + 1) % 100
        return web.json_response({**TASK, "id": task_id, "created": created, "progress": progress[task_id]})

    async def tell_ages(_: web.Request) -> web.Response:
        return web.json_response({task.prompt: task.take_ages() for task in tasks.values() if task.ages})

    app = web.Application()
    app.router.add_get("/v1/tasks/{id}", answer)
    app.router.add_post("/v1/images/generations", accept)
    app.router.add_get("/ages", tell_ages)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG).start()
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


def compare_full_speed() -> None:
    """Measure and print what a poll costs at full speed."""
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


def compare_paced(trees: Sequence[Path] = ()) -> None:
    """Measure and print what a poll costs at the pace of every day, with this package and with other checkouts of it."""
    base, own = "aiohttp GET + json.loads", "FoxSession"
    with server() as url:
        runs = PacedRuns(url)
        # Ours first, so that the bare client has something to repeat.
        variants = {own: lambda: runs.run("ours"), base: lambda: runs.run("bare")}
        others = {f"FoxSession, {tree}": partial(runs.run, "ours", tree) for tree in trees}
        found = interleave(variants | others, PACED_ROUNDS)
    rows = [
        [name, f"{middle(found[name]):.1f}", spread(found[name]), f"{paired(found[name], found[base]):.2f}"]
        for name in (base, own, *others)
    ]
    show(
        f"Cost of a request: client CPU in microseconds, {PACED_TASKS} tasks in flight, polled at the default cadence, "
        f"medians of {PACED_ROUNDS} interleaved rounds of {min(runs.requests)} to {max(runs.requests)} requests, "
        f"{CONNECTIONS} connections, Python {sys.version.split()[0]}",
        ("", "CPU/request", "min–max", "ratio"),
        rows,
        [against(f"ratio, {own}, paced", float(rows[1][3]), PACED_TARGET)],
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(serve())
        case ["run", name, url]:
            print(json.dumps(asyncio.run(run_paced(name, url, json.load(sys.stdin)))))
        case ["paced", *trees]:
            compare_paced([Path(tree) for tree in trees])
        case []:
            compare_full_speed()
            print()
            compare_paced()
        case other:
            raise SystemExit(f"no such argument: {other[0]}; see the docstring")
