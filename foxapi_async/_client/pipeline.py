"""The work behind `as_completed`: pulls items as far as there is room, has them done, and collects their outcomes.

A `Pipeline` outlives its iterator: what was submitted is paid for and goes on, whether or not anybody still reads.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from foxapi_async._client.item_source import ItemSource
from foxapi_async._errors import FoxError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.result import Outcome

# What a source may take to clean up behind itself.
CLEANUP_SECONDS = 10.0

_log = logging.getLogger("foxapi_async")


class Work(Protocol):
    """What is done with each item."""

    handles: dict[int, TaskHandle]
    "By the place in which an item was begun, from the submit until the outcome is handed out."

    async def run(self, index: int, item: Any) -> Outcome | None:
        """How one item ends, its errors in the outcome; None if there is nothing to hand out."""
        ...

    def stop(self) -> None:
        """Send nothing more."""
        ...


class Pipeline:
    """Pulls the source, has each item done, and collects outcomes.

    Args:
        supply: the items; only the feeder task pulls and closes it.
        room: how many items at a time are begun and not handed out.
        work: does them.
        spawn: starts a task of the session.
    """

    def __init__(
        self,
        supply: ItemSource[Any],
        room: int,
        work: Work,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._supply = supply
        self._room = room
        self._work = work
        self._spawn = spawn
        self._feeder: asyncio.Task[None] | None = None
        self._pulling = False
        self._stopped = False
        self._running = 0
        self._ready: collections.deque[tuple[int, Outcome]] = collections.deque()
        self._failure: BaseException | None = None
        self._news = asyncio.Event()
        self._free = asyncio.Event()
        self._left = asyncio.Event()
        self.handles = work.handles

    def start(self) -> asyncio.Task[None]:
        """Begin to pull and submit; the task that does."""
        if self._feeder is None:
            self._feeder = self._spawn(self._feed())
            self._feeder.add_done_callback(lambda _: self._news.set())
        return self._feeder

    def stop(self) -> None:
        """Pull no more, and send nothing more: what was sent goes on, what only waited for its turn ends."""
        if self._stopped:
            return
        self._stopped = True
        self.start()  # it alone closes the source
        if self._pulling:
            self.hasten()
        self._work.stop()

    def hasten(self) -> None:
        """Interrupt the source, also in its cleaning up."""
        self.start().cancel()

    def leave(self) -> None:
        """Stop, with nobody to hand anything out to any more."""
        if not self.left:
            self._left.set()
            self.stop()
            for _, outcome in self._ready:
                _log_unread(outcome)

    @property
    def left(self) -> bool:
        """Whether nobody reads it any more."""
        return self._left.is_set()

    async def until_left(self) -> None:
        """Wait until nobody reads it any more."""
        await self._left.wait()

    @property
    def forgettable(self) -> bool:
        """Whether it is left and nothing of it is under way or unread."""
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
        index, outcome = self._ready.popleft()
        self.handles.pop(index, None)
        self._free.set()
        return outcome

    async def _feed(self) -> None:
        try:
            await self._pull_all()
        except StopAsyncIteration:
            pass
        except asyncio.CancelledError as error:
            if not self._stopped:
                self._failure = error  # raised by the source itself
        except Exception as error:  # the source is the user's: its error is theirs to see
            self._failure = error
        self._pulling = False
        try:
            async with asyncio.timeout(CLEANUP_SECONDS) as limit:
                await self._supply.close()
        except Exception as error:
            late = TimeoutError(f"the source of requests did not clean up within {CLEANUP_SECONDS:g} s")
            self._failure = self._failure or (late if limit.expired() else error)

    async def _pull_all(self) -> None:
        self._pulling = True
        index = 0
        while not self._stopped:
            await self._room_to_submit()
            self._begin(index, await self._supply.pull())
            index += 1
            await asyncio.sleep(0)  # an endless plain iterator must not keep the loop from the submits

    async def _room_to_submit(self) -> None:
        while self._running + len(self._ready) >= self._room:
            self._free.clear()
            await self._free.wait()

    def _begin(self, index: int, item: object) -> None:
        self._running += 1
        self._spawn(self._run(index, item))

    async def _run(self, index: int, item: object) -> None:
        outcome = None
        try:
            outcome = await self._work.run(index, item)
        finally:
            self._finish(index, outcome)

    def _finish(self, index: int, outcome: Outcome | None) -> None:
        self._running -= 1
        if outcome is None:
            self.handles.pop(index, None)
            self._free.set()
        else:
            self._ready.append((index, outcome))
            if self.left:
                _log_unread(outcome)
        self._news.set()


def _log_unread(outcome: Outcome) -> None:
    """Nobody will see this outcome: if money may be at stake, the log is the last place to say so."""
    if isinstance(outcome.error, FoxError) and outcome.error.charged != "no" and outcome.task_id is None:
        _log.warning("item %d of a left as_completed: %s", outcome.index, outcome.error)
