"""Requests of one kind wait for their turn: a limit, a hold, and the refusal for requests that cannot wait."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from helpers import now
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import NotFoundError, RateLimitError
from foxapi_async._retry.limiter import RateLimiter


@given(st.floats(0.1, 5000), st.lists(st.floats(0, 2), min_size=1, max_size=50))
def test_a_request_that_goes_a_little_early_brings_the_next_no_forward(limit, waits):
    """Timers may fire a millisecond early: in total, no more requests go than the limit allows."""
    gate, now, gone = RateLimiter(limit), 0.0, []
    for wait in waits:
        now = max(now + wait, gate.next_allowed(now) - 0.001)
        gate.take(now)
        gone.append(now)

    assert all(j - i <= (gone[j] - gone[i] + 0.0011) * limit * (1 + 1e-9) for i in range(len(gone)) for j in range(i, len(gone)))  # fmt: skip


def test_an_open_gate_lets_everything_through():
    """Without a limit and without a refusal, a request goes at once."""
    gate = RateLimiter()
    gate.take(5.0)

    assert 5.0 == gate.next_allowed(5.0)
    assert 4.0 == RateLimiter().next_allowed(4.0)
    assert None is gate.rate(5.0)


@pytest.mark.virtual
async def test_a_limiter_that_is_held_says_why():
    """Requests that cannot wait for so long get the refusal, until a request goes."""
    gate, refusal = RateLimiter(), RateLimitError("too fast", status=429)
    gate.hold(30.0, refusal)
    gate.hold(20.0, RateLimitError("later, but shorter", status=429))

    assert 30.0 == gate.next_allowed(0.0)
    assert "too fast" in str(await gate.acquire(lambda: 10.0))
    assert None is await gate.acquire(lambda: 31.0)
    assert 30.0 == now()
    assert None is await gate.acquire(lambda: 0.0)


@pytest.mark.virtual
async def test_submits_keep_their_order_and_their_pace():
    """A limiter lets requests go in the order in which they came, evenly, also after a hold."""
    gate, gone = RateLimiter(10.0), []

    async def send(number):
        await gate.acquire()
        gone.append((now(), number))

    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(send(number))
        await asyncio.sleep(1.05)
        before = len(gone)
        gate.hold(now() + 20.0, NotFoundError("any refusal", status=429))
    moments = [moment for moment, _ in gone]

    assert list(range(40)) == [number for _, number in gone]
    assert 11 == before
    assert 21.05 == pytest.approx(moments[11])
    assert all(b - a > 0.0999 for a, b in itertools.pairwise(moments))
    assert 1 / 7 == pytest.approx(moments[12] - moments[11], rel=0.15)


@pytest.mark.virtual
async def test_a_hold_that_begins_while_one_waits_may_be_too_long_for_it():
    """A waiting request gets the refusal when its turn would have come."""
    limiter = RateLimiter(1.0)
    limiter.take(now())
    waiting = asyncio.create_task(limiter.acquire(lambda: 10.0))
    await asyncio.sleep(0.5)
    limiter.hold(100.0, RateLimitError("too fast", status=429))

    assert "too fast" in str(await waiting)
    assert 1.0 == now()
