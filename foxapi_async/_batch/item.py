"""One item of a batch, from the ledger to its files: record it, submit it, wait, save its images, record its
end.

The order of the steps is a promise. A submit is durable in the ledger before the POST is sent. Its task id is
in the ledger's queue before anything else can happen. An item is done in the ledger only after its files are complete.
So after a kill at any moment, the ledger shows for each item whether it may be submitted again.
"""

from __future__ import annotations

import asyncio
import functools
import secrets
import time
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

import attrs

from foxapi_async._batch.budget import Budget, Kind
from foxapi_async._batch.folder import IMAGES
from foxapi_async._batch.manifest import Manifest
from foxapi_async._batch.record import (
    BatchOutcome,
    WorkItem,
    closing_record,
    opening_record,
    state_after,
)
from foxapi_async._client.engine import Engine
from foxapi_async._client.submission import Series, Submission
from foxapi_async._errors import FoxError, LedgerError
from foxapi_async._files.download_slots import DownloadSlots
from foxapi_async._files.names import file_stem
from foxapi_async._files.values import SavedFile, Target
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.result import TaskResult, file_of
from foxapi_async._ledger.entry import PAID_TASK, ItemState
from foxapi_async._ledger.protocol import Ledger
from foxapi_async._wire.replies import TaskReply, credits_of

FILES_IN_FOLDER = 1000
"""Each further thousand items has its own folder, because larger folders are slow to list."""

DOWNLOADS_AT_ONCE = 16


@attrs.frozen(kw_only=True, eq=False)
class RunContext:
    """The data that all items of one run share.

    Attributes:
        engine: the engine of the session.
        ledger: the record of submits.
        manifest: the record of ends; None if only the ledger has it.
        budget: the credits that may be spent.
        out: the folder of the run.
        timeout: seconds to wait for a task; None for no limit.
        series: the series of the submits; None if a person waits for each submit.
        changed: set when the budget may decide differently, or an item has ended.
        is_full: set when the ledger or the manifest cannot be written any more.
        downloads: limits how many files are fetched at the same time.
    """

    engine: Engine
    ledger: Ledger
    manifest: Manifest | None
    budget: Budget
    out: Path
    timeout: float | None
    series: Series | None
    changed: asyncio.Event = attrs.field(factory=asyncio.Event)
    is_full: asyncio.Event = attrs.field(factory=asyncio.Event)
    downloads: DownloadSlots = attrs.field(factory=functools.partial(DownloadSlots, DOWNLOADS_AT_ONCE))
    _under_way: dict[asyncio.Task[Any], ItemRun] = attrs.field(
        factory=dict[asyncio.Task[Any], "ItemRun"], init=False
    )
    _submits: list[asyncio.Task[object]] = attrs.field(factory=list[asyncio.Task[object]], init=False)

    def add(self, task: asyncio.Task[Any], item: ItemRun) -> None:
        """Keep an item until its task has ended."""
        self._under_way[task] = item
        task.add_done_callback(self._under_way.pop)

    async def close(self) -> None:
        """Cancel the running items, but wait for the answers to sent submits, because each may bring an id.

        If this is cancelled, it no longer waits for those answers.
        """
        items = self._under_way.values()
        self._submits.extend(
            item.submission.task for item in items if item.submission and item.submission.task
        )
        waited = [*self._under_way, *self._submits]
        for task in self._under_way:
            task.cancel()
        if not waited:
            return
        try:
            await asyncio.wait(waited)
        except asyncio.CancelledError:
            self.cancel()
            await asyncio.wait(waited)
            raise

    def cancel(self) -> None:
        """During `close`: stop waiting for answers."""
        for submit in self._submits:
            submit.cancel()


class ItemRun:
    """One item in progress. Times are Unix seconds, because other processes read them later.

    Attributes:
        item: the item.
        task_id: its task; None before the service has given one.
        submission: its submit; None before the submit, or if a task of an earlier run continues.
        kept: a future that is done when the ledger has the id of its submit; None before there is an id.
    """

    def __init__(self, context: RunContext, item: WorkItem) -> None:
        assert item.key is not None  # noqa: S101 - an item without a key has an error, and is not run
        entry = item.entry
        self.item = item
        self.task_id = item.task_id
        self.submission: Submission | None = None
        self.kept: Awaitable[None] | None = None
        self._context = context
        self._key = item.key
        self._request = item.recorded_request
        self._submitted_at = 0.0 if entry is None else entry.changed
        # Whether the credits that the budget holds for this item were settled or released.
        self._is_settled = item.task_id is not None
        # Whether the ledger has its present submit. It is recorded just before the POST.
        self._is_recorded = entry is not None and entry.state in {ItemState.SUBMITTING, *PAID_TASK}
        self._release: Awaitable[None] | None = None
        self._idempotency_key = item.idempotency_key or secrets.token_hex(16)
        # Whether its submit counts as spent, and the credits that count for it; None if they are unknown.
        self._price = entry.price if entry is not None and self._is_recorded else None
        self._is_counted = self._is_recorded
        self._result: TaskResult | None = None
        # The saved files. If another file of the task cannot be fetched, they are recorded with the error.
        self._files: tuple[SavedFile, ...] = ()

    async def handle(self) -> TaskHandle:
        """The handle of its task: the one that continues, or the one from its submit.

        Raises:
            FoxError: the submit was not accepted, or it is unknown whether it was.
        """
        engine, timeout = self._context.engine, self._context.timeout
        if self.task_id is not None:
            return engine.poller.attach(self.task_id, None, timeout, confirmed=True)
        assert self.item.request is not None  # noqa: S101 - only an item whose task continues has no request
        self.submission = submission = engine.new_submission(
            timeout, series=self._context.series, key=self._idempotency_key, journal=self
        )
        try:
            return await engine.submitter.submit(self.item.request, submission)
        except asyncio.CancelledError:
            if not submission.maybe_billed:
                self.refused()
            raise
        finally:
            self._settle(None)

    async def finish(self, handle: TaskHandle) -> BatchOutcome:
        """Wait for the task, save its images, record it as done.

        Raises:
            FoxError: the task or the wait for it failed, or its images cannot be fetched or recorded.
        """
        context, loop = self._context, asyncio.get_running_loop()
        self._result = result = await handle
        finished, began = time.time(), loop.time()
        shard = self.item.index // FILES_IN_FOLDER
        folder = context.out / IMAGES / (f"{shard:04}" if shard else "")
        stem = file_stem(self._key)
        # If files with these names exist, an earlier run was killed before it could record them.
        wanted = [
            (file_of(image), Target(path=folder / f"{stem}-{n}", exact=False, overwrite=True))
            for n, image in enumerate(result.images, 1)
        ]
        if context.is_full.is_set():  # the images would take the space that the ids need
            raise LedgerError(
                f"item {self._key}: its images are not fetched, because its end cannot be recorded",
                task_id=self.task_id,
                charged="yes",
            )
        saved, failure = await context.engine.api.downloads.save_each(wanted, context.downloads)
        self._files = tuple(saved)
        if failure is not None:
            raise failure
        timings = {
            "submitted": self._submitted_at,
            "finished": finished,
            "elapsed": result.elapsed,
            "saved": loop.time() - began,
        }
        await self._note(ItemState.DONE, timings)
        return self.outcome(result=result)

    async def fail(self, error: FoxError) -> BatchOutcome | None:
        """Record an error, and return the outcome. If the error cost nothing and the request did not cause it, make the
        item new again and return None.
        """
        state = state_after(error, self.submission)
        if state is ItemState.NEW:
            self.refused()
            if self._release is not None:
                await self._release
            return None
        if state is not None:
            await self.sending()
            self.task_id = self.task_id or error.task_id
            await self.note_error(state, error)
        return self.outcome(error=error)

    async def note_error(self, state: ItemState, error: FoxError) -> None:
        """Record that the item ended with an error."""
        timings = {"submitted": self._submitted_at} if self._submitted_at else {}
        await self._note(state, {**timings, "finished": time.time()}, error=error)

    async def _note(
        self, state: ItemState, timings: Mapping[str, float], *, error: FoxError | None = None
    ) -> None:
        snapshot = getattr(error, "snapshot", None)
        usage = self._result.usage if self._result else snapshot.usage if snapshot else None
        price = 0.0 if error is not None and error.charged == "no" else credits_of(usage)
        if price is None:
            price = self._price
        elif self._is_counted:
            is_new = self.submission is not None
            self._context.budget.correct(self.item.kind, self._price, price, is_new=is_new)
        record = closing_record(
            self.item,
            state,
            request=self._request,
            task_id=self.task_id,
            result=self._result,
            usage=usage,
            price=price,
            files=self._files,
            folder=self._context.out,
            timings=timings,
            error=error,
        )
        await self._context.ledger.ended(self._key, state, record, price)
        if self._context.manifest is not None:
            await self._context.manifest.append(record)

    def outcome(self, *, result: TaskResult | None = None, error: FoxError | None = None) -> BatchOutcome:
        """The outcome for the reader of the run."""
        return BatchOutcome(
            index=self.item.index,
            request=self.item.request,
            task_id=self.task_id,
            result=result,
            error=error,
            key=self._key,
            files=self._files,
        )

    @property
    def _kind(self) -> Kind:
        assert self.item.kind is not None  # noqa: S101 - an item that is submitted has a request, and so a kind
        return self.item.kind

    # The item is the journal of its own submit.

    async def sending(self) -> None:
        """Record on the disk that the item is being sent."""
        if not self._is_recorded:
            item, price = self.item, self._context.budget.price_of(self._kind)
            await self._context.ledger.submitting(
                self._key, item.fingerprint, self._idempotency_key, price, opening_record(item)
            )
            self._is_recorded = True

    def refused(self) -> None:
        """Undo the record of `sending`. Nothing was billed, and the next try may be much later."""
        if self._is_recorded:
            self._is_recorded = False
            self._release = self._context.ledger.released(self._key)

    def accepted(self, reply: TaskReply) -> None:
        """Record the task id and the price."""
        self.task_id, self._submitted_at = reply.id, time.time()
        stated = credits_of(reply.usage)
        self._settle(stated)
        if stated is not None:  # if its caller went away before, it was settled without its price
            self._context.budget.correct(self._kind, self._price, stated, is_new=True)
            self._price = stated
        self.kept = self._context.ledger.submitted(self._key, reply.id, self._price)

    def _settle(self, stated: float | None) -> None:
        """Settle or release the credits that the budget holds, once. `stated` is the price from the service."""
        if self._is_settled:
            return
        self._is_settled = True
        budget, kind = self._context.budget, self._kind
        if self.submission is not None and self.submission.maybe_billed:
            self._price, self._is_counted = budget.settle(kind, stated), True
        else:
            budget.release(kind)
        self._context.changed.set()
