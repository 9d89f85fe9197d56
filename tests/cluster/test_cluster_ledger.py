"""What a worker keeps of its own beside the rows: the last ids, and the undoing of a submit without a caller."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from cluster_parts import claimed, made_batch, opened_ledger, run
from cut_proxy import CutProxy
from workers import until

from foxapi_async.cluster import ledger as ledger_module
from foxapi_async.cluster.database import Database


@pytest.fixture
def database(shared_dsn):
    """A database with the tables."""
    return Database.at(shared_dsn)


@pytest.fixture
async def batch(database):
    """A batch with three items that no worker has."""
    name = uuid.uuid4().hex
    await made_batch(database, name, "abc")
    return name


async def test_only_the_last_ids_are_held(database, batch, tmp_path, monkeypatch):
    """They would fill the memory of a worker that runs for months."""
    monkeypatch.setattr(ledger_module, "IDS_KEPT", 2)
    async with opened_ledger(database, tmp_path, batch) as ledger:
        for key in "abc":
            await ledger.submitting(key, "fox", key)
            await ledger.submitted(key, f"task of {key}")

        assert ["b", "c"] == list(ledger.accepted)


async def test_a_refused_submit_without_a_caller_changes_nothing(database, batch, shared_dsn, tmp_path):
    """Its caller has gone during the transaction, which refuses it: there is nothing to undo."""
    async with (
        CutProxy(shared_dsn) as proxy,
        opened_ledger(database, tmp_path, batch, through=Database.at(proxy.dsn)) as ledger,
    ):
        await claimed(database, ledger)
        proxy.stall()
        submit = asyncio.create_task(ledger.submitting("a", "another request", "key"))
        await asyncio.sleep(0)
        await until(lambda: not ledger._writer._pending)
        submit.cancel()
        proxy.flow()
        await ledger.written()

    asked = "SELECT state, owner = %s FROM item WHERE batch_id = %s AND key = 'a'"
    assert [("new", True)] == await run(database, asked, ledger._writer.worker, batch)


async def test_a_submit_behind_others_is_withdrawn(database, batch, shared_dsn, tmp_path):
    """Its caller has gone before its transaction began: it changes nothing, and those before it are recorded."""
    async with (
        CutProxy(shared_dsn) as proxy,
        opened_ledger(database, tmp_path, batch, through=Database.at(proxy.dsn)) as ledger,
    ):
        await claimed(database, ledger, 3)
        proxy.stall()
        first = asyncio.create_task(ledger.submitting("a", "fox", "key"))
        await asyncio.sleep(0)
        await until(lambda: not ledger._writer._pending)
        second, last = [asyncio.create_task(ledger.submitting(key, "fox", key)) for key in "bc"]
        await asyncio.sleep(0)
        last.cancel()
        await asyncio.wait([last])
        proxy.flow()
        await asyncio.gather(first, second)

    states = await run(database, "SELECT key, state FROM item WHERE batch_id = %s ORDER BY key", batch)
    assert [("a", "submitting"), ("b", "submitting"), ("c", "new")] == states
