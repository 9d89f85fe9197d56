"""Workers of one account share the rate of their submits."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest
from helpers import now

from foxapi_async._policy.rate import AdaptiveRate
from foxapi_async._retry.rate_limiter import PacedLimiter
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.shared_rate import LeasedRate

LIMIT = 40.0


@pytest.fixture
def database(cluster_dsn):
    """A database with the tables."""
    return Database.at(cluster_dsn)


@contextlib.asynccontextmanager
async def sharing(database, workers, seconds=60.0):
    """So many workers, each with a connection and a part of the rate; and a way to renew the lease of one."""
    async with contextlib.AsyncExitStack() as stack:
        rates = []
        for number in range(1, workers + 1):
            connection = await database.connect(worker=number)
            stack.push_async_callback(connection.close)
            rates.append((LeasedRate(AdaptiveRate(), LIMIT), connection, number))

        async def renew(index, *, wanted=True):
            rate, connection, number = rates[index]
            await rate.renew(connection, "account", number, seconds, wanted=wanted)

        yield [rate for rate, *_ in rates], renew


def parts(rates):
    return [rate.rate(now()) for rate in rates]


async def test_the_parts_of_all_workers_are_the_limit(database):
    """After two heartbeats of each, every worker has its part."""
    async with sharing(database, 4) as (rates, renew):
        for index in (*range(4), *range(4)):
            await renew(index)

        assert parts(rates) == pytest.approx([LIMIT / 4] * 4)


async def test_the_parts_never_exceed_the_limit(database):
    """In whatever order heartbeats come, and at the same time too."""
    async with sharing(database, 4) as (rates, renew):
        for _ in range(30):
            some = random.sample(range(4), random.randint(1, 4))
            await asyncio.gather(*(renew(index, wanted=random.random() < 0.7) for index in some))

            assert sum(parts(rates)) <= LIMIT * (1 + 1e-9)


async def test_an_idle_worker_leaves_its_part_to_the_others(database):
    """It has nothing to send."""
    async with sharing(database, 2) as (rates, renew):
        await renew(0)
        await renew(1)
        await renew(0, wanted=False)
        await renew(1)

        assert parts(rates) == pytest.approx([0.0, LIMIT])


async def test_the_part_of_a_dead_worker_is_free_after_its_lease(database):
    """Its own rate is 0 then, too."""
    async with sharing(database, 2, seconds=0.3) as (rates, renew):
        await renew(0)
        await asyncio.sleep(0.35)
        await renew(1)

        assert parts(rates) == pytest.approx([0.0, LIMIT])


async def test_a_limit_that_the_session_found_counts_too(database):
    """The service has refused faster submits of this worker."""
    async with sharing(database, 1) as (rates, renew):
        rates[0]._own = AdaptiveRate(3.0)
        await renew(0)

        assert parts(rates) == [3.0]


async def test_refusals_are_counted_by_the_sessions_own_rate(database):
    """A share of refusals cuts it."""
    async with sharing(database, 1) as (rates, renew):
        await renew(0)
        limiter = PacedLimiter(rates[0])
        for _ in range(100):
            limiter.take(now())
            rates[0].count_refusal(now(), now() + 1)

        assert rates[0].rate(now()) < LIMIT


@pytest.mark.thorough
async def test_four_workers_keep_the_rate_for_a_while(database):
    """Their submits together are within 5 % of the limit. Ten seconds stand for a minute."""
    sent = []

    async def work(index, rate, renew):
        limiter, began = PacedLimiter(rate), now()
        next_beat = began
        while now() - began < 10:
            if now() >= next_beat:
                await renew(index)
                next_beat += 0.5
            await limiter.acquire()
            sent.append(now() - began)

    async with sharing(database, 4, seconds=1.0) as (rates, renew):
        await asyncio.gather(*(work(index, rate, renew) for index, rate in enumerate(rates)))
    steady = [moment for moment in sent if 2 <= moment < 10]

    assert len(steady) == pytest.approx(LIMIT * 8, rel=0.05)
