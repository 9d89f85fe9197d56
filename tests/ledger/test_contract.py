"""The contract of every ledger: the same facts for the one in a file and for one in memory.

A new implementation is added to `LEDGERS`.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from memory_ledger import MemoryLedger

from foxapi_async import GrokImagineImage, LedgerError
from foxapi_async._batch.budget import Budget, kind_of
from foxapi_async._batch.item import ItemRun, RunContext
from foxapi_async._batch.keys import fingerprint
from foxapi_async._batch.manifest import Manifest
from foxapi_async._batch.record import WorkItem
from foxapi_async._ledger.entry import COMES_FROM, ItemState
from foxapi_async._ledger.sqlite import SqliteLedger


@contextlib.asynccontextmanager
async def in_memory(_):
    yield MemoryLedger()


def in_a_file(folder):
    return SqliteLedger.opened(folder / "ledger.sqlite")


LEDGERS = {"file": in_a_file, "memory": in_memory}


@pytest.fixture(params=LEDGERS)
async def ledger(request, tmp_path):
    async with LEDGERS[request.param](tmp_path) as opened:
        yield opened


async def bring(ledger, key, state):
    """Submit an item, and bring it into a state."""
    await ledger.submitting(key, "fox", f"key of {key}", 2.0, "opening")
    if state is ItemState.NEW:
        await ledger.released(key)
    elif state is not ItemState.SUBMITTING:
        if state is not ItemState.UNCERTAIN:
            await ledger.submitted(key, f"task of {key}", 5.0)
        if state is not ItemState.SUBMITTED:
            await ledger.ended(key, state, "{}")


def move(ledger, key, state):
    """Request one move."""
    if state is ItemState.SUBMITTING:
        return ledger.submitting(key, "fox", "again")
    if state is ItemState.SUBMITTED:
        return ledger.submitted(key, f"task of {key}")
    return ledger.released(key) if state is ItemState.NEW else ledger.ended(key, state, "{}")


async def entry_of(ledger, key):
    return (await ledger.look_up([key]))[key]


@pytest.mark.parametrize("after", ItemState)
@pytest.mark.parametrize("before", ItemState)
async def test_only_the_moves_of_the_table_are_made(ledger, before, after):
    """A move in the table is made. Every other is refused in words, and changes nothing."""
    await bring(ledger, "a", before)
    was = await entry_of(ledger, "a")
    if before in COMES_FROM[after]:
        await move(ledger, "a", after)
        assert after is (await entry_of(ledger, "a")).state
    else:
        with pytest.raises(
            LedgerError, match=f"cannot become {after.value}: it is {before.value} in the ledger"
        ):
            await move(ledger, "a", after)
        assert was == await entry_of(ledger, "a")


@pytest.mark.parametrize("state", [state for state in ItemState if state is not ItemState.SUBMITTING])
async def test_an_unknown_item_can_only_be_submitted(ledger, state):
    """A move of an item that was never submitted is refused."""
    with pytest.raises(LedgerError, match="it is not in the ledger"):
        await move(ledger, "b", state)


async def test_another_request_under_the_same_key_is_refused(ledger):
    """The same key with another fingerprint is an error."""
    await bring(ledger, "a", ItemState.FAILED)
    with pytest.raises(LedgerError, match="with another request"):
        await ledger.submitting("a", "wolf", "key")


async def test_an_entry_has_what_was_noted(ledger):
    """The id, the price and the record are kept; the opening record is there until the final one."""
    await bring(ledger, "a", ItemState.SUBMITTED)
    running = await entry_of(ledger, "a")
    await ledger.ended("a", ItemState.DONE, '{"n": 1}', 7.0)
    ended = await entry_of(ledger, "a")

    assert ("task of a", 5.0, None, "opening") == (
        running.task_id,
        running.price,
        running.record,
        running.opening,
    )
    assert (7.0, '{"n": 1}', None) == (ended.price, ended.record, ended.opening)
    assert running.changed <= ended.changed


@pytest.mark.parametrize("before", [ItemState.NEW, ItemState.FAILED, ItemState.UNCERTAIN])
async def test_a_refused_submit_leaves_the_item_as_it_was(ledger, before):
    """A released item has its former state, and keeps the idempotency key of the refused submit."""
    await bring(ledger, "a", before)
    spent = (await ledger.totals()).spent
    await ledger.submitting("a", "fox", "second key", 4.0)
    assert spent + 4.0 == (await ledger.totals()).spent
    await ledger.released("a")
    entry = await entry_of(ledger, "a")

    assert (before, "second key", None) == (entry.state, entry.idempotency_key, entry.price)
    assert spent == (await ledger.totals()).spent


async def test_a_late_id_makes_an_uncertain_item_submitted(ledger):
    """An uncertain item takes the id of an answer that comes late."""
    await bring(ledger, "a", ItemState.UNCERTAIN)
    await ledger.submitted("a", "late", 3.0)

    assert ("late", 3.0) == ((await entry_of(ledger, "a")).task_id, (await ledger.totals()).spent)


async def test_a_running_item_keeps_its_id(ledger):
    """Another id for an item that has one is refused."""
    await bring(ledger, "a", ItemState.SUBMITTED)
    with pytest.raises(LedgerError, match="cannot become submitted"):
        await ledger.submitted("a", "another")


async def test_totals_count_what_is_spent(ledger):
    """All but refused submits count as spent; those of unknown price are counted separately."""
    for state in ItemState:
        await bring(ledger, state.value, state)
    await ledger.submitting("unpriced", "fox", "key")
    totals = await ledger.totals()

    assert {**dict.fromkeys(ItemState, 1), ItemState.SUBMITTING: 2} == totals.counts
    assert 5.0 * 4 + 2.0 * 2 == totals.spent
    assert 1 == totals.unpriced


async def test_entries_come_in_the_order_of_their_first_submits(ledger):
    """All of them, or those in some states."""
    for n in (3, 1, 2):
        await bring(ledger, str(n), ItemState.SUBMITTED if n == 1 else ItemState.DONE)

    assert ["3", "1", "2"] == [entry.key async for entry in ledger.entries()]
    assert ["3", "2"] == [entry.key async for entry in ledger.entries(ItemState.DONE)]


async def test_a_change_is_made_though_its_result_is_not_awaited(ledger):
    """An id is queued when `submitted` returns."""
    await ledger.submitting("a", "fox", "key")
    ledger.submitted("a", "task")

    assert "task" == (await entry_of(ledger, "a")).task_id


async def test_meta_texts_are_kept(ledger):
    """A text, or one that a function makes after all earlier changes; the last one counts."""
    ledger.set_meta("name", "old")
    await ledger.set_meta("name", lambda: "new")

    assert ["new", None] == [await ledger.meta("name"), await ledger.meta("unknown")]


async def test_of_two_submits_at_once_one_is_noted(ledger):
    """The second one is refused."""
    outcomes = await asyncio.gather(
        *(ledger.submitting("a", "fox", f"key {n}") for n in range(2)), return_exceptions=True
    )

    assert [None, LedgerError] == [outcome and type(outcome) for outcome in outcomes]


@pytest.mark.virtual
async def test_a_batch_item_runs_on_it(ledger, fox, emulator, tmp_path):
    """The code that does an item uses nothing of a ledger but the protocol."""
    engine = fox._engine
    async with Manifest.opened(tmp_path / "manifest.jsonl", ledger, is_whole=True) as manifest:
        context = RunContext(
            engine=engine,
            ledger=ledger,
            manifest=manifest,
            budget=Budget(),
            out=tmp_path,
            timeout=None,
            series=None,
        )
        request = GrokImagineImage("a fox")
        wanted = WorkItem(
            index=0, key="fox", fingerprint=fingerprint(request), request=request, kind=kind_of(request)
        )
        item = ItemRun(context, wanted)
        outcome = await item.finish(await item.handle())
    entry = await entry_of(ledger, "fox")

    assert (ItemState.DONE, outcome.task_id) == (entry.state, entry.task_id)
    assert [1, True] == [len(outcome.files), outcome.files[0].path.is_file()]
