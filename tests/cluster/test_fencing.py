"""A worker may send only what it has recorded, and only while it is alive; an id is stored whoever owns the item."""

from __future__ import annotations

import asyncio
import contextlib
import uuid

import pytest
from cluster_parts import claimed, entry_of, made_batch, opened_ledger, run
from cut_proxy import CutProxy

from foxapi_async import InvalidRequestError, LedgerError
from foxapi_async._http.exchange import Exchange, ExchangeFailed
from foxapi_async._ledger.entry import ItemState
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.lease import Lease, boot_time
from foxapi_async.cluster.registration import leave, replace_lost


@pytest.fixture
def database(cluster_dsn):
    """A database with the tables."""
    return Database.at(cluster_dsn)


@pytest.fixture
async def batch(database):
    """A batch with three items that no worker has."""
    name = uuid.uuid4().hex
    await made_batch(database, name, ["a", "b", "c"])
    return name


@pytest.fixture
async def proxy(cluster_dsn):
    """A proxy before that database."""
    async with CutProxy(cluster_dsn) as running:
        yield running


async def lost(database, ledger):
    """Declare the worker of this ledger lost, as the sweep does it when it hears no heartbeats."""
    worker = ledger._writer.worker
    silent = "UPDATE worker SET seen = now() - interval '1 day', lease = 0.01 WHERE id = %s"
    await run(database, silent, worker)
    connection = await database.connect()
    assert worker in await replace_lost(connection, 0)
    await connection.close()


async def state_of(database, batch, key):
    ((state,),) = await run(database, "SELECT state FROM item WHERE batch_id = %s AND key = %s", batch, key)
    return state


# The record of a submit.


async def test_a_commit_whose_answer_is_lost_is_not_repeated(database, batch, proxy, tmp_path):
    """The server is asked whether the transaction was committed: the submit is recorded once, and may be sent."""
    async with opened_ledger(database, tmp_path, batch, through=Database.at(proxy.dsn)) as ledger:
        await claimed(database, ledger)
        cut = proxy.cut_after("COMMIT")
        await ledger.submitting("a", "fox", "key")

        assert ["COMMIT"] == cut.lost
        assert ItemState.SUBMITTING is (await entry_of(ledger, "a")).state


async def test_a_commit_that_does_not_arrive_is_made_again(database, batch, proxy, tmp_path):
    """The submit waits until its record is durable."""
    async with opened_ledger(database, tmp_path, batch, through=Database.at(proxy.dsn)) as ledger:
        await claimed(database, ledger)
        cut = proxy.cut_before("COMMIT")
        await ledger.submitting("a", "fox", "key")

        assert cut.happened.is_set()
        assert ItemState.SUBMITTING is (await entry_of(ledger, "a")).state


async def test_a_submit_waits_while_the_database_cannot_be_reached(database, batch, proxy, tmp_path):
    """Nothing is sent before the record is durable."""
    async with opened_ledger(database, tmp_path, batch, through=Database.at(proxy.dsn)) as ledger:
        await claimed(database, ledger)
        proxy.refuse()
        proxy.cut()
        submit = asyncio.create_task(ledger.submitting("a", "fox", "key"))
        done, _ = await asyncio.wait([submit], timeout=0.5)
        assert not done
        await proxy.accept()
        await submit

        assert ItemState.SUBMITTING is (await entry_of(ledger, "a")).state


async def test_of_two_workers_one_records_a_submit(database, batch, tmp_path):
    """The other one is refused, although it believes that the item is free."""
    async with (
        opened_ledger(database, tmp_path, batch) as one,
        opened_ledger(database, tmp_path, batch) as other,
    ):
        outcomes = await asyncio.gather(
            *(ledger.submitting("a", "fox", "key") for ledger in (one, other)), return_exceptions=True
        )

    assert [type(None), LedgerError] == sorted(
        map(type, outcomes), key=lambda kind: kind.__name__ != "NoneType"
    )


async def test_a_submit_that_is_given_up_before_its_record_is_not_recorded(database, batch, proxy, tmp_path):
    """Its caller has gone while the transaction waited, so the item is new, and free for others."""
    async with opened_ledger(database, tmp_path, batch, through=Database.at(proxy.dsn)) as ledger:
        await claimed(database, ledger)
        proxy.stall()
        waiting = ledger.totals()
        first = asyncio.create_task(waiting)
        await asyncio.sleep(0.05)
        submit = asyncio.create_task(ledger.submitting("a", "fox", "key"))
        await asyncio.sleep(0.05)
        submit.cancel()
        proxy.flow()
        await first
        await ledger.totals()

    assert [("new", "")] == await run(
        database, "SELECT state, idempotency_key FROM item WHERE batch_id = %s AND key = 'a'", batch
    )


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_submit_that_is_given_up_during_its_record_is_undone(
    database, batch, proxy, tmp_path, leaves
):
    """Its transaction had begun. Nothing was sent, so the item is new, and free for others, even if its worker leaves
    before the record is written.
    """
    async with opened_ledger(database, tmp_path, batch, through=Database.at(proxy.dsn)) as ledger:
        await claimed(database, ledger)
        proxy.stall()
        submit = asyncio.create_task(ledger.submitting("a", "fox", "key"))
        await asyncio.sleep(0.1)
        submit.cancel()
        asyncio.get_running_loop().call_later(0.1, proxy.flow)
        if not leaves:
            await ledger.written()

    assert [("new", None)] == await run(
        database, "SELECT state, owner FROM item WHERE batch_id = %s AND key = 'a'", batch
    )


# Takeovers.


async def test_a_lost_worker_records_no_submit(database, batch, tmp_path):
    """It is refused in words, and its item is new."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await claimed(database, ledger)
        await lost(database, ledger)
        with pytest.raises(LedgerError, match="this worker was replaced"):
            await ledger.submitting("a", "fox", "key")

    assert "new" == await state_of(database, batch, "a")


async def test_a_lost_worker_hears_it_from_its_first_change(database, batch, tmp_path):
    """The worker is told once why it may not send any more."""
    faults = []
    async with opened_ledger(database, tmp_path, batch, on_fault=faults.append) as ledger:
        await claimed(database, ledger, 2)
        await lost(database, ledger)
        for key in ("a", "b"):
            with pytest.raises(LedgerError):
                await ledger.submitting(key, "fox", "key")

    assert 1 == len(faults)


async def test_a_worker_is_not_replaced_while_it_records_a_submit(database, batch, tmp_path):
    """The sweep leaves out a worker whose transaction runs: it would not see its submit."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        worker = ledger._writer.worker
        silent = "UPDATE worker SET seen = now() - interval '1 day', lease = 0.01 WHERE id = %s"
        await run(database, silent, worker)
        recording, sweeping = await database.connect(), await database.connect()
        async with recording.transaction():
            await recording.execute("SELECT FROM worker WHERE id = %s FOR KEY SHARE", (worker,))
            during = await replace_lost(sweeping, 0)
        after = await replace_lost(sweeping, 0)
        await recording.close()
        await sweeping.close()

    assert [[], [worker]] == [during, after]


async def test_a_submit_under_way_becomes_uncertain(database, batch, tmp_path):
    """What a lost worker was sending is never sent again by itself."""
    async with (
        opened_ledger(database, tmp_path, batch) as ledger,
        opened_ledger(database, tmp_path, batch) as other,
    ):
        await claimed(database, ledger)
        await ledger.submitting("a", "fox", "key")
        await lost(database, ledger)

        assert "uncertain" == await state_of(database, batch, "a")
        assert ["b", "c"] == await claimed(database, other, 3)


async def test_unsent_items_of_a_lost_worker_are_claimed_by_others(database, batch, tmp_path):
    """They are free again."""
    async with (
        opened_ledger(database, tmp_path, batch) as ledger,
        opened_ledger(database, tmp_path, batch) as other,
    ):
        await claimed(database, ledger, 3)
        assert [] == await claimed(database, other, 3)
        await lost(database, ledger)

        assert ["a", "b", "c"] == await claimed(database, other, 3)


async def test_a_submitted_task_of_a_lost_worker_is_continued(database, batch, tmp_path):
    """Another worker gets the item with the id of its task."""
    async with (
        opened_ledger(database, tmp_path, batch) as ledger,
        opened_ledger(database, tmp_path, batch) as other,
    ):
        await claimed(database, ledger)
        await ledger.submitting("a", "fox", "key")
        await ledger.submitted("a", "task", 2.0)
        await lost(database, ledger)
        await claimed(database, other)
        entry = await entry_of(other, "a")

    assert (ItemState.SUBMITTED, "task") == (entry.state, entry.task_id)


async def test_a_lost_worker_does_not_move_an_item_of_its_successor(database, batch, tmp_path):
    """Its late refusal and its late end concern an earlier claim."""
    async with (
        opened_ledger(database, tmp_path, batch) as ledger,
        opened_ledger(database, tmp_path, batch) as other,
    ):
        await claimed(database, ledger)
        await lost(database, ledger)
        await claimed(database, other)
        await other.submitting("a", "fox", "key")
        for late in (ledger.released("a"), ledger.ended("a", ItemState.FAILED, "{}")):
            with pytest.raises(LedgerError):
                await late

    assert "submitting" == await state_of(database, batch, "a")


async def test_a_worker_that_left_sends_nothing_under_its_number(database, batch, tmp_path):
    """After it has left, it records no submit."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await claimed(database, ledger)
        connection = await database.connect()
        await leave(connection, ledger._writer.worker)
        await connection.close()

        with pytest.raises(LedgerError, match="replaced"):
            await ledger.submitting("a", "fox", "key")


# Ids.


async def test_the_id_of_a_late_answer_is_stored_after_a_takeover(database, batch, tmp_path):
    """The uncertain item is submitted, and another worker continues with its task."""
    async with (
        opened_ledger(database, tmp_path, batch) as ledger,
        opened_ledger(database, tmp_path, batch) as other,
    ):
        await claimed(database, ledger)
        await ledger.submitting("a", "fox", "key")
        await lost(database, ledger)
        await ledger.submitted("a", "late", 3.0)

        assert "a" in await claimed(database, other)
        assert "late" == (await entry_of(other, "a")).task_id


async def test_a_late_id_of_an_item_of_a_successor_is_stored(database, batch, tmp_path):
    """Whatever the epoch: its successor is submitting the item again."""
    async with (
        opened_ledger(database, tmp_path, batch) as ledger,
        opened_ledger(database, tmp_path, batch) as other,
    ):
        await claimed(database, ledger)
        await ledger.submitting("a", "fox", "key")
        await lost(database, ledger)
        await run(database, "UPDATE item SET ready = true WHERE key = 'a' AND batch_id = %s", batch)
        await claimed(database, other)
        await other.submitting("a", "fox", "key")
        await ledger.submitted("a", "late", 3.0)

        assert "late" == (await entry_of(other, "a")).task_id


async def test_a_second_id_of_an_item_is_kept_and_named(database, batch, tmp_path, caplog):
    """The item keeps its first id. The second one is in a table, in the status and in the log."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await claimed(database, ledger)
        await ledger.submitting("a", "fox", "key")
        await ledger.submitted("a", "first", 3.0)
        with pytest.raises(LedgerError, match="as task first"):
            await ledger.submitted("a", "second", 4.0)

    status = await Cluster(database).status(batch)
    assert (("a", "second"),) == status.second_tasks
    assert "item a of batch" in caplog.text


async def test_the_same_id_again_is_no_second_one(database, batch, tmp_path):
    """A transaction that is made twice changes nothing."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await claimed(database, ledger)
        await ledger.submitting("a", "fox", "key")
        await ledger.submitted("a", "task", 3.0)
        await ledger.ended("a", ItemState.DONE, "{}")
        with pytest.raises(LedgerError):
            await ledger.submitted("a", "task", 3.0)

    assert () == (await Cluster(database).status(batch)).second_tasks


async def test_the_id_of_an_item_that_is_not_there_is_kept(database, batch, tmp_path):
    """Such as after the restore of a copy that is older than the batch."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        with pytest.raises(LedgerError, match="not in the ledger"):
            await ledger.submitted("unknown", "task", 3.0)

    assert (("unknown", "task"),) == (await Cluster(database).status(batch)).second_tasks


# Uncertain items on request.


@pytest.mark.parametrize("state", ["alive", "lost"])
async def test_uncertain_items_of_a_worker_that_may_wake_up_are_not_sent_again(
    database, batch, tmp_path, state
):
    """The refusal names the worker."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await claimed(database, ledger)
        await ledger.submitting("a", "fox", "key")
        await ledger.ended("a", ItemState.UNCERTAIN, "{}")
        await run(database, "UPDATE worker SET state = %s", state)

        with pytest.raises(InvalidRequestError, match=f"foxapi cluster forget {ledger._writer.worker}"):
            await Cluster(database).submit([], batch_id=batch, resubmit_uncertain=True)
        assert [] == await run(database, "SELECT key FROM item WHERE ready AND state = 'uncertain'")


async def test_uncertain_items_of_a_forgotten_worker_are_sent_again(database, batch, tmp_path):
    """After someone has said that its process has ended."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await claimed(database, ledger)
        await ledger.submitting("a", "fox", "key")
        await lost(database, ledger)
        await Cluster(database).forget(ledger._writer.worker)
        await Cluster(database).submit([], batch_id=batch, resubmit_uncertain=True)

    assert [("a",)] == await run(database, "SELECT key FROM item WHERE ready AND state = 'uncertain'")


async def test_a_worker_with_heartbeats_cannot_be_forgotten(database, batch, tmp_path):
    """Its process must be stopped first."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        with pytest.raises(InvalidRequestError, match="is alive"):
            await Cluster(database).forget(ledger._writer.worker)


async def test_what_becomes_uncertain_during_an_enqueue_is_not_sent_again(database, batch, tmp_path):
    """The workers are looked at when the items become ready, and not before."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await claimed(database, ledger)
        await ledger.submitting("a", "fox", "key")

        async def no_items():
            await lost(database, ledger)
            for request in ():
                yield request

        await Cluster(database).submit(no_items(), batch_id=batch, resubmit_uncertain=True)

    assert [] == await run(database, "SELECT key FROM item WHERE ready AND state = 'uncertain'")


# The lease.


def test_a_lease_counts_from_the_question():
    """An answer that comes late makes it no longer."""
    lease = Lease(10)
    lease.renew(boot_time() - 11)

    assert not lease.is_valid()


def test_a_lease_never_becomes_shorter():
    """An answer to an older question changes nothing."""
    lease = Lease(10)
    lease.renew(boot_time())
    lease.renew(boot_time() - 11)

    assert lease.is_valid()


def test_a_lease_that_was_ended_is_not_renewed():
    """The answer to a heartbeat may be under way when the worker is stopped."""
    lease = Lease(10)
    lease.renew(boot_time())
    lease.end()
    lease.renew(boot_time())

    assert not lease.is_valid()


@pytest.mark.parametrize("may_send", [True, False])
async def test_the_lease_is_asked_at_the_hand_over(may_send):
    """A request whose lease has ended meanwhile does not leave."""
    lease = Lease(10 if may_send else 0)
    lease.renew(boot_time())
    exchange = Exchange(1.0, 1.0, lease.is_valid)
    refusal = contextlib.nullcontext() if may_send else pytest.raises(ExchangeFailed, match="permission")
    with refusal:
        exchange.hand_over()

    assert may_send is exchange.sent
