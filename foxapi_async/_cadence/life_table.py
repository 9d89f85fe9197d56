"""What was seen of tasks' lifetimes, as an actuary keeps it: a life table on a grid of ln x.

Nobody sees a task finish: it finished somewhere between two polls (*interval-censored*), before the first one
(*left-censored*), or it has not finished when it was last looked at (*right-censored*). All are kept, at the points of
a grid; an interval between two polls is short, and what ends there is divided among its points. Leaving out any of them
biases what is learned: only tasks that were quick have finished yet.

Each task counts with the weight it was born with, which grows from birth to birth, so that old ones fade against new
ones. A weight that depended on when a task *ended* would itself favour the quick ones.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

# Weights grow by exp(1 / memory) from birth to birth: before they leave the range of floats, all are scaled.
_REBASE_AT = 200.0

_NAMES = ("ended", "ended_before", "running")

# Shares below this, in tasks, say nothing.
_NEGLIGIBLE = 1e-6


@attrs.frozen
class Grid:
    """Growing values of ln x; what lies beyond counts at the outermost."""

    points: tuple[float, ...]

    def position(self, x: float) -> float:
        """Where x lies, counted in points."""
        log_x = math.log(x) if x > 0 else -math.inf
        i = bisect.bisect_right(self.points, log_x, 1, len(self.points) - 1)
        low, high = self.points[i - 1], self.points[i]
        return i - 1 + min(max((log_x - low) / (high - low), 0.0), 1.0)

    def at(self, position: float) -> tuple[float, float]:
        """The value of ln x at a position, and the distance of the points round it."""
        i = min(int(position), len(self.points) - 2)
        width = self.points[i + 1] - self.points[i]
        return self.points[i] + (position - i) * width, width

    def grouping(self, i: int) -> float:
        """The variance of ln x that is added by counting what lies round a point as if it lay there: a sixth of the
        squared distance of the points, because what lies between two counts by parts at both (after Sheppard, 1898).
        """
        return self.at(i)[1] ** 2 / 6


@attrs.frozen
class Row:
    """At one value of ln x: how many tasks ended, ended somewhere before it, and were last seen running."""

    log_x: float
    ended: float
    ended_before: float
    running: float
    grouping: float


class LifeTable:
    """Tasks by the ratio `actual / estimated` at which they ended or were last seen running."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._ended, self._ended_before, self._running = ([0.0] * len(grid.points) for _ in range(3))
        self._now = 0.0
        self._base = 0.0

    def born(self, memory: float) -> float:
        """The logarithm of a new task's weight; those born `memory` births before it weigh e times less."""
        self._now += 1.0 / memory
        if self._now - self._base > _REBASE_AT:
            self._scale(math.exp(self._base - self._now))
            self._base = self._now
        return self._now

    def runs(self, log_weight: float, before: float, x: float) -> None:
        """A task that was last seen running at `before` (0: never) still runs at x."""
        weight = self._weight(log_weight)
        if before > 0:
            _spread(self._running, self.grid.position(before), -weight)
        _spread(self._running, self.grid.position(x), weight)

    def ended(self, log_weight: float, before: float, shares: Iterable[tuple[float, float]]) -> None:
        """A task that was last seen running at `before` ended; `shares` are positions and how likely it was there."""
        weight = self._weight(log_weight)
        if before > 0:
            _spread(self._running, self.grid.position(before), -weight)
        for position, share in shares:
            _spread(self._ended, position, weight * share)

    def ended_before(self, log_weight: float, x: float) -> None:
        """A task that was never seen running had ended at x."""
        _spread(self._ended_before, self.grid.position(x), self._weight(log_weight))

    def rows(self) -> list[Row]:
        """All that is not empty, in tasks of the present weight."""
        return list(self._rows())

    def _rows(self) -> Iterator[Row]:
        scale = math.exp(self._base - self._now)
        for i, shares in enumerate(zip(*self._columns(), strict=True)):
            ended, before, running = (max(0.0, share * scale) for share in shares)
            if ended + before + running > _NEGLIGIBLE:
                yield Row(self.grid.points[i], ended, before, running, self.grid.grouping(i))

    def _columns(self) -> tuple[list[float], list[float], list[float]]:
        return self._ended, self._ended_before, self._running

    def _weight(self, log_weight: float) -> float:
        return math.exp(log_weight - self._base)

    def _scale(self, factor: float) -> None:
        for column in self._columns():
            column[:] = [share * factor for share in column]

    # Saved and loaded.

    def to_dict(self) -> dict[str, list[float]]:
        """The shares, in tasks of the present weight, as JSON can hold them."""
        scale = math.exp(self._base - self._now)
        columns = ([round(max(0.0, share) * scale, 4) for share in column] for column in self._columns())
        return dict(zip(_NAMES, columns, strict=True))

    def load(self, saved: Mapping[str, Sequence[float]], most: float) -> None:
        """Take saved shares as one's own, as at most `most` tasks.

        Raises:
            ValueError: they are no shares on this grid.
        """
        columns = [[float(share) for share in saved[name]] for name in _NAMES]
        total = sum(map(sum, columns))
        right = all(len(column) == len(self.grid.points) and min(column) >= 0 for column in columns)
        if not right or not math.isfinite(total):
            raise ValueError("no life table on this grid")
        for own, column in zip(self._columns(), columns, strict=True):
            own[:] = column
        self._base = self._now
        self._scale(min(1.0, most / max(total, 1.0)))


def _spread(shares: list[float], position: float, weight: float) -> None:
    """Add a weight between two points, by how near it lies to each."""
    i = min(int(position), len(shares) - 2)
    part = position - i
    shares[i] += weight * (1 - part)
    shares[i + 1] += weight * part
