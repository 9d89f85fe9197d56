"""A worker in the process of the test, the items that it gets, and how they ended."""

from __future__ import annotations

import asyncio
import contextlib

from helpers import fox_request, session_at
from workers import until

from foxapi_async.cluster.worker import Worker, WorkerOptions


@contextlib.asynccontextmanager
async def working(database, emulator, folder, **options):
    """A worker that runs meanwhile, and then leaves. It hears of the notices of its session."""
    hooks = [lambda event: worker.take(event)]  # noqa: PLW0108 - the worker is made later
    async with session_at(emulator, hooks=hooks) as fox:
        worker = Worker(database, fox, WorkerOptions(out=folder, **options))
        running = asyncio.create_task(worker.run())
        try:
            await until(lambda: worker._lease.is_valid() or running.done())
            yield worker
        finally:
            worker.stop()
            await running


def foxes(count):
    """Different requests."""
    return [fox_request(f"fox {n}") for n in range(count)]


async def counts(cluster, batch="b"):
    """The states of the batch that are not empty."""
    return {state: count for state, count in (await cluster.status(batch)).counts.items() if count}


async def ended(cluster, batch="b"):
    """Wait for all ends of the batch."""
    async with asyncio.timeout(60):
        return [end.state async for end in cluster.results(batch)]
