"""What puts the items of a batch into the database, and what removes them."""

from __future__ import annotations

import pytest
from cluster_parts import run
from helpers import fox_request

from foxapi_async import InvalidRequestError
from foxapi_async.cluster import enqueue
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database

KEYS = ["fox-0", "fox-1", "fox-2", "fox-3", "fox-4"]
ITEMS = [(key, fox_request()) for key in KEYS]


@pytest.fixture
def database(cluster_dsn):
    """A database with the tables."""
    return Database.at(cluster_dsn)


@pytest.fixture
async def cluster(database, cluster_dsn, monkeypatch):
    """A cluster to which five items go in three groups."""
    monkeypatch.setattr(enqueue, "_AT_ONCE", 2)
    monkeypatch.setattr("foxapi_async._batch.plan._CHUNK", 2)
    async with Cluster.open(cluster_dsn) as opened:
        yield opened


async def test_all_groups_of_a_list_are_put_in(cluster, database):
    """Each item is there once, in the order of the list."""
    enqueued = await cluster.submit(ITEMS, batch_id="many")

    assert (5, 0) == (enqueued.added, enqueued.known)
    assert [(key,) for key in KEYS] == await run(
        database,
        "SELECT key FROM item JOIN request USING (batch_id, key) WHERE batch_id = 'many' ORDER BY number",
    )


async def test_another_request_in_a_later_group_undoes_all(cluster, database):
    """The groups before it are not in the batch either."""
    await cluster.submit([("fox-4", fox_request("another"))], batch_id="undone")

    with pytest.raises(InvalidRequestError, match="fox-4"):
        await cluster.submit(ITEMS, batch_id="undone")

    assert [("fox-4",)] == await run(database, "SELECT key FROM item WHERE batch_id = 'undone'")


@pytest.mark.parametrize(
    ("removal", "left"),
    [("DELETE FROM batch WHERE id = 'short'", []), ("DELETE FROM item WHERE key = 'fox-0'", [("fox-1",)])],
    ids=["batch", "item"],
)
async def test_requests_go_with_their_items(cluster, database, removal, left):
    """A removed batch, or item, leaves no request behind."""
    await cluster.submit(ITEMS[:2], batch_id="short")

    await run(database, removal)

    assert left == await run(database, "SELECT key FROM request WHERE batch_id = 'short'")
