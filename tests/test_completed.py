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
    TaskAbandonedError,
    TaskFailedError,
    UncertainSubmitError,
)
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual


@pytest.fixture
async def emulator():
    async with Emulator(seconds=20) as running:
        yield running


@pytest.fixture
async def fox(emulator):
    async with session_at(emulator) as session:
        yield session


class Source:
    """An endless source that notes what was pulled and whether it was closed."""

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
    """Each request gives one outcome, with its place, its request, its id and its result."""
    requests = [fox_request(f"fox {i}") for i in range(12)]

    outcomes = [outcome async for outcome in fox.as_completed(requests)]

    assert list(range(12)) == sorted(outcome.index for outcome in outcomes)
    assert all(outcome.request is requests[outcome.index] for outcome in outcomes)
    assert all(outcome.result.task_id == outcome.task_id and outcome.error is None for outcome in outcomes)
    assert 12 == emulator.billed


async def test_outcomes_come_as_they_end(emulator, fox):
    """The order is that of the endings, so a stuck task holds nobody up."""
    emulator.add_fault(Fault.never_finishes(prompt="stuck"))
    requests = [fox_request("stuck"), fox_request("quick")]
    async with contextlib.aclosing(fox.as_completed(requests)) as outcomes:
        first = await anext(outcomes)

    assert 1 == first.index


@pytest.mark.parametrize("kind", ["plain", "later"])
async def test_an_endless_source_is_pulled_only_as_far_as_there_is_room(emulator, fox, kind):
    """`max_in_flight` counts items submitted and not yet handed out."""
    source = Source()
    async with contextlib.aclosing(fox.as_completed(getattr(source, kind)(), max_in_flight=5)) as outcomes:
        for seen in range(1, 8):
            await anext(outcomes)
            await asyncio.sleep(60)
            assert seen + 5 >= emulator.billed

    assert emulator.billed <= 12


async def test_a_reader_that_sleeps_stops_the_submitting(emulator, fox):
    """Outcomes that nobody takes count as in flight."""
    async with contextlib.aclosing(fox.as_completed(Source().plain(), max_in_flight=3)) as outcomes:
        await anext(outcomes)
        await asyncio.sleep(1000)

    assert 4 == emulator.billed


async def test_the_default_room_is_never_unlimited(emulator):
    """Without a limit a hundred are in flight; `Limits.max_in_flight` changes that."""
    for limits, room in ((Limits(), 100), (Limits(max_in_flight=7), 7)):
        before = emulator.billed
        async with session_at(emulator, limits=limits) as fox:
            outcomes = fox.as_completed(Source().plain())
            reading = asyncio.create_task(anext(outcomes))
            await asyncio.sleep(2)
            assert room == emulator.billed - before
            reading.cancel()


@pytest.mark.parametrize("room", [0, -1, 1.5, True])
async def test_a_senseless_room_is_refused(fox, room):
    """`max_in_flight` is a whole number of at least 1."""
    with pytest.raises(InvalidRequestError, match="max_in_flight"):
        fox.as_completed([], max_in_flight=room)


@pytest.mark.parametrize("requests", ["a fox", b"x", {"prompt": "a fox"}, fox_request(), 7, None])
async def test_what_is_no_series_of_requests_is_refused(fox, requests):
    """One request, a text or a number in place of an iterable is refused by name."""
    with pytest.raises(InvalidRequestError, match="requests"):
        fox.as_completed(requests)


async def test_an_items_error_is_in_its_outcome(emulator, fox):
    """A wrong mapping, a refused submit and a failed task each end their own item alone."""
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
async def test_a_source_that_raises_is_told_after_everything_submitted(emulator, fox, kind):
    """If the source raises, everything submitted is handed out first, then its error is raised, once."""
    outcomes = fox.as_completed(getattr(Source(fail_at=3), kind)())
    seen = []
    with pytest.raises(OSError, match="the source broke"):
        async for outcome in outcomes:
            seen.append(outcome.result)  # noqa: PERF401 - what came before the error counts

    assert 3 == len(seen)
    assert [] == [outcome async for outcome in outcomes]


async def test_stop_yields_the_rest(emulator, fox):
    """`stop()` submits no more and yields what was submitted; the source is closed by the task that pulled it."""
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
    """After `break` nothing more is submitted, and what was stays in `unfinished`, also once it has ended."""
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


async def test_leaving_the_session_ends_the_submitting(emulator, caplog):
    """A session that is left submits nothing more; its open iterator yields what there is and ends."""
    async with session_at(emulator) as fox:
        outcomes = fox.as_completed(Source().later(), max_in_flight=50)
        reading = asyncio.create_task(anext(outcomes))
        await asyncio.sleep(5.5)
    rest = [await reading, *[outcome async for outcome in outcomes]]

    assert emulator.billed == len(rest)
    assert all(isinstance(outcome.error, TaskAbandonedError) for outcome in rest)
    assert set(emulator.tasks) == {handle.id for handle in fox.unfinished}


async def test_a_429_slows_it_down_and_fails_nothing(emulator, fox):
    """However long the service asks to wait, an item is submitted afterwards."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=7200))
    emulator.add_fault(Fault.status("submit", 429, times=7))

    outcomes = [outcome async for outcome in fox.as_completed([fox_request(), fox_request()])]

    assert all(outcome.result for outcome in outcomes)
    assert now() > 7200
    assert 2 == emulator.billed


async def test_stop_ends_the_waiting_for_a_429(emulator, fox):
    """An item that waits out a refusal when `stop()` comes has that refusal as its outcome."""
    emulator.add_fault(Fault.status("submit", 429, times=None, retry_after=7200))
    outcomes = fox.as_completed([fox_request()])
    reading = asyncio.create_task(anext(outcomes))
    await asyncio.sleep(10)
    outcomes.stop()

    assert isinstance((await reading).error, RateLimitError)
    assert now() < 11


async def test_an_uncertain_item_nobody_reads_is_logged(emulator, fox, caplog):
    """A possibly billed item of a left `as_completed` that has no id is told by the log, early or late."""
    emulator.add_fault(Fault.cut_after("submit", prompt="fox 1"))
    emulator.add_fault(Fault.cut_after("submit", prompt="fox 2"))
    emulator.add_fault(Fault.hang("submit", prompt="fox 3"))
    requests = [fox_request(f"fox {i}") for i in range(4)]
    async with contextlib.aclosing(fox.as_completed(requests)) as outcomes:
        read = await anext(outcomes)
        await asyncio.sleep(0.5)
    await asyncio.sleep(200)

    logged = [record.getMessage() for record in caplog.records if "left as_completed" in record.getMessage()]
    assert isinstance(read.error, UncertainSubmitError)
    assert [f"item {3 - read.index}", "item 3"] == [line[:6] for line in logged]


async def test_finished_feeds_are_forgotten(emulator, fox):
    """A session that runs many series keeps nothing of those that were read to their end."""
    for _ in range(3):
        async for _ in fox.as_completed([fox_request()]):
            pass

    assert () == fox.unfinished
    assert set() == fox._engine.feeds


async def test_submits_of_a_series_go_out_together(emulator, fox):
    """Items are submitted concurrently, not one after the other's answer."""
    emulator.add_fault(Fault.slow("submit", 5, times=None))
    async for _ in fox.as_completed([fox_request(f"fox {i}") for i in range(10)]):
        pass

    times = [record.when for record in posts(emulator)]
    assert max(times) - min(times) < 1
