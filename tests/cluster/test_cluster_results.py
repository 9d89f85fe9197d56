"""`results` yields the end of each item, and skips none, in whatever order transactions end."""

from __future__ import annotations

import asyncio
import contextlib
import uuid

import pytest
from cluster_parts import LateStep, made_batch, opened_ledger, run
from cut_proxy import CutProxy

from foxapi_async import InvalidRequestError, LedgerError
from foxapi_async._ledger.entry import ItemState
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.results import ends

KEYS = ["a", "b", "c"]
END = """
    UPDATE item SET state = 'done', ready = false, owner = NULL, ended = pg_current_xact_id(), record = '{}'
    WHERE batch_id = %s AND key = %s
"""


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
async def open_transaction(database):
    """A transaction that has a number and stays open: `await connection.commit()`."""
    connection = await database.connect(worker=1)
    await connection.execute("BEGIN")
    await connection.execute("SELECT pg_current_xact_id()")
    yield connection
    await connection.close()


def reader(database, batch, found, after=None):
    """Collects the keys of all ends in the background."""

    async def read():
        async for end in ends(database, batch, after):
            found.append(end.key)

    return asyncio.create_task(read())


async def test_all_ends_come(database, batch):
    """Then it ends."""
    for key in KEYS:
        await run(database, END, batch, key)
    found = []
    await reader(database, batch, found)

    assert KEYS == found


async def test_the_order_of_transactions_is_that_of_their_numbers(database, batch):
    """Transaction 10 is after transaction 9."""
    for key, number in zip(KEYS, ("9", "10", "11"), strict=True):
        await run(database, END, batch, key)
        await run(
            database, "UPDATE item SET ended = %s::xid8 WHERE batch_id = %s AND key = %s", number, batch, key
        )
    found = []
    await reader(database, batch, found)

    assert KEYS == found


async def test_an_end_of_an_earlier_transaction_that_commits_later_is_not_skipped(
    database, batch, open_transaction
):
    """An end that is visible waits until nothing can come before it."""
    await open_transaction.execute(END, (batch, "a"))
    for key in "bc":
        await run(database, END, batch, key)
    found = []
    reading = reader(database, batch, found)
    await asyncio.sleep(0.5)
    before = list(found)
    await open_transaction.commit()
    await reading

    assert ([], KEYS) == (before, found)


async def test_what_becomes_visible_between_two_questions_is_not_skipped(database, batch, open_transaction):
    """A transaction hides all ends. It commits just before the reader asks whether more can come."""
    for key in KEYS:
        await run(database, END, batch, key)
    step = LateStep(database, ">= %s::xid8", open_transaction.commit)
    found = []
    await reader(step, batch, found)

    assert step.happened
    assert KEYS == found


async def test_a_reader_continues_after_a_cursor(database, batch):
    """It sees what came after that end."""
    for key in KEYS:
        await run(database, END, batch, key)
    all_ends = [end async for end in ends(database, batch, None)]
    found = []
    await reader(database, batch, found, all_ends[0].cursor)

    assert ["b", "c"] == found


async def test_the_results_end_when_a_pause_has_left_nothing_under_way(database, batch):
    """Items that are not sent keep no reader waiting."""
    await run(database, END, batch, "a")
    await Cluster(database).pause(batch)

    assert ["a"] == [end.key async for end in Cluster(database).results(batch)]


async def test_the_results_wait_for_items_of_workers(database, batch):
    """An item that a worker has goes to its end, also during a pause."""
    await run(database, "UPDATE item SET owner = 1 WHERE batch_id = %s AND key = 'a'", batch)
    await Cluster(database).pause(batch)
    found = []
    reading = reader(database, batch, found)
    done, _ = await asyncio.wait([reading], timeout=0.5)
    assert not done
    await run(database, END, batch, "a")
    await reading

    assert ["a"] == found


async def test_an_item_whose_late_id_came_is_no_end(database, batch, tmp_path):
    """It was uncertain, and it is submitted now."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await ledger.submitting("a", "fox", "key")
        await ledger.ended("a", ItemState.UNCERTAIN, "{}")
        await ledger.submitted("a", "task")
        await run(database, "UPDATE item SET ready = false WHERE batch_id = %s AND key <> 'a'", batch)
        found = []
        reading = reader(database, batch, found)
        await asyncio.wait([reading], timeout=0.5)
        before = list(found)
        await ledger.ended("a", ItemState.DONE, "{}")
        await reading

    assert ([], ["a"]) == (before, found)


async def test_an_unknown_batch_has_no_results(database):
    """It is an error, and no empty iterator."""
    with pytest.raises(InvalidRequestError, match="there is no batch"):
        await anext(Cluster(database).results("unknown"))


@pytest.mark.parametrize("cursor", ["", "x-1@s", "1", "1-", "1-1", "1-1@"])
async def test_a_text_that_is_no_cursor_is_refused(database, batch, cursor):
    """The message shows it."""
    with pytest.raises(InvalidRequestError, match="after="):
        await anext(Cluster(database).results(batch, after=cursor))


@pytest.mark.parametrize("other", ["999999999999-1@{identity}", "999999999999-1@other", "3-1@other"])
async def test_a_cursor_of_another_database_begins_again(database, batch, caplog, other):
    """Also one of a later state of this database. The numbers say nothing here, so no end is skipped."""
    await run(database, "UPDATE item SET ready = false WHERE batch_id = %s", batch)
    await run(database, END, batch, "a")
    (end,) = [end async for end in Cluster(database).results(batch)]
    cursor = other.format(identity=end.cursor.partition("@")[2])

    assert ["a"] == [end.key async for end in Cluster(database).results(batch, after=cursor)]
    assert "all ends are read again" in caplog.text


async def test_a_reader_that_stops_early_leaves_no_connection(database, batch):
    """Its connection is closed with the iterator."""
    await run(database, END, batch, "a")
    async with contextlib.aclosing(Cluster(database).results(batch)) as results:
        await anext(results)
    count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()"

    assert [(0,)] == await run(database, count, f"%{batch}%")


async def test_a_reader_that_loses_the_database_continues_after_its_cursor(database, batch, shared_dsn):
    """The error is ours. What it has read does not come again."""
    for key in "ab":
        await run(database, END, batch, key)
    async with CutProxy(shared_dsn) as proxy:
        results = Cluster(Database.at(proxy.dsn)).results(batch)
        first = await anext(results)
        await anext(results)
        proxy.cut()
        with pytest.raises(LedgerError, match="cannot be used"):
            await anext(results)
    await run(database, END, batch, "c")

    assert ["b", "c"] == [end.key async for end in Cluster(database).results(batch, after=first.cursor)]
