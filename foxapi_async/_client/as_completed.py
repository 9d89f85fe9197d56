"""`FoxSession.as_completed`: many requests in, outcomes out in the order in which they end.

The iterator holds the feed that does the work, never the other way round, so that dropping it (a `break`) is noticed.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Self

from foxapi_async._client.pipeline import Pipeline
from foxapi_async._handles.result import Outcome


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
