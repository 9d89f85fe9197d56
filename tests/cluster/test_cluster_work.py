"""A worker's work on one batch: what it claims, leaves out and gives up."""

from __future__ import annotations

import pytest
from cluster_parts import run
from helpers import fox_request
from worker_parts import counts, ended, foxes, working
from workers import until

from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.emulator import Emulator, Fault

OWNED = "SELECT count(*) FROM item WHERE owner IS NOT NULL"


@pytest.fixture
def database(cluster_dsn):
    """A database with the tables."""
    return Database.at(cluster_dsn)


@pytest.fixture
def cluster(database):
    """The same, for a user."""
    return Cluster(database)


async def test_a_used_budget_pauses_the_batch(cluster, database, tmp_path):
    """The rest is new, and the credits that the rest needs at least are noted."""
    await cluster.submit(foxes(5), batch_id="b", budget=12, price=5)
    async with Emulator(seconds=0.05) as service, working(database, service, tmp_path):

        async def is_paused():
            return "paused" == (await cluster.status("b")).state

        await until(is_paused)

    assert {"done": 2, "new": 3} == await counts(cluster)
    assert "budget" == (await cluster.status("b")).reason
    ((least,),) = await run(database, "SELECT value FROM batch_meta WHERE name = 'least_budget'")
    assert 15.0 == float(least)


async def test_an_item_without_its_input_file_is_left_out(cluster, database, tmp_path, caplog):
    """The log names it. The others are done."""
    picture = tmp_path / "fox.jpg"
    picture.write_bytes(b"\xff\xd8\xff a fox")
    faulty = ("faulty", fox_request(image_urls=[picture]))
    await cluster.submit([faulty, ("good", fox_request())], batch_id="b")
    await run(database, "DELETE FROM input_file")
    async with Emulator(seconds=0.05) as service, working(database, service, tmp_path / "out"):
        assert ["done"] == await ended(cluster)

    assert "item faulty is left out: the content of" in caplog.text
    assert [("new", False, None)] == await run(
        database, "SELECT state, ready, owner FROM item WHERE key = 'faulty'"
    )


async def test_what_was_claimed_at_a_lower_price_is_claimed_again(cluster, database, tmp_path):
    """The third one costs more than the second claim has reserved for each, so the next claim reserves more."""
    await cluster.submit([(str(n), fox) for n, fox in enumerate(foxes(4))], batch_id="b", budget=100, price=5)
    faults = [
        Fault.never_finishes(prompt="fox 1"),
        Fault.altered("submit", prompt="fox 2", put={"usage": {"credits_reserved": 10}}),
    ]
    async with (
        Emulator(seconds=0.05, faults=faults) as service,
        working(database, service, tmp_path, concurrency=2),
    ):

        async def are_done():
            return {"done": 3, "submitted": 1} == await counts(cluster)

        await until(are_done)

    assert 4 == len(service.tasks)
    epochs = dict(await run(database, "SELECT key, epoch FROM item"))
    assert epochs["2"] < epochs["3"]


async def test_a_pause_frees_what_is_not_sent(cluster, database, tmp_path):
    """A worker hears of it with its next heartbeat. It keeps its running tasks."""

    async def are_owned(count):
        return [(count,)] == await run(database, OWNED)

    await cluster.submit(foxes(4), batch_id="b")
    faults = [Fault.never_finishes(prompt=f"fox {n}") for n in (1, 2)]
    async with (
        Emulator(seconds=0.05, faults=faults) as service,
        working(database, service, tmp_path, concurrency=2, lease=0.6),
    ):
        await until(lambda: 3 == len(service.tasks))
        await until(lambda: are_owned(3))
        await cluster.pause("b")
        await until(lambda: are_owned(2))

    assert 3 == len(service.tasks)
