"""What the service says of a task, and what a user iterates over: frozen values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from foxapi_async import _state
from foxapi_async._results import GeneratedImage, TaskResult


@attrs.frozen(kw_only=True)
class TaskProblem:
    """Why the service says a task failed.

    Attributes:
        code: an open-ended reason such as "content_policy_violation"; None if it gave none.
        message: its words.
        type: "task_error" in the documentation; None if it gave none.
    """

    code: str | None = None
    message: str = ""
    type: str | None = None


def _parsed(reply: Mapping[str, Any] | bytes) -> Mapping[str, Any]:
    value: Mapping[str, Any] = json.loads(reply) if isinstance(reply, bytes) else reply
    return value


@attrs.frozen(kw_only=True)
class TaskSnapshot:
    """One reading of a task, as docs.foxapi.cc get-task-detail describes it.

    Attributes:
        id: the task's id, opaque.
        model: the model used, "" if the reply did not say.
        status: pending, processing, completed, failed, cancelled, or a newer word, kept as it is.
        progress: 0–100 as the service gives it, or None.
        estimated_time: seconds the service expects the task to take, as it gives them, or None.
        created: Unix time in seconds on the service's clock, or None.
        images: the results that have a URL; empty until there are any.
        error: why it failed, or None.
        usage: the `usage` object, or None.
        raw: the whole reply, with fields this package does not know; given as a mapping, or as the JSON that it came in.
        has_results: whether the reply had results at all; some tasks have results without a URL (see `raw`).
    """

    id: str
    model: str = ""
    status: str = "pending"
    progress: float | None = None
    estimated_time: float | None = None
    created: float | None = None
    images: tuple[GeneratedImage, ...] = ()
    error: TaskProblem | None = None
    usage: Mapping[str, Any] | None = attrs.field(default=None, hash=False)
    # Mostly as it came: parsed, it takes five times the memory, and of each task in flight one is kept.
    _raw: Mapping[str, Any] | bytes = attrs.field(factory=dict, repr=False, hash=False, eq=_parsed)
    has_results: bool = False

    @property
    def raw(self) -> Mapping[str, Any]:
        """The whole reply; where it is kept as JSON it is parsed at each access."""
        return _parsed(self._raw)

    @property
    def signal(self) -> _state.Signal:
        """What this reading tells a handle."""
        return _state.reading(self.status, has_results=self.has_results)

    @property
    def finished(self) -> bool:
        """Whether the task is over. "completed" without results is not: they follow within seconds."""
        return self.signal in _state.REMOTELY_OVER


@attrs.frozen(kw_only=True)
class TaskEvent:
    """One step of a task, as iterating a handle yields it. Times are in seconds.

    Attributes:
        task_id: the task's id.
        model: the model used.
        status: as in `TaskSnapshot`.
        progress: 0–100 as the service gives it, or None.
        elapsed: since the submit (for an attached task: since its creation).
        remaining: the median of what the task still needs, given that it is not done yet; 0 when it is over,
            None as long as neither an estimate nor another task of the model tells.
        final: whether the task is over; no event of this task follows.
        snapshot: the reading behind the event.
    """

    task_id: str
    model: str
    status: str
    progress: float | None
    elapsed: float
    remaining: float | None
    final: bool
    snapshot: TaskSnapshot = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class UploadedFile:
    """An input file that the service keeps for 72 hours (docs.foxapi.cc upload-stream).

    Attributes:
        url: what to put into `image_urls`.
        id: the file's id, None if the reply had none.
        filename: its name at the service, None if the reply had none.
        size: in bytes, None if the reply had none.
        created: Unix time in seconds on the service's clock, or None.
        raw: the whole reply.
    """

    url: str
    id: str | None = None
    filename: str | None = None
    size: int | None = None
    created: float | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)


@attrs.frozen(kw_only=True)
class Outcome:
    """How one item of `FoxSession.as_completed` ended: with a `result` or with an `error`, never both.

    Attributes:
        index: the item's place in the input, from 0.
        request: what was asked; None if the item could not be made a request.
        task_id: the id, None if the service never gave one.
        result: what it made, or None.
        error: a `FoxError`, or None.
    """

    index: int
    request: Any
    task_id: str | None
    result: TaskResult | None
    error: Exception | None
