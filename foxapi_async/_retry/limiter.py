"""Where the requests of one kind wait for their turn."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable

from foxapi_async._errors import FoxError
from foxapi_async._listener import Listener, What
from foxapi_async._policy.rate import AdaptiveRate

# A call without a deadline does not wait longer than this for its next try, whatever the service asks for.
LONGEST_WAIT = 120.0


class RateLimiter:
    """Where the requests of one kind queue up: in order, evenly paced, and shut while the service asks for it.

    Args:
        limit: requests a second, without bursts above it; None for no limit of our own.
        what: their kind.
        listener: hears when requests are held back.
    """

    def __init__(
        self, limit: float | None = None, what: What = "poll", listener: Listener | None = None
    ) -> None:
        self._rate = AdaptiveRate(limit)
        self._next = 0.0
        self._what: What = what
        self._listener = listener
        self._reported_until = 0.0
        self._refusal: FoxError | None = None
        self._turn = asyncio.Lock()

    def rate(self, now: float) -> float | None:
        """Requests a second that may go; None for as many as one likes."""
        return self._rate.rate(now)

    def hold(self, until: float, refusal: FoxError) -> None:
        """Hold every request back until `until` (loop time), because of `refusal`; from then on send more slowly."""
        self._rate.cut(asyncio.get_running_loop().time(), until)
        if until > self._next:
            self._next, self._refusal = until, refusal
            self.report(asyncio.get_running_loop().time())

    def report(self, since: float) -> None:
        """Report that requests wait from `since` on, as far as that was not reported before."""
        since = max(since, self._reported_until)
        if self._listener is None or since >= self._next:
            return
        self._reported_until = self._next
        self._listener.on_throttle(self._what, self._next - since, copy.copy(self._refusal))

    def next_allowed(self, now: float) -> float:
        """When the next request may go; `now` if at once."""
        return max(now, self._next)

    def take(self, now: float) -> None:
        """Note that a request goes now."""
        self._rate.count(now)
        rate = self._rate.rate(now)
        # From its own moment: a request that went within the timer's slack before it brings the next no forward.
        self._next = now if rate is None else max(now, self._next) + 1 / rate
        self._refusal = None

    async def acquire(self, patience: Callable[[], float] = lambda: LONGEST_WAIT) -> FoxError | None:
        """Wait for one's turn. The lock is fair, and a hold that begins meanwhile keeps the whole queue back.

        Args:
            patience: seconds for which a refusal may hold it.

        Returns:
            None when its turn has come; a copy of the refusal that holds for longer than the patience.
        """
        loop = asyncio.get_running_loop()
        if self._refusal is not None and self._next - loop.time() >= patience():
            return copy.copy(self._refusal)
        async with self._turn:
            while (now := loop.time()) < self._next:
                if self._refusal is not None and self._next - now >= patience():
                    return copy.copy(self._refusal)
                self.report(now)
                await asyncio.sleep(self._next - now)
            self.take(now)
        return None
