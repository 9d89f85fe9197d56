"""The clients that are compared: each submits a prompt and waits for its result, in a process of its own.

A client is a context manager that opens it at the address of `_dialects.py` and gives its one function: prompt in,
nothing out, an error if it fails. Everything is left at its defaults, except where a comment says why; `reply_seconds`
shortens the time that it waits for an answer. The packages are imported when they are opened, so that nobody pays for
the neighbours' imports.

A line of JSON on stdout says when the await of each task returned, what the failures were, what CPU it took (and how
much of it the probe for stalls), and how late the loop was at each look.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from _dialects import draw_durations

if TYPE_CHECKING:
    from foxapi_async import Estimates

Generate = Callable[[str], Awaitable[object]]

KEY = "sk-benchmark"
MODEL = "bench/image"

STALL_PROBE = 0.01
"""Seconds between two looks at whether the loop is late."""

PATIENCE = 120.0
"""Seconds after which what is not finished counts as failed. The longest task takes 20."""


@functools.cache
def learned() -> Estimates:
    """What the rehearsal learns for the run."""
    from foxapi_async import Estimates

    return Estimates()


def given(**options: Any) -> dict[str, Any]:
    """The options that are not None: the others stay at the client's defaults."""
    return {name: value for name, value in options.items() if value is not None}


@contextlib.asynccontextmanager
async def ours(
    url: str, *, warm: bool = False, reply_seconds: float | None = None
) -> AsyncIterator[Generate]:
    """This package; `warm` if it has seen the service before."""
    from foxapi_async import FoxSession, GrokImagineImage, RetryPolicy

    estimates = learned() if warm else None
    retry = RetryPolicy(**given(reply_timeout=reply_seconds))
    async with FoxSession(KEY, base_url=f"{url}/fox", estimates=estimates, retry=retry) as fox:
        yield lambda prompt: fox.generate(GrokImagineImage(prompt))


@contextlib.asynccontextmanager
async def fal(url: str, *, reply_seconds: float | None = None) -> AsyncIterator[Generate]:
    """fal_client, which reads every 0.1 s."""
    import fal_client

    # The host can be set from the environment, but the scheme is https in the source.
    fal_client.client.QUEUE_URL_FORMAT = f"{url}/fal/"
    client = fal_client.AsyncClient(key=KEY, **given(default_timeout=reply_seconds))
    yield lambda prompt: client.subscribe(MODEL, {"prompt": prompt})


@contextlib.asynccontextmanager
async def replicate(url: str, *, reply_seconds: float | None = None) -> AsyncIterator[Generate]:
    """replicate, which asks the service to hold the answer to the submit."""
    from replicate.client import Client

    client = Client(KEY, base_url=f"{url}/replicate", **given(timeout=reply_seconds))
    yield lambda prompt: client.async_run(MODEL, input={"prompt": prompt})


@contextlib.asynccontextmanager
async def replicate_polling(url: str) -> AsyncIterator[Generate]:
    """replicate without a held answer: it reads every 0.5 s."""
    from replicate.client import Client

    client = Client(KEY, base_url=f"{url}/replicate")
    yield lambda prompt: client.async_run(MODEL, input={"prompt": prompt}, wait=False)


@contextlib.asynccontextmanager
async def runway(url: str, *, reply_seconds: float | None = None) -> AsyncIterator[Generate]:
    """runwayml, which reads every 4.5 to 7.5 s."""
    from runwayml import AsyncRunwayML

    options = given(timeout=reply_seconds)
    async with AsyncRunwayML(api_key=KEY, base_url=f"{url}/runway", **options) as client:

        async def generate(prompt: str) -> object:
            task = await client.text_to_image.create(
                model="gen4_image", prompt_text=prompt, ratio="1024:1024"
            )
            return await task.wait_for_task_output()

        yield generate


@contextlib.asynccontextmanager
async def openai(url: str, *, reply_seconds: float | None = None) -> AsyncIterator[Generate]:
    """openai's videos, which are read every second; on aiohttp, the faster of its two transports."""
    from openai import AsyncOpenAI, DefaultAioHttpClient

    transport, options = DefaultAioHttpClient(), given(timeout=reply_seconds)
    async with AsyncOpenAI(
        api_key=KEY, base_url=f"{url}/openai/v1", http_client=transport, **options
    ) as client:
        yield lambda prompt: client.videos.create_and_poll(prompt=prompt)


@contextlib.asynccontextmanager
async def genai(url: str, *, reply_seconds: float | None = None) -> AsyncIterator[Generate]:
    """google-genai, which has no waiting of its own: the loop of its documentation, every 10 s."""
    from google.genai import Client, types

    # Without vertexai=True it refuses to make videos at another address.
    milliseconds = None if reply_seconds is None else int(1000 * reply_seconds)
    options = types.HttpOptions(base_url=f"{url}/genai", **given(timeout=milliseconds))
    async with Client(vertexai=True, api_key=KEY, http_options=options).aio as client:

        async def generate(prompt: str) -> None:
            source = types.GenerateVideosSource(prompt=prompt)
            operation = await client.models.generate_videos(model="veo-2.0-generate-001", source=source)
            while not operation.done:
                await asyncio.sleep(10)
                operation = await client.operations.get(operation)

        yield generate


@contextlib.asynccontextmanager
async def bare(url: str) -> AsyncIterator[Generate]:
    """What one writes by hand: aiohttp, and a look every 3 s. No retries, no models, no events."""
    import aiohttp

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:

        async def generate(prompt: str) -> None:
            body = {"model": "grok-imagine-image", "prompt": prompt}
            async with http.post(f"{url}/fox/v1/images/generations", json=body) as response:
                task = await response.json()
            while task["status"] != "completed":
                await asyncio.sleep(3)
                async with http.get(f"{url}/fox/v1/tasks/{task['id']}") as response:
                    task = await response.json()

        yield generate


@dataclass(frozen=True)
class Client:
    """A row of the table.

    Attributes:
        label: its name there.
        opening: opens the client at an address.
        linear: whether the service tells it the progress of its tasks.
        rehearsal: how long each of the tasks takes that it runs before the run, in seconds.
    """

    label: str
    opening: Callable[..., AbstractAsyncContextManager[Generate]]
    linear: bool = False
    rehearsal: Sequence[float] = (0.1,)


# What a warm session has seen: two hundred tasks of the same service, other than those of the run.
BEFORE = draw_durations(0, 200)

CLIENTS = {
    "ours": Client("foxapi_async", ours),
    "ours-linear": Client("foxapi_async, linear progress", ours, linear=True),
    "ours-warm": Client("foxapi_async, warm", partial(ours, warm=True), rehearsal=BEFORE),
    "ours-warm-linear": Client(
        "foxapi_async, warm, linear progress", partial(ours, warm=True), linear=True, rehearsal=BEFORE
    ),
    "fal": Client("fal_client", fal),
    "replicate": Client("replicate, held POST", replicate),
    "replicate-polling": Client("replicate, polling", replicate_polling),
    "runway": Client("runwayml", runway),
    "openai": Client("openai videos, aiohttp", openai),
    "genai": Client("google-genai, loop of 10 s", genai),
    "bare": Client("bare aiohttp, every 3 s", bare),
}


class Outcomes:
    """When the await of each task returned, and why others failed."""

    def __init__(self) -> None:
        self.returned: dict[int, float] = {}
        self.failures: Counter[str] = Counter()

    async def note(self, generate: Generate, number: int) -> None:
        """Generate one task of the run."""
        try:
            await generate(f"task {number}")
        except Exception as error:  # the client's own, whatever it raises: a failed task is a figure here
            self.failures[type(error).__name__] += 1
        else:
            self.returned[number] = time.monotonic()


async def watch_stalls(late: list[float]) -> None:
    """Sleep briefly, again and again, and note how much later than asked for it ended."""
    while True:
        due = time.monotonic() + STALL_PROBE
        await asyncio.sleep(STALL_PROBE)
        late.append(time.monotonic() - due)


async def probe_alone() -> float:
    """The CPU seconds of one look, on a loop that does nothing else."""
    late: list[float] = []
    watch = asyncio.create_task(watch_stalls(late))
    began = time.process_time()
    await asyncio.sleep(200 * STALL_PROBE)
    cpu = time.process_time() - began
    watch.cancel()
    return cpu / len(late)


async def measure(client: Client, url: str, tasks: int) -> dict[str, Any]:
    """Run all tasks beside each other and say what it took."""
    # What is loaded and compiled at the first use is not the tasks' cost. The rehearsal has a client of its own: its
    # connections, and what it may have learned of such a short task, must not be there in the run.
    async with client.opening(url) as generate:
        await asyncio.gather(*(generate(f"rehearsal {seconds}") for seconds in client.rehearsal))
    look = await probe_alone()
    outcomes = Outcomes()
    late: list[float] = []
    async with client.opening(url) as generate:
        watch = asyncio.create_task(watch_stalls(late))
        began = time.process_time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                for number in range(tasks):
                    group.create_task(outcomes.note(generate, number))
                    # One submit in each turn of the loop. With all 500 in one turn, the pool of httpx is busy with
                    # its own queue for seconds, and the table would be about that moment alone.
                    await asyncio.sleep(0)
        cpu = time.process_time() - began
        watch.cancel()
    return {
        "returned": outcomes.returned,
        "failures": outcomes.failures,
        "cpu": cpu,
        "probe": look * len(late),
        "late": late,
    }


def main() -> None:
    name, url, tasks = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(CLIENTS[name], url, int(tasks)))))


if __name__ == "__main__":
    main()
