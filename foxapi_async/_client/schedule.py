"""The poller's schedule, which knows when each task is due, and the timer that wakes the poller.

If a key is put again, its moment changes. The schedule is a heap, and the old entry of the key stays in it until
it reaches the top. The heap is rebuilt when most of its entries are old, because each entry keeps its key in memory.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import math
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")

# uvloop's timers fire up to 1 ms early. Without this slack, the poller would find nothing due, and set the timer again
# and again.
SLACK_SECONDS = 0.001


class Schedule(Generic[K]):
    """Keys, each with the one moment (`loop.time()` seconds) at which it is due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._tickets: dict[K, int] = {}
        self._next_ticket = itertools.count()

    def __len__(self) -> int:
        return len(self._tickets)

    def put(self, key: K, when: float) -> None:
        """Make `key` due at `when`. This replaces its earlier moment."""
        if key in self._tickets:
            self.discard(key)
        self._tickets[key] = ticket = next(self._next_ticket)
        heapq.heappush(self._heap, (when, ticket, key))

    def discard(self, key: K) -> None:
        """Remove `key`; an unknown key is allowed."""
        tickets = self._tickets
        tickets.pop(key, None)
        if len(self._heap) > 2 * len(tickets) + 64:
            self._heap = [entry for entry in self._heap if tickets.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)

    def first(self) -> tuple[float, K] | None:
        """The moment and the key that are due next. Of keys with the same moment, the one that was put first."""
        heap = self._heap
        while heap and self._tickets.get(heap[0][2]) != heap[0][1]:
            heapq.heappop(heap)
        return (heap[0][0], heap[0][2]) if heap else None


class Timer:
    """Makes one call at the earliest of the moments that were set.

    The call runs in the context in which the timer was made. So it does not see the context variables of the code that
    sets the timer, and the timer does not keep their values in memory.

    Attributes:
        when: the moment of the call (`loop.time()` seconds); infinite if not set.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self.when = math.inf
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._handle: asyncio.TimerHandle  # once it is started
        self._is_running = False

    def start(self) -> None:
        """Make the first call at once. Before `start`, `set` has no effect."""
        self._is_running = True
        self.when = self._loop.time()
        self._handle = self._loop.call_at(self.when, self._call, context=self._context.copy())

    def set(self, when: float) -> None:
        """Make the call at `when`, or earlier if an earlier moment is set. A past moment means now."""
        when = max(when, self._loop.time())
        if self._is_running and when < self.when:
            self._handle.cancel()
            self.when = when
            self._handle = self._loop.call_at(when, self._call, context=self._context.copy())

    def stop(self) -> None:
        """Make no more calls."""
        self._is_running = False
        self._handle.cancel()
