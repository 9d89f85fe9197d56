"""What a handler `POST -> 202 with id` costs its server in CPU, beside the SDK's own submit and beside an empty handler.

The app is served by uvicorn in a process of its own, and tells its CPU time before and after each round; the service is
another process and answers at once, and the cadence leaves its tasks alone. All variants run in the one server and take
turns: requests for a handler that does nothing, requests for the router's `POST /images`, and as many submits that the
server does on its own, without any request. So the difference of the last two is what the handler adds, and the first tells what
part of that is FastAPI's and uvicorn's.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import aiohttp
import uvicorn
from _table import interleave, middle, show
from aiohttp import web
from fastapi import FastAPI

from foxapi_async import Cadence, parse_request
from foxapi_async.fastapi import Fox, add_error_handlers, fox_lifespan, image_router

REQUESTS = 200
AT_A_TIME = 20
ROUNDS = 31
TARGET = 1.0  # ms

# The tasks pile up, and their polls would be counted.
NO_POLLS = Cadence(shortest=7200.0, longest=7200.0)

A_FOX = {"model": "grok-imagine-image", "prompt": "a red fox in the snow", "num_outputs": 2}
TASK = {
    "object": "image.generation.task",
    "type": "image",
    "model": "grok-imagine-image",
    "status": "pending",
    "progress": 0,
    "task_info": {"can_cancel": False, "estimated_time": 36000},
    "usage": {"credits_reserved": 5},
}


def make_app() -> FastAPI:
    """The app under test."""
    app = FastAPI(lifespan=fox_lifespan(cadence=NO_POLLS))
    add_error_handlers(app)
    app.include_router(image_router(dependencies=[]))

    @app.post("/empty", status_code=202)
    async def empty() -> dict[str, str]:
        return {"id": "task-1"}

    @app.post("/own")
    async def own(fox: Fox) -> float:
        began = time.process_time()

        async def submit_in_turn(count: int) -> None:
            for _ in range(count):
                await fox.submit(parse_request(A_FOX))

        await asyncio.gather(*(submit_in_turn(REQUESTS // AT_A_TIME) for _ in range(AT_A_TIME)))
        return time.process_time() - began

    @app.get("/cpu")
    async def cpu() -> float:
        return time.process_time()

    return app


async def serve() -> None:
    """Serve the app on a port of its own until killed."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await uvicorn.Server(uvicorn.Config(make_app(), log_level="critical")).serve([listener])


async def stand_in() -> None:
    """The service: takes every submit, until killed."""
    numbers = itertools.count()

    async def accept(_: web.Request) -> web.Response:
        return web.json_response({"id": f"task-{next(numbers):08d}", "created": int(time.time()), **TASK})

    async def show_task(request: web.Request) -> web.Response:
        return web.json_response({"id": request.match_info["id"], "created": int(time.time()), **TASK})

    app = web.Application()
    app.add_routes([web.post("/v1/images/generations", accept), web.get("/v1/tasks/{id}", show_task)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


@contextlib.contextmanager
def process(part: str, **environ: str) -> Iterator[str]:
    """The URL of a part in a process of its own."""
    environ = {**os.environ, **environ}
    with subprocess.Popen(
        [sys.executable, __file__, part], stdout=subprocess.PIPE, text=True, env=environ
    ) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.kill()


async def ask(url: str, path: str) -> float:
    """CPU milliseconds of the server for each request, with `AT_A_TIME` of them at a time."""
    async with aiohttp.ClientSession(url) as client:

        async def cpu() -> float:
            async with client.get("/cpu") as response:
                return float(await response.json())

        async def work() -> None:
            for _ in range(REQUESTS // AT_A_TIME):
                async with client.post(path, json=A_FOX) as response:
                    assert response.status == 202, await response.text()

        began = await cpu()
        await asyncio.gather(*(work() for _ in range(AT_A_TIME)))
        return 1e3 * (await cpu() - began) / REQUESTS


async def own(url: str) -> float:
    """CPU milliseconds of the server for each submit of its own."""
    async with aiohttp.ClientSession(url) as client, client.post("/own") as response:
        return 1e3 * float(await response.json()) / REQUESTS


def main() -> None:
    """Measure and print."""
    with process("stand_in") as service:
        account = {"FOXAPI_API_KEY": "sk-benchmark", "FOXAPI_BASE_URL": service}
        with process("serve", **account) as url:
            found = interleave(
                {
                    "submit, without a request": lambda: asyncio.run(own(url)),
                    "POST -> 202, an empty handler": lambda: asyncio.run(ask(url, "/empty")),
                    "POST /images -> 202 of the router": lambda: asyncio.run(ask(url, "/images")),
                },
                ROUNDS,
            )
    submit, empty, router = found.values()
    added = [with_it - without for with_it, without in zip(router, submit, strict=True)]
    rest = [more - nothing for more, nothing in zip(added, empty, strict=True)]
    found |= {"added to the submit": added, "of that, beyond an empty handler": rest}
    verdict = "met" if middle(rest) <= TARGET else "MISSED"
    show(
        f"A handler that submits: CPU of the server in ms a request, medians of {ROUNDS} interleaved rounds of {REQUESTS} "
        f"requests, {AT_A_TIME} at a time, body of {len(json.dumps(A_FOX))} bytes, Python {sys.version.split()[0]}",
        ("", "ms/request", "min–max", "of a submit"),
        [
            [name, f"{middle(cost):.3f}", _exact(cost), f"{middle(cost) / middle(submit):.2f}"]
            for name, cost in found.items()
        ],
        [
            f"added beyond an empty handler: {middle(rest):.2f} ms (target at most {TARGET:.0f} ms: {verdict})",
            f"added with FastAPI and uvicorn: {middle(added):.2f} ms",
        ],
    )


def _exact(figures: list[float]) -> str:
    return f"{min(figures):.2f}–{max(figures):.2f}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(serve())
        case ["stand_in"]:
            asyncio.run(stand_in())
        case _:
            main()
