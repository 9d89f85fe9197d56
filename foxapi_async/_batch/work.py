"""The work on the items of a batch: processes each item, and decides when to end early.

Local runs and the workers of a cluster use it. They differ in their ledger, and in where their items come from.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from typing import Protocol

import attrs

from foxapi_async._batch.budget import Budget, Kind
from foxapi_async._batch.item import ItemRun, RunContext
from foxapi_async._batch.pause import Paused, pause_reason
from foxapi_async._batch.record import (
    BatchOutcome,
    WorkItem,
    item_of,
    resubmission_of,
    state_after,
    unanswered_error,
)
from foxapi_async._client.pipeline import ItemSource, Pipeline
from foxapi_async._client.submission import Series
from foxapi_async._errors import (
    FoxError,
    InsufficientQuotaError,
    InvalidRequestError,
    LedgerError,
    NotFoundError,
    UncertainSubmitError,
)
from foxapi_async._ledger.entry import ItemState
from foxapi_async._policy.brake import Reason

FIRST_UNCERTAIN = 10
UNCERTAIN_SHARE = 0.01
"""The work pauses if the number of uncertain submits is above FIRST_UNCERTAIN plus this share of the sent submits."""

FIRST_UNKNOWN = 3
"""If the service does not know this many tasks of earlier runs, and knows no task at all, the work pauses."""


class WorkSource(Protocol):
    """Gives the items of the work.

    Attributes:
        ended: whether all items were processed.
    """

    ended: bool

    def items(self, ended: Iterable[BatchOutcome]) -> AsyncGenerator[WorkItem | BatchOutcome, None]:
        """Yield the `ended` outcomes first, and then the items to work on."""
        ...

    def stop_model(self, model: str) -> None:
        """Start no more items of this model."""
        ...

    def note_unknown(self, resubmission: WorkItem) -> None:
        """Submit this item again, because the service no longer knows its task."""
        ...

    def note_end(self, item: WorkItem, state: ItemState | None) -> None:
        """Note the state of an item at the end of its work: None if its task continues, SUBMITTED if the work was
        interrupted.
        """
        ...

    async def left(self) -> Counter[Kind] | None:
        """How many requests of each kind are left to submit; None if that is not known.

        Raises:
            InvalidRequestError: the input cannot be read.
            LedgerError: the ledger cannot be read.
        """
        ...


@attrs.define(eq=False)
class BatchWork:
    """The work on a batch, until its items are done or it ends early.

    Args:
        context: what the items share.
        series: the submits of the items.
        again: the states of ended items that are run again.

    Attributes:
        tally: how many items are in each state.
        paused: why the work ended early; None if it did not.
        error: the error of the pause; None if there is none.
        pipeline: runs the items.
    """

    _context: RunContext
    _series: Series
    _again: frozenset[ItemState]
    tally: Counter[ItemState] = attrs.field(factory=Counter[ItemState])
    paused: Paused | None = attrs.field(default=None, init=False)
    error: FoxError | None = attrs.field(default=None, init=False)
    _source: WorkSource = attrs.field(init=False)
    pipeline: Pipeline = attrs.field(init=False)
    _sent: int = attrs.field(default=0, init=False)
    _uncertain: int = attrs.field(default=0, init=False)
    _unknown: int = attrs.field(default=0, init=False)
    # Whether the service knew a task of an earlier run.
    _knows_tasks: bool = attrs.field(default=False, init=False)
    # The quota refusal of each model.
    _quotas: dict[str, FoxError] = attrs.field(factory=dict[str, FoxError], init=False)
    _has_noted_excess: bool = attrs.field(default=False, init=False)
    _has_concluded: bool = attrs.field(default=False, init=False)

    def begin(self, source: WorkSource, room: int, ended: Iterable[BatchOutcome] = ()) -> None:
        """Begin to pull items. At most `room` are started and not yet yielded. The `ended` outcomes come first."""
        engine, self._source = self._context.engine, source
        self.pipeline = Pipeline(
            ItemSource(source.items(ended)), room, self._process, self._series, engine.spawn
        )
        engine.pipelines.add(self.pipeline)
        self.pipeline.start()

    async def next(self) -> BatchOutcome | None:
        """The next outcome; None at the end.

        Raises:
            Exception: the error of the source, after all submitted items have been yielded.
        """
        outcome = await self.pipeline.next()
        if isinstance(outcome, BatchOutcome):
            return outcome
        for error in self._quotas.values():
            self.pause("account", error)
        if (fault := await self._context.ledger.written()) is not None:
            self.pause("disk", fault)
        if self.paused is not None and self.paused.reason == "budget" and not self._has_concluded:
            self._has_concluded = True  # the reader may ask again after the end
            await self._conclude_at_budget(self.paused)
        return None

    async def _process(self, index: int, item: WorkItem | BatchOutcome) -> BatchOutcome | None:
        """Process one item. Returns None if there is nothing to yield, for example because its model was stopped."""
        if isinstance(item, BatchOutcome):
            return item
        if item.key is None:
            return BatchOutcome(index=item.index, request=None, task_id=None, result=None, error=item.error)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        run = ItemRun(self._context, item)
        self._context.add(task, run)
        before = ItemState.NEW if item.entry is None else item.entry.state
        running = ItemState.SUBMITTED if item.task_id is None else before
        state: ItemState | None = running
        self.tally[before] -= item.entry is not None
        self.tally[ItemState.SUBMITTED] += 1
        try:
            state, outcome = await self._conclude(index, run)
        except LedgerError as fault:
            self._context.is_full.set()
            self.pause("disk", fault)
            outcome = None if run.task_id is None else run.outcome(error=fault)
        finally:
            self.tally[ItemState.SUBMITTED] -= 1
            self.tally[before if state is ItemState.NEW else state or running] += 1
            self._source.note_end(item, state)
            self._context.changed.set()
            self.note_excess()
        return outcome

    async def _conclude(self, index: int, run: ItemRun) -> tuple[ItemState | None, BatchOutcome | None]:
        """Run one item to its end. Returns its state at the end, or None if its task continues; and its outcome."""
        handle = None
        try:
            self.pipeline.handles[index] = handle = await run.handle()
            self._sent += run.submission is not None
            self.note_excess()
            outcome = await run.finish(handle)
        except LedgerError:
            raise
        except FoxError as caught:
            error = caught
        else:
            self._knows_tasks = self._knows_tasks or run.item.task_id is not None
            return ItemState.DONE, outcome
        if run.item.task_id is not None:
            if isinstance(error, NotFoundError):
                return await self._note_unknown(run, error)
            self._knows_tasks = self._knows_tasks or (handle is not None and handle.snapshot is not None)
        elif handle is None and run.submission is not None:
            self._sent += run.submission.tries > 0
        state = state_after(error, run.submission)
        self._react(run, error, state)
        return state, await run.fail(error)

    # The reasons to end early.

    def _react(self, run: ItemRun, error: FoxError, state: ItemState | None) -> None:
        """Pause, or stop a model, if the error of an item concerns others too."""
        request = run.item.request
        self._uncertain += isinstance(error, UncertainSubmitError)
        if (
            isinstance(error, InsufficientQuotaError)
            and error.status != 402
            and state is ItemState.NEW
            and request is not None
        ):
            self._quotas.setdefault(request.model, error)
            self._source.stop_model(request.model)
            if (
                len(self._quotas) == 1
            ):  # the other models continue until the service refuses a second one like this
                return
        reason = pause_reason(error, run.submission)
        if reason is not None:
            self.pause(reason, error)
        elif self._uncertain > FIRST_UNCERTAIN + UNCERTAIN_SHARE * self._sent:
            words = (
                f"{self._uncertain} of {self._sent} submits are uncertain: they have no usable answer, and may be "
                f"billed; the last one: {error.what_happened}"
            )
            self.pause("uncertain", UncertainSubmitError(words))

    async def _note_unknown(
        self, run: ItemRun, error: NotFoundError
    ) -> tuple[ItemState | None, BatchOutcome | None]:
        """Handle a task of an earlier run that the service does not know. Its item keeps its state. If the user asked
        for it, the item is submitted again, unless its task had completed.
        """
        if (
            ItemState.UNCERTAIN in self._again
            and run.item.entry is not None
            and run.item.entry.state is ItemState.SUBMITTED
            and (resubmission := resubmission_of(run.item)) is not None
        ):
            # This comes first: the plan may be reading the input now, and would also send an uncertain item.
            self._source.note_unknown(resubmission)
            await run.note_error(ItemState.UNCERTAIN, error)
            return ItemState.UNCERTAIN, None
        self._unknown += 1
        handles = self.pipeline.handles.values()
        self._knows_tasks = self._knows_tasks or any(handle.snapshot is not None for handle in handles)
        if self._unknown >= FIRST_UNKNOWN and not self._knows_tasks:
            words = f"the service knows none of the tasks of earlier runs: {error.what_happened}"
            fault = copy.copy(error)
            fault.args = (words,)
            self.pause("path", fault)
        return None, run.outcome(error=error)

    def note_excess(self) -> None:
        """If a submit cost more than was expected, end early. Without a budget, or if the work is ending, only warn."""
        budget = self._context.budget
        if budget.excess is None or self._has_noted_excess:
            return
        self._has_noted_excess = True
        paused = Paused.at_excess(budget, budget.excess)
        if math.isinf(budget.limit) or not self._end_early(paused):
            paused.warn()

    async def _conclude_at_budget(self, paused: Paused) -> None:
        """Add to `paused` what the remaining items need. If no item is left, the run did not end early."""
        rest = None
        with contextlib.suppress(InvalidRequestError, LedgerError):  # then the rest is not known
            rest = await self._source.left()
        is_complete = self._source.ended and not self.tally[ItemState.NEW] if rest is None else not rest
        self.paused = None if is_complete else paused.with_rest(self._context.budget, rest)
        if is_complete:
            paused.warn()

    def stop_at_budget(self, kind: Kind, budget: Budget | None = None) -> None:
        """Pause, because the budget does not allow a submit of this kind. Workers pass the budget that they share."""
        self._end_early(Paused.at_budget(budget or self._context.budget, kind))

    def pause(self, reason: Reason, error: FoxError) -> None:
        """Pause, because of an error that concerns all items."""
        self._end_early(Paused.after(reason, error), error)

    def _end_early(self, paused: Paused, error: FoxError | None = None) -> bool:
        """End the work early. The reader gets the error at the end. Return False if the work is already ending."""
        if self.paused is not None or self.pipeline.discarded.is_set():
            return False
        self.paused, self.error = paused, error
        self.pipeline.stop()
        return True


async def note_unanswered(context: RunContext) -> list[BatchOutcome]:
    """Record as uncertain the items that a killed run was submitting."""
    entries = [entry async for entry in context.ledger.entries(ItemState.SUBMITTING)]
    outcomes: list[BatchOutcome] = []
    for entry in entries:
        outcome = await ItemRun(context, item_of(entry)).fail(unanswered_error(entry))
        if outcome is not None:  # pragma: no branch - the item is uncertain, so there is an outcome
            outcomes.append(outcome)
    return outcomes
