"""Failed polls: pages in front of the service, unknown ids, too large replies, and the end of a handle's time."""

import asyncio
import itertools
import logging

import pytest
from crowd import Room, Service, room, too_fast
from helpers import now

from foxapi_async import (
    APIError,
    ConnectionFailedError,
    NotFoundError,
    ResponseDecodeError,
    ServerError,
    TaskResult,
    TaskTimeoutError,
)
from foxapi_async._handles.snapshot import snapshot_of
from foxapi_async._policy.verdict import Verdict
from foxapi_async._wire.replies import TaskReply

pytestmark = pytest.mark.virtual


def edge_reply(status: int = 403) -> Verdict:
    """The reply with a firewall's page."""
    return Verdict(APIError(f"HTTP {status}: Just a moment...", status=status, charged="yes"), edge=True)


def unknown() -> Verdict:
    """A 404 of the service, after the grace."""
    return Verdict(NotFoundError("HTTP 404: no such task", status=404, charged="unknown"))


def lost() -> Verdict:
    """A poll without an answer."""
    return Verdict(ConnectionFailedError("could not reach the service: reset", charged="yes"), again=True)


def too_large() -> Verdict:
    """A status body above the size limit."""
    error = ResponseDecodeError("the body is larger than 32 MiB", charged="yes")
    return Verdict(error, again=True, too_large=True)


def block(seconds: float) -> None:
    """Let time pass while the loop does nothing: it is blocked, or its process is stopped."""
    asyncio.get_running_loop()._now += seconds


async def outcome_of(handle):
    """The result or error of awaiting the handle."""
    (outcome,) = await asyncio.gather(handle.wait(), return_exceptions=True)
    return outcome


def warnings_of(caplog) -> list[str]:
    """The warnings of the package."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# Something in front of the service.


@pytest.mark.parametrize("status", [200, 302, 403, 404, 503])
async def test_a_page_never_ends_a_handle_once_the_service_has_answered(status):
    """Replies of something in front of the service, with any status, do not end the polling, for minutes."""
    service = Service()
    service.reachability.ever_answered = True
    async with room(service) as crowd:
        handle = crowd.submit(10.0)
        service.answers[handle.id] = [edge_reply(status)] * 30
        result = await handle

    assert result.task_id == handle.id
    assert now() > 60


async def test_pages_alone_end_a_handle_after_half_a_minute():
    """If the service was never heard, five pages over at least 30 s end a handle with their text."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.poller.attach(service.create(10.0).id, None, None)
        service.answers[handle.id] = [edge_reply()] * 1000
        error = await outcome_of(handle)
        unfinished = crowd.poller.unfinished

    assert (APIError, 403, "yes", False) == (type(error), error.status, error.charged, error.retryable)
    assert "Just a moment" in str(error)
    assert [handle] == unfinished
    assert 30 <= now() < 60
    assert len(service.asked) >= 5


async def test_fewer_than_five_pages_end_no_handle():
    """A few pages that are far apart do not either."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.poller.attach(service.create(10.0).id, None, None)
        service.answers[handle.id] = [edge_reply(), *[lost()] * 20, *[edge_reply()] * 3]
        result = await handle

    assert result.task_id == handle.id
    assert now() > 30


@pytest.mark.thorough
async def test_pages_are_warned_of_at_once_and_then_every_ten_minutes(caplog):
    """There is one warning for all tasks of the session."""
    service = Service()
    service.reachability.ever_answered = True
    async with room(service) as crowd:
        for _ in range(20):
            service.answers[crowd.submit(10.0).id] = [edge_reply()] * 1000
        await asyncio.sleep(30)
        early = len(warnings_of(caplog))
        await asyncio.sleep(25 * 60 - 30)
        warnings = warnings_of(caplog)

    assert (1, 3) == (early, len(warnings))
    assert "in front of the service" in warnings[0]
    assert "Just a moment" in warnings[0]


# An id that the service does not know.


async def answered_attachment(crowd: Room):
    handle = crowd.poller.attach(crowd.service.create(500.0).id, None, None)
    await asyncio.sleep(5)
    return handle


async def submitted(crowd: Room):
    return crowd.submit(500.0)


async def attached(crowd: Room):
    return crowd.poller.attach(crowd.service.create(500.0).id, None, None)


async def in_the_ledger(crowd: Room):
    return crowd.poller.attach(crowd.service.create(500.0).id, None, None, confirmed=True)


@pytest.mark.parametrize(
    ("take_on", "charged", "kept"),
    [
        (submitted, "yes", True),
        (answered_attachment, "yes", True),
        (in_the_ledger, "yes", True),
        (attached, "unknown", False),
    ],
)
async def test_an_id_that_was_accepted_stays_billed_whatever_a_read_says(take_on, charged, kept):
    """A 404 ends the handle. An accepted id stays in `unfinished`; an id that was never answered is dropped."""
    service = Service()
    async with room(service) as crowd:
        handle = await take_on(crowd)
        service.answers[handle.id] = [unknown()]
        error = await outcome_of(handle)
        unfinished = crowd.poller.unfinished

    assert (NotFoundError, charged, False) == (type(error), error.charged, error.retryable)
    assert [handle] * kept == unfinished


# Too large replies.


async def test_three_replies_in_a_row_that_are_too_large_end_the_handle():
    """The error names the limit; the task is billed and stays in `unfinished`."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(500.0)
        service.answers[handle.id] = [too_large()] * 3
        error = await outcome_of(handle)
        unfinished = crowd.poller.unfinished

    assert (ResponseDecodeError, "yes", handle.id) == (type(error), error.charged, error.task_id)
    assert "32 MiB" in str(error)
    assert [handle] == unfinished
    assert [] == service.answers[handle.id]


async def test_replies_that_are_too_large_now_and_then_end_nothing():
    """After two in a row, another answer and two again, polling continues."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(500.0)
        running = TaskReply(id=handle.id, model="fox", status="processing")
        service.answers[handle.id] = [
            *[too_large()] * 2,
            running,
            *[too_large()] * 2,
            lost(),
            *[too_large()] * 2,
        ]
        result = await handle

    assert result.task_id == handle.id
    assert [] == service.answers[handle.id]


# The content of an error at the deadline.


async def test_a_timeout_names_the_failed_polls_their_cause_and_since_when():
    """The error says that polls failed for an hour, and names the last status before."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(500.0, timeout=3600.0)
        service.answers[handle.id] = [lost()] * 10_000
        error = await outcome_of(handle)
    since = 3600 - service.tasks[handle.id].polls[0]

    assert isinstance(error, TaskTimeoutError)
    assert error.last_poll == (
        f"last status: processing; polls have failed for {since:.0f} s, "
        "the last one with: could not reach the service: reset"
    )
    assert error.last_poll in str(error)


async def test_a_timeout_names_the_last_status_where_the_last_poll_did_not_fail():
    """Earlier failed polls are not mentioned."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(500.0, timeout=100.0)
        service.answers[handle.id] = [lost()] * 3
        error = await outcome_of(handle)

    assert "last status: processing" == error.last_poll
    assert "(last status: processing)" in str(error)


async def test_an_absurd_retry_after_makes_no_silence(caplog):
    """The service is polled every ten minutes, and one warning says so."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(10.0)
        service.answers[handle.id] = [too_fast(99999999999999999999.0)] * 3
        result = await handle
    polls = service.tasks[handle.id].polls
    gaps = [later - earlier for earlier, later in itertools.pairwise(polls)]

    assert result.task_id == handle.id
    assert [600.0] * 3 == pytest.approx(gaps, abs=5)
    assert 1 == len(warnings_of(caplog))
    assert "waits only 600 s" in warnings_of(caplog)[0]


# The last poll of a handle whose time ended while the loop was blocked.


async def test_a_task_that_ended_while_the_process_stopped_gives_its_result():
    """The deadline passed meanwhile, but the task was done before: one more poll finds it."""
    service = Service(latency=0.2)
    async with room(service) as crowd:
        handle = crowd.submit(40.0, timeout=60.0)
        await asyncio.sleep(30)
        block(75.0)
        outcome = await outcome_of(handle)

    assert isinstance(outcome, TaskResult)
    assert now() < 106


async def test_a_task_that_still_runs_times_out_after_one_more_poll():
    """The last poll finds it running and ends the wait; other handles of the task continue."""
    service = Service(latency=0.2)
    async with room(service) as crowd:
        handle = crowd.submit(500.0, timeout=60.0)
        twin = crowd.poller.attach(handle.id, None, None)
        stopped = crowd.poller.attach(handle.id, None, 60.0)
        await asyncio.sleep(30)
        block(75.0)
        before = len(service.asked)
        asyncio.get_running_loop().call_later(0.1, stopped.stop)
        outcome = await outcome_of(handle)
        took, asked = now() - 105, len(service.asked) - before

        assert not twin.done()
    assert isinstance(outcome, TaskTimeoutError)
    assert 0.2 == pytest.approx(took, abs=0.01)
    assert 1 == asked


async def test_a_last_poll_takes_five_seconds_at_most():
    """If it has no reply, the handle still times out."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(500.0, timeout=60.0)
        await asyncio.sleep(30)
        service.latency = 14.0
        block(75.0)
        outcome = await outcome_of(handle)

    assert isinstance(outcome, TaskTimeoutError)
    assert 110 == pytest.approx(now(), abs=0.01)


async def test_a_last_poll_that_breaks_is_tried_again():
    """Kept connections are gone after a stop, so the first failure is not final."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(40.0, timeout=600.0)
        service.answers[handle.id] = [lost()] * 1000
        await asyncio.sleep(500)
        service.answers[handle.id] = [lost()] * 3
        block(200.0)
        outcome = await outcome_of(handle)

    assert isinstance(outcome, TaskResult)
    assert now() < 700 + 0.25 + 0.5 + 1


async def test_a_poll_of_before_the_stop_is_not_the_last_one():
    """A reply that waited in the socket is from before: the task is polled once more."""
    service = Service(latency=20.0)
    async with room(service) as crowd:
        handle = crowd.submit(40.0, timeout=60.0)
        await asyncio.sleep(30)
        before, service.latency = service.under_way, 0.2
        block(75.0)
        outcome = await outcome_of(handle)

    assert 1 == before
    assert isinstance(outcome, TaskResult)


@pytest.mark.parametrize(("held", "expected"), [(3.0, TaskResult), (100.0, TaskTimeoutError)])
async def test_a_last_poll_goes_at_the_rate_allowed(held, expected):
    """A hold of three seconds is waited for; one of a hundred seconds is not ignored."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(40.0, timeout=60.0)
        await asyncio.sleep(30)
        asked = len(service.asked)
        block(75.0)
        service.polls.hold(now() + held, ServerError("busy", status=503))
        outcome = await outcome_of(handle)

    assert expected is type(outcome)
    assert min(held, 5.0) == pytest.approx(now() - 105, abs=0.01)
    assert asked + (expected is TaskResult) == len(service.asked)


async def test_last_polls_go_before_all_others():
    """If polls are rationed, polls that are due longer wait for the handles whose time is over."""
    service = Service(limit=2.0)
    async with room(service) as crowd:
        others = [crowd.submit(1000.0) for _ in range(50)]
        handle = crowd.submit(40.0, timeout=60.0)
        await asyncio.sleep(30)
        block(75.0)
        outcome = await outcome_of(handle)
        for other in others:
            other.stop()

    assert isinstance(outcome, TaskResult)
    assert now() < 106


async def test_there_is_one_last_poll_and_no_other():
    """If the process stops again before the last poll is sent, the handle times out."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(40.0, timeout=60.0)
        await asyncio.sleep(30)
        block(75.0)
        service.polls.hold(now() + 100.0, ServerError("busy", status=503))
        await asyncio.sleep(1)
        block(75.0)
        outcome = await outcome_of(handle)

    assert isinstance(outcome, TaskTimeoutError)
    assert 181 == pytest.approx(now(), abs=0.01)


async def test_a_loop_that_is_blocked_for_more_than_a_second_gives_more_time():
    """A timer that is late by little more than a second counts."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(59.9, timeout=60.0)
        await asyncio.sleep(59.5)
        block(1.6)
        outcome = await outcome_of(handle)

    assert isinstance(outcome, TaskResult)


async def test_a_loop_that_is_blocked_for_a_moment_gives_no_more_time():
    """A timer that is late by less than a second ends a handle at once."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(500.0, timeout=60.0)
        await asyncio.sleep(59.5)
        asked = len(service.asked)
        block(1.4)
        outcome = await outcome_of(handle)

    assert isinstance(outcome, TaskTimeoutError)
    assert 60.9 == pytest.approx(now(), abs=0.01)
    assert asked == len(service.asked)


async def test_a_task_that_comes_after_its_deadline_has_none_of_this():
    """If an id arrives long after its handle's time, the handle ends at once: no timer was late."""
    service = Service()
    async with room(service) as crowd:
        remote = service.create(500.0)
        await asyncio.sleep(100)
        snapshot = snapshot_of(remote.reply(now()))
        handle = crowd.poller.adopt(snapshot, 60.0, 60.0)
        outcome = await outcome_of(handle)

    assert isinstance(outcome, TaskTimeoutError)
    assert 100 == pytest.approx(now(), abs=0.01)
    assert [] == service.asked
