"""The observed lifetimes of tasks, and the mixture that is fitted to them."""

from __future__ import annotations

import json
import math
import random

import pytest
import textbook
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async._cadence.durations import Durations, LogNormal
from foxapi_async._cadence.life_table import Grid, LifeTable
from foxapi_async._cadence.mixture import PriorPart, fit
from foxapi_async._cadence.priors import BY_PROGRESS, TIMED, UNTIMED

GRIDS = [TIMED.grid, UNTIMED.grid, *(prior.grid for prior in BY_PROGRESS)]
FINE = Grid(tuple(-3 + 0.05 * i for i in range(121)))
grids = st.sampled_from(GRIDS)
ONE = (PriorPart(1.0, 0.5, 0.5),)


def total(table: LifeTable) -> tuple[float, float]:
    """The numbers of tasks that ended, and that run."""
    rows = table.rows()
    return sum(row.ended for row in rows), sum(row.running for row in rows)


# The grid.


@pytest.mark.parametrize("grid", GRIDS)
def test_the_points_of_a_grid_grow(grid):
    """Each is beyond the one before."""
    assert sorted(set(grid.points)) == list(grid.points)


@given(grids, st.floats(1e-320, 1e300))
def test_positions_are_those_of_the_logarithm(grid, x):
    """The position of x is that of ln x, and a value beyond the grid counts at its end."""
    log_x = min(max(math.log(x), grid.points[0]), grid.points[-1])
    there, width = grid.at(grid.position(x))

    assert math.isclose(log_x, there, rel_tol=1e-9, abs_tol=1e-9)
    assert width > 0


@given(grids, st.floats(0, 1e3), st.floats(0, 1e3))
def test_positions_grow(grid, x, y):
    """Two ratios keep their order."""
    first, second = sorted([x, y])

    assert 0 <= grid.position(first) <= grid.position(second) <= len(grid.points) - 1


def test_grouping_is_the_variance_that_it_adds():
    """A value that is counted in parts at the points around it has a larger variance, by a sixth of their
    squared distance.
    """
    chance = random.Random(1)
    grid = Grid((-0.2, 0.0, 0.2, 0.4))
    added = []
    for _ in range(20_000):
        position = grid.position(math.exp(chance.uniform(0.0, 0.2)))
        part = position - int(position)
        added.append(part * (1 - part) * 0.2**2)

    assert math.isclose(grid.grouping(1), sum(added) / len(added), rel_tol=0.02)


# The table.


lives = st.lists(st.tuples(st.floats(0.01, 50), st.floats(0.01, 50), st.booleans()), max_size=60)


@given(lives, st.floats(10, 500))
def test_no_task_is_lost_and_none_counted_twice(tasks, memory):
    """A task that was seen running twice is in the table once, and leaves the running ones when it ends."""
    table = LifeTable(TIMED.grid)
    for first, second, ends in tasks:
        before, after = sorted([first, second])
        weight = table.add(1e12)
        table.runs(weight, 0.0, before)
        table.runs(weight, before, after)
        if ends:
            table.ended(weight, after, [(3.25, 0.5), (4.0, 0.5)])
    finished = sum(ends for _, _, ends in tasks)

    assert (pytest.approx(finished), pytest.approx(len(tasks) - finished, abs=1e-6)) == total(table)
    assert all(row.ended >= 0 and row.running >= 0 for row in table.rows())


def test_old_tasks_weigh_less():
    """A task counts e times less after as many births as the memory is long."""
    table = LifeTable(TIMED.grid)
    table.ended(table.add(50.0), 0.0, [(10.0, 1.0)])
    for _ in range(50):
        table.add(50.0)

    assert (pytest.approx(math.exp(-1)), 0) == total(table)


def test_weights_never_overflow():
    """After a hundred thousand births the table counts as many tasks as its memory is long, to the last digits."""
    table = LifeTable(TIMED.grid)
    slow = table.add(10.0)
    table.runs(slow, 0.0, 0.5)
    for _ in range(100_000):
        table.ended(table.add(10.0), 0.0, [(40.5, 1.0)])
    table.runs(slow, 0.5, 3.0)
    table.ended(slow, 3.0, [(70.0, 1.0)])

    assert (pytest.approx(1 / (1 - math.exp(-0.1))), 0) == total(table)
    assert all(math.isfinite(share) for share in (*table._ended, *table._running))


def test_a_task_that_outlives_a_rebase_leaves_nothing_behind():
    """A weight that was added before the scaling is removed exactly."""
    table = LifeTable(TIMED.grid)
    weight = table.add(1.0)
    table.runs(weight, 0.0, 1.0)
    for _ in range(150):
        table.add(1.0)
    for _ in range(100):
        table.add(2.0)
    table.ended(weight, 1.0, [(50.0, 1.0)])

    assert all(abs(share) < 1e-12 for share in table._running)


@given(lives)
def test_a_table_survives_being_saved(tasks):
    """After JSON and back it has the same values, to a ten-thousandth of a task."""
    table, again = LifeTable(TIMED.grid), LifeTable(TIMED.grid)
    for first, second, ends in tasks:
        weight = table.add(100.0)
        table.runs(weight, 0.0, first)
        if ends:
            table.ended(weight, first, [(TIMED.grid.position(second), 1.0)])
    again.load(json.loads(json.dumps(table.to_dict())), 1e9)

    assert pytest.approx(total(table), abs=0.03) == total(again)


def test_a_loaded_table_counts_for_less():
    """It counts as the requested number of tasks, or as its own number, if that is less."""
    table = LifeTable(FINE)
    for i in range(400):
        table.ended(table.add(1e12), 0.0, [(i % 100, 1.0)])
    many, few = LifeTable(FINE), LifeTable(FINE)
    many.load(table.to_dict(), 50.0)
    few.load(table.to_dict(), 5000.0)

    assert pytest.approx(50) == total(many)[0]
    assert pytest.approx(400) == total(few)[0]


# The mixture.


def table_of(logs: list[float], until: float = math.inf) -> LifeTable:
    """Tasks that end at these values of ln x; at most seen running at `until`."""
    table = LifeTable(FINE)
    for log_x in logs:
        weight = table.add(1e12)
        if log_x > until:
            table.runs(weight, 0.0, math.exp(until))
        else:
            table.ended(weight, 0.0, [(FINE.position(math.exp(log_x)), 1.0)])
    return table


def start(prior: tuple[PriorPart, ...]) -> tuple[LogNormal, ...]:
    tasks = sum(part.tasks for part in prior)
    return tuple(LogNormal(part.tasks / tasks, part.centre, part.spread) for part in prior)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spread", [0.1, 0.2, 0.4])
def test_one_group_is_found(seed, spread):
    """Two thousand tasks outvote the prior: centre and spread are theirs, also on a coarse grid."""
    chance = random.Random(seed)
    rows = table_of([chance.gauss(-0.3, spread) for _ in range(2000)]).rows()
    (part,) = fit(rows, ONE, start(ONE), 20)

    assert math.isclose(-0.3, part.centre, abs_tol=3 * spread / math.sqrt(2000) + 0.002)
    assert math.isclose(spread, part.spread, rel_tol=0.1)
    assert part.weight == 1


def test_a_coarse_grid_keeps_a_narrow_spread():
    """A group that is narrower than the grid's steps keeps its spread: the effect of the steps is subtracted."""
    chance = random.Random(4)
    grid = Grid(tuple(-3 + 0.1 * i for i in range(61)))
    table = LifeTable(grid)
    for _ in range(3000):
        position = grid.position(math.exp(chance.gauss(-0.27, 0.05)))
        table.ended(table.add(1e12), 0.0, [(position, 1.0)])
    prior = (PriorPart(1.0, -0.27, 0.05),)
    (part,) = fit(table.rows(), prior, start(prior), 5)

    assert math.isclose(0.05, part.spread, rel_tol=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_tasks_that_still_run_are_no_bias(seed):
    """If half of the tasks are only known to run still, the centre is found anyway."""
    chance = random.Random(seed)
    rows = table_of([chance.gauss(0.2, 0.3) for _ in range(2000)], until=0.2).rows()
    (part,) = fit(rows, ONE, start(ONE), 100)

    assert math.isclose(0.2, part.centre, abs_tol=0.04)
    assert math.isclose(0.3, part.spread, rel_tol=0.1)


def test_two_groups_are_found():
    """Each gets its own component, with its own weight."""
    chance = random.Random(3)
    prior = (PriorPart(1.0, -0.5, 0.5), PriorPart(1.0, 0.5, 0.5))
    logs = [chance.gauss(-2.0, 0.1) if chance.random() < 0.3 else chance.gauss(0.5, 0.2) for _ in range(2000)]
    quick, slow = fit(table_of(logs).rows(), prior, start(prior), 30)

    assert (0.3, -2.0, 0.1) == pytest.approx((quick.weight, quick.centre, quick.spread), abs=0.03)
    assert (0.7, 0.5, 0.2) == pytest.approx((slow.weight, slow.centre, slow.spread), abs=0.03)


def test_nothing_seen_leaves_the_prior():
    """An empty table changes nothing."""
    parts = fit([], TIMED.parts, start(TIMED.parts), 10)

    assert [part.centre for part in TIMED.parts] == pytest.approx([part.centre for part in parts])
    assert [part.spread for part in TIMED.parts] == pytest.approx([part.spread for part in parts])


@given(lives, st.integers(1, 10))
def test_whatever_was_seen_a_mixture_comes_out(tasks, passes):
    """For all observations weights sum to 1, spreads are positive, and the table of hazards can be made."""
    table = LifeTable(TIMED.grid)
    for first, second, ends in tasks:
        weight = table.add(100.0)
        table.runs(weight, 0.0, first)
        if ends:
            table.ended(weight, first, [(TIMED.grid.position(second), 1.0)])
    parts = fit(table.rows(), TIMED.parts, start(TIMED.parts), passes)

    assert math.isclose(1.0, sum(part.weight for part in parts), rel_tol=1e-9)
    assert all(part.spread > 0 and math.isfinite(part.centre) for part in parts)
    assert math.isfinite(textbook.survival(Durations(parts), 1.0))
    assert Durations(parts).table.hazards[-1] > 0


@pytest.mark.parametrize("prior", [TIMED, UNTIMED, *BY_PROGRESS])
@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize("ends", [True, False])
def test_a_thousand_tasks_at_one_end_of_the_grid_break_nothing(prior, at, ends):
    """This holds even if all ended, or all still run, in the same place."""
    table = LifeTable(prior.grid)
    x = math.exp(prior.grid.points[at])
    for _ in range(1000):
        weight = table.add(1e12)
        table.runs(weight, 0.0, x)
        if ends:
            table.ended(weight, x, [(prior.grid.position(x), 1.0)])
    durations = Durations(fit(table.rows(), prior.parts, start(prior.parts), 300))

    assert all(math.isfinite(hazard) for hazard in durations.table.hazards)
    assert durations.table.hazards[-1] > 0
