"""The priors, which are assumptions before any duration is observed, and the grids that keep observations.

Each prior is worth about three tasks: it decides the first polls, and after a hundred tasks it has no effect.
"""

from __future__ import annotations

import math
from typing import TypeGuard

import attrs

from foxapi_async._cadence.life_table import Grid
from foxapi_async._cadence.mixture import Prior, PriorPart

# An estimate outside these bounds is a default value, or has the wrong unit, or is a mistake of the service.
USABLE_SECONDS = (0.01, 6 * 3600.0)

# These are for tasks without a usable estimate. Models for images, audio and documents take 10 to 60 s. Models for
# video take one to five minutes. The SDK cannot know more before it has seen a model's tasks.
NO_ESTIMATE_SECONDS = 20.0
_VIDEO_SECONDS = 120.0

# Progress below the first of these, in per cent, is too coarse to divide by. Each value starts a group that
# is learned separately.
PROGRESS_FROM = (3.0, 10.0, 25.0, 50.0, 75.0, 90.0)


@attrs.frozen
class EstimatorPrior:
    """A prior, and the grid of the life table that outweighs it after enough tasks."""

    parts: Prior
    grid: Grid


def _widening(width: float, steps: int, growth: float, far: float) -> tuple[float, ...]:
    """Values from -far to far: evenly spaced around 0, then wider and wider."""
    values = [i * width for i in range(steps + 1)]
    while values[-1] < far:
        width *= growth
        values.append(values[-1] + width)
    return (*(-value for value in reversed(values[1:])), *values)


# The grid reaches hours even for an estimate of seconds. Otherwise all longer tasks would seem to end at its
# last point, and would be polled too often there.
_TIME_GRID = Grid(_widening(0.04, 15, 1.1, 9.0))
# A linear progress in whole per cents forecasts the total within one or two per cent.
_PROGRESS_GRID = Grid(_widening(0.008, 10, 1.2, 3.0))


def _by_time(apart: float, spread: float) -> EstimatorPrior:
    """Most tasks are near their estimate, in one group or two. Some end at once, and a few are stuck."""
    prior = (
        PriorPart(1.4, -apart, spread),
        PriorPart(1.4, apart, spread),
        PriorPart(0.08, math.log(0.06), 0.7, centre_tasks=2.0, spread_tasks=4.0),
        PriorPart(0.06, math.log(4.0), 0.7),
    )
    return EstimatorPrior(prior, _TIME_GRID)


def _by_progress(spread: float) -> EstimatorPrior:
    """A prior for linear progress. Tasks then show whether progress is faster or slower than that."""
    prior = (PriorPart(2.7, 0.0, spread), PriorPart(0.15, -0.4, 0.4), PriorPart(0.15, 0.6, 0.6))
    return EstimatorPrior(prior, _PROGRESS_GRID)


# Each is for the ratio of a duration to another value. For `TIMED` this is the service's estimate, for `UNTIMED` it is
# `usual_seconds`, and for `BY_PROGRESS` it is the total that linear progress forecasts.
TIMED = _by_time(0.25, 0.32)
UNTIMED = _by_time(0.5, 0.6)
BY_PROGRESS = tuple(_by_progress(spread) for spread in (0.3, 0.15, 0.1, 0.08, 0.06, 0.05))


def is_usable(estimated_time: object) -> TypeGuard[float]:
    """Whether an estimate is a plausible number of seconds."""
    if not isinstance(estimated_time, int | float) or isinstance(estimated_time, bool):
        return False
    return USABLE_SECONDS[0] <= estimated_time <= USABLE_SECONDS[1]


def usual_seconds(kind: str) -> float:
    """The seconds that a task without a usable estimate is expected to take, by its type at the service."""
    return _VIDEO_SECONDS if kind == "video" else NO_ESTIMATE_SECONDS


def progress_group(progress: float | None) -> int | None:
    """The index in `BY_PROGRESS` for a progress in per cent; None if the progress gives no information."""
    if progress is None or not PROGRESS_FROM[0] <= progress < 100:
        return None
    return sum(progress >= start for start in PROGRESS_FROM) - 1
