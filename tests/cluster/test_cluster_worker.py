"""A worker in this process: its requests, its heartbeats and its end, while the database and other workers trouble it."""

from __future__ import annotations

import asyncio
import os
import uuid
from types import SimpleNamespace

import pytest
from cluster_parts import run
from cut_proxy import CutProxy
from helpers import posts, session_at
from psycopg.conninfo import make_conninfo
from worker_parts import counts, ended, foxes, working
from workers import until

from foxapi_async import ConfigurationError, LedgerError
from foxapi_async.cluster import group_commit
from foxapi_async.cluster import worker as worker_module
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.worker import Worker, WorkerOptions
from foxapi_async.emulator import Emulator, Fault

MOMENTS = range(14) if os.environ.get("FOXAPI_TEST_WHOLE") == "1" else range(0, 14, 3)


@pytest.fixture
def database(cluster_dsn):
    """A database with the tables."""
    return Database.at(cluster_dsn)


@pytest.fixture
def cluster(database):
    """The same, for a user."""
    return Cluster(database)


@pytest.fixture
async def proxy(cluster_dsn):
    """A proxy before that database."""
    async with CutProxy(cluster_dsn) as running:
        yield running


@pytest.fixture
async def emulator():
    """A service with quick tasks."""
    async with Emulator(seconds=0.2) as running:
        yield running


@pytest.fixture(autouse=True)
def _prompt(monkeypatch):
    """Try again soon."""
    monkeypatch.setattr(worker_module, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(group_commit, "RETRY_SECONDS", (0.05,))


# Requests.


async def test_each_item_is_submitted_once(cluster, database, emulator, tmp_path):
    """Its image is in the folder of the batch."""
    await cluster.submit(foxes(5), batch_id="b")
    async with working(database, emulator, tmp_path):
        assert ["done"] * 5 == await ended(cluster)

    assert 5 == len(emulator.tasks)
    assert 5 == len([path for path in (tmp_path / "b" / "images").rglob("*") if path.is_file()])


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("way", ["cut_before", "cut_after"])
async def test_a_cut_at_any_commit_bills_nothing_twice(
    cluster, database, proxy, emulator, tmp_path, way, moment
):
    """All items end, whatever the worker was about to write."""
    getattr(proxy, way)("COMMIT", passing=moment + 1)
    await cluster.submit(foxes(3), batch_id="b")
    async with working(Database.at(proxy.dsn), emulator, tmp_path, lease=3):
        found = await ended(cluster)

    assert ["done"] * 3 == found
    assert 3 == len(emulator.tasks)


async def test_nothing_is_sent_after_the_end_of_the_lease(cluster, database, emulator, tmp_path, caplog):
    """The requests are recorded, and do not leave. At the end of the worker they are new again."""
    async with working(database, emulator, tmp_path) as worker:
        worker._lease.end()
        await cluster.submit(foxes(3), batch_id="b")
        await until(lambda: "nothing was sent" in caplog.text)

    assert [] == posts(emulator)
    assert {"new": 3} == await counts(cluster)


async def test_new_items_do_not_wait_for_running_tasks(cluster, database, tmp_path):
    """A worker asks for more while its tasks run."""
    async with Emulator(seconds=600) as slow, working(database, slow, tmp_path):
        await cluster.submit(foxes(1), batch_id="b")
        await until(lambda: len(slow.tasks) == 1)
        await cluster.submit(foxes(2), batch_id="b")
        await until(lambda: len(slow.tasks) == 2)


async def test_two_batches_run_at_the_same_time(cluster, database, emulator, tmp_path):
    """Each in a folder of its own."""
    async with working(database, emulator, tmp_path, until_done=False):
        await asyncio.gather(*(cluster.submit(foxes(3), batch_id=name) for name in ("b", "c")))
        found = await asyncio.gather(ended(cluster, "b"), ended(cluster, "c"))

    assert [["done"] * 3] * 2 == found
    assert 6 == len(emulator.tasks)


async def test_a_worker_keeps_to_its_part_of_the_rate(cluster, database, tmp_path):
    """It is alone, so this is the whole rate."""

    async def has_all():
        return [(50.0,)] == await run(database, "SELECT granted FROM rate_lease WHERE kind = 'submit'")

    await cluster.submit(foxes(1), batch_id="b")
    async with Emulator(seconds=600) as service, working(database, service, tmp_path, rate=50, lease=1):
        await until(has_all)
        await until(lambda: service.tasks)


async def test_a_worker_counts_its_transactions(cluster, database, emulator, tmp_path):
    """It has none before it begins."""
    async with session_at(emulator) as fox:
        idle = Worker(database, fox, WorkerOptions(out=tmp_path))
    await cluster.submit(foxes(1), batch_id="b")
    async with working(database, emulator, tmp_path) as worker:
        await ended(cluster)

    assert 0 == idle.transactions < worker.transactions


# The end of a worker.


async def test_a_worker_that_has_left_sends_no_heartbeat(database, emulator, tmp_path):
    """One was waiting for the connection while the worker left."""
    async with working(database, emulator, tmp_path) as worker:
        pass
    seen = "SELECT state, seen FROM worker"
    before = await run(database, seen)
    await worker._send_heartbeat()
    await worker._control.close()

    assert before == await run(database, seen)
    assert "left" == before[0][0]


async def test_a_worker_needs_its_database(database, proxy, emulator, tmp_path):
    """It ends with an error if it cannot begin."""
    proxy.refuse()
    async with session_at(emulator) as fox:
        with pytest.raises(LedgerError, match="cannot connect to the database"):
            await Worker(Database.at(proxy.dsn), fox, WorkerOptions(out=tmp_path)).run()


async def test_a_stopped_worker_waits_for_its_answer(cluster, database, tmp_path):
    """It sends heartbeats meanwhile, so that it is not replaced. Then others may poll the task."""
    faults = [Fault.slow("submit", seconds=4)]
    async with (
        Emulator(seconds=600, faults=faults) as slow,
        working(database, slow, tmp_path / "1", lease=0.6),
        working(database, slow, tmp_path / "2", lease=0.6) as first,
    ):
        await cluster.submit(foxes(1), batch_id="b")
        await until(lambda: posts(slow))

    assert 1 == len(slow.tasks)
    assert {"submitted": 1} == await counts(cluster)
    assert [] == await run(database, "SELECT owner FROM item WHERE owner IS NOT NULL")
    assert [("left",)] == await run(database, "SELECT state FROM worker WHERE id = %s", first.number)


async def test_a_refusal_after_the_stop_leaves_the_item_new(cluster, database, tmp_path):
    """It is not billed, so it is not uncertain."""
    asked, answers = asyncio.Event(), asyncio.Event()

    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await answers.wait()
        writer.write(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with working(database, SimpleNamespace(key="sk-a-test-key", url=url), tmp_path) as worker:
            await cluster.submit(foxes(1), batch_id="b")
            await asked.wait()
            worker.stop()
            await asyncio.sleep(0.2)
            answers.set()

    assert {"new": 1} == await counts(cluster)


async def test_unsent_items_are_handed_back(cluster, database, tmp_path):
    """Another worker continues with them, and with the running tasks."""
    async with Emulator(seconds=2) as service:
        async with working(database, service, tmp_path / "1", concurrency=2):
            await cluster.submit(foxes(6), batch_id="b")
            await until(lambda: len(service.tasks) >= 2)
        assert [] == await run(database, "SELECT owner FROM item WHERE owner IS NOT NULL")
        async with working(database, service, tmp_path / "2"):
            assert ["done"] * 6 == await ended(cluster)

    assert 6 == len(service.tasks)


# The database is away.


async def test_a_worker_outlives_an_outage_of_the_database(cluster, database, proxy, emulator, tmp_path):
    """It is shorter than two leases, so no other worker has taken over."""
    async with working(Database.at(proxy.dsn), emulator, tmp_path, lease=20) as worker:
        await cluster.submit(foxes(1), batch_id="a")
        await ended(cluster, "a")
        proxy.refuse()
        proxy.cut()
        await asyncio.sleep(3)
        await proxy.accept()
        await cluster.submit(foxes(3), batch_id="b")
        found = await ended(cluster)

    assert ["done"] * 3 == found
    assert worker.fault is None


async def test_a_heartbeat_whose_answer_is_lost_ends_no_worker(cluster, database, proxy, emulator, tmp_path):
    """The next one continues the count."""
    async with working(Database.at(proxy.dsn), emulator, tmp_path, lease=2):
        cut = proxy.cut_after("UPDATE worker SET seen")
        await until(cut.happened.is_set)
        await cluster.submit(foxes(1), batch_id="b")

        assert ["done"] == await ended(cluster)


async def test_a_quota_refusal_during_an_outage_ends_no_worker(cluster, database, proxy, tmp_path):
    """That the model is stopped is written when the database is back."""
    quota = Fault.status("submit", 403, code="insufficient_user_quota", times=None)
    async with (
        Emulator(seconds=0.2, faults=[quota]) as poor,
        working(Database.at(proxy.dsn), poor, tmp_path, lease=20) as worker,
    ):
        cut = proxy.cut_before("UPDATE batch SET stopped_models")
        await cluster.submit(foxes(1), batch_id="b")
        await until(cut.happened.is_set)

        async def is_stopped():
            return await run(database, "SELECT id FROM batch WHERE stopped_models <> '{}'")

        await until(is_stopped)
        assert worker.fault is None


async def test_a_worker_ends_although_the_database_is_silent(
    cluster, database, proxy, emulator, tmp_path, monkeypatch
):
    """Its connections are open, and nothing is answered. It gives up after some time."""
    monkeypatch.setattr(group_commit, "CLOSING_SECONDS", 0.3)
    monkeypatch.setattr(worker_module, "LEAVING_SECONDS", 0.3)
    async with asyncio.timeout(40), working(Database.at(proxy.dsn), emulator, tmp_path, lease=1) as worker:
        await cluster.submit(foxes(2), batch_id="b")
        await until(lambda: len(emulator.tasks) == 2)
        proxy.stall()
        await until(lambda: not worker._lease.is_valid())
        worker.stop()


# Other workers.


async def test_a_frozen_worker_that_reserves_credits_holds_up_no_heartbeats(
    cluster, database, emulator, tmp_path
):
    """Its transaction locks the batch. The others go on when the server has ended it."""
    await cluster.submit(foxes(2), batch_id="b", budget=100)
    frozen = await database.connect(idle=3)
    await frozen.execute("BEGIN")
    await frozen.execute("SELECT id FROM batch FOR NO KEY UPDATE")
    async with (
        working(database, emulator, tmp_path / "1", lease=0.9) as one,
        working(database, emulator, tmp_path / "2", lease=0.9) as two,
    ):
        found = await ended(cluster)
    await frozen.close()

    assert ["done"] * 2 == found
    assert [None, None] == [one.fault, two.fault]


async def test_a_claim_does_not_wait_for_a_frozen_worker(cluster, database, tmp_path):
    """The batch has a budget, and another worker stands still while it reserves credits. The claim is made later."""

    async def waits():
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        return 0 < (await run(database, waiting))[0][0]

    async def waits_no_more():
        return not await waits()

    await cluster.submit(foxes(1), batch_id="b", budget=100, price=5)
    async with (
        Emulator(seconds=600) as service,
        working(database, service, tmp_path, lease=3),
        await database.connect() as frozen,
    ):
        await until(lambda: 1 == len(service.tasks))
        async with frozen.transaction():
            await frozen.execute("SELECT id FROM batch FOR NO KEY UPDATE")
            await until(waits)
            await until(waits_no_more)
        await cluster.submit(foxes(2), batch_id="b")
        await until(lambda: 2 == len(service.tasks))


async def test_a_claim_that_fails_ends_no_worker(cluster, database, emulator, tmp_path, caplog):
    """The log says why the work on the batch has ended. The next job begins it again."""
    await cluster.submit(foxes(1), batch_id="b", budget=100)
    await run(database, "ALTER TABLE price RENAME TO hidden")
    async with working(database, emulator, tmp_path) as worker:
        await until(lambda: 'the work on batch b was interrupted: relation "price" does not' in caplog.text)
        await run(database, "ALTER TABLE hidden RENAME TO price")
        await cluster.submit([], batch_id="b")
        assert ["done"] == await ended(cluster)

    assert worker.fault is None


async def test_a_claim_in_another_database_stops_the_worker(cluster, database, tmp_path):
    """It claims nothing there, and says why it stops."""
    async with Emulator(seconds=0.5) as service:
        with pytest.raises(LedgerError, match="the database is another one than before"):
            async with working(database, service, tmp_path, concurrency=1) as worker:
                await cluster.submit(foxes(2), batch_id="b")
                await until(lambda: service.tasks)
                await run(database, "UPDATE meta SET value = 'other' WHERE name = 'identity'")
                await until(worker._stopping.is_set)

    assert 1 == len(service.tasks)


async def test_a_worker_that_is_interrupted_at_once_ends(database, emulator, tmp_path):
    """It has no ids to keep yet."""
    async with session_at(emulator) as fox:
        running = asyncio.create_task(Worker(database, fox, WorkerOptions(out=tmp_path)).run())
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])

    assert running.cancelled()


async def test_a_replaced_worker_stops(cluster, database, emulator, tmp_path):
    """It hears it from its next heartbeat, and says why."""
    with pytest.raises(LedgerError, match="was replaced"):
        async with working(database, emulator, tmp_path, lease=1) as worker:
            await run(database, "UPDATE worker SET state = 'lost'")
            await until(worker._stopping.is_set)


async def test_items_of_a_lost_worker_go_to_a_busy_one(cluster, database, tmp_path):
    """They do not wait for its running tasks."""
    async with Emulator(seconds=600) as service, working(database, service, tmp_path, lease=3):
        await cluster.submit(foxes(2), batch_id="b")
        await until(lambda: len(service.tasks) == 2)
        await run(
            database,
            "WITH lost AS (INSERT INTO worker (host, pid, version, lease, seen) VALUES ('h', 1, '1', 0.1, now() - "
            "interval '1 day') RETURNING id) UPDATE item SET owner = lost.id, epoch = epoch + 1, state = 'new', "
            "task_id = NULL FROM lost WHERE number = (SELECT min(number) FROM item)",
        )
        await until(lambda: len(service.tasks) == 3)


async def test_a_partitioned_worker_loses_no_id(cluster, database, proxy, tmp_path):
    """Its submits become uncertain. Its answers come meanwhile, and the ids are stored when it is back."""
    faults = [Fault.slow("submit", seconds=2, times=None)]
    async with Emulator(seconds=600, faults=faults) as slow:
        with pytest.raises(LedgerError, match="was replaced"):
            async with working(Database.at(proxy.dsn), slow, tmp_path / "1", lease=1) as first:
                await cluster.submit(foxes(5), batch_id="b")
                await until(lambda: len(posts(slow)) == 5)
                proxy.refuse()
                proxy.cut()
                async with working(database, slow, tmp_path / "2", lease=1):

                    async def is_uncertain():
                        return {"uncertain": 5} == await counts(cluster)

                    await until(is_uncertain)
                    await until(lambda: list((tmp_path / "1").glob("unwritten-*")))
                    await proxy.accept()
                    await until(first._stopping.is_set)

    ids = {task_id for (task_id,) in await run(database, "SELECT task_id FROM item")}
    assert {"submitted": 5} == await counts(cluster)
    assert set(slow.tasks) == ids
    assert [] == list((tmp_path / "1").glob("unwritten-*"))


async def test_an_id_that_is_being_written_is_kept_at_a_second_signal(cluster, proxy, tmp_path, monkeypatch):
    """It is in the file at once: the process may be killed before the database answers."""
    monkeypatch.setattr(group_commit, "SILENT_SECONDS", 600)
    await cluster.submit(foxes(1), batch_id="b")
    async with Emulator(faults=[Fault.slow("submit", 1.0)]) as slow, session_at(slow) as fox:
        worker = Worker(Database.at(proxy.dsn), fox, WorkerOptions(out=tmp_path))
        running = asyncio.create_task(worker.run())
        await until(lambda: posts(slow))
        proxy.stall()
        await until(lambda: worker._writer._group)
        worker.stop()
        running.cancel()
        try:
            kept = await until(lambda: [path.read_text() for path in tmp_path.glob("unwritten-*")], seconds=3)
        finally:
            proxy.flow()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert all(task_id in kept[0] for task_id in slow.tasks)


async def test_a_pause_by_a_person_is_named(cluster, database, emulator, tmp_path, caplog):
    """The submits that wait for their turn end then, which is no fault of the service. The pause stays as it was."""
    caplog.set_level("INFO")
    await cluster.submit(foxes(5), batch_id="b")
    async with working(database, emulator, tmp_path, lease=1, rate=1):
        await until(lambda: posts(emulator))
        await cluster.pause("b")
        await until(lambda: "the work on batch b has ended" in caplog.text)

    assert (
        "the work on batch b has ended: a person has paused it: `foxapi cluster resume b` continues it"
        in caplog.text
    )
    assert [("paused", "user")] == await run(database, "SELECT state, reason FROM batch")


async def test_a_batch_that_was_resumed_meanwhile_is_not_paused_again(cluster, database, emulator, tmp_path):
    """The worker has only ended the submits that waited for their turn."""
    await cluster.submit(foxes(3), batch_id="b")
    async with working(database, emulator, tmp_path, lease=1, rate=1) as worker:
        await until(lambda: posts(emulator))
        work, task = worker._batches["b"]
        work.stop()
        await asyncio.wait([task])
        assert ["done"] * 3 == await ended(cluster)


async def test_the_pause_of_another_worker_is_named(cluster, database, emulator, tmp_path, caplog):
    """It has a reason."""
    caplog.set_level("INFO")
    await cluster.submit(foxes(5), batch_id="b")
    async with working(database, emulator, tmp_path, lease=1, rate=1):
        await until(lambda: posts(emulator))
        await run(
            database, "UPDATE batch SET state = 'paused', reason = 'account', problem = 'the key is refused'"
        )
        await until(lambda: "the work on batch b has ended" in caplog.text)

    assert "the work on batch b has ended: it is paused, because the key is refused" in caplog.text


async def test_a_worker_that_is_too_old_leaves(cluster, database, emulator, tmp_path):
    """The tables have a newer version. It claims nothing, and others may continue with its tasks at once."""
    with pytest.raises(ConfigurationError, match="start it with the new version"):
        async with working(database, emulator, tmp_path) as worker:
            await run(database, "UPDATE meta SET value = '99' WHERE name = 'version'")
            await run(database, "INSERT INTO batch (id) VALUES ('b')")
            await run(database, "INSERT INTO item (batch_id, key, fingerprint) VALUES ('b', 'a', 'fox')")
            await until(worker._stopping.is_set)

    assert [("left",)] == await run(database, "SELECT state FROM worker")
    assert [] == posts(emulator)


async def test_a_worker_needs_no_right_to_make_tables(cluster, database, cluster_dsn, emulator, tmp_path):
    """Those to read and to change the rows are enough."""
    user = f"worker_{uuid.uuid4().hex}"
    rights = f"""
        CREATE ROLE {user} LOGIN PASSWORD 'secret';
        GRANT USAGE ON SCHEMA foxapi TO {user};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA foxapi TO {user};
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA foxapi TO {user};
    """
    await run(database, rights.encode())
    try:
        await cluster.submit(foxes(3), batch_id="b")
        dsn = make_conninfo(cluster_dsn, user=user, password="secret")
        async with working(Database.at(dsn), emulator, tmp_path):
            assert ["done"] * 3 == await ended(cluster)
    finally:
        await run(database, f"DROP OWNED BY {user}".encode())
        await run(database, f"DROP ROLE {user}".encode())
