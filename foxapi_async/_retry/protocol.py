"""What waits for its turn needs of a limiter. `PacedLimiter` is for one process; a shared store can stand behind another.

A limiter has a synchronous half, by which the poller sets its one timer, and an asynchronous one, in which submits,
fetches and uploads stand in line. Both obey the same rate and the same holds. Moments are loop time in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from foxapi_async._errors import FoxError


class Rate(Protocol):
    """How many requests of one kind may go. It may change with each question: a lease from a shared store, for example."""

    def rate(self, now: float) -> float | None:
        """Requests a second that may go; None for no limit."""
        ...

    def count(self, now: float) -> None:
        """Note that a request goes now."""
        ...

    def cut(self, now: float, until: float) -> None:
        """Note that the service refused a request for going too fast, and that nothing goes before `until`."""
        ...


class RateLimiter(Protocol):
    """The requests of one kind, in order, evenly paced, and held back while the service asks for that."""

    def rate(self, now: float) -> float | None:
        """Requests a second that may go; None for no limit."""
        ...

    def next_allowed(self, now: float) -> float:
        """When the next request may go; `now` if at once."""
        ...

    def take(self, now: float) -> None:
        """Note that a request goes now."""
        ...

    def hold(self, until: float, refusal: FoxError) -> None:
        """Hold every request back until `until`, because of `refusal`; from then on send more slowly."""
        ...

    def report(self, since: float) -> None:
        """Report that requests wait from `since` on, if that was not reported before."""
        ...

    async def acquire(self, max_wait: Callable[[], float] = ...) -> FoxError | None:
        """Wait for one's turn. A hold that begins meanwhile keeps the whole line back.

        Args:
            max_wait: seconds for which a refusal may hold it.

        Returns:
            None when its turn has come; a copy of the refusal that holds for longer than `max_wait`.
        """
        ...
