"""One run of a batch: keeps the ledger open, processes the unfinished items, and decides when to end early."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from pathlib import Path

import attrs

from foxapi_async._batch.budget import Budget
from foxapi_async._batch.folder import BatchFolder, Terms
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.validation import is_finished, note_finished, validated, warn_if_empty
from foxapi_async._batch.item import ItemRun, RunContext
from foxapi_async._batch.pause import Paused, pause_reason
from foxapi_async._batch.plan import BatchItems, WorkPlan
from foxapi_async._batch.record import (
    BatchOutcome,
    WorkItem,
    item_of,
    resubmission_of,
    state_after,
)
from foxapi_async._client.engine import Engine
from foxapi_async._client.pipeline import ItemSource, Pipeline
from foxapi_async._client.submission import Series
from foxapi_async._errors import (
    ConfigurationError,
    FoxError,
    InsufficientQuotaError,
    LedgerError,
    NotFoundError,
    UncertainSubmitError,
)
from foxapi_async._hints import Hint
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.protocol import Ledger
from foxapi_async._policy.brake import Reason

FIRST_UNCERTAIN = 10
UNCERTAIN_SHARE = 0.01
"""A run pauses if more submits are uncertain than FIRST_UNCERTAIN and this share of the sent ones together."""

FIRST_UNKNOWN = 3
"""If the service knows none of this many tasks of earlier runs, and no other task, the run pauses."""


@attrs.frozen(kw_only=True)
class RunOptions:
    """The options of a run.

    Attributes:
        given: the items.
        out: the folder of the batch.
        budget: the most credits that all runs together may spend.
        price: credits of one submit, if the caller knows them.
        again: ended items in these states are run again.
    """

    given: BatchItems | InputFile
    out: Path
    budget: float
    price: float | None
    again: frozenset[ItemState]


@attrs.define(eq=False)
class Run:
    """The work of one run. An asyncio task of the session keeps its ledger open until the run is discarded.

    Args:
        engine: the session's.
        options: the options of the run.
        terms: how its folder is opened.
        room: the most items that are started and not yet yielded.
        timeout: seconds to wait for a task; None for no limit.

    Attributes:
        tally: how many items are in each state; empty before the ledger is open.
        budget: the credits that may be spent.
        expected: how many items there are, if known.
        left: how many of them are submitted in this run, if known.
        paused: why it ended early; None if it did not.
    """

    _engine: Engine
    _options: RunOptions
    _terms: Terms
    _room: int
    _timeout: float | None
    tally: Counter[ItemState] = attrs.field(factory=Counter[ItemState], init=False)
    budget: Budget = attrs.field(factory=Budget, init=False)
    expected: int | None = attrs.field(default=None, init=False)
    left: int | None = attrs.field(default=None, init=False)
    paused: Paused | None = attrs.field(default=None, init=False)
    _error: FoxError | None = attrs.field(default=None, init=False)  # the reader gets it at the end
    _keeping: asyncio.Task[None] | None = attrs.field(default=None, init=False)
    _is_open: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)  # or cannot be opened
    _is_discarded: bool = attrs.field(default=False, init=False)
    _fault: Exception | None = attrs.field(default=None, init=False)
    _context: RunContext = attrs.field(init=False)
    _plan: WorkPlan = attrs.field(init=False)
    _pipeline: Pipeline | None = attrs.field(default=None, init=False)
    _sent: int = attrs.field(default=0, init=False)
    _uncertain: int = attrs.field(default=0, init=False)
    _unknown: int = attrs.field(default=0, init=False)
    # Whether the service knew a task of an earlier run.
    _knows_tasks: bool = attrs.field(default=False, init=False)
    # The quota refusal of each model.
    _quotas: dict[str, FoxError] = attrs.field(factory=dict[str, FoxError], init=False)

    # For the reader.

    @property
    def ledger(self) -> Ledger:
        """The ledger of the run, which is open until its last outcome was read."""
        return self._context.ledger

    async def begun(self) -> bool:
        """Wait until the ledger is open. Return False if it cannot be opened, or the run cannot begin."""
        await self._is_open.wait()
        return self._pipeline is not None

    async def next(self) -> BatchOutcome | None:
        """The next outcome; None at the end, after everything is closed.

        Raises:
            ConfigurationError: the session was closed before the run began.
            FoxError: the run could not begin, or it ended early and all submitted items have been yielded.
            Exception: the error of the source, after all submitted items have been yielded.
        """
        if self._keeping is None:
            if self._engine.closed.is_set():
                raise ConfigurationError("the session was closed before the batch began")
            self._keeping = self._engine.spawn(self._keep_open())
        await self._is_open.wait()
        if self._pipeline is not None:
            outcome = await self._pipeline.next()
            if isinstance(outcome, BatchOutcome):
                return outcome
            for error in self._quotas.values():
                self._pause("account", error)
            if (fault := await self._context.ledger.written()) is not None:
                self._pause("disk", fault)
        await self.close()
        ending, self._error = self._error, None
        if ending is not None:
            raise ending
        return None

    def discard(self) -> None:
        """Stop sending, because the outcomes are not read any more."""
        self._is_discarded = True
        if self._pipeline is not None:
            self._engine.discard(self._pipeline)

    async def close(self) -> None:
        """End the run. Returns when all sent submits have their answers, and the ledger is closed.

        If this is cancelled, it does not wait for those answers: their items are uncertain then.

        Raises:
            LedgerError: a record could not be written.
        """
        self.discard()
        try:
            if self._keeping is not None:
                await asyncio.wait([self._keeping])
        except asyncio.CancelledError:
            if self._pipeline is not None:
                self._context.cancel()
                self._pipeline.cancel()
            raise
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    # In a task of the session.

    async def _keep_open(self) -> None:
        given = self._options.given
        try:
            async with BatchFolder.opened(self._options.out, self._terms) as folder:
                self._pipeline = pipeline = await self._begin(folder)
                self._is_open.set()
                if self._is_discarded or self._engine.closed.is_set():
                    self.discard()
                await pipeline.discarded.wait()
                await self._context.close()
                await asyncio.wait([pipeline.start()])
                if self._plan.ended and folder.is_unproven:
                    await folder.note_all_proven()
                if self._plan.ended and isinstance(given, InputFile):
                    await note_finished(given, folder.ledger)
                    if not given.is_regular:  # else the check has warned
                        warn_if_empty(given, self._plan.count)
        except Exception as error:  # it is raised to the reader of the outcomes
            self._fault = error
        finally:
            self._is_open.set()

    async def _begin(self, folder: BatchFolder) -> Pipeline:
        """Check the input, read the ledger, and begin to pull."""
        ledger, options, given = folder.ledger, self._options, self._options.given
        is_same = False
        if isinstance(given, InputFile) and given.is_regular:
            self.expected, is_same = await validated(given, ledger)
            if await is_finished(given, ledger, *options.again):
                given = ()
        totals = await ledger.totals()
        self.budget = Budget(
            options.budget, spent=totals.spent, price=options.price, unpriced=totals.unpriced
        )
        series = Series(pauses=True)
        self._context = context = RunContext(
            engine=self._engine,
            ledger=ledger,
            manifest=folder.manifest,
            budget=self.budget,
            out=options.out,
            timeout=self._timeout,
            series=series,
        )
        self._plan = WorkPlan(
            given, ledger, self.budget, options.again, context.changed, self._stop_at_budget
        )
        if folder.is_unproven:
            self._plan.mark_unproven = folder.mark_unproven
        ended = await note_unanswered(context)
        counts = (await ledger.totals()).counts
        self.tally.update(counts)
        # Items of another file may be in the ledger. Only a plan can tell which ones this file has, too.
        if self.expected is not None and (is_same or not any(counts.values())):
            again = {ItemState.NEW, *options.again}
            self.left = max(0, self.expected - sum(counts[state] for state in set(ItemState) - again))
        pipeline = Pipeline(
            ItemSource(self._plan.items(ended)), self._room, self._process, series, self._engine.spawn
        )
        self._engine.pipelines.add(pipeline)
        pipeline.start()
        return pipeline

    async def _process(self, index: int, item: WorkItem | BatchOutcome) -> BatchOutcome | None:
        """Process one item. Returns None if it was not sent, because the run or its model was stopped."""
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
            self._pause("disk", fault)
            outcome = None if run.task_id is None else run.outcome(error=fault)
        finally:
            self.tally[ItemState.SUBMITTED] -= 1
            self.tally[before if state is ItemState.NEW else state or running] += 1
            self._plan.awaited -= item.task_id is not None
            self._context.changed.set()
        return outcome

    async def _conclude(self, index: int, run: ItemRun) -> tuple[ItemState | None, BatchOutcome | None]:
        """Run one item to its end. Returns its state then, None if its task continues, and its outcome."""
        assert self._pipeline is not None  # noqa: S101 - it began this item
        handle = None
        try:
            self._pipeline.handles[index] = handle = await run.handle()
            self._sent += run.submission is not None
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
            self._plan.stopped_models.add(request.model)
            if len(self._quotas) == 1:  # the other models continue until a second one is refused like this
                return
        reason = pause_reason(error, run.submission)
        if reason is not None:
            self._pause(reason, error)
        elif self._uncertain > FIRST_UNCERTAIN + UNCERTAIN_SHARE * self._sent:
            words = (
                f"{self._uncertain} of {self._sent} submits are uncertain: they have no usable answer, and may be "
                f"billed; the last one: {error.what_happened}"
            )
            self._pause("uncertain", UncertainSubmitError(words))

    async def _note_unknown(
        self, run: ItemRun, error: NotFoundError
    ) -> tuple[ItemState | None, BatchOutcome | None]:
        """Handle a task of an earlier run that the service does not know. It stays as it is. On request, it is
        sent again, unless it was made.
        """
        if (
            ItemState.UNCERTAIN in self._options.again
            and run.item.entry is not None
            and run.item.entry.state is ItemState.SUBMITTED
            and (resubmission := resubmission_of(run.item)) is not None
        ):
            await run.note_error(ItemState.UNCERTAIN, error)
            self._plan.unknown.append(resubmission)
            return ItemState.UNCERTAIN, None
        self._unknown += 1
        assert self._pipeline is not None  # noqa: S101 - it began this item
        handles = self._pipeline.handles.values()
        self._knows_tasks = self._knows_tasks or any(handle.snapshot is not None for handle in handles)
        if self._unknown >= FIRST_UNKNOWN and not self._knows_tasks:
            words = f"the service knows none of the tasks of earlier runs: {error.what_happened}"
            fault = copy.copy(error)
            fault.args = (words,)
            self._pause("path", fault)
        return None, run.outcome(error=error)

    def _stop_at_budget(self, item: WorkItem) -> None:
        self._end_early(Paused.at_budget(self.budget, item), None)

    def _pause(self, reason: Reason, error: FoxError) -> None:
        self._end_early(Paused.after(reason, error), error)

    def _end_early(self, paused: Paused, error: FoxError | None) -> None:
        """End the run. The whole batch can be resumed. The reader gets the error at the end."""
        assert self._pipeline is not None  # noqa: S101 - it began an item
        if self.paused is None and not self._pipeline.discarded.is_set():
            self.paused, self._error = paused, error
            self._pipeline.stop()


async def note_unanswered(context: RunContext) -> list[BatchOutcome]:
    """Record as uncertain the items that a killed run was submitting."""
    entries = [entry async for entry in context.ledger.entries(ItemState.SUBMITTING)]
    outcomes: list[BatchOutcome] = []
    for entry in entries:
        error = UncertainSubmitError(
            f"the run was ended while item {entry.key} was being submitted: it may have been accepted and billed",
            idempotency_key=entry.idempotency_key,
            hint=Hint.RESUBMIT_UNCERTAIN,
        )
        outcome = await ItemRun(context, item_of(entry)).fail(error)
        if outcome is not None:  # pragma: no branch - it is uncertain
            outcomes.append(outcome)
    return outcomes
