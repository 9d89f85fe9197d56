"""Which events hooks get for the requests of a session, in which order, and in which context."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import pickle
import sys
import weakref
from collections import Counter

import attrs
import pytest
from crowd import Room
from helpers import fox_request, now, outcomes_of, polls, session_at, settle

import foxapi_async
from foxapi_async import (
    Attached,
    DownloadError,
    FoxError,
    InsufficientQuotaError,
    Left,
    Limits,
    Notice,
    Polled,
    Polling,
    RateLimitError,
    Retried,
    RetryPolicy,
    Saved,
    SavedFile,
    SubmitFailed,
    Submitted,
    Submitting,
    TaskEvent,
    Throttled,
)
from foxapi_async._client import hooks as hooks_module
from foxapi_async._client.hooks import Hooks
from foxapi_async._wire import requests
from foxapi_async.emulator import Fault

pytestmark = pytest.mark.virtual


def kinds(events):
    """The classes of some events, by name."""
    return [type(event).__name__ for event in events]


def of(kind, events):
    """The events of one class."""
    return [event for event in events if isinstance(event, kind)]


def only(kind, events):
    """The one event of a class."""
    (event,) = of(kind, events)
    return event


def leaves_nothing(fox):
    """Whether the poller of a session has dropped every task."""
    return Room(None, fox._engine.poller, []).at_rest


# One generation.


async def test_a_generation_is_reported_from_its_submit_to_its_files(emulator, tmp_path):
    """Hooks get the submit, its acceptance, each poll before its result, and the saved files."""
    seen = []
    async with session_at(emulator, hooks=[seen.append]) as fox:
        result = await fox.generate(fox_request("a fox", num_outputs=2))
        await result.save(tmp_path)
    count = len(polls(emulator))

    assert count > 1
    reported = ["Submitting", "Submitted", "TaskEvent", *["Polling", "Polled", "TaskEvent"] * count]
    assert [*reported, "Saved", "Saved"] == kinds(seen)
    assert [event.final for event in of(TaskEvent, seen)] == [False] * count + [True]
    assert {result.task_id} == {event.task_id for event in seen[1:]}
    assert not any(event.final for event in of(Notice, seen))


async def test_a_submit_is_joined_to_its_task(emulator):
    """`Submitting` and `Submitted` have the same unique number, with the request, tries and seconds."""
    seen, request = [], fox_request("a fox")
    emulator.add_fault(Fault.status("submit", 429, retry_after=7))
    async with session_at(emulator, hooks=[seen.append]) as fox:
        handle = await fox.submit(request)
        await fox.submit(fox_request("another"))
    first, second = of(Submitting, seen)
    submitted = of(Submitted, seen)[0]

    assert request is first.request
    assert (request.model, None) == (first.model, first.task_id)
    assert (first.call, handle.id, request.model, 2) == (
        submitted.call,
        submitted.task_id,
        submitted.model,
        submitted.tries,
    )
    assert 7 <= submitted.seconds <= 8
    assert first.call != second.call


async def test_a_poll_reports_how_long_it_took(emulator):
    """`Polled` has the seconds from `Polling` to the answer."""
    seen = []

    def note(event):
        seen.append((now(), event))

    emulator.add_fault(Fault.slow("poll", 3))
    async with session_at(emulator, hooks=[note]) as fox:
        await fox.generate(fox_request())
    began = next(when for when, event in seen if isinstance(event, Polling))
    when, polled = next((when, event) for when, event in seen if isinstance(event, Polled))

    assert 3 == pytest.approx(polled.seconds, abs=0.1)
    assert when - began == polled.seconds
    assert polled.error is None


@pytest.mark.parametrize("way", ["series", "batch"])
async def test_a_series_reports_the_same_of_each_item(emulator, tmp_path, way):
    """The items of `as_completed` and of a batch are reported like single generations, each with its own number."""
    seen = []
    requests = [fox_request(f"fox {number}") for number in range(3)]
    async with session_at(emulator, hooks=[seen.append]) as fox:
        ids = {outcome.task_id async for outcome in outcomes_of(way, fox, requests, tmp_path)}

    assert 3 == len(ids)
    for task_id in ids:
        mine = [event for event in seen if event.task_id == task_id]
        assert ["Submitted", "TaskEvent", "Polling"] == kinds(mine)[:3]
        ending = ["Polled", "TaskEvent", "Saved"] if way == "batch" else ["Polling", "Polled", "TaskEvent"]
        assert ending == kinds(mine)[-3:]
    assert {s.call for s in of(Submitting, seen)} == {s.call for s in of(Submitted, seen)}
    assert 3 == len({s.call for s in of(Submitted, seen)})


@pytest.mark.parametrize("way", ["series", "batch"])
async def test_an_item_that_waits_out_refusals_is_one_submit(emulator, tmp_path, monkeypatch, way):
    """For any number of tries: one `Submitting`, each wait with its number, one `Submitted`, one key."""
    seen, keys, make = [], [], requests.submit_call

    def call(path, body, key):
        keys.append(key)
        return make(path, body, key)

    monkeypatch.setattr(requests, "submit_call", call)
    emulator.add_fault(Fault.status("submit", 429, times=12))
    async with session_at(emulator, hooks=[seen.append]) as fox:
        (outcome,) = [outcome async for outcome in outcomes_of(way, fox, [fox_request()], tmp_path)]
    begun, ended = only(Submitting, seen), only(Submitted, seen)

    assert outcome.result
    assert (begun.call, 13) == (ended.call, ended.tries)
    assert [("submit", begun.call)] * 12 == [(event.what, event.call) for event in of(Retried, seen)]
    assert now() - ended.seconds < outcome.result.elapsed + 1
    assert (13, 1) == (len(keys), len(set(keys)))


@pytest.mark.parametrize("end", ["stop", "leave"])
async def test_an_item_that_waits_when_its_series_ends_is_reported_once(emulator, end):
    """If its series ends while it waits after a refusal, an item fails once, with that refusal and free of charge."""
    seen = []
    emulator.add_fault(Fault.status("submit", 429, times=None, retry_after=1000))
    async with session_at(emulator, hooks=[seen.append]) as fox:
        series = fox.as_completed([fox_request()])
        reading = asyncio.create_task(anext(series))
        await asyncio.sleep(500)
        if end == "stop":
            series.stop()
            assert isinstance((await reading).error, RateLimitError)
    await asyncio.wait([reading])
    failed = only(SubmitFailed, seen)

    assert ["Submitting", "Throttled", "Retried", "SubmitFailed"] == kinds(seen)
    assert (RateLimitError, "no") == (type(failed.error), failed.error.charged)
    assert 500 == pytest.approx(failed.seconds, abs=0.1)


async def test_the_upload_of_a_submit_is_reported_with_its_number(emulator, tmp_path):
    """A further try of an upload that a request needs has the number of that submit."""
    seen, file = [], tmp_path / "fox.png"
    file.write_bytes(b"\x89PNG of a fox")
    emulator.add_fault(Fault.status("upload", 503))
    async with session_at(emulator, hooks=[seen.append]) as fox:
        await fox.submit(fox_request(image_urls=[file]))
    retried = only(Retried, seen)

    assert ("upload", only(Submitting, seen).call) == (retried.what, retried.call)


# Submits that fail.


async def test_a_refused_submit_is_reported_once(emulator):
    """`SubmitFailed` has the submit's number and an error like the raised one, with its own traceback."""
    seen = []
    emulator.add_fault(Fault.status("submit", 400))
    async with session_at(emulator, hooks=[seen.append]) as fox:
        with pytest.raises(foxapi_async.BadRequestError) as caught:
            await fox.submit(fox_request())
    failed = only(SubmitFailed, seen)

    assert ["Submitting", "SubmitFailed"] == kinds(seen)
    assert (seen[0].call, 1, None) == (failed.call, failed.tries, failed.task_id)
    assert isinstance(failed.error, foxapi_async.BadRequestError)
    assert failed.error is not caught.value
    assert failed.error.__traceback__ is None


async def test_a_submit_whose_caller_is_cancelled_ends_once_too(emulator):
    """If a submit is cancelled before it is sent, it fails free of charge. If its POST is sent, its task is
    reported.
    """
    seen = []
    emulator.add_fault(Fault.status("submit", 429, retry_after=60))
    async with session_at(emulator, hooks=[seen.append], retry=RetryPolicy(grace=5)) as fox:
        waiting = asyncio.create_task(fox.submit(fox_request("refused for now")))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait([waiting])
        await settle()
        assert ["Submitting", "Throttled", "Retried", "SubmitFailed"] == kinds(seen)
        assert "no" == seen[-1].error.charged
        seen.clear()
        await asyncio.sleep(100)
        emulator.add_fault(Fault.slow("submit", 3))
        waiting = asyncio.create_task(fox.submit(fox_request("sent")))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.sleep(5)

    assert ["Submitting", "Submitted"] == kinds(seen)[:2]
    assert 2 < seen[1].seconds < 4


async def test_a_submit_that_is_not_sent_for_the_account_is_reported_too(emulator):
    """A submit that fails because another got a 402 begins and fails in its own context; nothing is sent."""
    seen, mine = [], contextvars.ContextVar("mine", default="mine")

    def hook(event):
        seen.append(event)
        mine.set("the hook's")

    emulator.add_fault(Fault.status("submit", 402))
    async with session_at(emulator, hooks=[hook]) as fox:
        for _ in range(2):
            with pytest.raises(InsufficientQuotaError):
                await fox.submit(fox_request())
        reported = mine.get()

    assert ["Submitting", "SubmitFailed"] * 2 == kinds(seen)
    assert [(1, "no"), (0, "no")] == [(e.tries, e.error.charged) for e in of(SubmitFailed, seen)]
    assert "mine" == reported
    assert 1 == len(emulator.requests)


async def test_a_submit_whose_grace_is_over_is_uncertain(emulator):
    """A POST without an answer, whose caller has gone, ends as uncertain at the end of its grace."""
    seen = []
    emulator.add_fault(Fault.hang("submit"))
    async with session_at(emulator, hooks=[seen.append], retry=RetryPolicy(grace=5)) as fox:
        with pytest.raises(foxapi_async.UncertainSubmitError):
            await fox.submit(fox_request(), timeout=2)
        assert ["Submitting"] == kinds(seen)
        await asyncio.sleep(10)

    assert ["Submitting", "SubmitFailed"] == kinds(seen)
    assert "unknown" == seen[1].error.charged
    assert 7 == pytest.approx(seen[1].seconds, abs=0.1)


async def test_closing_a_session_twice_interrupted_reports_its_posts(emulator):
    """A POST that is ended in its grace, because closing the session is itself cancelled, ends as uncertain."""
    seen = []
    emulator.add_fault(Fault.hang("submit"))

    async def run():
        async with session_at(emulator, hooks=[seen.append]) as fox:
            await fox.submit(fox_request())

    running = asyncio.create_task(run())
    await asyncio.sleep(1)
    for _ in range(2):
        running.cancel()
        await asyncio.sleep(1)
    await asyncio.wait([running])

    assert ["Submitting", "SubmitFailed"] == kinds(seen)
    assert isinstance(seen[1].error, foxapi_async.UncertainSubmitError)


async def test_a_fault_on_the_way_to_the_service_is_reported(emulator):
    """An error that is not the package's, and may not even be copyable, also ends the submit."""

    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__()

    seen = []
    async with session_at(emulator, hooks=[seen.append]) as fox:
        fault = Odd(1, 2)

        async def broken(*_, **__):
            raise fault

        fox._engine.api.submit = broken
        with pytest.raises(Odd):
            await fox.submit(fox_request())

    assert ["Submitting", "SubmitFailed"] == kinds(seen)
    assert fault is seen[1].error


# Tasks of another session, and tasks without handles.


async def test_attaching_is_reported_where_it_begins_to_poll(emulator):
    """`attach` reports a task that is not polled yet, but not one that is."""
    async with session_at(emulator) as fox:
        handle = await fox.submit(fox_request())
    seen = []
    async with session_at(emulator, hooks=[seen.append]) as fox:
        first, second = fox.attach(handle.id), fox.attach(handle.id)
        assert [Attached(task_id=handle.id)] == seen
        await asyncio.gather(first.wait(), second.wait())

    assert [] == of(Submitting, seen)
    assert ["Attached", "Polling", "Polled", "TaskEvent"] == kinds(seen)[:4]


@pytest.mark.parametrize("way", ["timeout", "stop", "refusal", "leave"])
async def test_the_end_of_the_last_handle_is_reported(emulator, way):
    """When the last handle of a task ends, this is reported once, with the handle's error, and no event follows."""
    seen = []
    async with session_at(emulator, hooks=[seen.append]) as fox:
        handle = await fox.submit(fox_request(), timeout=4)
        other = fox.attach(handle.id, timeout=2)
        if way == "refusal":
            emulator.add_fault(Fault.status("poll", 403, times=None))
        await asyncio.sleep(3)
        if way == "stop":
            handle.stop()
        elif way == "timeout":
            await asyncio.sleep(2)
    with pytest.raises(FoxError) as caught:
        await handle

    left = only(Left, seen)
    assert (handle.id, type(caught.value), str(caught.value)) == (
        left.task_id,
        type(left.error),
        str(left.error),
    )
    assert left is seen[-1]
    assert other.done()
    assert not any(event.final for event in seen)


# Faults on the way.


@pytest.mark.parametrize("what", ["submit", "fetch", "upload", "download", "poll"])
async def test_what_is_tried_again_is_reported(emulator, tmp_path, what):
    """Each further try of any request is reported before its wait, with its error, and with the task if there
    is one.
    """
    seen = []
    async with session_at(emulator, hooks=[seen.append]) as fox:
        handle = await fox.submit(fox_request())
        result = await handle
        seen.clear()
        on = {"download": "file", "fetch": "poll"}.get(what, what)
        emulator.add_fault(Fault.status(on, 429 if what == "submit" else 503, times=2))
        if what == "submit":
            handle = await fox.submit(fox_request())
        elif what == "poll":
            handle = await fox.submit(fox_request())
            await handle
        elif what == "fetch":
            await fox.fetch(handle.id)
        elif what == "upload":
            await fox.upload(b"a picture")
        else:
            await result.save(tmp_path)
    retried = of(Retried, seen)

    assert [what] * 2 == [event.what for event in retried]
    assert all(event.seconds >= 0 for event in retried)
    assert all(isinstance(event.error, FoxError) for event in retried)
    numbers = {event.call for event in of(Submitting, seen)} if what == "submit" else {None}
    assert numbers == {event.call for event in retried}
    assert {None if what in {"submit", "upload"} else handle.id} == {event.task_id for event in retried}


async def test_a_failing_poll_reports_its_error_and_its_next_try(emulator):
    """`Polled` has the error of a failed poll, and `Retried` the seconds until the next one."""
    seen = []

    def note(event):
        seen.append((now(), event))

    async with session_at(emulator, hooks=[note]) as fox:
        handle = await fox.submit(fox_request())
        emulator.add_fault(Fault.status("poll", 429, retry_after=5))
        await handle
    place = next(n for n, (_, event) in enumerate(seen) if isinstance(event, Polled))
    (_, polled), (when, retried), (_, throttled), (after, polling) = seen[place : place + 4]

    assert isinstance(polled.error, RateLimitError)
    assert isinstance(retried.error, RateLimitError)
    assert 5 <= retried.seconds < 6
    assert Polling(task_id=handle.id) == polling
    assert after - when == pytest.approx(retried.seconds, abs=0.01)
    assert ("poll", pytest.approx(retried.seconds)) == (throttled.what, throttled.seconds)
    assert isinstance(throttled.error, RateLimitError)


async def test_what_a_refusal_holds_back_is_reported_once(emulator):
    """A 429 is reported as one hold with its seconds, however many submits wait for its end."""
    seen = []
    async with session_at(emulator, hooks=[seen.append]) as fox:
        emulator.add_fault(Fault.status("submit", 429, retry_after=9))
        await asyncio.gather(*(fox.submit(fox_request(str(n))) for n in range(5)))
    held = [event for event in of(Throttled, seen) if event.error is not None]

    assert ["submit"] == [event.what for event in held]
    assert 9 <= held[0].seconds < 10
    assert isinstance(held[0].error, RateLimitError)


@pytest.mark.parametrize("what", ["submit", "poll"])
async def test_our_own_limits_are_reported(emulator, what):
    """The reported seconds of a limit's holds add up to the time that the requests waited."""
    seen = []
    limits = Limits(**{f"{what}s_per_second": 0.5})
    async with session_at(emulator, hooks=[seen.append], limits=limits) as fox:
        if what == "submit":
            await asyncio.gather(*(fox.submit(fox_request(str(n))) for n in range(5)))
            lowest, highest = 8.0, 8.1
        else:
            handles = [await fox.submit(fox_request(str(n))) for n in range(8)]
            began = now()
            await asyncio.gather(*(handle.wait() for handle in handles))
            lowest, highest = 2.0, now() - began
    throttled = of(Throttled, seen)

    assert {(what, None)} == {(event.what, event.error) for event in throttled}
    assert lowest <= sum(event.seconds for event in throttled) <= highest
    assert all(0 < event.seconds <= 2 for event in throttled)


async def test_a_session_without_limits_holds_nothing_back(emulator):
    """No hold is reported if there is neither a limit nor a refusal."""
    seen = []
    async with session_at(emulator, hooks=[seen.append]) as fox:
        await asyncio.gather(*(fox.generate(fox_request(str(n))) for n in range(20)))

    assert [] == of(Throttled, seen)


# Files.


async def test_a_saved_file_is_reported_with_its_size_and_seconds(emulator, tmp_path):
    """`Saved` has the result of `download`, and includes the waits of retries."""
    seen = []
    async with session_at(emulator, hooks=[seen.append]) as fox:
        result = await fox.generate(fox_request())
        emulator.add_fault(Fault.slow("file", 4))
        file = await result.images[0].download(tmp_path / "fox")
    saved = only(Saved, seen)

    assert (file, result.task_id) == (saved.file, saved.task_id)
    assert 4 <= saved.seconds < 5


async def test_files_saved_later_are_reported_on_the_same_loop_alone(emulator, tmp_path):
    """After the session ends, its hooks still get reports of its files, but never from another event loop."""
    seen = []
    async with session_at(emulator, hooks=[seen.append]) as fox:
        result = await fox.generate(fox_request())
    seen.clear()
    await asyncio.to_thread(asyncio.run, result.save(tmp_path / "elsewhere"))
    elsewhere = list(seen)
    await result.save(tmp_path / "here")

    assert [] == elsewhere
    assert ["Saved"] == kinds(seen)


# Hooks that change the session.


@pytest.mark.parametrize("kind", [Submitted, TaskEvent, Polling, Polled, Retried, Throttled])
async def test_a_hook_may_stop_the_handle_of_its_event(emulator, kind):
    """A hook that stops the task's last handle ends its polling, and leaves nothing of it behind."""
    count = 0

    def stop(event):
        nonlocal count
        if isinstance(event, kind):
            count += 1
            for handle in fox.unfinished:
                handle.stop()

    async with session_at(emulator, hooks=[stop]) as fox:
        if kind in {Retried, Throttled}:
            emulator.add_fault(Fault.status("poll", 429, retry_after=3, times=None))
        handle = await fox.submit(fox_request())
        await asyncio.sleep(60)

        assert handle.done()
        assert leaves_nothing(fox)
    assert 1 == count
    assert len(polls(emulator)) <= 1


async def test_a_hook_may_stop_others_that_end_together(emulator):
    """If a hook, at another handle's end, stops handles that end in the same turn, they end once, without harm."""
    seen = []

    def stop_all(event):
        if isinstance(event, Left):
            seen.append(event.task_id)
            for handle in handles:
                handle.stop()

    async with session_at(emulator, hooks=[stop_all]) as fox:
        handles = [await fox.submit(fox_request(str(n)), timeout=None) for n in range(3)]
        for handle in handles:
            fox.attach(handle.id, timeout=2)
            handle.stop()
        handles = list(fox.unfinished)
        seen.clear()
        await asyncio.sleep(3)
        assert sorted(emulator.tasks) == sorted(seen)
        seen.clear()
        handles = [await fox.submit(fox_request(str(n))) for n in range(3)]

    assert 3 == len(seen) == len(set(seen))
    assert all(handle.done() for handle in handles)


async def test_a_slow_hook_is_named_once(emulator, caplog):
    """The first time that a hook blocks the loop, the log names it, with its seconds."""

    def sluggish(event):
        if isinstance(event, Polled):
            asyncio.get_running_loop()._now += 0.25

    async with session_at(emulator, hooks=[lambda _: None, sluggish]) as fox:
        await fox.generate(fox_request())
    slow = [record for record in caplog.records if "kept everything" in record.getMessage()]

    assert 1 < len(polls(emulator))
    (record,) = slow
    assert logging.WARNING == record.levelno
    assert "sluggish took 0.25 s for Polled of task" in record.getMessage()


def test_a_hook_without_a_name_is_reported_by_its_class(caplog):
    """A hook that is a callable object is named by its class."""

    class Counting:
        def __call__(self, event):
            raise RuntimeError("mine")

    moments = iter([0.0, 1.0, 2.0])
    hooks = Hooks([Counting()])
    hooks.clock = lambda: next(moments)
    hooks(Throttled(what="poll", seconds=1.0))

    assert "Counting took 2.00 s for Throttled, and" in caplog.text
    assert "a hook raised on Throttled;" in caplog.text


async def test_without_hooks_no_notice_is_made(emulator, monkeypatch, tmp_path):
    """A session without hooks makes no notice at all."""

    def made(**_):
        raise AssertionError("a notice was made")

    kinds = [
        kind for kind in vars(hooks_module).values() if isinstance(kind, type) and issubclass(kind, Notice)
    ]
    client = [module for name, module in sys.modules.items() if name.startswith("foxapi_async._client.")]
    named = [(module, kind.__name__) for module in client for kind in kinds if kind.__name__ in vars(module)]
    for module, name in named:
        monkeypatch.setattr(module, name, made)
    for on in ("submit", "poll", "file"):
        emulator.add_fault(Fault.status(on, 429, retry_after=1))
    async with session_at(emulator, limits=Limits(submits_per_second=1)) as fox:
        result = await fox.generate(fox_request())
        await result.save(tmp_path)
        emulator.add_fault(Fault.status("submit", 400))
        with pytest.raises(foxapi_async.BadRequestError):
            await fox.submit(fox_request())
        (await fox.submit(fox_request())).stop()
        fox.attach(result.task_id)

    assert 2 == emulator.billed


# The context of hooks and polls.

VARIABLE = contextvars.ContextVar("request", default=None)


class Thing:
    """An object that a request keeps alive."""


async def test_polls_run_in_the_sessions_own_context(emulator):
    """A caller's context is used only for its own submit. Polls, timeouts and the polls of others run in the
    context in which the session was entered.
    """
    found = []

    def look(event):
        found.append((type(event).__name__, VARIABLE.get()))

    async def user(fox, name, task_id=None):
        VARIABLE.set(name)
        return fox.attach(task_id, timeout=30) if task_id else await fox.submit(fox_request(name))

    token = VARIABLE.set("application")
    async with session_at(emulator, hooks=[look]) as fox:
        VARIABLE.reset(token)
        first = await asyncio.create_task(user(fox, "one"))
        second = await asyncio.create_task(user(fox, "two"))
        await asyncio.create_task(user(fox, "three", first.id))
        emulator.add_fault(Fault.never_finishes())
        endless = await asyncio.create_task(user(fox, "four"))
        await asyncio.create_task(user(fox, "five", endless.id))
        endless.stop()
        await asyncio.gather(first.wait(), second.wait())
        await asyncio.sleep(60)

    counts = Counter(found)
    assert {"one", "two", "four"} == {value for kind, value in counts if kind in {"Submitting", "Submitted"}}
    assert {"application"} == {value for kind, value in counts if kind in {"Polling", "Polled", "Left"}}
    assert 1 == counts["Left", "application"]
    assert {"application", "one", "two", "four"} == {value for kind, value in counts if kind == "TaskEvent"}


async def test_a_session_keeps_no_callers_context_alive(emulator):
    """The objects in a caller's context are freed while its task is still polled, when the timers of its
    submit have ended.
    """
    held = []
    emulator.add_fault(Fault.never_finishes(times=None))

    async def request(fox):
        thing = Thing()
        held.append(weakref.ref(thing))
        VARIABLE.set(thing)
        return (await fox.submit(fox_request())).id

    async with session_at(emulator, task_timeout=None) as fox:
        for _ in range(3):
            await asyncio.create_task(request(fox))
        await asyncio.sleep(100)
        gc.collect()
        assert [None] * 3 == [reference() for reference in held]
        assert 3 == len(fox.unfinished)


async def test_a_hook_sets_context_for_its_own_submit_alone(emulator):
    """A value that a hook sets at `Submitting` is visible in that submit's further events, but not to its
    caller or polls.
    """
    found = []

    def mark(event):
        if isinstance(event, Submitting):
            VARIABLE.set(event.call)
        found.append((event, VARIABLE.get()))

    async with session_at(emulator, hooks=[mark]) as fox:
        await asyncio.gather(*(fox.generate(fox_request(str(n))) for n in range(3)))
        assert VARIABLE.get() is None

    assert {(e.call, e.call) for e, _ in found if isinstance(e, Submitted)} == {
        (e.call, value) for e, value in found if isinstance(e, Submitted)
    }
    assert {None} == {value for event, value in found if isinstance(event, Polling | Polled)}


# The values themselves.

URL = "https://files.test/fox.png?signature=0123"
ERROR = DownloadError(f"cannot download: HTTP 500 ({URL})", url=URL)
NOTICES = [
    Submitting(call=1, model="m", request=fox_request("a secret fox")),
    Submitted(task_id="t", call=1, model="m", tries=2, seconds=0.5),
    SubmitFailed(call=1, model="m", error=ERROR, tries=1, seconds=0.5),
    SubmitFailed(call=1, model="m", error=RateLimitError("a secret fox", status=429), tries=1, seconds=0.5),
    Attached(task_id="t"),
    Polling(task_id="t"),
    Polled(task_id="t", seconds=0.1, error=ERROR),
    Retried(what="download", task_id="t", seconds=1.0, error=ERROR),
    Throttled(what="poll", seconds=1.0, error=RateLimitError("a secret fox", status=429)),
    Saved(task_id="t", file=SavedFile("out/t-1.png", "0" * 64, 5), seconds=1.0),
    Left(task_id="t", error=ERROR),
]


def test_there_is_an_example_of_every_notice():
    """There is a value below for every kind of notice."""
    assert {Notice} | {type(notice) for notice in NOTICES} == {Notice, *Notice.__subclasses__()}


@pytest.mark.parametrize("notice", NOTICES, ids=kinds(NOTICES))
def test_notices_are_frozen_values_that_hold_no_secret(notice):
    """A notice is frozen and can be pickled. It never ends a task, and shows no prompt, no signature and no
    error message.
    """
    again = pickle.loads(pickle.dumps(notice))

    assert repr(notice) == repr(again)
    assert not any(word in repr(notice) for word in ("secret", "signature", "0123", "cannot"))
    assert notice.final is False
    assert hasattr(notice, "task_id")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        notice.task_id = "other"


def test_a_notice_shows_what_kind_of_error_it_has():
    """A notice shows the class of its error and its HTTP status."""
    shown = [repr(notice.error) for notice in NOTICES if hasattr(notice, "error")]

    assert 6 == len(shown)
    assert "error=<RateLimitError 429>" in repr(NOTICES[3])
    assert "error=<DownloadError>" in repr(NOTICES[6])
    assert "error=None" in repr(Polled(task_id="t", seconds=0.1))
