"""Pulls items from a source while there is room, runs a work function for each, and yields each outcome when
it is ready.

If its outcomes are not read any more, a pipeline pulls no more items. The tasks that it has submitted continue, because
they are paid for.
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

import attrs

from foxapi_async._client.submission import Series
from foxapi_async._errors import FoxError, InvalidRequestError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.result import Outcome
from foxapi_async._listener import about, log
from foxapi_async.models import GenerationRequest

T = TypeVar("T")

CLEANUP_SECONDS = 10.0
"""How long a source may take to clean up."""


class ItemSource(Generic[T]):
    """Any iterable or async iterable. Only one task pulls and closes it.

    Raises:
        InvalidRequestError: it is a single request, or cannot be iterated over.
    """

    def __init__(self, items: Iterable[T] | AsyncIterable[T]) -> None:
        kind = type(items).__name__
        if isinstance(items, str | bytes | Mapping | GenerationRequest):
            raise InvalidRequestError(
                f"requests is one {kind}: give a list, a generator or another iterable of requests"
            )
        if isinstance(items, AsyncIterable):
            self._async_items: AsyncIterator[T] | None = aiter(items)
        elif isinstance(items, Iterable):
            self._async_items = None
            self._items = iter(items)
        else:
            raise InvalidRequestError(
                f"requests={items!r} cannot be iterated over: give an iterable of requests"
            )

    async def pull(self) -> T:
        """The next item; raises StopAsyncIteration at the end."""
        if self._async_items is not None:
            return await anext(self._async_items)
        for item in self._items:
            return item
        raise StopAsyncIteration

    async def close(self) -> None:
        """Let a generator run its `finally`."""
        async_items = self._async_items
        if isinstance(async_items, AsyncGenerator):
            await async_items.aclose()
        elif async_items is None and isinstance(items := self._items, Generator):
            items.close()


@attrs.define(eq=False)
class Pipeline:
    """Runs the items of one series.

    Args:
        source: where the items come from. Only a task of the pipeline pulls and closes it.
        room: the most items that are started and not yet yielded.
        work: processes one item, given its index from 0. Returns its outcome, or None if there is nothing to yield.
        series: the submits of the items. When the pipeline stops, those that are not sent yet end.
        spawn: starts a task of the session.

    Attributes:
        handles: the handles by the index of their items. `work` adds a handle after the submit. It is removed when the
            outcome is yielded.
        discarded: set when the outcomes are not read any more.
    """

    _source: ItemSource[Any]
    _room: int
    _work: Callable[[int, Any], Awaitable[Outcome | None]]
    _series: Series
    _spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    _puller: asyncio.Task[None] | None = attrs.field(default=None, init=False)
    _pulling: bool = attrs.field(default=False, init=False)
    _stopped: bool = attrs.field(default=False, init=False)
    _running: int = attrs.field(default=0, init=False)
    _ready: collections.deque[tuple[int, Outcome]] = attrs.field(
        factory=collections.deque[tuple[int, Outcome]], init=False
    )
    _failure: BaseException | None = attrs.field(default=None, init=False)
    # Set when an item or the source has ended.
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _free: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    handles: dict[int, TaskHandle] = attrs.field(factory=dict[int, TaskHandle], init=False)
    discarded: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    def start(self) -> asyncio.Task[None]:
        """Begin to pull. Returns the task that pulls, which ends when the source is closed."""
        if self._puller is None:
            self._puller = self._spawn(self._pull())
            self._puller.add_done_callback(lambda _: self._changed.set())
        return self._puller

    def stop(self) -> None:
        """Stop pulling and sending. Sent submits continue. Submits that still wait for their turn are given up."""
        if self._stopped:
            return
        self._stopped = True
        puller = self.start()  # only this task closes the source
        if self._pulling:
            puller.cancel()
        self._series.stop()

    def cancel(self) -> None:
        """Interrupt the source, even during its clean-up."""
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
        """Whether it is discarded, its source is closed, no item runs, and `handles` is empty."""
        closed = self._puller is not None and self._puller.done()
        return self.discarded.is_set() and closed and not self._running and not self.handles

    async def next(self) -> Outcome | None:
        """The next outcome; None at the end.

        Raises:
            Exception: the error of the source, after all submitted items have been yielded.
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
        """Pull items while there is room, and start each; then close the source."""
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
                # Without this, an endless plain iterator would block the loop, and the submits with it.
                await asyncio.sleep(0)
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError as error:
            if not self._stopped:
                self._failure = error  # raised by the source itself
        except Exception as error:  # the source is the user's, so the user gets its error
            self._failure = error
        self._pulling = False
        limit = asyncio.timeout(CLEANUP_SECONDS)
        try:
            async with limit:
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
    """Log an unread outcome if it may have cost money, because nothing else reports it."""
    if isinstance(outcome.error, FoxError) and outcome.error.charged != "no" and outcome.task_id is None:
        log.warning(
            "item %d, whose outcome is not read: %s",
            outcome.index,
            outcome.error,
            extra=about("unread_outcome"),
        )
