"""The polling law against independent arithmetic: bisection, dynamic programming, and all numbers."""

from __future__ import annotations

import math
import sys

import pytest
import textbook
from hypothesis import assume, given
from hypothesis import strategies as st

from foxapi_async._cadence.durations import Durations, LogNormal, Table
from foxapi_async._cadence.inspection import completions_per_poll, next_inspection

ANY = st.floats(min_value=5e-324, max_value=sys.float_info.max)
prices = st.floats(1e-6, 10)


@st.composite
def mixtures(draw: st.DrawFn) -> Durations:
    """One group of durations, or two."""
    parts = [
        (draw(st.floats(0.01, 1)), draw(st.floats(-2, 2)), draw(st.floats(0.01, 1.5)))
        for _ in range(draw(st.integers(1, 2)))
    ]
    total = sum(weight for weight, _, _ in parts)
    return Durations(tuple(LogNormal(weight / total, centre, spread) for weight, centre, spread in parts))


def poll_ages(durations: Durations, price: float) -> list[float]:
    """The law's schedule until nearly all tasks have ended."""
    schedule = [next_inspection(durations, 0.0, price)]
    while textbook.survival(durations, schedule[-1]) > textbook.FAR:
        schedule.append(next_inspection(durations, schedule[-1], price))
    return schedule


def steady(hazard: float) -> Durations:
    """Tasks that end at a constant rate."""
    durations = Durations((LogNormal(1.0, 0.0, 1.0),))
    xs = [0.01 * i for i in range(2000)]
    vars(durations)["table"] = Table(xs, [hazard * x for x in xs], [hazard] * len(xs))
    return durations


# One poll.


@given(st.floats(1e-12, 1e300))
def test_the_share_of_completions_solves_its_equation(price_rate):
    """e^y - y - 1 = c h, by bisection: to 1e-4 if polls are many, to a hundredth everywhere."""
    tolerance = 1e-4 if price_rate <= 0.4 else 0.01

    assert math.isclose(textbook.root(price_rate), completions_per_poll(price_rate), rel_tol=tolerance)


@given(st.floats(0, 1e-12))
def test_for_many_polls_it_is_the_density_of_keller(price_rate):
    """For small c h, y = √(2 c h)."""
    assert math.isclose(
        math.sqrt(2 * price_rate), completions_per_poll(price_rate), rel_tol=1e-5, abs_tol=1e-160
    )


@given(st.floats(0.05, 20), st.floats(1e-4, 2), st.floats(0, 5))
def test_at_a_steady_hazard_the_gap_is_the_known_optimum(hazard, price, x):
    """If tasks end at a constant rate, h times the gap between polls solves e^y - y - 1 = c h."""
    gap = next_inspection(steady(hazard), x, price) - x

    assert math.isclose(textbook.root(price * hazard) / hazard, gap, rel_tol=0.01, abs_tol=1e-9)


@given(st.floats(-1, 1), st.floats(0.05, 1), st.floats(1e-5, 0.5), st.floats(0, 2))
def test_the_next_poll_is_due_by_its_own_hazard(centre, spread, price, x):
    """Between two polls of one group the completions grow to the y for the hazard at the second poll."""
    durations = Durations((LogNormal(1.0, centre, spread),))
    when = next_inspection(durations, x, price)
    before, after = textbook.survival(durations, x), textbook.survival(durations, when)
    assume(after > 1e-9)
    hazard = textbook.density(durations, when) / after
    # The table is linear between its points.
    assert math.isclose(
        textbook.root(price * hazard), math.log(before / after), rel_tol=0.05, abs_tol=0.02 * spread
    )


@given(mixtures(), st.floats(0, 1e300), ANY, st.floats(0.1, 2))
def test_polls_advance_for_any_numbers(durations, x, price, step):
    """Every poll is a finite ratio beyond the last, for any price and age of the task."""
    when = next_inspection(durations, x, price, step)

    assert x < when < math.inf


@given(mixtures(), st.floats(0, 100), prices, st.floats(1.05, 100))
def test_a_dearer_poll_comes_later(durations, x, price, times):
    """A higher price of a poll never brings the next one forward."""
    assert next_inspection(durations, x, price) <= next_inspection(durations, x, price * times) * (1 + 1e-9)


@given(st.floats(-1, 1), st.floats(0.05, 1), st.floats(0, 10), st.floats(0, 10), prices)
def test_in_one_group_a_later_poll_never_comes_before_an_earlier_one(centre, spread, x, y, price):
    """The next poll's moment grows with the moment of the last."""
    durations = Durations((LogNormal(1.0, centre, spread),))
    first, second = sorted([x, y])

    assert next_inspection(durations, first, price) <= next_inspection(durations, second, price) * (1 + 1e-9)


# The whole schedule.


@pytest.mark.parametrize("spread", [0.05, 0.15, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("price", [0.0005, 0.0075, 0.05])
@pytest.mark.thorough
def test_for_lognormals_it_costs_next_to_nothing_more_than_the_optimum(spread, price):
    """Lag and polls together are within 2 % of the least that any schedule can have (dynamic programming)."""
    durations = Durations((LogNormal(1.0, 0.0, spread),))
    lag, polls = textbook.lag_and_polls(durations, poll_ages(durations, price))

    assert lag + price * polls < 1.02 * textbook.least_cost(durations, price)


TWO = {
    "estimates that are often half": (LogNormal(0.5, -0.7, 0.1), LogNormal(0.5, 0.0, 0.1)),
    "cache hits": (LogNormal(0.2, -4.0, 0.3), LogNormal(0.8, 0.0, 0.2)),
    "a few that are stuck": (LogNormal(0.95, 0.0, 0.15), LogNormal(0.05, 1.6, 0.3)),
    "overlapping": (LogNormal(0.5, -0.3, 0.25), LogNormal(0.5, 0.3, 0.25)),
}


@pytest.mark.parametrize("parts", TWO.values(), ids=TWO)
@pytest.mark.parametrize("price", [0.0005, 0.0075, 0.05])
@pytest.mark.thorough
def test_for_mixtures_it_stays_near_the_optimum(parts, price):
    """If tasks come in two groups it costs at most 6 % more than the least."""
    durations = Durations(parts)
    lag, polls = textbook.lag_and_polls(durations, poll_ages(durations, price))

    assert lag + price * polls < 1.06 * textbook.least_cost(durations, price)


def test_there_is_no_poll_between_two_groups():
    """Between two groups of durations there is no poll: it would not pay."""
    durations = Durations((LogNormal(0.5, -2.0, 0.1), LogNormal(0.5, 1.0, 0.1)))
    schedule = poll_ages(durations, 0.01)
    lull = [
        x for x in schedule if textbook.quantile(durations, 0.4999) < x < textbook.quantile(durations, 0.5001)
    ]

    assert [x for x in schedule if x < 0.2] and [x for x in schedule if x > 2]
    assert len(lull) <= 1


def test_a_small_first_group_is_not_worth_a_poll():
    """A poll that would see one task in two thousand, while the others still need long, is not made; one in
    five is.
    """
    rare, common = (
        Durations((LogNormal(share, -4.0, 0.2), LogNormal(1 - share, 0.0, 0.05))) for share in (0.0005, 0.2)
    )

    assert next_inspection(rare, 0.0, 0.01) > 0.5
    assert next_inspection(common, 0.0, 0.01) < 0.1


def test_the_price_decides_whether_a_poll_pays_at_all():
    """If no poll of the table pays, the first one that is due is used, and beyond the table its last hazard."""
    durations = Durations((LogNormal(1.0, 0.0, 0.3),))

    assert 1e4 < next_inspection(durations, 0.0, 1e300) < math.inf
    assert 2e4 < next_inspection(durations, 2e4, 0.01) < 2.1e4
