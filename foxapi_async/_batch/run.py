"""One run of a batch: its items under way, what they have come to, and why it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from foxapi_async._batch.budget import Answer, Budget
from foxapi_async._batch.context import RunContext
from foxapi_async._batch.item import IMAGES, ItemRun
from foxapi_async._batch.manifest import Manifest
from foxapi_async._batch.plan import WorkPlan
from foxapi_async._batch.record import BatchOutcome, WorkItem, state_after
from foxapi_async._batch.under_way import UnderWay, note_unanswered
from foxapi_async._client.engine import Engine
from foxapi_async._client.item_source import ItemSource
from foxapi_async._client.pipeline import Pipeline
from foxapi_async._client.submission import Series
from foxapi_async._errors import (
    DownloadError,
    FoxError,
    InsufficientQuotaError,
    LedgerError,
)
from foxapi_async._files.disk import remove_parts
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.sqlite import Ledger


class Run:
    """The work of one run.

    Args:
        engine: the session's.
        ledger: knows what was submitted.
        manifest: says what ended.
        budget: what may be spent.
        out: the folder of the batch.
        timeout: seconds that a task is waited for; None for no limit.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        manifest: Manifest,
        budget: Budget,
        out: Path,
        timeout: float | None,
    ) -> None:
        self.budget = budget
        self.tally: Counter[ItemState] = Counter()
        self.handles: dict[int, TaskHandle] = {}
        self.paused: str | None = None
        self.error: FoxError | None = None
        self._engine = engine
        self._ledger = ledger
        self._series = Series(pauses=True)
        self._settled = asyncio.Event()
        self.feed: Pipeline
        self._under_way = UnderWay()
        self._desk = RunContext.at(
            engine,
            ledger=ledger,
            manifest=manifest,
            budget=budget,
            out=out,
            timeout=timeout,
            series=self._series,
            settled=self._settled.set,
        )

    async def begin(self, intake: WorkPlan, room: int) -> None:
        """Take stock, then begin to pull; what ends is in `feed`."""
        await remove_parts(self._desk.out / IMAGES)
        ended = await self._taken_stock()
        supply = ItemSource(_chained(ended, intake.jobs(self._settled)))
        self.feed = Pipeline(supply, room, self, self._engine.spawn)
        self._engine.feeds.add(self.feed)
        self.feed.start()

    async def _taken_stock(self) -> list[BatchOutcome]:
        """Count what is there, with what has ended by being counted."""
        ended = await note_unanswered(self._desk, "It is not sent again unless resubmit_uncertain is set")
        self.tally.update(await self._ledger.counts())
        return ended

    async def wind_up(self) -> None:
        """End what is under way, but wait for the answers to what was sent: each may bring an id."""
        await self._under_way.wind_up()
        await self.feed.closed()

    def hasten(self) -> None:
        """Wait neither for answers nor for the source any more."""
        self._under_way.hasten()
        self.feed.hasten()

    # What the feed asks for.

    def stop(self) -> None:
        """Send nothing more."""
        self._series.stop()

    async def run(self, index: int, job: WorkItem | BatchOutcome) -> BatchOutcome | None:
        """How one item ends; None where it was not sent because the run ends."""
        if isinstance(job, BatchOutcome):
            return job
        if job.key is None:
            return BatchOutcome(index=job.index, request=None, task_id=None, result=None, error=job.error)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        item = ItemRun(self._desk, job, job.key)
        self._under_way.add(task, item)
        before = ItemState.NEW if job.entry is None else job.entry.state
        ended = ItemState.SUBMITTED
        self.tally[before] -= job.entry is not None
        self.tally[ItemState.SUBMITTED] += 1
        try:
            ended, outcome = await self._ended(index, item)
            return outcome
        finally:
            self.tally[ItemState.SUBMITTED] -= 1
            self.tally[before if ended is ItemState.NEW else ended] += 1

    async def _ended(self, index: int, item: ItemRun) -> tuple[ItemState, BatchOutcome | None]:
        try:
            return await self._concluded(index, item)
        except LedgerError as fault:
            self._pause(str(fault), fault)
            return ItemState.SUBMITTED, item.unwritten(fault)

    async def _concluded(self, index: int, item: ItemRun) -> tuple[ItemState, BatchOutcome | None]:
        try:
            self.handles[index] = handle = await item.handle()
            return ItemState.DONE, await item.finish(handle)
        except LedgerError:
            raise
        except FoxError as error:
            return await self._failed(item, error)

    async def _failed(self, item: ItemRun, error: FoxError) -> tuple[ItemState, BatchOutcome | None]:
        state = state_after(error) or ItemState.SUBMITTED
        if state is ItemState.NEW or (isinstance(error, DownloadError) and error.local):
            self._pause(_advice(error), error)
        return state, await item.fail(error)

    # Why it ends early.

    def exhausted(self, answer: Answer, job: WorkItem) -> None:
        """The budget lets nothing more pass."""
        if answer is Answer.REACHED:
            why = f"the budget of {self.budget.limit:g} credits is reached: {self.budget.spent:g} are spent"
        else:
            model = (job.request and job.request.to_dict().get("model")) or "the model"
            why = f"the service does not say what {model} costs, so the budget cannot be kept: give price="
        self._pause(why, None)

    def _pause(self, why: str, error: FoxError | None) -> None:
        if self.paused is None and not self.feed.left:
            self.paused, self.error = why, error
            self.feed.stop()


async def _chained(
    ended: list[BatchOutcome], jobs: AsyncGenerator[WorkItem, None]
) -> AsyncGenerator[Any, None]:
    async with contextlib.aclosing(jobs):
        for outcome in ended:
            yield outcome
        async for job in jobs:
            yield job


def _advice(error: FoxError) -> str:
    todo = "buy credits" if isinstance(error, InsufficientQuotaError) else "mend that"
    return f"{error}; {todo}, then run the batch again: it goes on where it stopped"
