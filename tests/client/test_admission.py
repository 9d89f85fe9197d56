"""Which submit may be sent now: how a closed brake treats those that wait, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from helpers import fox_request, now, posts, session_at

from foxapi_async import (
    APIError,
    Batch,
    ConnectionFailedError,
    FoxError,
    Limits,
    RetryPolicy,
    Throttled,
    UncertainSubmitError,
)
from foxapi_async._policy.rate import AdaptiveRate
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual


def foxes(count):
    return [fox_request(f"fox {n}") for n in range(count)]


async def outcomes(fox, requests):
    return {outcome.index: (outcome, now()) async for outcome in fox.as_completed(requests)}


async def test_no_more_than_eight_are_without_an_answer_at_the_start():
    """The ninth is sent when the first is accepted."""
    faults = [Fault.slow("submit", 5, times=None)]
    async with Emulator(seconds=1, faults=faults) as emulator, session_at(emulator) as fox:
        await outcomes(fox, foxes(9))

    assert [0] * 8 + [5] == sorted(round(record.when) for record in posts(emulator))


async def test_a_page_for_two_seconds_fails_no_item():
    """An item that an ingress refuses during a deploy is held, then done, and each item is billed once."""
    async with Emulator(seconds=1) as emulator, session_at(emulator) as fox:
        emulator.outage(2, Fault.edge("all", 404))
        found = await outcomes(fox, foxes(30))

    assert {None} == {outcome.error for outcome, _ in found.values()}
    assert 30 == emulator.billed


async def test_a_firewall_that_refuses_one_prompt_fails_that_item_alone():
    """Another item proves that the way is open; the refused one is tried once more, and then fails free of charge."""
    faults = [Fault.edge("submit", 403, prompt="fox 3", times=None)]
    async with Emulator(seconds=1, faults=faults) as emulator, session_at(emulator) as fox:
        found = await outcomes(fox, foxes(12))
    errors = {index: outcome.error for index, (outcome, _) in found.items() if outcome.error}

    assert [3] == list(errors)
    assert isinstance(errors[3], APIError)
    assert "no" == errors[3].charged
    assert 11 == emulator.billed
    assert 13 == len(posts(emulator))


async def test_the_last_item_of_a_batch_is_refused_alone_after_half_a_minute(tmp_path):
    """No other item is left to prove anything. Others were accepted, and the edge refuses this one for 30 s."""
    faults = [Fault.edge("submit", 403, prompt="fox 1", times=None)]
    async with Emulator(seconds=1, faults=faults) as emulator, session_at(emulator) as fox:
        await fox.generate(fox_request("warm"))
        (outcome,) = [outcome async for outcome in Batch([fox_request("fox 1")], tmp_path).run(fox)]

    assert "no" == outcome.error.charged
    assert 30 < now() < 60


async def test_lost_answers_close_the_brake_and_the_others_are_not_sent():
    """Eight items may be uncertain. The others are held for `task_timeout`, and end unsent with the reason."""
    ever_answered = []
    async with (
        Emulator() as emulator,
        session_at(emulator, task_timeout=100, hooks=[ever_answered.append]) as fox,
    ):
        emulator.outage(10_000, Fault.edge("all", 503))
        found = await outcomes(fox, foxes(20))
    kinds = [type(outcome.error) for outcome, _ in found.values()]

    assert (8, 12) == (kinds.count(UncertainSubmitError), kinds.count(ConnectionFailedError))
    assert {100} == {round(when) for outcome, when in found.values() if outcome.error.charged == "no"}
    assert [10, 30, 90] == [round(event.seconds) for event in ever_answered if isinstance(event, Throttled)]
    assert 8 == len(posts(emulator))


async def test_a_closed_brake_can_be_shown():
    """Its error is there while it is closed, for those who share the account."""
    async with Emulator() as emulator, session_at(emulator, task_timeout=60) as fox:
        before = fox._engine.submitter.hold
        emulator.outage(10_000, Fault.edge("all", 503))
        await outcomes(fox, foxes(20))
        hold = fox._engine.submitter.hold

    assert before is None
    assert isinstance(hold, FoxError)


async def test_submits_go_at_another_rate_from_now_on():
    """Such as a part of a rate that several sessions share."""
    async with Emulator(seconds=1) as emulator, session_at(emulator) as fox:
        fox._engine.api.limit_submits(AdaptiveRate(2.0))
        began = now()
        await outcomes(fox, foxes(5))
        sent = [request.when - began for request in posts(emulator)]

    assert [0.0, 0.5, 1.0, 1.5, 2.0] == [round(moment, 1) for moment in sent]


async def test_an_item_without_a_timeout_waits_as_long_as_the_brake():
    """For example a quarter of an hour: when the service is there again, it is sent, and all others with it."""
    async with Emulator(seconds=1) as emulator, session_at(emulator, task_timeout=None) as fox:
        emulator.outage(900, Fault.edge("all", 503))
        found = await outcomes(fox, foxes(20))

    assert 12 == sum(outcome.error is None for outcome, _ in found.values())
    assert 12 == emulator.billed


async def test_closing_ends_what_waits_for_the_brake_at_once():
    """The next probe is not sent, and nothing keeps the session open."""
    async with Emulator() as emulator, session_at(emulator) as fox:
        emulator.outage(10_000, Fault.edge("all", 503))
        reading = asyncio.create_task(outcomes(fox, foxes(20)))
        await asyncio.sleep(5)
    with contextlib.suppress(Exception):
        await reading

    assert now() < 6
    assert 8 == len(posts(emulator))


async def test_stopping_ends_what_waits_for_the_brake():
    """It was not sent, and its error says so."""
    async with Emulator() as emulator, session_at(emulator) as fox:
        emulator.outage(10_000, Fault.edge("all", 503))
        series = fox.as_completed(foxes(20))
        asyncio.get_running_loop().call_later(5, series.stop)
        found = [outcome async for outcome in series]

    assert 12 == sum(outcome.error.charged == "no" for outcome in found)
    assert now() < 6


async def test_what_waited_for_its_turn_when_the_brake_closed_is_not_sent():
    """A limit lets one go each second: when the third answer is lost, the waiting ones are held by the brake."""
    async with (
        Emulator(seconds=1) as emulator,
        session_at(emulator, limits=Limits(submits_per_second=1), task_timeout=None) as fox,
    ):
        emulator.outage(5, Fault.edge("all", 503))
        found = await outcomes(fox, foxes(12))

    assert 3 == sum(outcome.error is not None for outcome, _ in found.values())
    assert [0, 1, 2] == [round(record.when) for record in posts(emulator)][:3]
    assert 12 <= posts(emulator)[3].when


async def test_an_item_that_is_stopped_in_line_gives_its_place_back():
    """If a series is stopped while a limit holds its items back, they keep no place of the next series."""
    async with (
        Emulator(seconds=1) as emulator,
        session_at(emulator, limits=Limits(submits_per_second=0.2)) as fox,
    ):
        series = fox.as_completed(foxes(20))
        asyncio.get_running_loop().call_later(7, series.stop)
        async for _ in series:
            pass
        found = await outcomes(fox, foxes(10))

    assert {None} == {outcome.error for outcome, _ in found.values()}


async def test_an_item_that_an_outage_holds_ends_with_the_reason():
    """In a series, the brake holds an item for `task_timeout`. Then it ends, unsent, with the last answer of the others."""
    outage = Fault.edge("all", 503, times=None)
    async with (
        Emulator(seconds=1, faults=[outage]) as emulator,
        session_at(emulator, task_timeout=20, retry=RetryPolicy(tries=1)) as fox,
    ):
        found = await outcomes(fox, foxes(12))
    errors = [outcome.error for outcome, _ in found.values()]
    held = [error for error in errors if isinstance(error, ConnectionFailedError)]

    assert 8 == len([error for error in errors if isinstance(error, UncertainSubmitError)])
    assert ["no"] * 4 == [error.charged for error in held]
    assert all("not sent" in str(error) for error in held)
