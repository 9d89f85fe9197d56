"""The queue of jobs. Each job says: "work on this batch". procrastinate distributes the jobs and runs the periodic sweep.

A job decides nothing: a worker that gets a job claims rows. So one job too many does no harm. If a job is lost, the
sweep finds the rows without a worker, and makes another job.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from foxapi_async._threads import to_its_end
from foxapi_async.cluster.database import Database

if TYPE_CHECKING:
    import procrastinate

QUEUE = "foxapi"
WORK = "foxapi.work"

SWEEP = "* * * * * */5"
"""When the sweep runs: every 5 seconds."""

_STALLED_SECONDS = 60

_ENDING_SECONDS = 5.0

# procrastinate logs each job and each heartbeat. They are not shown, unless the application sets up logging. This
# package logs what they mean.
logging.getLogger("procrastinate").addHandler(logging.NullHandler())


def make_queue(
    database: Database,
    work: Callable[[str], Awaitable[bool]] | None = None,
    sweep: Callable[[], Awaitable[Iterable[str]]] | None = None,
) -> procrastinate.App:
    """The queue, which must still be opened.

    Args:
        database: the database of the queue.
        work: begins to work on a batch. Returns whether there is also work for another worker: then one more job is
            made.
        sweep: returns the batches with items that have no worker.
    """
    import procrastinate  # noqa: PLC0415 - of an extra
    from procrastinate.jobs import Status  # noqa: PLC0415 - of an extra

    connector = procrastinate.PsycopgConnector(
        conninfo="", kwargs=database.settings(), min_size=1, max_size=4, timeout=30
    )
    queue = procrastinate.App(connector=connector)

    @queue.task(name=WORK, queue=QUEUE)
    async def begin(batch: str) -> None:
        if work is not None and await work(batch):
            await add_jobs(queue, [batch])

    if sweep is not None:
        run = sweep

        @queue.periodic(cron=SWEEP)
        @queue.task(name="foxapi.sweep", queue=QUEUE, queueing_lock="foxapi.sweep", priority=10)
        async def look(timestamp: int) -> None:  # noqa: ARG001 - the moment for which it was planned
            for job in await queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=_STALLED_SECONDS):
                await queue.job_manager.finish_job_by_id_async(
                    job_id=job.id or 0, status=Status.FAILED, delete_job=True
                )
            await add_jobs(queue, await run())

    return queue


@contextlib.asynccontextmanager
async def opened(queue: procrastinate.App) -> AsyncGenerator[None]:
    """The queue with its connections. They are closed at the end, even if opening the queue is cancelled. Otherwise the
    program would have to wait for the tasks of the pool before it can end.

    Raises:
        Exception: the database cannot be reached.
    """
    try:
        await queue.open_async()
        yield
    finally:
        await to_its_end(asyncio.create_task(queue.close_async()))


async def add_jobs(queue: procrastinate.App, batches: Iterable[str]) -> None:
    """Add a job for each of these batches, unless a job for it waits already."""
    from procrastinate.exceptions import AlreadyEnqueued  # noqa: PLC0415 - of an extra

    task: Any = queue.tasks[WORK]
    for batch in batches:
        with contextlib.suppress(AlreadyEnqueued):
            await task.configure(queueing_lock=f"foxapi:{batch}").defer_async(batch=batch)


async def take_jobs(
    database: Database,
    work: Callable[[str], Awaitable[bool]],
    sweep: Callable[[], Awaitable[Iterable[str]]],
    name: str,
    stopping: asyncio.Event,
) -> None:
    """Take jobs until `stopping` is set; see `make_queue`.

    Raises:
        Exception: the database cannot be reached.
    """
    queue = make_queue(database, work, sweep)
    async with opened(queue):
        await add_jobs(queue, await sweep())
        taking = asyncio.create_task(
            queue.run_worker_async(
                queues=[QUEUE],
                wait=True,
                install_signal_handlers=False,
                delete_jobs="always",
                fetch_job_polling_interval=2.0,
                shutdown_graceful_timeout=_ENDING_SECONDS,
                name=name,
            )
        )
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait([taking, stop], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            error = await to_its_end(asyncio.create_task(_end(taking)))
        if error is not None:
            raise error


async def _end(taking: asyncio.Task[None]) -> BaseException | None:
    """End the worker of the queue. Returns the error with which it has ended, if it has.

    After the first cancellation, the worker of the queue waits for the database, which may not answer. The second one
    ends it at once.
    """
    for _ in range(2):
        taking.cancel()
        if (await asyncio.wait([taking], timeout=_ENDING_SECONDS))[0]:
            break
    return taking.exception() if taking.done() and not taking.cancelled() else None
