"""`FoxSession.as_completed`: many requests in, outcomes out in the order in which they end.

The iterator holds the pipeline that does the work, never the other way round, so that dropping it (a `break`) is noticed.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any, Self

from foxapi_async._client.engine import Engine
from foxapi_async._client.pipeline import Pipeline
from foxapi_async._client.submission import Series
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.result import Outcome
from foxapi_async.models import GenerationRequest, parse_request

Item = GenerationRequest | Mapping[str, Any]
Items = Iterable[Item] | AsyncIterable[Item]


class EachRequest:
    """What `as_completed` does with each item: submit it, waiting out every 429, and wait for its task.

    Args:
        engine: the session's.
        timeout: seconds that each task is waited for; None for no limit.
    """

    def __init__(self, engine: Engine, timeout: float | None) -> None:
        self._engine = engine
        self._timeout = timeout
        self._series = Series(pauses=False)
        self.handles: dict[int, TaskHandle] = {}

    def stop(self) -> None:
        """Send nothing more: what was sent goes on, what only waited for its turn ends."""
        self._series.stop()

    async def run(self, index: int, item: Item) -> Outcome:
        """How one item ends."""
        engine = self._engine
        request: GenerationRequest | None = None
        result = None
        error: Exception | None = None
        try:
            request = item if isinstance(item, GenerationRequest) else parse_request(item)
            submission = engine.new_submission(self._timeout, series=self._series)
            self.handles[index] = handle = await engine.submitter.submit(request, submission)
            result = await handle
        except Exception as caught:  # an item's error is in its outcome, never its neighbours' problem
            error = caught
        task_id = self.handles[index].id if index in self.handles else getattr(error, "task_id", None)
        return Outcome(index=index, request=request, task_id=task_id, result=result, error=error)


class CompletedIterator:
    """What `FoxSession.as_completed` gives: an async iterator of `Outcome`.

    `stop()` ends the submitting and yields the rest. `break` ends the submitting too, at once under
    `contextlib.aclosing`; what was submitted goes on and stays in `FoxSession.unfinished`.
    """

    def __init__(self, feed: Pipeline, leave: Callable[[Pipeline], None]) -> None:
        self._feed = feed
        self._leave = leave
        loop = asyncio.get_running_loop()
        self._dropped = weakref.finalize(self, _leave_soon, loop, leave, feed)
        self._dropped.atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        self._feed.start()
        outcome = await self._feed.next()
        if outcome is None:
            self._dropped.detach()
            self._leave(self._feed)
            raise StopAsyncIteration
        return outcome

    def stop(self) -> None:
        """Submit no more; iterating goes on until what was submitted has ended."""
        self._feed.stop()

    async def aclose(self) -> None:
        """End the submitting at once, with nobody to read the rest; returns when the source is closed."""
        self._dropped.detach()
        self._leave(self._feed)
        await self._feed.closed()


def _leave_soon(loop: asyncio.AbstractEventLoop, leave: Callable[[Pipeline], None], feed: Pipeline) -> None:
    # The garbage collector may run in any thread.
    if not loop.is_closed():
        loop.call_soon_threadsafe(leave, feed)
