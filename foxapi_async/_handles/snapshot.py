"""The state of a task as users see it: frozen values, made from the service's replies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from foxapi_async import _errors
from foxapi_async._errors import FoxError
from foxapi_async._files.downloads import Downloads
from foxapi_async._files.values import Position
from foxapi_async._handles import state
from foxapi_async._handles.result import GeneratedImage, TaskResult
from foxapi_async._handles.state import Signal
from foxapi_async._wire.replies import TaskProblem, TaskReply
from foxapi_async._wire.texts import shorten


def _parsed(reply: Mapping[str, Any] | bytes) -> Mapping[str, Any]:
    value: Mapping[str, Any] = json.loads(reply) if isinstance(reply, bytes) else reply
    return value


@attrs.frozen(kw_only=True)
class TaskSnapshot:
    """The state of a task in one reply (docs.foxapi.cc get-task-detail).

    Attributes:
        id: the task's id.
        model: the model used; "" if the reply did not name it.
        type: what its results are, as the service names it: "image", "video", "audio", "document" or "llm"; "" if the
            reply did not name it.
        status: pending, processing, completed, failed, cancelled, or a newer word as the service writes it.
        progress: 0–100 as the service gives it, or None.
        estimated_time: seconds that the service expects the task to take, as it gives them, or None.
        created: Unix time in seconds on the service's clock, or None.
        images: the results that have an address; empty until there are any.
        error: why it failed, or None.
        usage: the `usage` object, or None.
        raw: the whole reply, with fields that this package does not know. Pass a mapping, or JSON as bytes.
        has_results: whether the reply had any results, including results that cannot be read.
        has_values: whether some results are not files: a voice, a profile, a character, a text (see `raw`).
    """

    id: str
    model: str = ""
    type: str = ""
    status: str = "pending"
    progress: float | None = None
    estimated_time: float | None = None
    created: float | None = None
    images: tuple[GeneratedImage, ...] = ()
    error: TaskProblem | None = None
    usage: Mapping[str, Any] | None = attrs.field(default=None, hash=False)
    # Usually unparsed JSON. Parsed JSON takes five times the memory, and each task in flight keeps a reply.
    _raw: Mapping[str, Any] | bytes = attrs.field(
        alias="raw", factory=dict[str, Any], repr=False, hash=False, eq=_parsed
    )
    has_results: bool = False
    has_values: bool = False

    @property
    def raw(self) -> Mapping[str, Any]:
        """The whole reply. If it is kept as JSON, each access parses it."""
        return _parsed(self._raw)

    @property
    def finished(self) -> bool:
        """Whether the task is over. If it is "completed" without results, it is not: they follow within seconds."""
        return signal_of(self) in state.REMOTELY_OVER


def signal_of(snapshot: TaskSnapshot) -> Signal:
    """The signal that a handle gets from this snapshot. The status may be in upper or lower case."""
    status = snapshot.status.lower()
    if status == "completed":
        return Signal.COMPLETED if snapshot.has_results else Signal.EMPTY
    return state.SIGNALS.get(status, Signal.RUNNING)


def snapshot_of(reply: TaskReply, downloads: Downloads | None = None) -> TaskSnapshot:
    """The snapshot of a reply. Its images fetch their files through `downloads`."""
    count = len(reply.files)
    images = tuple(
        GeneratedImage(
            file.url,
            file.content_type,
            task_id=reply.id,
            raw=file.raw,
            downloads=downloads,
            position=Position(index, count),
        )
        for index, file in enumerate(reply.files)
    )
    return TaskSnapshot(
        id=reply.id,
        model=reply.model,
        type=reply.type,
        status=reply.status,
        progress=reply.progress,
        estimated_time=reply.estimated_time,
        created=reply.created,
        images=images,
        error=reply.error,
        usage=reply.usage,
        raw=reply.raw,
        has_results=reply.has_results,
        has_values=reply.has_values,
    )


@attrs.frozen(kw_only=True)
class TaskEvent:
    """One step of a task, as iterating over a handle yields it. Times are in seconds.

    Attributes:
        task_id: the task's id.
        model: the model used.
        status: as in `TaskSnapshot`.
        progress: 0–100 as the service gives it, or None.
        elapsed: since the submit (for an attached task: since its creation).
        remaining: the median of the time that the task still needs, given that it is not done yet. It is 0
            when the task is over. It is None if the service gave no estimate and no task of the model has ended yet.
        final: whether the task is over; no event of this task follows.
        snapshot: the state behind the event.
    """

    task_id: str
    model: str
    status: str
    progress: float | None
    elapsed: float
    remaining: float | None
    final: bool
    snapshot: TaskSnapshot = attrs.field(repr=False)


def task_failure(snapshot: TaskSnapshot) -> FoxError:
    """The error for a task that failed or was cancelled."""
    problem = snapshot.error
    code, words = (problem.code, shorten(problem.message)) if problem else (None, "")
    if signal_of(snapshot) is Signal.FAILURE:
        why = f" ({shorten(code, 100)})" if code else ""
        text = f"task {snapshot.id} failed{why}" + (f": {words}" if words else "")
        return _errors.TaskFailedError(text, code=code, detail=words, task_id=snapshot.id, snapshot=snapshot)
    text = f"task {snapshot.id} was cancelled at the service" + (f": {words}" if words else "")
    return _errors.TaskCancelledError(text, task_id=snapshot.id, snapshot=snapshot)


def missing_of(snapshot: TaskSnapshot, expected: int) -> int:
    """How many of the `expected` results a reply lacks."""
    if snapshot.has_values and not snapshot.images:
        return 0
    return max(0, expected - len(snapshot.images))


def ending_of(snapshot: TaskSnapshot, elapsed: float, expected: int = 1) -> TaskResult | FoxError:
    """The result or the error of a finished task. `expected` is how many results were requested."""
    if signal_of(snapshot) is not Signal.COMPLETED:
        return task_failure(snapshot)
    if not snapshot.images and not snapshot.has_values:
        raw = snapshot.raw
        results = raw.get("results") or raw.get("result_data") or raw.get("output")
        text = f"task {snapshot.id} is completed and billed, but no result can be read from it: {shorten(json.dumps(results))}"
        return _errors.UnreadableResultError(text, results=results, task_id=snapshot.id, snapshot=snapshot)
    return TaskResult(
        task_id=snapshot.id,
        model=snapshot.model,
        images=snapshot.images,
        usage=snapshot.usage or {},
        elapsed=elapsed,
        missing=missing_of(snapshot, expected),
        raw=snapshot.raw,
    )
