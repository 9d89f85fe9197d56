"""Fits a mixture of lognormals to a life table: the EM algorithm for censored data, with a prior.

Expectation-maximisation is that of Dempster, Laird & Rubin (1977); their example 4.3 is the finite mixture. A
task that still runs enters with the moments of the normal's tail beyond it (Wolynetz, 1979, algorithm AS
139). The prior is conjugate: each component begins with the weight, centre and spread of a few imagined
tasks. One real task moves it a little, and a hundred outweigh it (maximum a posteriori, not maximum
likelihood).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs

from foxapi_async._cadence.durations import LogNormal, log_normal_survival, normal_hazard
from foxapi_async._cadence.life_table import LifeTableRow

# Smaller shares of a task are ignored: they change too little.
_NEGLIGIBLE = 1e-4

_LEAST_SPREAD = 0.004


@attrs.frozen
class PriorPart:
    """The prior of one component.

    Attributes:
        tasks: imagined tasks of this component.
        centre: mean of their ln x, as certain as from `centre_tasks` tasks.
        spread: standard deviation of their ln x, as certain as from `spread_tasks` tasks.
    """

    tasks: float
    centre: float
    spread: float
    centre_tasks: float = 1.0
    spread_tasks: float = 2.0


Prior = tuple[PriorPart, ...]


@attrs.define
class Moments:
    """Expected count, sum and sum of squares of ln x, of the tasks of one component."""

    count: float = 0.0
    first: float = 0.0
    second: float = 0.0

    def add(self, count: float, mean: float, square: float) -> None:
        """Add tasks with the given means of ln x and its square."""
        self.count += count
        self.first += count * mean
        self.second += count * square


def fit(
    rows: Sequence[LifeTableRow], prior: Prior, parts: tuple[LogNormal, ...], passes: int
) -> tuple[LogNormal, ...]:
    """The mixture after some passes over the table, starting from `parts`.

    Args:
        rows: the life table.
        prior: the priors, one for each component.
        parts: the mixture to start from.
        passes: the number of passes.
    """
    for _ in range(passes):
        moments = expect(rows, parts)
        parts = tuple(maximise(moments, prior))
    return parts


def expect(rows: Iterable[LifeTableRow], parts: Sequence[LogNormal]) -> list[Moments]:
    """The moments for which each component is responsible, given the present components."""
    moments = [Moments() for _ in parts]
    for row in rows:
        if row.ended > 0:
            _expect_ended(moments, parts, row)
        if row.running > 0:
            _expect_beyond(moments, parts, row.log_x, row.running)
        if row.ended_before > 0:
            # The part below a point is the part beyond it in the mirrored distribution.
            _expect_beyond(moments, parts, row.log_x, row.ended_before, mirror=-1.0)
    return moments


def _expect_ended(moments: list[Moments], parts: Sequence[LogNormal], row: LifeTableRow) -> None:
    shares = _responsibilities([part.log_density(row.log_x) for part in parts])
    for moment, share in zip(moments, shares, strict=True):
        moment.add(row.ended * share, row.log_x, row.log_x * row.log_x - row.grouping)


def _expect_beyond(
    moments: list[Moments], parts: Sequence[LogNormal], log_x: float, count: float, mirror: float = 1.0
) -> None:
    zs = [mirror * (log_x - part.centre) / part.spread for part in parts]
    shares = _responsibilities(
        [math.log(part.weight) + log_normal_survival(z) for part, z in zip(parts, zs, strict=True)]
    )
    for moment, share, part, z in zip(moments, shares, parts, zs, strict=True):
        if count * share > _NEGLIGIBLE:
            moment.add(count * share, *_tail_moments(part.centre, mirror * part.spread, z))


def _tail_moments(centre: float, spread: float, z: float) -> tuple[float, float]:
    """The means of ln x and of its square beyond z standard deviations."""
    mean = normal_hazard(z)
    square = 1 + z * mean
    return (
        centre + spread * mean,
        centre**2 + 2 * centre * spread * mean + spread**2 * square,
    )


def _responsibilities(logs: list[float]) -> list[float]:
    top = max(logs)
    shares = [math.exp(value - top) for value in logs]
    total = sum(shares)
    return [share / total for share in shares]


def maximise(moments: Sequence[Moments], prior: Prior) -> Iterable[LogNormal]:
    """The components that make the moments and the prior most likely."""
    tasks = sum(moment.count for moment in moments) + sum(part.tasks for part in prior)
    for moment, known_part in zip(moments, prior, strict=True):
        count, known = moment.count, known_part.centre_tasks
        centre = (moment.first + known * known_part.centre) / (count + known)
        squared_deviations = moment.second - 2 * centre * moment.first + centre * centre * count
        # A group with an unexpected centre does not have to be wide.
        apart = min(abs(centre - known_part.centre), known_part.spread)
        imagined = known * apart**2 + known_part.spread_tasks * known_part.spread**2
        variance = (max(0.0, squared_deviations) + imagined) / (count + known_part.spread_tasks)
        spread = max(_LEAST_SPREAD, math.sqrt(variance))
        yield LogNormal((count + known_part.tasks) / tasks, centre, spread)


def predictive(
    moments: Sequence[Moments] | None, prior: Prior, parts: Sequence[LogNormal], ended: float
) -> tuple[LogNormal, ...]:
    """The distribution of the next task: wider than the fit, because the centres themselves are uncertain.

    Args:
        moments: the moments of the fit; None before the first fit.
        prior: the priors, one for each component.
        parts: the fit.
        ended: the number of ended tasks; only these show where a centre is.
    """
    counts = [0.0] * len(parts) if moments is None else [moment.count for moment in moments]
    share = min(1.0, ended / max(sum(counts), 1e-9))
    return tuple(
        attrs.evolve(part, spread=part.spread * math.sqrt(1 + 1 / (count * share + known_part.centre_tasks)))
        for part, known_part, count in zip(parts, prior, counts, strict=True)
    )
