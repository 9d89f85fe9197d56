"""The numbers of a batch: percentiles, a histogram of latencies, a timeline, spend and failures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import attrs

from foxapi_async._ledger.protocol import Totals
from foxapi_async.report._manifest import ReportItem

_BARS = 40
# Steps that are easy to add up.
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_DAY = 86_400.0
_TIMES = (1.0, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
STATES = ("done", "unsaved", "failed", "uncertain", "other")


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value such that `percent` % of all values are not greater. `ordered` is sorted, and not empty."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def nice_step(span: float, count: int) -> float:
    """The least round step with which at most `count` steps cover the span; 1 if the span is almost zero."""
    if span < 1e-6:
        return 1.0
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    return next(nice * power for nice in _NICE if nice * power >= raw * (1 - 1e-9))


@attrs.frozen
class Histogram:
    """How many values fall into each step of `step` seconds from 0. `beyond` counts the values after the last
    step.
    """

    step: float
    counts: tuple[int, ...]
    beyond: int
    p50: float
    p95: float
    p99: float


def histogram_of(values: Iterable[float]) -> Histogram | None:
    """The histogram of latencies in seconds. A few very long ones do not squeeze all others into one bar."""
    ordered = sorted(values)
    if not ordered:
        return None
    p50, p95, p99 = (percentile(ordered, percent) for percent in (50, 95, 99))
    end = min(ordered[-1], 1.5 * p99)
    step = nice_step(end, _BARS)
    places = Counter(int(value / step) for value in ordered)
    size = min(int(end / step) + 1, _BARS + 1)
    counts = tuple(places[place] for place in range(size))
    return Histogram(step, counts, len(ordered) - sum(counts), p50, p95, p99)


@attrs.frozen
class Timeline:
    """How many items ended in each step of `step` seconds from `start` (Unix time), in the order of STATES."""

    start: float
    step: float
    counts: tuple[tuple[int, ...], ...]


def state_of(status: str) -> str:
    """The status, or "other" if this page does not know it."""
    return status if status in STATES else "other"


def timeline_of(items: Iterable[ReportItem]) -> Timeline | None:
    """When the items ended; None if no time is known."""
    ends = [(item.finished, state_of(item.status)) for item in items if item.finished is not None]
    if not ends:
        return None
    start = min(end for end, _ in ends)
    span = max(end for end, _ in ends) - start
    whole_days = nice_step(max(span / _DAY, 1.0), _BARS) * _DAY
    step = next((time for time in _TIMES if time * _BARS >= span), whole_days)
    places = Counter((int((end - start) / step), state) for end, state in ends)
    size = int(span / step) + 1
    counts = tuple(tuple(places[place, state] for state in STATES) for place in range(size))
    return Timeline(start, step, counts)


@attrs.frozen
class Spend:
    """The credits of a batch.

    Attributes:
        by_status: the credits in the last lines of the items, for each status.
        others: the credits of earlier submits of the same items, and of running tasks, which have no line yet.
        unknown: the number of items without a known amount.
    """

    by_status: dict[str, float]
    others: float
    unknown: int

    @property
    def total(self) -> float:
        """The sum of all: failed and uncertain items count as spent."""
        return math.fsum([*self.by_status.values(), self.others])


def spend_of(items: Iterable[ReportItem], totals: Totals | None) -> Spend:
    """The credits that the service reported for the items. If the ledger's `totals` are given, they decide the sum."""
    credits_by_state: dict[str, list[float]] = {}
    unknown = 0
    for item in items:
        if item.credits is None:
            unknown += 1
        else:
            credits_by_state.setdefault(state_of(item.status), []).append(item.credits)
    by_status = {state: math.fsum(credits_by_state[state]) for state in STATES if state in credits_by_state}
    if totals is None:
        return Spend(by_status, 0.0, unknown)
    return Spend(by_status, round(totals.spent - math.fsum(by_status.values()), 6), totals.unpriced)
