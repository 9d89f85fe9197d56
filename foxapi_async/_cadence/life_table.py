"""The observed lifetimes of tasks: a life table, as insurers keep it, on a grid of ln x.

No poll sees the moment when a task ends. The task ended between two polls (*interval-censored*), or before
the first one (*left-censored*), or it still ran at the last one (*right-censored*). The table keeps all three
kinds, at the points of a grid. An interval between two polls is short, and an end in it is divided among its
points. Leaving out any kind biases the result: the tasks that have ended so far are the quick ones.

Each task counts with the weight that it got at its birth. Weights grow from birth to birth, so old tasks count less
than new ones. A weight that depended on when a task *ended* would favour the quick ones.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

# Weights grow by exp(1 / memory) from birth to birth. Before they leave the range of floats, all are scaled.
_REBASE_AT = 200.0

_NAMES = ("ended", "ended_before", "running")

# A row with less than this part of a task is left out.
_NEGLIGIBLE = 1e-6


@attrs.frozen
class Grid:
    """Growing values of ln x. A value beyond the grid counts at its nearest end."""

    points: tuple[float, ...]

    def position(self, x: float) -> float:
        """The position of x on the grid, counted in points."""
        log_x = math.log(x) if x > 0 else -math.inf
        i = bisect.bisect_right(self.points, log_x, 1, len(self.points) - 1)
        low, high = self.points[i - 1], self.points[i]
        return i - 1 + min(max((log_x - low) / (high - low), 0.0), 1.0)

    def at(self, position: float) -> tuple[float, float]:
        """The value of ln x at a position, and the distance of the points around it."""
        i = min(int(position), len(self.points) - 2)
        width = self.points[i + 1] - self.points[i]
        return self.points[i] + (position - i) * width, width

    def grouping(self, i: int) -> float:
        """The variance of ln x that is added by counting values around a point as if they were at the point.

        It is a sixth of the squared distance of the points, because a value between two points counts in
        parts at both (after Sheppard, 1898).
        """
        return self.at(i)[1] ** 2 / 6


@attrs.frozen
class LifeTableRow:
    """At one value of ln x: how many tasks ended, ended before it, and were last seen running."""

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

    def add(self, memory: float) -> float:
        """The logarithm of a new task's weight. A task born `memory` births earlier weighs e times less."""
        self._now += 1.0 / memory
        if self._now - self._base > _REBASE_AT:
            self._scale(math.exp(self._base - self._now))
            self._base = self._now
        return self._now

    def runs(self, log_weight: float, before: float, x: float) -> None:
        """Note that a task that was last seen running at `before` (0: never) still runs at x."""
        weight = self._weight(log_weight)
        if before > 0:
            _spread(self._running, self.grid.position(before), -weight)
        _spread(self._running, self.grid.position(x), weight)

    def ended(self, log_weight: float, before: float, shares: Iterable[tuple[float, float]]) -> None:
        """Note that a task that was last seen running at `before` ended. `shares` are positions with their
        probabilities.
        """
        weight = self._weight(log_weight)
        if before > 0:
            _spread(self._running, self.grid.position(before), -weight)
        for position, share in shares:
            _spread(self._ended, position, weight * share)

    def ended_before(self, log_weight: float, x: float) -> None:
        """Note that a task that was never seen running had ended at x."""
        _spread(self._ended_before, self.grid.position(x), self._weight(log_weight))

    def rows(self) -> list[LifeTableRow]:
        """The rows that are not empty. Their unit is a task that is added now."""
        return list(self._rows())

    def _rows(self) -> Iterator[LifeTableRow]:
        scale = math.exp(self._base - self._now)
        for i, shares in enumerate(zip(*self._columns(), strict=True)):
            ended, before, running = (max(0.0, share * scale) for share in shares)
            if ended + before + running > _NEGLIGIBLE:
                yield LifeTableRow(self.grid.points[i], ended, before, running, self.grid.grouping(i))

    def _columns(self) -> tuple[list[float], list[float], list[float]]:
        return self._ended, self._ended_before, self._running

    def _weight(self, log_weight: float) -> float:
        return math.exp(log_weight - self._base)

    def _scale(self, factor: float) -> None:
        for column in self._columns():
            column[:] = [share * factor for share in column]

    # Saving and loading.

    def to_dict(self) -> dict[str, list[float]]:
        """The shares as JSON values. Their unit is a task that is added now."""
        scale = math.exp(self._base - self._now)
        columns = ([round(max(0.0, share) * scale, 4) for share in column] for column in self._columns())
        return dict(zip(_NAMES, columns, strict=True))

    def load(self, saved: Mapping[str, Sequence[float]], most: float) -> None:
        """Begin with saved shares, counted as at most `most` tasks.

        Raises:
            ValueError: they are not shares on this grid.
        """
        columns = [[float(share) for share in saved[name]] for name in _NAMES]
        total = sum(map(sum, columns))
        is_valid = all(len(column) == len(self.grid.points) and min(column) >= 0 for column in columns)
        if not is_valid or not math.isfinite(total):
            raise ValueError("no life table on this grid")
        for own, column in zip(self._columns(), columns, strict=True):
            own[:] = column
        self._base = self._now
        self._scale(min(1.0, most / max(total, 1.0)))


def _spread(shares: list[float], position: float, weight: float) -> None:
    """Divide a weight between the two points around a position, by distance."""
    i = min(int(position), len(shares) - 2)
    part = position - i
    shares[i] += weight * (1 - part)
    shares[i + 1] += weight * part
