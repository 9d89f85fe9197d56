"""The hooks of a session, and their events. A hook is a plain function of one event, called on the loop. Its
error affects no other hook.

Besides each `TaskEvent`, hooks get frozen notices of the requests that a session makes. A submit gives `Submitting`,
then exactly one of `Submitted` or `SubmitFailed`. Their `call`, a number that is unique in this process, connects them.
A poll gives `Polling`, then `Polled` unless it is cancelled, then its result: a `TaskEvent`, `Retried` or `Left`. So
the last event of a task is its final `TaskEvent` or `Left`. Only notices of its files may follow.

No `repr` shows a prompt, a key or an error message, which may quote an address.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar, Self

import attrs

from foxapi_async._errors import ConfigurationError, FoxError
from foxapi_async._files.values import SavedFile
from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async._listener import What, about, log
from foxapi_async.models import GenerationRequest


def _kind(error: Exception | None) -> str:
    """The repr of an error in a notice: its class, and its HTTP status if it has one."""
    if error is None:
        return "None"
    status = getattr(error, "status", None)
    return f"<{type(error).__name__} {status}>" if status else f"<{type(error).__name__}>"


@attrs.frozen(kw_only=True)
class Notice:
    """The attributes that all notices share with a `TaskEvent`, so that one plain function can take both.

    Attributes:
        task_id: the task; None if there is none yet.
        final: always False, because only a `TaskEvent` ends a task.
    """

    # A notice that always has a task writes `attrs.field()`. Without it, pyright would inherit this default.
    task_id: str | None = None
    final: ClassVar[bool] = False


@attrs.frozen(kw_only=True)
class Submitting(Notice):
    """A submit begins, with the upload of its local files. The hook is called in the asyncio task that runs
    the submit.

    That asyncio task has a copy of the caller's context. Values that a hook sets there are visible only to
    this submit's requests.

    Attributes:
        call: the submit's number, unique in this process.
        model: the requested model.
        request: the request, prompt included.
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
        model: the requested model.
        tries: how many tries were made to send it.
        seconds: from `Submitting` until the answer, waits included.
    """

    task_id: str = attrs.field()
    call: int
    model: str
    tries: int
    seconds: float


@attrs.frozen(kw_only=True)
class SubmitFailed(Notice):
    """A submit ended without a task. Its caller gets the error, unless the caller has gone.

    Attributes:
        call: the submit's number.
        model: the requested model.
        error: its error; `charged` says whether it may still be billed.
        tries: how many tries were made to send it.
        seconds: from `Submitting` until the error, waits included.
    """

    call: int
    model: str
    error: Exception = attrs.field(repr=_kind)
    tries: int
    seconds: float


@attrs.frozen(kw_only=True)
class Attached(Notice):
    """`attach` begins to poll a task that this session did not track. The hook is called inside `attach`.

    Attributes:
        task_id: the task.
    """

    task_id: str = attrs.field()


@attrs.frozen(kw_only=True)
class Polling(Notice):
    """A poll is sent now. The hook is called in the asyncio task that runs the poll.

    That asyncio task has a copy of the context in which the session was entered.

    Attributes:
        task_id: the polled task.
    """

    task_id: str = attrs.field()


@attrs.frozen(kw_only=True)
class Polled(Notice):
    """A poll has its answer.

    Attributes:
        task_id: the polled task.
        seconds: from `Polling` until the answer.
        error: why it gave no state, or None.
    """

    task_id: str = attrs.field()
    seconds: float
    error: FoxError | None = attrs.field(default=None, repr=_kind)


@attrs.frozen(kw_only=True)
class Retried(Notice):
    """A request failed and will be repeated.

    Attributes:
        what: submit, poll, fetch (of a task, the credits or the models), upload or download.
        call: the number of the submit, also for the uploads that it needs; else None.
        seconds: until the next try.
        error: its error.
    """

    what: What
    call: int | None = None
    seconds: float
    error: FoxError = attrs.field(repr=_kind)


@attrs.frozen(kw_only=True)
class Throttled(Notice):
    """Requests of one kind are held back, by a 429 or by a limit of this session. A limit is reported when a request
    waits for it.

    Attributes:
        what: submit, poll (which includes fetches) or upload.
        seconds: the additional time since the last report. The sum is the time in which nothing could be sent.
        error: the 429; None for a limit of this session.
    """

    what: What
    seconds: float
    error: FoxError | None = attrs.field(default=None, repr=_kind)


@attrs.frozen(kw_only=True)
class Saved(Notice):
    """A complete file is on disk. This is reported even after the session was closed, but only on its event loop.

    Attributes:
        file: its path, size and checksum.
        seconds: the time for fetching and writing it, waits included.
    """

    file: SavedFile
    seconds: float


@attrs.frozen(kw_only=True)
class Left(Notice):
    """The session no longer polls a task, although it may still run. No event of it follows.

    Its deadline has passed, its last handle was stopped, the service refuses its status, or the session is closed.

    Attributes:
        task_id: the task; it continues, and `attach` polls it again.
        error: the error that the last of its handles raises.
    """

    task_id: str = attrs.field()
    error: FoxError = attrs.field(repr=_kind)


HookEvent = TaskEvent | Notice

Hook = Callable[[HookEvent], object]

# While a hook runs, the loop does nothing else. The log names a hook that takes longer than this.
SLOW_SECONDS = 0.1


class Hooks:
    """The hooks of a session, called in order.

    Attributes:
        clock: returns seconds, to time the hooks. The session sets the clock of its loop.

    Raises:
        ConfigurationError: one of them cannot be called.
    """

    def __init__(self, hooks: Iterable[Hook]) -> None:
        self.clock: Callable[[], float] = float  # always 0
        self._hooks = tuple(hooks)
        self._reported: set[int] = set()
        self._slow: set[int] = set()
        for hook in self._hooks:
            if not callable(hook) or inspect.iscoroutinefunction(hook):
                raise ConfigurationError(f"hooks: {hook!r} is not a plain function of one event")

    @property
    def listener(self) -> Self | None:
        """The object that gets reports; None without a hook, so that no notices are made."""
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
        """Give the event to each hook. The first error of a hook is logged, and none is raised."""
        for number, hook in enumerate(self._hooks):
            began = self.clock()
            try:
                hook(event)
            except (
                Exception,
                asyncio.CancelledError,
            ):  # for example, `result()` of a cancelled future raises a CancelledError
                if number not in self._reported:
                    self._reported.add(number)
                    log.exception(
                        "a hook raised on %s; it is still called, and this is logged once",
                        _described(event),
                        extra=about("hook_failed"),
                    )
            if self.clock() - began > SLOW_SECONDS:
                self._report_slow(number, event, self.clock() - began)

    def _report_slow(self, number: int, event: HookEvent, seconds: float) -> None:
        if number not in self._slow:
            self._slow.add(number)
            log.warning(
                "the hook %s took %.2f s for %s, and kept everything on the loop waiting; this is logged once",
                _name(self._hooks[number]),
                seconds,
                _described(event),
                extra=about("hook_slow"),
            )


def _described(event: HookEvent) -> str:
    of = "" if event.task_id is None else f" of task {event.task_id}"
    return f"{type(event).__name__}{of}"


def _name(hook: Hook) -> str:
    name = getattr(hook, "__qualname__", type(hook).__qualname__)
    return f"{getattr(hook, '__module__', '?')}.{name}"
