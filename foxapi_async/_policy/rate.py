"""The rate at which requests may be sent. Pure: the caller passes the time.

A limit comes from the user, or from a service that answers 429. The SDK finds the second kind as TCP finds
the capacity of a link: it cuts the rate at once and raises it slowly (additive increase, multiplicative
decrease; Chiu & Jain, 1989).
"""

from __future__ import annotations

import math

# A refusal multiplies the rate by CUT. Then each second adds this share of the cut rate.
CUT = 0.7
REGAIN_PER_SECOND = 0.02

# A cut is forgotten when the rate has grown to this many times the cut rate.
FORGET_AT = 4.0

# Refusals up to this many seconds after a cut answer requests that were sent before it.
_SAME_REFUSAL = 1.0

# The present rate is averaged over this many seconds.
_WINDOW = 10.0


class AdaptiveRate:
    """The rate at which requests of one kind may be sent, in requests per second.

    Args:
        limit: the user's limit, or None.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._limit = limit
        self._cut_to: float | None = None
        self._grows_from = -math.inf
        self._since: float | None = None
        self._recent = 0.0
        self._counted_at = 0.0

    def rate(self, now: float) -> float | None:
        """Requests per second; None for no limit."""
        if self._cut_to is None:
            return self._limit
        regained = 1 + REGAIN_PER_SECOND * max(0.0, now - self._grows_from)
        if regained > FORGET_AT:
            self._cut_to = None
            return self._limit
        return min(self._cut_to * regained, self._limit or math.inf)

    def count(self, now: float) -> None:
        """Note that a request is sent now."""
        if self._since is None:
            self._since = self._counted_at = now
        self._recent = self._recent * math.exp(min(0.0, self._counted_at - now) / _WINDOW) + 1
        self._counted_at = now

    def cut(self, now: float, until: float) -> None:
        """Note that the service refused a request as too fast, and that nothing is sent before `until`.

        Refusals until then, and for one second more, answer earlier requests, so they do not cut again. The
        pause is not counted: it does not lower the measured rate, and the rate does not grow during it.
        """
        if now >= self._grows_from + _SAME_REFUSAL:
            self._cut_to = CUT * min(self._present(now), self.rate(now) or math.inf)
        resumes = max(now, until, self._grows_from)
        if self._since is not None:
            pause = resumes - max(now, self._grows_from)
            self._since += pause
            self._counted_at += pause
        self._grows_from = resumes

    def _present(self, now: float) -> float:
        """The present rate: a decaying count, divided by the time that it covers."""
        if self._since is None:
            return 1.0
        recent = self._recent * math.exp(min(0.0, self._counted_at - now) / _WINDOW)
        covered_seconds = _WINDOW * -math.expm1((self._since - now) / _WINDOW)
        return max(recent, 1.0) / max(covered_seconds, 1.0)
