"""How long tasks take: a distribution of `actual / estimated` time, and what follows from it.

A mixture of lognormal components on the ratio x. Two functionals of it matter here:

- the *hazard rate* h(x) = f(x) / S(x), f the density and S the survival function: how likely a task that is
  still running finishes just now;
- the *poll integral* G(x) = ∫₀ˣ √h(u) du: `_cadence` places polls where it grows by equal steps.

Both are tabulated once for each distribution, on a grid that is even in ln x.
"""

from __future__ import annotations

import bisect
import functools
import math

import attrs

# Ratios beyond these hold no poll that matters: 1e-4 of an estimate is a millisecond or so, 1e4 of it days.
_LOWEST, _HIGHEST, _STEP = math.log(1e-4), math.log(1e4), 0.04

_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)


@attrs.frozen
class LogNormal:
    """One component: `weight` of all tasks have ln x normal around `centre` with standard deviation `spread`."""

    weight: float
    centre: float
    spread: float

    def log_survival(self, log_x: float) -> float:
        """ln of weight · S(x)."""
        return math.log(self.weight) + _log_normal_survival((log_x - self.centre) / self.spread)

    def log_density(self, log_x: float) -> float:
        """ln of weight · f(x)."""
        z = (log_x - self.centre) / self.spread
        return math.log(self.weight) - z * z / 2 - _LOG_ROOT_TWO_PI - math.log(self.spread) - log_x


def _log_normal_survival(z: float) -> float:
    """ln of the standard normal's upper tail; beyond z = 30, where it underflows, by Mills' ratio (1926)."""
    if z < 30:
        return math.log(0.5 * math.erfc(z / math.sqrt(2)))
    return -z * z / 2 - _LOG_ROOT_TWO_PI - math.log(z) - 1 / (z * z)


def _log_sum(logs: list[float]) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(value - top) for value in logs))


# Points x, and at each G(x) and -ln S(x).
Table = tuple[list[float], list[float], list[float]]


@attrs.frozen(slots=False)
class Durations:
    """A mixture of lognormals, with its table."""

    parts: tuple[LogNormal, ...]

    def hazard(self, x: float) -> float:
        """h(x), per unit of x."""
        log_x = math.log(x)
        density = _log_sum([part.log_density(log_x) for part in self.parts])
        return math.exp(density - self.log_survival(log_x))

    def log_survival(self, log_x: float) -> float:
        """ln S(x)."""
        return _log_sum([part.log_survival(log_x) for part in self.parts])

    @functools.cached_property
    def table(self) -> Table:
        """All three growing; the first point is 0, 0, 0."""
        xs, integrals, fallen = [0.0], [0.0], [0.0]
        root_before = 0.0
        for i in range(round((_HIGHEST - _LOWEST) / _STEP) + 1):
            log_x = _LOWEST + i * _STEP
            x = math.exp(log_x)
            root = math.sqrt(self.hazard(x))
            integrals.append(integrals[-1] + (x - xs[-1]) * (root + root_before) / 2 + 1e-12)
            fallen.append(max(-self.log_survival(log_x), fallen[-1] + 1e-12))
            xs.append(x)
            root_before = root
        return xs, integrals, fallen

    def poll_integral(self, x: float) -> float:
        """G(x), linear between the points of the table and beyond its end."""
        xs, integrals, _ = self.table
        return _interpolate(xs, integrals, x)

    def inverse_poll_integral(self, value: float) -> float:
        """The x at which G(x) is `value`."""
        xs, integrals, _ = self.table
        return _interpolate(integrals, xs, value)

    def median_residual(self, x: float) -> float:
        """The median of what a task still needs that has run for x: S(x + m) = S(x) / 2."""
        xs, _, fallen = self.table
        half = _interpolate(xs, fallen, x) + math.log(2)
        return max(0.0, _interpolate(fallen, xs, half) - x)


def _interpolate(points: list[float], values: list[float], at: float) -> float:
    """Linear between growing points, with the last slope beyond the end."""
    i = bisect.bisect_right(points, at, 1, len(points) - 1)
    slope = (values[i] - values[i - 1]) / (points[i] - points[i - 1])
    return values[i - 1] + (at - points[i - 1]) * slope
