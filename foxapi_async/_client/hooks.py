"""What hooks hear, and the calls to them: plain functions of one event, on the loop. One that raises harms no other.

Besides each `TaskEvent`, hooks get frozen notices of the requests that a session makes. A submit is joined to its task
by `call`, a number of its own in this process: `Submitting`, then exactly one of `Submitted` or `SubmitFailed`. A poll
is `Polling`, then `Polled` unless it is cancelled, then what it has shown: a `TaskEvent`, `Retried` or `Left`. So the
last that hooks hear of a task, except for its files, is its final `TaskEvent`, or `Left`.

No `repr` shows a prompt, a key or the words of an error, which may quote an address.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar, Self

import attrs

from foxapi_async._errors import ConfigurationError, FoxError
from foxapi_async._files.values import SavedFile
from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async._listener import What
from foxapi_async.models import GenerationRequest


def _kind(error: Exception | None) -> str:
    """An error as reprs show it: its class, and its HTTP status if it has one."""
    if error is None:
        return "None"
    status = getattr(error, "status", None)
    return f"<{type(error).__name__} {status}>" if status else f"<{type(error).__name__}>"


@attrs.frozen(kw_only=True)
class Notice:
    """What all notices have in common with a `TaskEvent`, so that one plain function can take both.

    Attributes:
        task_id: the task concerned; None as long as there is none.
        final: False: only a `TaskEvent` ends a task.
    """

    task_id: str | None = None
    final: ClassVar[bool] = False


@attrs.frozen(kw_only=True)
class Submitting(Notice):
    """A submit begins, with the upload of its local files; told in the task that carries it out.

    That task runs in a copy of the caller's context: what a hook sets there holds for this submit's requests alone.

    Attributes:
        call: the submit's number, unique in this process.
        model: the model asked for.
        request: what is asked for, prompt included.
    """

    call: int
    model: str
    request: GenerationRequest = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Submitted(Notice):
    """A submit was accepted. The task's first `TaskEvent` follows.

    Attributes:
        task_id: the new task.
        call: the submit's number.
        model: the model asked for.
        tries: how often it was sent, or tried to be.
        seconds: from `Submitting` until the answer, waits included.
    """

    task_id: str
    call: int
    model: str
    tries: int
    seconds: float


@attrs.frozen(kw_only=True)
class SubmitFailed(Notice):
    """A submit ended without a task, for whoever waits for it or because nobody does any more.

    Attributes:
        call: the submit's number.
        model: the model asked for.
        error: what it ended with; its `charged` says whether it may be billed all the same.
        tries: how often it was sent, or tried to be.
        seconds: from `Submitting` on, waits included.
    """

    call: int
    model: str
    error: Exception = attrs.field(repr=_kind)
    tries: int
    seconds: float


@attrs.frozen(kw_only=True)
class Attached(Notice):
    """`attach` begins to look at a task that this session did not watch; told where it is called.

    Attributes:
        task_id: the task.
    """

    task_id: str


@attrs.frozen(kw_only=True)
class Polling(Notice):
    """A poll is sent now; told in the task that carries it out, which does one poll after another.

    That task runs in a copy of the context in which the session was entered.

    Attributes:
        task_id: the task looked at.
    """

    task_id: str


@attrs.frozen(kw_only=True)
class Polled(Notice):
    """A poll has its answer.

    Attributes:
        task_id: the task looked at.
        seconds: from `Polling` until the answer.
        error: why it told nothing, or None.
    """

    task_id: str
    seconds: float
    error: FoxError | None = attrs.field(default=None, repr=_kind)


@attrs.frozen(kw_only=True)
class Retried(Notice):
    """A request went wrong and will be made again.

    Attributes:
        what: submit, poll, fetch, upload or download.
        call: of a submit and of the uploads that it needs, its number; else None.
        seconds: until the next try.
        error: what went wrong.
    """

    what: What
    call: int | None = None
    seconds: float
    error: FoxError = attrs.field(repr=_kind)


@attrs.frozen(kw_only=True)
class Throttled(Notice):
    """Requests of one kind are held back: by a 429, or by a limit of this session while one waits.

    Attributes:
        what: submit, poll (which means fetches too) or upload.
        seconds: how much longer than was told before; so their sum is the time for which nothing could go.
        error: the 429; None for a limit of our own.
    """

    what: What
    seconds: float
    error: FoxError | None = attrs.field(default=None, repr=_kind)


@attrs.frozen(kw_only=True)
class Saved(Notice):
    """A file is on disk, whole. Also told after the session was left, but on its event loop alone.

    Attributes:
        file: where it is, its size and its checksum.
        seconds: what fetching and writing took, waits included.
    """

    file: SavedFile
    seconds: float


@attrs.frozen(kw_only=True)
class Left(Notice):
    """Nobody looks at a task any more, though it is not known to be over; no event of it follows.

    Its time is over, its last handle was stopped, the service refuses to tell, or the session is left.

    Attributes:
        task_id: the task; it goes on, and `attach` looks again.
        error: what the last of its handles raises.
    """

    task_id: str
    error: FoxError = attrs.field(repr=_kind)


HookEvent = TaskEvent | Notice

Hook = Callable[[HookEvent], object]

# While a hook runs, nothing else of the loop does: one that takes longer is named in the log.
SLOW_SECONDS = 0.1

_log = logging.getLogger("foxapi_async")


class Hooks:
    """The hooks of a session, called in order.

    Attributes:
        clock: tells seconds, by which they are timed; the session sets its loop's.

    Raises:
        ConfigurationError: one of them cannot be called.
    """

    def __init__(self, hooks: Iterable[Hook]) -> None:
        self.clock: Callable[[], float] = float  # stands still
        self._hooks = tuple(hooks)
        self._reported: set[int] = set()
        self._slow: set[int] = set()
        for hook in self._hooks:
            if not callable(hook) or inspect.iscoroutinefunction(hook):
                raise ConfigurationError(f"hooks: {hook!r} is no plain function of one event")

    @property
    def listener(self) -> Self | None:
        """What reports go to; None without a hook, so that no notice need be made."""
        return self if self._hooks else None

    def on_retry(
        self,
        what: What,
        seconds: float,
        error: FoxError,
        *,
        task_id: str | None = None,
        call: int | None = None,
    ) -> None:
        """See `Listener.on_retry`."""
        self(Retried(what=what, task_id=task_id, call=call, seconds=seconds, error=error))

    def on_throttle(self, what: What, seconds: float, error: FoxError | None) -> None:
        """See `Listener.on_throttle`."""
        self(Throttled(what=what, seconds=seconds, error=error))

    def on_saved(self, task_id: str | None, path: Path, sha256: str, size: int, seconds: float) -> None:
        """See `Listener.on_saved`."""
        self(Saved(task_id=task_id, file=SavedFile(path, sha256, size), seconds=seconds))

    def __call__(self, event: HookEvent) -> None:
        """Give the event to each hook; what one raises is logged the first time, and goes no further."""
        for number, hook in enumerate(self._hooks):
            began = self.clock()
            try:
                hook(event)
            except (Exception, asyncio.CancelledError):  # the latter: `result()` of a cancelled future, say
                if number not in self._reported:
                    self._reported.add(number)
                    _log.exception(
                        "a hook raised on %s; it is called on, and this is logged once", _described(event)
                    )
            if self.clock() - began > SLOW_SECONDS:
                self._tell_slow(number, event, self.clock() - began)

    def _tell_slow(self, number: int, event: HookEvent, seconds: float) -> None:
        if number not in self._slow:
            self._slow.add(number)
            _log.warning(
                "the hook %s took %.2f s for %s, and kept everything on the loop waiting; this is logged once",
                _name(self._hooks[number]),
                seconds,
                _described(event),
            )


def _described(event: HookEvent) -> str:
    of = "" if event.task_id is None else f" of task {event.task_id}"
    return f"{type(event).__name__}{of}"


def _name(hook: Hook) -> str:
    name = getattr(hook, "__qualname__", type(hook).__qualname__)
    return f"{getattr(hook, '__module__', '?')}.{name}"
