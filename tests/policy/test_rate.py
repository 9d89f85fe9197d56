"""The rate of requests: limits and refusals. No loop: moments are numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async._policy.rate import CUT, FORGET_AT, REGAIN_PER_SECOND, AdaptiveRate

rates = st.floats(5e-324, 1e308)


def running(pace: AdaptiveRate, per_second: float, seconds: float, start: float = 0.0) -> float:
    """Let requests go evenly. Returns the moment after the last."""
    count = round(per_second * seconds)
    for i in range(count):
        pace.count(start + i / per_second)
    return start + count / per_second


def test_without_a_limit_there_is_no_pace():
    """With one, the rate is the limit."""
    assert None is AdaptiveRate().rate(0.0)
    assert 3.0 == AdaptiveRate(3.0).rate(1e9)


@pytest.mark.parametrize("per_second", [0.5, 5, 80])
@pytest.mark.parametrize("seconds", [20, 60, 600])
def test_a_refusal_cuts_the_pace_to_seven_tenths(per_second, seconds):
    """Seven tenths of the real rate, not of a limit that was never reached."""
    pace = AdaptiveRate(1000.0)
    now = running(pace, per_second, seconds)
    pace.cut(now, now)

    assert math.isclose(0.7 * per_second, pace.rate(now), rel_tol=0.12)


def test_a_burst_of_refusals_is_one_refusal():
    """Answers to requests that were sent together cut the rate once, not once each."""
    pace = AdaptiveRate()
    now = running(pace, 50, 30)
    for i in range(40):
        pace.cut(now + i / 1000, now + i / 1000)

    assert math.isclose(0.7 * 50, pace.rate(now + 0.04), rel_tol=0.05)


@pytest.mark.parametrize("pause", [0.5, 5, 60, 600])
def test_a_pause_does_not_change_the_rate(pause):
    """For any length of the pause, the rate after it is the one before, cut once, and it grows only from then on."""
    pace = AdaptiveRate()
    now = running(pace, 50, 30)
    pace.cut(now, now + pause)
    pace.cut(now + 0.1, now + pause)
    cut_to = pace.rate(now + pause)

    assert math.isclose(0.7 * 50, cut_to, rel_tol=0.06)
    assert math.isclose(1.2 * cut_to, pace.rate(now + pause + 10), rel_tol=1e-9)


def test_a_pause_of_a_young_session_counts_for_nothing_either():
    """A rate that was kept for a few seconds, in two parts, is as fast as in these parts."""
    pace = AdaptiveRate()
    now = running(pace, 50, 3)
    pace.cut(now, now + 60)
    now = running(pace, 35, 1.5, now + 60)
    pace.cut(now, now)

    assert math.isclose(0.7 * 0.7 * 50, pace.rate(now), rel_tol=0.1)


def test_the_next_refusal_cuts_again():
    """It cuts the then allowed rate, even if few requests went since: six refusals find a tenth of the rate."""
    pace = AdaptiveRate()
    now = running(pace, 50, 30)
    for _ in range(6):
        pace.cut(now, now + 5)
        now = running(pace, 10, 1.5, now + 5)

    assert 50 * 0.7**6 < pace.rate(now) < 1.2 * 50 * 0.7**6


def test_the_pace_grows_back_slowly_and_the_cut_is_forgotten():
    """By a fiftieth of itself per second; when it would be four times as fast, only the user's limit remains."""
    pace, limited = AdaptiveRate(), AdaptiveRate(20.0)
    for each in (pace, limited):
        each.cut(running(each, 10, 60), 60.0)
    cut_to = pace.rate(60.0)
    end = 60.0 + (FORGET_AT - 1) / REGAIN_PER_SECOND

    assert math.isclose(1.2 * cut_to, pace.rate(70.0), rel_tol=1e-9)
    assert math.isclose(2 * cut_to, pace.rate(110.0), rel_tol=1e-9)
    assert 20.0 == limited.rate(end - 0.1)
    assert math.isclose(FORGET_AT * cut_to, pace.rate(end - 0.001), rel_tol=1e-3)
    assert [None, None, 20.0] == [pace.rate(end + 0.1), pace.rate(60.0), limited.rate(end + 0.1)]


def test_a_refusal_of_the_first_request_leaves_some_pace():
    """Before any rate is known, a refusal leaves about one request in one and a half seconds."""
    fresh, one = AdaptiveRate(), AdaptiveRate()
    one.count(5.0)
    for each in (fresh, one):
        each.cut(5.0, 5.0)

    assert CUT == fresh.rate(5.0) == one.rate(5.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=60), st.none() | rates)
def test_the_rate_stays_positive_and_below_the_limit(steps, limit):
    """The rate stays positive and never exceeds the user's limit."""
    pace, now = AdaptiveRate(limit), 0.0
    for wait, refused in steps:
        now += wait
        pace.cut(now, now + wait) if refused else pace.count(now)
        rate = pace.rate(now)
        assert rate is None or 0 < rate <= (limit or math.inf)
