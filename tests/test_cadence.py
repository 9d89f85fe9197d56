"""When to look: bounds for any numbers at all, and the law against independent arithmetic."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from foxapi_async._cadence import (
    FIRST_STEPS,
    NO_ESTIMATE,
    NO_ESTIMATE_SECONDS,
    PRIOR,
    USABLE_SECONDS,
    Cadence,
    is_usable,
    median_remaining,
)
from foxapi_async._durations import Durations, LogNormal

FREE = Cadence(poll_price=0.1, shortest=1e-9, longest=1e9)

any_number = (
    st.floats() | st.integers() | st.sampled_from([0.0, -0.0, 5e-324, sys.float_info.max, math.inf, math.nan])
)
estimates = st.none() | any_number | st.floats(*USABLE_SECONDS)
ages = st.floats(0, 1e6)
phases = st.floats(0, 2)
PHASES = [FIRST_STEPS[0] + (FIRST_STEPS[1] - FIRST_STEPS[0]) * (i + 0.5) / 8 for i in range(8)]
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)


@st.composite
def cadences(draw: st.DrawFn) -> Cadence:
    shortest, longest = sorted([draw(positive), draw(positive)])
    return Cadence(poll_price=draw(positive), shortest=shortest, longest=longest)


def moments(cadence: Cadence, estimate: float | None, until: float, phase: float = 1.0) -> list[float]:
    """The ages at which a task that runs until `until` is looked at; the last one sees it finished."""
    polls: list[float] = []
    age, step = 0.0, phase
    while not polls or polls[-1] < until:
        age, step = cadence.next_poll(age, estimate, step), 1.0
        polls.append(age)
    return polls


def quantiles(durations: Durations, count: int) -> list[float]:
    """`count` ratios that stand for the whole distribution, each for an equal share."""
    ratios: list[float] = []
    for i in range(count):
        log_survival, low, high = math.log(1 - (i + 0.5) / count), -20.0, 20.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if durations.log_survival(middle) > log_survival else (low, middle)
        ratios.append(math.exp(low))
    return ratios


# Bounds.


@given(cadences(), any_number, estimates, phases)
def test_the_bounds_hold_for_any_numbers(cadence, age, estimate, step):
    """Whatever the estimate and the age, the next poll is a finite age, never before `shortest` nor after `longest`."""
    start = float(age) if 0 < age <= sys.float_info.max else 0.0
    assume(start + cadence.longest < math.inf)
    when = cadence.next_poll(age, estimate, step)

    assert math.isfinite(when)
    assert start + cadence.shortest <= when <= start + cadence.longest


@given(any_number, estimates)
def test_what_remains_is_a_time_or_unknown(age, estimate):
    """The time that remains is finite and not negative, and None exactly where the estimate is unusable."""
    remaining = median_remaining(age, estimate)

    assert (remaining is None) is not is_usable(estimate)
    assert remaining is None or (math.isfinite(remaining) and remaining >= 0)


@pytest.mark.parametrize(
    "estimate", [None, 0, 0.0, -1, -45, math.nan, math.inf, -math.inf, 0.009, 21601, 1e300, 10**400, "45"]
)
def test_unusable_estimates_count_as_none(estimate):
    """Absent, zero, negative and absurd estimates are all the same: unknown."""
    assert not is_usable(estimate)
    for age in (0.0, 10.0, 1000.0):
        assert Cadence().next_poll(age, estimate) == Cadence().next_poll(age, None)
    assert median_remaining(5.0, estimate) is None


@pytest.mark.parametrize("estimate", [0.01, 1, 45, 45.5, 3600, 21600])
def test_usable_estimates(estimate):
    """Seconds from a hundredth to six hours are taken at their word."""
    assert is_usable(estimate)
    assert median_remaining(0.0, estimate) is not None


@given(st.none() | st.floats(*USABLE_SECONDS), ages, phases)
def test_polls_advance(estimate, age, step):
    """Every poll lies after the one before."""
    assert Cadence().next_poll(age, estimate, step) > age


@given(st.none() | st.floats(*USABLE_SECONDS), ages, ages, phases)
def test_a_later_look_never_comes_before_an_earlier_one(estimate, age, other, step):
    """The next poll's age grows with the age of the last."""
    first, second = sorted([age, other])

    assert Cadence().next_poll(first, estimate, step) <= Cadence().next_poll(second, estimate, step)


@given(st.none() | st.floats(*USABLE_SECONDS), st.floats(1, 1e4))
def test_a_task_far_beyond_its_estimate_is_still_looked_at(estimate, times):
    """A task that runs a hundred, or ten thousand times its estimate is polled at least every `longest`."""
    age = times * (estimate or NO_ESTIMATE_SECONDS)

    assert Cadence().next_poll(age, estimate) <= age + 30.0


# The law.


@given(st.floats(0.05, 20_000), st.floats(0, 20), phases)
def test_polls_lie_where_the_integral_of_the_density_is_whole(estimate, ratio, step):
    """Between two polls the integral of √(h/2c) is 1: n(t) as the theory has it."""
    age = ratio * estimate
    when = FREE.next_poll(age, estimate, step)
    between = PRIOR.poll_integral(when / estimate) - PRIOR.poll_integral(ratio)

    assert math.isclose(
        step, between * math.sqrt(estimate / (2 * FREE.poll_price)), rel_tol=1e-6, abs_tol=1e-6
    )


@given(st.none() | st.floats(1, 3600), ages, st.floats(1.01, 100))
def test_density_falls_as_the_price_rises(estimate, age, factor):
    """A higher price of a poll never brings the next one forward, and in the free range puts it off."""
    dear = Cadence(poll_price=0.1 * factor, shortest=1e-9, longest=1e9)

    assert dear.next_poll(age, estimate) > FREE.next_poll(age, estimate)


def test_twice_the_price_gives_about_0_7_times_the_polls():
    """As the docstring of Cadence promises."""
    polls = [len(moments(Cadence(poll_price=price, shortest=1e-6), 45, 90.0)) for price in (0.01, 0.02)]

    assert math.isclose(polls[1] / polls[0], math.sqrt(0.5), rel_tol=0.02)


@given(st.floats(0.5, 200), st.floats(0, 50), st.floats(0.1, 50), st.floats(0.01, 10), phases)
def test_scaling_everything_scales_the_schedule(estimate, ratio, scale, price, step):
    """Estimate, price, bounds and age in another unit give the same schedule in that unit."""
    assume(is_usable(estimate * scale))
    age = ratio * estimate
    when = Cadence(poll_price=price).next_poll(age, estimate, step)
    scaled = Cadence(poll_price=price * scale, shortest=0.05 * scale, longest=30.0 * scale)

    assert math.isclose(when * scale, scaled.next_poll(age * scale, estimate * scale, step), rel_tol=1e-9)


def test_phases_spread_the_first_polls():
    """Tasks submitted together poll apart: phases that are spread evenly spread the first polls, in their order."""
    firsts = [Cadence().next_poll(0.0, 45, phase) for phase in PHASES]

    assert sorted(set(firsts)) == firsts
    assert firsts[-1] > 1.5 * firsts[0]
    assert firsts[0] < Cadence().next_poll(0.0, 45) < firsts[-1]


@pytest.mark.parametrize("phase", [*FIRST_STEPS, 1.0])
def test_a_typical_task_takes_a_reasonable_number_of_polls(phase):
    """A task of 45 s with that estimate is polled 5 to 25 times, and the end is seen within 3 s."""
    polls = moments(Cadence(), 45, 45.0, phase)

    assert 5 <= len(polls) <= 25
    assert polls[-1] - 45.0 < 3.0


def lag_and_interval(durations: Durations, estimate: float) -> tuple[float, float]:
    """The law's mean lag over all tasks and phases, and the fixed interval that takes as many polls."""
    cadence = Cadence(shortest=0.001, longest=1e6)
    runs = [(ratio * estimate, phase) for ratio in quantiles(durations, 125) for phase in PHASES]
    schedules = [(until, moments(cadence, estimate, until, phase)) for until, phase in runs]
    mean_lag = sum(polls[-1] - until for until, polls in schedules) / len(runs)
    mean_polls = sum(len(polls) for _, polls in schedules) / len(runs)
    # An interval d with an even phase takes t/d + 1/2 polls on average.
    return mean_lag, sum(until for until, _ in runs) / len(runs) / (mean_polls - 0.5)


@pytest.mark.parametrize("estimate", [10, 45, 300])
def test_the_law_beats_a_fixed_interval(estimate):
    """At the same mean number of polls, the mean lag is smaller than with a fixed interval, which is half of it."""
    lag, interval = lag_and_interval(PRIOR, estimate)

    assert lag < interval / 2 / 1.05


@pytest.mark.parametrize("estimate", [45, 300])
def test_good_estimates_pay(estimate):
    """Where tasks take what the service says, give or take a third, the lag is a fifth less, with nothing learned."""
    lag, interval = lag_and_interval(Durations((LogNormal(1.0, 0.0, 0.3),)), estimate)

    assert lag < interval / 2 / 1.2


def test_the_law_has_the_least_cost_of_its_kind():
    """The mean of lag + price · polls is least at the price itself: other densities of the same shape cost more."""
    runs = [(ratio * 45, phase) for ratio in quantiles(PRIOR, 100) for phase in PHASES]

    def cost(assumed: float) -> float:
        cadence = Cadence(poll_price=assumed, shortest=1e-6, longest=1e6)
        schedules = [(until, moments(cadence, 45, until, phase)) for until, phase in runs]
        return sum(polls[-1] - until + 0.1 * len(polls) for until, polls in schedules) / len(runs)

    assert cost(0.1) < cost(0.025)
    assert cost(0.1) < cost(0.4)


# What remains.


def test_what_remains_of_a_young_task_is_about_its_estimate():
    """At the start the median that remains is near the estimate; well past it, it is a fraction of the age."""
    assert 0.8 * 45 < median_remaining(0.0, 45) < 1.1 * 45
    assert 5.0 < median_remaining(60.0, 45) < 60.0


@given(st.floats(1, 3600))
def test_what_remains_falls_until_the_estimate(estimate):
    """From the first moments, where instant tasks are ruled out, until the estimate is reached it only falls."""
    remaining = [median_remaining(estimate * i / 20, estimate) for i in range(6, 21)]

    assert sorted(remaining, reverse=True) == remaining


@given(st.floats(1, 3600), st.floats(0, 100), st.floats(0, 100))
def test_the_expected_end_never_moves_back(estimate, ratio, other):
    """The longer a task has run, the later is the median of its end."""
    first, second = sorted([ratio * estimate, other * estimate])

    assert (
        first + median_remaining(first, estimate)
        <= second + median_remaining(second, estimate) + 1e-6 * estimate
    )


# The distribution.

MIXTURES = [PRIOR, NO_ESTIMATE, Durations((LogNormal(1.0, 0.3, 0.25),))]
ratios = st.floats(1e-3, 1e3)


def reference_survival(durations: Durations, x: float) -> float:
    """S(x) as the textbook has it, in plain numbers."""
    return sum(
        part.weight * 0.5 * math.erfc((math.log(x) - part.centre) / part.spread / math.sqrt(2)) for part in durations.parts
    )  # fmt: skip


@pytest.mark.parametrize("durations", MIXTURES)
@given(x=st.floats(0.01, 20))
def test_survival_is_the_textbooks(durations, x):
    """The logarithm of S is that of the plain sum, wherever plain numbers suffice."""
    expected = reference_survival(durations, x)
    assume(expected > 1e-200)

    assert math.isclose(expected, math.exp(durations.log_survival(math.log(x))), rel_tol=1e-9)


@pytest.mark.parametrize("durations", MIXTURES)
@given(x=st.floats(0.01, 10))
def test_hazard_is_the_fall_of_log_survival(durations, x):
    """h(x) = -d/dx ln S(x), by numerical differentiation of the textbook's S."""
    step = 1e-4 * x
    before, after = reference_survival(durations, x - step), reference_survival(durations, x + step)
    assume(after > 1e-200)
    slope = (math.log(before) - math.log(after)) / (2 * step)

    assert math.isclose(slope, durations.hazard(x), rel_tol=1e-3, abs_tol=1e-7)


def test_far_tails_do_not_break():
    """Where the survival underflows a float, its logarithm and the hazard go on smoothly."""
    narrow = Durations((LogNormal(1.0, 0.0, 0.1),))
    logs = [narrow.log_survival(z / 10) for z in (29.0, 29.99, 30.01, 31.0, 60.0)]

    assert sorted(logs, reverse=True) == logs
    assert math.isclose(logs[1], logs[2], rel_tol=2e-3)
    assert all(math.isfinite(narrow.hazard(math.exp(z / 10))) for z in (29.99, 30.01, 60.0))


@pytest.mark.parametrize("durations", MIXTURES)
@given(x=st.floats(0, 1e6))
def test_the_poll_integral_and_its_inverse_are_inverse(durations, x):
    """There and back again, also beyond the end of the table."""
    assert math.isclose(
        x, durations.inverse_poll_integral(durations.poll_integral(x)), rel_tol=1e-6, abs_tol=1e-7
    )


@pytest.mark.parametrize("durations", MIXTURES)
@pytest.mark.parametrize("x", [0.05, 0.3, 1.0, 2.0, 5.0])
def test_the_poll_integral_is_the_integral_of_the_root_of_the_hazard(durations, x):
    """The table agrees with a fine midpoint sum over ln u."""
    low, high, count = math.log(1e-9), math.log(x), 4000
    width = (high - low) / count
    points = [math.exp(low + (i + 0.5) * width) for i in range(count)]
    integral = sum(math.sqrt(durations.hazard(u)) * u * width for u in points)

    assert math.isclose(integral, durations.poll_integral(x), rel_tol=0.01, abs_tol=1e-6)


@pytest.mark.parametrize("durations", MIXTURES)
@given(x=ratios, y=ratios)
def test_the_poll_integral_grows(durations, x, y):
    """More time is more polls."""
    first, second = sorted([x, y])

    assert durations.poll_integral(0.0) == 0.0
    assert durations.poll_integral(first) <= durations.poll_integral(second)


@pytest.mark.parametrize("durations", MIXTURES)
@given(x=st.floats(0, 20))
def test_the_median_residual_halves_the_survival(durations, x):
    """S(x + m) = S(x) / 2, by the textbook's S."""
    alive = reference_survival(durations, x) if x > 0 else 1.0
    assume(alive > 1e-100)
    median = durations.median_residual(x)

    assert math.isclose(alive / 2, reference_survival(durations, x + median), rel_tol=0.02)
