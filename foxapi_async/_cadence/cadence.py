"""Decides when a task is polled, in seconds: the law of `inspection`, between the bounds that a user sets."""

from __future__ import annotations

import functools
import sys

import attrs

from foxapi_async._cadence.estimates import Estimates, ModelEstimates, model_estimates
from foxapi_async._cadence.forecast import Forecast, forecast_by_time
from foxapi_async._cadence.inspection import next_inspection
from foxapi_async._cadence.plan import PollPlan, make_plan
from foxapi_async._errors import ConfigurationError
from foxapi_async._options import is_number

# The first poll of a task is this much earlier or later than its best moment, at random, so that tasks
# submitted together are not polled together. This factor applies to the share of completions that the poll
# awaits. It costs 0.2 to 0.6 % more than the optimum.
FIRST_STEPS = (0.8, 1.2)


# No task lasts for this multiple of its estimate, and hazards at this ratio are still finite.
_OLDEST = 1e100


@attrs.frozen
class Cadence:
    """How often tasks are polled.

    Attributes:
        poll_price: the main setting: seconds of waiting that one poll is worth. Twice the price gives about
            0.7 times the polls at 1.4 times the lag.
        shortest: the least number of seconds between two polls of a task.
        longest: the greatest number of seconds between two polls of a task.

    Raises:
        ConfigurationError: a value is not positive and finite, or `shortest` exceeds `longest`.
    """

    poll_price: float = 0.075
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
        """The age for the next poll of a task, if only the service's estimate is known.

        Args:
            age: seconds since the task was created; a negative value or one that is not a number counts as 0.
            estimated_time: seconds that the service expects it to take in all. None, or a value below 0.01 s or
                above 6 h, counts as unknown.
            step: 1, or for a task's first poll a number within `FIRST_STEPS`.

        Returns:
            An age in seconds, from `age + shortest` to `age + longest`.
        """
        return self._next_poll(age, forecast_by_time(_nothing_learned(), estimated_time), step=step)

    def _next_poll(
        self, age: float, forecast: Forecast, *, step: float = 1.0, scarcity: float = 1.0
    ) -> float:
        """The same as `next_poll`, with everything that is known about the end of the task.

        Args:
            age: see `next_poll`.
            forecast: when the task is expected to end.
            step: see `next_poll`.
            scarcity: the factor by which a rate limit raises the price of a poll.
        """
        age = float(age) if 0 < age <= sys.float_info.max else 0.0
        price = min(self.poll_price * scarcity / forecast.scale, sys.float_info.max)
        ratio = min(age / forecast.scale, _OLDEST)
        when = forecast.scale * next_inspection(forecast.durations, ratio, price, step)
        return min(max(when, age + self.shortest), age + self.longest)

    def explain(
        self, estimated_time: float | None, *, estimates: Estimates | None = None, model: str = ""
    ) -> PollPlan:
        """When a task would be polled, and how that compares with a fixed interval.

        Args:
            estimated_time: seconds that the service expects it to take in all. None, or a value below 0.01 s or
                above 6 h, counts as unknown.
            estimates: the learned estimates; None for the prior alone.
            model: the task's model.
        """
        known = _nothing_learned() if estimates is None else model_estimates(estimates, model)
        forecast = forecast_by_time(known, estimated_time)
        return make_plan(forecast, lambda age: self._next_poll(age, forecast))


@functools.cache
def _nothing_learned() -> ModelEstimates:
    """The estimates of a model without any observation."""
    return ModelEstimates()
