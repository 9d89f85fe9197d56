"""Requests of one kind wait for their turn: a limit, a hold, and the refusal for requests that cannot wait."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from crowd import Service, room
from helpers import now
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import NotFoundError, RateLimitError
from foxapi_async._policy.rate import AdaptiveRate
from foxapi_async._retry.rate_limiter import PacedLimiter


@given(st.floats(0.1, 5000), st.lists(st.floats(0, 2), min_size=1, max_size=50))
def test_a_request_that_goes_a_little_early_brings_the_next_no_forward(limit, waits):
    """Timers may fire a millisecond early: in total, no more requests go than the limit allows."""
    gate, now, sent = PacedLimiter(AdaptiveRate(limit)), 0.0, []
    for wait in waits:
        now = max(now + wait, gate.next_allowed(now) - 0.001)
        gate.take(now)
        sent.append(now)

    assert all(j - i <= (sent[j] - sent[i] + 0.0011) * limit * (1 + 1e-9) for i in range(len(sent)) for j in range(i, len(sent)))  # fmt: skip


def test_an_open_gate_lets_everything_through():
    """Without a limit and without a refusal, a request goes at once."""
    gate = PacedLimiter(AdaptiveRate())
    gate.take(5.0)

    assert 5.0 == gate.next_allowed(5.0)
    assert 4.0 == PacedLimiter(AdaptiveRate()).next_allowed(4.0)
    assert None is gate.rate(5.0)


@pytest.mark.virtual
async def test_a_limiter_that_is_held_says_why():
    """Requests that cannot wait for so long get the refusal, until a request goes."""
    gate, refusal = PacedLimiter(AdaptiveRate()), RateLimitError("too fast", status=429)
    gate.hold(30.0, refusal)
    gate.hold(20.0, RateLimitError("later, but shorter", status=429))

    assert 30.0 == gate.next_allowed(0.0)
    assert "too fast" in str(await gate.acquire(lambda: 10.0))
    assert None is await gate.acquire(lambda: 31.0)
    assert 30.0 == now()
    assert None is await gate.acquire(lambda: 0.0)


@pytest.mark.virtual
async def test_a_refusal_without_a_wait_holds_nothing_back():
    """It is counted for the pace, and other requests go on."""
    gate = PacedLimiter(AdaptiveRate())
    gate.hold(now(), RateLimitError("too fast", status=429))

    assert None is await gate.acquire(lambda: 0.0)
    assert 0.0 == now()


@pytest.mark.virtual
async def test_submits_keep_their_order_and_their_pace():
    """A limiter lets requests go in the order in which they came, evenly, also after a hold."""
    gate, sent = PacedLimiter(AdaptiveRate(10.0)), []

    async def send(number):
        await gate.acquire()
        sent.append((now(), number))

    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(send(number))
        await asyncio.sleep(1.05)
        before = len(sent)
        gate.hold(now() + 20.0, NotFoundError("any refusal", status=429))
    moments = [moment for moment, _ in sent]

    assert list(range(40)) == [number for _, number in sent]
    assert 11 == before
    assert 21.05 == pytest.approx(moments[11])
    assert all(b - a > 0.0999 for a, b in itertools.pairwise(moments))


@pytest.mark.virtual
async def test_a_hold_that_begins_while_one_waits_may_be_too_long_for_it():
    """A waiting request gets the refusal when its turn would have come."""
    limiter = PacedLimiter(AdaptiveRate(1.0))
    limiter.take(now())
    waiting = asyncio.create_task(limiter.acquire(lambda: 10.0))
    await asyncio.sleep(0.5)
    limiter.hold(100.0, RateLimitError("too fast", status=429))

    assert "too fast" in str(await waiting)
    assert 1.0 == now()


class Lease:
    """The share of a rate that a store of many machines grants: it changes while requests wait."""

    def __init__(self, shares):
        self._shares = shares  # (from when on, requests a second)
        self.counted = []
        self.refusals = []

    def rate(self, now):
        return [rate for since, rate in self._shares if since <= now][-1]

    def count(self, now):
        self.counted.append(now)

    def count_refusal(self, now, until):
        self.refusals.append((now, until))


@pytest.mark.virtual
async def test_a_lease_feeds_a_limiter():
    """The rate is asked anew for each request, so a share that grows or shrinks counts at once."""
    lease, sent = Lease([(0.0, 2.0), (1.0, 10.0), (1.5, 1.0)]), []
    limiter = PacedLimiter(lease)
    for _ in range(9):
        await limiter.acquire()
        sent.append(round(now(), 6))

    assert [0.0, 0.5, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 2.5] == sent
    assert sent == [round(moment, 6) for moment in lease.counted]


@pytest.mark.virtual
async def test_a_lease_gets_a_refusal():
    """A 429 reaches the lease: the store can slow the other machines down too."""
    lease = Lease([(0.0, None)])
    PacedLimiter(lease).hold(5.0, RateLimitError("too fast", status=429))

    assert [(0.0, 5.0)] == lease.refusals


@pytest.mark.virtual
async def test_a_lease_paces_the_poller():
    """The poller asks the same rate: of 20 tasks that are attached at once, two are polled a second."""
    service = Service()
    service.polls = PacedLimiter(Lease([(0.0, 2.0)]))
    async with room(service) as at:
        for _ in range(20):
            at.poller.attach(service.create(1000.0).id, None, None)
        await asyncio.sleep(5.2)

    assert 11 == len(service.asked)


class LeasedOut:
    """A rate that is 0 until a moment, as a part of a shared rate whose lease has ended."""

    def __init__(self, until):
        self.until = until

    def rate(self, now):
        return 0.0 if now < self.until else 2.0

    def count(self, now):
        """Nothing is counted."""


@pytest.mark.virtual
async def test_at_a_rate_of_0_nothing_goes():
    """Requests wait until the rate is another one, and then go at its pace."""
    gate, went = PacedLimiter(LeasedOut(until=4.95)), []
    for _ in range(3):
        await gate.acquire()
        went.append(now())

    assert [5.0, 5.5, 6.0] == [round(moment, 6) for moment in went]
