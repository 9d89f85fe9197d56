"""Helpers for several test files: a session at an emulator, and a few functions for time."""

import asyncio
import os

from foxapi_async import Batch, Cadence, FoxSession, GrokImagineImage

WHOLE = os.environ.get("FOXAPI_TEST_WHOLE") == "1"
"""Whether a run uses every moment, task and example. The quick suite uses a part of them."""


def session_at(emulator, **options):
    """A session at `emulator`."""
    return FoxSession(emulator.key, base_url=emulator.url, **options)


def fox_request(text="a red fox", **fields):
    """A valid request."""
    return GrokImagineImage(text, **fields)


def now():
    """The loop's time in seconds."""
    return asyncio.get_running_loop().time()


async def settle(rounds=20):
    """Run everything that is ready, without letting time pass."""
    for _ in range(rounds):
        await asyncio.sleep(0)


def outcomes_of(way, fox, requests, folder):
    """The outcomes of `as_completed` or of a batch."""
    return fox.as_completed(requests) if way == "series" else Batch(requests, folder).run(fox)


def let_end(service):
    """Let endless tasks end, as if they had just been accepted."""
    for task in service._service.tasks.values():
        if task.fault is not None and task.fault.kind == "never":
            task.accepted, task.fault = service._service.clock.now(), None


def posts(emulator):
    """The submits that the service got."""
    return [
        record
        for record in emulator.requests
        if record.method == "POST" and record.path.endswith("/generations")
    ]


def polls(emulator):
    """The status reads that the service got."""
    return [record for record in emulator.requests if record.path.startswith("/v1/tasks/")]


class Broken(Cadence):
    """A cadence with a bug."""

    def _next_poll(self, age, forecast, *, step=1.0, scarcity=1.0):
        raise ZeroDivisionError("a fault of ours")
