"""Workers in processes of their own, which are killed, frozen and stopped. The bill of the service counts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from cluster_parts import run
from helpers import fox_request
from workers import until

from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.emulator import Fault
from foxapi_async.emulator._tasks import CREDITS_PER_OUTPUT

PROGRAM = Path(__file__).parent / "worker_process.py"
ITEMS = 300
LEASE = 3.0
PATIENT = 30.0
"""The lease where no worker must be replaced, however slow the machine is."""
ENDS = 120.0
"""Seconds for a batch."""

KILLS = range(20) if os.environ.get("FOXAPI_TEST_WHOLE") == "1" else range(2)


@pytest.fixture
def database(cluster_dsn):
    """A database with the tables."""
    return Database.at(cluster_dsn)


@pytest.fixture
def cluster(database):
    """The same, for a user."""
    return Cluster(database)


@pytest.fixture
def start(workers, cluster_dsn, tmp_path):
    """Starts a worker at a service."""

    def start(service, *, lease=LEASE, concurrency=50, rate=0):
        words = [PROGRAM, cluster_dsn, tmp_path / "out", lease, concurrency, rate]
        return workers.run([sys.executable, *map(str, words)], env=service.environment)

    return start


def foxes(count, word="fox"):
    """Different requests."""
    return [fox_request(f"{word} {n}") for n in range(count)]


async def ends_of(cluster, batch="b"):
    """The last end of each item of the batch, when all have ended."""
    async with asyncio.timeout(ENDS):
        return {end.key: end async for end in cluster.results(batch)}


async def entries(database, batch="b"):
    """The prompt, the state and the task of each item."""
    return await run(
        database,
        "SELECT opening::json->'request'->>'prompt', state, task_id, idempotency_key FROM item "
        "JOIN request USING (batch_id, key) WHERE batch_id = %s",
        batch,
    )


async def check_bill(database, service, batch="b"):
    """Every item is accounted for: none was billed twice, and each bill is of an item with its task or an uncertain one."""
    bills = service.bills
    assert {1} >= set(Counter(bill.prompt for bill in bills).values())
    known = {prompt: (state, task_id, key) for prompt, state, task_id, key in await entries(database, batch)}
    states = Counter(state for state, _, _ in known.values())
    assert set(states) <= {"done", "uncertain"}, states
    for bill in bills:
        state, task_id, key = known[bill.prompt]
        assert bill.key == key
        assert state == "uncertain" or task_id == bill.task_id
    billed = {bill.prompt for bill in bills}
    assert {prompt for prompt, (state, _, _) in known.items() if state == "done"} <= billed
    assert [] == await run(database, "SELECT key FROM item WHERE owner IS NOT NULL")
    return states


# Kills.


@pytest.mark.kill
@pytest.mark.parametrize("seed", KILLS)
async def test_a_worker_is_killed(cluster, database, make_service, start, seed):
    """Of two workers one is killed at a random moment: the other one ends the batch, and none is billed twice."""
    chance = random.Random(seed)
    service = make_service(seconds=0.3)
    await cluster.submit(foxes(ITEMS), batch_id="b")
    first, second = start(service), start(service)
    moment = chance.randrange(ITEMS)
    await until(lambda: service.billed >= moment, first, second)
    await asyncio.sleep(chance.random() * 0.05)
    first.kill()
    ends = await ends_of(cluster)
    states = await check_bill(database, service)

    assert ITEMS == len(ends) == states.total()
    assert states["uncertain"] == sum(end.state == "uncertain" for end in ends.values())
    assert second.running


@pytest.mark.thorough
@pytest.mark.kill
@pytest.mark.parametrize("seed", KILLS)
async def test_all_workers_are_killed(cluster, database, make_service, start, seed):
    """New ones end the batch."""
    chance = random.Random(seed)
    service = make_service(seconds=0.3)
    await cluster.submit(foxes(ITEMS), batch_id="b")
    killed = [start(service), start(service)]
    await until(lambda: service.billed >= chance.randrange(1, ITEMS), *killed)
    for worker in killed:
        worker.kill()
    start(service)
    start(service)
    ends = await ends_of(cluster)
    states = await check_bill(database, service)

    assert ITEMS == len(ends) == states.total()


@pytest.mark.thorough
async def test_uncertain_items_of_a_killed_worker_are_sent_again_on_request(
    cluster, database, make_service, start
):
    """After `forget`, with the idempotency key of the first submit."""
    service = make_service(seconds=0.2, faults=[Fault.hang("submit", times=3)])
    await cluster.submit(foxes(3), batch_id="b")
    first = start(service)
    await until(lambda: service.billed == 3, first)
    first.kill()
    start(service)
    ends = await ends_of(cluster)
    before = Counter(end.state for end in ends.values())
    (number,) = (await run(database, "SELECT id FROM worker WHERE state = 'lost'"))[0]
    await cluster.forget(number)
    await cluster.submit([], batch_id="b", resubmit_uncertain=True)
    ends = await ends_of(cluster)

    assert {"uncertain": 3} == before
    assert {"done"} == {end.state for end in ends.values()}
    assert {2} == set(service.keys.values())


# Freezes.


async def test_a_frozen_worker_sends_nothing_when_it_wakes(cluster, database, make_service, start):
    """It stood still beyond its lease in the middle of its submits, and was replaced."""
    service = make_service(seconds=0.3)
    await cluster.submit(foxes(ITEMS), batch_id="b")
    first = start(service, concurrency=100)
    await until(lambda: service.billed >= 20, first)
    first.freeze()
    await asyncio.sleep(0.2)  # what it had handed over arrives
    before = service.requests["POST /v1/images/generations"]

    async def is_replaced():
        return await run(database, "SELECT id FROM worker WHERE state = 'lost'")

    start_of_second = start(service)
    await until(is_replaced, start_of_second)
    start_of_second.signal(signal.SIGTERM)
    await start_of_second.end()
    between = service.requests["POST /v1/images/generations"]
    first.thaw()
    code = await first.end()
    after = service.requests["POST /v1/images/generations"]

    assert before <= between
    assert between == after
    assert (1, True) == (code, "was replaced" in first.err)


@pytest.mark.thorough
@pytest.mark.kill
@pytest.mark.parametrize("seed", KILLS)
async def test_a_frozen_worker_is_billed_for_nothing_twice(cluster, database, make_service, start, seed):
    """It is frozen at a random moment, replaced, and woken while the other one works."""
    chance = random.Random(seed)
    service = make_service(seconds=0.3)
    await cluster.submit(foxes(ITEMS), batch_id="b")
    first, second = start(service), start(service, concurrency=20)
    moment = chance.randrange(1, ITEMS // 2)
    await until(lambda: service.billed >= moment, first, second)
    first.freeze()
    await asyncio.sleep(chance.uniform(0.5, 3.5) * LEASE)
    first.thaw()
    ends = await ends_of(cluster)
    states = await check_bill(database, service)

    assert ITEMS == len(ends) == states.total()


# Stops.


async def test_a_stopped_worker_hands_its_items_back(cluster, database, make_service, start):
    """On SIGTERM: the other one ends the batch, and nothing is uncertain."""
    service = make_service(seconds=1)
    await cluster.submit(foxes(ITEMS), batch_id="b")
    first, second = start(service, lease=PATIENT), start(service, lease=PATIENT)
    await until(lambda: service.billed >= 60, first, second)
    first.signal(signal.SIGTERM)
    code = await first.end()
    ends = await ends_of(cluster)

    assert 0 == code
    assert {"done": ITEMS} == await check_bill(database, service)
    assert ITEMS == len(ends)


# Two workers.


async def test_a_cancel_with_submits_in_flight(cluster, database, make_service, start):
    """What was claimed before is billed and delivered. The rest is never sent."""
    service = make_service(seconds=0.3)
    await cluster.submit(foxes(ITEMS), batch_id="b")
    first, second = (
        start(service, lease=PATIENT, concurrency=20),
        start(service, lease=PATIENT, concurrency=20),
    )
    await until(lambda: service.billed >= 40, first, second)
    left = await cluster.cancel("b")
    ends = await ends_of(cluster)
    known = Counter(state for _, state, _, _ in await entries(database))

    assert {"done": ITEMS - left, "new": left} == known
    assert (ITEMS - left, {1}) == (service.billed, set(service.prompts.values()))
    assert ITEMS - left == len(ends)


@pytest.mark.thorough
async def test_two_batches_of_one_account(cluster, database, make_service, start):
    """Both workers work on both, and both end."""
    service = make_service(seconds=0.3)
    for name in ("b", "c"):
        await cluster.submit(foxes(60, name), batch_id=name)
    start(service, lease=PATIENT)
    start(service, lease=PATIENT)
    both = await asyncio.gather(ends_of(cluster, "b"), ends_of(cluster, "c"))

    assert [60, 60] == [len(ends) for ends in both]
    assert (120, {1}) == (service.billed, set(service.prompts.values()))


async def test_two_workers_never_exceed_a_budget(cluster, database, make_service, start):
    """The batch pauses when no other item fits into it."""
    service = make_service(seconds=0.2)
    await cluster.submit(foxes(ITEMS), batch_id="b", budget=33.5 * CREDITS_PER_OUTPUT)
    start(service, lease=PATIENT)
    start(service, lease=PATIENT)
    await ends_of(cluster)
    status = await cluster.status("b")

    assert ("paused", "budget", 33 * CREDITS_PER_OUTPUT) == (status.state, status.reason, status.spent)
    assert 33 == service.billed


@pytest.mark.thorough
async def test_at_an_unknown_price_one_item_is_sent_alone(cluster, database, make_service, start):
    """The service answers after two seconds: meanwhile no worker sends another one."""
    service = make_service(seconds=0.2, faults=[Fault.slow("submit", seconds=2)])
    await cluster.submit(foxes(20), batch_id="b", budget=1000)
    first, second = start(service, lease=PATIENT), start(service, lease=PATIENT)
    await until(lambda: service.billed == 1, first, second)
    await asyncio.sleep(1)
    alone = service.billed
    ends = await ends_of(cluster)

    assert (1, 20) == (alone, len(ends))


@pytest.mark.thorough
async def test_a_shared_rate_is_held(cluster, database, make_service, start):
    """Two workers together send no more than the limit allows."""
    rate, count = 20, 120
    service = make_service(seconds=0.2)
    await cluster.submit(foxes(count), batch_id="b")
    loop = asyncio.get_running_loop()
    start(service, lease=PATIENT, rate=rate)
    start(service, lease=PATIENT, rate=rate)
    await until(lambda: service.billed)
    began = loop.time()
    await until(lambda: service.billed == count, seconds=ENDS)
    seconds = loop.time() - began

    assert count / seconds < rate * 1.1


@pytest.mark.thorough
async def test_workers_outlive_a_restart_of_the_database(
    own_postgres, cluster, database, make_service, start
):
    """Nothing is billed twice, and both go on."""
    service = make_service(seconds=0.5)
    await cluster.submit(foxes(ITEMS), batch_id="b")
    both = start(service, lease=PATIENT), start(service, lease=PATIENT)
    await until(lambda: service.billed >= 50, *both)
    await asyncio.to_thread(own_postgres.restart, immediate=True)
    ends = await ends_of(cluster)
    states = await check_bill(database, service)

    assert ITEMS == len(ends) == states.total()
    assert [True, True] == [worker.running for worker in both]


@pytest.mark.thorough
async def test_results_come_while_workers_are_killed(cluster, database, make_service, start):
    """Two readers see every end, the second one from the middle on."""
    service = make_service(seconds=0.3)
    await cluster.submit(foxes(ITEMS), batch_id="b")
    first = start(service, concurrency=30)
    start(service, concurrency=30)
    seen = []
    async with asyncio.timeout(ENDS), contextlib.aclosing(cluster.results("b")) as results:
        async for end in results:
            seen.append(end)
            if len(seen) == ITEMS // 2:
                break
    first.kill()
    rest = [end async for end in cluster.results("b", after=seen[-1].cursor)]

    assert ITEMS == len({end.key for end in seen} | {end.key for end in rest})
    assert ITEMS <= len(seen) + len(rest)
