"""The least that polling can cost where the distribution of durations is known: exact, by dynamic programming.

The schedule may only use the points of a fine grid; nothing else is assumed of it or of the distribution.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import attrs

Survival = Callable[[float], float]

_POINTS = 3000
_REST = 1e-6


@attrs.frozen
class Mixture:
    """Lognormals: weight, median and spread of ln x of each."""

    parts: tuple[tuple[float, float, float], ...]

    def survival(self, x: float) -> float:
        """The share of tasks that take longer than x."""
        if x <= 0:
            return 1.0
        return sum(
            weight * 0.5 * math.erfc(math.log(x / median) / spread / math.sqrt(2))
            for weight, median, spread in self.parts
        )


@attrs.frozen
class HeavyTail:
    """A least time, and a log-logistic on top of it: what queues and retries at a service look like."""

    least: float
    median: float
    shape: float

    def survival(self, x: float) -> float:
        """The share of tasks that take longer than x."""
        if x <= self.least:
            return 1.0
        return 1 / (1 + ((x - self.least) / self.median) ** self.shape)


@attrs.frozen
class Stretched:
    """Another distribution, slowed down by a factor."""

    inner: Mixture | HeavyTail
    factor: float

    def survival(self, x: float) -> float:
        """The share of tasks that take longer than x."""
        return self.inner.survival(x / self.factor)


Distribution = Mixture | HeavyTail | Stretched


def inverse_survival(distribution: Distribution, share: float) -> float:
    """The x that the given share of tasks exceeds, by bisection on ln x."""
    low, high = -12.0, 12.0
    for _ in range(60):
        middle = (low + high) / 2
        if distribution.survival(math.exp(middle)) > share:
            low = middle
        else:
            high = middle
    return math.exp(low)


@attrs.frozen
class Schedule:
    """Ages at which to look, and what that costs on average; times are in the unit of the distribution."""

    ages: list[float]
    mean_duration: float
    mean_polls: float
    mean_lag: float

    def cost_of(self, seconds: float, price: float) -> float:
        """What it costs for a task that takes so long; beyond the last age, its gap goes on."""
        last, gap = self.ages[-1], self.ages[-1] - self.ages[-2]
        for number, age in enumerate(self.ages, 1):
            if age >= seconds:
                return age - seconds + price * number
        more = math.ceil((seconds - last) / gap)
        return last + more * gap - seconds + price * (len(self.ages) + more)


def optimal_schedule(distribution: Distribution, price: float) -> Schedule:
    """The schedule with the least mean of lag + price * polls."""
    end = inverse_survival(distribution, _REST)
    width = end / _POINTS
    running = [distribution.survival(i * width) for i in range(_POINTS + 1)]
    mean = width * (math.fsum(running) - (running[0] + running[-1]) / 2)
    points, nexts = [0], _solve(running, width, price)
    while points[-1] < _POINTS:
        points.append(nexts[points[-1]])
    polls = math.fsum(running[point] for point in points[:-1])
    watched = math.fsum((end - start) * width * running[start] for start, end in itertools.pairwise(points))
    return Schedule([point * width for point in points[1:]], mean, polls, watched - mean)


def schedule_with(distribution: Distribution, polls: float) -> Schedule:
    """The schedule with the least mean lag among those that take so many polls on average: one price is the best of
    all ways to save polls. The number of polls goes with the root of the price, which finds it in a few steps.
    """
    price = 0.01
    for _ in range(8):
        schedule = optimal_schedule(distribution, price)
        price *= (schedule.mean_polls / polls) ** 2
    return schedule


def _solve(running: Sequence[float], width: float, price: float) -> list[int]:
    """Backwards from the end: at each point, the best next one. A later look never has an earlier next look, so the
    search ends where that of the point behind it ended.
    """
    last = len(running) - 1
    costs, nexts = [0.0] * (last + 1), [last] * (last + 1)
    furthest = last
    for i in range(last - 1, -1, -1):
        alive = running[i]
        costs[i], nexts[i] = min(
            ((price + (j - i) * width) * alive + costs[j], j) for j in range(i + 1, furthest + 1)
        )
        furthest = nexts[i]
    return nexts


def best_fixed_interval(mean_duration: float, price: float) -> float:
    """The least cost of any fixed interval d with an even phase: (t/d + 1/2) polls and a lag of d/2."""
    return math.sqrt(2 * price * mean_duration) + price / 2
