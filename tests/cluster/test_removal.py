"""A batch that is over can be removed, and no other."""

from __future__ import annotations

import pytest
from cluster_parts import made_batch, run

from foxapi_async import GrokImagineImage, InvalidRequestError
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database

TABLES = [
    "batch",
    "batch_meta",
    "item",
    "request",
    "input_file",
    "second_task",
    "tally",
    "procrastinate_jobs",
]
END = "UPDATE item SET state = 'done', ready = false, record = '{}', ended = pg_current_xact_id()"


@pytest.fixture
def database(cluster_dsn):
    """A database with the tables."""
    return Database.at(cluster_dsn)


@pytest.fixture
def cluster(database):
    """The same, for a user."""
    return Cluster(database)


async def rows(database):
    """How many rows each table has."""
    return {table: (await run(database, f"SELECT count(*) FROM {table}".encode()))[0][0] for table in TABLES}


@pytest.fixture
def with_file(cluster, tmp_path):
    """Submits a batch with an item that has a local file."""
    path = tmp_path / "fox.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))

    async def submit(batch):
        await cluster.submit([GrokImagineImage("a fox", image_urls=[path])], batch_id=batch)

    return submit


async def test_all_rows_of_a_batch_go(cluster, database, with_file):
    """Those of its files and of its job, too."""
    await with_file("b")
    await run(database, "INSERT INTO batch_meta VALUES ('b', 'name', 'text')")
    await run(database, "INSERT INTO second_task VALUES ('b', 'key', 'task')")
    before = await rows(database)
    await run(database, END)

    assert set(before.values()) == {1}
    assert 1 == await cluster.remove("b")
    assert set((await rows(database)).values()) == {0}


async def test_another_batch_stays_whole(cluster, database, with_file):
    """It has the same file."""
    await with_file("b")
    await with_file("other")
    await run(database, f"{END} WHERE batch_id = 'b'".encode())
    await cluster.remove("b")

    assert {0, 1} == set((await rows(database)).values())
    assert 1 == (await rows(database))["input_file"]
    assert ["other"] == await cluster.batches()


async def test_a_cancelled_batch_is_removed(cluster, database):
    """Its items were never sent."""
    await made_batch(database, "b", ["a", "b"])
    await cluster.cancel("b")

    assert 2 == await cluster.remove("b")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE item SET ready = false", "2 items of it have not ended"),
        ("UPDATE batch SET sealed = false", "a program still puts items into it"),
        ("UPDATE item SET owner = 1", "workers have 2 items of it"),
        ("UPDATE item SET state = 'submitted', ready = true", "2 items of it are billed"),
    ],
)
async def test_a_batch_that_is_not_over_stays(cluster, database, change, words):
    """The error says why, and nothing is lost."""
    await made_batch(database, "b", ["a", "b"])
    if "have not ended" not in words:
        await run(database, END)
    await run(database, change.encode())
    before = await rows(database)
    with pytest.raises(InvalidRequestError, match=words):
        await cluster.remove("b")

    assert before == await rows(database)


async def test_an_unknown_batch_is_not_removed(cluster):
    """The error names it."""
    with pytest.raises(InvalidRequestError, match="there is no batch 'b' in the database"):
        await cluster.remove("b")
