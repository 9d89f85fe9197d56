"""How fast requests may go, and what that makes a poll worth. Pure: moments come from outside.

A limit is the user's, or what a service that answers 429 will bear. The second is found as TCP finds the capacity of a
link: cut at once, raised slowly (additive increase, multiplicative decrease; Chiu & Jain, 1989).
"""

from __future__ import annotations

import math

# After a refusal the pace is this share of what it was; from there it grows by that share of itself a second.
CUT = 0.7
REGAIN_PER_SECOND = 0.02

# A cut is forgotten once the pace may be so many times what it was cut to.
FORGET_AT = 4.0

# Refusals so many seconds after a cut are answers to requests that went before it.
_SAME_REFUSAL = 1.0

# Over how many seconds the present pace is averaged.
_WINDOW = 10.0


class AdaptiveRate:
    """The rate at which requests of one kind may go, in requests a second.

    Args:
        limit: the user's; None for none.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._limit = limit
        self._cut_to: float | None = None
        self._cut_at = -math.inf  # from when on the pace grows again
        self._since: float | None = None
        self._recent = 0.0
        self._counted = 0.0

    def rate(self, now: float) -> float | None:
        """Requests a second; None for as many as one likes."""
        if self._cut_to is None:
            return self._limit
        regained = 1 + REGAIN_PER_SECOND * max(0.0, now - self._cut_at)
        if regained > FORGET_AT:
            self._cut_to = None
            return self._limit
        return min(self._cut_to * regained, self._limit or math.inf)

    def count(self, now: float) -> None:
        """A request goes now."""
        if self._since is None:
            self._since = self._counted = now
        self._recent = self._recent * math.exp(min(0.0, self._counted - now) / _WINDOW) + 1
        self._counted = now

    def cut(self, now: float, until: float) -> None:
        """The service refused a request for going too fast, and nothing goes before `until`.

        Until then, and a moment longer, refusals are answers to what went before, and cut no deeper. The pause itself
        counts for nothing: it makes the pace before it no slower, and the pace after it no faster.
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
        """The present rate: a decaying count over the time that it stands for."""
        if self._since is None:
            return 1.0
        recent = self._recent * math.exp(min(0.0, self._counted - now) / _WINDOW)
        stands_for = _WINDOW * -math.expm1((self._since - now) / _WINDOW)
        return max(recent, 1.0) / max(stands_for, 1.0)
