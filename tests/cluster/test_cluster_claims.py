"""Which items a worker gets, what the budget of all workers allows, and that no worker waits for a frozen one."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from cluster_parts import LateStep, claimed, made_batch, opened_ledger, run
from helpers import fox_request

from foxapi_async import InvalidRequestError, LedgerError
from foxapi_async._batch.budget import kind_of
from foxapi_async._ledger.entry import ItemState
from foxapi_async.cluster.claims import claim, kind_text
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.registration import free_unknown, replace_lost

KIND = kind_text(kind_of(fox_request()))
SECONDS = 20.0
"""For what must not wait."""


@pytest.fixture
def database(cluster_dsn):
    """A database with the tables."""
    return Database.at(cluster_dsn)


@pytest.fixture
async def batch(database):
    """A batch with ten items of one kind that no worker has."""
    name = uuid.uuid4().hex
    await made_batch(database, name, "abcdefghij")
    await run(database, "UPDATE batch SET account = 'me' WHERE id = %s", name)
    await run(database, "UPDATE item SET kind = %s WHERE batch_id = %s", KIND, name)
    return name


@pytest.fixture
async def frozen(database):
    """A transaction of a worker that stands still."""
    connection = await database.connect(worker=1)
    await connection.execute("BEGIN")
    yield connection
    await connection.close()


async def answer_of(database, ledger, room=10, price=None):
    """What a claim of the worker of this ledger gets, and whether it should ask again. With a price, the worker has
    learned that of its items.
    """
    learned = {} if price is None else {kind_of(fox_request()): price}
    async with await database.connect() as connection:
        return await claim(connection, ledger._writer.worker, ledger.batch, room, learned=learned)


async def priced(database, batch, price, budget):
    """The price of the kind, as the account knows it, and the budget of the batch."""
    await run(database, "INSERT INTO price VALUES ('me', %s, %s)", KIND, price)
    await run(database, "UPDATE batch SET budget = %s WHERE id = %s", budget, batch)


# Claims.


async def test_two_claims_at_once_share_the_items(database, batch, tmp_path):
    """None is in both."""
    async with (
        opened_ledger(database, tmp_path, batch) as one,
        opened_ledger(database, tmp_path, batch) as other,
    ):
        both = await asyncio.gather(claimed(database, one, 5), claimed(database, other, 5))

    assert sorted("abcdefghij") == sorted(both[0] + both[1])


async def test_items_of_a_claim_whose_answer_was_lost_are_free_again(database, batch, tmp_path):
    """The worker does not know of them, and works on no other items of the batch."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await answer_of(database, ledger, 3)
        connection = await database.connect()
        await free_unknown(connection, ledger._writer.worker, [batch])
        during = await run(database, "SELECT key FROM item WHERE owner IS NOT NULL ORDER BY key")
        await free_unknown(connection, ledger._writer.worker, [])
        await connection.close()

    assert [("a",), ("b",), ("c",)] == during
    assert [] == await run(database, "SELECT key FROM item WHERE owner IS NOT NULL")


# Budgets.


async def test_a_budget_is_shared(database, batch, tmp_path):
    """Claims reserve credits: two workers together get what it allows."""
    await priced(database, batch, 2, 9)
    async with (
        opened_ledger(database, tmp_path, batch) as one,
        opened_ledger(database, tmp_path, batch) as other,
    ):
        both = await asyncio.gather(answer_of(database, one), answer_of(database, other))

    assert 4 == sum(len(answer.items) for answer in both)


async def test_a_refusal_during_a_claim_frees_no_more_than_it_held(database, batch, tmp_path):
    """A submit is released while another worker counts what is spent."""
    await priced(database, batch, 2, 5)
    async with (
        opened_ledger(database, tmp_path, batch) as one,
        opened_ledger(database, tmp_path, batch) as other,
    ):
        await claimed(database, one, 2)
        await one.submitting("a", "fox", "key", 2.0)
        connection = await LateStep(database, "FROM tally", lambda: one.released("a")).connect()
        answer = await claim(connection, other._writer.worker, batch, 10)
        await connection.close()

    assert [] == answer.items


async def test_at_an_unknown_price_one_item_goes_alone(database, batch, tmp_path):
    """Whatever worker has it, and also while it has no answer."""
    await run(database, "UPDATE batch SET budget = 100 WHERE id = %s", batch)
    async with (
        opened_ledger(database, tmp_path, batch) as one,
        opened_ledger(database, tmp_path, batch) as other,
    ):
        keys = await claimed(database, one, 10)
        second = await answer_of(database, other)
        await one.submitting("a", "fox", "key")
        third = await answer_of(database, other)

    assert ["a"] == keys
    assert [([], True)] * 2 == [(answer.items, answer.is_waiting) for answer in (second, third)]


async def test_the_price_of_the_first_item_is_known_to_all(database, batch, tmp_path):
    """As soon as its worker claims again."""
    await run(database, "UPDATE batch SET budget = 9 WHERE id = %s", batch)
    async with (
        opened_ledger(database, tmp_path, batch) as one,
        opened_ledger(database, tmp_path, batch) as other,
    ):
        await claimed(database, one, 10)
        await one.submitting("a", "fox", "key")
        await one.submitted("a", "task", 2.0)
        await answer_of(database, one, room=0, price=2.0)
        answer = await answer_of(database, other)

    assert 3 == len(answer.items)


async def test_the_highest_price_counts(database, batch, tmp_path):
    """A cheaper submit of the same kind does not let more be sent than the budget may have to pay."""
    await run(database, "UPDATE batch SET budget = 20 WHERE id = %s", batch)
    async with opened_ledger(database, tmp_path, batch) as one:
        for key, price in (("a", 5.0), ("b", 1.0)):
            await one.submitting(key, "fox", "key")
            await one.submitted(key, f"task of {key}", price)
            await answer_of(database, one, room=0, price=price)
        answer = await answer_of(database, one)

    assert 2 == len(answer.items)  # 14 credits are left, and each may cost 5


async def test_uncertain_items_keep_their_credits(database, batch, tmp_path):
    """They may be billed."""
    await priced(database, batch, 2, 5)
    async with opened_ledger(database, tmp_path, batch) as one:
        await claimed(database, one, 1)
        await one.submitting("a", "fox", "key", 2.0)
        await one.ended("a", ItemState.UNCERTAIN, "{}")
        answer = await answer_of(database, one)

    assert ["b"] == [item.entry.key for item in answer.items]


# A worker that stands still in the middle of a transaction.


async def test_a_frozen_worker_holds_up_no_ids(database, batch, frozen, tmp_path):
    """Although it has just locked another item, with the price of its kind."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        for key in "ab":
            await ledger.submitting(key, "fox", "key")
        await ledger.submitted("a", "task-1", 2.0)
        await frozen.execute("UPDATE item SET changed = now() WHERE batch_id = %s AND key = 'c'", (batch,))
        async with asyncio.timeout(SECONDS):
            await ledger.submitted("b", "task-2", 2.0)


async def test_a_frozen_worker_holds_up_no_takeover(database, batch, frozen, tmp_path):
    """Its locked rows are left for the next sweep, and all others are free at once."""
    async with opened_ledger(database, tmp_path, batch, lease=0.01) as ledger:
        await claimed(database, ledger, 3)
        await frozen.execute("UPDATE item SET changed = now() WHERE key = 'a'")
        await run(database, "UPDATE worker SET seen = now() - interval '1 day'")
        connection = await database.connect()
        async with asyncio.timeout(SECONDS):
            await replace_lost(connection, 0)
        await connection.close()
        owned = await run(database, "SELECT key FROM item WHERE owner IS NOT NULL")

    assert [("a",)] == owned


# Takeovers by the wrong one, or too early.


async def test_a_worker_does_not_replace_itself(database, batch, tmp_path):
    """After an outage its sweep may come before its heartbeat."""
    async with opened_ledger(database, tmp_path, batch, lease=0.01) as ledger:
        await run(database, "UPDATE worker SET seen = now() - interval '1 day'")
        connection = await database.connect()
        lost = await replace_lost(connection, ledger._writer.worker)
        await connection.close()

    assert [] == lost


async def test_after_a_restart_of_the_database_workers_have_time(database, batch, tmp_path):
    """None could send a heartbeat before, so none is replaced before it had the time for it."""
    async with opened_ledger(database, tmp_path, batch, lease=1e6) as ledger:
        await run(database, "UPDATE worker SET seen = now() - interval '1 year'")
        connection = await database.connect()
        early = await replace_lost(connection, 0)
        await run(database, "UPDATE worker SET lease = 0.01")
        late = await replace_lost(connection, 0)
        await connection.close()

    assert ([], [ledger._writer.worker]) == (early, late)


# Cancel.


async def test_a_cancelled_batch_gives_no_new_items(database, batch, tmp_path):
    """Claimed ones go to their ends."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        keys = await claimed(database, ledger, 2)
        left = await Cluster(database).cancel(batch)
        await ledger.submitting(keys[0], "fox", "key")
        await ledger.submitted(keys[0], "task")
        again = await claimed(database, ledger, 10)

    assert (8, []) == (left, again)


async def test_a_handed_back_item_of_a_cancelled_batch_is_not_claimed(database, batch, tmp_path):
    """Its worker has not sent it."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await claimed(database, ledger, 1)
        await Cluster(database).cancel(batch)
        await ledger.hand_back("a", ready=True)
        again = await claimed(database, ledger, 10)

    assert [] == again


async def test_a_paid_task_of_a_cancelled_batch_is_continued(database, batch, tmp_path):
    """It is billed, so it is delivered, by another worker if need be."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await claimed(database, ledger, 1)
        await ledger.submitting("a", "fox", "key")
        await ledger.submitted("a", "task")
        await Cluster(database).cancel(batch)
        await ledger.hand_back("a", ready=True)
        again = await claimed(database, ledger, 10)

    assert ["a"] == again


async def test_a_cancelled_batch_is_not_continued(database, batch):
    """Cancelling is final: the same name is refused."""
    await Cluster(database).cancel(batch)

    with pytest.raises(InvalidRequestError, match="was cancelled, which is final"):
        await Cluster(database).submit([], batch_id=batch)
    assert "cancelled" == (await Cluster(database).status(batch)).state


# Enqueuing twice.


async def test_the_same_batch_twice_is_one(cluster_dsn):
    """Also if two programs submit it at the same time."""
    cluster = Cluster(Database.at(cluster_dsn))
    requests = [fox_request(f"fox {n}") for n in range(50)]
    both = await asyncio.gather(*(cluster.submit(requests, batch_id="b") for _ in range(2)))

    assert [0, 50] == sorted(enqueued.added for enqueued in both)
    assert 50 == (await cluster.status("b")).counts["new"]


async def test_two_requests_with_one_id_at_the_same_time(database, frozen, batch):
    """The second one is refused, although the first was not visible when it came."""
    cluster = Cluster(database)
    await frozen.execute(
        "INSERT INTO item (batch_id, key, fingerprint) VALUES (%s, 'fox', 'of another request')", (batch,)
    )
    submit = asyncio.create_task(cluster.submit([{"id": "fox", **fox_request().to_dict()}], batch_id=batch))
    await asyncio.sleep(0.3)
    await frozen.commit()

    with pytest.raises(InvalidRequestError, match="nothing was enqueued"):
        await submit


async def test_a_batch_that_another_database_has_paused_waits_for_a_person(database, batch, cluster_dsn):
    """Submitting it again adds items, and sends nothing before `resume`."""
    await run(database, "UPDATE batch SET state = 'paused', reason = 'database' WHERE id = %s", batch)
    async with Cluster.open(cluster_dsn) as cluster:
        await cluster.submit([("new", fox_request())], batch_id=batch)
        waiting = await cluster.status(batch)
        await cluster.resume(batch)
        resumed = await cluster.status(batch)

    assert ("paused", "database") == (waiting.state, waiting.reason)
    assert ("open", None) == (resumed.state, resumed.reason)


# What is refused, and what has no price.


async def test_an_unknown_batch_has_no_items(database, tmp_path):
    """It was deleted after its job was made."""
    async with opened_ledger(database, tmp_path, "unknown") as ledger:
        with pytest.raises(LedgerError, match="there is no batch 'unknown'"):
            await answer_of(database, ledger)


async def test_a_replaced_worker_claims_nothing(database, batch, tmp_path):
    """Others work on its items."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await run(database, "UPDATE worker SET state = 'lost'")
        with pytest.raises(LedgerError, match="was replaced"):
            await answer_of(database, ledger)


async def test_nothing_is_claimed_from_a_database_with_another_identity(database, batch, tmp_path):
    """Its tables were made, or copied, elsewhere."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await run(database, "UPDATE meta SET value = '1/00000001' WHERE name = 'identity'")
        with pytest.raises(LedgerError, match="another one than before"):
            await answer_of(database, ledger)


async def test_an_item_without_a_kind_needs_no_credits(database, batch, tmp_path):
    """Its request cannot be read here, so it is not sent either. It holds up no others."""
    await priced(database, batch, 2, 5)
    await run(database, "UPDATE item SET kind = NULL WHERE batch_id = %s AND key IN ('a', 'd')", batch)
    async with opened_ledger(database, tmp_path, batch) as ledger:
        answer = await answer_of(database, ledger)

    assert ["a", "b", "c", "d"] == [item.entry.key for item in answer.items]
