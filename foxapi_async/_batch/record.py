"""One item of a batch that is to be done in this run, and what its end means for the ledger."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from foxapi_async import _errors
from foxapi_async._errors import FoxError
from foxapi_async._files.values import SavedFile
from foxapi_async._handles.result import Outcome, TaskResult
from foxapi_async._ledger.entry import ItemState, LedgerEntry
from foxapi_async.models import GenerationRequest


@attrs.frozen(kw_only=True)
class BatchOutcome(Outcome):
    """How one item of a `Batch` ended in this run.

    Attributes:
        key: the item's id, or what stands for it; None if the item could not be made a request.
        files: its images, saved; empty if there is an error.
    """

    key: str | None = None
    files: tuple[SavedFile, ...] = ()


@attrs.frozen(kw_only=True)
class WorkItem:
    """One item to be done.

    Attributes:
        index: its place in the input, from 0.
        key: its name in the ledger; None where there is an `error`.
        fingerprint: of its request.
        request: what to make; None where there is an `error`, or a task of an earlier run goes on.
        entry: what the ledger knew of it.
        kind: what its price depends on.
        held: the credits that the budget holds for it, None if their number is not known.
        error: why it cannot be done.
    """

    index: int
    key: str | None = None
    fingerprint: str = ""
    request: GenerationRequest | None = None
    entry: LedgerEntry | None = None
    kind: Hashable = None
    held: float | None = None
    error: FoxError | None = None

    @property
    def task_id(self) -> str | None:
        """The task of an earlier run that goes on; None if there is none."""
        going_on = self.entry is not None and self.entry.state is ItemState.SUBMITTED
        return self.entry.task_id if self.entry is not None and going_on else None

    @property
    def idempotency_key(self) -> str | None:
        """What an earlier submit of the same work carried; None for work that is asked for anew."""
        same_work = self.entry is not None and self.entry.state in {ItemState.NEW, ItemState.UNCERTAIN}
        return self.entry.idempotency_key if self.entry is not None and same_work else None


def job_of(entry: LedgerEntry) -> WorkItem:
    """An item that an earlier run left behind."""
    opening = json.loads(entry.opening or "{}")
    return WorkItem(index=opening.get("index", 0), key=entry.key, fingerprint=entry.fingerprint, entry=entry)


def state_after(error: FoxError) -> ItemState | None:
    """Where an item stands after an error; None where its task goes on, and another run looks again."""
    if isinstance(error, _errors.TaskFailedError | _errors.TaskCancelledError):
        return ItemState.FAILED
    if isinstance(error, _errors.UncertainSubmitError):
        return ItemState.UNCERTAIN
    if isinstance(error, _errors.NotFoundError) and error.task_id is not None:
        return ItemState.FAILED  # paid for, and not known any more: looking again tells nothing new
    if error.task_id is not None or error.charged != "no":
        return None
    return ItemState.NEW if is_passing(error) else ItemState.FAILED


def is_passing(error: FoxError) -> bool:
    """Whether a refusal, which cost nothing, says something about the moment or the account and not the request."""
    return error.retryable or isinstance(
        error,
        _errors.AuthenticationError
        | _errors.InsufficientQuotaError
        | _errors.PermissionDeniedError
        | _errors.ConnectionFailedError
        | _errors.RateLimitError
        | _errors.ConfigurationError,
    )


def opening_record(job: WorkItem) -> str:
    """What the ledger keeps of an item while its task runs, so that another run needs no input to go on."""
    return _dump({"id": job.key, "index": job.index, "request": job.request and job.request.to_dict()})


def closing_record(
    job: WorkItem,
    status: ItemState,
    *,
    request: Mapping[str, Any] | None,
    task_id: str | None,
    result: TaskResult | None = None,
    files: Sequence[SavedFile] = (),
    folder: Path,
    timings: Mapping[str, float],
    error: FoxError | None = None,
) -> str:
    """An item's line of the manifest, as JSON."""
    model = result.model if result else ""
    line = {
        "id": job.key,
        "index": job.index,
        "task_id": task_id,
        "status": status.value,
        "files": [_file(file, folder) for file in files],
        "model": model or (request or {}).get("model"),
        "request": request,
        "usage": dict(result.usage) if result else None,
        "timings": {name: round(value, 3) for name, value in timings.items()},
        "error": error and _problem(error),
    }
    return _dump(line)


def _file(file: SavedFile, folder: Path) -> dict[str, Any]:
    return {"path": file.path.relative_to(folder).as_posix(), "sha256": file.sha256, "bytes": file.bytes}


def _problem(error: FoxError) -> dict[str, Any]:
    code = getattr(error, "code", None) or type(error).__name__
    return {"code": code, "message": str(error), "charged": error.charged}


def _dump(line: Mapping[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=True, default=str)
