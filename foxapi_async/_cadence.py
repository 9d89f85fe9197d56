"""When to look at a task: the law that this package exists for. No clock, no random source, no await.

Looking costs, and so does waiting. With the price c (seconds of waiting that one poll is worth) the cost of a
task is `lag + c · polls`, the lag being the time from its completion to the poll that sees it. Where polls have
density n(t), a completion waits 1/(2n) on average, so that with completion hazard h(t) the cost accrues at the
rate h(t) / (2 n(t)) + c · n(t) while the task runs, which is least for

    n(t) = √( h(t) / 2c )

This is the asymptotically optimal inspection policy of Barlow, Hunter & Proschan (1963, "Optimum checking
procedures") in Keller's continuous form (1974, "Optimum checking schedules for systems subject to random
failure"). Each poll lies where the integral of n has grown by one since the last. The first has a phase that is
random for each task, so that tasks submitted together do not poll together; within `FIRST_STEPS` it costs nothing
that matters.

The distribution of t is that of x = t / `task_info.estimated_time`. With G(x) = ∫ √h over that ratio, the
integral of n is √(e / 2c) · G(t / e): one table serves every estimate e.
"""

from __future__ import annotations

import math
import sys
from typing import TypeGuard

import attrs

from foxapi_async._durations import Durations, LogNormal
from foxapi_async._errors import ConfigurationError
from foxapi_async._options import is_number

# What is believed before anything is learned. Most tasks take about as long as the service says, give or take
# a factor of 1.8; some finish almost at once (cached, or an estimate that is a default), so an early look pays.
PRIOR = Durations((LogNormal(0.95, 0.0, 0.6), LogNormal(0.05, math.log(0.12), 1.0)))

# Without a usable estimate: image models take 10 to 60 s, and nobody knows which.
NO_ESTIMATE_SECONDS = 20.0
NO_ESTIMATE = Durations((LogNormal(0.95, 0.0, 1.1), LogNormal(0.05, math.log(0.12), 1.2)))

# Where the integral of n stands at the first poll. The asymptotic law does not say; the exact optimum, computed by
# dynamic programming for lognormals and mixtures of them, lies between 0.8 and 1.5, and anywhere in this range the
# cost is within 1 to 2 % of it (a phase that is even from 0 to 1 costs up to 7 %).
FIRST_STEPS = (0.8, 1.4)

# An estimate outside these is a default, a unit mistaken for another, or a fault.
USABLE_SECONDS = (0.01, 6 * 3600.0)


@attrs.frozen
class Cadence:
    """How eagerly tasks are polled.

    Attributes:
        poll_price: the one knob: seconds of waiting that one poll is worth. Twice the price gives about 0.7 times
            the polls at 1.4 times the lag.
        shortest: seconds that lie between two polls of a task at least.
        longest: seconds between two polls of a task at most.

    Raises:
        ConfigurationError: a value is not positive and finite, or `shortest` exceeds `longest`.
    """

    poll_price: float = 0.1
    shortest: float = 0.05
    longest: float = 30.0

    def __attrs_post_init__(self) -> None:
        for name in ("poll_price", "shortest", "longest"):
            value = getattr(self, name)
            if not is_number(value) or value <= 0:
                raise ConfigurationError(f"Cadence.{name}={value!r}: give positive seconds")
        if self.shortest > self.longest:
            raise ConfigurationError(f"Cadence.shortest={self.shortest} exceeds longest={self.longest}")

    def next_poll(self, age: float, estimated_time: float | None, step: float = 1.0) -> float:
        """The age at which to look at a task next.

        Args:
            age: seconds since the task was created; what is negative or no number counts as 0.
            estimated_time: seconds that the service expects it to take in all; None, zero, negative or absurd
                values count as unknown.
            step: how far the integral of n is to grow: 1, or for a task's first poll a number in `FIRST_STEPS`.

        Returns:
            An age in seconds, from `age + shortest` to `age + longest`.
        """
        scale, durations = _durations_of(estimated_time)
        age = _usable_age(age)
        # One poll's share of G. Two roots, because 2c alone can be too large for a float.
        share = math.sqrt(self.poll_price) * math.sqrt(2 / scale)
        integral = durations.poll_integral(age / scale) + step * share
        when = scale * durations.inverse_poll_integral(integral)
        return min(max(when, age + self.shortest), age + self.longest)


def median_remaining(age: float, estimated_time: float | None) -> float | None:
    """The median of the seconds that a running task still needs; None where no usable estimate is known."""
    scale, durations = _durations_of(estimated_time)
    if durations is NO_ESTIMATE:
        return None
    return scale * durations.median_residual(_usable_age(age) / scale)


def is_usable(estimated_time: object) -> TypeGuard[float]:
    """Whether an estimate can be taken at its word."""
    return is_number(estimated_time) and USABLE_SECONDS[0] <= estimated_time <= USABLE_SECONDS[1]


def _durations_of(estimated_time: float | None) -> tuple[float, Durations]:
    return (estimated_time, PRIOR) if is_usable(estimated_time) else (NO_ESTIMATE_SECONDS, NO_ESTIMATE)


def _usable_age(age: float) -> float:
    """The age in seconds; 0 for what is negative or no number."""
    return float(age) if 0 < age <= sys.float_info.max else 0.0
