"""The rate at which requests may be sent. Pure: the caller passes the time.

A limit comes from the user, or from a service that answers 429. The SDK finds a service's limit by the share of
requests that are refused. If requests are sent at a rate r, a limit of L requests per second refuses the share
1 - L/r of them. So the rate of the accepted requests is L. After one cut to this rate, nothing is refused any more.
Other refusals come at random. Their share does not depend on the rate, so it is the same after a cut. This share is
then tolerated, and only a higher share cuts the rate again.
"""

from __future__ import annotations

import math

# If the share of refusals exceeds the tolerated share by MARGIN, the rate is cut to the rate of the accepted requests,
# but not to less than its part DEEPEST_CUT. After a cut, a share up to MOST_TOLERATED counts as random.
MARGIN = 0.08
MOST_TOLERATED = 0.1
DEEPEST_CUT = 0.25

# A refusal that holds all requests back (Retry-After) costs more than one request, so it counts as this many refusals.
HOLD_COUNTS = 3

# A cut rate grows with the square of the time: slowly near the limit that was found, then faster. It is doubled
# after DOUBLED_AFTER seconds. At FORGET_AT times the cut rate, the cut is forgotten.
DOUBLED_AFTER = 120.0
FORGET_AT = 4.0

# No cut goes below this rate: at a lower one, it would take minutes to see that a cut was too deep.
LOWEST = 0.25

# If a refusal comes within this many seconds after a cut, its request was probably sent before the cut.
_SAME_REFUSAL = 1.0

# The share of refusals and the present rate are measured over the last _WINDOW seconds, and at least _SAMPLE requests.
_WINDOW = 4.0
_SAMPLE = 50


class AdaptiveRate:
    """The rate at which requests of one kind may be sent, in requests per second.

    Args:
        limit: the user's limit, or None.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._limit = limit
        self._cut_to: float | None = None
        self._grows_from = -math.inf
        self._settled = -math.inf
        self._tolerated: float | None = 0.0
        # The last requests, their refusals, and the seconds that they cover. Older ones have less weight.
        self._sent = self._refused = self._seconds = 0.0
        self._counted_at = math.inf

    def rate(self, now: float) -> float | None:
        """Requests per second; None for no limit."""
        if self._cut_to is None:
            return self._limit
        regained = 1 + (max(0.0, now - self._grows_from) / DOUBLED_AFTER) ** 2
        if regained > FORGET_AT:
            self._cut_to = None
            return self._limit
        return min(self._cut_to * regained, self._limit or math.inf)

    def count(self, now: float) -> None:
        """Note that a request is sent now."""
        if now < self._settled:
            return
        passed = min(max(0.0, now - self._counted_at), _WINDOW)  # a long idle time says little about the rate
        kept = max(math.exp(-passed / _WINDOW), 1 - 1 / _SAMPLE)
        self._sent, self._refused = self._sent * kept + 1, self._refused * kept
        self._seconds = self._seconds * kept + passed
        self._counted_at = now
        if self._tolerated is None and self._sent >= _SAMPLE / 2 and self._seconds >= _WINDOW / 2:
            self._tolerated = min(self._refused / self._sent, MOST_TOLERATED)

    def count_refusal(self, now: float, until: float) -> None:
        """Note that the service refused a request because requests are too fast. Nothing is sent before `until`.

        The pause is not counted: it does not lower the measured rate, and a cut rate does not grow during it.
        """
        pause = max(0.0, until - max(now, self._counted_at))
        self._counted_at += pause
        self._grows_from += pause
        if now < self._settled:
            return
        self._refused += HOLD_COUNTS if until > now else 1
        present = min(self.rate(now) or math.inf, max(self._sent, 1.0) / max(self._seconds, 1.0))
        most = math.inf if self._tolerated is None else self._tolerated + MARGIN
        if self._refused > most * max(self._sent, _SAMPLE):
            accepted = max(DEEPEST_CUT, 1 - self._refused / max(self._sent, 1.0))
            self._cut_to = max(accepted * present, LOWEST)
            self._grows_from = max(now, until)
            self._settled = now + _SAME_REFUSAL
            self._counted_at = max(until, self._settled)
            self._sent = self._refused = self._seconds = 0.0
            self._tolerated = None
        elif until > now and self._cut_to is None and self._sent >= _SAMPLE / 2:
            # So the waiting requests are not all sent at once.
            self._cut_to, self._grows_from = present, until
