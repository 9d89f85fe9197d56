"""The items of a run that are being done, and how they are ended early."""

from __future__ import annotations

import asyncio
from typing import Any

from foxapi_async._batch.context import RunContext
from foxapi_async._batch.item import ItemRun
from foxapi_async._batch.record import BatchOutcome, job_of
from foxapi_async._errors import UncertainSubmitError
from foxapi_async._ledger.entry import ItemState, LedgerEntry


class UnderWay:
    """Items, each with the task that does it."""

    def __init__(self) -> None:
        self._items: dict[asyncio.Task[Any], ItemRun] = {}
        self._posts: list[asyncio.Task[object]] = []

    def add(self, task: asyncio.Task[Any], item: ItemRun) -> None:
        """Keep an item until its task has ended."""
        self._items[task] = item
        task.add_done_callback(self._items.pop)

    async def wind_up(self) -> None:
        """End all of them, but wait for the answers to what was sent: each may bring an id.

        Being cancelled meanwhile ends the waiting for those answers, as `hasten` does.
        """
        self._posts = [item.post.task for item in self._items.values() if item.post and item.post.task]
        waited = [*self._items, *self._posts]
        for task in self._items:
            task.cancel()
        if not waited:
            return
        try:
            await asyncio.wait(waited)
        except asyncio.CancelledError:
            self.hasten()
            await asyncio.wait(waited)
            raise

    def hasten(self) -> None:
        """Being wound up, wait for no answer any more."""
        for post in self._posts:
            post.cancel()


async def note_unanswered(desk: RunContext, remedy: str) -> list[BatchOutcome]:
    """What a killed run was just submitting is uncertain from now on; the `remedy` is told with it."""
    entries = [entry async for entry in desk.ledger.entries(ItemState.SUBMITTING)]
    ended = [
        await ItemRun(desk, job_of(entry), entry.key).fail(_no_answer(entry, remedy)) for entry in entries
    ]
    return [outcome for outcome in ended if outcome is not None]


def _no_answer(entry: LedgerEntry, remedy: str) -> UncertainSubmitError:
    return UncertainSubmitError(
        f"the run was ended while item {entry.key} was being submitted: it may have been accepted and billed. {remedy}",
        idempotency_key=entry.idempotency_key,
    )
