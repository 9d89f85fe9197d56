"""Forecasts when one running task ends, and learns from its polls.

Two values forecast the end: the service's estimate, and the task's progress, extrapolated linearly from its creation.
Each forecasts a total in seconds. The SDK learns the ratio of the actual total to this forecast.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import attrs

from foxapi_async._cadence.durations import Durations
from foxapi_async._cadence.estimates import Estimator, ModelEstimates
from foxapi_async._cadence.priors import is_usable, progress_group, usual_seconds


@attrs.frozen
class Forecast:
    """A task's total is `scale` seconds times a ratio. `durations` is the distribution of this ratio."""

    scale: float
    durations: Durations

    def remaining(self, age: float) -> float:
        """The median of the seconds that a task of that age still needs."""
        return self.scale * self.durations.median_residual(age / self.scale)

    def running(self, age: float) -> float:
        """The share of tasks that run for longer than that age."""
        return math.exp(-self.durations.cumulative_hazard(age / self.scale))

    def hazard(self, age: float) -> float:
        """How likely a task of that age ends, per second."""
        return self.durations.hazard(age / self.scale) / self.scale


def forecast_by_time(model: ModelEstimates, estimated_time: float | None) -> Forecast:
    """The forecast for a new task: from the service's estimate if that is usable."""
    if is_usable(estimated_time):
        return Forecast(estimated_time, model.timed.durations)
    return Forecast(model.usual_seconds or usual_seconds(""), model.untimed.durations)


@attrs.define(eq=False)
class _Record:
    """A task in one life table. Without a weight the table forecasts the task, but does not learn from it."""

    estimator: Estimator
    scale: float
    log_weight: float | None

    def enter(self, before: float, age: float, *, ended: bool) -> None:
        """Learn that the task ran or had ended at `age`, after it ran at the age `before`."""
        if self.log_weight is not None:
            learn = self.estimator.ended if ended else self.estimator.runs
            learn(self.log_weight, before / self.scale, age / self.scale)

    def log_likelihood(self, before: float, age: float, *, ended: bool) -> float:
        """The log-likelihood of that observation."""
        return self.estimator.log_likelihood(before / self.scale, age / self.scale, ended=ended)

    def close(self) -> None:
        """Note that the task is not observed any more."""
        if self.log_weight is not None:
            self.estimator.remove_task()

    @property
    def forecast(self) -> Forecast:
        return Forecast(self.scale, self.estimator.durations)


class TaskForecast:
    """The forecast for one running task.

    Args:
        model: the estimates of its model.
        estimated_time: the service's estimate in seconds as given; None if there was none.
        kind: its type at the service, such as "video"; "" if unknown. Without an estimate, the first tasks of a model
            are expected to take as long as others of this type.
        learned_from: False for a task that was not observed from its beginning. It is observed only because
            it has lasted until now, so learning from it would add a bias (left truncation).

    Attributes:
        age: seconds from its creation to the last poll that found it running; 0 before that.
    """

    __slots__ = ("_by_progress", "_by_time", "_model", "_progress", "age")

    def __init__(
        self,
        model: ModelEstimates,
        estimated_time: float | None,
        *,
        kind: str = "",
        learned_from: bool = True,
    ) -> None:
        if is_usable(estimated_time):
            estimator, scale = model.timed, estimated_time
        else:
            estimator, scale = model.untimed, model.usual_seconds_of(kind)
        self._model = model
        self._by_time = _Record(estimator, scale, estimator.add_task() if learned_from else None)
        # By the group of the progress, the newest last. None until there is one: some services give no progress.
        self._by_progress: dict[int, _Record] | None = None
        self.age = 0.0
        self._progress = 0.0

    @property
    def timed(self) -> bool:
        """Whether the service gave a usable estimate."""
        return self._by_time.estimator is self._model.timed

    @property
    def forecasts(self) -> list[Forecast]:
        """The forecasts that may be right.

        If progress has proved to be the better guide for this model, only its forecast is used. Until then both are
        used, and the earlier poll counts, because progress that jumps may forecast an end long after the true one.
        """
        return [guide.forecast for guide in self._guides()]

    def remaining(self, age: float) -> float | None:
        """The median of the seconds that the task still needs; None without an estimate and without an ended task."""
        guide = self._guides()[0]
        if guide is self._by_time and not (self.timed or guide.estimator.learned):
            return None
        return guide.forecast.remaining(age)

    def _guides(self) -> list[_Record]:
        if not self._by_progress:
            return [self._by_time]
        group, by_progress = next(reversed(self._by_progress.items()))
        if self._model.trusts(group):
            return [by_progress]
        return [self._by_time, by_progress] if self._model.doubts(group) else [self._by_time]

    def runs(self, age: float, progress: float | None) -> None:
        """Note that the task ran at an age in seconds, with a progress in per cent."""
        self._observe(age, ended=False)
        group = progress_group(progress)
        if progress is not None and group is not None and progress > self._progress and age > 0:
            self._use_progress(group, 100 * age / progress)
            self._progress = progress

    def ended(self, age: float) -> None:
        """Note that the task had ended, with success or without."""
        self._observe(age, ended=True)

    def close(self) -> None:
        """Note that the task is not polled any more."""
        for record in self._records():
            record.close()

    def _records(self) -> Iterator[_Record]:
        yield self._by_time
        yield from (self._by_progress or {}).values()

    def _use_progress(self, group: int, total: float) -> None:
        """Use the newest progress. Each group keeps its newest progress, and its table learns from it until the end.

        The record that it replaces stays in its table as running. This causes no bias, because it does not
        depend on the end of the task.
        """
        self._by_progress = records = self._by_progress or {}
        estimator, log_weight = self._model.by_progress[group], None
        if group in records:
            log_weight = records.pop(group).log_weight
        elif self._by_time.log_weight is not None:
            log_weight = estimator.add_task()
        if log_weight is not None:
            estimator.note_entry(log_weight, self.age / total)
        records[group] = _Record(estimator, total, log_weight)

    def _observe(self, age: float, *, ended: bool) -> None:
        if age <= self.age:
            return
        if self._by_progress:
            self._compare(age, ended=ended)
        for record in self._records():
            record.enter(self.age, age, ended=ended)
        self.age = age

    def _compare(self, age: float, *, ended: bool) -> None:
        """Score the forecast by progress against that by time, before either learns the outcome."""
        by_time = self._by_time.log_likelihood(self.age, age, ended=ended)
        for group, record in (self._by_progress or {}).items():
            self._model.score(group, record.log_likelihood(self.age, age, ended=ended) - by_time)
