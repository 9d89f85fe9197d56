"""Which fault of the script strikes which request."""

import random
from collections.abc import Callable
from typing import get_args

import attrs

from ._faults import Fault, On, Request


@attrs.frozen
class About:
    """What a request is about, as far as it is known."""

    model: str | None = None
    prompt: str | None = None


NOTHING_KNOWN = About()


@attrs.define
class _Line:
    """One fault of the script and how far it has come."""

    fault: Fault
    seen: int = 0
    fired: int = 0

    def matches(self, on: On, about: About, now: float, *, edge: bool) -> bool:
        """Whether the request is of the kind this fault was written for, and comes at its time."""
        fault = self.fault
        kind = fault.on == on or (fault.on == "all" and on in get_args(Request))
        aimed = fault.model in (about.model or "") and fault.prompt in (about.prompt or "")
        return kind and aimed and fault.in_front == edge and fault.since <= now < fault.until

    def due(self, chance: random.Random) -> bool:
        """Whether the matching request just counted is one that this fault strikes."""
        fault = self.fault
        if self.seen <= fault.after or (fault.times is not None and self.fired >= fault.times):
            return False
        return fault.probability >= 1 or chance.random() < fault.probability


class Script:
    """The faults in the order written; hands out at most one per request."""

    def __init__(self, faults: tuple[Fault, ...], seed: int, age: Callable[[], float]) -> None:
        self._lines = [_Line(fault) for fault in faults]
        self._age = age
        # Reproducible chance for tests, nothing secret.
        self._chance = random.Random(f"faults {seed}")  # noqa: S311
        self.fired = 0

    def add(self, fault: Fault) -> None:
        """Append a fault; one append is atomic, so other threads may do it while the server runs."""
        self._lines.append(_Line(fault))

    @property
    def has_an_edge(self) -> bool:
        """Whether any fault is one of the edge."""
        return any(line.fault.in_front for line in self._lines)

    def take(self, on: On, about: About = NOTHING_KNOWN, *, edge: bool = False) -> Fault | None:
        """The fault that strikes this request, if any.

        Every matching line counts the request, so `after` means the same whatever stands before it.

        Args:
            on: The occasion.
            about: What the request is about.
            edge: Whether the edge is asked, or the service behind it.
        """
        now = self._age()
        matching = [line for line in self._lines if line.matches(on, about, now, edge=edge)]
        for line in matching:
            line.seen += 1
        struck = next((line for line in matching if line.due(self._chance)), None)
        if struck is None:
            return None
        struck.fired += 1
        self.fired += 1
        return struck.fault
