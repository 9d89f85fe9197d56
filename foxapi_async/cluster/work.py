"""A worker's work on one batch: claims items, and does each as a local batch does."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path

import attrs

from foxapi_async._batch.budget import Budget, Kind, kind_of
from foxapi_async._batch.item import RunContext
from foxapi_async._batch.pause import Paused
from foxapi_async._batch.record import BatchOutcome, WorkItem, item_of
from foxapi_async._batch.work import BatchWork
from foxapi_async._client.engine import Engine
from foxapi_async._client.submission import Series
from foxapi_async._errors import FoxError
from foxapi_async._ledger.entry import PAID_TASK, ItemState
from foxapi_async._listener import about, log
from foxapi_async.cluster.claims import Claim, ClaimedItem
from foxapi_async.cluster.ledger import PostgresLedger
from foxapi_async.models import GenerationRequest

CLAIMED_AT_ONCE = 100

WAIT_SECONDS = 1.0
"""Seconds after which a worker asks again for items that it could not claim."""


Claiming = Callable[[int, Mapping[Kind, float | None]], Awaitable[Claim]]
"""Claims items, at most the given number, and reports the prices that were learned since the last claim."""


class ClaimedItems:
    """The items of a batch that this worker has claimed; see `WorkSource`.

    Args:
        ledger: the ledger of the batch.
        claim: see `Claiming`.
        request: makes the request of an item from its fields and its input files.
        stop: stops a model: no worker starts more of its items.
        exhausted: called if the budget of the batch does not allow an item of a kind.
        budget: the prices that this worker knows. It has no limit, because each claim checks the limit of the batch.
        changed: set when an item has ended.
        room: the most items at a time.
    """

    def __init__(
        self,
        ledger: PostgresLedger,
        claim: Claiming,
        request: Callable[[ClaimedItem], Awaitable[GenerationRequest]],
        stop: Callable[[str], None],
        exhausted: Callable[[Budget, Kind], None],
        budget: Budget,
        changed: asyncio.Event,
        room: int,
    ) -> None:
        self._ledger = ledger
        self._claim = claim
        self._request = request
        self._stop = stop
        self._exhausted = exhausted
        self._budget = budget
        self._changed = changed
        self._at_once = min(CLAIMED_AT_ONCE, room)
        self._unstarted: list[ClaimedItem] = []
        self._reported: dict[Kind, float | None] = {}
        self._running = 0
        self._idle = asyncio.Event()
        self.ended = False

    async def items(
        self,
        ended: Iterable[BatchOutcome],  # noqa: ARG002 - a worker has none
    ) -> AsyncGenerator[WorkItem | BatchOutcome, None]:
        """The items, until none is left to claim. It does not end while items run, because more may come meanwhile."""
        try:
            while True:
                claim = await self._next_claim()
                async for item in self._in_turn(claim):
                    self._running += 1
                    yield item
                if claim.exceeded is not None:
                    self._exhausted(*claim.exceeded)
                    return
                if not claim.items:
                    if not claim.is_waiting and not self._running:
                        return
                    await _wait_for(self._changed if claim.is_waiting else self._idle)
        finally:
            self._give_up_unstarted()

    async def _next_claim(self) -> Claim:
        known = self._budget.stated
        learned = {kind: price for kind, price in known.items() if self._reported.get(kind, -1) != price}
        claim = await self._claim(self._at_once, learned)
        self._reported |= {**learned, **claim.prices}
        self._unstarted = claim.items[::-1]
        for claimed in claim.items:
            self._ledger.epochs[claimed.entry.key] = claimed.epoch
        for kind, price in claim.prices.items():
            self._budget.learn(kind, price)
        return claim

    async def _in_turn(self, claim: Claim) -> AsyncGenerator[WorkItem, None]:
        """The claimed items, in turn. If a price has changed since the claim, the rest of the items is given up. The
        next claim reserves the new price for them.
        """
        reserved = {kind: self._budget.price_of(kind) for kind in claim.kinds}
        while self._unstarted:
            kind = self._unstarted[-1].kind
            if claim.is_limited and kind is not None and self._budget.price_of(kind) != reserved[kind]:
                self._give_up_unstarted()
                return
            item = await self._work_item(self._unstarted[-1])
            self._unstarted.pop()
            if item is not None:
                yield item

    def _give_up_unstarted(self) -> None:
        for claimed in self._unstarted:
            self._ledger.hand_back(claimed.entry.key, ready=True)
        self._unstarted = []

    async def _work_item(self, claimed: ClaimedItem) -> WorkItem | None:
        """The item to work on; None if its request cannot be made here."""
        item = item_of(claimed.entry)
        if claimed.entry.state in PAID_TASK:
            return item
        try:
            request = await self._request(claimed)
        except FoxError as error:
            key = claimed.entry.key
            log.error("item %s is left out: %s", key, error, extra=about("item_left_out", key=key))
            self._ledger.hand_back(key, ready=False)
            return None
        kind = claimed.kind or kind_of(request)
        self._budget.take(kind)
        return attrs.evolve(item, request=request, kind=kind)

    def stop_model(self, model: str) -> None:
        """Start no more items of this model, in any worker."""
        self._stop(model)

    def note_unknown(self, resubmission: WorkItem) -> None:
        """See `WorkSource`. A worker does not run ended items again, so nothing calls this."""
        raise NotImplementedError(resubmission)  # pragma: no cover - as the docstring says

    def note_end(self, item: WorkItem, state: ItemState | None) -> None:
        """Give up an item that has not ended. If its task continues, the task is not polled again before a new run."""
        self._running -= 1
        if not self._running:
            self._idle.set()
        if item.key is not None and state in {None, ItemState.NEW, ItemState.SUBMITTED, *PAID_TASK}:
            self._ledger.hand_back(item.key, ready=state is not None)

    async def left(self) -> Counter[Kind] | None:
        """See `WorkSource`. A worker knows only the items that it has claimed."""
        return None


async def _wait_for(event: asyncio.Event) -> None:
    """Wait for the event, at most `WAIT_SECONDS`, because a change by another worker does not set it."""
    event.clear()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WAIT_SECONDS):
            await event.wait()


class WorkerBatch:
    """The work of this worker on one batch.

    Args:
        engine: the engine of the session.
        ledger: the ledger of the batch.
        out: the folder for its images.
        room: the most items at a time.
        timeout: seconds to wait for a task; None for no limit.
        may_send: returns whether a request may still be sent.
        price: credits of one image, if the user gave them.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: PostgresLedger,
        out: Path,
        room: int,
        timeout: float | None,
        may_send: Callable[[], bool],
        price: float | None,
    ) -> None:
        self._ledger = ledger
        self._room = room
        self._engine = engine
        series = Series(pauses=True, may_send=may_send)
        self._context = RunContext(
            engine=engine,
            ledger=ledger,
            manifest=None,
            budget=Budget(price=price),
            out=out,
            timeout=timeout,
            series=series,
        )
        self._work = BatchWork(self._context, series, frozenset())
        self._is_stopped = False

    @property
    def paused(self) -> Paused | None:
        """Why the work ended early; None if it did not, or if `stop` ended it."""
        return None if self._is_stopped else self._work.paused

    async def run(
        self,
        claim: Claiming,
        request: Callable[[ClaimedItem], Awaitable[GenerationRequest]],
        stop_model: Callable[[str], None],
    ) -> None:
        """Work until no item is left to claim. If this is cancelled, it waits for the answers to the submits that
        were sent, and gives up all other items.

        Raises:
            FoxError: items can no longer be claimed.
        """
        source = ClaimedItems(
            self._ledger,
            claim,
            request,
            stop_model,
            lambda budget, kind: self._work.stop_at_budget(kind, budget),
            self._context.budget,
            self._context.changed,
            self._room,
        )
        self._work.begin(source, self._room)
        try:
            while await self._work.next() is not None:
                pass
        finally:
            self._engine.discard(self._work.pipeline)
            await self._context.close()
            await asyncio.wait([self._work.pipeline.start()])
            self._work.note_excess()

    def stop(self) -> None:
        """Send nothing more, because the batch is paused. Submitted tasks continue to their ends."""
        self._is_stopped = True
        self._work.pipeline.stop()
