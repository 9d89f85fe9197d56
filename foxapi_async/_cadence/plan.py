"""A schedule of polls as data, with its costs, so that users can see the reasons for it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import attrs

from foxapi_async._cadence.forecast import Forecast

# The plan ends when only this share of tasks still runs.
_REST = 0.001
_MOST_POLLS = 1000
_STEPS = 16


@attrs.frozen(kw_only=True)
class PlannedPoll:
    """One poll of a plan.

    Attributes:
        age: seconds after the task was created.
        ended: the share of tasks that have ended by then, 0 to 1.
        hazard: how likely a task that still runs ends at this age, per second.
    """

    age: float
    ended: float
    hazard: float


@attrs.frozen(kw_only=True)
class PollPlan:
    """When a task would be polled until it ends, from `Cadence.explain`. Times are in seconds.

    Attributes:
        polls: in order, until one task in a thousand still runs. The first is at its best moment, without the
            random shift that separates tasks.
        mean_polls: the polls that a task takes, on average.
        mean_lag: from the end of a task to the poll that sees it, on average.
        interval: the fixed interval that needs as many polls on average, if the first poll comes at a random time.
        interval_lag: the mean lag with that interval, which is half the interval.
    """

    polls: tuple[PlannedPoll, ...]
    mean_polls: float
    mean_lag: float
    interval: float
    interval_lag: float


def make_plan(forecast: Forecast, next_poll: Callable[[float], float]) -> PollPlan:
    """The plan for a task that ends as in `forecast`. `next_poll` gives the age of the poll after each age."""
    ages = [0.0]
    while forecast.running(ages[-1]) > _REST and len(ages) <= _MOST_POLLS:
        ages.append(next_poll(ages[-1]))
    gaps = list(itertools.pairwise(ages))
    mean_polls = sum(forecast.running(start) for start, _ in gaps)
    mean_duration = sum(_running_time(forecast, start, end) for start, end in gaps)
    mean_seen_at = sum((end - start) * forecast.running(start) for start, end in gaps)
    # With a first poll at a random time, an interval d takes t/d + 1/2 polls for a task of t seconds.
    interval = mean_duration / max(mean_polls - 0.5, 0.5)
    return PollPlan(
        polls=tuple(_planned(forecast, age) for age in ages[1:]),
        mean_polls=mean_polls,
        mean_lag=mean_seen_at - mean_duration,
        interval=interval,
        interval_lag=interval / 2,
    )


def _planned(forecast: Forecast, age: float) -> PlannedPoll:
    return PlannedPoll(age=age, ended=1 - forecast.running(age), hazard=forecast.hazard(age))


def _running_time(forecast: Forecast, start: float, end: float) -> float:
    """How long a task runs between two ages, on average: the integral of the survival function."""
    width = (end - start) / _STEPS
    return math.fsum(width * forecast.running(start + (i + 0.5) * width) for i in range(_STEPS))
