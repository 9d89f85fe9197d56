"""From a batch's items to the jobs of this run: what the ledger knows as done is skipped, what runs is gone on with."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from foxapi_async._batch.budget import Answer, Budget, kind_of
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.lines import InputRow
from foxapi_async._batch.keys import counted_key, fingerprint, id_conflict, id_problem
from foxapi_async._batch.record import WorkItem, job_of
from foxapi_async._client.item_source import ItemSource
from foxapi_async._errors import InvalidRequestError
from foxapi_async._ledger.entry import ItemState, LedgerEntry
from foxapi_async._ledger.sqlite import Ledger
from foxapi_async.models import GenerationRequest, parse_request

BatchItem = GenerationRequest | Mapping[str, Any] | tuple[str | None, GenerationRequest | Mapping[str, Any]]
BatchItems = Iterable[BatchItem] | AsyncIterable[BatchItem]

_CHUNK = 500


@attrs.frozen
class Wanted:
    """Which of the items that the ledger knows are done again."""

    failed: bool = False
    uncertain: bool = False

    @property
    def states(self) -> tuple[ItemState, ...]:
        """The states of items that ended and are done again."""
        asked = ((ItemState.FAILED, self.failed), (ItemState.UNCERTAIN, self.uncertain))
        return tuple(state for state, is_asked in asked if is_asked)

    def admits(self, entry: LedgerEntry | None) -> bool:
        """Whether an item is to be submitted."""
        return entry is None or entry.state in {ItemState.NEW, *self.states}


class WorkPlan:
    """The jobs of one run, in the order in which they are begun.

    Args:
        items: what was given.
        ledger: what was done before.
        budget: what may be spent.
        wanted: what is done again.
        refused: told of what ends the intake before its time.
    """

    def __init__(
        self,
        items: BatchItems | InputFile,
        ledger: Ledger,
        budget: Budget,
        wanted: Wanted,
        refused: Callable[[Answer, WorkItem], None],
    ) -> None:
        self._items = items
        self._ledger = ledger
        self._budget = budget
        self._wanted = wanted
        self._refused = refused
        self.mark_unproven: Callable[[list[WorkItem]], Awaitable[dict[str, LedgerEntry]]] | None = None
        """Gives the entries of items that the ledger does not know, if these may have been sent all the same."""
        self.skipped = 0
        self.ended = False

    async def jobs(self, settled: asyncio.Event) -> AsyncGenerator[WorkItem, None]:
        """First what is paid for and runs, then what is new.

        Args:
            settled: set whenever the budget may give another answer.
        """
        async with contextlib.aclosing(self._ledger.entries(ItemState.SUBMITTED)) as entries:
            async for entry in entries:
                yield job_of(entry)
        index = 0
        async with contextlib.aclosing(_chunks(self._items)) as chunks:
            async for chunk in chunks:
                for job in await self._identified(index, chunk):
                    admitted = job if job.error is not None else await self._admitted(job, settled)
                    if admitted is None:
                        return
                    yield admitted
                index += len(chunk)
        self.ended = True

    async def _identified(self, first: int, chunk: Sequence[BatchItem | InputRow]) -> list[WorkItem]:
        """The jobs in a chunk of items; what is done already, or given twice, is left out."""
        jobs = [_read(index, item) for index, item in enumerate(chunk, first)]
        numbers = iter(await self._ledger.number(itertools.chain.from_iterable(map(_names, jobs))))
        jobs = [_numbered(job, [next(numbers) for _ in _names(job)]) for job in jobs]
        known = await self._ledger.look_up(job.key for job in jobs if job.key is not None)
        if self.mark_unproven is not None:
            known |= await self.mark_unproven(
                [job for job in jobs if job.key is not None and job.key not in known]
            )
        kept = [job for job in jobs if self._is_left(job, known)]
        self.skipped += len(jobs) - len(kept)
        return [_compared(job, None if job.key is None else known.get(job.key)) for job in kept]

    def _is_left(self, job: WorkItem, known: Mapping[str, LedgerEntry]) -> bool:
        """Whether there is something to do or to say. Most items of a resumed batch end here, so it makes nothing."""
        if job.key is None:
            return job.error is not None
        entry = known.get(job.key)
        return entry is None or entry.fingerprint != job.fingerprint or self._wanted.admits(entry)

    async def _admitted(self, job: WorkItem, settled: asyncio.Event) -> WorkItem | None:
        """The job with what the budget holds for it, as soon as there is room; None if there will be none."""
        while (answer := self._budget.ask(job.kind)) is Answer.WAIT:
            settled.clear()
            await settled.wait()
        if answer is Answer.GO:
            return attrs.evolve(job, held=self._budget.take(job.kind))
        self._refused(answer, job)
        return None


def _read(index: int, item: Any) -> WorkItem:
    """An item as a job; its key is the explicit id, or not known yet."""
    if isinstance(item, InputRow) and item.request is None:
        words = f"line {item.number}: {'; '.join(item.problems)}"
        return WorkItem(index=index, error=InvalidRequestError(words, problems=item.problems))
    try:
        given, fields = _parts(item)
        request = fields if isinstance(fields, GenerationRequest) else parse_request(fields)
    except InvalidRequestError as fault:
        return WorkItem(index=index, error=fault)
    if given is not None and (problem := id_problem(given)) is not None:
        return WorkItem(index=index, error=InvalidRequestError(problem))
    return WorkItem(index=index, key=given, fingerprint=fingerprint(request), request=request)


def _parts(item: Any) -> tuple[str | None, Any]:
    """The explicit id, and the request or mapping."""
    if isinstance(item, InputRow):
        return item.id, item.request
    if isinstance(item, tuple) and len(item) == 2:
        given, fields = item
        return None if given is None else str(given), fields
    if isinstance(item, Mapping) and "id" in item:
        return str(item["id"]), {name: value for name, value in item.items() if name != "id"}
    return None, item


def _names(job: WorkItem) -> list[str]:
    """What is counted of a job: equal requests, or the uses of an id, alone and with this request."""
    if job.error is not None:
        return []
    return [job.fingerprint] if job.key is None else [job.key, f"{job.key}\n{job.fingerprint}"]


def _numbered(job: WorkItem, numbers: Sequence[int]) -> WorkItem:
    """The job with its key; without one where the same id and request came before."""
    if job.error is not None:
        return job
    if job.key is None:
        return attrs.evolve(job, key=counted_key(job.fingerprint, numbers[0]))
    uses, same = numbers
    if problem := id_conflict(job.key, used=uses > same, known=False):
        return _spoilt(job, problem)
    return job if same == 1 else attrs.evolve(job, key=None)


def _compared(job: WorkItem, entry: LedgerEntry | None) -> WorkItem:
    """The job with what the ledger knows of it, and with what its price depends on."""
    changed = entry is not None and entry.fingerprint != job.fingerprint
    if problem := id_conflict(job.key or "", used=False, known=changed):
        return _spoilt(job, problem)
    return attrs.evolve(job, entry=entry, kind=job.request and kind_of(job.request))


def _spoilt(job: WorkItem, problem: str) -> WorkItem:
    return attrs.evolve(job, key=None, error=InvalidRequestError(problem))


async def _chunks(items: BatchItems | InputFile) -> AsyncGenerator[Sequence[BatchItem | InputRow], None]:
    """The items as they can be had without waiting for more than is asked for: many of a list, one of a generator."""
    if isinstance(items, list | tuple):
        for start in range(0, len(items), _CHUNK):
            yield items[start : start + _CHUNK]
    elif isinstance(items, InputFile):
        async with contextlib.aclosing(items.chunks(_CHUNK)) as chunks:
            async for chunk in chunks:
                yield chunk
    else:
        async with contextlib.aclosing(_pulled(ItemSource(items))) as pulled:
            async for item in pulled:
                yield [item]


async def _pulled(supply: ItemSource[BatchItem]) -> AsyncGenerator[BatchItem, None]:
    try:
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield await supply.pull()
    finally:
        await supply.close()
