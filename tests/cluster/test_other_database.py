"""The database is not the one that it was: an older copy was restored, or another server took over."""

from __future__ import annotations

import asyncio
import contextlib
import time

import psycopg
import pytest
from cluster_parts import made_batch, opened_ledger, run
from cut_proxy import CutProxy
from helpers import fox_request, session_at
from postgres_server import OwnServer, check_owned, fresh_database
from workers import until

from foxapi_async import LedgerError
from foxapi_async._ledger.entry import ItemState
from foxapi_async.cluster.claims import claim
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.migration import migrate
from foxapi_async.cluster.registration import register
from foxapi_async.cluster.worker import Worker, WorkerOptions

ITEMS = "SELECT key, state, task_id FROM item ORDER BY key"
STATES = "SELECT id, state, reason FROM batch ORDER BY id"


@pytest.fixture(scope="module")
def server(postgres):
    """A server of this module, because a recovery changes its identity for good."""
    check_owned(postgres)
    server = OwnServer()
    yield server
    server.remove()


@pytest.fixture
def dsn(server):
    """The address of an empty database, whose server the tests may stop."""
    with fresh_database(server) as made:
        yield made


@pytest.fixture
async def database(dsn):
    """The same with the tables."""
    made = Database.at(dsn)
    await migrate(made)
    return made


def copied(server):
    """A copy of everything that the server has now."""
    server.stop()
    copy = server.copy()
    server.start()
    return copy


def restored(server, copy, *, recovers=False):
    """Restore a copy: as it is, or by a recovery, which begins a new timeline."""
    server.stop()
    server.restore(copy)
    if recovers:
        (server.data / "recovery.signal").touch()
        with (server.data / "postgresql.auto.conf").open("a") as settings:
            settings.write("restore_command = 'false'\n")
    server.start()
    with psycopg.connect(server.dsn, autocommit=True) as connection:  # it may answer before it has recovered
        while connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
            time.sleep(0.01)


@contextlib.asynccontextmanager
async def holding(database, folder, held=(), faults=None, batch="b"):
    """The ledger of a worker that holds ids."""
    on_fault = (lambda _: None) if faults is None else faults.append
    async with opened_ledger(database, folder, batch, on_fault=on_fault, held=lambda: list(held)) as ledger:
        yield ledger


# A worker that lives meanwhile.


@pytest.mark.parametrize("recovers", [False, True])
async def test_ids_that_a_copy_lacks_are_written_again(database, server, tmp_path, recovers):
    """Those of items that are new in the copy, and of one that was being sent."""
    await made_batch(database, "b", ["a", "b", "c"])
    held = []
    async with holding(database, tmp_path, held) as ledger:
        await ledger.submitting("a", "fox", "key")
        copy = copied(server)
        await ledger.submitting("b", "fox", "key")
        for key in "ab":
            await ledger.submitted(key, f"task of {key}", 2.0)
        held += ledger.accepted.values()
        await ledger.ended("b", ItemState.DONE, "{}")
        restored(server, copy, recovers=recovers)
        await ledger.totals()

    wanted = [("a", "submitted", "task of a"), ("b", "submitted", "task of b"), ("c", "new", None)]
    assert wanted == await run(database, ITEMS)


@pytest.mark.parametrize("recovers", [False, True])
async def test_all_batches_pause(database, server, tmp_path, recovers):
    """Until someone has checked what was lost."""
    for name in ("a", "b"):
        await made_batch(database, name, ["x"])
    async with holding(database, tmp_path) as ledger:
        copy = copied(server)
        await ledger.submitting("x", "fox", "key")
        restored(server, copy, recovers=recovers)
        await ledger.totals()

    assert [("a", "paused", "database"), ("b", "paused", "database")] == await run(database, STATES)


@pytest.mark.parametrize("recovers", [False, True])
async def test_the_worker_sends_nothing_more(database, server, tmp_path, recovers):
    """It is told why, and a submit is refused."""
    await made_batch(database, "b", ["a", "b"])
    faults = []
    async with holding(database, tmp_path, faults=faults) as ledger:
        await ledger.submitting("a", "fox", "key")
        copy = copied(server)
        await ledger.released("a")
        restored(server, copy, recovers=recovers)
        with pytest.raises(LedgerError, match="check what was lost"):
            await ledger.submitting("b", "fox", "key")

    assert 1 == len(faults)


async def test_an_id_that_comes_after_the_restore_is_stored(database, server, tmp_path):
    """The item is new in the copy, so its answer comes for a submit of which the database knows nothing."""
    await made_batch(database, "b", ["a"])
    async with holding(database, tmp_path) as ledger:
        copy = copied(server)
        await ledger.submitting("a", "fox", "key")
        restored(server, copy)
        await ledger.totals()
        await ledger.submitted("a", "late", 2.0)

    assert [("a", "submitted", "late")] == await run(database, ITEMS)


async def test_the_id_of_a_batch_that_the_copy_lacks_is_kept(database, server, tmp_path):
    """It is among the second tasks, because there is no item."""
    held = []
    async with holding(database, tmp_path, held) as ledger:
        copy = copied(server)
        await made_batch(database, "b", ["a"])
        await ledger.submitting("a", "fox", "key")
        await ledger.submitted("a", "task", 2.0)
        held += ledger.accepted.values()
        restored(server, copy)
        await ledger.totals()

    assert [("b", "a", "task")] == await run(database, "SELECT batch_id, key, task_id FROM second_task")


async def test_a_lost_answer_of_another_database_is_not_asked_for(database, dsn, server, tmp_path):
    """The number of the transaction is that of another one there. The submit is refused."""
    await made_batch(database, "b", ["a"])
    async with CutProxy(dsn) as proxy:
        through = Database.at(proxy.dsn)
        async with opened_ledger(database, tmp_path, through=through) as ledger:
            copy = copied(server)
            cut = proxy.cut_after("COMMIT")
            submit = asyncio.create_task(ledger.submitting("a", "fox", "key"))
            await until(cut.happened.is_set)
            proxy.refuse()
            restored(server, copy, recovers=True)
            await proxy.accept()
            with pytest.raises(LedgerError, match="check what was lost"):
                await submit

    assert [("a", "new", None)] == await run(database, ITEMS)


async def test_a_batch_that_was_resumed_is_not_paused_again(database, server, tmp_path):
    """Another worker has paused it for this server, and someone has checked what was lost."""
    await made_batch(database, "b", ["a"])
    async with holding(database, tmp_path) as first, holding(database, tmp_path) as second:
        restored(server, copied(server), recovers=True)
        await first.totals()
        paused = await run(database, STATES)
        await Cluster(database).resume("b")
        await second.totals()

    assert [("b", "paused", "database")] == paused
    assert [("b", "open", None)] == await run(database, STATES)


@pytest.mark.parametrize("way", ["restart", "crash"])
async def test_a_restart_is_no_other_database(database, server, tmp_path, way):
    """The work continues."""
    await made_batch(database, "b", ["a"])
    async with holding(database, tmp_path) as ledger:
        await ledger.submitting("a", "fox", "key")
        server.restart(immediate=way == "crash")
        await ledger.submitted("a", "task")

    assert [("b", "open", None)] == await run(database, STATES)
    assert [("a", "submitted", "task")] == await run(database, ITEMS)


async def has_ids(database, count):
    """Whether so many ids are in the database."""
    return [(count,)] == await run(database, "SELECT count(task_id) FROM item")


async def test_a_running_worker_stops(database, server, tmp_path, emulator):
    """It notices it by itself, writes what it holds, and raises."""
    async with session_at(emulator) as fox:
        copy = copied(server)
        await Cluster(database).submit([fox_request(f"fox {n}") for n in range(3)], batch_id="b")
        worker = Worker(database, fox, WorkerOptions(out=tmp_path, lease=2))
        running = asyncio.create_task(worker.run())
        await until(lambda: has_ids(database, 3))
        restored(server, copy)
        with pytest.raises(LedgerError, match="older state"):
            await running

    ids = {task_id for _, _, task_id in await run(database, "SELECT batch_id, key, task_id FROM second_task")}
    assert set(emulator.tasks) == ids


async def test_a_running_worker_notices_a_dump(database, dsn, server, tmp_path, emulator):
    """Its connections stay open. It writes what it holds, pauses all batches, and raises."""
    await made_batch(database, "a")
    async with session_at(emulator) as fox:
        dump = server.dump(dsn)
        await Cluster(database).submit([fox_request(f"fox {n}") for n in range(3)], batch_id="b")
        worker = Worker(database, fox, WorkerOptions(out=tmp_path, lease=2))
        running = asyncio.create_task(worker.run())
        await until(lambda: has_ids(database, 3))
        server.load(dump, dsn, "--clean")
        with pytest.raises(LedgerError, match="the database"):
            await running

    ids = {task_id for _, _, task_id in await run(database, "SELECT batch_id, key, task_id FROM second_task")}
    assert set(emulator.tasks) == ids
    assert [("a", "paused", "database")] == await run(database, STATES)


# A worker that begins then.


async def test_a_standby_is_refused(database, server):
    """It only reads. The message says which address is wanted."""
    server.stop()
    (server.data / "standby.signal").touch()
    server.start()
    connection = await database.connect()
    try:
        with pytest.raises(LedgerError, match="give the address of the primary"):
            await register(connection, 30)
    finally:
        await connection.close()
        server.stop()
        (server.data / "standby.signal").unlink()
        server.start()


async def test_a_new_worker_pauses_all_batches(database, server):
    """The server has another identity, and no worker is left that knows it."""
    await made_batch(database, "b", ["a"])
    restored(server, copied(server), recovers=True)
    connection = await database.connect()
    known = await register(connection, 30)
    answer = await claim(connection, known.worker, "b", 1)
    await connection.close()

    assert ("paused", []) == (answer.state, answer.items)


async def test_a_resumed_batch_goes_on_with_a_new_worker(database, server):
    """The new identity is the one from now on."""
    await made_batch(database, "b", ["a"])
    restored(server, copied(server), recovers=True)
    connection = await database.connect()
    await register(connection, 30)
    await Cluster(database).resume("b")
    known = await register(connection, 30)
    answer = await claim(connection, known.worker, "b", 1)
    await connection.close()

    assert ["a"] == [item.entry.key for item in answer.items]


def load_anew(server, dump, dsn):
    """Load a dump in the place of the tables."""
    server.load(dump, dsn, "--clean")


def load_rows(server, dump, dsn):
    """Load only the rows of a dump, into tables that stay."""
    with psycopg.connect(dsn, autocommit=True, options="-c search_path=foxapi") as connection:
        names = [
            name
            for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'foxapi'")
        ]
        connection.execute(f"TRUNCATE {', '.join(names)}".encode())
    server.load(dump, dsn, "--data-only", "--disable-triggers")


@pytest.mark.parametrize("load", [load_anew, load_rows])
async def test_a_dump_in_the_same_database_pauses_all_batches(database, dsn, server, load):
    """No worker is left that knows a later state, and the server is the same."""
    await made_batch(database, "b", ["a"])
    load(server, server.dump(dsn), dsn)
    connection = await database.connect()
    known = await register(connection, 30)
    answer = await claim(connection, known.worker, "b", 1)
    await connection.close()

    assert ("paused", []) == (answer.state, answer.items)


END = """
    UPDATE item SET state = 'done', ready = false, ended = %s::xid8, record = '{}' WHERE batch_id = 'b' AND key = %s
"""


async def test_the_ends_of_another_server_are_read(database, dsn, server):
    """Its numbers were larger. Its ends come first, and the later ones follow them."""
    await made_batch(database, "b", ["a", "b", "c", "d"])
    await run(database, "UPDATE item SET ready = false")
    for number, key in [("999999999992", "a"), ("999999999991", "b"), ("3", "c")]:
        await run(database, END, number, key)
    server.load(server.dump(dsn), dsn, "--clean")
    before = [end async for end in Cluster(database).results("b")]
    await run(database, "UPDATE item SET ended = pg_current_xact_id() WHERE key = 'd'")
    later = [end.key async for end in Cluster(database).results("b", after=before[-1].cursor)]

    assert (["c", "a", "b"], ["d"]) == ([end.key for end in before], later)


async def test_a_copy_of_the_database_pauses_all_batches(database, dsn, server):
    """`CREATE DATABASE ... TEMPLATE` copies the files of its tables."""
    await made_batch(database, "b", ["a"])
    with fresh_database(server, dsn.rpartition("/")[2]) as copy:
        async with Cluster.open(copy) as cluster:
            status = await cluster.status("b")

    assert ("paused", "database") == (status.state, status.reason)


@pytest.mark.parametrize("care", ["VACUUM FULL meta", "VACUUM FREEZE meta", "CLUSTER meta USING meta_pkey"])
async def test_care_for_the_tables_makes_no_other_database(database, care):
    """The rows are the same, although they may have moved."""
    await made_batch(database, "b", ["a"])
    await run(database, care)

    assert "open" == (await Cluster(database).status("b")).state


async def test_another_identity_is_noted_once(database):
    """Of several programs that notice it at a time, one pauses the batches: a person may have resumed them already."""
    await made_batch(database, "b", ["a"])
    await run(database, "UPDATE meta SET value = 'other' WHERE name = 'identity'")
    known = await asyncio.gather(*(registered(database) for _ in range(5)))

    assert 1 == len({each.identity for each in known})
    assert [(known[0].identity,)] == await run(database, "SELECT value FROM meta WHERE name = 'identity'")


async def registered(database):
    """What a new worker knows."""
    connection = await database.connect()
    try:
        return await register(connection, 30)
    finally:
        await connection.close()


async def test_tables_without_an_identity_get_one(database):
    """They were made by `psql`: this is no other server."""
    await made_batch(database, "b", ["a"])
    await run(database, "DELETE FROM meta WHERE name = 'identity'")
    connection = await database.connect()
    await register(connection, 30)
    await connection.close()

    assert [("b", "open", None)] == await run(database, STATES)
    assert 1 == len(await run(database, "SELECT value FROM meta WHERE name = 'identity'"))
