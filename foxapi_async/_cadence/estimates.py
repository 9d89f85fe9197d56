"""The durations of each model's tasks: a session learns them, and keeps them for the next session.

Every poll gives information. If the task still runs, longer durations become more likely. If it is over, its
duration is known within an interval. `life_table` keeps the observations, `mixture` fits them, `forecast`
supplies them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any, Self

from foxapi_async._cadence.durations import Durations, LogNormal, log_sum
from foxapi_async._cadence.life_table import LifeTable
from foxapi_async._cadence.mixture import Moments, Prior, expect, fit, predictive
from foxapi_async._cadence.priors import (
    BY_PROGRESS,
    NO_ESTIMATE_SECONDS,
    TIMED,
    UNTIMED,
    EstimatorPrior,
    is_usable,
    usual_seconds,
)
from foxapi_async._errors import ConfigurationError
from foxapi_async._options import is_number
from foxapi_async._policy.prices import PriceBook

# How many tasks are remembered, with two more for each task in flight. The remaining noise costs 1 to 2 % more than the
# optimum.
MEMORY = 150.0

# The durations of about the last `RECENT` ended tasks are compared with the expectation. If they differ by
# more than `SURPRISE` standard deviations, the memory becomes shorter, down to `SHORTEST_MEMORY` tasks.
RECENT = 25.0
SURPRISE = 2.0
SHORTEST_MEMORY = 10.0

# The fit is repeated after this share of new information.
_REFIT_AFTER = 0.15

# A saved state counts as at most this many tasks, because the service may have changed since.
_SAVED_TASKS = 50.0

# Progress is the better guide if it gains this much log-likelihood: odds of 20 to 1.
PROOF = 3.0
_LARGEST_TRUST = 20.0

# At most this many models are remembered, the latest ones, because a service may return more and more model names.
MOST_MODELS = 256

FORMAT = 1


class Estimator:
    """The distribution of one ratio, learned from polled tasks.

    Attributes:
        durations: the expectation for the next task.
    """

    def __init__(self, prior: EstimatorPrior) -> None:
        self._prior = prior.parts
        self._table = LifeTable(prior.grid)
        self._parts, self.durations = _before_the_first_end(self._prior)
        self._in_flight = 0
        self._ended = 0.0
        self._fit_at = 1.0
        self._recent = self._recent_expected = 0.0

    @property
    def learned(self) -> bool:
        """Whether any task has ended yet."""
        return self._ended > 0

    def add_task(self) -> float:
        """Count a new task. Return the logarithm of its weight."""
        self._in_flight += 1
        return self._table.add(self._memory() + 2 * self._in_flight)

    def remove_task(self) -> None:
        """Count one task less: it ended, or is not polled any more."""
        self._in_flight -= 1

    def note_entry(self, log_weight: float, x: float) -> None:
        """Note that observation of a task starts at x, where it still runs."""
        self._table.runs(log_weight, 0.0, x)

    def runs(self, log_weight: float, before: float, x: float) -> None:
        """Note that a task that ran at `before` still runs at x."""
        self._recent_expected += self._hazard_between(before, x)
        self._table.runs(log_weight, before, x)

    def ended(self, log_weight: float, before: float, x: float) -> None:
        """Note that a task that ran at `before` had ended at x."""
        self._note_pace(self._hazard_between(before, x))
        if before > 0:
            self._table.ended(log_weight, before, self._shares(before, x))
        else:
            self._table.ended_before(log_weight, x)
        self._ended += 1
        if self._ended >= self._fit_at:
            self._fit(4 if self._ended < 20 else 2)

    def log_likelihood(self, before: float, x: float, *, ended: bool) -> float:
        """The log-likelihood that a task that ran at `before` had ended at x (`ended`), or still ran there."""
        cumulative = self._hazard_between(before, x)
        return math.log(-math.expm1(-cumulative)) if ended else -cumulative

    def _hazard_between(self, before: float, x: float) -> float:
        durations = self.durations
        return max(1e-12, durations.cumulative_hazard(x) - durations.cumulative_hazard(before))

    def _shares(self, before: float, x: float) -> Iterator[tuple[float, float]]:
        """The points between `before` and x where a task may have ended, each with its present probability
        (self-consistency of Efron, 1967; for intervals Turnbull, 1974).
        """
        grid = self._table.grid
        start, end = grid.position(before), grid.position(x)
        count = min(24, 2 * math.ceil(end - start) + 1)
        points = [start + (end - start) * (i + 0.5) / count for i in range(count)]
        logs = [self._log_share(*grid.at(point)) for point in points]
        top = max(logs)
        weights = [math.exp(value - top) for value in logs]
        total = sum(weights)
        return ((point, weight / total) for point, weight in zip(points, weights, strict=True))

    def _log_share(self, log_x: float, width: float) -> float:
        return log_sum(part.log_density(log_x) for part in self._parts) + math.log(width)

    # Forgetting.

    def _note_pace(self, cumulative: float) -> None:
        """Count an end, and the hazard that its task passed through until then. Both are 1 on average."""
        keep = 1 - 1 / RECENT
        until_then = 1 - cumulative / math.expm1(cumulative) if cumulative < 50 else 1.0
        self._recent = self._recent * keep + 1
        self._recent_expected = self._recent_expected * keep + until_then

    def _memory(self) -> float:
        """Tasks to remember: fewer if tasks end at another pace than expected.

        Ends minus expected ends are a martingale for tasks of any age (Aalen, 1978). So tasks that are all
        young, or all old, do not disturb it.
        """
        variance = max(self._recent, self._recent_expected, RECENT / 4) / 2
        surprise = abs(self._recent - self._recent_expected) / math.sqrt(variance)
        return MEMORY if surprise <= SURPRISE else max(SHORTEST_MEMORY, MEMORY * (SURPRISE / surprise) ** 2)

    def _fit(self, passes: int) -> None:
        rows = self._table.rows()
        self._parts = fit(rows, self._prior, self._parts, passes)
        moments: list[Moments] = expect(rows, self._parts)
        ended = sum(row.ended + row.ended_before for row in rows)
        self.durations = Durations(predictive(moments, self._prior, self._parts, ended))
        # If many tasks are in flight, all are remembered. A fit for every twenty ends would then take half of
        # the processor's time.
        remembered = min(self._ended, MEMORY + 2 * self._in_flight)
        self._fit_at = self._ended + max(1.0, _REFIT_AFTER * remembered)

    # Saving and loading.

    def to_dict(self) -> dict[str, Any]:
        """The life table, which holds all that was learned, as JSON values."""
        return self._table.to_dict()

    def load(self, saved: Mapping[str, Any]) -> None:
        """Begin with a saved life table, at a part of its weight.

        Raises:
            ValueError, TypeError, KeyError: `saved` is not a life table.
        """
        self._table.load(saved, _SAVED_TASKS)
        self._ended = sum(row.ended + row.ended_before for row in self._table.rows())
        self._fit(30)


@functools.cache
def _before_the_first_end(prior: Prior) -> tuple[tuple[LogNormal, ...], Durations]:
    """The mixture and the expectation that a prior gives. They are the same in all sessions, which share one table."""
    tasks = sum(part.tasks for part in prior)
    parts = tuple(LogNormal(part.tasks / tasks, part.centre, part.spread) for part in prior)
    return parts, Durations(predictive(None, prior, parts, 0.0))


class ModelEstimates:
    """The estimates of one model: for tasks with the service's estimate, for tasks without it, and by progress.

    Attributes:
        usual_seconds: the unit of `untimed`, in which the model's tasks without an estimate are learned; None before
            the first of them.
    """

    def __init__(self) -> None:
        self.timed = Estimator(TIMED)
        self.untimed = Estimator(UNTIMED)
        self.usual_seconds: float | None = None
        self.by_progress = tuple(Estimator(prior) for prior in BY_PROGRESS)
        self._trust = [0.0] * len(BY_PROGRESS)

    def usual_seconds_of(self, kind: str) -> float:
        """The unit of `untimed`. The type of the model's first task without an estimate decides it for all later tasks."""
        if self.usual_seconds is None:
            self.usual_seconds = usual_seconds(kind)
        return self.usual_seconds

    def trusts(self, group: int) -> bool:
        """Whether progress has predicted better than time: surely in all groups together, and probably in this group."""
        return self._trust[group] > 0.5 and sum(self._trust) >= PROOF

    def doubts(self, group: int) -> bool:
        """Whether progress may still be the better guide in this group."""
        return self._trust[group] >= 0

    def score(self, group: int, gained: float) -> None:
        """Note by how much log-likelihood progress was the better guide (prequential score; Dawid, 1984).

        Old scores count less and less.
        """
        kept = self._trust[group] * (1 - 1 / RECENT) + gained
        self._trust[group] = min(max(kept, -_LARGEST_TRUST), _LARGEST_TRUST)

    def to_dict(self) -> dict[str, Any]:
        """The estimates as JSON values."""
        return {
            "timed": self.timed.to_dict(),
            "untimed": self.untimed.to_dict(),
            "usual_seconds": self.usual_seconds,
            "by_progress": [estimator.to_dict() for estimator in self.by_progress],
            "trust": self._trust,
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Begin with a saved state.

        Raises:
            ValueError, TypeError, KeyError: `saved` is not such a state.
        """
        self.timed.load(saved["timed"])
        self.untimed.load(saved["untimed"])
        self.usual_seconds = _saved_unit(saved, learned=self.untimed.learned)
        for estimator, table in zip(self.by_progress, saved["by_progress"], strict=True):
            estimator.load(table)
        for group, trust in enumerate(saved["trust"]):
            if not is_number(trust):
                raise ValueError(f"a trust of {trust!r}")
            self.score(group, trust)


def _saved_unit(saved: Mapping[str, Any], *, learned: bool) -> float | None:
    """The unit of a saved `untimed`. In a state that older versions saved, it is `NO_ESTIMATE_SECONDS`."""
    unit = saved.get("usual_seconds", NO_ESTIMATE_SECONDS if learned else None)
    if unit is None and not learned:
        return None
    if not is_usable(unit):
        raise ValueError(f"usual seconds of {unit!r}")
    return float(unit)


class Estimates:
    """The learned durations of each model's tasks, and the prices of its results, for use in the next session.

    `FoxSession(estimates=...)` takes one, or the path of a file that keeps one. Sessions on one event loop may
    share it.
    """

    def __init__(self) -> None:
        self._models: dict[str, ModelEstimates] = {}
        self._prices = PriceBook()

    def __repr__(self) -> str:
        return f"<Estimates of {', '.join(sorted(self._models)) or 'nothing yet'}>"

    def to_dict(self) -> dict[str, Any]:
        """The estimates as JSON values, a few kilobytes for each model."""
        models = {name: estimates.to_dict() for name, estimates in self._models.items()}
        return {"format": FORMAT, "models": models, "prices": self._prices.to_list()}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """The estimates from `to_dict`, counted as at most fifty tasks, because the service may have changed
        since.

        Raises:
            ConfigurationError: `saved` is not from `to_dict`, or is from another version.
        """
        estimates = cls()
        problem = ""
        try:
            if saved["format"] != FORMAT:
                problem = f"format {saved['format']!r} instead of {FORMAT}"
            for name, state in saved["models"].items():
                model_estimates(estimates, str(name)).load(state)
            price_book(estimates).load(saved.get("prices", []))  # older files have none
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
            problem = problem or f"{type(error).__name__}: {error}"
        if problem:
            raise ConfigurationError(f"these are not saved estimates ({problem}): delete them to start again")
        return estimates


def model_estimates(estimates: Estimates, model: str) -> ModelEstimates:
    """The estimates of one model; new ones for a new model."""
    models = estimates._models  # noqa: SLF001 - users of the class need no such method
    known = models.pop(model, None) or ModelEstimates()
    models[model] = known
    if len(models) > MOST_MODELS:
        del models[next(iter(models))]
    return known


def price_book(estimates: Estimates) -> PriceBook:
    """The learned prices."""
    return estimates._prices  # noqa: SLF001 - as above
