"""Items on their way into the database: lists, generators, and the ledgers of local batches."""

from __future__ import annotations

import json
import uuid

import pytest
from cluster_parts import run
from helpers import fox_request

from foxapi_async import InvalidRequestError
from foxapi_async._ledger.entry import ItemState, LedgerEntry
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.enqueue import SHOWN_PROBLEMS, import_ledger, in_chunks

KEYS = "SELECT key FROM item WHERE batch_id = %s ORDER BY number"


@pytest.fixture
def database(shared_dsn):
    """A database with the tables."""
    return Database.at(shared_dsn)


@pytest.fixture
def cluster(database):
    """The same, for a user."""
    return Cluster(database)


@pytest.fixture
def batch():
    """The name of a new batch."""
    return uuid.uuid4().hex


async def generated(*items):
    """A generator of items."""
    for item in items:
        yield item


# Items.


async def test_the_items_of_a_generator_are_put_in(cluster, database, batch):
    """In their order."""
    enqueued = await cluster.submit(
        generated(*((f"fox-{n}", fox_request(f"fox {n}")) for n in range(3))), batch_id=batch
    )

    assert (3, 0) == (enqueued.added, enqueued.known)
    assert [("fox-0",), ("fox-1",), ("fox-2",)] == await run(database, KEYS, batch)


async def test_the_same_items_again_are_known(cluster, batch):
    """They are counted, and not added."""
    await cluster.submit([("a", fox_request())], batch_id=batch)
    enqueued = await cluster.submit([("a", fox_request()), ("b", fox_request())], batch_id=batch)

    assert (1, 1) == (enqueued.added, enqueued.known)


async def test_a_list_with_a_faulty_item_is_not_put_in(cluster, database, batch):
    """The message has the number of each such item."""
    with pytest.raises(InvalidRequestError, match="were not enqueued") as caught:
        await cluster.submit([fox_request(), "no request", fox_request(), 5], batch_id=batch)

    assert ["item 2", "item 4"] == [problem.partition(":")[0] for problem in caught.value.problems]
    assert [] == await run(database, KEYS, batch)


async def test_not_all_faulty_items_are_named(cluster, batch):
    """A file of another kind has a million of them."""
    with pytest.raises(InvalidRequestError) as caught:
        await cluster.submit(["no request"] * (SHOWN_PROBLEMS + 5), batch_id=batch)

    assert SHOWN_PROBLEMS == len(caught.value.problems)


async def test_a_generator_ends_at_a_faulty_item(cluster, database, batch):
    """Those before it are in the batch, and the message says so."""
    items = [("a", fox_request()), "no request", ("c", fox_request())]
    with pytest.raises(InvalidRequestError, match="Enqueued before them: 1 item"):
        await cluster.submit(generated(*items), batch_id=batch)

    assert [("a",)] == await run(database, KEYS, batch)


async def test_an_id_for_two_requests_is_refused(cluster, database, batch):
    """The first one stays."""
    await cluster.submit([("a", fox_request("one"))], batch_id=batch)
    with pytest.raises(InvalidRequestError, match="nothing was enqueued") as caught:
        await cluster.submit([("a", fox_request("two")), ("b", fox_request())], batch_id=batch)

    assert 1 == len(caught.value.problems)
    assert [("a",)] == await run(database, KEYS, batch)


# The ledger of a local batch.


@pytest.fixture
async def ledger(tmp_path):
    """The ledger of a local batch."""
    async with SqliteLedger.opened(tmp_path / "ledger.sqlite", room=1) as opened:
        yield opened


@pytest.fixture
def imported(database, cluster, ledger, batch):
    """Puts the ledger into the batch. Returns how many items are new."""

    async def put():
        await cluster.submit([], batch_id=batch)
        async with await database.connect() as connection:
            return await import_ledger(connection, batch, ledger)

    return put


def opening_of(**fields):
    """The opening of an item with such a request."""
    return json.dumps({"id": "a", "index": 0, "request": {**fox_request().to_dict(), **fields}})


async def test_credits_of_earlier_submits_stay_spent(cluster, ledger, imported, batch):
    """The item was sent twice, and its price is that of the last submit."""
    for price in (3.0, 2.0):
        await ledger.submitting("a", "fox", "key", price, opening_of())
        await ledger.submitted("a", f"task at {price}", price)
        await ledger.ended("a", ItemState.FAILED, "{}", price)
    assert 1 == await imported()

    assert 5.0 == (await cluster.status(batch)).spent


async def test_an_import_is_made_once(cluster, ledger, imported, batch):
    """The second one adds neither items nor credits."""
    for price in (3.0, 2.0):
        await ledger.submitting("a", "fox", "key", price, opening_of())
        await ledger.submitted("a", f"task at {price}", price)
        await ledger.ended("a", ItemState.FAILED, "{}", price)
    await imported()
    assert 0 == await imported()

    assert 5.0 == (await cluster.status(batch)).spent


async def test_an_input_file_that_is_gone_is_left_out(database, ledger, imported, batch, tmp_path):
    """Its item moves nevertheless: its task may be known. A worker that must send it says what is missing."""
    gone = str(tmp_path / "gone.jpg")
    await ledger.submitting("a", "fox", "key", None, opening_of(image_urls=[gone]))
    await ledger.released("a")
    await imported()

    assert [("a",)] == await run(database, KEYS, batch)
    ((opening,),) = await run(database, "SELECT opening FROM request WHERE batch_id = %s", batch)
    assert "files" not in json.loads(opening)


async def test_entries_come_in_groups():
    """Ten thousand at a time, and then the rest."""
    entries = (LedgerEntry(str(n), "fox", ItemState.NEW, "", None, None, None, 0.0) for n in range(10_002))
    sizes = [len(chunk) async for chunk in in_chunks(generated(*entries))]

    assert [10_000, 2] == sizes
