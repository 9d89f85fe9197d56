"""The writer of a worker: what it does with faulty changes, with callers that have gone, and at its end."""

from __future__ import annotations

import asyncio
import contextlib
import uuid

import pytest
from cluster_parts import claimed, made_batch, opened_ledger, run
from cut_proxy import CutProxy
from workers import until

from foxapi_async import LedgerError
from foxapi_async._ledger.entry import ItemState
from foxapi_async.cluster import group_commit
from foxapi_async.cluster.database import Database

KEYS = ["a", "b", "c"]


@pytest.fixture
def database(shared_dsn):
    """A database with the tables."""
    return Database.at(shared_dsn)


@pytest.fixture
async def batch(database):
    """A batch with three items that no worker has."""
    name = uuid.uuid4().hex
    await made_batch(database, name, KEYS)
    return name


@pytest.fixture
async def proxy(shared_dsn):
    """A proxy before that database."""
    async with CutProxy(shared_dsn) as running:
        yield running


async def state_of(database, batch, key):
    """The state of one item."""
    ((state,),) = await run(database, "SELECT state FROM item WHERE batch_id = %s AND key = %s", batch, key)
    return state


async def begun(ledger):
    """Wait until the writer has taken all changes out of its queue."""
    await until(lambda: not ledger._writer._pending)


async def test_a_closed_writer_refuses_a_change(database, batch, tmp_path):
    """Its caller gets an error, and does not wait forever."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        pass
    with pytest.raises(LedgerError, match="is closed"):
        await ledger.totals()


async def test_a_fault_of_ours_holds_up_no_later_change(database, batch, tmp_path):
    """Its caller gets the error."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await claimed(database, ledger, 2)
        with pytest.raises(LedgerError, match="cannot be written: 'epoch'"):
            await ledger._writer.put(batch, ItemState.NEW, key="a")
        await ledger.submitting("b", "fox", "key")

    assert "submitting" == await state_of(database, batch, "b")


async def test_a_caller_that_has_gone_holds_up_no_others(database, batch, proxy, tmp_path):
    """Nothing waits for its answer any more."""
    async with opened_ledger(database, tmp_path, batch, through=Database.at(proxy.dsn)) as ledger:
        proxy.stall()
        gone = asyncio.create_task(ledger.totals())
        other = asyncio.create_task(ledger.totals())
        await asyncio.sleep(0)
        await begun(ledger)
        gone.cancel()
        await asyncio.wait([gone])
        proxy.flow()

        assert 3 == (await other).counts[ItemState.NEW]


async def test_a_replaced_worker_hears_it_once(database, batch, proxy, tmp_path):
    """Two submits were under way, one after the other."""
    faults = []
    through = Database.at(proxy.dsn)
    async with opened_ledger(database, tmp_path, batch, through=through, on_fault=faults.append) as ledger:
        await claimed(database, ledger, 2)
        await run(database, "UPDATE worker SET state = 'lost' WHERE id = %s", ledger._writer.worker)
        proxy.stall()
        first = asyncio.create_task(ledger.submitting("a", "fox", "key"))
        await asyncio.sleep(0)
        await begun(ledger)
        second = asyncio.create_task(ledger.submitting("b", "fox", "key"))
        await asyncio.sleep(0)
        proxy.flow()
        outcomes = await asyncio.gather(first, second, return_exceptions=True)

    assert [LedgerError] * 2 == [type(outcome) for outcome in outcomes]
    assert 1 == len(faults)


@pytest.fixture
async def doubtful(database, batch, proxy, tmp_path):
    """Records a submit whose answer is lost. The database is away then. Returns the submit and the ledger."""
    async with contextlib.AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(
            opened_ledger(database, tmp_path, batch, through=Database.at(proxy.dsn))
        )
        await claimed(database, ledger)
        cut = proxy.cut_after("COMMIT")
        proxy.refuse()
        submit = asyncio.create_task(ledger.submitting("a", "fox", "key"))
        await until(cut.happened.is_set)
        yield submit, stack


async def test_a_lost_answer_is_asked_for_until_the_database_is_back(doubtful, proxy, monkeypatch):
    """The submit is recorded once, and may be sent."""
    monkeypatch.setattr(group_commit, "RETRY_SECONDS", (0.01,))
    submit, _ = doubtful
    tried = proxy.connections
    done, _ = await asyncio.wait([submit], timeout=0.3)
    assert not done
    await proxy.accept()
    await submit

    assert tried < proxy.connections


async def test_a_writer_that_ends_in_doubt_gives_up(doubtful, monkeypatch):
    """Whether the submit is recorded stays unknown, so it is not sent."""
    monkeypatch.setattr(group_commit, "CLOSING_SECONDS", 0.3)
    submit, stack = doubtful
    async with asyncio.timeout(30):
        await stack.aclose()
    with pytest.raises(LedgerError, match="cannot write to the database"):
        await submit
