"""Decides which items of a batch still need work: finished ones are skipped, running tasks continue."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from foxapi_async._batch.budget import Budget, BudgetDecision, Kind, kind_of
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.lines import InputRow
from foxapi_async._batch.keys import Numbering, counted_key, fingerprint, id_conflict, id_problem
from foxapi_async._batch.record import BatchOutcome, WorkItem, item_of
from foxapi_async._client.pipeline import ItemSource
from foxapi_async._errors import InvalidRequestError
from foxapi_async._ledger.entry import PAID_TASK, ItemState, LedgerEntry
from foxapi_async._ledger.protocol import LedgerView
from foxapi_async._threads import in_thread
from foxapi_async.models import GenerationRequest, parse_request

BatchItem = GenerationRequest | Mapping[str, Any] | tuple[str | None, GenerationRequest | Mapping[str, Any]]
BatchItems = Iterable[BatchItem] | AsyncIterable[BatchItem]

_CHUNK = 500


@attrs.define(eq=False)
class WorkPlan:
    """The items of one run, in the order in which they start.

    Args:
        given: the items of the batch.
        ledger: the record of earlier runs.
        budget: the credits that may be spent.
        again: the states of ended items that are run again.
        changed: set when the budget may decide differently, or an item has ended.
        exhausted: called with the kind of the item that the budget does not allow. Then no more items follow.

    Attributes:
        count: how many items were read from `given`.
        ended: whether all items were processed.
    """

    _given: BatchItems | InputFile
    _ledger: LedgerView
    _budget: Budget
    _again: frozenset[ItemState]
    _changed: asyncio.Event
    _exhausted: Callable[[Kind], None]
    # Called with items that are not in the ledger, if they may have been sent. It records them as uncertain, and
    # returns their entries.
    mark_unproven: Callable[[list[WorkItem]], Awaitable[dict[str, LedgerEntry]]] | None = attrs.field(
        default=None, init=False
    )
    count: int = attrs.field(default=0, init=False)
    ended: bool = attrs.field(default=False, init=False)
    _stopped_models: set[str] = attrs.field(factory=set[str], init=False)
    # How many tasks of earlier runs have no answer yet in this run.
    _awaited: int = attrs.field(default=0, init=False)
    # The items to submit again, by key, because the service no longer knows their tasks.
    _unknown: dict[str, WorkItem] = attrs.field(factory=dict[str, WorkItem], init=False)

    async def items(self, ended: Iterable[BatchOutcome]) -> AsyncGenerator[WorkItem | BatchOutcome, None]:
        """Yield the `ended` outcomes, then the paid tasks whose images are not saved yet, then the items to submit."""
        for outcome in ended:
            yield outcome
        async with contextlib.aclosing(self._ledger.entries(*PAID_TASK)) as entries:
            async for entry in entries:
                self._awaited += 1
                yield item_of(entry)
        async with contextlib.aclosing(self.unstarted()) as unstarted:
            async for item in unstarted:
                if item.kind is not None:
                    if item.kind.model in self._stopped_models:
                        continue
                    while (answer := self._budget.ask(item.kind)) is BudgetDecision.WAIT:
                        self._changed.clear()
                        await self._changed.wait()
                    if answer is not BudgetDecision.GO:
                        self._exhausted(item.kind)
                        return
                    self._budget.take(item.kind)
                yield item
        self.ended = True

    def stop_model(self, model: str) -> None:
        """Start no more items of this model."""
        self._stopped_models.add(model)

    def note_unknown(self, resubmission: WorkItem) -> None:
        """Submit this item at the end, because the service no longer knows its task."""
        self._unknown[resubmission.key or ""] = resubmission

    def note_end(self, item: WorkItem, state: ItemState | None) -> None:
        """Note that the work on an item has ended; see `WorkSource`."""
        del state
        self._awaited -= item.task_id is not None

    async def left(self) -> Counter[Kind] | None:
        """How many requests of each kind are left to submit; None if that is not known.

        It is not known if the items can be read only once, or may have been sent before the ledger was lost.

        Raises:
            InvalidRequestError: the input cannot be read.
            LedgerError: the ledger cannot be read.
        """
        given = self._given
        is_repeatable = given.is_regular if isinstance(given, InputFile) else isinstance(given, list | tuple)
        if not is_repeatable or self.mark_unproven is not None:
            return None
        return await left_in(given, self._ledger, self._again)

    async def unstarted(self) -> AsyncGenerator[WorkItem, None]:
        """The items to submit, and the items whose error is their outcome."""
        async with contextlib.aclosing(keyed_items(self._given)) as chunks:
            async for chunk in chunks:
                self.count += len(chunk)
                for item in await self._remaining(chunk):
                    if item.key not in self._unknown:
                        yield item
        if ItemState.UNCERTAIN in self._again:
            while self._awaited:
                self._changed.clear()
                await self._changed.wait()
            for item in self._unknown.values():
                yield item

    async def _remaining(self, items: Sequence[WorkItem]) -> list[WorkItem]:
        """The items of a chunk that still need work. Repeated items are left out."""
        known = await self._ledger.look_up(item.key for item in items if item.key is not None)
        if self.mark_unproven is not None:
            unknown = [item for item in items if item.key is not None and item.key not in known]
            known |= await self.mark_unproven(unknown)
        remaining: list[WorkItem] = []
        open_states = {ItemState.NEW, *self._again}
        for item in items:  # most items of a resumed batch are done, so no object is made for those
            entry = known.get(item.key or "")
            if item.key is None:
                if item.error is not None:
                    remaining.append(item)
            elif entry is not None and entry.fingerprint != item.fingerprint:
                remaining.append(_with_problem(item, id_conflict(item.key, used=False, known=True)))
            elif entry is None or entry.state in open_states:
                kind = None if item.request is None else kind_of(item.request)
                remaining.append(attrs.evolve(item, entry=entry, kind=kind))
        return remaining


async def keyed_items(given: BatchItems | InputFile) -> AsyncGenerator[list[WorkItem], None]:
    """All items in chunks, with their keys. An item without a key has an error, or is a repeated one.

    Equal requests without an id are numbered. An id gets two numbers: one among all its uses, and one among its uses
    with the same request.
    """
    with contextlib.closing(Numbering()) as numbering:
        first = 0
        async with contextlib.aclosing(_chunks(given)) as chunks:
            async for chunk in chunks:
                items = [_read(index, value) for index, value in enumerate(chunk, first)]
                first += len(chunk)
                names = [_numbered_names(item) for item in items]
                numbers = iter(await in_thread(numbering.number, list(itertools.chain.from_iterable(names))))
                yield [
                    _keyed(item, [next(numbers) for _ in own]) for item, own in zip(items, names, strict=True)
                ]


async def left_in(
    given: BatchItems | InputFile, ledger: LedgerView, again: frozenset[ItemState]
) -> Counter[Kind]:
    """How many requests of each kind a run would submit if its budget had no limit.

    Raises:
        InvalidRequestError: the input cannot be read.
        LedgerError: the ledger cannot be read.
    """
    plan = WorkPlan(given, ledger, Budget(), again, asyncio.Event(), lambda _: None)
    async with contextlib.aclosing(plan.unstarted()) as items:
        return Counter([item.kind async for item in items if item.kind is not None])


def _read(index: int, given: BatchItem | InputRow) -> WorkItem:
    """The item for a given value. Its key is the explicit id, or None until it is numbered."""
    key: object = None
    extra = given.extra if isinstance(given, InputRow) else None
    fields: GenerationRequest | Mapping[str, Any]
    if isinstance(given, InputRow):
        if given.request is None:
            error = InvalidRequestError(f"line {given.number}", problems=given.problems, hint=given.hint)
            return WorkItem(index=index, error=error)
        key, fields = given.id, given.request
    elif isinstance(given, tuple) and len(given) == 2:
        key, fields = given
    elif isinstance(given, Mapping) and "id" in given:
        key, fields = given["id"], {name: value for name, value in given.items() if name != "id"}
    else:
        fields = given
    try:
        request = fields if isinstance(fields, GenerationRequest) else parse_request(fields)
    except InvalidRequestError as fault:
        return WorkItem(index=index, error=fault)
    key = None if key is None else str(key)
    if key is not None and (problem := id_problem(key)) is not None:
        return WorkItem(index=index, error=InvalidRequestError(problem))
    return WorkItem(index=index, key=key, fingerprint=fingerprint(request), request=request, extra=extra)


def _numbered_names(item: WorkItem) -> list[str]:
    """The names that are numbered for an item. `_keyed` needs a number for each."""
    if item.error is not None:
        return []
    if item.key is None:
        return [item.fingerprint]
    return [item.key, f"{item.key}\n{item.fingerprint}"]


def _keyed(item: WorkItem, numbers: Sequence[int]) -> WorkItem:
    """The item with its key. The key is None if the same id and request came before."""
    if item.error is not None:
        return item
    if item.key is None:
        return attrs.evolve(item, key=counted_key(item.fingerprint, numbers[0]))
    uses, same = numbers
    if uses > same:
        return _with_problem(item, id_conflict(item.key, used=True, known=False))
    return item if same == 1 else attrs.evolve(item, key=None)


def _with_problem(item: WorkItem, problem: str | None) -> WorkItem:
    return attrs.evolve(item, key=None, request=None, error=InvalidRequestError(problem or ""))


async def _chunks(given: BatchItems | InputFile) -> AsyncGenerator[Sequence[BatchItem | InputRow], None]:
    """The items in chunks. A list gives large chunks. A generator gives one item at a time, because it may be slow."""
    if isinstance(given, list | tuple):
        for start in range(0, len(given), _CHUNK):
            yield given[start : start + _CHUNK]
    elif isinstance(given, InputFile):
        async with contextlib.aclosing(given.chunks(_CHUNK)) as chunks:
            async for chunk in chunks:
                yield chunk
    else:
        source = ItemSource(given)
        try:
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    yield [await source.pull()]
        finally:
            await source.close()
