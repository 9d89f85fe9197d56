"""How long one submit may take.

A single one has so many seconds from its call. One item of many is held up by the others: its time stands still while it
stands in line, and after a refusal that was waited out it has all of it again.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Allowance:
    """The time of one submit, and of its caller's waiting. Moments are loop time in seconds.

    Args:
        timeout: how long in all; None for no limit.
        pausing: whether it stands still in line, as that of an item of many does.
    """

    def __init__(self, timeout: float | None, *, pausing: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self.timeout = timeout
        self.deadline: float | None = None
        self._pausing = pausing
        self._left = timeout
        self._waiting: asyncio.Timeout | None = None
        self._run()

    def left(self) -> float:
        """Seconds until the deadline; without one, and while it stands still, there is no end."""
        return float("inf") if self.deadline is None else self.deadline - self._loop.time()

    async def has_seen(self, task: asyncio.Task[Any]) -> bool:
        """Wait for a task as long as there is time; whether it has ended."""
        try:
            async with asyncio.timeout_at(self.deadline) as self._waiting:
                await asyncio.wait([task])
        except TimeoutError:
            pass
        finally:
            self._waiting = None
        return task.done()

    def line_up(self) -> None:
        """Stand still, and keep what is left."""
        if self._pausing and self.deadline is not None:
            self._left = self.left()
            self._move(None)

    def refill(self) -> None:
        """Stand still, and have all of it again."""
        self._left = self.timeout
        self._move(None)

    def go_on(self) -> None:
        """Run with what is left."""
        if self._pausing:
            self._run()

    def renew(self) -> None:
        """Have all of it again, without standing still; if it does, in this very turn perhaps, that stays so."""
        self._left = self.timeout
        if self.deadline is not None:
            self._run()

    def _run(self) -> None:
        self._move(None if self._left is None else self._loop.time() + self._left)

    def _move(self, deadline: float | None) -> None:
        self.deadline = deadline
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(deadline)
