"""Tasks of a simulated service, polled as the cadence decides, without a loop or a clock."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

from foxapi_async import Cadence
from foxapi_async._cadence.estimates import ModelEstimates
from foxapi_async._cadence.forecast import TaskForecast

Progress = Callable[[float], float]

USUAL = Cadence()


class Simulated:
    """One task, and its result.

    Attributes:
        poll_ages: how often it was polled.
        first: its age at the first poll.
        lag: from its end to the poll that noticed it; NaN until then.
    """

    def __init__(
        self,
        model: ModelEstimates,
        duration: float,
        estimate: Any,
        progress: Progress | None = None,
        cadence: Cadence = USUAL,
        kind: str = "",
    ) -> None:
        self.task_forecast = TaskForecast(model, estimate, kind=kind)
        self.poll_ages = 0
        self.first = math.nan
        self.lag = math.nan
        self._duration = duration
        self._progress = progress
        self._cadence = cadence
        self._age = 0.0

    def next_age(self) -> float:
        """The age at its next poll."""
        return min(self._cadence._next_poll(self._age, forecast) for forecast in self.task_forecast.forecasts)

    def poll(self, age: float) -> bool:
        """Poll it. Returns whether it still runs."""
        self.poll_ages += 1
        self._age = age
        self.first = age if self.poll_ages == 1 else self.first
        if age < self._duration:
            self.task_forecast.runs(age, self._progress(age / self._duration) if self._progress else None)
            return True
        self.lag = age - self._duration
        self.task_forecast.ended(age)
        self.task_forecast.close()
        return False

    def watch(self, until: float = math.inf) -> None:
        """Poll it as the cadence decides, until it ends or reaches that age."""
        while (age := self.next_age()) < until and self.poll(age):
            pass


def simulate(
    model: ModelEstimates,
    durations: Iterator[float],
    count: int,
    *,
    estimate: Any,
    every: float = math.inf,
    progress: Progress | None = None,
    kind: str = "",
) -> list[Simulated]:
    """Submit `count` tasks, one every `every` seconds (infinity: one after the other), and poll them to their
    end.

    Polls of different tasks are made in the order of time, so that learning goes on while others are in flight.
    """
    tasks: list[Simulated] = []
    if every == math.inf:
        for duration in itertools.islice(durations, count):
            tasks.append(Simulated(model, duration, estimate, progress, kind=kind))
            tasks[-1].watch()
        return tasks
    turns: list[tuple[float, int, float]] = []
    for i in range(count):
        created = i * every
        _poll_until(created, turns, tasks)
        tasks.append(Simulated(model, next(durations), estimate, progress, kind=kind))
        heapq.heappush(turns, (created + tasks[-1].next_age(), i, created))
    _poll_until(math.inf, turns, tasks)
    return tasks


def _poll_until(moment: float, turns: list[tuple[float, int, float]], tasks: list[Simulated]) -> None:
    while turns and turns[0][0] <= moment:
        when, i, created = heapq.heappop(turns)
        if tasks[i].poll(when - created):
            heapq.heappush(turns, (created + tasks[i].next_age(), i, created))
