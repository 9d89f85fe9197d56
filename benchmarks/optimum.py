"""What polling costs above the exact optimum, which knows the distribution that the SDK has to learn.

The real poller runs in virtual time. The cost of a task is its lag plus the price of its polls, and the optimum's is
that of the schedule from dynamic programming, for the very same durations. *Cold* are the first hundred tasks of a
session that knows nothing, *warm* those after; ten are in flight at a time. *Burst* is a hundred at once, cold.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from statistics import fmean

import attrs
from _optimum import (
    Distribution,
    HeavyTail,
    Mixture,
    Schedule,
    Stretched,
    best_fixed_interval,
    inverse_survival,
    optimal_schedule,
    schedule_with,
)
from _simulation import Plan, Run, draw, simulate
from _table import against, show

from foxapi_async import Cadence, Estimates

ESTIMATE = 45.0
TASKS, COLD, IN_FLIGHT = 1100, 100, 10
SEEDS = range(4)
PRICE = Cadence().poll_price
# The bounds of the cadence are for services; the optimum knows none.
CADENCE = Cadence(shortest=1e-3, longest=1e6)

LEVELS = 25
ARRIVALS, ARRIVED = 20.0, 20_000
WARM_TARGET, COLD_TARGET, BUDGET_TARGET = 1.03, 1.15, 1.05


@attrs.frozen
class Case:
    """A service: how its tasks' ratios to the estimate are distributed, by how much it slows down meanwhile, and
    whether it is also measured under a limit.
    """

    name: str
    distribution: Mixture | HeavyTail
    slowing: float = 1.0
    rationed: bool = False

    def level(self, index: int) -> int:
        """Which step of the slowing a task falls into: none for the cold ones, then evenly."""
        return 0 if self.slowing == 1 else max(0, (index - COLD) * LEVELS // (TASKS - COLD))

    def distribution_of(self, level: int) -> Distribution:
        """The distribution at that step."""
        return Stretched(self.distribution, self.slowing ** (level / LEVELS)) if level else self.distribution


def _lognormal(bias: float, sigma: float, *, rationed: bool = False) -> Case:
    name = f"lognormal, bias {bias:g}, sigma {sigma:g}"
    return Case(name, Mixture(((1.0, bias, sigma),)), rationed=rationed)


_HITS = Mixture(((0.2, 0.06, 0.5), (0.77, 1.0, 0.3), (0.03, 5.0, 0.4)))


CASES = (
    _lognormal(1.0, 0.25, rationed=True),
    _lognormal(1.3, 0.4),
    _lognormal(0.7, 0.15),
    _lognormal(2.0, 0.6, rationed=True),
    Case("cache hits, work, stuck", _HITS, rationed=True),
    Case("two kinds of work", Mixture(((0.5, 0.6, 0.15), (0.5, 1.5, 0.15)))),
    Case("least time and heavy tail", HeavyTail(0.3, 0.55, 2.5), rationed=True),
    Case("slowing down by half", Mixture(((1.0, 0.8, 0.3),)), slowing=1.5),
)


@functools.cache
def optimum(case: Case, level: int) -> Schedule:
    """The optimal schedule at one step of a case, in ratios."""
    return optimal_schedule(case.distribution_of(level), PRICE / ESTIMATE)


def durations(case: Case, seed: int) -> list[float]:
    """Seconds that each task takes."""
    uniform = draw(TASKS, seed)
    ratios = (inverse_survival(case.distribution_of(case.level(i)), share) for i, share in enumerate(uniform))
    return [ESTIMATE * ratio for ratio in ratios]


def least_costs(case: Case, seconds: Sequence[float]) -> list[float]:
    """What each task costs under the optimal schedule."""
    price = PRICE / ESTIMATE
    return [
        ESTIMATE * optimum(case, case.level(i)).cost_of(each / ESTIMATE, price)
        for i, each in enumerate(seconds)
    ]


def sums(runs: Sequence[Run], least: Sequence[float]) -> tuple[float, float]:
    """Our costs and the least, to be added up over the seeds."""
    return math.fsum(run.cost(PRICE) for run in runs), math.fsum(least)


def compare(case: Case) -> tuple[float, float, float]:
    """Warm, cold and burst costs over the optimum's."""
    warm, cold, burst = [], [], []
    for seed in SEEDS:
        seconds = durations(case, seed)
        least = least_costs(case, seconds)
        steady = Plan(estimate=ESTIMATE, cadence=CADENCE, in_flight=IN_FLIGHT)
        runs = simulate(seconds, steady, Estimates(), seed)
        cold.append(sums(runs[:COLD], least[:COLD]))
        warm.append(sums(runs[COLD:], least[COLD:]))
        at_once = Plan(estimate=ESTIMATE, cadence=CADENCE, in_flight=COLD)
        burst.append(sums(simulate(seconds[:COLD], at_once, Estimates(), seed), least[:COLD]))
    return over(warm), over(cold), over(burst)


def over(both: Sequence[tuple[float, float]]) -> float:
    """The ratio of the totals."""
    return sum(ours for ours, _ in both) / sum(least for _, least in both)


def rationed(case: Case) -> tuple[float, float]:
    """Cost and lag under half the polls a second that tasks would take freely, over the best allocation's.

    The best allocation knows the distribution, and lets every poll cost the one price at which the polls fit on average;
    it may exceed the limit for a while, which the SDK never does. Only tasks are counted that begin long after the first and
    long before the last, when the limit is felt throughout.
    """
    free = optimum(case, 0)
    best = schedule_with(case.distribution, free.mean_polls / 2)
    seconds = [ESTIMATE * inverse_survival(case.distribution, share) for share in draw(ARRIVED, seed=1)]
    steady = Plan(estimate=ESTIMATE, cadence=CADENCE, in_flight=IN_FLIGHT)
    estimates = Estimates()
    simulate(seconds[:COLD], steady, estimates, seed=1)
    limit = ARRIVALS * best.mean_polls
    plan = Plan(estimate=ESTIMATE, cadence=CADENCE, arrivals=ARRIVALS, limit=limit)
    counted = slice(2 * ARRIVED // 5, -2 * ARRIVED // 5)
    runs = simulate(seconds, plan, estimates, seed=1)[counted]
    costs, lags = (
        [ESTIMATE * best.cost_of(each / ESTIMATE, price / ESTIMATE) for each in seconds[counted]]
        for price in (PRICE, 0.0)
    )
    return over([sums(runs, costs)]), fmean(run.lag for run in runs) / fmean(lags)


def row(case: Case) -> tuple[list[str], tuple[float, float, float]]:
    """A line of the table, and its figures that have targets."""
    best, (warm, cold, burst) = optimum(case, 0), compare(case)
    cost = best.mean_lag + PRICE / ESTIMATE * best.mean_polls
    fixed = best_fixed_interval(best.mean_duration, PRICE / ESTIMATE) / cost
    under_limit, lag = rationed(case) if case.rationed else (math.nan, math.nan)
    figures = [warm, cold, burst, under_limit, lag, fixed]
    shown = [f"{figure:.3f}" if math.isfinite(figure) else "" for figure in figures]
    return [case.name, f"{best.mean_polls:.1f}", f"{ESTIMATE * best.mean_lag:.2f}", *shown], (
        warm,
        cold,
        under_limit,
    )


def main() -> None:
    rows, figures = zip(*map(row, CASES), strict=True)
    warm, cold, rations = (
        max(figure for figure in column if math.isfinite(figure)) for column in zip(*figures, strict=True)
    )
    show(
        f"Cost of polling over the exact optimum: estimate {ESTIMATE:g} s, price {PRICE:g} s, {len(SEEDS)} seeds of "
        f"{TASKS} tasks, virtual time",
        ("service", "polls", "lag s", "warm", "cold", "burst", "rationed", "its lag", "fixed interval"),
        rows,
        [
            "polls, lag: the optimum's means; fixed interval: the best there is, for one who knows the mean duration",
            against("warm, worst", warm, WARM_TARGET),
            against("cold, worst", cold, COLD_TARGET),
            against("rationed, worst", rations, BUDGET_TARGET),
        ],
    )


if __name__ == "__main__":
    main()
