"""One logical submit: what is sent, what it costs, and what its caller gets, on a loop whose clock jumps."""

import asyncio
import itertools
import logging
import uuid

import pytest
from helpers import fox_request, now, posts, session_at, settle

from foxapi_async import (
    BadRequestError,
    ConnectionFailedError,
    FoxSession,
    InsufficientQuotaError,
    InvalidRequestError,
    RateLimitError,
    RetryPolicy,
    ServiceUnavailableError,
    TaskAbandonedError,
    UncertainSubmitError,
)
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual


async def failure_of(awaitable):
    """The exception it raises."""
    try:
        await awaitable
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


UNCERTAIN = {
    "cut before accepting": (Fault.cut_before("submit"), 0, None),
    "cut after accepting": (Fault.cut_after("submit"), 1, None),
    "hang past the timeout": (Fault.hang("submit"), 1, None),
    "500": (Fault.status("submit", 500), 0, 500),
    "500 though accepted": (Fault.status("submit", 500, accepted=True), 1, 500),
    "502 in HTML": (Fault.html("submit", status=502), 1, 502),
    "503": (Fault.status("submit", 503), 0, 503),
    "504": (Fault.status("submit", 504), 0, 504),
    "408": (Fault.status("submit", 408), 0, 408),
    "truncated JSON": (Fault.garbage("submit", body=b'{"id": "task-'), 1, 200),
    "no id": (Fault.garbage("submit", body=b'{"status": "pending"}'), 1, 200),
    "an id with a slash": (Fault.garbage("submit", body=b'{"id": "../x"}'), 1, 200),
    "HTML": (Fault.html("submit"), 1, 200),
}


@pytest.mark.parametrize(("fault", "billed", "status"), UNCERTAIN.values(), ids=UNCERTAIN)
async def test_an_unknown_outcome_is_never_sent_again(emulator, fox, fault, billed, status):
    """A submit that was sent and has no usable answer raises UncertainSubmitError after exactly one POST."""
    emulator.add_fault(fault)

    error = await failure_of(fox.submit(fox_request()))

    assert isinstance(error, UncertainSubmitError)
    assert ("unknown", False, status) == (error.charged, error.retryable, error.status)
    assert (1, billed) == (len(posts(emulator)), emulator.billed)
    assert error.idempotency_key
    assert error.__cause__ is error.__context__ is None


REFUSALS = {400: BadRequestError, 402: InsufficientQuotaError, 409: Exception, 418: Exception, 307: Exception}


@pytest.mark.parametrize(("status", "kind"), REFUSALS.items())
async def test_a_refusal_is_raised_at_once(emulator, fox, status, kind):
    """A 3xx or 4xx answer bills nothing and is not tried again."""
    emulator.add_fault(Fault.status("submit", status, message="no foxes today"))

    error = await failure_of(fox.submit(fox_request()))

    assert isinstance(error, kind)
    assert (status, "no", False) == (error.status, error.charged, error.retryable)
    assert "no foxes today" in str(error)
    assert (1, 0) == (len(posts(emulator)), emulator.billed)


async def test_no_channel_right_now_may_be_repeated(emulator, fox):
    """422 `service_unavailable_error` is a refusal that passes with time: retryable, and nothing billed."""
    body = b'{"error":{"message":"no channel","type":"service_unavailable_error"}}'
    emulator.add_fault(Fault.status("submit", 422, body=body))

    error = await failure_of(fox.submit(fox_request()))

    assert isinstance(error, ServiceUnavailableError)
    assert ("no", True) == (error.charged, error.retryable)


async def test_a_redirected_submit_goes_nowhere_else(emulator, fox):
    """A 307 is not followed: neither the key nor the POST goes to another origin."""
    async with Emulator(seconds=1) as other:
        emulator.add_fault(Fault.redirect("submit", f"{other.url}/v1/images/generations"))

        error = await failure_of(fox.submit(fox_request()))

        assert (307, "no") == (error.status, error.charged)
        assert [] == other.requests


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("20s", None),
        ("20, 20", None),
        ("20.0", None),
        (None, b'{"error": {"message": "slow down", "retry_after": 20}}'),
        (None, b'{"error": {"message": "Please try again in 20 seconds."}}'),
        (None, b'{"error": {"message": "slow down"}, "retry_after_ms": 20000}'),
    ],
)
async def test_every_spelling_of_a_wait_is_obeyed(emulator, fox, header, body):
    """The submit goes again after the wait, and is billed once."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=header, body=body))
    began = now()
    await fox.submit(fox_request())

    assert 20 <= now() - began < 25
    assert (2, 1) == (len(posts(emulator)), emulator.billed)


async def test_a_429_is_waited_out_for_as_long_as_asked(emulator, fox):
    """A 429 is a refusal: the submit is repeated after `Retry-After`, never earlier, with one idempotency key."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=7, times=2))

    await fox.submit(fox_request())

    times = [record.when for record in posts(emulator)]
    assert 3 == len(times)
    assert all(later - earlier >= 7 for earlier, later in itertools.pairwise(times))
    assert 1 == emulator.billed


async def test_a_429_holds_back_every_other_submit(emulator, fox):
    """While one submit waits for `Retry-After`, no other is sent."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=30))
    first = asyncio.create_task(fox.submit(fox_request("one")))
    await asyncio.sleep(1)
    await fox.submit(fox_request("two"))

    assert now() >= 30
    await first
    assert 2 == emulator.billed


async def test_a_429_that_outlasts_the_time_left_is_raised_at_once(emulator, fox):
    """A `Retry-After` longer than the time left is not shortened: RateLimitError without waiting."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=100))

    error = await failure_of(fox.submit(fox_request(), timeout=20))

    assert isinstance(error, RateLimitError)
    assert (100, "no", True) == (error.retry_after, error.charged, error.retryable)
    assert now() < 1


async def test_a_submit_behind_a_closed_gate_is_refused_if_it_cannot_wait(emulator, fox):
    """A submit that ends before the service's hold does gets that refusal, and nothing is sent."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=100))
    first = asyncio.create_task(fox.submit(fox_request()))
    await asyncio.sleep(1)

    error = await failure_of(fox.submit(fox_request(), timeout=20))

    assert isinstance(error, RateLimitError)
    assert now() < 2
    assert 1 == len(posts(emulator))
    await first


async def test_endless_429s_end(emulator, fox):
    """After the policy's tries the refusal is raised."""
    emulator.add_fault(Fault.status("submit", 429, times=None))

    error = await failure_of(fox.submit(fox_request()))

    assert isinstance(error, RateLimitError)
    assert 5 == len(posts(emulator))
    assert 0 == emulator.billed


async def test_nothing_was_sent_is_tried_again_and_then_said(emulator):
    """A refused connection is tried again; in the end ConnectionFailedError says that nothing was sent."""
    async with FoxSession("sk-test-12345", base_url="http://127.0.0.1:9") as fox:
        error = await failure_of(fox.submit(fox_request()))

    assert isinstance(error, ConnectionFailedError)
    assert ("no", True) == (error.charged, error.retryable)
    assert "127.0.0.1:9" in str(error)
    assert now() > 0.05


async def test_a_deadline_while_nothing_could_be_sent_raises_what_it_waited_on(emulator):
    """A submit whose time ends between two tries raises the last refusal."""
    async with FoxSession(
        "sk-test-12345", base_url="http://127.0.0.1:9", retry=RetryPolicy(tries=10_000)
    ) as fox:
        error = await failure_of(fox.submit(fox_request(), timeout=5))

    assert isinstance(error, ConnectionFailedError)
    assert 5 >= now()


async def test_a_deadline_before_the_first_try_says_that_nothing_was_sent(emulator):
    """A submit that never got its turn raises ConnectionFailedError, not an uncertain one."""
    from foxapi_async import Limits

    async with session_at(emulator, limits=Limits(submits_per_second=0.1)) as fox:
        await fox.submit(fox_request())
        error = await failure_of(fox.submit(fox_request(), timeout=3))

    assert isinstance(error, ConnectionFailedError)
    assert "nothing was sent" in str(error)
    assert 3 == pytest.approx(now(), abs=0.01)
    assert 1 == emulator.billed


async def test_a_timeout_after_sending_is_uncertain_and_its_id_is_not_lost(emulator, fox, caplog):
    """If a POST is answered after its submit timed out, the id is logged and in `unfinished`."""
    emulator.add_fault(Fault.slow("submit", 6))

    error = await failure_of(fox.submit(fox_request(), timeout=2))

    assert isinstance(error, UncertainSubmitError)
    assert 2 == pytest.approx(now(), abs=0.05)
    await asyncio.sleep(5)
    (handle,) = fox.unfinished
    assert [handle.id] == list(emulator.tasks)
    assert handle.id in caplog.text


async def test_a_cancelled_submit_keeps_its_id(emulator, caplog):
    """Cancelling `submit` ends only the wait: the handle of a sent submit is in `unfinished`, and can be awaited."""
    seen = []
    async with session_at(emulator, hooks=[seen.append]) as fox:
        emulator.add_fault(Fault.slow("submit", 3))
        submitting = asyncio.create_task(fox.submit(fox_request()))
        await asyncio.sleep(1)
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        assert () == fox.unfinished
        await asyncio.sleep(3)
        (handle,) = fox.unfinished

        assert (await handle).images
    assert handle.id in {event.task_id for event in seen}
    assert "after its caller had gone" in caplog.text


async def test_a_submit_cancelled_before_sending_sends_nothing(emulator, fox):
    """Cancelling a submit that still waits for its turn bills nothing."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=30))
    submitting = asyncio.create_task(fox.submit(fox_request()))
    await asyncio.sleep(1)
    submitting.cancel()
    await asyncio.wait([submitting])
    await asyncio.sleep(100)

    assert (1, 0) == (len(posts(emulator)), emulator.billed)


async def test_a_cancelled_generate_keeps_its_id(emulator, fox):
    """Cancelling `generate` leaves its task running and its handle in `unfinished`."""
    generating = asyncio.create_task(fox.generate(fox_request()))
    await asyncio.sleep(1)
    generating.cancel()
    await asyncio.wait([generating])

    assert list(emulator.tasks) == [handle.id for handle in fox.unfinished]


async def test_closing_waits_for_posts_within_their_grace(emulator, caplog):
    """If the session is closed before a POST is answered, it waits for the id, and abandons the handle."""
    emulator.add_fault(Fault.slow("submit", 4))
    async with session_at(emulator) as fox:
        submitting = asyncio.create_task(fox.submit(fox_request()))
        await asyncio.sleep(1)

    handle = await submitting
    assert 4 == pytest.approx(now(), abs=0.1)
    assert (handle,) == fox.unfinished
    with pytest.raises(TaskAbandonedError):
        await handle


async def test_closing_gives_up_a_post_after_its_grace(emulator, caplog):
    """A POST that is never answered does not delay the exit beyond its grace, and is logged."""
    emulator.add_fault(Fault.hang("submit"))
    async with session_at(emulator, retry=RetryPolicy(grace=3)) as fox:
        submitting = asyncio.create_task(fox.submit(fox_request()))
        await asyncio.sleep(1)

    assert 4 == pytest.approx(now(), abs=0.1)
    assert isinstance(await failure_of(submitting), UncertainSubmitError)


async def test_closing_ends_submits_that_sent_nothing(emulator):
    """A submit that waits for its turn when the session is closed gets the refusal that it waited for."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=500))
    async with session_at(emulator) as fox:
        submitting = asyncio.create_task(fox.submit(fox_request()))
        await asyncio.sleep(1)

    assert isinstance(await failure_of(submitting), RateLimitError)
    assert now() < 2


async def test_a_second_cancel_hastens_the_exit(emulator, caplog):
    """Cancelling the exit ends the grace at once, closes everything, and logs what may have been billed."""
    emulator.add_fault(Fault.hang("submit"))

    async def use():
        async with session_at(emulator) as fox:
            orphan = asyncio.create_task(fox.submit(fox_request()))
            await asyncio.sleep(1)
            orphan.cancel()

    user = asyncio.create_task(use())
    await asyncio.sleep(2)
    user.cancel()
    await asyncio.wait([user])

    assert user.cancelled()
    assert now() < 3
    assert "may have been accepted" in caplog.text


async def test_an_orphan_that_ends_badly_is_logged(emulator, fox, caplog):
    """The log reports a submit whose caller has gone and whose outcome stays unknown."""
    emulator.add_fault(Fault.hang("submit"))
    await failure_of(fox.submit(fox_request(), timeout=1))
    await asyncio.sleep(20)

    assert "a submit ended after its caller had gone" in caplog.text


async def test_a_refusal_after_the_caller_has_gone_is_not_logged(emulator, fox, caplog):
    """A submit whose caller has gone and that is refused costs nothing, and nothing is logged."""
    emulator.add_fault(Fault.status("submit", 402))
    emulator.add_fault(Fault.slow("submit", 1))
    submitting = asyncio.create_task(fox.submit(fox_request()))
    await settle()
    submitting.cancel()
    await asyncio.sleep(20)

    assert "" == "".join(
        r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING and "caller" in r.msg
    )


async def test_resubmitting_the_uncertain_is_opted_into(emulator):
    """With `resubmit_uncertain` a submit without an answer is sent again with the same key, which a gateway
    may honour.
    """
    async with (
        Emulator(seconds=5, idempotent=True, faults=[Fault.cut_after("submit")]) as gateway,
        session_at(gateway, retry=RetryPolicy(resubmit_uncertain=True)) as fox,
    ):
        assert (await fox.generate(fox_request())).images

    assert (2, 1) == (len(posts(gateway)), gateway.billed)


async def test_a_refusal_after_an_uncertain_try_proves_nothing(emulator):
    """After an uncertain try, a later refusal of the same submit leaves it uncertain."""
    emulator.add_fault(Fault.cut_after("submit"))
    emulator.add_fault(Fault.status("submit", 402))
    async with session_at(emulator, retry=RetryPolicy(resubmit_uncertain=True)) as fox:
        error = await failure_of(fox.submit(fox_request()))

    assert isinstance(error, UncertainSubmitError)
    assert (402, "unknown", 1) == (error.status, error.charged, emulator.billed)


async def test_a_conflict_on_a_repeat_is_uncertain(emulator, fox):
    """A 409 on a repeated submit says that an earlier try may have arrived."""
    emulator.add_fault(Fault.status("submit", 429))
    emulator.add_fault(Fault.status("submit", 409))

    assert isinstance(await failure_of(fox.submit(fox_request())), UncertainSubmitError)


async def test_every_submit_goes_over_a_connection_of_its_own(emulator, fox):
    """Submits never share a kept connection: one that the server just closed looks like a billed request."""
    for _ in range(3):
        await fox.submit(fox_request())

    assert 3 == len({record.connection for record in posts(emulator)})


async def test_each_submit_has_a_key_of_its_own(emulator, fox):
    """Every logical submit has its own idempotency key."""
    await fox.submit(fox_request())
    await fox.submit(fox_request())

    keys = {task.idempotency_key for task in emulator.tasks.values()}
    assert 2 == len(keys)
    assert all(16 <= len(key) <= 96 for key in keys)


async def test_an_application_can_choose_the_key(emulator, fox):
    """It can keep the key before the call, and knows it after a crash."""
    await fox.submit(fox_request(), idempotency_key="row-42.of_the-shop")

    assert ["row-42.of_the-shop"] == [task.idempotency_key for task in emulator.tasks.values()]


@pytest.mark.parametrize(
    "key", ["", "too short", "a" * 97, "a key with blanks", "schlüssel-des-fuchses", uuid.uuid4(), 10**16]
)
async def test_a_key_that_fits_no_header_is_refused(emulator, fox, key):
    """Nothing is sent."""
    with pytest.raises(InvalidRequestError, match=r"idempotency_key=.*: use 16 to 96 of these"):
        await fox.submit(fox_request(), idempotency_key=key)

    assert [] == posts(emulator)


async def test_concurrent_submits_each_bill_once(emulator, fox):
    """A hundred submits at the same time are a hundred tasks."""
    handles = await asyncio.gather(*(fox.submit(fox_request(f"fox {i}")) for i in range(100)))

    assert 100 == len({handle.id for handle in handles}) == emulator.billed == len(posts(emulator))


async def test_the_key_is_in_no_error_and_no_log(emulator, fox, caplog):
    """No error of a failing session, nor its log at DEBUG, holds the key."""
    caplog.set_level(logging.DEBUG)
    faults = [Fault.status("submit", 401), Fault.cut_before("submit"), Fault.html("submit", status=502)]
    for fault in faults:
        emulator.add_fault(fault)
        error = await failure_of(fox.submit(fox_request()))
        shown = f"{error!r} {error.args} {vars(error)} {error.__cause__!r} {error.__context__!r}"
        assert emulator.key not in shown

    assert emulator.key not in caplog.text
    assert emulator.key not in repr(fox)


async def test_options_that_no_channel_takes_are_not_repeated(emulator, fox):
    """422 `unsupported_advanced_options` does not pass with time: only leaving the option out helps."""
    body = (
        b'{"error":{"message":"no","type":"service_unavailable_error","code":"unsupported_advanced_options"}}'
    )
    emulator.add_fault(Fault.status("submit", 422, body=body))

    error = await failure_of(fox.submit(fox_request()))

    assert ("no", False) == (error.charged, error.retryable)
