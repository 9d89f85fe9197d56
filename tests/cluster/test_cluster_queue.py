"""The queue of jobs opens and closes as a whole."""

from __future__ import annotations

import asyncio

import pytest
from cluster_parts import run
from helpers import fox_request

from foxapi_async.cluster import queue
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database


async def has_more_tasks():
    """Wait until another task has begun some of its own."""
    known = len(asyncio.all_tasks())
    while len(asyncio.all_tasks()) <= known:  # noqa: ASYNC110 - the tasks of the pool set no event
        await asyncio.sleep(0)


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 10, 30])
async def test_a_submit_that_is_cancelled_while_the_queue_opens_leaves_no_task(cluster_dsn, turns):
    """Such a task does not end at the end of the loop, so the program would not end."""
    submit = asyncio.create_task(Cluster(Database.at(cluster_dsn)).submit([]))
    await has_more_tasks()
    for _ in range(turns):
        await asyncio.sleep(0)
    submit.cancel()
    await asyncio.wait([submit])

    assert submit.cancelled()
    assert {asyncio.current_task()} == asyncio.all_tasks()


@pytest.mark.parametrize("turns", [0, 1, 5, 30])
async def test_a_worker_that_is_cancelled_leaves_no_task(cluster_dsn, turns):
    """It would use connections that are closed by then."""
    swept = asyncio.Event()

    async def sweep():
        swept.set()
        return []

    async def work(_):
        return True

    taking = asyncio.create_task(
        queue.take_jobs(Database.at(cluster_dsn), work, sweep, "worker", asyncio.Event())
    )
    await swept.wait()
    await has_more_tasks()
    for _ in range(turns):
        await asyncio.sleep(0)
    taking.cancel()
    await asyncio.wait([taking])

    assert taking.cancelled()
    assert {asyncio.current_task()} == asyncio.all_tasks()


async def test_a_job_of_a_killed_worker_is_removed(cluster_dsn, monkeypatch):
    """Else its lock would hold up all later jobs of its kind."""
    monkeypatch.setattr(queue, "_STALLED_SECONDS", 0)
    database = Database.at(cluster_dsn)
    await Cluster(database).submit([fox_request()], batch_id="b")
    await run(
        database,
        "WITH dead AS (INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 day') RETURNING id) "
        "UPDATE procrastinate_jobs SET status = 'doing', worker_id = dead.id FROM dead",
    )

    async def has_no_work():
        return []

    async with queue.opened(made := queue.make_queue(database, sweep=has_no_work)):
        await made.tasks["foxapi.sweep"](timestamp=0)

    assert [] == await run(database, "SELECT id FROM procrastinate_jobs")
