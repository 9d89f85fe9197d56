"""One submit of many: its time limit, its waits, and a turn that comes too late."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from helpers import fox_request, now, outcomes_of, posts, session_at

from foxapi_async import (
    ConfigurationError,
    ConnectionFailedError,
    InsufficientQuotaError,
    Limits,
    RateLimitError,
    RetryPolicy,
    TaskTimeoutError,
    UncertainSubmitError,
)
from foxapi_async._wire.requests import Failure, Reply
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual

SLOW = Limits(submits_per_second=0.05)
DOWN = Failure(reason="the network is down", sent=False)


def between(fox, answer):
    """Stand between a session and its connections: `answer(call, scope, send)` answers submits."""
    transport = fox._engine._transport
    send = transport.submit

    async def submit(call, scope):
        return await answer(call, scope, lambda: send(call, scope))

    transport.submit = submit


def failing_once(seconds):
    """The first submit finds no connection for so long; the others succeed."""
    tries = []

    async def answer(call, scope, send):
        tries.append(now())
        if len(tries) > 1:
            return await send()
        await asyncio.sleep(seconds)
        return DOWN

    return answer


async def timed(outcomes):
    """Each outcome by its index, with the moment when it came."""
    return {outcome.index: (outcome, now()) async for outcome in outcomes}


def sent_at(emulator):
    return [round(record.when) for record in posts(emulator)]


# Its time limit is paused in line.


@pytest.mark.parametrize("way", ["series", "batch"])
@pytest.mark.thorough
async def test_a_limit_may_be_slower_than_the_timeout(tmp_path, way):
    """An item waits for its turn without limit, and its task then has the whole `task_timeout`."""
    async with (
        Emulator(seconds=25) as emulator,
        session_at(emulator, limits=SLOW, task_timeout=40) as fox,
    ):
        found = await timed(outcomes_of(way, fox, [fox_request(str(n)) for n in range(6)], tmp_path))

    assert [None] * 6 == [outcome.error for outcome, _ in found.values()]
    assert [0, 20, 40, 60, 80, 100] == sent_at(emulator)


@pytest.mark.parametrize("retry_after", [None, 30])
async def test_an_item_that_was_refused_for_now_has_all_of_its_time_again(retry_after):
    """After a 429 and another wait in line its task has as much time as any other."""
    faults = [Fault.status("submit", 429, retry_after=retry_after, prompt="first")]
    requests = [fox_request("first"), *(fox_request(str(n)) for n in range(5))]
    async with (
        Emulator(seconds=25, faults=faults) as emulator,
        session_at(emulator, limits=SLOW, task_timeout=40) as fox,
    ):
        found = await timed(fox.as_completed(requests))

    assert [None] * 6 == [outcome.error for outcome, _ in found.values()]
    assert 7 == len(sent_at(emulator))


async def test_an_item_whose_connection_failed_keeps_its_time_in_line():
    """The time that is left after a failed try is left when its next turn comes."""
    async with (
        Emulator(seconds=25) as emulator,
        session_at(emulator, limits=SLOW, task_timeout=40) as fox,
    ):
        between(fox, failing_once(5))
        found = await timed(fox.as_completed(fox_request(str(n)) for n in range(6)))

    assert [None] * 6 == [outcome.error for outcome, _ in found.values()]
    assert [20, 40, 60, 80, 100, 120] == sent_at(emulator)


# But it is not extended.


async def test_an_item_is_not_waited_for_beyond_its_timeout():
    """A submit without an answer ends at its `task_timeout`, uncertain; a task ends then too, with its id."""
    faults = [Fault.hang("submit", prompt="one"), Fault.never_finishes(prompt="two")]
    async with Emulator(faults=faults) as emulator, session_at(emulator, task_timeout=3) as fox:
        found = await timed(fox.as_completed([fox_request("one"), fox_request("two")]))

    assert [UncertainSubmitError, TaskTimeoutError] == [type(found[n][0].error) for n in range(2)]
    assert [3, 3] == pytest.approx([when for _, when in found.values()], abs=0.05)


@pytest.mark.parametrize("fault", ["hangs", "never finishes"])
async def test_the_time_of_an_item_that_outlived_it_begins_with_its_next_try(tmp_path, fault):
    """If a connection took longer than `task_timeout`, a batch tries again, and the new submit has the whole time."""
    faults = [Fault.hang("submit") if fault == "hangs" else Fault.never_finishes()]
    retry = RetryPolicy(connect_timeout=4)
    async with Emulator(faults=faults) as emulator, session_at(emulator, task_timeout=3, retry=retry) as fox:
        between(fox, failing_once(4))
        ((outcome, when),) = (await timed(outcomes_of("batch", fox, [fox_request()], tmp_path))).values()
        (sent,) = [record.when for record in posts(emulator)]

    assert isinstance(outcome.error, UncertainSubmitError if fault == "hangs" else TaskTimeoutError)
    assert 3 == pytest.approx(when - sent, abs=0.05)


async def test_a_refusal_in_the_turn_in_which_its_time_ends_gives_it_all_of_its_time(tmp_path):
    """A 429 that comes at the end of its time is waited for while the time limit is paused."""
    tries = []

    async def answer(call, scope, send):
        tries.append(now())
        if len(tries) > 1:
            return await send()
        await asyncio.sleep(10 - 1e-10)
        return Reply(429, {"Retry-After": "27"}, b"{}", True)

    retry = RetryPolicy(connect_timeout=20)
    async with (
        Emulator(faults=[Fault.never_finishes()]) as emulator,
        session_at(emulator, task_timeout=10, retry=retry) as fox,
    ):
        between(fox, answer)
        ((outcome, when),) = (await timed(outcomes_of("batch", fox, [fox_request()], tmp_path))).values()

    assert isinstance(outcome.error, TaskTimeoutError)
    assert 10 == pytest.approx(when - tries[1], abs=0.05)


async def test_a_connection_that_never_opens_after_a_refusal_ends_with_the_time():
    """An earlier refusal of an item does not make its next try longer."""
    tries = []

    async def answer(call, scope, send):
        tries.append(now())
        if len(tries) == 1:
            return Reply(429, {"Retry-After": "2"}, b"{}", True)
        with contextlib.suppress(TimeoutError):
            async with scope.timeout:
                await asyncio.sleep(1e9)
        return DOWN

    retry = RetryPolicy(connect_timeout=10)
    async with Emulator() as emulator, session_at(emulator, task_timeout=3, retry=retry) as fox:
        between(fox, answer)
        ((outcome, when),) = (await timed(fox.as_completed([fox_request()]))).values()

    assert isinstance(outcome.error, RateLimitError)
    assert 3 == pytest.approx(when - tries[1], abs=0.05)


# Its waits.


async def test_an_outage_counts_from_the_last_answer_of_the_service(tmp_path):
    """A batch that waited long after 429s still waits ten minutes for a network that is down."""

    async def answer(call, scope, send):
        slow_down = b'{"error": {"message": "slow down"}}'
        return Reply(429, {"Retry-After": "300"}, slow_down, True) if now() < 900 else DOWN

    async with Emulator() as emulator, session_at(emulator, retry=RetryPolicy(tries=1)) as fox:
        between(fox, answer)
        with pytest.raises(ConnectionFailedError):
            await timed(outcomes_of("batch", fox, [fox_request()], tmp_path))

    assert 1500 < now() < 1850


@pytest.mark.thorough
async def test_an_outage_is_the_networks_and_not_an_items(tmp_path):
    """Two failed connections of one item, long apart in line, are not an outage if others were accepted
    between them.
    """
    tries = []

    async def answer(call, scope, send):
        tries.append(b"again" in call.body)
        return DOWN if tries[-1] and tries.count(True) < 3 else await send()

    requests = [fox_request("again"), *(fox_request(str(n)) for n in range(59))]
    async with (
        Emulator(seconds=5) as emulator,
        session_at(emulator, limits=SLOW, retry=RetryPolicy(tries=1)) as fox,
    ):
        between(fox, answer)
        found = await timed(outcomes_of("batch", fox, requests, tmp_path))

    assert 60 == emulator.billed
    assert {None} == {outcome.error for outcome, _ in found.values()}


async def test_an_outage_ends_where_the_service_slows_us_down(tmp_path):
    """A 429 between two failed connections counts as an answer, also before an item's tries are over."""
    tries = []

    async def answer(call, scope, send):
        tries.append(now())
        if len(tries) == 3:
            return Reply(429, {"Retry-After": "550"}, b"{}", True)
        return DOWN if len(tries) < 5 else await send()

    async with Emulator(seconds=5) as emulator, session_at(emulator, retry=RetryPolicy(tries=2)) as fox:
        between(fox, answer)
        ((outcome, _),) = (await timed(outcomes_of("batch", fox, [fox_request()], tmp_path))).values()

    assert (None, 1) == (outcome.error, emulator.billed)


async def test_an_account_that_is_refused_meanwhile_is_what_an_item_ends_with():
    """If the account was refused while an item ran, a 429 to that item is not its final error."""

    async def answer(call, scope, send):
        async with scope.timeout:
            scope.hand_over()
            await asyncio.sleep(1 if b"poor" in call.body else 2)
            return Reply(402 if b"poor" in call.body else 429, {}, b"{}", True)

    async with Emulator() as emulator, session_at(emulator, retry=RetryPolicy(tries=1)) as fox:
        between(fox, answer)
        found = await timed(fox.as_completed([fox_request("fine"), fox_request("poor")]))

    assert [InsufficientQuotaError] * 2 == [type(found[n][0].error) for n in range(2)]


async def test_a_probe_that_was_held_back_takes_the_next_slot():
    """A probe waits after 429s like any item; within 30 s of its next try no other passes."""
    faults = [Fault.status("submit", 402), Fault.status("submit", 429, retry_after=50, prompt="probe")]
    async with Emulator(faults=faults) as emulator, session_at(emulator, retry=RetryPolicy(tries=1)) as fox:
        with pytest.raises(InsufficientQuotaError):
            await fox.submit(fox_request())
        await asyncio.sleep(30)
        reading = asyncio.create_task(timed(fox.as_completed([fox_request("probe")])))
        emulator.add_fault(Fault.slow("submit", 15, after=1))
        await asyncio.sleep(58)  # its next try has been sent by now
        with pytest.raises(InsufficientQuotaError) as early:
            await fox.submit(fox_request())
        ((outcome, _),) = (await reading).values()

    assert 50 <= posts(emulator)[2].when - posts(emulator)[1].when < 60
    assert str(early.value).startswith("not sent: ")
    assert (None, 3) == (outcome.error, len(posts(emulator)))


# After the session has stopped.


@pytest.mark.parametrize("where", ["held back", "in line"])
async def test_what_waits_when_the_session_stops_on_a_fault_is_not_sent(where):
    """After an internal error no submit is sent: it would be billed and never polled."""
    faults = [Fault.status("submit", 429, retry_after=20)] if where == "held back" else []
    limits, retry = Limits(submits_per_second=0.05), RetryPolicy(tries=1)
    with pytest.raises(ZeroDivisionError):
        async with (
            Emulator(faults=faults) as emulator,
            session_at(emulator, limits=limits, retry=retry) as fox,
        ):
            if where == "in line":
                await fox.submit(fox_request())
            reading = asyncio.create_task(timed(fox.as_completed([fox_request()])))
            await asyncio.sleep(5)
            fox._engine._stop_on(ZeroDivisionError("a fault of ours"))
            ((outcome, when),) = (await reading).values()
            await asyncio.sleep(60)

    assert isinstance(outcome.error, ConfigurationError)
    assert 5 == round(when)
    assert [0] == sent_at(emulator)


async def test_an_item_that_is_stopped_in_line_was_not_sent():
    """If it is stopped before its turn, it says so, and costs nothing."""
    async with Emulator() as emulator, session_at(emulator, limits=SLOW) as fox:
        outcomes = fox.as_completed(fox_request(str(n)) for n in range(3))
        asyncio.get_running_loop().call_later(10, outcomes.stop)
        found = await timed(outcomes)
    errors = [found[n][0].error for n in (1, 2)]

    assert [ConnectionFailedError] * 2 == [type(error) for error in errors]
    assert all("nothing was sent" in str(error) for error in errors)
    assert 1 == emulator.billed


@pytest.mark.parametrize("what", ["submit", "upload"])
async def test_an_item_that_is_stopped_while_it_is_held_back_ends_with_that(tmp_path, what):
    """`stop()` ends an item that waits after a 429, or for its upload, with that error."""
    picture = tmp_path / "fox.png"
    picture.write_bytes(b"GIF89a of a fox")
    faults = [Fault.status(what, 429, retry_after=900, times=None)]
    async with Emulator(faults=faults) as emulator, session_at(emulator, task_timeout=1000) as fox:
        outcomes = fox.as_completed([fox_request(image_urls=[picture])])
        asyncio.get_running_loop().call_later(500, outcomes.stop)
        ((outcome, when),) = (await timed(outcomes)).values()

    assert isinstance(outcome.error, RateLimitError)
    assert 500 == round(when)
