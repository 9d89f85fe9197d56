"""Workers of one account hold their submits back together."""

from __future__ import annotations

import contextlib

import pytest
from cluster_parts import run
from helpers import now, posts
from worker_parts import foxes, working
from workers import until

from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.emulator import Emulator, Fault

LEASE = 1.0


@pytest.fixture
def database(cluster_dsn):
    """A database with the tables."""
    return Database.at(cluster_dsn)


@pytest.fixture
def cluster(database):
    """The same, for a user."""
    return Cluster(database)


def held(worker):
    """For how many seconds a worker holds its submits back."""
    return worker._engine.api.submits.next_allowed(now()) - now()


@contextlib.asynccontextmanager
async def both_held(cluster, database, folder):
    """A service and two workers that are held back for ten minutes, because the service refused a submit of the first."""
    async with (
        Emulator(faults=[Fault.status("submit", 429, retry_after=600)]) as service,
        working(database, service, folder / "1", lease=LEASE) as first,
    ):
        await cluster.submit(foxes(1), batch_id="b")
        await until(lambda: held(first) > 100)
        async with working(database, service, folder / "2", lease=LEASE) as second:
            await until(lambda: held(second) > 100)
            yield service, first, second


async def beats(worker, count):
    """Wait for so many whole heartbeats."""
    beat = worker._known.beat
    await until(lambda: worker._known.beat > beat + count)


async def test_a_refusal_holds_all_workers_back(cluster, database, tmp_path):
    """The second one sends nothing."""
    async with both_held(cluster, database, tmp_path) as (service, _, second):
        await cluster.submit(foxes(3), batch_id="c")
        await beats(second, 2)

        assert 1 == len(posts(service))


async def test_a_shared_hold_comes_back_from_no_worker(cluster, database, tmp_path):
    """Else two workers would make it longer for ever, each a little, and count it as one more refusal each time."""
    noted = "SELECT held_by, held_until, problem FROM account"
    async with both_held(cluster, database, tmp_path) as (_, first, second):
        limiters = [worker._engine.api.submits for worker in (first, second)]
        moments = [limiter.next_allowed(0) for limiter in limiters]
        before = await run(database, noted)
        await beats(second, 2)
        await beats(first, 2)

        assert [first.number] == [worker for worker, *_ in before]
        assert before == await run(database, noted)
        assert moments == [limiter.next_allowed(0) for limiter in limiters]


async def test_an_outage_of_the_service_is_shared(cluster, database, tmp_path):
    """The others need not find it out by submits of their own."""

    async def is_noted():
        return await run(database, "SELECT problem FROM account WHERE held_until > now()")

    async with (
        Emulator(faults=[Fault.edge("submit", times=None)]) as service,
        working(database, service, tmp_path, lease=LEASE),
    ):
        await cluster.submit(foxes(3), batch_id="b")
        ((problem,),) = await until(is_noted)

    assert "503" in problem
