"""The queue of summonses opens and closes as a whole."""

from __future__ import annotations

import asyncio

import pytest

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
