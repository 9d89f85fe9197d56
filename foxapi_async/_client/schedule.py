"""When is whose turn: a heap of moments, with no clock of its own.

`take_due` decides everything synchronously; the caller does the waiting. A key that is put again moves, and
one that is discarded is forgotten; its old heap entry stays until it surfaces (skimmed lazily, as timers in
aiolimiter are), and the heap is rebuilt once the dead outnumber the living.
"""

from __future__ import annotations

import heapq
import itertools
from typing import Generic, TypeVar

K = TypeVar("K")

# uvloop's timers fire up to 1 ms early; without this slack such a wake-up would find nothing due, and spin.
SLACK_SECONDS = 0.001


class Schedule(Generic[K]):
    """Keys, each with the one moment (`loop.time()` seconds) at which it falls due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._current: dict[K, int] = {}
        self._ticket = itertools.count()

    def __len__(self) -> int:
        return len(self._current)

    def __contains__(self, key: K) -> bool:
        return key in self._current

    def put(self, key: K, when: float) -> None:
        """Let `key` fall due at `when`, and at no earlier-set moment any more."""
        ticket = next(self._ticket)
        self._current[key] = ticket
        heapq.heappush(self._heap, (when, ticket, key))
        self._bury_dead()

    def discard(self, key: K) -> None:
        """Forget `key`; unknown keys are fine."""
        self._current.pop(key, None)
        self._bury_dead()

    def first(self) -> tuple[float, K] | None:
        """The key that falls due next, and when; None if there is no key."""
        when = self.next_when()
        return None if when is None else (when, self._heap[0][2])

    def take_due(self, now: float, room: int | None = None) -> list[K]:
        """Remove and return the keys that are due, earliest first, at most `room` of them."""
        due: list[K] = []
        while (room is None or len(due) < room) and (when := self.next_when()) is not None:
            if when > now + SLACK_SECONDS:
                break
            key = heapq.heappop(self._heap)[2]
            del self._current[key]
            due.append(key)
        self._bury_dead()
        return due

    def next_when(self) -> float | None:
        """The earliest moment at which a key falls due, or None if there is no key."""
        heap = self._heap
        while heap and self._current.get(heap[0][2]) != heap[0][1]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def _bury_dead(self) -> None:
        """Rebuild the heap once it is mostly entries of keys that moved or went: each keeps its key alive."""
        if len(self._heap) <= 2 * len(self._current) + 64:
            return
        self._heap = [entry for entry in self._heap if self._current.get(entry[2]) == entry[1]]
        heapq.heapify(self._heap)
