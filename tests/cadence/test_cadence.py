"""When to poll, in seconds: the bounds for all numbers, units, prices, and readable plans."""

from __future__ import annotations

import itertools
import math
import random
import sys

import pytest
import textbook
from hypothesis import assume, given
from hypothesis import strategies as st

from foxapi_async import Cadence, ConfigurationError, Estimates
from foxapi_async._cadence.cadence import FIRST_STEPS
from foxapi_async._cadence.durations import Durations, LogNormal
from foxapi_async._cadence.estimates import ModelEstimates, model_estimates
from foxapi_async._cadence.forecast import Forecast, forecast_by_time
from foxapi_async._cadence.priors import NO_ESTIMATE_SECONDS, USABLE_SECONDS, is_usable

LARGEST = sys.float_info.max
FREE = Cadence(poll_price=0.1, shortest=1e-9, longest=1e9)
BELIEVED = forecast_by_time(ModelEstimates(), 1.0).durations

any_number = (
    st.floats() | st.integers() | st.sampled_from([0.0, -0.0, 5e-324, LARGEST, math.inf, math.nan, 10**400])
)
usable = st.floats(*USABLE_SECONDS)
estimates = st.none() | any_number | usable
ages = st.floats(0, 1e6)
steps = st.floats(*FIRST_STEPS)
positive = st.floats(min_value=5e-324, max_value=LARGEST)


@st.composite
def cadences(draw: st.DrawFn) -> Cadence:
    shortest, longest = sorted([draw(positive), draw(positive)])
    return Cadence(poll_price=draw(positive), shortest=shortest, longest=longest)


@st.composite
def learned(draw: st.DrawFn) -> Durations:
    """Any possible result of learning: one to three groups."""
    parts = [
        (draw(st.floats(1e-6, 1)), draw(st.floats(-6, 8)), draw(st.floats(0.004, 3)))
        for _ in range(draw(st.integers(1, 3)))
    ]
    total = sum(weight for weight, _, _ in parts)
    return Durations(tuple(LogNormal(weight / total, centre, spread) for weight, centre, spread in parts))


def moments(cadence: Cadence, estimate: float | None, until: float, step: float = 1.0) -> list[float]:
    """The ages at which a task that runs until `until` is polled; the last poll finds it finished."""
    poll_ages: list[float] = []
    age = 0.0
    while not poll_ages or poll_ages[-1] < until:
        age, step = cadence.next_poll(age, estimate, step), 1.0
        poll_ages.append(age)
    return poll_ages


def start_of(age: float) -> float:
    """The age that a number counts as."""
    return float(age) if 0 < age <= LARGEST else 0.0


# Bounds.


@given(cadences(), any_number, estimates, steps)
def test_the_bounds_hold_for_any_numbers(cadence, age, estimate, step):
    """For any estimate and age, the next poll is a finite age, from `shortest` to `longest` later."""
    start = start_of(age)
    assume(start + cadence.longest < math.inf)
    when = cadence.next_poll(age, estimate, step)

    assert math.isfinite(when)
    assert start + cadence.shortest <= when <= start + cadence.longest


@given(cadences(), any_number, learned(), st.floats(1e-9, 1e9), steps, st.floats(1, math.inf))
def test_the_bounds_hold_whatever_was_learned(cadence, age, durations, scale, step, scarcity):
    """The same holds for any durations and any scarcity."""
    start = start_of(age)
    assume(start + cadence.longest < math.inf)
    when = cadence._next_poll(age, Forecast(scale, durations), step=step, scarcity=scarcity)

    assert start + cadence.shortest <= when <= start + cadence.longest


HUGE = pytest.param(10**400, id="huge")
UNUSABLE = [None, 0, 0.0, -1, -45, math.nan, math.inf, -math.inf, 0.009, 21601, 1e300, HUGE, "45", True]


@pytest.mark.parametrize("estimate", UNUSABLE)
def test_unusable_estimates_count_as_none(estimate):
    """Absent, zero, negative and absurd estimates all count as unknown."""
    assert not is_usable(estimate)
    for age in (0.0, 10.0, 1000.0):
        assert Cadence().next_poll(age, None) == Cadence().next_poll(age, estimate)


@pytest.mark.parametrize("estimate", [0.01, 1, 45, 45.5, 3600, 21600])
def test_usable_estimates(estimate):
    """From a hundredth of a second to six hours an estimate is used as given."""
    assert is_usable(estimate)
    assert Cadence(longest=1e9).next_poll(0.0, estimate) != Cadence(longest=1e9).next_poll(0.0, None)


@pytest.mark.parametrize("age", [-1, -math.inf, math.nan, math.inf, HUGE])
def test_an_age_that_is_invalid_counts_as_0(age):
    """An invalid age does not stop the polls."""
    assert Cadence().next_poll(0.0, 45) == Cadence().next_poll(age, 45)


@given(st.none() | usable, ages, steps)
def test_polls_advance(estimate, age, step):
    """Every poll is later than the one before."""
    assert Cadence().next_poll(age, estimate, step) > age


@given(st.none() | usable, ages, ages)
def test_a_later_poll_never_comes_before_an_earlier_one(estimate, age, other):
    """The next poll's age grows with the age of the last, while nothing is learned."""
    first, second = sorted([age, other])

    assert Cadence().next_poll(first, estimate) <= Cadence().next_poll(second, estimate) * (1 + 1e-9)


@given(st.none() | usable, st.floats(1, 1e4))
def test_a_task_far_beyond_its_estimate_is_still_polled(estimate, times):
    """A task that runs a hundred, or ten thousand times its estimate is polled at least every `longest`."""
    age = times * (estimate or NO_ESTIMATE_SECONDS)

    assert Cadence().next_poll(age, estimate) <= age + 30.0


@pytest.mark.parametrize("name", ["poll_price", "shortest", "longest"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, None, "1", True, HUGE])
def test_a_setting_that_is_no_positive_number_is_refused(name, value):
    """The error names the setting and its value."""
    with pytest.raises(ConfigurationError, match=name):
        Cadence(**{name: value})


def test_bounds_the_wrong_way_round_are_refused():
    """`shortest` may not exceed `longest`."""
    with pytest.raises(ConfigurationError, match="exceeds"):
        Cadence(shortest=2, longest=1)


@pytest.mark.parametrize("step", [0.8, 1.0, 1.2])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 45.0])
def test_an_age_beyond_all_ages_is_a_number_still(scale, step):
    """If the arithmetic of hazards would leave the range of floats, the bounds decide."""
    sharp = Durations((LogNormal(1.0, 0.0, 0.004),))

    assert LARGEST == Cadence()._next_poll(LARGEST, Forecast(scale, sharp), step=step)


# Price and units.


@given(st.none() | st.floats(1, 3600), ages, st.floats(1.01, 100))
def test_gaps_grow_as_the_price_rises(estimate, age, factor):
    """A higher price of a poll never brings the next one forward. The same holds for scarcity."""
    dear = Cadence(poll_price=0.1 * factor, shortest=1e-9, longest=1e9)
    forecast = forecast_by_time(ModelEstimates(), estimate)
    when = dear.next_poll(age, estimate)

    assert FREE.next_poll(age, estimate) <= when * (1 + 1e-9)
    assert math.isclose(when, FREE._next_poll(age, forecast, scarcity=factor), rel_tol=1e-9)


@pytest.mark.parametrize("estimate", [5, 45, 600, None])
def test_polls_fall_as_the_price_rises(estimate):
    """Each doubling of the price makes fewer polls, and more lag."""
    plans = [Cadence(poll_price=0.005 * 2**i, shortest=1e-6, longest=1e6).explain(estimate) for i in range(9)]

    assert all(one.mean_polls > other.mean_polls for one, other in itertools.pairwise(plans))
    assert all(one.mean_lag < other.mean_lag for one, other in itertools.pairwise(plans))


def test_twice_the_price_gives_about_0_7_times_the_polls():
    """The lag is then 1.4 times as long, as the docstring of Cadence promises."""
    cheap, dear = (Cadence(poll_price=price, shortest=1e-6).explain(45) for price in (0.01, 0.02))

    assert math.isclose(math.sqrt(0.5), dear.mean_polls / cheap.mean_polls, rel_tol=0.05)
    assert math.isclose(math.sqrt(2.0), dear.mean_lag / cheap.mean_lag, rel_tol=0.05)


@given(st.floats(0.5, 200), st.floats(0, 50), st.floats(0.1, 50), st.floats(0.01, 10), steps)
def test_scaling_everything_scales_the_schedule(estimate, ratio, scale, price, step):
    """Estimate, price, bounds and age in another unit give the same schedule in that unit."""
    assume(is_usable(estimate * scale))
    age = ratio * estimate
    when = Cadence(poll_price=price).next_poll(age, estimate, step)
    scaled = Cadence(poll_price=price * scale, shortest=0.05 * scale, longest=30.0 * scale)

    assert math.isclose(when * scale, scaled.next_poll(age * scale, estimate * scale, step), rel_tol=1e-6)


def test_steps_spread_the_first_polls():
    """Tasks submitted together are polled apart: evenly spread steps spread the first polls, in their order."""
    low, high = FIRST_STEPS
    firsts = [Cadence().next_poll(0.0, 45, low + (high - low) * i / 8) for i in range(9)]

    assert sorted(set(firsts)) == firsts
    assert firsts[0] < Cadence().next_poll(0.0, 45) < firsts[-1]


@pytest.mark.parametrize("step", [*FIRST_STEPS, 1.0])
def test_a_typical_task_takes_a_reasonable_number_of_polls(step):
    """A task of 45 s with that estimate is polled 5 to 25 times, and its end is noticed within 3 s."""
    poll_ages = moments(Cadence(), 45, 45.0, step)

    assert 5 <= len(poll_ages) <= 25
    assert poll_ages[-1] - 45.0 < 3.0


# Plans.


@given(st.sampled_from([None, 10, 45.5, 300]), st.floats(0.1, 10))
def test_a_plan_is_made_of_next_polls(estimate, price):
    """The polls of a plan are those of `next_poll`, one after the other, until one task in a thousand still runs."""
    cadence = Cadence(poll_price=price)
    plan = cadence.explain(estimate)
    before = [0.0, *(poll.age for poll in plan.polls[:-1])]

    assert [cadence.next_poll(age, estimate) for age in before] == [poll.age for poll in plan.polls]
    assert plan.polls[-1].ended >= 0.999 > plan.polls[-2].ended
    assert sorted(poll.ended for poll in plan.polls) == [poll.ended for poll in plan.polls]


@pytest.mark.parametrize("estimate", [10, 45, 300, None])
def test_a_plans_means_are_those_of_tasks_drawn_at_random(estimate):
    """mean_polls and mean_lag agree with ten thousand random tasks that are looked up in the schedule."""
    chance = random.Random(7)
    forecast = forecast_by_time(ModelEstimates(), estimate)
    parts = forecast.durations.parts
    plan = Cadence().explain(estimate)
    poll_ages = [poll.age for poll in plan.polls]
    lags, counts = [], []
    for part in chance.choices(parts, [part.weight for part in parts], k=10_000):
        ended = forecast.scale * math.exp(chance.gauss(part.centre, part.spread))
        seen = next((i for i, age in enumerate(poll_ages) if age >= ended), None)
        if seen is not None:
            lags.append(poll_ages[seen] - ended)
            counts.append(seen + 1)

    assert math.isclose(plan.mean_polls, sum(counts) / len(counts), rel_tol=0.04)
    assert math.isclose(plan.mean_lag, sum(lags) / len(lags), rel_tol=0.04)


@pytest.mark.parametrize("estimate", [10, 45, 300, None])
def test_a_plan_beats_the_fixed_interval(estimate):
    """At the same mean number of polls, its mean lag is smaller than the lag of a fixed interval, which is
    half of it.
    """
    plan = Cadence(longest=1e6).explain(estimate)

    parts = forecast_by_time(ModelEstimates(), estimate).durations.parts
    mean = (estimate or NO_ESTIMATE_SECONDS) * sum(
        part.weight * math.exp(part.centre + part.spread**2 / 2) for part in parts
    )

    # With an even phase an interval d takes t/d + 1/2 polls.
    assert math.isclose(plan.mean_polls, mean / plan.interval + 0.5, rel_tol=0.04)
    assert plan.interval / 2 == plan.interval_lag
    assert plan.mean_lag < plan.interval_lag


@pytest.mark.parametrize("spread", [0.1, 0.2, 0.3])
def test_good_estimates_reduce_the_lag(spread):
    """If tasks take their estimate, give or take a third, the lag is a third less, or far less."""
    durations = Durations((LogNormal(1.0, 0.0, spread),))
    cadence = Cadence(shortest=1e-6, longest=1e6)
    poll_ages = [cadence._next_poll(0.0, Forecast(45.0, durations))]
    while textbook.survival(durations, poll_ages[-1] / 45) > textbook.FAR:
        poll_ages.append(cadence._next_poll(poll_ages[-1], Forecast(45.0, durations)))
    lag, polls = textbook.lag_and_polls(durations, [poll / 45 for poll in poll_ages])
    interval = math.exp(spread**2 / 2) / (polls - 0.5)

    assert lag < interval / 2 / 1.3


def test_a_plan_names_the_hazard():
    """Beside each poll is the probability per second that a task that still runs ends then."""
    poll = Cadence().explain(45).polls[4]
    ratio = poll.age / 45

    expected = textbook.density(BELIEVED, ratio) / textbook.survival(BELIEVED, ratio) / 45
    assert math.isclose(expected, poll.hazard, rel_tol=1e-6)
    assert math.isclose(1 - textbook.survival(BELIEVED, ratio), poll.ended, abs_tol=0.01)


def test_a_plan_goes_by_what_was_learned():
    """With `estimates` a plan follows the model's own tasks; a model without tasks has the plan without estimates."""
    known = Estimates()
    for _ in range(50):
        estimator = model_estimates(known, "quick").timed
        estimator.ended(estimator.add_task(), 0.1, 0.11)
        estimator.remove_task()

    assert Cadence().explain(45) == Cadence().explain(45, estimates=known, model="new")
    assert Cadence().explain(45, estimates=known, model="quick").mean_polls < 10


def test_a_plan_is_finite():
    """If a poll costs nothing, a plan stops after a thousand polls."""
    assert 1000 == len(Cadence(poll_price=1e-300, shortest=1e-9).explain(3600).polls)


@given(st.floats(1e-3, 1e300), st.floats(1e-300, 1), st.floats(1, 1e300), estimates)
def test_a_plan_can_be_made_of_any_numbers(price, shortest, longest, estimate):
    """For any cadence there is at least one poll, and every share is from 0 to 1."""
    plan = Cadence(price, shortest, longest).explain(estimate)

    assert plan.polls
    assert all(0 <= poll.ended <= 1 for poll in plan.polls)
    assert plan.mean_polls >= 1
