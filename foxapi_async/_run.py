"""One run of a batch: its items under way, what they have come to, and why it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from foxapi_async._budget import Answer, Budget
from foxapi_async._engine import Engine
from foxapi_async._entries import Entry, State
from foxapi_async._errors import (
    DownloadError,
    FoxError,
    InsufficientQuotaError,
    LedgerError,
    RateLimitError,
    UncertainSubmitError,
)
from foxapi_async._feed import Feed
from foxapi_async._files import remove_parts
from foxapi_async._intake import Intake
from foxapi_async._item import IMAGES, Desk, Item
from foxapi_async._job import BatchOutcome, Job, state_after
from foxapi_async._ledger import Ledger
from foxapi_async._manifest import Manifest
from foxapi_async._retry import CAP_SECONDS
from foxapi_async._submitter import Submitter
from foxapi_async._supply import Supply
from foxapi_async._task import TaskHandle

# A network that is down for longer ends the run: everything in it can be resumed.
OUTAGE_SECONDS = 600.0

DOWNLOADS_AT_ONCE = 16


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
        self.tally: Counter[State] = Counter()
        self.handles: dict[int, TaskHandle] = {}
        self.paused: str | None = None
        self.error: FoxError | None = None
        self._engine = engine
        self._ledger = ledger
        self._submitter = Submitter(engine.submit, _patience)
        self._settled = asyncio.Event()
        self.feed: Feed
        self._items: dict[asyncio.Task[Any], Item] = {}
        self._desk = Desk(
            ledger=ledger,
            manifest=manifest,
            budget=budget,
            out=out,
            downloads=engine.api.downloads,
            at_once=asyncio.Semaphore(DOWNLOADS_AT_ONCE),
            new_post=lambda key, accepted: engine.new_post(timeout, key, accepted),
            submit=self._submitter.submit,
            attach=lambda task_id: engine.poller.attach(task_id, None, timeout),
            settled=self._settled.set,
        )

    async def begin(self, intake: Intake, room: int) -> None:
        """Take stock, then begin to pull; what ends is in `feed`."""
        await remove_parts(self._desk.out / IMAGES)
        ended = await self._taken_stock()
        supply = Supply(_chained(ended, intake.jobs(self._settled)))
        self.feed = Feed(supply, room, self, self._engine.spawn)
        self._engine.feeds.add(self.feed)
        self.feed.start()

    async def _taken_stock(self) -> list[BatchOutcome]:
        """Count what is there. What a killed run was just submitting is uncertain now."""
        unknown = [entry async for entry in self._ledger.entries(State.SUBMITTING)]
        ended = [
            await Item(self._desk, _killed(entry), entry.key).fail(_no_answer(entry)) for entry in unknown
        ]
        self.tally.update(await self._ledger.counts())
        return [outcome for outcome in ended if outcome is not None]

    async def wind_up(self) -> None:
        """End what is under way, but wait for the answers to what was sent: each may bring an id."""
        posts = [item.post.task for item in self._items.values() if item.post is not None]
        for task in self._items:
            task.cancel()
        waited = [*self._items, *(task for task in posts if task is not None)]
        if waited:
            await asyncio.wait(waited)
        await self.feed.closed()

    # What the feed asks for.

    def stop(self) -> None:
        """Send nothing more."""
        self._submitter.stop()

    async def run(self, index: int, job: Job | BatchOutcome) -> BatchOutcome | None:
        """How one item ends; None where it was not sent because the run ends."""
        if isinstance(job, BatchOutcome):
            return job
        if job.key is None:
            return BatchOutcome(index=job.index, request=None, task_id=None, result=None, error=job.error)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        item = self._items[task] = Item(self._desk, job, job.key)
        before = State.NEW if job.entry is None else job.entry.state
        ended = State.SUBMITTED
        self.tally[before] -= job.entry is not None
        self.tally[State.SUBMITTED] += 1
        try:
            ended, outcome = await self._ended(index, item)
            return outcome
        finally:
            self.tally[State.SUBMITTED] -= 1
            self.tally[before if ended is State.NEW else ended] += 1
            del self._items[task]

    async def _ended(self, index: int, item: Item) -> tuple[State, BatchOutcome | None]:
        try:
            return await self._concluded(index, item)
        except LedgerError as fault:
            self._pause(str(fault), fault)
            return State.SUBMITTED, item.unwritten(fault)

    async def _concluded(self, index: int, item: Item) -> tuple[State, BatchOutcome | None]:
        try:
            self.handles[index] = handle = await item.handle()
            return State.DONE, await item.finish(handle)
        except LedgerError:
            raise
        except FoxError as error:
            return await self._failed(item, error)

    async def _failed(self, item: Item, error: FoxError) -> tuple[State, BatchOutcome | None]:
        state = state_after(error) or State.SUBMITTED
        if state is State.NEW or (isinstance(error, DownloadError) and error.local):
            self._pause(_advice(error), error)
        return state, await item.fail(error)

    # Why it ends early.

    def exhausted(self, answer: Answer, job: Job) -> None:
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


async def _chained(ended: list[BatchOutcome], jobs: AsyncGenerator[Job, None]) -> AsyncGenerator[Any, None]:
    async with contextlib.aclosing(jobs):
        for outcome in ended:
            yield outcome
        async for job in jobs:
            yield job


def _advice(error: FoxError) -> str:
    todo = "buy credits" if isinstance(error, InsufficientQuotaError) else "mend that"
    return f"{error}; {todo}, then run the batch again: it goes on where it stopped"


def _patience(error: FoxError, waited: float) -> float | None:
    """Only for now: a 429, no channel, a network that is down."""
    if isinstance(error, RateLimitError):
        return error.retry_after or CAP_SECONDS
    if not error.retryable or waited > OUTAGE_SECONDS:
        return None
    return random.uniform(CAP_SECONDS, 2 * CAP_SECONDS)  # noqa: S311 - no secret


def _killed(entry: Entry) -> Job:
    index = json.loads(entry.opening or "{}").get("index", 0)
    return Job(index=index, key=entry.key, fingerprint=entry.fingerprint, entry=entry)


def _no_answer(entry: Entry) -> UncertainSubmitError:
    return UncertainSubmitError(
        f"the run was ended while item {entry.key} was being submitted: it may have been accepted and billed. It is not "
        "sent again unless resubmit_uncertain is set",
        idempotency_key=entry.idempotency_key,
    )
