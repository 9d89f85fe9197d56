"""One exchange: whether it was sent, and how long it may take."""

import asyncio

import pytest
from helpers import now

from foxapi_async._http.exchange import Exchange, ExchangeFailed, ExchangeTimeouts


async def test_a_request_that_was_taken_back_is_never_handed_over():
    """After `revoke` no byte goes out, whoever was about to write it; what was sent cannot be taken back."""
    waiting, sent = Exchange(10, 60), Exchange(10, 60)
    async with sent.timeout:
        sent.hand_over()

        assert (True, False) == (waiting.revoke(), sent.revoke())
        with pytest.raises(ExchangeFailed, match="given up"):
            waiting.hand_over()
    assert (False, True) == (waiting.sent, sent.sent)


async def test_nothing_is_handed_over_once_the_exchange_has_ended():
    """What a failure says of sending stays true: a writer that comes late is refused."""
    scope = Exchange(10, 60)
    scope.close()

    with pytest.raises(ExchangeFailed):
        scope.hand_over()
    assert not scope.sent


async def _hang(spans, seconds):
    """An exchange that begins after some seconds and does not end by itself; how long it took."""
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
    """The timer goes with the last exchange that is open, in whichever order they end."""
    loop, spans = asyncio.get_running_loop(), ExchangeTimeouts(15.0)
    first, second = spans.begin(), spans.begin()
    first.close()
    assert [15.0] == [timer.when() for timer in loop._scheduled if not timer.cancelled()]
    second.close()
    second.close()

    assert [] == [timer for timer in loop._scheduled if not timer.cancelled()]


@pytest.mark.virtual
async def test_a_cancelled_exchange_stays_cancelled():
    """Cancelling the task of an exchange is no timeout, and disturbs no other exchange."""
    spans = ExchangeTimeouts(15.0)
    first, second = (asyncio.create_task(_hang(spans, 0)) for _ in range(2))
    await asyncio.sleep(1)
    first.cancel()

    assert 15.0 == await second
    assert first.cancelled()
