"""Runs an open session: the task groups, the POSTs and the poller, and the order in which they end.

A separate asyncio task of the session enters and exits the groups. The user's task only makes requests and waits. So
a session may be entered in one task and exited in another, an error of the user's block is raised unchanged,
and a bug of this package never cancels the user's code.

There are two groups, one inside the other. The inner one has the poller, which is cancelled at once when the session is
closed. The outer one has the POSTs. Each POST may bring the id of a task that is already paid for, so it may continue
for the seconds of its grace.
"""

from __future__ import annotations

import asyncio
import secrets
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeGuard
from weakref import WeakSet

from foxapi_async._cadence.cadence import Cadence
from foxapi_async._cadence.estimates import Estimates
from foxapi_async._client.api import Api
from foxapi_async._client.hooks import Hooks
from foxapi_async._client.pipeline import Pipeline
from foxapi_async._client.poller import Poller
from foxapi_async._client.streams import EventStream
from foxapi_async._client.submission import Series, Submission, SubmitJournal
from foxapi_async._client.submitter import Submitter
from foxapi_async._client.uploads import Uploads
from foxapi_async._errors import ConfigurationError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._http.transport import Transport
from foxapi_async._listener import about, log
from foxapi_async._options import RetryPolicy
from foxapi_async._wire.texts import counted

_STOPPED = "the session has stopped on an internal error: close it and report the error"


class Engine:
    """The running part of a session, on one event loop, from opening to closing.

    Args:
        transport: moves the bytes; opened and closed here.
        api: the calls over it.
        cadence: decides when to poll.
        estimates: the known durations of tasks.
        connections: the most polls at the same time.
        hooks: get every event and a notice of every request; None without a hook.
        retry: the tries and the time limits of a request.
    """

    def __init__(
        self,
        transport: Transport,
        api: Api,
        cadence: Cadence,
        estimates: Estimates,
        connections: int,
        hooks: Hooks | None,
        retry: RetryPolicy,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.api = api
        self.streams: WeakSet[EventStream] = WeakSet()  # an unused stream disappears by itself
        self.pipelines: set[Pipeline] = set()
        self.closed = asyncio.Event()
        self._transport = transport
        self._retry = retry
        self.poller = Poller(api, cadence, estimates, connections, self.streams, hooks)
        self._work: asyncio.TaskGroup | None = None
        self._bug: BaseException | None = None
        self._main: asyncio.Task[None] | None = None
        self._unfinished_note: str | None = None  # the message at the end about tasks that continue
        self.uploads = Uploads(api)
        self.submitter = Submitter(api, self.uploads, self.poller, retry, self.closed, hooks)

    # Opening and closing.

    async def start(self) -> None:
        """Open the connections and begin to poll."""
        self._transport.open()
        ready = self.loop.create_future()
        self._main = asyncio.create_task(self._run(ready), name="foxapi session")
        try:
            await ready
        except BaseException:  # cancelled while entering: the exit will never run
            await self.finish()
            raise

    async def finish(self) -> None:
        """Close: refuse new work, end the handles, wait for the POSTs in their grace, close the connections.

        If this is cancelled, the grace ends at once, but everything is still closed.

        Raises:
            Exception: a bug of this package, not wrapped.
        """
        self._close_now()
        cancelled: asyncio.CancelledError | None = None
        while self._main is not None and not self._main.done():
            try:
                await asyncio.wait([self._main])
            except asyncio.CancelledError as error:
                cancelled = error
                self._end_grace()
        self._log_unfinished()
        if cancelled is not None:
            raise cancelled
        if self._bug is not None:
            raise self._bug

    def _close_now(self) -> None:
        """The synchronous part of closing, which nothing can interrupt."""
        self.closed.set()
        self.poller.close()
        for pipeline in list(self.pipelines):
            pipeline.discard()
        self.submitter.close()
        for stream in self.streams:
            stream.close()

    def _end_grace(self) -> None:
        self.submitter.end_grace()
        for pipeline in self.pipelines:
            pipeline.cancel()

    def note_on(self, error: BaseException) -> None:
        """Add a note with the tasks that continue to an error. If logging is off, only the traceback shows them."""
        if self._unfinished_note is not None:
            error.add_note(self._unfinished_note)

    def _log_unfinished(self) -> None:
        ids = [handle.id for handle in self.unfinished]
        if ids:
            shown = ", ".join(ids[:20]) + (f" and {len(ids) - 20} more" if len(ids) > 20 else "")
            self._unfinished_note = (
                f"the session was closed with {counted(len(ids), 'task')} unfinished, or finished and not read; each "
                f"stays billed, and attach(id) waits for it again: {shown}"
            )
            log.warning("%s", self._unfinished_note, extra=about("unfinished", task_ids=ids))

    async def _run(self, ready: asyncio.Future[None]) -> None:
        try:
            async with asyncio.TaskGroup() as self._work:
                self.submitter.open(self._work)
                await self._poll_until_closed(ready)
                await self.closed.wait()
        finally:
            await self._transport.close()

    async def _poll_until_closed(self, ready: asyncio.Future[None]) -> None:
        try:
            async with asyncio.TaskGroup() as polls:
                runner = polls.create_task(self.poller.run(polls), name="foxapi poller")
                if not ready.done():  # cancelled while entering
                    ready.set_result(None)
                await self.closed.wait()
                runner.cancel()
        except* Exception as faults:
            self._stop_on(_first(faults))

    def _stop_on(self, bug: BaseException) -> None:
        """Handle a bug of this package: every handle and stream ends, and new work is refused. Closing raises
        the bug.
        """
        self._bug = bug
        log.error("the session stopped on an internal error: %r", bug, extra=about("internal_error"))
        self.submitter.stop(ConfigurationError(_STOPPED))
        self.poller.close(bug)
        for stream in self.streams:
            stream.close()

    @property
    def unfinished(self) -> tuple[TaskHandle, ...]:
        """See `FoxSession.unfinished`."""
        unread = [
            handle
            for pipeline in self.pipelines
            if pipeline.discarded.is_set()
            for handle in pipeline.handles.values()
        ]
        return tuple(dict.fromkeys([*self.poller.unfinished, *unread]))

    def discard(self, pipeline: Pipeline) -> None:
        """Stop a pipeline whose outcomes are not read any more, and drop all pipelines that are over."""
        pipeline.discard()
        self.pipelines = {kept for kept in self.pipelines if not kept.is_over}

    def call_when_collected(
        self, iterator: object, call: Callable[..., object], *args: object
    ) -> weakref.finalize[..., Any]:
        """Make this call on the session's loop when Python removes the iterator. To prevent the call, `detach` the
        result.
        """

        def soon() -> None:  # the garbage collector may run in any thread
            if not self.loop.is_closed():
                self.loop.call_soon_threadsafe(call, *args)

        finalizer = weakref.finalize(iterator, soon)
        finalizer.atexit = False
        return finalizer

    # Work.

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that the session waits for when it is closed."""
        assert self._work is not None  # noqa: S101 - `start` came first
        return self._work.create_task(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the work and catch its bugs: an error in a task group would cancel all other POSTs."""
        try:
            await work
        except Exception as bug:
            self._stop_on(bug)

    def new_submission(
        self,
        timeout: float | None,
        *,
        series: Series | None = None,
        key: str | None = None,
        journal: SubmitJournal | None = None,
    ) -> Submission:
        """A new submit. Its time counts from now.

        Args:
            timeout: seconds that its caller waits, and its handle lives; None for no limit.
            series: the series of which it is an item; None for a single submit.
            key: its idempotency key, if an earlier process may have sent it; None for a new one.
            journal: records its progress.
        """
        key = key or secrets.token_hex(16)
        return Submission(timeout, self._retry.grace, series=series, key=key, journal=journal)

    def resume(self) -> None:
        """See `FoxSession.resume`."""
        self.submitter.resume()


def _first(faults: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error inside nested groups."""
    fault: BaseException = faults
    while _is_group(fault):
        fault = fault.exceptions[0]
    return fault


def _is_group(fault: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return isinstance(fault, BaseExceptionGroup)
