"""One run of a batch in a folder: keeps its ledger open while the unfinished items are processed."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import attrs

from foxapi_async._batch.budget import Budget
from foxapi_async._batch.expectation import Experience, experience_of, learned_costs
from foxapi_async._batch.folder import BatchFolder, Terms
from foxapi_async._batch.input.check import Count
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.validation import is_finished, note_finished, validated, warn_if_empty
from foxapi_async._batch.item import RunContext
from foxapi_async._batch.pause import Paused
from foxapi_async._batch.plan import BatchItems, WorkPlan
from foxapi_async._batch.record import BatchOutcome
from foxapi_async._batch.work import BatchWork, note_unanswered
from foxapi_async._cadence.estimates import price_book
from foxapi_async._client.engine import Engine
from foxapi_async._client.submission import Series
from foxapi_async._errors import ConfigurationError
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.protocol import Ledger


@attrs.frozen(kw_only=True)
class RunOptions:
    """The options of a run.

    Attributes:
        given: the items.
        out: the folder of the batch.
        budget: the most credits that all runs together may spend.
        price: credits of one image, if the caller knows them.
        again: the states of ended items that are run again.
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
        engine: the engine of the session.
        options: the options of the run.
        terms: how its folder is opened.
        room: the most items that are started and not yet yielded.
        timeout: seconds to wait for a task; None for no limit.
        counts_left: whether to count what is left before the run begins.

    Attributes:
        tally: how many items are in each state; empty before the ledger is open.
        budget: the credits that may be spent.
        expected: how many items there are, if known.
        left: what this run will submit, if known.
        learned: what `left` costs for each model, by the prices that the session knew when the run began.
        experience: what the done items of earlier runs show; empty before the ledger is open.
    """

    _engine: Engine
    _options: RunOptions
    _terms: Terms
    _room: int
    _timeout: float | None
    _counts_left: bool = attrs.field(alias="counts_left", default=False, kw_only=True)
    tally: Counter[ItemState] = attrs.field(factory=Counter[ItemState], init=False)
    budget: Budget = attrs.field(factory=Budget, init=False)
    expected: int | None = attrs.field(default=None, init=False)
    left: Count | None = attrs.field(default=None, init=False)
    learned: dict[str, float] = attrs.field(factory=dict[str, float], init=False)
    experience: Experience = attrs.field(factory=Experience, init=False)
    _keeping: asyncio.Task[None] | None = attrs.field(default=None, init=False)
    # Set when the ledger is open, or cannot be opened.
    _is_open: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _is_discarded: bool = attrs.field(default=False, init=False)
    _fault: Exception | None = attrs.field(default=None, init=False)
    _context: RunContext = attrs.field(init=False)
    _plan: WorkPlan = attrs.field(init=False)
    _work: BatchWork | None = attrs.field(default=None, init=False)

    # For the reader.

    @property
    def paused(self) -> Paused | None:
        """Why the run ended early; None if it did not."""
        return None if self._work is None else self._work.paused

    @property
    def ledger(self) -> Ledger:
        """The ledger of the run, which is open until its last outcome was read."""
        return self._context.ledger

    async def begun(self) -> bool:
        """Wait until the ledger is open. Return False if it cannot be opened, or the run cannot begin."""
        await self._is_open.wait()
        return self._work is not None

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
        work = self._work
        if work is not None and (outcome := await work.next()) is not None:
            return outcome
        await self.close()
        if work is not None and work.error is not None:
            ending, work.error = work.error, None
            raise ending
        return None

    def discard(self) -> None:
        """Stop sending, because the outcomes are not read any more."""
        self._is_discarded = True
        if self._work is not None:
            self._engine.discard(self._work.pipeline)

    async def close(self) -> None:
        """End the run. Returns when all sent submits have their answers, and the ledger is closed.

        If this is cancelled, it does not wait for those answers, and their items are uncertain.

        Raises:
            LedgerError: a record could not be written.
        """
        self.discard()
        try:
            if self._keeping is not None:
                await asyncio.wait([self._keeping])
        except asyncio.CancelledError:
            if self._work is not None:
                self._context.cancel()
                self._work.pipeline.cancel()
            raise
        if self._work is not None:
            self._work.note_excess()  # the answer of an item may have come after its work was cancelled
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    # In a task of the session.

    async def _keep_open(self) -> None:
        given = self._options.given
        try:
            async with BatchFolder.opened(self._options.out, self._terms) as folder:
                self._work = work = await self._begin(folder)
                self._is_open.set()
                if self._is_discarded or self._engine.closed.is_set():
                    self.discard()
                await work.pipeline.discarded.wait()
                await self._context.close()
                await asyncio.wait([work.pipeline.start()])
                if self._plan.ended and folder.is_unproven:
                    await folder.note_all_proven()
                if self._plan.ended and isinstance(given, InputFile):
                    await note_finished(given, folder.ledger)
                    if not given.is_regular:  # `validated` has warned about a regular file
                        warn_if_empty(given, self._plan.count)
        except Exception as error:  # it is raised to the reader of the outcomes
            self._fault = error
        finally:
            self._is_open.set()

    async def _begin(self, folder: BatchFolder) -> BatchWork:
        """Check the input, read the ledger, and begin to pull."""
        ledger, options, given = folder.ledger, self._options, self._options.given
        counted: Count | None = None
        if isinstance(given, InputFile) and given.is_regular:
            self.expected, counted = await validated(given, ledger, by_kind=self._has_prices)
            if await is_finished(given, ledger, *options.again):
                given = ()
        totals = await ledger.totals()
        self.budget = Budget(
            options.budget, spent=totals.spent, price=options.price, unpriced=totals.unpriced
        )
        self.experience = await experience_of(ledger)
        for kind, price in self.experience.prices.items():
            self.budget.learn(kind, price)
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
        work = BatchWork(context, series, options.again, self.tally)
        self._plan = WorkPlan(given, ledger, self.budget, options.again, context.changed, work.stop_at_budget)
        if folder.is_unproven:
            self._plan.mark_unproven = folder.mark_unproven
        ended = await note_unanswered(context)
        self.tally.update((await ledger.totals()).counts)
        if self._counts_left and self.expected is not None:
            self.left = await self._count_left(counted)
            if self.left is not None:
                self.learned = learned_costs(self.left, price_book(self._engine.poller.estimates))
        work.begin(self._plan, self._room, ended)
        return work

    @property
    def _has_prices(self) -> bool:
        """Whether the caller needs learned prices, and there are some."""
        return self._counts_left and len(price_book(self._engine.poller.estimates)) > 0

    async def _count_left(self, counted: Count | None) -> Count | None:
        """What the run will submit, if known. A file that was just `counted` is not read again only for this."""
        if counted is None:
            kinds = await self._plan.left()
            return None if kinds is None else Count.of(kinds, by_kind=self._has_prices)
        return None if any(self.tally.values()) else counted
