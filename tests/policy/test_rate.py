"""The rate of requests: limits and refusals. No loop: moments are numbers."""

from __future__ import annotations

import collections
import math
import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async._policy.rate import DOUBLED_AFTER, FORGET_AT, LOWEST, AdaptiveRate

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


@attrs.frozen
class Run:
    """What a service got from a client that sends as fast as it may."""

    sent: list[float]
    accepted: list[float]

    def per_second(self, moments: list[float], since: float, until: float) -> float:
        return sum(since <= moment < until for moment in moments) / (until - since)


def served(
    pace: AdaptiveRate,
    *,
    limit: float = math.inf,
    at_random: float = 0.0,
    demand: float = 100.0,
    seconds: float = 400.0,
    retry_after: float = 0.0,
    seed: int = 0,
    start: float = 0.0,
) -> Run:
    """A service with a token bucket of `limit` a second; it also refuses a share at random. It answers after 0.2 s."""
    chance, run = random.Random(seed), Run([], [])
    now = last = held_until = start
    tokens = most = max(2.0, min(limit, demand))
    refusals: collections.deque[float] = collections.deque()
    while now < start + seconds:
        while refusals and refusals[0] <= now:
            moment = refusals.popleft()
            held_until = max(held_until, moment + retry_after)
            pace.count_refusal(moment, moment + retry_after)
        if now < held_until:
            now = held_until
            continue
        pace.count(now)
        run.sent.append(now)
        tokens, last = min(most, tokens + (now - last) * min(limit, demand * 2)), now
        if chance.random() < at_random or tokens < 1:
            refusals.append(now + 0.2)
        else:
            tokens -= 1
            run.accepted.append(now)
        now += 1 / min(pace.rate(now) or math.inf, demand)
    return run


# Refusals at random.


@pytest.mark.parametrize("demand", [5.0, 50.0, 400.0])
@pytest.mark.parametrize("share", [0.005, 0.01, 0.02])
@pytest.mark.thorough
def test_refusals_at_random_do_not_cut_the_pace(share, demand):
    """Up to 2 % of refusals leave all of the pace."""
    run = served(AdaptiveRate(), at_random=share, demand=demand)

    assert math.isclose(demand, run.per_second(run.sent, 0.0, 400.0), rel_tol=0.01)


@given(st.floats(0.005, 0.05), st.floats(2.0, 100.0), st.integers(0, 1000))
@pytest.mark.thorough
def test_the_pace_does_not_fall_with_refusals_at_random(share, demand, seed):
    """Up to 5 %: a cut by chance is one cut by the share, and the pace grows again."""
    run = served(AdaptiveRate(), at_random=share, demand=demand, seed=seed, seconds=20_000 / demand)

    assert run.per_second(run.sent, 10_000 / demand, 20_000 / demand) > 0.85 * demand


def test_refusals_at_random_that_ask_for_a_wait_cost_the_wait_and_not_the_pace():
    """Each of them holds all requests for a second; between the holds the pace is as before."""
    run = served(AdaptiveRate(), at_random=0.02, demand=50.0, retry_after=1.0)

    assert 0.8 * 50 / 2 < run.per_second(run.sent, 100.0, 400.0)


# A real limit.


@given(
    st.floats(2.0, 60.0), st.just(0.0) | st.floats(0.005, 0.05), st.floats(1.5, 20.0), st.integers(0, 1000)
)
@pytest.mark.thorough
def test_a_real_limit_is_found_and_kept(limit, share, times, seed):
    """The limit is used up to 10 %, and exceeded by at most 10 %, also if some refusals are at random."""
    pace = AdaptiveRate()
    seconds = max(300.0, 3000 / limit)
    run = served(pace, limit=limit, at_random=share, demand=times * limit, seconds=seconds, seed=seed)
    possible = limit / (1 - share)

    assert run.per_second(run.accepted, seconds / 3, seconds) > 0.9 * limit
    assert run.per_second(run.sent, seconds / 3, seconds) < 1.1 * possible


@pytest.mark.parametrize("limit", [1, 10, 100])
def test_a_real_limit_is_found_soon(limit):
    """At ten times the limit: a minute's worth of requests later, hardly any is refused."""
    run = served(AdaptiveRate(), limit=limit, demand=10 * limit)
    found = max(10.0, 30 / limit)

    assert run.per_second(run.sent, found, found + 20) < 1.1 * limit


@pytest.mark.parametrize("retry_after", [0.05, 1.0])
@pytest.mark.parametrize("limit", [5, 20, 100])
def test_a_real_limit_that_asks_for_a_wait_is_found_too(limit, retry_after):
    """The pace comes down to the limit, so that the waits do not cost throughput."""
    run = served(AdaptiveRate(), limit=limit, demand=10 * limit, retry_after=retry_after)

    assert 0.9 * limit < run.per_second(run.accepted, 100.0, 400.0) <= limit * 1.01
    assert run.per_second(run.sent, 100.0, 400.0) < 1.1 * limit


def test_a_limit_behind_refusals_at_random_is_still_seen():
    """A share that was tolerated because a cut did not lower it is no licence: a limit that begins then is found."""
    pace = AdaptiveRate()
    served(pace, at_random=0.09, demand=50.0, seconds=100.0)
    run = served(pace, limit=10.0, demand=50.0, start=100.0)

    assert run.per_second(run.sent, 200.0, 500.0) < 11.0


def test_a_limit_that_is_gone_is_forgotten():
    """A cut rate doubles in two minutes, is four times as fast after three and a half, and then has no limit."""
    pace, limited = AdaptiveRate(), AdaptiveRate(20.0)
    for each in (pace, limited):
        served(each, limit=5.0, demand=20.0, seconds=20.0)
        for i in range(100):
            each.count_refusal(20.0 + i / 100, 20.0 + i / 100)
    cut_to, end = pace.rate(20.0), 21.0 + DOUBLED_AFTER * math.sqrt(FORGET_AT - 1)

    assert cut_to < 10
    assert math.isclose(2 * cut_to, pace.rate(20.5 + DOUBLED_AFTER), rel_tol=0.01)
    assert math.isclose(FORGET_AT * cut_to, pace.rate(end - 1.0), rel_tol=0.02)
    assert [None, None, 20.0] == [pace.rate(end), pace.rate(60.0), limited.rate(end)]


# Single refusals.


def test_one_refusal_cuts_nothing():
    """With or without a wait, the first refusal of a session says nothing about the rate."""
    pace = AdaptiveRate(80.0)
    for until in (0.1, 5.0):
        pace.count(0.0)
        pace.count_refusal(0.1, until)

    assert 80.0 == pace.rate(5.0)


def test_after_a_wait_the_pace_is_the_one_before():
    """What has waited does not go at once. The wait itself does not lower the pace."""
    pace = AdaptiveRate()
    now = running(pace, 50, 30)
    pace.count_refusal(now, now + 60)
    pace.count_refusal(now + 0.1, now + 60)

    assert math.isclose(50, pace.rate(now + 60), rel_tol=0.02)
    assert math.isclose(50, pace.rate(now + 61), rel_tol=0.02)


def test_a_pace_does_not_grow_during_a_wait():
    """Only the time in which requests go counts, also if waits follow each other."""
    pace = AdaptiveRate()
    running(pace, 50, 30)
    pace.count_refusal(30.0, 31.0)
    before = pace.rate(60.0)
    pace.count_refusal(60.0, 160.0)

    assert before > 51
    assert math.isclose(before, pace.rate(160.0), rel_tol=1e-3)


def test_a_burst_of_refusals_is_one_cut():
    """Answers to requests that were sent together cut the rate once, to what was accepted of them."""
    pace = AdaptiveRate()
    now = running(pace, 50, 30)
    for i in range(40):
        pace.count_refusal(now + i / 1000, now + i / 1000)

    assert math.isclose(0.9 * 50, pace.rate(now + 0.04), rel_tol=0.05)


def test_a_service_that_refuses_everything_still_gets_requests():
    """The pace falls to one request in four seconds and no lower, and is back four minutes after the last refusal."""
    pace, now = AdaptiveRate(), 0.0
    for _ in range(1000):
        pace.count(now)
        pace.count_refusal(now, now)
        now += 1 / (pace.rate(now) or 100.0)

    assert LOWEST <= pace.rate(now) < 0.5
    assert None is pace.rate(now + 240)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=60), st.none() | rates)
def test_the_rate_stays_positive_and_below_the_limit(steps, limit):
    """The rate stays positive and never exceeds the user's limit."""
    pace, now = AdaptiveRate(limit), 0.0
    for wait, refused in steps:
        now += wait
        pace.count_refusal(now, now + wait) if refused else pace.count(now)
        rate = pace.rate(now)
        assert rate is None or 0 < rate <= (limit or math.inf)
