"""The time limits of one exchange: arrived bytes count, and an unsent request ends exactly at its limit."""

from __future__ import annotations

import asyncio

import pytest
from helpers import now

from foxapi_async._http.exchange import Exchange, ExchangeFailed, ExchangeTimeouts

pytestmark = pytest.mark.virtual


async def ended_at(exchange, *, sent=True, pieces=(), done=None):
    """When and how an exchange ends, if its pieces are read at these moments and it is done at `done`."""
    try:
        async with exchange.timeout:
            if sent:
                exchange.hand_over()
            for when in pieces:
                await asyncio.sleep(when - now())
                exchange.note_received()
            await asyncio.sleep(1e6 if done is None else done - now())
    except TimeoutError:
        return "limit", round(now(), 6)
    finally:
        exchange.close()
    return "done", round(now(), 6)


def every(step, since, until):
    """Moments of regular pieces."""
    return [since + n * step for n in range(1, round((until - since) / step) + 1)]


async def test_what_was_not_sent_ends_exactly_at_its_limit():
    """No answer can be on its way."""
    assert await ended_at(Exchange(10, 60), sent=False) == ("limit", 10.0)


async def test_silence_ends_a_sent_exchange_after_a_pause():
    """It is over 25 ms after its limit if no byte arrives."""
    assert await ended_at(Exchange(10, 60)) == ("limit", 60.025)


async def test_bytes_that_keep_coming_are_waited_for():
    """It continues while pieces arrive, and ends with the first pause."""
    exchange = Exchange(10, 60)

    assert await ended_at(exchange, pieces=every(0.02, 60.0, 60.5)) == ("limit", 60.55)


async def test_an_answer_that_comes_past_the_limit_counts():
    """It is read to its end."""
    exchange = Exchange(10, 60)

    assert await ended_at(exchange, pieces=every(0.02, 59.99, 60.51), done=60.52) == ("done", 60.52)


async def test_endless_bytes_are_read_for_a_second():
    """Bytes that never stop are read for one second after the limit."""
    exchange = Exchange(10, 60)

    assert await ended_at(exchange, pieces=every(0.02, 60.0, 65.0)) == ("limit", 61.0)


async def test_each_hand_over_renews_the_limit():
    """A body that is sent in pieces has its time from the last one, also if that is sent after the limit."""
    exchange = Exchange(10, 60)
    asyncio.get_running_loop().call_at(60.01, exchange.hand_over)

    assert await ended_at(exchange) == ("limit", 120.035)


@pytest.mark.parametrize(("when", "ends"), [(20.0, 20.025), (90.0, 60.025)])
async def test_an_exchange_ends_by_an_earlier_moment(when, ends):
    """A caller who has gone leaves it less time, never more; an arriving answer is still read."""
    exchange = Exchange(10, 60)
    asyncio.get_running_loop().call_at(5.0, exchange.end_by, when)

    assert await ended_at(exchange) == ("limit", ends)


async def test_a_moment_that_is_set_while_bytes_come_changes_nothing():
    """After its limit it ends as soon as it may."""
    exchange = Exchange(10, 60)
    asyncio.get_running_loop().call_at(60.01, exchange.end_by, 60.01)

    assert await ended_at(exchange) == ("limit", 60.025)


async def test_an_answer_that_waits_in_the_socket_of_a_blocked_loop_is_read():
    """The loop continues after the limit: bytes that the next turns bring count."""
    exchange, loop = Exchange(10, 60), asyncio.get_running_loop()
    arrived = loop.create_future()
    loop.call_at(1.0, lambda: (setattr(loop, "_now", 100.0), arrived.set_result(b"answer")))
    async with exchange.timeout:
        exchange.hand_over()
        answer = await arrived

    assert answer == b"answer"


async def test_a_complete_answer_has_no_limit():
    """The work after it may take its time."""
    exchange = Exchange(10, 60)
    asyncio.get_running_loop().call_at(59.0, exchange.complete)

    assert await ended_at(exchange, done=100.0) == ("done", 100.0)


async def test_a_complete_read_has_no_limit():
    """The same holds for a read, which shares its timer with others."""
    spans = ExchangeTimeouts(15.0)
    span = spans.begin()
    asyncio.get_running_loop().call_at(14.0, span.complete)

    assert await ended_at(span, sent=False, pieces=[1.0], done=100.0) == ("done", 100.0)


async def test_an_exchange_leaves_no_timer():
    """Leaving the limit removes its timer, also without closing the exchange."""
    exchange, loop = Exchange(10, 60), asyncio.get_running_loop()
    async with exchange.timeout:
        exchange.hand_over()

    assert [timer for timer in loop._scheduled if not timer.cancelled()] == []


async def test_a_cancelled_exchange_is_no_timeout():
    """Cancelling its task raises `CancelledError`, not a timeout."""
    task = asyncio.create_task(ended_at(Exchange(10, 60)))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()


# `settle`: the submitter's wait after its caller's time.


async def settled_at(exchange, *, pieces=()):
    """How long `settle` takes from second 5 on, with pieces read at these moments."""
    work = asyncio.create_task(ended_at(exchange, pieces=pieces))
    await asyncio.sleep(5.0)
    await exchange.settle()
    took = round(now() - 5.0, 6)
    work.cancel()
    await asyncio.wait([work])
    return took


async def test_settling_takes_a_pause():
    """Without bytes it takes 25 ms."""
    assert await settled_at(Exchange(10, 60)) == 0.025


async def test_settling_continues_while_bytes_come():
    """It ends with the first pause."""
    assert await settled_at(Exchange(10, 60), pieces=every(0.02, 5.0, 5.5)) == 0.525


async def test_settling_takes_a_second_at_most():
    """A slow trickle of bytes does not delay the caller longer."""
    assert await settled_at(Exchange(10, 60), pieces=every(0.02, 5.0, 9.0)) == 1.0


async def test_settling_waits_for_a_large_answer_to_be_parsed():
    """A complete answer that is being parsed counts as arriving."""
    exchange = Exchange(10, 60)
    asyncio.get_running_loop().call_at(4.0, exchange.complete)

    assert await settled_at(exchange) == 1.0


async def test_what_was_not_sent_settles_at_once():
    """There is nothing to wait for."""
    exchange = Exchange(10, 60)
    await exchange.settle()

    assert now() == 0.0


async def test_settling_after_the_end_takes_a_pause():
    """The task of the exchange has that time to pass its result on."""
    exchange = Exchange(10, 60)
    await ended_at(exchange, done=1.0)
    await exchange.settle()

    assert round(now(), 6) == 1.025


# Revoking, and many exchanges at a time.


async def test_a_request_that_was_taken_back_is_never_handed_over():
    """After `cancel` no byte is sent, by any writer; a sent request cannot be taken back."""
    waiting, sent = Exchange(10, 60), Exchange(10, 60)
    async with sent.timeout:
        sent.hand_over()

        assert (True, False) == (waiting.cancel(), sent.cancel())
        with pytest.raises(ExchangeFailed, match="given up"):
            waiting.hand_over()
    assert (False, True) == (waiting.sent, sent.sent)


async def test_nothing_is_handed_over_once_the_exchange_has_ended():
    """The failure's `sent` stays true: a late writer is refused."""
    scope = Exchange(10, 60)
    scope.close()

    with pytest.raises(ExchangeFailed):
        scope.hand_over()
    assert not scope.sent


async def _hang(spans, seconds):
    """An exchange that begins after some seconds and does not end by itself. Returns its duration."""
    await asyncio.sleep(seconds)
    began, span = now(), spans.begin()
    try:
        async with span.timeout:
            await asyncio.sleep(100)
    except TimeoutError:
        return now() - began
    finally:
        span.close()


@pytest.mark.virtual
async def test_each_of_many_exchanges_ends_after_its_own_time():
    """One timer serves all, and each exchange ends exactly its time after its own beginning."""
    spans = ExchangeTimeouts(15.0)

    assert [15.0] * 4 == await asyncio.gather(*(_hang(spans, seconds) for seconds in (0, 0, 3, 20)))


@pytest.mark.virtual
async def test_exchanges_that_end_in_time_leave_no_timer():
    """The timer ends with the last open exchange, in any order of ends."""
    loop, spans = asyncio.get_running_loop(), ExchangeTimeouts(15.0)
    first, second = spans.begin(), spans.begin()
    first.close()
    assert [15.0] == [timer.when() for timer in loop._scheduled if not timer.cancelled()]
    second.close()
    second.close()

    assert [] == [timer for timer in loop._scheduled if not timer.cancelled()]


@pytest.mark.virtual
async def test_a_cancelled_exchange_stays_cancelled():
    """Cancelling the task of an exchange is not a timeout, and disturbs no other exchange."""
    spans = ExchangeTimeouts(15.0)
    first, second = (asyncio.create_task(_hang(spans, 0)) for _ in range(2))
    await asyncio.sleep(1)
    first.cancel()

    assert 15.0 == await second
    assert first.cancelled()


async def test_a_request_whose_permission_has_ended_is_not_sent():
    """It is asked for when the first bytes are about to leave."""
    permission = [True]
    sent, refused = (Exchange(10, 60, lambda: permission[-1]) for _ in range(2))
    sent.hand_over()
    permission.append(False)
    with pytest.raises(ExchangeFailed, match="the permission to send had ended"):
        refused.hand_over()

    assert (True, False) == (sent.sent, refused.sent)
