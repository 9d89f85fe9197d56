"""What one billed submit may do after a refusal, and what its error says."""

import asyncio
import contextlib

import pytest
from helpers import fox_request, posts, session_at
from scripted import Reply, scripted

from foxapi_async import AuthenticationError, FoxError, RateLimitError, RetryPolicy
from foxapi_async.emulator import Fault

pytestmark = pytest.mark.virtual

ONCE = RetryPolicy(tries=1)
AGAIN = RetryPolicy(tries=2, resubmit_uncertain=True)
UNUSABLE_ID = b'{"id": "one/two", "status": "pending"}'


async def error_of(awaitable, kind=FoxError):
    """The error of that kind that the call raises."""
    with pytest.raises(kind) as caught:
        await awaitable
    return caught.value


# A caller that has gone.


async def test_a_cancelled_submit_is_not_sent_again_after_a_429():
    """A submit is cancelled after it was sent. Then it gets a 429. It is not sent again."""
    async with scripted(Reply(status=429, seconds=5, retry_after=1)) as service, service.session() as fox:
        submitting = asyncio.create_task(fox.submit(fox_request()))
        await asyncio.sleep(1)
        submitting.cancel()
        await asyncio.sleep(100)

        assert service.submits == [0]


async def test_a_submit_that_timed_out_is_not_sent_again_after_a_429():
    """A submit was sent and its `timeout` passes. Then it gets a 429. It is not sent again."""
    async with scripted(Reply(status=429, seconds=5, retry_after=1)) as service, service.session() as fox:
        await error_of(fox.submit(fox_request(), timeout=1))
        await asyncio.sleep(100)

        assert service.submits == [0]


@pytest.mark.parametrize("retry", [ONCE, RetryPolicy()], ids=["one try", "five tries"])
async def test_an_item_of_a_series_that_ended_is_not_sent_again_after_a_429(retry):
    """An item was sent and its series is closed. Then it gets a 429. It is not sent again."""
    reply = Reply(status=429, seconds=5, retry_after=1)
    async with scripted(reply) as service, service.session(retry=retry) as fox:
        series = fox.as_completed([fox_request()])
        reading = asyncio.create_task(anext(series))
        await asyncio.sleep(1)
        reading.cancel()
        await series.aclose()
        await asyncio.sleep(100)

        assert service.submits == [0]


# A 429 holds the others.


@pytest.mark.parametrize("tries", [1, 2])
async def test_a_429_on_the_last_try_holds_the_others(emulator, tries):
    """The 429 that ends one submit still holds the next one back for its `Retry-After`."""
    for _ in range(tries - 1):
        emulator.add_fault(Fault.status("submit", 429, retry_after=1))
    emulator.add_fault(Fault.status("submit", 429, retry_after=30))
    async with session_at(emulator, retry=RetryPolicy(tries=tries)) as fox:
        await error_of(fox.submit(fox_request("one")), RateLimitError)
        await fox.submit(fox_request("two"))

    *_, last, following = [record.when for record in posts(emulator)]
    assert following >= last + 30


# An earlier try had no answer.


@pytest.mark.parametrize("status", [302, 400, 401, 402, 403, 404, 409, 413, 422, 429])
async def test_a_refusal_after_an_uncertain_try_stays_uncertain(emulator, status):
    """A submit was billed without an answer and is sent again. A refusal of the second try does not say "not charged"."""
    emulator.add_fault(Fault.cut_after("submit"))
    emulator.add_fault(Fault.status("submit", status))
    async with session_at(emulator, retry=AGAIN) as fox:
        error = await error_of(fox.submit(fox_request()))

    assert error.charged == "unknown"


async def test_another_submits_429_after_an_uncertain_try_leaves_it_uncertain(emulator):
    """A submit was billed without an answer. The 429 of another one ends its wait. Its error does not say
    "not charged".
    """
    emulator.add_fault(Fault.cut_after("submit", prompt="one"))
    emulator.add_fault(Fault.status("submit", 429, retry_after=1000, prompt="two"))
    async with session_at(emulator, retry=AGAIN) as fox:
        first, _ = await asyncio.gather(
            fox.submit(fox_request("one"), timeout=60),
            fox.submit(fox_request("two"), timeout=60),
            return_exceptions=True,
        )

    assert first.charged == "unknown"


async def test_an_unusable_id_stays_on_the_error(emulator, fox):
    """The service accepts a submit with an id that cannot be part of a path. The error has that id."""
    emulator.add_fault(Fault.garbage("submit", body=UNUSABLE_ID))

    error = await error_of(fox.submit(fox_request()))

    assert error.task_id == "one/two"


# The account is refused.


async def test_a_401_after_resume_stops_the_submits_again():
    """A submit that is sent after `resume()` gets a late 401. The next submit is not sent."""
    async with (
        scripted(Reply(status=401), Reply(status=401, seconds=10)) as service,
        service.session() as fox,
    ):
        await error_of(fox.submit(fox_request()))
        fox.resume()
        await error_of(fox.submit(fox_request()), AuthenticationError)
        with contextlib.suppress(AuthenticationError):
            await fox.submit(fox_request())

    assert service.submits == [0, 0]


async def test_a_401_to_what_was_sent_before_resume_stops_nothing():
    """A probe is sent, then `resume()` is called, then the probe gets its 401. The next submit is sent."""
    replies = [Reply(status=401), Reply(status=401, seconds=10)]
    async with scripted(*replies) as service, service.session() as fox:
        await error_of(fox.submit(fox_request()))
        await asyncio.sleep(30)
        probe = asyncio.create_task(error_of(fox.submit(fox_request())))
        await asyncio.sleep(5)
        fox.resume()
        await probe
        with contextlib.suppress(AuthenticationError):
            await fox.submit(fox_request())

    assert service.submits == [0, 30, 40]


async def test_a_401_to_what_was_sent_before_the_first_refusal_stops_nothing_after_resume():
    """Two submits are sent. One gets a 401, `resume()` is called, the other gets its 401. The next submit is sent."""
    replies = [Reply(status=401, seconds=10), Reply(status=401)]
    async with scripted(*replies) as service, service.session() as fox:
        first = asyncio.create_task(error_of(fox.submit(fox_request())))
        await asyncio.sleep(1)
        await error_of(fox.submit(fox_request()))
        fox.resume()
        await first
        with contextlib.suppress(AuthenticationError):
            await fox.submit(fox_request())

    assert service.submits == [0, 1, 10]
