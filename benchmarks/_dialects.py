"""A local service that speaks the dialects of FoxAPI and of its peers, in a process of its own.

Every dialect is a prefix of the address and a few functions that put the same task into other words. A prompt says
what to do:

- `task 17` is the task with number 17 of the run. How long it takes is drawn from the seed, so that every client
  waits for the same durations, and what is asked about it is counted.
- `rehearsal 0.1` takes 0.1 seconds and is not counted.
- `fault 503` is accepted, as far as anybody can tell, and answered with that: `reset` is a connection that is reset,
  `hang` is silence, a number is an HTTP status. How many submits came with it is counted.

The clock is `time.monotonic()`, which all processes of a machine share. The address is the first line on stdout.
When stdin is closed, a line of JSON follows: how many requests and connections the counted tasks took, when each
of them was complete, and how many submits each fault has struck.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

MEDIAN_SECONDS = 10.0
SIGMA = 0.4
SHORTEST, LONGEST = 5.0, 20.0

CREATED = 1_757_165_031
"""When every task was made, in Unix seconds: no client here reads it."""

HELD_AT_MOST = 60.0
"""Seconds for which replicate keeps the answer to a submit that asks for it."""

# Clients open hundreds of connections at once. What does not fit the queue is tried again by the kernel after a
# second, which would be counted as the client's lag.
BACKLOG = 2048


def draw_durations(seed: int, count: int) -> list[float]:
    """How long each of the first tasks takes, in seconds; more of them begin with the same ones."""
    source = random.Random(seed)
    drawn = (source.lognormvariate(math.log(MEDIAN_SECONDS), SIGMA) for _ in range(count))
    return [min(max(seconds, SHORTEST), LONGEST) for seconds in drawn]


@dataclass(frozen=True)
class Job:
    """A task under way.

    Attributes:
        id: its id, in every dialect.
        number: which of the run's tasks it is; None for a rehearsal.
        origin: where the service is reached, for dialects with absolute addresses in their replies.
        began: when it was submitted.
        seconds: how long it takes.
        linear: whether its progress is told, or 0 until it is done.
    """

    id: str
    number: int | None
    origin: str
    began: float
    seconds: float
    linear: bool

    @property
    def finishes(self) -> float:
        """The moment from which on it is complete."""
        return self.began + self.seconds

    @property
    def done(self) -> bool:
        """Whether it is complete by now."""
        return time.monotonic() >= self.finishes

    @property
    def percent(self) -> int:
        """Its progress as a whole number, 100 only when it is complete."""
        if self.done:
            return 100
        return min(99, int(100 * (time.monotonic() - self.began) / self.seconds)) if self.linear else 0

    @property
    def image(self) -> str:
        """The address of its result, which nobody downloads."""
        return f"{self.origin}/images/{self.id}.png"


@dataclass(frozen=True)
class Dialect:
    """How one service words a task.

    Attributes:
        submit: the path to POST to.
        prompt: finds the prompt in the body of a submit.
        accepted: the reply to it.
        reads: the replies to everything else, by method and path; `{id}` stands for the task's id.
    """

    submit: str
    prompt: Callable[[Any], str]
    accepted: Callable[[Job], dict[str, Any]]
    reads: dict[str, Callable[[Job], dict[str, Any]]]


def fox_accepted(job: Job) -> dict[str, Any]:
    """FoxAPI's reply to a submit: the only one with an estimate."""
    task_info = {"can_cancel": True, "estimated_time": round(MEDIAN_SECONDS)}
    return {**fox_task(job), "status": "pending", "task_info": task_info}


def fox_task(job: Job) -> dict[str, Any]:
    """FoxAPI's task as it stands."""
    return {
        "id": job.id,
        "object": "image.generation.task",
        "type": "image",
        "model": "grok-imagine-image",
        "status": "completed" if job.done else "processing",
        "progress": job.percent,
        "created": CREATED,
        "results": [{"url": job.image}] if job.done else None,
        "error": None,
        "usage": {"credits_reserved": 5, "user_group": "default"},
    }


def fal_accepted(job: Job) -> dict[str, Any]:
    """fal's reply to a submit: the client reads what it is pointed to."""
    address = f"{job.origin}/fal/requests/{job.id}"
    return {
        "request_id": job.id,
        "response_url": address,
        "status_url": f"{address}/status",
        "cancel_url": f"{address}/cancel",
    }


def fal_status(job: Job) -> dict[str, Any]:
    """fal's status, which is without the result."""
    if job.done:
        return {"status": "COMPLETED", "logs": None, "metrics": {}}
    return {"status": "IN_PROGRESS", "logs": None}


def fal_result(job: Job) -> dict[str, Any]:
    """fal's result, which is without the status."""
    return {"images": [{"url": job.image}]}


def replicate_prediction(job: Job) -> dict[str, Any]:
    """Replicate's prediction as it stands."""
    return {
        "id": job.id,
        "model": "bench/image",
        "version": "1",
        "status": "succeeded" if job.done else "processing",
        "input": {},
        "output": job.image if job.done else None,
        "logs": "",
        "error": None,
        "metrics": {},
        "created_at": "2025-09-06T13:23:51Z",
        "urls": {"get": f"{job.origin}/replicate/v1/predictions/{job.id}"},
    }


def replicate_accepted(job: Job) -> dict[str, Any]:
    """Replicate's reply to a submit: `starting`, which makes the client poll, unless it was held until the end."""
    return {**replicate_prediction(job), **({} if job.done else {"status": "starting"})}


def runway_accepted(job: Job) -> dict[str, Any]:
    """Runway's reply to a submit."""
    return {"id": job.id, "estimatedCost": {"credits": 5}}


def runway_task(job: Job) -> dict[str, Any]:
    """Runway's task as it stands."""
    common = {"id": job.id, "createdAt": "2025-09-06T13:23:51Z"}
    if job.done:
        return {**common, "status": "SUCCEEDED", "output": [job.image], "cost": {"credits": 5}}
    return {
        **common,
        "status": "RUNNING",
        "progress": job.percent / 100,
        "estimatedCost": {"credits": 5},
    }


def openai_video(job: Job) -> dict[str, Any]:
    """OpenAI's video as it stands."""
    return {
        "id": job.id,
        "object": "video",
        "created_at": CREATED,
        "model": "sora-2",
        "seconds": "4",
        "size": "720x1280",
        "progress": job.percent,
        "status": "completed" if job.done else "in_progress",
    }


def genai_operation(job: Job) -> dict[str, Any]:
    """Google's operation as it stands."""
    # The first part of the name is the service's to choose, and becomes the path of a read: with the id in it, this
    # dialect is read like the others.
    name = f"jobs/{job.id}/operations/{job.id}"
    if job.done:
        video = {"gcsUri": job.image, "mimeType": "video/mp4"}
        return {"name": name, "done": True, "response": {"videos": [video]}}
    return {"name": name}


DIALECTS = (
    Dialect(
        submit="/fox/v1/images/generations",
        prompt=lambda body: body["prompt"],
        accepted=fox_accepted,
        reads={"GET /fox/v1/tasks/{id}": fox_task},
    ),
    Dialect(
        submit="/fal/bench/image",
        prompt=lambda body: body["prompt"],
        accepted=fal_accepted,
        reads={"GET /fal/requests/{id}/status": fal_status, "GET /fal/requests/{id}": fal_result},
    ),
    Dialect(
        submit="/replicate/v1/models/bench/image/predictions",
        prompt=lambda body: body["input"]["prompt"],
        accepted=replicate_accepted,
        reads={"GET /replicate/v1/predictions/{id}": replicate_prediction},
    ),
    Dialect(
        submit="/runway/v1/text_to_image",
        prompt=lambda body: body["promptText"],
        accepted=runway_accepted,
        reads={"GET /runway/v1/tasks/{id}": runway_task},
    ),
    Dialect(
        submit="/openai/v1/videos",
        prompt=lambda body: body["prompt"],
        accepted=openai_video,
        reads={"GET /openai/v1/videos/{id}": openai_video},
    ),
    Dialect(
        submit="/genai/v1beta1/publishers/google/models/{model}:predictLongRunning",
        prompt=lambda body: body["instances"][0]["prompt"],
        accepted=genai_operation,
        reads={"POST /genai/v1beta1/jobs/{id}:fetchPredictOperation": genai_operation},
    ),
)


class Service:
    """The tasks of one run, and what was asked about them."""

    def __init__(self, durations: list[float], *, linear: bool) -> None:
        self._durations = durations
        self._linear = linear
        self._jobs: dict[str, Job] = {}
        self._finishes: dict[int, float] = {}
        self._requests = 0
        self.struck: Counter[str] = Counter()
        # The transports themselves: as long as they are kept, no two of them can be taken for one.
        self._connections: set[asyncio.Transport | None] = set()

    def start(self, prompt: str, origin: str) -> Job:
        """Begin what a prompt asks for."""
        kind, argument = prompt.split()
        number = int(argument) if kind == "task" else None
        seconds = float(argument) if number is None else self._durations[number]
        job_id = f"task-bench-{len(self._jobs):08d}"
        job = Job(job_id, number, origin, time.monotonic(), seconds, self._linear)
        self._jobs[job.id] = job
        if number is not None:
            self._finishes[number] = job.finishes
        return job

    def find(self, job_id: str) -> Job:
        """The task with an id."""
        return self._jobs[job_id]

    def count(self, job: Job, request: web.Request) -> None:
        """Count a request that was about a task of the run."""
        if job.number is not None:
            self._requests += 1
            self._connections.add(request.transport)

    def report(self) -> dict[str, Any]:
        """What was counted."""
        return {
            "requests": self._requests,
            "connections": len(self._connections),
            "finishes": self._finishes,
            "struck": self.struck,
        }


Handler = Callable[[web.Request], Awaitable[web.Response]]


def submitting(service: Service, dialect: Dialect) -> Handler:
    """What answers the submits of a dialect."""

    async def answer(request: web.Request) -> web.Response:
        multipart = request.content_type == "multipart/form-data"
        body = await (request.post() if multipart else request.json())
        prompt = dialect.prompt(body)
        if prompt.startswith("fault "):
            fault = prompt.removeprefix("fault ")
            service.struck[fault] += 1
            return await strike(fault, request)
        job = service.start(prompt, str(request.url.origin()))
        service.count(job, request)
        # RFC 7240, section 4.3. Of these clients, replicate alone asks for it.
        if request.headers.get("Prefer") == "wait":
            await asyncio.sleep(min(HELD_AT_MOST, job.seconds))
        return web.json_response(dialect.accepted(job))

    return answer


# What stands between a client and a service says so in words of its own.
PROXY_PAGE = (
    "<html><head><title>{0}</title></head><body><center>{0}</center><hr><center>nginx</center></body></html>"
)
PROXY_STATUSES = {"502": "502 Bad Gateway", "503": "503 Service Unavailable", "504": "504 Gateway Time-out"}


async def strike(fault: str, request: web.Request) -> web.Response:
    """The answer to a submit that was read, and is to fail."""
    if fault in PROXY_STATUSES:
        page = PROXY_PAGE.format(PROXY_STATUSES[fault])
        return web.Response(status=int(fault), text=page, content_type="text/html")
    if fault.isdecimal():
        error = {"message": "scripted", "type": "scripted", "code": "scripted"}
        return web.json_response({"error": error, "detail": "scripted"}, status=int(fault))
    if fault == "reset" and request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    await asyncio.Event().wait()  # until the connection is lost
    raise AssertionError("unreachable")


def reading(service: Service, describe: Callable[[Job], dict[str, Any]]) -> Handler:
    """What answers one kind of reads of a dialect."""

    async def answer(request: web.Request) -> web.Response:
        job = service.find(request.match_info["id"])
        service.count(job, request)
        return web.json_response(describe(job))

    return answer


def build_app(service: Service) -> web.Application:
    """All dialects beside each other."""
    app = web.Application()
    for dialect in DIALECTS:
        app.router.add_post(dialect.submit, submitting(service, dialect))
        for place, describe in dialect.reads.items():
            method, path = place.split()
            app.router.add_route(method, path, reading(service, describe))
    return app


async def serve(service: Service) -> None:
    """Answer on a port of its own until stdin is closed, then report."""
    runner = web.AppRunner(build_app(service), access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(service.report()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the tasks of one run in all dialects.")
    parser.add_argument("--seed", type=int, required=True, help="what the durations are drawn from")
    parser.add_argument("--tasks", type=int, required=True, help="how many tasks have a number")
    parser.add_argument("--linear", action="store_true", help="tell the progress, as linear")
    given = parser.parse_args()
    asyncio.run(serve(Service(draw_durations(given.seed, given.tasks), linear=given.linear)))


if __name__ == "__main__":
    main()
