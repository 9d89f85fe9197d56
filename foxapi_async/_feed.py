"""The work behind `as_completed`: pulls requests, submits them, and collects their outcomes.

A `Feed` outlives its iterator: what was submitted is paid for and goes on, whether or not anybody still reads.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
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
from typing import Any

from foxapi_async._errors import FoxError, InvalidRequestError, RateLimitError
from foxapi_async._events import Outcome
from foxapi_async._post import Post
from foxapi_async._retry import CAP_SECONDS
from foxapi_async._task import TaskHandle
from foxapi_async.models import GenerationRequest, parse_request

Item = GenerationRequest | Mapping[str, Any]
Items = Iterable[Item] | AsyncIterable[Item]

# What a source may take to clean up behind itself.
CLEANUP_SECONDS = 10.0

_log = logging.getLogger("foxapi_async")


class Feed:
    """Pulls the source, submits, and collects outcomes; at most `room` items are submitted and not handed out.

    Args:
        items: the source; only the feeder task pulls and closes it.
        room: how many items at a time.
        new_post: makes the record of a submit to come.
        submit: submits one request.
        spawn: starts a task of the session.
    """

    def __init__(
        self,
        items: Items,
        room: int,
        new_post: Callable[[], Post],
        submit: Callable[[GenerationRequest, Post], Awaitable[TaskHandle]],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._source = _Source(items)
        self._room = room
        self._new_post = new_post
        self._submit = submit
        self._spawn = spawn
        self._feeder: asyncio.Task[None] | None = None
        self._pulling = False
        self._stopped = asyncio.Event()
        self._running = 0
        self._posts: dict[int, Post] = {}
        self._ready: collections.deque[Outcome] = collections.deque()
        self._failure: BaseException | None = None
        self._news = asyncio.Event()
        self._free = asyncio.Event()
        self.left = False
        self.handles: dict[int, TaskHandle] = {}

    def start(self) -> asyncio.Task[None]:
        """Begin to pull and submit; the task that does."""
        if self._feeder is None:
            self._feeder = self._spawn(self._feed())
            self._feeder.add_done_callback(lambda _: self._news.set())
        return self._feeder

    def stop(self) -> None:
        """Pull no more, and send nothing more: what was sent goes on, what only waited for its turn ends."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self.start()  # it alone closes the source
        if self._pulling:
            self.hasten()
        for post in list(self._posts.values()):
            post.withdraw()

    def hasten(self) -> None:
        """Interrupt the source, also in its cleaning up."""
        self.start().cancel()

    def leave(self) -> None:
        """Stop, with nobody to hand anything out to any more."""
        if not self.left:
            self.left = True
            self.stop()
            for outcome in self._ready:
                _log_unread(outcome)

    @property
    def forgettable(self) -> bool:
        """Whether nobody reads it any more and nothing of it is under way or unread."""
        return self.left and self.start().done() and not self._running and not self.handles

    async def closed(self) -> None:
        """Wait until the source is closed."""
        await asyncio.wait([self.start()])

    async def next(self) -> Outcome | None:
        """The next outcome; None at the end.

        Raises:
            Exception: what the source raised, once everything submitted has been handed out.
        """
        while not self._ready:
            if self._feeder is not None and self._feeder.done() and not self._running:
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
                return None
            self._news.clear()
            await self._news.wait()
        outcome = self._ready.popleft()
        self.handles.pop(outcome.index, None)
        self._free.set()
        return outcome

    async def _feed(self) -> None:
        try:
            await self._pull_all()
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError as error:
            if not self._stopped.is_set():
                self._failure = error  # raised by the source itself
        except Exception as error:  # the source is the user's: its error is theirs to see
            self._failure = error
        self._pulling = False
        try:
            async with asyncio.timeout(CLEANUP_SECONDS) as limit:
                await self._source.close()
        except Exception as error:
            late = TimeoutError(f"the source of requests did not clean up within {CLEANUP_SECONDS:g} s")
            self._failure = self._failure or (late if limit.expired() else error)

    async def _pull_all(self) -> None:
        self._pulling = True
        index = 0
        while not self._stopped.is_set():
            await self._room_to_submit()
            self._begin(index, await self._source.pull())
            index += 1
            await asyncio.sleep(0)  # an endless plain iterator must not keep the loop from the submits

    async def _room_to_submit(self) -> None:
        while self._running + len(self._ready) >= self._room:
            self._free.clear()
            await self._free.wait()

    def _begin(self, index: int, item: Item) -> None:
        self._running += 1
        self._spawn(self._run(index, item))

    async def _run(self, index: int, item: Item) -> None:
        outcome = await self._outcome(index, item)
        self._running -= 1
        self._ready.append(outcome)
        self._news.set()
        if self.left:
            _log_unread(outcome)

    async def _outcome(self, index: int, item: Item) -> Outcome:
        request: GenerationRequest | None = None
        result = None
        error: Exception | None = None
        try:
            request = item if isinstance(item, GenerationRequest) else parse_request(item)
            self.handles[index] = handle = await self._submit_when_allowed(index, request)
            result = await handle
        except Exception as caught:  # an item's error is in its outcome, never its neighbours' problem
            error = caught
        task_id = self.handles[index].id if index in self.handles else getattr(error, "task_id", None)
        return Outcome(index=index, request=request, task_id=task_id, result=result, error=error)

    async def _submit_when_allowed(self, index: int, request: GenerationRequest) -> TaskHandle:
        """Submit, and wait out every 429: it slows a series down, it does not fail it."""
        error: FoxError = self._new_post().given_up("the series was stopped")
        while not self._stopped.is_set():
            post = self._posts[index] = self._new_post()
            try:
                return await self._submit(request, post)
            except RateLimitError as refusal:
                error, seconds = refusal, refusal.retry_after or CAP_SECONDS
            finally:
                del self._posts[index]
            _log.warning("as_completed is held back for %.1f s: %s", seconds, error)
            await self._stopped_within(seconds)
        raise error

    async def _stopped_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()


def _log_unread(outcome: Outcome) -> None:
    """Nobody will see this outcome: if money may be at stake, the log is the last place to say so."""
    if isinstance(outcome.error, FoxError) and outcome.error.charged != "no" and outcome.task_id is None:
        _log.warning("item %d of a left as_completed: %s", outcome.index, outcome.error)


class _Source:
    """The user's requests, one at a time, whichever kind of iterable they come in."""

    def __init__(self, items: Items) -> None:
        if isinstance(items, str | bytes | Mapping | GenerationRequest):
            raise InvalidRequestError(
                f"requests is one {type(items).__name__}: give a list, a generator or another iterable of requests"
            )
        if isinstance(items, AsyncIterable):
            self._later: AsyncIterator[Item] | None = aiter(items)
        elif isinstance(items, Iterable):
            self._later = None
            self._now = iter(items)
        else:
            raise InvalidRequestError(
                f"requests={items!r} cannot be iterated over: give an iterable of requests"
            )

    async def pull(self) -> Item:
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
