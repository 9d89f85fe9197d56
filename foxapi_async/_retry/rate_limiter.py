"""The rate limiter: requests of one kind wait here for their turn."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable

from foxapi_async._errors import FoxError
from foxapi_async._listener import Listener, What
from foxapi_async._retry.protocol import Rate

# A call without a deadline waits at most this long for its next try, even if the service asks for more.
LONGEST_WAIT = 120.0

UNTIL_NEXT_LEASE = 0.1
"""If the rate is 0, it is read again after this many seconds."""


class PacedLimiter:
    """The requests of one kind in one process; see `RateLimiter`.

    Args:
        rate: requests a second, without bursts above it.
        what: the kind of the requests, for the listener.
        listener: is notified when requests are held back.
    """

    def __init__(self, rate: Rate, what: What = "poll", listener: Listener | None = None) -> None:
        self._rate = rate
        self._next = 0.0
        self._what: What = what
        self._listener = listener
        self._reported_until = 0.0
        self._refusal: FoxError | None = None
        self._turn = asyncio.Lock()

    def rate(self, now: float) -> float | None:
        """Requests per second that may be sent; None for no limit."""
        return self._rate.rate(now)

    def hold(self, until: float, refusal: FoxError) -> None:
        """Count the `refusal` of a request, and hold every request back until `until` (loop time)."""
        now = asyncio.get_running_loop().time()
        self._rate.count_refusal(now, until)
        if until > max(now, self._next):
            self._next, self._refusal = until, refusal
            self.report(now)

    def report(self, since: float) -> None:
        """Report that requests wait from `since` on, except for time that was reported before."""
        since = max(since, self._reported_until)
        if self._listener is None or since >= self._next:
            return
        self._reported_until = self._next
        self._listener.on_throttle(self._what, self._next - since, copy.copy(self._refusal))

    def next_allowed(self, now: float) -> float:
        """The moment when the next request may be sent: `now` if at once."""
        return max(now, self._next)

    def take(self, now: float) -> None:
        """Note that a request is sent now."""
        self._rate.count(now)
        rate = self._rate.rate(now)
        # The next moment is counted from the allowed moment. So if the timer fires slightly early, the next
        # request is not sent earlier.
        self._next = now if rate is None else max(now, self._next) + 1 / rate
        self._refusal = None

    async def acquire(self, max_wait: Callable[[], float] = lambda: LONGEST_WAIT) -> FoxError | None:
        """Wait for a turn. The lock is fair, and a hold that begins meanwhile delays the whole queue.

        Args:
            max_wait: returns the seconds for which a refusal may delay this request.

        Returns:
            None when its turn has come; a copy of the refusal if that holds requests back longer than `max_wait`.
        """
        loop = asyncio.get_running_loop()
        if self._refusal is not None and self._next - loop.time() >= max_wait():
            return copy.copy(self._refusal)
        async with self._turn:
            while (now := loop.time()) < self._next or self._rate.rate(now) == 0:
                if self._refusal is not None and self._next - now >= max_wait():
                    return copy.copy(self._refusal)
                self.report(now)
                await asyncio.sleep(self._next - now if now < self._next else UNTIL_NEXT_LEASE)
            self.take(now)
        return None
