"""The work on items that a worker of a cluster shares with a local batch."""

from __future__ import annotations

import pytest
from helpers import posts, session_at
from memory_ledger import MemoryLedger

from foxapi_async import ConnectionFailedError, GrokImagineImage
from foxapi_async._batch.budget import Budget, kind_of
from foxapi_async._batch.item import ItemRun, RunContext
from foxapi_async._batch.keys import fingerprint
from foxapi_async._batch.record import WorkItem
from foxapi_async._batch.work import BatchWork
from foxapi_async._client.submission import Series
from foxapi_async._ledger.entry import ItemState
from foxapi_async.emulator import Emulator

pytestmark = pytest.mark.virtual

REQUEST = GrokImagineImage("a fox")


def context_of(fox, out, series=None):
    """What the items of a run share, without a manifest."""
    return RunContext(
        engine=fox._engine,
        ledger=MemoryLedger(),
        manifest=None,
        budget=Budget(),
        out=out,
        timeout=None,
        series=series,
    )


def item_of(context):
    item = WorkItem(
        index=0, key="fox", fingerprint=fingerprint(REQUEST), request=REQUEST, kind=kind_of(REQUEST)
    )
    context.budget.take(item.kind)
    return ItemRun(context, item)


async def test_without_a_manifest_the_ledger_has_the_record(fox, tmp_path):
    """The end of an item is recorded once, in the ledger."""
    context = context_of(fox, tmp_path)
    item = item_of(context)
    await item.finish(await item.handle())
    entry = (await context.ledger.look_up(["fox"]))["fox"]

    assert entry.state is ItemState.DONE
    assert '"status": "done"' in entry.record


async def test_an_item_whose_permission_has_ended_is_not_sent(tmp_path):
    """The check comes when the first bytes are about to leave. Nothing is billed, and the item is new again."""
    async with Emulator() as emulator, session_at(emulator, task_timeout=1) as fox:
        context = context_of(fox, tmp_path, Series(pauses=True, may_send=lambda: False))
        with pytest.raises(ConnectionFailedError):
            await item_of(context).handle()
        entry = (await context.ledger.look_up(["fox"]))["fox"]

        assert entry.state is ItemState.NEW
        assert [] == posts(emulator)


class OneKind:
    """Items of which the budget of all workers allows none."""

    ended = False

    def __init__(self, work):
        self._work = work

    async def items(self, ended):
        self._work.stop_at_budget(kind_of(REQUEST), Budget(10, spent=8, price=5))
        for outcome in ended:
            yield outcome

    async def left(self):
        return None


async def test_the_budget_of_all_workers_ends_the_work(fox, tmp_path):
    """The words are about that budget, not about the one of this worker."""
    work = BatchWork(context_of(fox, tmp_path), Series(pauses=True), frozenset())
    work.begin(OneKind(work), 5)

    assert None is await work.next()
    assert work.paused.reason == "budget"
    assert (
        "budget of 10 credits: 8 are spent, and it costs 5; a budget of 13 allows one more item"
        in work.paused
    )
