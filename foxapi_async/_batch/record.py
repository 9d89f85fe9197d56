"""One item of a batch in this run, its records, and its state after an error."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from foxapi_async import _errors
from foxapi_async._batch.budget import Kind, kind_of
from foxapi_async._batch.keys import fingerprint
from foxapi_async._client.submission import Submission
from foxapi_async._errors import FoxError, InvalidRequestError, UncertainSubmitError
from foxapi_async._files.values import SavedFile
from foxapi_async._handles.result import Outcome, TaskResult
from foxapi_async._hints import Hint
from foxapi_async._ledger.entry import PAID_TASK, ItemState, LedgerEntry
from foxapi_async._wire.json_values import read_mapping
from foxapi_async.models import GenerationRequest, parse_request
from foxapi_async.models._file_fields import map_files

ACCOUNT_ERRORS = (
    _errors.AuthenticationError,
    _errors.InsufficientQuotaError,
    _errors.PermissionDeniedError,
)

_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, default=str).encode
_URL = re.compile(r"https?:|data:", re.IGNORECASE)

# The state of an item after each of these errors. The class of the error says how far its task has come.
_ENDS: tuple[tuple[type[FoxError], ItemState], ...] = (
    (_errors.TaskFailedError, ItemState.FAILED),
    (_errors.TaskCancelledError, ItemState.FAILED),
    (_errors.UncertainSubmitError, ItemState.UNCERTAIN),
    (_errors.UnreadableResultError, ItemState.UNSAVED),
    (_errors.DownloadError, ItemState.UNSAVED),
)


@attrs.frozen(kw_only=True)
class BatchOutcome(Outcome):
    """How one item of a `Batch` ended in this run.

    Attributes:
        key: the item's id, or its counted key; None if the item was not a valid request.
        files: its saved files. If another file cannot be fetched, there is also an `error`.
    """

    key: str | None = None
    files: tuple[SavedFile, ...] = ()


@attrs.frozen(kw_only=True)
class WorkItem:
    """One item to do.

    Attributes:
        index: its position in the input, from 0.
        key: its name in the ledger; None if there is an `error`.
        fingerprint: the hash of its request.
        request: the request; None if there is an `error`, or if a task of an earlier run continues.
        entry: its entry in the ledger before this run, if any.
        kind: what decides its price; None if its request is not known.
        error: the reason that it cannot be submitted.
        extra: the cells of the input's other columns, for the manifest.
    """

    index: int
    key: str | None = None
    fingerprint: str = ""
    request: GenerationRequest | None = None
    entry: LedgerEntry | None = None
    kind: Kind | None = None
    error: FoxError | None = None
    extra: Mapping[str, str] | None = None

    @property
    def task_id(self) -> str | None:
        """The task of an earlier run that continues; None if there is none."""
        return self.entry.task_id if self.entry and self.entry.state in PAID_TASK else None

    @property
    def recorded_request(self) -> Mapping[str, Any] | None:
        """The fields of its request in its record; None if they are not known."""
        entry = self.entry
        recorded = entry and (entry.opening or entry.record)
        fields: Mapping[str, Any] | None = json.loads(recorded).get("request") if recorded else None
        return self.request.identity() if fields is None and self.request is not None else fields

    @property
    def idempotency_key(self) -> str | None:
        """The key of an earlier submit of the same work; None for new work."""
        same_work = self.entry and self.entry.state in {ItemState.NEW, ItemState.UNCERTAIN}
        return self.entry.idempotency_key if self.entry and same_work else None


def unanswered_error(entry: LedgerEntry) -> UncertainSubmitError:
    """The error of an item that a killed run was submitting."""
    return UncertainSubmitError(
        f"the run was ended while item {entry.key} was being submitted: it may have been accepted and billed",
        idempotency_key=entry.idempotency_key,
        hint=Hint.RESUBMIT_UNCERTAIN,
    )


def item_of(entry: LedgerEntry) -> WorkItem:
    """The item to continue for an entry of an earlier run."""
    opening = json.loads(entry.opening or entry.record or "{}")
    request = request_in(opening)
    return WorkItem(
        index=opening.get("index", 0),
        key=entry.key,
        fingerprint=entry.fingerprint,
        entry=entry,
        kind=None if request is None else kind_of(request),
        extra=opening.get("extra"),
    )


def resubmission_of(item: WorkItem) -> WorkItem | None:
    """The item for another submit with the same idempotency key, after the service forgot its task.

    Its request comes from the ledger. None if the ledger does not have the whole request.
    """
    assert item.entry is not None  # noqa: S101 - a task of an earlier run has an entry
    request = request_in(json.loads(item.entry.opening or "{}"))
    if request is None or fingerprint(request) != item.fingerprint:
        return None
    entry = attrs.evolve(item.entry, state=ItemState.UNCERTAIN)
    return attrs.evolve(item, request=request, entry=entry)


def request_in(record: Mapping[str, Any]) -> GenerationRequest | None:
    """The request in a record of the ledger; None if a part of the request is missing."""
    fields = read_mapping(record.get("request")) or {}
    fields = map_files(fields, _as_given)
    try:
        return parse_request(fields)
    except InvalidRequestError:
        return None


def _as_given(file: Any) -> Any:
    """An input file as the user gave it. A record has a local path as a text."""
    return Path(file) if isinstance(file, str) and not _URL.match(file) else file


def state_after(error: FoxError, submission: Submission | None) -> ItemState | None:
    """The state of an item after an error; None if its task continues, and another run polls it again.

    Args:
        error: the error of its submit, its task or its download.
        submission: its submit; None if there was none.
    """
    state = next((state for kind, state in _ENDS if isinstance(error, kind)), None)
    if state is not None:
        return None if getattr(error, "local", False) else state
    if error.task_id is not None or error.charged != "no":
        return None
    if submission is not None and submission.series is not None and submission.refused_by_edge:
        # An edge refused it. If the edge also holds other items back, the item is new again. Otherwise it has failed.
        is_held_back = submission.barred is not None or submission.pause_reason is not None
        return ItemState.NEW if is_held_back else ItemState.FAILED
    is_held_back = submission is not None and submission.pause_reason is not None
    return ItemState.NEW if is_held_back or is_temporary(error) else ItemState.FAILED


def is_temporary(error: FoxError) -> bool:
    """Whether the request did not cause a refusal that cost nothing. The cause is temporary, or it is the account."""
    passing = (_errors.ConnectionFailedError, _errors.RateLimitError, _errors.ConfigurationError)
    return error.retryable or isinstance(error, ACCOUNT_ERRORS + passing)


def opening_record(item: WorkItem) -> str:
    """The ledger's record of an item while its task runs. With it, another run can continue without the input."""
    request = item.request and item.request.identity()
    extra = {"extra": dict(item.extra)} if item.extra else {}
    return _encode({"id": item.key, "index": item.index, "request": request, **extra})


def closing_record(
    item: WorkItem,
    status: ItemState,
    *,
    request: Mapping[str, Any] | None,
    task_id: str | None,
    result: TaskResult | None = None,
    usage: Mapping[str, Any] | None = None,
    price: float | None = None,
    files: Sequence[SavedFile] = (),
    folder: Path,
    timings: Mapping[str, float],
    error: FoxError | None = None,
) -> str:
    """An item's line of the manifest, as JSON. Results that are not files are in `values`. Only the line of an UNSAVED
    item has `results`, as the service sent them.
    """
    results = [dict(image.raw) for image in result.images] if result else getattr(error, "results", None)
    problem = error and {
        "code": getattr(error, "code", None) or type(error).__name__,
        "message": error.what_happened,
        "charged": error.charged,
        **({"hint": error.hint.value} if error.hint is not None else {}),
    }
    record = {
        "id": item.key,
        "index": item.index,
        "task_id": task_id,
        "status": status.value,
        "files": [
            {"path": file.path.relative_to(folder).as_posix(), "sha256": file.sha256, "bytes": file.bytes}
            for file in files
        ],
        "model": (result.model if result else "") or (request or {}).get("model"),
        "request": request,
        **({"extra": dict(item.extra)} if item.extra else {}),
        "credits": price,
        "usage": None if usage is None else dict(usage),
        "missing": result.missing if result else 0,
        **({"values": list(result.values)} if result and result.values else {}),
        **({"results": results} if status is ItemState.UNSAVED else {}),
        "timings": {name: round(value, 3) for name, value in timings.items()},
        "error": problem,
    }
    return _encode(record)
