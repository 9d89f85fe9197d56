"""One timer for many moments: it is set to the earliest, and whoever it wakes says which is next."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable

_NEVER = float("inf")


class Timer:
    """Calls `turn` at the moments it asks for, from `start` to `stop`. Moments are loop time in seconds.

    Args:
        turn: does what is due and gives the next moment, None for none.
    """

    def __init__(self, turn: Callable[[], float | None]) -> None:
        self._turn = turn
        # Turns run in it: whoever sets the timer is not kept alive by it, and has nothing of others in their traces.
        self._context = contextvars.copy_context()
        self._loop = asyncio.get_running_loop()
        self._running = False
        self._timer: asyncio.TimerHandle | None = None
        self._when = _NEVER

    def start(self) -> None:
        """Have a turn at once, and more from then on."""
        self._running = True
        self.nudge(self._loop.time())

    def stop(self) -> None:
        """Have no turn any more."""
        self._running = False
        self._set(None)

    def nudge(self, when: float) -> None:
        """Have a turn at `when`, unless there is one earlier."""
        if self._running and when < self._when:
            self._set(when)

    def _set(self, when: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._when = _NEVER if when is None else when
        self._timer = (
            None if when is None else self._loop.call_at(when, self._ring, context=self._context.copy())
        )

    def _ring(self) -> None:
        self._timer, self._when = None, _NEVER
        self._set(self._turn())
