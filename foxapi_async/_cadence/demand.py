"""How scarce a limit makes the polls of a session, and what a poll costs then. Pure."""

from __future__ import annotations


class Demand:
    """How many polls a second all tasks would take at their own price, and how scarce a limit makes them.

    Polls of density n = √(h / 2c) take √m times fewer when c is m times dearer, whatever the hazard h. So one price for
    all, m = (demand / limit)², brings the whole to the limit, and that is the division with the least total lag:
    a poll goes where it saves most.

    Attributes:
        total: polls a second that all tasks would take.
    """

    def __init__(self) -> None:
        self.total = 0.0

    def scarcity(self, rate: float | None) -> float:
        """How many times its own price a poll costs: 1 where there is no limit or enough of it."""
        times = 1.0 if rate is None else max(1.0, self.total / rate)
        return times * times  # a power would raise where this is infinite

    def change(self, before: float, after: float) -> None:
        """One task's share, in polls a second, changes."""
        self.total = max(0.0, self.total - before + after)
