"""The distribution of durations: tables and logarithms against the textbook's plain formulas."""

from __future__ import annotations

import math

import pytest
import textbook
from hypothesis import assume, given
from hypothesis import strategies as st

from foxapi_async._cadence.durations import Durations, LogNormal, log_normal_survival, log_sum, normal_hazard
from foxapi_async._cadence.estimates import Estimator
from foxapi_async._cadence.priors import TIMED, UNTIMED

MIXTURES = {
    "believed of estimates": Estimator(TIMED).durations,
    "believed without one": Estimator(UNTIMED).durations,
    "one group": Durations((LogNormal(1.0, 0.3, 0.25),)),
    "sharp": Durations((LogNormal(1.0, -0.2, 0.02),)),
    "two groups far apart": Durations((LogNormal(0.4, -2.0, 0.1), LogNormal(0.6, 1.0, 0.2))),
}
mixtures = st.sampled_from(list(MIXTURES.values()))
ratios = st.floats(1e-3, 1e3)


@given(mixtures, st.floats(0.01, 20))
def test_survival_is_the_textbooks(durations, x):
    """The logarithm of S equals that of the plain sum, if plain numbers suffice."""
    expected = textbook.survival(durations, x)
    assume(expected > 1e-200)

    assert math.isclose(expected, math.exp(durations.log_survival(math.log(x))), rel_tol=1e-9)


@given(mixtures, st.floats(0.01, 10))
def test_the_hazard_is_the_density_over_the_survival(durations, x):
    """h = f / S, with the textbook's f and S."""
    survival = textbook.survival(durations, x)
    assume(survival > 1e-200)

    assert math.isclose(
        textbook.density(durations, x) / survival, durations.hazard(x), rel_tol=1e-6, abs_tol=1e-300
    )


def test_far_tails_do_not_break():
    """If the survival underflows a float, its logarithm and the hazard still continue smoothly."""
    narrow = Durations((LogNormal(1.0, 0.0, 0.1),))
    logs = [narrow.log_survival(z / 10) for z in (29.0, 29.99, 30.01, 31.0, 60.0)]

    assert sorted(logs, reverse=True) == logs
    assert math.isclose(logs[1], logs[2], rel_tol=2e-3)
    assert all(math.isfinite(narrow.hazard(math.exp(z / 10))) for z in (29.99, 30.01, 60.0))


@given(st.floats(-1e6, 1e4))
def test_the_normals_tail_lies_within_its_bounds(z):
    """The mean of a normal's tail is above its beginning, by less than 1 / z (Mills' ratio), also if S underflows."""
    mean = normal_hazard(z)

    assert math.isfinite(log_normal_survival(z))
    assert max(0.0, z) * (1 - 1e-7) <= mean
    assert (mean <= z + 1 / z + 1e-7 * z) if z > 1 else mean < 1.6


@given(st.lists(st.floats(-700, 700), min_size=1))
def test_a_sum_of_logarithms_does_not_overflow(logs):
    """It is between the largest logarithm, and the result if all were as large."""
    assert max(logs) - 1e-9 <= log_sum(logs) <= max(logs) + math.log(len(logs)) + 1e-9


@given(mixtures, st.floats(0, 10))
def test_the_table_follows_the_cumulative_hazard(durations, x):
    """The table's H is -ln S to a hundredth of a completion, within its dense part."""
    survival = textbook.survival(durations, x)
    assume(survival > 1e-15)

    assert math.isclose(-math.log(survival), durations.cumulative_hazard(x), abs_tol=0.012)


@given(mixtures)
def test_the_table_grows(durations):
    """Points and cumulative hazards grow, from 0 at 0, and every hazard is a finite number."""
    table = durations.table

    assert (0.0, 0.0) == (table.xs[0], table.cumulative_hazards[0])
    assert sorted(table.xs) == table.xs
    assert sorted(set(table.cumulative_hazards)) == table.cumulative_hazards
    assert all(math.isfinite(hazard) and hazard >= 0 for hazard in table.hazards)
    assert table.hazards[-1] > 0


@given(mixtures, st.floats(0, 1e6))
def test_the_quantile_is_the_inverse_of_the_cumulative_hazard(durations, x):
    """Each function undoes the other, also beyond the end of the table."""
    there = durations.cumulative_hazard(x)

    assert math.isclose(there, durations.cumulative_hazard(durations.quantile(there)), rel_tol=1e-6, abs_tol=1e-9)  # fmt: skip


@given(mixtures, ratios, ratios)
def test_the_cumulative_hazard_grows(durations, x, y):
    """A longer time has more completions."""
    first, second = sorted([x, y])

    assert durations.cumulative_hazard(0.0) == 0.0
    assert durations.cumulative_hazard(first) <= durations.cumulative_hazard(second)


@given(mixtures, st.floats(0, 20))
def test_the_median_residual_halves_the_survival(durations, x):
    """S(x + m) = S(x) / 2, with the textbook's S."""
    alive = textbook.survival(durations, x)
    assume(alive > 1e-9)
    median = durations.median_residual(x)

    assert math.isclose(alive / 2, textbook.survival(durations, x + median), rel_tol=0.03)


@pytest.mark.parametrize("x", [0.0, 1e-9, 1.0, 1e4, 1e12, 1e300])
def test_the_median_residual_is_never_negative(x):
    """It is never infinite either, for a task of any age."""
    assert all(0 <= durations.median_residual(x) < math.inf for durations in MIXTURES.values())


def test_a_component_of_next_to_no_weight_costs_no_fine_grid():
    """If fewer than one task in a thousand is expected there, the table is coarse."""
    one = Durations((LogNormal(1.0, 0.0, 0.3),))
    more = Durations((LogNormal(0.9995, 0.0, 0.3), LogNormal(0.0005, 2.0, 0.3)))

    assert len(one.table.xs) == len(more.table.xs)
