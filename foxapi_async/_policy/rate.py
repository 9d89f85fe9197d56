"""The rate at which requests may go. Pure: the caller passes each moment.

A limit comes from the user, or from a service that answers 429. The second kind is found as TCP finds the
capacity of a link: cut at once, raised slowly (additive increase, multiplicative decrease; Chiu & Jain,
1989).
"""

from __future__ import annotations

import math

# A refusal cuts the rate to this share. From there it grows by that share of itself each second.
CUT = 0.7
REGAIN_PER_SECOND = 0.02

# A cut is forgotten when the rate may be this many times the rate after the cut.
FORGET_AT = 4.0

# Refusals up to this many seconds after a cut answer requests that went before it.
_SAME_REFUSAL = 1.0

# The present rate is averaged over this many seconds.
_WINDOW = 10.0


class AdaptiveRate:
    """The rate at which requests of one kind may go, in requests per second.

    Args:
        limit: the user's limit, or None.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._limit = limit
        self._cut_to: float | None = None
        self._cut_at = -math.inf  # the rate grows again from this moment on
        self._since: float | None = None
        self._recent = 0.0
        self._counted = 0.0

    def rate(self, now: float) -> float | None:
        """Requests per second; None for no limit."""
        if self._cut_to is None:
            return self._limit
        regained = 1 + REGAIN_PER_SECOND * max(0.0, now - self._cut_at)
        if regained > FORGET_AT:
            self._cut_to = None
            return self._limit
        return min(self._cut_to * regained, self._limit or math.inf)

    def count(self, now: float) -> None:
        """Note that a request goes now."""
        if self._since is None:
            self._since = self._counted = now
        self._recent = self._recent * math.exp(min(0.0, self._counted - now) / _WINDOW) + 1
        self._counted = now

    def cut(self, now: float, until: float) -> None:
        """Note that the service refused a request as too fast, and that nothing goes before `until`.

        Refusals until then, and a moment longer, answer earlier requests, so they cut no deeper. The pause
        itself is not counted: it makes the rate before it no slower, and the rate after it no faster.
        """
        if now >= self._cut_at + _SAME_REFUSAL:
            self._cut_to = CUT * min(self._present(now), self.rate(now) or math.inf)
        resumes = max(now, until, self._cut_at)
        if self._since is not None:
            pause = resumes - max(now, self._cut_at)
            self._since += pause
            self._counted += pause
        self._cut_at = resumes

    def _present(self, now: float) -> float:
        """The present rate: a decaying count, divided by the time that it covers."""
        if self._since is None:
            return 1.0
        recent = self._recent * math.exp(min(0.0, self._counted - now) / _WINDOW)
        stands_for = _WINDOW * -math.expm1((self._since - now) / _WINDOW)
        return max(recent, 1.0) / max(stands_for, 1.0)
