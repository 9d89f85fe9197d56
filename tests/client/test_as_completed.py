"""`as_completed`: many requests in, outcomes out as they end, on a loop whose clock jumps."""

import asyncio
import contextlib
import gc

import pytest
from helpers import fox_request, now, posts, session_at, settle

from foxapi_async import (
    InvalidRequestError,
    Limits,
    RateLimitError,
    RetryPolicy,
    TaskAbandonedError,
    TaskFailedError,
    UncertainSubmitError,
)
from foxapi_async.emulator import Fault

pytestmark = pytest.mark.virtual


class Source:
    """An endless source that records the pulled items and whether it was closed."""

    def __init__(self, fail_at=None):
        self.pulled = 0
        self.closed_in = None
        self.fail_at = fail_at

    def plain(self):
        try:
            while self.pulled != self.fail_at:
                self.pulled += 1
                yield fox_request(f"fox {self.pulled}")
            raise OSError("the source broke")
        finally:
            self.closed_in = asyncio.current_task()

    async def later(self):
        try:
            while self.pulled != self.fail_at:
                await asyncio.sleep(1)
                self.pulled += 1
                yield fox_request(f"fox {self.pulled}")
            raise OSError("the source broke")
        finally:
            self.closed_in = asyncio.current_task()


async def test_every_request_has_one_outcome(emulator, fox):
    """Each request gives one outcome, with its index, its request, its id and its result."""
    requests = [fox_request(f"fox {i}") for i in range(12)]

    outcomes = [outcome async for outcome in fox.as_completed(requests)]

    assert list(range(12)) == sorted(outcome.index for outcome in outcomes)
    assert all(outcome.request is requests[outcome.index] for outcome in outcomes)
    assert all(outcome.result.task_id == outcome.task_id and outcome.error is None for outcome in outcomes)
    assert 12 == emulator.billed


async def test_outcomes_come_as_they_end(emulator, fox):
    """The outcomes come in the order in which the tasks end, so a stuck task delays no other."""
    emulator.add_fault(Fault.never_finishes(prompt="stuck"))
    requests = [fox_request("stuck"), fox_request("quick")]
    async with contextlib.aclosing(fox.as_completed(requests)) as outcomes:
        first = await anext(outcomes)

    assert 1 == first.index


@pytest.mark.parametrize("kind", ["plain", "later"])
async def test_an_endless_source_is_pulled_only_as_far_as_there_is_room(emulator, fox, kind):
    """`max_in_flight` counts items that are submitted and not yet yielded."""
    source = Source()
    async with contextlib.aclosing(fox.as_completed(getattr(source, kind)(), max_in_flight=5)) as outcomes:
        for seen in range(1, 8):
            await anext(outcomes)
            await asyncio.sleep(60)
            assert seen + 5 >= emulator.billed

    assert emulator.billed <= 12


async def test_a_reader_that_sleeps_stops_the_submitting(emulator, fox):
    """Outcomes that the reader has not taken count as in flight."""
    async with contextlib.aclosing(fox.as_completed(Source().plain(), max_in_flight=3)) as outcomes:
        await anext(outcomes)
        await asyncio.sleep(1000)

    assert 4 == emulator.billed


async def test_the_default_room_is_never_unlimited(emulator):
    """By default a hundred are in flight; `Limits.max_in_flight` changes this."""
    for limits, room in ((Limits(), 100), (Limits(max_in_flight=7), 7)):
        before = emulator.billed
        async with session_at(emulator, limits=limits) as fox:
            outcomes = fox.as_completed(Source().plain())
            reading = asyncio.create_task(anext(outcomes))
            await asyncio.sleep(2)
            assert room == emulator.billed - before
            reading.cancel()


@pytest.mark.parametrize("room", [0, -1, 1.5, True])
async def test_max_in_flight_is_a_positive_whole_number(fox, room):
    """`max_in_flight` must be a whole number, 1 or more."""
    with pytest.raises(InvalidRequestError, match="max_in_flight"):
        fox.as_completed([], max_in_flight=room)


@pytest.mark.parametrize("requests", ["a fox", b"x", {"prompt": "a fox"}, fox_request(), 7, None])
async def test_what_is_no_series_of_requests_is_refused(fox, requests):
    """One request, a text or a number in place of an iterable is refused by name."""
    with pytest.raises(InvalidRequestError, match="requests"):
        fox.as_completed(requests)


async def test_an_items_error_is_in_its_outcome(emulator, fox):
    """A wrong mapping, a refused submit and a failed task each end only their own item."""
    emulator.add_fault(Fault.fails("content_policy_violation", prompt="bad fox"))
    emulator.add_fault(Fault.cut_after("submit", prompt="lost fox"))
    items = [
        {"model": "grok-imagine-image", "prompt": "good fox"},
        {"model": "grok-imagine-image", "prompt": "x", "num_outputs": 9},
        fox_request("bad fox"),
        fox_request("lost fox"),
        "no request",
    ]

    outcomes = sorted([o async for o in fox.as_completed(items)], key=lambda outcome: outcome.index)

    assert outcomes[0].result.images
    assert "good fox" == outcomes[0].request.prompt
    kinds = [type(outcome.error) for outcome in outcomes[1:]]
    assert [InvalidRequestError, TaskFailedError, UncertainSubmitError, InvalidRequestError] == kinds
    assert [None, None] == [outcomes[1].request, outcomes[4].request]
    assert outcomes[2].task_id in emulator.tasks
    assert 3 == emulator.billed


@pytest.mark.parametrize("kind", ["plain", "later"])
async def test_a_source_that_raises_is_reported_after_everything_submitted(emulator, fox, kind):
    """If the source raises, all submitted items are yielded first, then its error is raised, once."""
    outcomes = fox.as_completed(getattr(Source(fail_at=3), kind)())
    seen = []
    with pytest.raises(OSError, match="the source broke"):
        async for outcome in outcomes:
            seen.append(outcome.result)  # noqa: PERF401 - what came before the error counts

    assert 3 == len(seen)
    assert [] == [outcome async for outcome in outcomes]


async def test_stop_yields_the_rest(emulator, fox):
    """`stop()` ends submitting and yields the submitted items; the task that pulled the source closes it."""
    source = Source()
    outcomes = fox.as_completed(source.later(), max_in_flight=4)
    seen = []
    async for outcome in outcomes:
        seen.append(outcome)
        outcomes.stop()

    assert emulator.billed == len(seen)
    assert all(outcome.result for outcome in seen)
    assert source.closed_in is not None
    assert asyncio.current_task() is not source.closed_in


async def test_stopped_before_it_began_it_is_empty(emulator, fox):
    """Nothing is pulled or billed before the first step."""
    source = Source()
    outcomes = fox.as_completed(source.plain())
    await settle()
    outcomes.stop()

    assert [] == [outcome async for outcome in outcomes]
    assert (0, 0) == (source.pulled, emulator.billed)


async def test_break_under_aclosing_ends_the_submitting_at_once(emulator, fox):
    """After `break` nothing more is submitted. Submitted tasks stay in `unfinished`, also after they have ended."""
    source = Source()
    async with contextlib.aclosing(fox.as_completed(source.later(), max_in_flight=6)) as outcomes:
        async for outcome in outcomes:  # noqa: B007 - used below
            break
    billed = emulator.billed
    await asyncio.sleep(500)

    assert billed == emulator.billed
    assert source.closed_in is not None
    left = fox.unfinished
    assert set(emulator.tasks) - {outcome.task_id} == {handle.id for handle in left}
    for handle in left:
        assert (await handle).images


async def test_a_plain_break_ends_the_submitting_too(emulator, fox):
    """A dropped iterator is noticed without `aclosing`, when it is collected."""
    async for _ in fox.as_completed(Source().later(), max_in_flight=3):
        break
    gc.collect()
    await settle()
    billed = emulator.billed
    await asyncio.sleep(500)

    assert billed == emulator.billed
    assert billed - 1 == len(fox.unfinished)


async def test_closing_the_session_ends_the_submitting(emulator, caplog):
    """A closed session submits nothing more; its open iterator yields the finished items and ends."""
    async with session_at(emulator) as fox:
        outcomes = fox.as_completed(Source().later(), max_in_flight=50)
        reading = asyncio.create_task(anext(outcomes))
        await asyncio.sleep(5.5)
    rest = [await reading, *[outcome async for outcome in outcomes]]

    assert emulator.billed == len(rest)
    assert all(isinstance(outcome.error, TaskAbandonedError) for outcome in rest)
    assert set(emulator.tasks) == {handle.id for handle in fox.unfinished}


async def test_a_429_slows_it_down_and_fails_nothing(emulator, fox):
    """While the service asks to wait for less than `task_timeout`, an item is submitted afterwards."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=3000))
    emulator.add_fault(Fault.status("submit", 429, times=7))

    outcomes = [outcome async for outcome in fox.as_completed([fox_request(), fox_request()])]

    assert all(outcome.result for outcome in outcomes)
    assert now() > 3000
    assert 2 == emulator.billed


async def test_a_429_that_outlasts_the_timeout_ends_the_item_at_once(emulator, fox):
    """A `Retry-After` beyond `task_timeout` is not shortened: it ends the item, and nothing is billed."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=3601))
    (outcome,) = [outcome async for outcome in fox.as_completed([fox_request()])]

    assert isinstance(outcome.error, RateLimitError)
    assert (0, "no") == (emulator.billed, outcome.error.charged)
    assert now() < 1


async def test_an_item_that_is_held_for_its_timeout_ends_with_the_reason(emulator):
    """Refusals one after the other hold an item for `task_timeout` in total, and no longer."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=25, times=None))
    async with session_at(emulator, task_timeout=60) as fox:
        (outcome,) = [outcome async for outcome in fox.as_completed([fox_request()])]

    assert isinstance(outcome.error, RateLimitError)
    assert 50 < now() < 60


async def test_stop_ends_the_waiting_for_a_429(emulator, fox):
    """An item that waits after a refusal when `stop()` is called has that refusal as its outcome."""
    emulator.add_fault(Fault.status("submit", 429, times=None, retry_after=7200))
    outcomes = fox.as_completed([fox_request()])
    reading = asyncio.create_task(anext(outcomes))
    await asyncio.sleep(10)
    outcomes.stop()

    assert isinstance((await reading).error, RateLimitError)
    assert now() < 11


async def test_an_uncertain_item_that_is_not_read_is_logged(emulator, fox, caplog):
    """The log reports an item without an id that may be billed, if its `as_completed` was left, early or late."""
    emulator.add_fault(Fault.cut_after("submit", prompt="fox 1"))
    emulator.add_fault(Fault.cut_after("submit", prompt="fox 2"))
    emulator.add_fault(Fault.hang("submit", prompt="fox 3"))
    requests = [fox_request(f"fox {i}") for i in range(4)]
    async with contextlib.aclosing(fox.as_completed(requests)) as outcomes:
        read = await anext(outcomes)
        await asyncio.sleep(0.5)
    await asyncio.sleep(200)

    logged = [
        record.getMessage() for record in caplog.records if getattr(record, "event", None) == "unread_outcome"
    ]
    assert isinstance(read.error, UncertainSubmitError)
    assert [f"item {3 - read.index}", "item 3"] == [line[:6] for line in logged]


async def test_finished_series_are_not_kept(emulator, fox):
    """A session with many series keeps nothing of those that were read to their end."""
    for _ in range(3):
        async for _ in fox.as_completed([fox_request()]):
            pass

    assert () == fox.unfinished
    assert set() == fox._engine.pipelines


async def test_submits_of_a_series_are_sent_together(emulator, fox):
    """The first eight items are submitted at the same time, not one after the other's answer."""
    emulator.add_fault(Fault.slow("submit", 5, times=None))
    async for _ in fox.as_completed([fox_request(f"fox {i}") for i in range(8)]):
        pass

    times = [record.when for record in posts(emulator)]
    assert max(times) - min(times) < 1


async def test_what_only_waited_for_its_turn_is_not_sent_after_the_end(emulator):
    """`stop()` and closing the session end the items whose POST was not sent; nothing is billed later."""
    async with session_at(emulator, limits=Limits(submits_per_second=1)) as fox:
        outcomes = fox.as_completed([fox_request(f"fox {i}") for i in range(30)])
        reading = asyncio.create_task(anext(outcomes))
        await asyncio.sleep(1.5)
        outcomes.stop()
        billed = emulator.billed
        rest = [await reading, *[outcome async for outcome in outcomes]]
        async with contextlib.aclosing(fox.as_completed([fox_request("a"), fox_request("b")])) as second:
            reading = asyncio.create_task(anext(second))
            await asyncio.sleep(0.1)
        await asyncio.sleep(500)
        reading.cancel()

    assert 2 == billed
    assert billed <= emulator.billed <= billed + 1
    assert 30 == len(rest)
    assert {"no"} == {outcome.error.charged for outcome in rest if outcome.error}


async def test_stop_may_be_called_at_any_time_and_twice(fox):
    """Stopping twice, or in the turn of the first step, still ends the series."""
    for stops in (1, 2):
        outcomes = fox.as_completed(Source().later())
        for _ in range(stops):
            outcomes.stop()
        assert [] == [outcome async for outcome in outcomes]
    outcomes = fox.as_completed(Source().later())
    reading = asyncio.create_task(anext(outcomes, None))
    await asyncio.sleep(0)
    outcomes.stop()

    assert None is await reading


async def test_a_source_that_cleans_up_slowly_is_waited_for_but_not_for_ever(fox):
    """The series ends when its source has cleaned up, or after ten seconds; nothing hangs."""
    cleaned = []

    async def slow(seconds):
        try:
            yield fox_request()
        finally:
            await asyncio.sleep(seconds)
            cleaned.append(seconds)

    for seconds in (5, 1000):
        outcomes = fox.as_completed(slow(seconds), max_in_flight=1)
        await anext(outcomes)
        outcomes.stop()
        with contextlib.suppress(TimeoutError):
            assert [] == [outcome async for outcome in outcomes]

    assert [5] == cleaned
    assert now() < 100


async def test_a_source_that_fails_in_cleaning_up_does_not_affect_others(emulator, fox):
    """An error in the source's `finally` is raised at the end of its own series; other tasks continue."""

    def bad():
        try:
            yield fox_request()
            yield fox_request()
        finally:
            raise ValueError("a source's own")

    other = await fox.submit(fox_request())
    outcomes = fox.as_completed(bad(), max_in_flight=1)
    await anext(outcomes)
    outcomes.stop()
    with pytest.raises(ValueError, match="a source's own"):
        async for _ in outcomes:
            pass

    assert (await other).images


async def test_a_source_that_is_cancelled_itself_is_reported(fox):
    """If the source awaits something that is cancelled, the series ends with that error, not silently."""

    async def awaits_a_cancelled():
        yield fox_request()
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    seen = []
    with pytest.raises(asyncio.CancelledError):
        async for outcome in fox.as_completed(awaits_a_cancelled()):
            seen.append(outcome)  # noqa: PERF401 - what came before the error counts

    assert 1 == len(seen)


async def test_a_service_that_asks_for_no_wait_is_not_hammered(emulator, fox):
    """`Retry-After: 0` on every submit does not cause a busy loop."""
    emulator.add_fault(Fault.status("submit", 429, times=None, retry_after=0))
    emulator.add_fault(Fault.status("poll", 429, times=None, retry_after=0))
    outcomes = fox.as_completed([fox_request()])
    reading = asyncio.create_task(anext(outcomes))
    fox.attach("task-x")
    await asyncio.sleep(60)
    reading.cancel()

    assert len(emulator.requests) < 120


async def test_a_refusal_of_another_submit_settles_no_uncertain_one(emulator):
    """An uncertain submit stays uncertain while another's 429 holds it; an unsent one is just refused."""
    emulator.add_fault(Fault.cut_after("submit", prompt="first"))
    emulator.add_fault(Fault.status("submit", 429, retry_after=100, prompt="second"))
    async with session_at(emulator, retry=RetryPolicy(resubmit_uncertain=True)) as fox:
        first = asyncio.create_task(fox.submit(fox_request("first"), timeout=30))
        second = asyncio.create_task(fox.submit(fox_request("second"), timeout=300))
        await asyncio.sleep(0)
        await asyncio.wait([first])
        with pytest.raises(RateLimitError) as third:
            await fox.submit(fox_request("third"), timeout=5)
        await second

    assert isinstance(first.exception(), UncertainSubmitError)
    assert "no" == third.value.charged


async def test_a_second_cancel_interrupts_a_sources_cleaning_up(emulator):
    """A source that cleans up forever does not delay an exit that is cancelled again."""

    async def endless():
        try:
            yield fox_request()
            yield fox_request()
        finally:
            await asyncio.sleep(1e9)

    async def use():
        async with session_at(emulator) as fox:
            outcomes = fox.as_completed(endless(), max_in_flight=1)
            await anext(outcomes)
            await asyncio.sleep(1e6)
            outcomes.stop()

    user = asyncio.create_task(use())
    await asyncio.sleep(100)
    while not user.done():
        user.cancel()
        await settle()

    assert now() == 100


async def test_a_fault_of_ours_in_an_item_ends_the_session_openly(emulator, caplog):
    """A bug in a background task does not cancel other POSTs. All handles get it, and closing the session
    raises it.
    """

    async def broken():
        raise ZeroDivisionError("a fault of ours")

    with pytest.raises(ZeroDivisionError):
        async with session_at(emulator) as fox:
            handle = await fox.submit(fox_request())
            fox._engine.spawn(broken())
            with pytest.raises(TaskAbandonedError, match="internal error"):
                await handle
