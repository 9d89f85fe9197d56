"""Durations by the textbook, in plain numbers, for comparison with the package's tables and logarithms."""

from __future__ import annotations

import itertools
import math

from foxapi_async._cadence.durations import Durations

FAR = 1e-7


def normal(z: float) -> float:
    """The standard normal's distribution function."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


def survival(durations: Durations, x: float) -> float:
    """S(x): the share of tasks that run for longer."""
    if x <= 0:
        return 1.0
    return sum(part.weight * normal((part.centre - math.log(x)) / part.spread) for part in durations.parts)


def density(durations: Durations, x: float) -> float:
    """f(x)."""
    scaled = (((math.log(x) - part.centre) / part.spread, part) for part in durations.parts)
    return sum(
        part.weight * math.exp(-z * z / 2) / (part.spread * x * math.sqrt(2 * math.pi)) for z, part in scaled
    )


def mean_until(durations: Durations, x: float) -> float:
    """The integral of t f(t) from 0 to x."""
    if x <= 0:
        return 0.0
    return sum(
        part.weight
        * math.exp(part.centre + part.spread**2 / 2)
        * normal((math.log(x) - part.centre) / part.spread - part.spread)
        for part in durations.parts
    )


def quantile(durations: Durations, share: float) -> float:
    """The time at which that share of tasks has ended, by bisection."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if survival(durations, math.exp(middle)) < 1 - share else (middle, high)
    return math.exp(low)


def lag_and_polls(durations: Durations, poll_ages: list[float]) -> tuple[float, float]:
    """The mean lag and number of polls of a schedule that begins after 0 and outlasts nearly all tasks."""
    lag = polls = 0.0
    for before, after in itertools.pairwise([0.0, *poll_ages]):
        ended = survival(durations, before) - survival(durations, after)
        lag += after * ended - (mean_until(durations, after) - mean_until(durations, before))
        polls += survival(durations, before)
    return lag, polls


def least_cost(durations: Durations, price: float, count: int = 500) -> float:
    """The least mean of `lag + price · polls` of any schedule on a grid, by dynamic programming from its end.

    Half of the grid is even in time, the other half in the share of ended tasks.
    """
    start, end = quantile(durations, FAR), quantile(durations, 1 - FAR)
    even = [start + (end - start) * i / count for i in range(count)]
    shares = [quantile(durations, (i + 0.5) / count) for i in range(count)]
    times = [0.0, *sorted({*even, *shares}), end]
    alive = [survival(durations, t) for t in times]
    means = [mean_until(durations, t) for t in times]
    costs = [0.0] * len(times)
    for i in range(len(times) - 2, -1, -1):
        best = math.inf
        for j in range(i + 1, len(times)):
            lag = times[j] * (alive[i] - alive[j]) - (means[j] - means[i])
            if lag > best:  # and longer ones have more
                break
            best = min(best, lag + costs[j])
        costs[i] = price * alive[i] + best
    return costs[0]


def root(y_of: float) -> float:
    """The y with e^y - y - 1 = `y_of`, by bisection."""
    low, high = 0.0, min(math.sqrt(2 * y_of), 700.0)
    for _ in range(200):
        middle = (low + high) / 2
        # For small y the difference comes from its series, which does not cancel.
        value = (
            middle**2 / 2 + middle**3 / 6 + middle**4 / 24 if middle < 1e-3 else math.expm1(middle) - middle
        )
        low, high = (middle, high) if value < y_of else (low, middle)
    return low
