"""Decides which fault of the script applies to which request."""

import random
from collections.abc import Callable
from typing import get_args

import attrs

from ._faults import Fault
from ._occasions import On, Request


@attrs.frozen
class About:
    """The known facts of a request."""

    model: str | None = None
    prompt: str | None = None


NOTHING_KNOWN = About()


@attrs.define
class _Line:
    """One fault of the script, with its counts."""

    fault: Fault
    seen: int = 0
    fired: int = 0

    def matches(self, on: On, about: About, now: float, *, edge: bool) -> bool:
        """Whether the request fits this fault: its kind, its text and its time."""
        fault = self.fault
        kind = fault.on == on or (fault.on == "all" and on in get_args(Request))
        fits = fault.model in (about.model or "") and fault.prompt in (about.prompt or "")
        return kind and fits and fault.in_front == edge and fault.since <= now < fault.until

    def due(self, chance: random.Random) -> bool:
        """Whether this fault applies to the matching request that was just counted."""
        fault = self.fault
        if self.seen <= fault.after or (fault.times is not None and self.fired >= fault.times):
            return False
        return fault.probability >= 1 or chance.random() < fault.probability


class Script:
    """The faults, in the order in which they were given. Each request gets at most one."""

    def __init__(self, faults: tuple[Fault, ...], seed: int, age: Callable[[], float]) -> None:
        self._lines = [_Line(fault) for fault in faults]
        self._age = age
        # Reproducible random numbers for tests. They protect no secret.
        self._chance = random.Random(f"faults {seed}")  # noqa: S311
        self.fired = 0

    def add(self, fault: Fault) -> None:
        """Append a fault. One append is atomic, so other threads may do it while the server runs."""
        self._lines.append(_Line(fault))

    @property
    def has_an_edge(self) -> bool:
        """Whether the script has an edge fault."""
        return any(line.fault.in_front for line in self._lines)

    def take(self, on: On, about: About = NOTHING_KNOWN, *, edge: bool = False) -> Fault | None:
        """The fault that applies to this request, if any.

        Every matching fault counts the request, so the `after` of a fault does not depend on earlier faults.

        Args:
            on: The occasion.
            about: The known facts of the request.
            edge: True takes an edge fault, False a fault of the service behind the edge.
        """
        now = self._age()
        matching = [line for line in self._lines if line.matches(on, about, now, edge=edge)]
        for line in matching:
            line.seen += 1
        chosen = next((line for line in matching if line.due(self._chance)), None)
        if chosen is None:
            return None
        chosen.fired += 1
        self.fired += 1
        return chosen.fault
