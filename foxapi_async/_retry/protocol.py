"""The protocol of a rate limiter. `PacedLimiter` is for one process; another limiter can use a shared store.

A limiter has a synchronous half, with which the poller sets its one timer, and an asynchronous half, in which
submits, fetches and uploads wait in line. Both obey the same rate and the same holds. Moments are loop time in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from foxapi_async._errors import FoxError


class Rate(Protocol):
    """The rate at which requests of one kind may be sent. It may change at any time, such as a lease from a store."""

    def rate(self, now: float) -> float | None:
        """Requests per second that may be sent; None for no limit, 0 if none may be sent now."""
        ...

    def count(self, now: float) -> None:
        """Note that a request is sent now."""
        ...

    def count_refusal(self, now: float, until: float) -> None:
        """Note that the service refused a request because requests are too fast. Nothing is sent before `until`.

        `until` is `now` if the service asked for no wait.
        """
        ...


class RateLimiter(Protocol):
    """The requests of one kind: in order, evenly paced, and held back while the service asks for it."""

    def rate(self, now: float) -> float | None:
        """Requests per second that may be sent; None for no limit."""
        ...

    def next_allowed(self, now: float) -> float:
        """The moment when the next request may be sent; `now` if at once."""
        ...

    def take(self, now: float) -> None:
        """Note that a request is sent now."""
        ...

    def hold(self, until: float, refusal: FoxError) -> None:
        """Count the `refusal` of a request, and hold every request back until `until`."""
        ...

    def report(self, since: float) -> None:
        """Report that requests wait from `since` on, if that was not reported before."""
        ...

    async def acquire(self, max_wait: Callable[[], float] = ...) -> FoxError | None:
        """Wait for a turn. A hold that begins meanwhile delays the whole queue.

        Args:
            max_wait: returns the seconds for which a refusal may delay this request.

        Returns:
            None when its turn has come; a copy of the refusal if that holds requests back longer than `max_wait`.
        """
        ...
