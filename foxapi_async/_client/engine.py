"""What runs while a session is open: the task groups, the POSTs and the poller, and the order in which they end.

The groups belong to one task of the session's own, which enters and leaves them; the user's task only asks for
things and waits. So a session may be entered in one task and left in another, an error of the user's block leaves as
itself, and a fault in here never cancels the user's code.

There are two groups, one inside the other. The inner one holds the poller: leaving the session cancels it at once.
The outer one holds the POSTs: each may bring the id of a task that is already paid for, so it is given its grace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from foxapi_async._cadence.cadence import Cadence
from foxapi_async._cadence.estimates import Estimates
from foxapi_async._client.api import Api
from foxapi_async._client.hooks import Hooks
from foxapi_async._client.pipeline import Pipeline
from foxapi_async._client.poller import Poller
from foxapi_async._client.streams import Streams
from foxapi_async._client.submission import Series, Submission, SubmitJournal
from foxapi_async._client.submitter import Submitter
from foxapi_async._client.uploads import Uploads
from foxapi_async._errors import ConfigurationError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._http.transport import Transport
from foxapi_async._listener import about, log
from foxapi_async._options import RetryPolicy

_STOPPED = "the session has stopped on an internal error: leave it and report that"


class Engine:
    """The running half of a session, on one event loop, for one stay.

    Args:
        transport: moves the bytes; opened and closed here.
        api: the verbs over it.
        cadence: when to poll.
        estimates: what is known of how long tasks take.
        connections: polls under way at a time.
        hooks: hear of every event and every request; None without a hook.
        retry: the bounds of one exchange.
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
        self.streams = Streams()
        self.pipelines: set[Pipeline] = set()
        self.left = asyncio.Event()
        self._transport = transport
        self._retry = retry
        self.poller = Poller(api, cadence, estimates, connections, self.streams.put, hooks)
        self._work: asyncio.TaskGroup | None = None
        self._bug: BaseException | None = None
        self._main: asyncio.Task[None] | None = None
        self._farewell: str | None = None  # what was said at the end of tasks that go on
        self.uploads = Uploads(api)
        self.submitter = Submitter(api, self.uploads, self.poller, retry, self.left, hooks)

    # Coming and going.

    async def start(self) -> None:
        """Open the connections and begin to poll."""
        self._transport.open()
        ready = self.loop.create_future()
        self._main = asyncio.create_task(self._run(ready), name="foxapi session")
        try:
            await ready
        except BaseException:  # cancelled while entering: nobody will leave
            await self.finish()
            raise

    async def finish(self) -> None:
        """Leave: refuse new work, end the handles, give the POSTs their grace, close the connections.

        Being cancelled meanwhile ends the grace at once; everything is closed all the same.

        Raises:
            Exception: a fault of this package, bare.
        """
        self._close_doors()
        cancelled: asyncio.CancelledError | None = None
        while self._main is not None and not self._main.done():
            try:
                await asyncio.wait([self._main])
            except asyncio.CancelledError as error:
                cancelled = error
                self._end_grace()
        self._tell_unfinished()
        if cancelled is not None:
            raise cancelled
        if self._bug is not None:
            raise self._bug

    def _close_doors(self) -> None:
        """The synchronous half of leaving: nothing here can be interrupted."""
        self.left.set()
        self.poller.close()
        for pipeline in list(self.pipelines):
            pipeline.discard()
        self.submitter.leave()
        self.streams.close()

    def _end_grace(self) -> None:
        self.submitter.end_grace()
        for pipeline in self.pipelines:
            pipeline.cancel()

    def note_on(self, error: BaseException) -> None:
        """Name the tasks that go on below an error: where no logging is set up, its traceback is the last to do so."""
        if self._farewell is not None:
            error.add_note(self._farewell)

    def _tell_unfinished(self) -> None:
        ids = [handle.id for handle in self.unfinished]
        if ids:
            shown = ", ".join(ids[:20]) + (f" and {len(ids) - 20} more" if len(ids) > 20 else "")
            self._farewell = (
                f"the session was left with {len(ids)} task{'s' * (len(ids) > 1)} unfinished or never handed out, "
                f"billed all the same; attach(id) waits for one again: {shown}"
            )
            log.warning("%s", self._farewell, extra=about("unfinished", task_ids=ids))

    async def _run(self, ready: asyncio.Future[None]) -> None:
        try:
            async with asyncio.TaskGroup() as self._work:
                self.submitter.open(self._work)
                await self._poll_until_left(ready)
                await self.left.wait()
        finally:
            await self._transport.close()

    async def _poll_until_left(self, ready: asyncio.Future[None]) -> None:
        try:
            async with asyncio.TaskGroup() as polls:
                runner = polls.create_task(self.poller.run(polls), name="foxapi poller")
                if not ready.done():  # cancelled while entering
                    ready.set_result(None)
                await self.left.wait()
                runner.cancel()
        except* Exception as faults:
            self._break_down(_first(faults))

    def _break_down(self, bug: BaseException) -> None:
        """A fault of ours: every handle and stream ends, new work is refused; leaving raises it."""
        self._bug = bug
        log.error("the session stopped on an internal error: %r", bug, extra=about("internal_error"))
        self.submitter.close(ConfigurationError(_STOPPED))
        self.poller.close(bug)
        self.streams.close()

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
        """Stop a pipeline whose outcomes are not read any more, and forget those of which nothing is left."""
        pipeline.discard()
        self.pipelines = {kept for kept in self.pipelines if not kept.is_over}

    # Work.

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that the session waits for when it is left."""
        assert self._work is not None  # noqa: S101 - `start` came first
        return self._work.create_task(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """In a task group, one that raises would cancel the POSTs of all others."""
        try:
            await work
        except Exception as bug:
            self._break_down(bug)

    def new_submission(
        self,
        timeout: float | None,
        *,
        series: Series | None = None,
        key: str | None = None,
        journal: SubmitJournal | None = None,
    ) -> Submission:
        """A submit to come, whose time counts from now."""
        return Submission(timeout, self._retry.grace, series=series, key=key, journal=journal)

    def resume(self) -> None:
        """See `FoxSession.resume`."""
        self.submitter.resume()


def _first(faults: BaseExceptionGroup[Any]) -> BaseException:
    """The fault inside nested groups."""
    fault: BaseException = faults
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault
