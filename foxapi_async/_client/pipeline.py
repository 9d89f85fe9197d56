"""Pulls items from a source while there is room, runs a work function for each, and yields each outcome when it is ready.

A pipeline outlives its reader: what was submitted is paid for and continues, whether or not its outcome is read.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
)
from typing import Any, Generic, TypeVar

from foxapi_async._client.submission import Series
from foxapi_async._errors import FoxError, InvalidRequestError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.result import Outcome
from foxapi_async._listener import about, log
from foxapi_async.models import GenerationRequest

T = TypeVar("T")

CLEANUP_SECONDS = 10.0
"""How long a source may take to clean up behind itself."""


class ItemSource(Generic[T]):
    """Any iterable or async iterable, pulled and closed by one task alone.

    Raises:
        InvalidRequestError: it is a single request, or nothing that can be iterated over.
    """

    def __init__(self, items: Iterable[T] | AsyncIterable[T]) -> None:
        if isinstance(items, str | bytes | Mapping | GenerationRequest):
            raise InvalidRequestError(
                f"requests is one {type(items).__name__}: give a list, a generator or another iterable of requests"
            )
        if isinstance(items, AsyncIterable):
            self._later: AsyncIterator[T] | None = aiter(items)
        elif isinstance(items, Iterable):
            self._later = None
            self._now = iter(items)
        else:
            raise InvalidRequestError(
                f"requests={items!r} cannot be iterated over: give an iterable of requests"
            )

    async def pull(self) -> T:
        """The next item; raises StopAsyncIteration at the end."""
        if self._later is not None:
            return await anext(self._later)
        for item in self._now:
            return item
        raise StopAsyncIteration

    async def close(self) -> None:
        """Let a generator run its `finally`."""
        if isinstance(self._later, AsyncGenerator):
            await self._later.aclose()
        elif self._later is None and isinstance(self._now, Generator):
            self._now.close()


class Pipeline:
    """The items of one series, at most `room` of them begun and not yet handed out.

    Args:
        items: any iterable or async iterable. Only a task of the pipeline pulls and closes it.
        room: how many items are begun and not yet handed out, at most.
        work: does one item, given its place from 0: gives its outcome, or None if there is nothing to hand out.
        series: the submits of the items; they stop with the pipeline.
        spawn: starts a task of the session.

    Attributes:
        handles: by the item's place, from the submit until its outcome is handed out; `work` puts them there.
        discarded: set once the outcomes are not read any more.

    Raises:
        InvalidRequestError: `items` is a single request, or nothing that can be iterated over.
    """

    def __init__(
        self,
        items: Iterable[T] | AsyncIterable[T],
        room: int,
        work: Callable[[int, T], Awaitable[Outcome | None]],
        series: Series,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._source: ItemSource[Any] = ItemSource(items)
        self._room = room
        self._work: Callable[[int, Any], Awaitable[Outcome | None]] = work
        self._series = series
        self._spawn = spawn
        self._puller: asyncio.Task[None] | None = None
        self._pulling = False
        self._stopped = False
        self._running = 0
        self._ready: collections.deque[tuple[int, Outcome]] = collections.deque()
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()  # an item has ended, or the source has
        self._free = asyncio.Event()
        self.handles: dict[int, TaskHandle] = {}
        self.discarded = asyncio.Event()

    def start(self) -> asyncio.Task[None]:
        """Begin to pull; the task that does, which ends when the source is closed."""
        if self._puller is None:
            self._puller = self._spawn(self._pull())
            self._puller.add_done_callback(lambda _: self._changed.set())
        return self._puller

    def stop(self) -> None:
        """Pull no more and send nothing more. What was sent continues, what only waited for its turn ends."""
        if self._stopped:
            return
        self._stopped = True
        puller = self.start()  # it alone closes the source
        if self._pulling:
            puller.cancel()
        self._series.stop()

    def cancel(self) -> None:
        """Interrupt the source, also while it cleans up."""
        self.start().cancel()

    def discard(self) -> None:
        """Stop, because the outcomes are not read any more."""
        if not self.discarded.is_set():
            self.discarded.set()
            self.stop()
            for _, outcome in self._ready:
                _log_unread(outcome)

    @property
    def is_over(self) -> bool:
        """Whether it is discarded, and nothing of it is under way or unread."""
        closed = self._puller is not None and self._puller.done()
        return self.discarded.is_set() and closed and not self._running and not self.handles

    async def next(self) -> Outcome | None:
        """The next outcome; None at the end.

        Raises:
            Exception: what the source raised, once everything submitted has been handed out.
        """
        puller = self.start()
        while not self._ready:
            if puller.done() and not self._running:
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
                return None
            self._changed.clear()
            await self._changed.wait()
        index, outcome = self._ready.popleft()
        self.handles.pop(index, None)
        self._free.set()
        return outcome

    async def _pull(self) -> None:
        """Pull items while there is room, and begin each; then close the source."""
        index = 0
        self._pulling = True
        try:
            while not self._stopped:
                while self._running + len(self._ready) >= self._room:
                    self._free.clear()
                    await self._free.wait()
                item = await self._source.pull()
                self._running += 1
                self._spawn(self._run(index, item))
                index += 1
                await asyncio.sleep(0)  # an endless plain iterator must not keep the loop from the submits
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError as error:
            if not self._stopped:
                self._failure = error  # raised by the source itself
        except Exception as error:  # the source is the user's: its error is raised to them
            self._failure = error
        self._pulling = False
        try:
            async with asyncio.timeout(CLEANUP_SECONDS) as limit:
                await self._source.close()
        except Exception as error:
            late = TimeoutError(f"the source of requests did not clean up within {CLEANUP_SECONDS:g} s")
            self._failure = self._failure or (late if limit.expired() else error)

    async def _run(self, index: int, item: object) -> None:
        outcome = None
        try:
            outcome = await self._work(index, item)
        finally:
            self._running -= 1
            if outcome is None:
                self.handles.pop(index, None)
                self._free.set()
            else:
                self._ready.append((index, outcome))
                if self.discarded.is_set():
                    _log_unread(outcome)
            self._changed.set()


def _log_unread(outcome: Outcome) -> None:
    """Log an outcome that is not read, if money may be at stake: the log is the last place to say so."""
    if isinstance(outcome.error, FoxError) and outcome.error.charged != "no" and outcome.task_id is None:
        log.warning(
            "item %d, whose outcome is not read: %s",
            outcome.index,
            outcome.error,
            extra=about("unread_outcome"),
        )
