"""How scarce a rate limit makes the polls of a session, and what a poll costs then. Pure."""

from __future__ import annotations


class Demand:
    """The polls per second that all tasks would take without a limit, and how scarce a limit makes them.

    Let c be the price of a poll, and h the hazard of a task; see `inspection`. If c grows by the factor m, the
    density of polls n = √(h / 2c) shrinks by the factor √m, for any h. So the factor m = (demand / limit)² on
    the price of every task brings the total to the limit. No other division of the limit has less total lag,
    because each poll goes to the task where it saves most.

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
