"""How long tasks take: a distribution of `actual / estimated` time, and functions of it.

The ratio x is distributed as a mixture of lognormal components, with density f and survival function S. Two
functions of it decide when to poll:

- the *hazard rate* h(x) = f(x) / S(x): the rate at which the tasks that still run at x finish then;
- the *cumulative hazard* H(x) = ∫₀ˣ h = -ln S(x).

Both are tabulated once for each distribution, densely where a component has its mass.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Iterable, Iterator

import attrs

# No poll outside these ratios matters: 1e-4 of an estimate is about a millisecond, 1e4 of it is days.
_LOWEST, _HIGHEST, _COARSE = math.log(1e-4), math.log(1e4), 0.15

# A component is tabulated densely at these distances from its centre, in standard deviations, if it has more than a share
# of `_WORTH_A_FINE_GRID` of all tasks. At the upper end, 1e-15 of its tasks still run.
_FINE = tuple(0.25 * i for i in range(-20, 33))
_WORTH_A_FINE_GRID = 0.001

_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)
_ROOT_TWO = math.sqrt(2)
_TINY = 1e-250


@attrs.frozen
class LogNormal:
    """One component: for the share `weight` of all tasks, ln x is normal around `centre` with standard
    deviation `spread`.
    """

    weight: float
    centre: float
    spread: float

    def log_survival(self, log_x: float) -> float:
        """ln of weight · S(x)."""
        return math.log(self.weight) + log_normal_survival((log_x - self.centre) / self.spread)

    def log_density(self, log_x: float) -> float:
        """ln(weight · density of ln x). Minus ln x, it is ln(weight · density of x)."""
        z = (log_x - self.centre) / self.spread
        return math.log(self.weight / self.spread) - z * z / 2 - _LOG_ROOT_TWO_PI


def log_normal_survival(z: float) -> float:
    """ln of the standard normal's upper tail.

    From z = 30 on, before `erfc` underflows, it comes from the asymptotic series of Mills' ratio (1926).
    """
    if z < 30:
        return math.log(0.5 * math.erfc(z / _ROOT_TWO))
    return -z * z / 2 - _LOG_ROOT_TWO_PI - math.log(z) - 1 / (z * z) + 2.5 / z**4


def normal_hazard(z: float) -> float:
    """The standard normal's density divided by its upper tail. It is also the mean of the values above z."""
    return math.exp(-z * z / 2 - _LOG_ROOT_TWO_PI - log_normal_survival(z))


def log_sum(logs: Iterable[float]) -> float:
    """ln of the sum of the numbers whose logarithms are given."""
    logs = list(logs)
    top = max(logs)
    return top + math.log(sum(math.exp(value - top) for value in logs))


@attrs.frozen
class Table:
    """Three lists of one length: growing points x from 0, the cumulative hazard at each, and the hazard rate at each."""

    xs: list[float]
    cumulative_hazards: list[float]
    hazards: list[float]


@attrs.frozen(slots=False)
class Durations:
    """A mixture of lognormals, with its table."""

    parts: tuple[LogNormal, ...]

    def hazard(self, x: float) -> float:
        """h(x), per unit of x."""
        log_x = math.log(x)
        density = log_sum(part.log_density(log_x) for part in self.parts) - log_x
        return math.exp(density - self.log_survival(log_x))

    def log_survival(self, log_x: float) -> float:
        """ln S(x)."""
        return log_sum(part.log_survival(log_x) for part in self.parts)

    @functools.cached_property
    def table(self) -> Table:
        """See `Table`."""
        xs, cumulative_hazards, hazards = [0.0], [0.0], [0.0]
        for log_x, survival, density in self._plain(self._grid()):
            x = math.exp(log_x)
            plain = survival > _TINY
            cumulative = -math.log(survival) if plain else -self.log_survival(log_x)
            least = cumulative_hazards[-1] + 1e-12
            xs.append(x)
            cumulative_hazards.append(max(least, cumulative))
            hazards.append(density / (survival * x) if plain else self.hazard(x))
        return Table(xs, cumulative_hazards, hazards)

    def _plain(self, logs: Iterable[float]) -> Iterator[tuple[float, float, float]]:
        """For each ln x: ln x, S, and the density of ln x. S and the density are not logarithms. This is ten times faster,
        but very small values underflow.
        """
        parts = [
            (part.centre, part.spread, 0.5 * part.weight, part.weight / part.spread) for part in self.parts
        ]
        erfc, exp = math.erfc, math.exp  # local names are faster, and a table is made after every few tasks
        for log_x in logs:
            survival = density = 0.0
            for centre, spread, half, height in parts:
                z = (log_x - centre) / spread
                survival += half * erfc(z / _ROOT_TWO)
                density += height * exp(-z * z / 2 - _LOG_ROOT_TWO_PI)
            yield log_x, survival, density

    def _grid(self) -> list[float]:
        """Values of ln x: coarse everywhere, fine around each component."""
        count = round((_HIGHEST - _LOWEST) / _COARSE)
        points = {_LOWEST + i * _COARSE for i in range(count + 1)}
        for part in self.parts:
            if part.weight > _WORTH_A_FINE_GRID:
                points.update(part.centre + z * part.spread for z in _FINE)
        return sorted(point for point in points if _LOWEST <= point <= _HIGHEST)

    def cumulative_hazard(self, x: float) -> float:
        """H(x), linear between the points of the table and beyond its end."""
        return _interpolate(self.table.xs, self.table.cumulative_hazards, x)

    def quantile(self, cumulative: float) -> float:
        """The x at which H(x) equals `cumulative`: ln 2 gives the median."""
        return _interpolate(self.table.cumulative_hazards, self.table.xs, cumulative)

    def median_residual(self, x: float) -> float:
        """The median of the time that a task still needs after it has run for x: S(x + m) = S(x) / 2."""
        return max(0.0, self.quantile(self.cumulative_hazard(x) + math.log(2)) - x)


def _interpolate(points: list[float], values: list[float], at: float) -> float:
    """Linear interpolation between growing points, with the last slope beyond the end."""
    i = bisect.bisect_right(points, at, 1, len(points) - 1)
    slope = (values[i] - values[i - 1]) / (points[i] - points[i - 1])
    return values[i - 1] + (at - points[i - 1]) * slope
