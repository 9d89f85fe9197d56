"""Ids of billed tasks while the database cannot be written: in a file, until the database has them."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import stat
import string
import time
import uuid

import pytest
from cluster_parts import made_batch, opened_ledger, run
from cut_proxy import CutProxy
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from workers import until

from foxapi_async import LedgerError
from foxapi_async._ledger.entry import ItemState
from foxapi_async.cluster import group_commit
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.migration import migrate
from foxapi_async.cluster.spool import Spool, SpooledId, read_spool, spool_path
from foxapi_async.cluster.statements import keep_ids

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


@pytest.fixture
async def ledger(database, batch, proxy, tmp_path):
    """The ledger of a worker that was sending all items, through the proxy."""
    async with opened_ledger(database, tmp_path, batch, through=Database.at(proxy.dsn)) as opened:
        for key in KEYS:
            await opened.submitting(key, "fox", f"key of {key}")
        yield opened


@pytest.fixture
def spooled(tmp_path):
    """Reads the keys in the file of unwritten ids; empty if there is no file."""
    return lambda: [kept.key for path in tmp_path.glob("unwritten-*.jsonl") for kept in read_spool(path)]


def part(proxy):
    """Let the database be away from now on."""
    proxy.refuse()
    proxy.cut()


async def task_ids(database, batch):
    """The task of each item, as the database has it."""
    return dict(await run(database, "SELECT key, task_id FROM item WHERE batch_id = %s", batch))


# While the database is away.


async def test_an_id_is_kept_in_a_file(ledger, proxy, spooled, tmp_path, batch, capsys):
    """It has the whole fact, only its user may read it, and the id is on stderr too."""
    part(proxy)
    ledger.submitted("a", "task-1", 2.5)
    await until(spooled)
    (path,) = tmp_path.glob("unwritten-*.jsonl")

    assert [SpooledId(batch, "a", "task-1", 2.5)] == list(read_spool(path))
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert "task-1" in capsys.readouterr().err
    await proxy.accept()


async def test_an_id_that_comes_later_is_in_the_file_at_once(ledger, proxy, spooled):
    """It does not wait for the next try to reach the database."""
    part(proxy)
    ledger.submitted("a", "task-1")
    await until(spooled)
    ledger.submitted("b", "task-2")

    assert ["a", "b"] == spooled()
    await proxy.accept()


async def test_an_id_is_in_the_file_before_the_lost_answer_to_its_commit_is_known(ledger, proxy, spooled):
    """The answer cannot be asked for while the database is away."""
    proxy.refuse()
    proxy.cut_after("COMMIT")
    ledger.submitted("a", "task-1")
    await until(spooled)
    ledger.submitted("b", "task-2")

    assert ["a", "b"] == spooled()
    await proxy.accept()


async def test_an_id_is_in_the_file_when_the_database_is_silent(ledger, proxy, spooled, monkeypatch):
    """The connection is open, and no answer comes."""
    monkeypatch.setattr(group_commit, "SILENT_SECONDS", 0.1)
    proxy.stall()
    ledger.submitted("a", "task-1")
    await until(spooled)
    proxy.flow()
    await ledger.written()

    assert [] == spooled()


async def test_all_ids_are_written_when_the_database_is_back(ledger, proxy, spooled, database, batch):
    """Each once, and then the file is removed."""
    part(proxy)
    waits = [ledger.submitted(key, f"task of {key}") for key in KEYS]
    await until(spooled)
    await proxy.accept()
    await asyncio.gather(*waits)

    assert {key: f"task of {key}" for key in KEYS} == await task_ids(database, batch)
    assert [] == spooled()


async def test_the_file_stays_until_its_last_id_is_written(ledger, proxy, spooled, database):
    """An id that came during the outage is written by a later transaction."""
    part(proxy)
    ledger.submitted("a", "task-1")
    await until(spooled)
    late = ledger.submitted("b", "task-2")
    await proxy.accept()
    seen = []
    ledger.set_meta("name", lambda: json.dumps(seen.append(spooled())))
    await late

    assert [["a", "b"]] == seen
    assert [] == spooled()


async def test_a_worker_that_ends_without_the_database_leaves_its_file(
    database, batch, proxy, tmp_path, spooled, monkeypatch
):
    """It gives up after some time, and its caller gets the id in an error."""
    monkeypatch.setattr(group_commit, "CLOSING_SECONDS", 0.3)
    async with opened_ledger(database, tmp_path, batch, through=Database.at(proxy.dsn)) as ledger:
        await ledger.submitting("a", "fox", "key")
        part(proxy)
        wait = ledger.submitted("a", "task-1")
    with pytest.raises(LedgerError, match="cannot write to the database") as caught:
        await wait

    assert ("task-1", "yes") == (caught.value.task_id, caught.value.charged)
    assert ["a"] == spooled()


async def test_a_worker_that_ends_while_the_database_is_silent_leaves_its_file(
    database, batch, proxy, tmp_path, spooled, monkeypatch
):
    """The connection is open, so there is no error to wait for."""
    monkeypatch.setattr(group_commit, "CLOSING_SECONDS", 0.3)
    async with (
        asyncio.timeout(30),
        opened_ledger(database, tmp_path, batch, through=Database.at(proxy.dsn)) as ledger,
    ):
        await ledger.submitting("a", "fox", "key")
        proxy.stall()
        wait = ledger.submitted("a", "task-1")
    with pytest.raises(LedgerError, match="cannot write to the database"):
        await wait

    assert ["a"] == spooled()


async def test_an_id_that_comes_after_an_interruption_is_in_the_file_at_once(ledger, proxy, spooled):
    """The process may end at any moment."""
    proxy.stall()
    ledger.submitted("a", "task-1")
    await asyncio.sleep(0)
    ledger._writer.keep_unwritten()
    ledger.submitted("b", "task-2")

    assert ["a", "b"] == spooled()
    proxy.flow()
    await ledger.written()
    assert [] == spooled()


async def test_an_id_that_comes_after_the_writer_has_ended_is_in_the_file(ledger, spooled):
    """At the end of a program, its tasks are cancelled in any order."""
    task = ledger._writer._task
    task.cancel()
    await asyncio.wait([task])
    with pytest.raises(LedgerError, match="is closed"):
        await ledger.submitted("a", "task-1")

    assert ["a"] == spooled()


async def test_no_password_is_in_the_file_or_the_messages(
    database, batch, proxy, tmp_path, spooled, caplog, capsys
):
    """They name the database without it."""
    secret = conninfo_to_dict(proxy.dsn).get("password", "swordfish")
    through = Database.at(make_conninfo(proxy.dsn, password=secret))
    async with opened_ledger(database, tmp_path, batch, through=through) as ledger:
        await ledger.submitting("a", "fox", "key")
        part(proxy)
        ledger.submitted("a", "task-1")
        await until(lambda: spooled() and "cannot connect" in caplog.text)
        await proxy.accept()

    assert secret not in caplog.text + capsys.readouterr().err


# A faulty change.


async def test_a_text_that_the_database_refuses_loses_no_id(ledger, database, batch):
    """Only the faulty change fails, although all are in one transaction."""
    waits = [ledger.submitted("a", "task-1"), ledger.submitted("b", "task-2")]
    faulty = ledger.ended("b", ItemState.FAILED, "a record with \0")
    waits.append(ledger.submitted("c", "task-3"))
    await asyncio.gather(*waits)
    with pytest.raises(LedgerError, match="the database refuses"):
        await faulty

    assert {"a": "task-1", "b": "task-2", "c": "task-3"} == await task_ids(database, batch)


async def test_a_key_that_is_too_long_is_refused(ledger, database, batch):
    """No other try helps, so it does not hold up the ids behind it."""
    key = "".join(random.choices(string.printable, k=9000))
    with pytest.raises(LedgerError, match="the database refuses"):
        await ledger.submitting(key, "fox", "key")
    await ledger.submitted("a", "task-1")

    assert "task-1" == (await task_ids(database, batch))["a"]


async def test_an_id_that_is_refused_is_left_in_the_file(ledger, spooled):
    """The database cannot hold it."""
    with pytest.raises(LedgerError, match="the database refuses"):
        await ledger.submitted("a", "task\0")
    await ledger.submitted("b", "task-2")

    assert ["a"] == spooled()


async def test_a_function_that_fails_loses_no_id(ledger, database, batch):
    """Its caller gets the error; the ids in its transaction are written."""
    first = ledger.submitted("a", "task-1")
    text = ledger.set_meta("name", lambda: json.dumps(object()))
    last = ledger.submitted("b", "task-2")
    await asyncio.gather(first, last)
    with pytest.raises(LedgerError, match="not JSON serializable"):
        await text

    assert ["task-1", "task-2"] == [(await task_ids(database, batch))[key] for key in "ab"]


@pytest.mark.parametrize(
    "setting", ["default_transaction_read_only = on", "idle_in_transaction_session_timeout = 1"]
)
async def test_what_passes_is_waited_for(ledger, database, batch, spooled, setting):
    """A database that only reads for a while, or that ended a transaction of a process that stood still."""
    connection = ledger._writer._connection
    await connection.execute(f"SET {setting}")
    wait = ledger.submitted("a", "task-1")
    if "idle" in setting:
        ledger.set_meta("name", lambda: time.sleep(0.2) or "text")  # as a frozen process
    else:
        await until(spooled)
        await connection.execute("RESET default_transaction_read_only")
    await wait

    assert "task-1" == (await task_ids(database, batch))["a"]


# The file.


def test_a_full_disk_of_the_worker_is_shown(tmp_path, monkeypatch, capsys):
    """The ids are on stderr."""

    def no_space(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    spool = Spool(tmp_path / "spool")
    spool.keep([SpooledId("b", "a", "task-1")])
    spool.close()
    shown = capsys.readouterr().err

    assert "No space left on device" in shown
    assert "task-1" in shown


async def test_kept_ids_are_recovered(database, batch, tmp_path):
    """Those of a worker that was killed: an item that became uncertain is submitted."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await ledger.submitting("a", "fox", "key")
        await ledger.ended("a", ItemState.UNCERTAIN, "{}")
    connection = await database.connect()
    for _ in range(2):
        assert [] == await keep_ids(connection, [SpooledId(batch, "a", "task-1", 2.0)])
    await connection.close()

    assert [("submitted", "task-1", 2)] == await run(
        database, "SELECT state, task_id, price FROM item WHERE batch_id = %s AND key = 'a'", batch
    )


async def test_a_recovered_second_id_is_noted(database, batch, tmp_path):
    """The item has another one already."""
    async with opened_ledger(database, tmp_path, batch) as ledger:
        await ledger.submitting("a", "fox", "key")
        await ledger.submitted("a", "task-1")
    connection = await database.connect()
    kept = SpooledId(batch, "a", "task-2")
    assert [kept] == await keep_ids(connection, [kept])
    await connection.close()

    assert (("a", "task-2"),) == (await Cluster(database).status(batch)).second_tasks


# A full disk of the database.


@pytest.fixture
async def small(postgres_on_small_disk):
    """A server whose disk can be filled, and its database."""
    server = postgres_on_small_disk("data")
    database = Database.at(server.dsn)
    await migrate(database)
    await made_batch(database, "b", KEYS)
    return server, database


async def test_without_space_submits_are_refused_and_ids_are_kept(small, tmp_path, spooled):
    """When there is space again, the ids are written."""
    server, database = small
    async with opened_ledger(database, tmp_path) as ledger:
        for key in KEYS:
            await ledger.submitting(key, "fox", key)
        server.disk.fill()
        long = "x" * 100_000
        submits = [
            asyncio.create_task(ledger.submitting(f"new {n}", "fox", long, None, long * 20)) for n in range(3)
        ]
        await asyncio.sleep(0)
        ids = [ledger.submitted(key, f"task of {key}") for key in KEYS]
        outcomes = await asyncio.gather(*submits, return_exceptions=True)
        kept = await until(spooled)
        server.disk.free()
        await asyncio.gather(*ids)

        assert [LedgerError] * 3 == [type(outcome) for outcome in outcomes]
        assert all("is full" in str(outcome) for outcome in outcomes)
        assert KEYS == kept
        assert {key: f"task of {key}" for key in KEYS} == await task_ids(database, "b")


async def test_workers_of_two_databases_have_files_of_their_own(database, tmp_path):
    """They have the same number and the same folder."""
    names = {spool_path(tmp_path, 1) for _ in range(2)}

    assert 2 == len(names)
    assert {tmp_path} == {name.parent for name in names}
