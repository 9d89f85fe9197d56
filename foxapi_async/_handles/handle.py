"""The handle: a value that stands for one remote task. A user can await it, iterate over it, or read its
state.

It stores its state and wakes its waiters. It is not a future, because cancelling one waiter of a future
cancels it for all. Plain functions on the loop make all changes, so there is no lock. Each waiter gets its
own error object, because a traceback grows with every raise.
"""
# ruff: noqa: SLF001 - the functions of this module are a part of its classes

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, Self

from foxapi_async._display import public_dir
from foxapi_async._errors import (
    ConfigurationError,
    FoxError,
    TaskAbandonedError,
    TaskTimeoutError,
    UnreadableResultError,
)
from foxapi_async._handles.notebook import HandleView, LiveCell, html_of, replaces_html
from foxapi_async._handles.result import TaskResult
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot, signal_of
from foxapi_async._handles.state import Signal, State, advance
from foxapi_async._hints import Hint
from foxapi_async._options import check_timeout

Ending = TaskResult | FoxError

_ENDED_HERE = frozenset({State.TIMED_OUT, State.ABANDONED, State.REFUSED})


class TaskHandle:
    """One task, as `FoxSession.submit` and `FoxSession.attach` return it.

    - `await handle` returns its `TaskResult`. Several tasks may await it; cancelling one does not disturb the others.
    - `async for event in handle` yields a `TaskEvent` for the current state, then for each poll, and ends
      after the final one. A slow reader gets only the latest state; it never delays the polling.
    - `handle.stop()` ends the polling, not the task.
    - In a notebook, a cell that ends with `handle` shows a progress bar until the task ends, and then the images.

    Attributes:
        id: the task's id. Keep it: `FoxSession.attach(id)` continues with the task in any process.
    """

    __slots__ = (
        "__weakref__",
        "_end_waiters",
        "_ending",
        "_event",
        "_event_waiters",
        "_kept",
        "_loop",
        "_seen",
        "_state",
        "_version",
        "_when_ended",
        "id",
    )

    def __init__(self, task_id: str, when_ended: Callable[[TaskHandle], None], *, kept: bool = True) -> None:
        self.id = task_id
        self._kept = kept
        self._state = State.WAITING
        self._ending: Ending | None = None
        self._event: TaskEvent | None = None
        self._seen = 0.0
        self._version = 0
        self._when_ended = when_ended
        self._loop = asyncio.get_running_loop()
        # None until there is a waiter. A program may have a hundred thousand handles, and most never get a waiter.
        self._end_waiters: list[asyncio.Future[None]] | None = None
        self._event_waiters: list[asyncio.Future[None]] | None = None

    def __repr__(self) -> str:
        return f"<TaskHandle {self.id} {self._state.value}>"

    def _repr_html_(self) -> str:
        """The present state as HTML for a notebook: a progress bar, the images, or the error."""
        view = self._view()
        return html_of(view, view.share)

    def _ipython_display_(self) -> None:
        """Show the state in the cell of a notebook, and update it until the task ends.

        Raises:
            NotImplementedError: the task has ended, or the cell cannot be updated. Then IPython shows the state once.
        """
        if self.done() or _running_loop() is not self._loop or not replaces_html():
            raise NotImplementedError
        LiveCell(self)

    def _view(self) -> HandleView:
        waited = 0.0 if self._event is None or self.done() else self._loop.time() - self._seen
        return HandleView(
            task_id=self.id, state=self._state.value, event=self._event, waited=waited, ending=self._ending
        )

    def _call_later(self, seconds: float, call: Callable[[], object]) -> None:
        """Make the call once: after the next event, when the handle ends, or after `seconds`, whichever is first."""
        self._event_waiters = waiters = self._event_waiters or []
        waiter = self._loop.create_future()
        waiters.append(waiter)
        timer = self._loop.call_later(seconds, _wake, [waiter])

        def woken(_: asyncio.Future[None]) -> None:
            timer.cancel()
            if waiter in waiters:
                waiters.remove(waiter)
            call()

        waiter.add_done_callback(woken)

    @property
    def snapshot(self) -> TaskSnapshot | None:
        """The reply to the last poll; None until the first reply about an attached task comes."""
        return self._event.snapshot if self._event else None

    def done(self) -> bool:
        """Whether the handle has ended. Then awaiting it returns or raises at once."""
        return self._state is not State.WAITING

    def stop(self) -> None:
        """Stop polling: waiters get a `TaskAbandonedError`. The task itself continues and stays billed."""
        if self.done():
            return
        text = f"stop() was called on the handle of task {self.id}; the task continues"
        hint = Hint.RESUME_TASK
        end_handle(
            self, Signal.STOP, TaskAbandonedError(text, task_id=self.id, snapshot=self.snapshot, hint=hint)
        )
        self._when_ended(self)

    def __await__(self) -> Generator[Any, None, TaskResult]:
        return self.wait().__await__()

    async def wait(self, timeout: float | None = None) -> TaskResult:
        """The same as `await handle`, as a coroutine.

        Args:
            timeout: seconds that this call waits. The handle continues after them.

        Raises:
            TaskFailedError, TaskCancelledError: the service ended the task.
            TaskTimeoutError: the time of the handle, or of this call, is over; the task continues.
            TaskAbandonedError: the handle was stopped, or the session was closed; the task continues.
            APIError: the service refused to give the status (401, 402, 403, 404).
        """
        limit = None if timeout is None else check_timeout(timeout)
        self._check_loop()
        if not self.done():
            self._end_waiters = self._end_waiters or []
            await self._park(self._end_waiters, limit)
        ending = self._ending
        if isinstance(ending, TaskResult):
            return ending
        if ending is None:
            text = f"task {self.id} has not finished within {limit} s, the limit of this wait; its handle continues"
            raise TaskTimeoutError(text, task_id=self.id, snapshot=self.snapshot)
        error = copy.copy(ending)
        error.__cause__ = ending.__cause__
        raise error

    def __aiter__(self) -> AsyncIterator[TaskEvent]:
        return _Events(self)

    def _check_loop(self) -> None:
        if not self.done() and asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError(f"task {self.id} belongs to another event loop: await it there")

    async def _newer_than(self, seen: int) -> tuple[int, TaskEvent] | None:
        """Wait for an event whose number is not `seen`. Returns the number and the event; None if no event will come."""
        self._check_loop()
        while True:
            # A handle that ended locally has no news about the task, so its iterators just end.
            if self._state in _ENDED_HERE:
                return None
            if self._event is not None and self._version != seen:
                return self._version, self._event
            if self.done():
                return None
            self._event_waiters = self._event_waiters or []
            await self._park(self._event_waiters)

    async def _park(self, waiters: list[asyncio.Future[None]], limit: float | None = None) -> None:
        """Wait until `_wake` is called, or for `limit` seconds."""
        waiter = self._loop.create_future()
        waiters.append(waiter)
        timer = None if limit is None else self._loop.call_later(limit, _wake, [waiter])
        try:
            await waiter
        finally:
            if waiter in waiters:
                waiters.remove(waiter)
            if timer is not None:
                timer.cancel()


# These are functions and not methods, so that users do not find them on their handles.


def observe(handle: TaskHandle, event: TaskEvent, ending: Ending | None) -> None:
    """Store the event of a poll, and wake the waiters. A final event also has the `ending`."""
    handle._event = event
    handle._seen = handle._loop.time()
    handle._version += 1
    if ending is None:
        handle._state = advance(handle._state, Signal.RUNNING)
    else:
        is_unreadable = isinstance(ending, UnreadableResultError)
        end_handle(handle, Signal.UNREADABLE if is_unreadable else signal_of(event.snapshot), ending)
    if handle._event_waiters:
        _wake(handle._event_waiters)


def end_handle(handle: TaskHandle, signal: Signal, ending: Ending) -> None:
    """End the handle with the result or error that every waiter gets."""
    handle._state = advance(handle._state, signal)
    handle._ending = ending
    _wake(handle._end_waiters)
    _wake(handle._event_waiters)


def disown(handle: TaskHandle) -> None:
    """Note that the session is not responsible for the task. Then `unfinished` does not show the handle."""
    handle._kept = False


def is_kept(handle: TaskHandle) -> bool:
    """Whether the session is responsible for the task."""
    return handle._kept


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _wake(waiters: list[asyncio.Future[None]] | None) -> None:
    for waiter in waiters or ():
        if not waiter.done():
            waiter.set_result(None)
    if waiters:
        waiters.clear()


class _Events:
    """One iterator over a handle: the current state first, then each newer one."""

    __dir__ = public_dir

    def __init__(self, handle: TaskHandle) -> None:
        self._handle = handle
        self._seen = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TaskEvent:
        newer = await self._handle._newer_than(self._seen)
        if newer is None:
            raise StopAsyncIteration
        self._seen, event = newer
        return event


KEPT_SECONDS = 48 * 3600.0
"""A detached handle is dropped after two days, so that a server that runs for months does not collect them. By then the
service has deleted the files of the task.
"""


class DetachedHandles(dict[str | TaskHandle, tuple[TaskHandle, float]]):
    """Handles that ended locally while the remote task may still run. Each is kept with the time of its end, the oldest
    first.

    `FoxSession.unfinished` has them: the last handle of each task, and all handles that ended when the session closed.
    """

    def keep(self, handle: TaskHandle, now: float, *, beside: bool) -> None:
        """Keep a handle that ends `now`. Unless `beside` is set, it replaces the handle kept for the same task."""
        key = handle if beside else handle.id
        self.pop(key, None)
        self[key] = (handle, now)
        while now - self[oldest := next(iter(self))][1] > KEPT_SECONDS:
            del self[oldest]
