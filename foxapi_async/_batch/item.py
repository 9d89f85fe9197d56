"""One item of a batch from the ledger to its files: note it, submit it, wait, save its images, note how it ended.

The order is the promise. A submit is durable in the ledger before the POST leaves; its task id is in the ledger's
queue before anything else can happen; an item is done there once its files are whole. So a run that is killed at any
moment knows of each item whether it may be submitted again.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foxapi_async._batch.budget import credits_reserved
from foxapi_async._batch.context import RunContext
from foxapi_async._batch.record import BatchOutcome, WorkItem, closing_record, opening_record, state_after
from foxapi_async._client.submission import Submission
from foxapi_async._errors import FoxError, LedgerError
from foxapi_async._files.names import file_stem
from foxapi_async._files.values import SavedFile, Target
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.result import TaskResult
from foxapi_async._ledger.entry import ItemState
from foxapi_async._wire.replies import TaskReply

IMAGES = "images"

# Items from the thousandth on have folders of their own, a thousand each.
FILES_IN_FOLDER = 1000


class ItemRun:
    """One job that is being done. Moments are unix seconds: other processes read them, on other days."""

    def __init__(self, desk: RunContext, job: WorkItem, key: str) -> None:
        self._desk = desk
        self._job = job
        self._key = key
        self._request = job.request.to_dict() if job.request else _request_in(job)
        self._task_id = job.task_id
        self._submitted = 0.0 if job.entry is None else job.entry.changed
        self._settled = job.task_id is not None
        # Whether the ledger has it as sent; it is noted there just before it leaves.
        self._noted = job.entry is not None and job.entry.state in {ItemState.SUBMITTING, ItemState.SUBMITTED}
        self._undone: asyncio.Future[None] | None = None
        self._idempotency_key = job.idempotency_key or secrets.token_hex(16)
        self._price: float | None = None
        self.post: Submission | None = None

    async def handle(self) -> TaskHandle:
        """The handle of its task: of the one that goes on, or of the one it is submitted as.

        Raises:
            FoxError: it was not accepted, or nobody knows.
        """
        if self._task_id is not None:
            return self._desk.attach(self._task_id)
        try:
            return await self._submit()
        except asyncio.CancelledError:
            if not self._maybe_billed:
                self.refused()
            raise
        finally:
            self._settle(None)

    async def finish(self, handle: TaskHandle) -> BatchOutcome:
        """Wait for the task, save its images, note it as done.

        Raises:
            FoxError: the task failed, or could not be waited for, or its images not be had.
        """
        loop = asyncio.get_running_loop()
        result = await handle
        finished, began = time.time(), loop.time()
        files = await self._save(result)
        times = {
            "submitted": self._submitted,
            "finished": finished,
            "elapsed": result.elapsed,
            "saved": loop.time() - began,
        }
        await self._close(ItemState.DONE, times, result=result, files=files)
        return self._outcome(result=result, files=files)

    async def fail(self, error: FoxError) -> BatchOutcome | None:
        """Note an error; None where it cost nothing and says nothing of the request: the item is as new."""
        state = state_after(error)
        if state is ItemState.NEW:
            self.refused()
            if self._undone is not None:
                await self._undone
            return None
        if state is not None:
            await self.sending()
            self._task_id = self._task_id or error.task_id
            began = {"submitted": self._submitted} if self._submitted else {}
            await self._close(state, {**began, "finished": time.time()}, error=error)
        return self._outcome(error=error)

    async def _submit(self) -> TaskHandle:
        assert self._job.request is not None  # noqa: S101 - only a task that goes on has none
        self.post = self._desk.new_submission(self._idempotency_key, self)
        return await self._desk.submit(self._job.request, self.post)

    # What its post tells.

    async def sending(self) -> None:
        """Note it as sent, on the disk."""
        if not self._noted:
            job = self._job
            await self._desk.ledger.submitting(
                self._key, job.fingerprint, self._idempotency_key, job.held, opening_record(job)
            )
            self._noted = True

    def refused(self) -> None:
        """Take that back: nothing of it is billed, and it may wait long for its next try."""
        if self._noted:
            self._noted = False
            self._undone = self._desk.ledger.released(self._key)
            self._undone.add_done_callback(_heard)

    def accepted(self, reply: TaskReply) -> None:
        """Keep the id."""
        self._task_id, self._submitted = reply.id, time.time()
        price = self._settle(credits_reserved(reply.usage))
        self._desk.ledger.submitted(self._key, reply.id, price).add_done_callback(_heard)

    @property
    def _maybe_billed(self) -> bool:
        return self.post is not None and self.post.maybe_billed

    def _settle(self, stated: float | None) -> float | None:
        """Tell the budget, once, what became of what it holds: the credits that the submit counts for."""
        if self._settled:
            return None
        self._settled = True
        if self._maybe_billed:
            self._price = self._desk.budget.settle(self._job.kind, self._job.held, stated)
        else:
            self._desk.budget.release(self._job.held)
        self._desk.settled()
        return self._price

    async def _save(self, result: TaskResult) -> tuple[SavedFile, ...]:
        stem = self._desk.out / _folder_of(self._job.index) / file_stem(self._key)
        # What has these names is of an earlier run that was killed before it could note them.
        wanted = [
            (image.file, Target(path=stem.with_name(f"{stem.name}-{n}"), exact=False, overwrite=True))
            for n, image in enumerate(result.images, 1)
        ]
        async with self._desk.at_once:
            return tuple(await self._desk.downloads.save(wanted))

    async def _close(self, state: ItemState, times: Mapping[str, float], **facts: Any) -> None:
        ledger = self._desk.ledger
        record = closing_record(
            self._job,
            state,
            request=self._request,
            task_id=self._task_id,
            folder=self._desk.out,
            timings=times,
            **facts,
        )
        error = facts.get("error")
        price = 0.0 if error is not None and error.charged == "no" else self._price
        note = {
            ItemState.DONE: ledger.done,
            ItemState.FAILED: ledger.failed,
            ItemState.UNCERTAIN: ledger.uncertain,
        }[state]
        await note(self._key, record, price)
        await self._desk.manifest.append(record)

    def unwritten(self, fault: LedgerError) -> BatchOutcome | None:
        """What is left to say where the ledger cannot be written: the id, if there is one."""
        return None if self._task_id is None else self._outcome(error=fault)

    def _outcome(
        self,
        *,
        result: TaskResult | None = None,
        files: tuple[SavedFile, ...] = (),
        error: FoxError | None = None,
    ) -> BatchOutcome:
        return BatchOutcome(
            index=self._job.index,
            request=self._job.request,
            task_id=self._task_id,
            result=result,
            error=error,
            key=self._key,
            files=files,
        )


def _folder_of(index: int) -> Path:
    """Where an item's images go: few folders list a hundred thousand files gladly."""
    shard = index // FILES_IN_FOLDER
    return Path(IMAGES) / f"{shard:04}" if shard else Path(IMAGES)


def _request_in(job: WorkItem) -> Mapping[str, Any] | None:
    """The request of a task that goes on, as the ledger kept it."""
    record = json.loads((job.entry and job.entry.opening) or "{}")
    request: Mapping[str, Any] | None = record.get("request")
    return request


def _heard(future: asyncio.Future[None]) -> None:
    """A ledger that cannot be written says so to whoever waits for it next."""
    future.exception()
