"""How scarce a rate limit makes the polls of a session, and what a poll costs then. Pure."""

from __future__ import annotations


class Demand:
    """The polls per second that all tasks would take without a limit, and how scarce a limit makes them.

    If c is m times higher, polls of density n = √(h / 2c) become √m times fewer, for any hazard h. So one
    price for all, m = (demand / limit)², brings the total to the limit. This division has the least total
    lag: each poll goes where it saves most.

    Attributes:
        total: polls per second that all tasks would take.
    """

    def __init__(self) -> None:
        self.total = 0.0

    def scarcity(self, rate: float | None) -> float:
        """The factor on a poll's own price: 1 if there is no limit, or if the limit is high enough."""
        times = 1.0 if rate is None else max(1.0, self.total / rate)
        return times * times  # `**` would raise if the result is too large

    def change(self, before: float, after: float) -> None:
        """Change one task's share of the demand, in polls per second."""
        self.total = max(0.0, self.total - before + after)
