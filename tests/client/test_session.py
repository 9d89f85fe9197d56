"""The promises of FoxSession and TaskHandle, on a loop whose clock jumps, with a real service on the same loop."""

import asyncio
import contextlib
import itertools
import logging

import pytest
from helpers import Broken, fox_request, now, polls, posts, session_at, settle

from foxapi_async import (
    AuthenticationError,
    Cadence,
    ConfigurationError,
    FoxSession,
    InvalidRequestError,
    Limits,
    NotFoundError,
    RateLimitError,
    RawRequest,
    TaskAbandonedError,
    TaskEvent,
    TaskFailedError,
    TaskTimeoutError,
    UncertainSubmitError,
)
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual


async def test_a_session_without_a_block(emulator):
    """`open` and `aclose` are what entering and leaving do. A second `aclose` does nothing."""
    fox = session_at(emulator)
    assert fox is await fox.open()
    result = await fox.generate(fox_request())
    await fox.aclose()
    await fox.aclose()
    with pytest.raises(ConfigurationError, match="the session was closed"):
        await fox.fetch(result.task_id)
    with pytest.raises(ConfigurationError, match="can be opened only once"):
        await fox.open()


@pytest.mark.parametrize("turns", range(3))
async def test_an_entry_that_is_cancelled_leaves_nothing(emulator, turns):
    """In each of its turns of the loop, no task of the session stays."""
    entering = asyncio.create_task(session_at(emulator).open())
    for _ in range(turns):
        await asyncio.sleep(0)
    entering.cancel()
    await asyncio.wait([entering])

    assert entering.cancelled()
    assert not [task for task in asyncio.all_tasks() if "foxapi" in task.get_name()]


async def test_a_session_that_was_never_opened_is_closed(emulator):
    """Its `aclose` does nothing."""
    await session_at(emulator).aclose()

    assert [] == emulator.requests


async def test_generate_submits_once_and_waits(emulator, fox):
    """`generate` bills one task and returns its images."""
    result = await fox.generate(fox_request(num_outputs=2))

    assert 1 == emulator.billed
    assert 2 == len(result.images)
    assert result.task_id in emulator.tasks
    assert {"credits_reserved": 10, "user_group": "default"} == result.usage
    assert result.raw["status"] == "completed"


async def test_detection_lag_is_small(emulator, fox):
    """A finished task is noticed within a few seconds, with few reads."""
    result = await fox.generate(fox_request())

    task = emulator.tasks[result.task_id]
    assert 0 <= result.elapsed - task.duration < 6
    assert task.polls < 15


async def test_a_short_timeout_ends_with_a_last_poll(emulator):
    """Shortly before a handle's time is over its task is polled once, although its next poll would be later."""
    async with session_at(emulator, cadence=Cadence(poll_price=10)) as fox:
        began = now()
        handle = await fox.submit(fox_request(), timeout=4)
        with pytest.raises(TaskTimeoutError):
            await handle

    assert [3.0] == [round(record.when - began, 1) for record in polls(emulator)]


async def test_iteration_yields_every_step(fox):
    """Iterating yields the current state, then each poll, and ends after the final one."""
    handle = await fox.submit(fox_request())

    events = [event async for event in handle]

    assert "pending" == events[0].status
    assert "completed" == events[-1].status
    assert [False] * (len(events) - 1) + [True] == [event.final for event in events]
    assert sorted(event.elapsed for event in events) == [event.elapsed for event in events]
    assert 0 == events[-1].remaining
    assert all(event.remaining > 0 for event in events[:-1])
    assert (await handle).images == events[-1].snapshot.images


async def test_a_late_iterator_starts_with_the_current_state(fox):
    """An iterator begun after the end yields only the final event."""
    handle = await fox.submit(fox_request())
    await handle

    assert ["completed"] == [event.status async for event in handle]


async def test_a_slow_iterator_skips_to_the_latest_state(emulator, fox):
    """A slow reader delays no poll, and still gets the final event."""
    handle = await fox.submit(fox_request())
    statuses = []
    async for event in handle:
        statuses.append(event.status)
        await asyncio.sleep(1000)

    assert ["pending", "completed"] == statuses
    assert (await handle).elapsed < 60


async def test_several_iterators_read_one_handle(fox):
    """Each iterator of a handle sees the final event."""
    handle = await fox.submit(fox_request())

    async def last():
        return [event async for event in handle][-1]

    seen = await asyncio.gather(*(last() for _ in range(3)))

    assert [True] * 3 == [event.final for event in seen]


async def test_cancelling_one_waiter_disturbs_no_other(fox):
    """Several tasks may await one handle; cancelling one does not disturb the others or the polling."""
    handle = await fox.submit(fox_request())
    first, second = (asyncio.create_task(handle.wait()) for _ in range(2))
    await settle()
    first.cancel()

    result = await second

    assert first.cancelled()
    assert handle.done()
    assert result is await handle


async def test_each_waiter_gets_an_error_of_its_own(emulator, fox):
    """A failed task raises a new exception object for each waiter, with code, snapshot and id."""
    emulator.add_fault(Fault.fails("content_policy_violation", "no foxes"))
    handle = await fox.submit(fox_request())

    errors = await asyncio.gather(handle.wait(), handle.wait(), return_exceptions=True)

    assert isinstance(errors[0], TaskFailedError)
    assert errors[0] is not errors[1]
    assert ("content_policy_violation", "no foxes") == (errors[0].code, errors[0].message)
    assert handle.id == errors[0].task_id == errors[0].snapshot.id
    assert "unknown" == errors[0].charged


async def test_iterating_a_failed_task_ends_with_its_event(emulator, fox):
    """After a failed task iteration ends with that event; only awaiting raises."""
    emulator.add_fault(Fault.fails())
    handle = await fox.submit(fox_request())

    events = [event async for event in handle]

    assert "failed" == events[-1].status
    with pytest.raises(TaskFailedError):
        await handle


async def test_the_handles_timeout_is_exact(emulator, fox):
    """A handle's timeout counts from the call and is not exceeded, and the task continues."""
    emulator.add_fault(Fault.never_finishes())
    handle = await fox.submit(fox_request(), timeout=33.3)

    with pytest.raises(TaskTimeoutError) as caught:
        await handle

    assert 33.3 == pytest.approx(now(), abs=0.01)
    assert handle.id == caught.value.task_id
    assert "yes" == caught.value.charged
    assert not isinstance(caught.value, TimeoutError)
    assert (handle,) == fox.unfinished


async def test_a_timeout_is_kept_while_a_poll_hangs(emulator, fox):
    """If a status read hangs, the deadline is still kept."""
    emulator.add_fault(Fault.hang("poll", times=None))
    handle = await fox.submit(fox_request(), timeout=60)

    with pytest.raises(TaskTimeoutError):
        await handle

    assert 60 == pytest.approx(now(), abs=0.01)


async def test_a_timed_out_handle_ends_its_iterators_without_an_event(emulator, fox):
    """A handle that its deadline ended ends its iterators without a further event."""
    emulator.add_fault(Fault.never_finishes())
    handle = await fox.submit(fox_request(), timeout=50)

    events = [event async for event in handle]

    assert not any(event.final for event in events)
    assert [] == [event async for event in handle]


async def test_a_waiters_timeout_is_its_own(fox):
    """`wait(timeout)` ends only that waiter; the handle continues."""
    handle = await fox.submit(fox_request())

    with pytest.raises(TaskTimeoutError) as caught:
        await handle.wait(timeout=1)

    assert handle.id == caught.value.task_id
    assert not handle.done()
    assert (await handle.wait(timeout=1000)).images


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "5", True])
async def test_a_senseless_timeout_is_refused_before_anything_is_sent(emulator, fox, timeout):
    """A timeout that is not a positive number of seconds is refused by name, and nothing is billed."""
    with pytest.raises(InvalidRequestError, match="timeout="):
        await fox.submit(fox_request(), timeout=timeout)
    with pytest.raises(InvalidRequestError, match="timeout="):
        fox.attach("task-1", timeout=timeout)

    assert 0 == emulator.billed


async def test_stop_ends_only_the_polling(emulator, fox):
    """`stop()` raises TaskAbandonedError at once, ends the polls, and does not touch the remote task."""
    handle = await fox.submit(fox_request())
    handle.stop()
    handle.stop()
    polled = len(polls(emulator))

    with pytest.raises(TaskAbandonedError, match="attach"):
        await handle
    await asyncio.sleep(500)

    assert polled == len(polls(emulator))
    assert "completed" == (await fox.fetch(handle.id)).status
    assert [] == [event async for event in handle]
    assert "abandoned" in repr(handle)


async def test_handles_of_one_id_share_their_polls(emulator, fox):
    """Two handles of one id need only the polls of one; each has its own deadline and stop."""
    first = await fox.submit(fox_request())
    second = fox.attach(first.id, timeout=1)
    third = fox.attach(first.id)
    third.stop()
    with pytest.raises(TaskTimeoutError):
        await second

    result = await first

    assert result.elapsed == pytest.approx(now(), abs=0.5)
    assert emulator.tasks[first.id].polls < 15
    with pytest.raises(TaskAbandonedError):
        await third


async def test_attach_to_a_watched_task_starts_with_its_state(emulator, fox):
    """A handle attached to a running task has its snapshot at once, without a poll."""
    first = await fox.submit(fox_request())
    polled = len(polls(emulator))
    second = fox.attach(first.id)

    assert second.snapshot is first.snapshot
    assert polled == len(polls(emulator))


async def test_attach_continues_where_another_process_stopped(emulator):
    """An attached task is polled at once, and its age is measured on the service's clock."""
    async with session_at(emulator) as before:
        handle = await before.submit(fox_request())
    await asyncio.sleep(8)
    async with session_at(emulator) as fox:
        began = now()
        attached = fox.attach(handle.id, estimated_time=20)
        first = await anext(aiter(attached))
        result = await attached

    assert began == pytest.approx(now() - (result.elapsed - first.elapsed), abs=0.1)
    assert 8 == pytest.approx(first.elapsed, abs=1.1)
    assert handle.id == result.task_id
    assert 1 == emulator.billed


async def test_attach_to_a_finished_task_gives_its_result(emulator, fox):
    """A task that is already over is read once."""
    result = await fox.generate(fox_request())
    polled = emulator.tasks[result.task_id].polls

    again = await fox.attach(result.task_id)

    assert again.images == result.images
    assert polled + 1 == emulator.tasks[result.task_id].polls


async def test_attach_to_an_unknown_id_fails_soon(emulator, fox):
    """An id that the service does not know is a NotFoundError after a short grace for lagging replicas."""
    handle = fox.attach("task-unified-1-nobody")

    with pytest.raises(NotFoundError) as caught:
        await handle

    assert now() == pytest.approx(2, abs=0.1)
    assert ("task-unified-1-nobody", "unknown") == (caught.value.task_id, caught.value.charged)
    assert not caught.value.retryable
    assert [] == [event async for event in handle]


@pytest.mark.parametrize("task_id", ["", ".", "..", "a/b", "a\\b", "a?b", "a#b", "a%2fb", "a\nb", 7, None])
async def test_an_id_that_cannot_be_one_is_refused_before_any_request(emulator, fox, task_id):
    """An id that is not a single path segment is refused by name, and nothing is sent."""
    with pytest.raises(InvalidRequestError, match="task_id="):
        fox.attach(task_id)
    with pytest.raises(InvalidRequestError, match="task_id="):
        await fox.fetch(task_id)

    assert [] == emulator.requests


async def test_a_404_just_after_the_submit_is_waited_out(emulator, fox):
    """Replicas lag behind: a 404 in the first seconds of a task is ignored."""
    emulator.add_fault(Fault.not_found("poll", times=2))

    # An estimate of a quarter of a second brings the first polls into the grace.
    async with (
        Emulator(seconds=0.25, faults=[Fault.not_found("poll", times=2)]) as quick,
        session_at(quick) as other,
    ):
        assert (await other.generate(fox_request())).images


async def test_what_was_given_up_is_kept_for_two_days(emulator, fox):
    """A handle that timed out stays in `unfinished` while its id may be of use, and is dropped after two days."""
    handles = [await fox.submit(fox_request(), timeout=1)]
    await asyncio.sleep(40 * 3600)
    handles.append(await fox.submit(fox_request(), timeout=1))
    await asyncio.sleep(2)
    assert set(handles) == set(fox.unfinished)
    await asyncio.sleep(10 * 3600)
    handles.append(await fox.submit(fox_request(), timeout=1))
    await asyncio.sleep(2)

    assert set(handles[1:]) == set(fox.unfinished)


async def test_an_error_that_ends_a_session_names_what_is_unfinished(emulator):
    """The ids of paid tasks are in a note of the session's error, which a traceback shows without a log."""
    error = RuntimeError("of the program")
    with pytest.raises(RuntimeError) as caught:
        async with session_at(emulator) as fox:
            handles = [await fox.submit(fox_request()) for _ in range(22)]
            raise error

    (note,) = error.__notes__
    assert caught.value is error
    assert all(handle.id in note for handle in handles[:20])
    assert note.startswith("the session was closed with 22 tasks unfinished")
    assert note.endswith("and 2 more")


async def test_what_ends_the_closing_names_what_is_unfinished_too(emulator):
    """If the body ended normally and the exit is cancelled, the cancellation has the ids in a note."""
    emulator.add_fault(Fault.hang("submit", prompt="without answer"))

    async def use():
        async with session_at(emulator) as fox:
            handle = await fox.submit(fox_request())
            hanging = asyncio.create_task(fox.submit(fox_request("without answer")))
            await asyncio.sleep(1)
            made.append((handle, hanging))

    made = []
    user = asyncio.create_task(use())
    await asyncio.sleep(2)
    user.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await user
    [(handle, hanging)] = made

    assert isinstance((await asyncio.gather(hanging, return_exceptions=True))[0], UncertainSubmitError)
    assert handle.id in caught.value.__notes__[0]


async def test_an_error_that_ends_a_session_without_tasks_has_no_note(emulator):
    """If everything has ended, the error is raised without a note."""
    with pytest.raises(RuntimeError) as caught:
        async with session_at(emulator) as fox:
            await fox.generate(fox_request())
            raise RuntimeError("of the program")

    assert not hasattr(caught.value, "__notes__")


async def test_closing_abandons_what_is_unfinished(emulator, caplog):
    """Closing the session ends handles at once with TaskAbandonedError, and logs their ids once; they stay
    readable.
    """
    async with session_at(emulator) as fox:
        handle = await fox.submit(fox_request())
        waiter = asyncio.create_task(handle.wait())
        await settle()
    polled = len(polls(emulator))

    with pytest.raises(TaskAbandonedError) as caught:
        await waiter
    await asyncio.sleep(100)

    assert handle.id == caught.value.task_id
    assert (handle,) == fox.unfinished
    assert polled == len(polls(emulator))
    assert 1 == sum(handle.id in record.getMessage() for record in caplog.records)


async def test_a_session_may_be_closed_in_another_task(emulator):
    """A session may be entered and left in different tasks, as fixtures and dependency injection do."""
    fox = session_at(emulator)
    await asyncio.create_task(fox.__aenter__())
    handle = await fox.submit(fox_request())
    await asyncio.create_task(fox.__aexit__(None, None, None))

    with pytest.raises(TaskAbandonedError):
        await handle


async def test_an_error_of_the_body_is_raised_unchanged(emulator):
    """An exception of the `async with` body is never wrapped in a group."""
    with pytest.raises(KeyError, match="mine"):
        async with session_at(emulator) as fox:
            await fox.submit(fox_request())
            raise KeyError("mine")


async def test_a_fault_of_ours_reaches_handles_and_exit_but_not_the_body(emulator, fox):
    """A bug in the poller cancels no user code. Handles raise, submits are refused, and closing raises the
    bug itself.
    """
    task = await fox.submit(fox_request())
    body_finished = False
    with pytest.raises(ZeroDivisionError):
        async with session_at(emulator, cadence=Broken()) as faulty:
            handle = faulty.attach(task.id)
            with pytest.raises(TaskAbandonedError) as caught:
                await handle
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
            with pytest.raises(ConfigurationError, match="internal error"):
                await faulty.submit(fox_request())
            with pytest.raises(TaskAbandonedError):
                await faulty.attach("task-y")
            await asyncio.sleep(10)
            body_finished = True

    assert body_finished
    assert (1, task.id) == (emulator.billed, faulty.unfinished[0].id)


async def test_a_fault_of_ours_costs_no_id(emulator):
    """If the poller fails on the very reply to a submit, the caller still gets the handle with its id."""
    with pytest.raises(ZeroDivisionError):
        async with session_at(emulator, cadence=Broken()) as faulty:
            handle = await faulty.submit(fox_request())
            with pytest.raises(TaskAbandonedError, match="internal error"):
                await handle

    assert [handle.id] == list(emulator.tasks)


async def test_a_fault_of_ours_does_not_hide_the_bodys_error(emulator, caplog):
    """If the body raises as well, its own error is raised and the bug is logged."""
    with pytest.raises(KeyError, match="mine"):
        async with session_at(emulator, cadence=Broken()) as faulty:
            with contextlib.suppress(TaskAbandonedError):
                await (await faulty.submit(fox_request()))
            raise KeyError("mine")

    assert "ZeroDivisionError" in caplog.text


def test_a_session_is_made_without_a_loop():
    """Constructing a FoxSession needs no running loop, and its repr shows no key."""
    fox = FoxSession("sk-secret", base_url="https://example.com/fox")

    assert "<FoxSession https://example.com/fox new>" == repr(fox)
    assert () == fox.unfinished


async def test_a_session_that_is_not_open_says_so(emulator):
    """Before entering, after closing and on a second entry: a ConfigurationError, and nothing is sent."""
    fox = session_at(emulator)
    with pytest.raises(ConfigurationError, match="not open"):
        await fox.submit(fox_request())
    async with fox:
        assert "open" in repr(fox)
    for use in (
        fox.submit(fox_request()),
        fox.fetch("task-1"),
        fox.upload(b"x"),
        fox.credits(),
        fox.models(),
        fox.__aenter__(),
    ):
        with pytest.raises(ConfigurationError):
            await use
    for call in (fox.events, lambda: fox.as_completed([]), lambda: fox.attach("task-1")):
        with pytest.raises(ConfigurationError, match="was closed"):
            call()

    assert [] == emulator.requests
    assert "closed" in repr(fox)


async def test_another_loop_is_refused(emulator, fox):
    """A session and its handles belong to one event loop."""
    handle = await fox.submit(fox_request())

    def elsewhere():
        async def use():
            with pytest.raises(ConfigurationError, match="another event loop"):
                await fox.fetch("task-1")
            with pytest.raises(ConfigurationError, match="another event loop"):
                await handle
            with pytest.raises(ConfigurationError, match="another event loop"):
                await anext(aiter(handle))

        asyncio.run(use())

    await asyncio.get_running_loop().run_in_executor(None, elsewhere)


async def test_a_mapping_is_a_request(emulator, fox):
    """`submit` and `generate` take what `parse_request` takes, and `as_completed` too."""
    fields = {"model": "grok-imagine-image", "prompt": "a fox", "num_outputs": 2}
    handle = await fox.submit(fields)
    result = await fox.generate(fields)

    assert [2, 2] == [len((await handle).images), len(result.images)]
    assert 2 == emulator.billed


@pytest.mark.parametrize("name", ["cadence", "retry", "limits"])
def test_a_setting_of_the_wrong_type_is_refused(name):
    """The constructor names the setting and what to give."""
    with pytest.raises(ConfigurationError, match=rf"{name}=\{{'a': 1\}}: give a "):
        FoxSession("sk-test-12345", **{name: {"a": 1}})


@pytest.mark.parametrize("request_", ["a red fox", {"prompt": "a red fox"}, None, RawRequest])
async def test_what_is_no_request_is_refused(emulator, fox, request_):
    """Submitting anything but a request gives an error that says what to submit."""
    with pytest.raises(
        InvalidRequestError,
        match=r"is not a request: give GrokImagineImage|model: missing|RawRequest is a class",
    ):
        await fox.submit(request_)

    assert [] == emulator.requests


async def test_completed_without_results_is_not_finished(emulator, fox):
    """After `completed` with empty results, polling continues until they are there."""
    emulator.add_fault(Fault.empty_results(times=3))
    handle = await fox.submit(fox_request())
    events = [event async for event in handle]

    empty = [event for event in events if event.status == "completed" and not event.final]
    assert 3 == len(empty)
    assert (await handle).images
    assert events[-1].elapsed - empty[0].elapsed < 5


async def test_results_that_never_come_end_with_the_deadline(emulator, fox):
    """A task that stays `completed` without results times out, after few polls."""
    emulator.add_fault(Fault.empty_results(times=10_000))

    with pytest.raises(TaskTimeoutError, match="completed"):
        await fox.generate(fox_request(), timeout=600)

    assert next(iter(emulator.tasks.values())).polls < 120


async def test_an_unknown_status_counts_as_running(emulator, fox):
    """A status that this package does not know is kept unchanged, and polling continues."""
    emulator.add_fault(Fault.garbage("poll", body=b'{"status":"upscaling","progress":"41"}'))
    handle = await fox.submit(fox_request())
    events = [event async for event in handle]

    odd = [event for event in events if event.status == "upscaling"]
    assert [41] == [event.progress for event in odd]
    assert handle.id == odd[0].snapshot.id
    assert not odd[0].snapshot.finished


async def test_a_task_cancelled_at_the_service_says_so(emulator, fox):
    """`cancelled` is final."""
    emulator.add_fault(Fault.garbage("poll", body=b'{"status":"cancelled"}'))

    with pytest.raises(Exception, match="cancelled") as caught:
        await fox.generate(fox_request())

    assert ("TaskCancelledError", "unknown") == (type(caught.value).__name__, caught.value.charged)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.status("poll", 500, times=3),
        Fault.status("poll", 408, times=2),
        Fault.status("poll", 503, times=3, retry_after=2),
        Fault.status("poll", 429, times=3),
        Fault.garbage("poll", times=3),
        Fault.html("poll", status=502, times=3),
        Fault.cut_before("poll", times=3),
        Fault.hang("poll", times=1),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.http_status}",
)
async def test_a_lost_poll_is_repeated(emulator, fox, fault):
    """A failed status read says nothing about the task; it is read again."""
    emulator.add_fault(fault)

    result = await fox.generate(fox_request())

    assert result.images
    assert fault.times == emulator.faults_fired


@pytest.mark.parametrize("status", [401, 402, 403, 400, 307])
async def test_a_refused_poll_fails_the_handle_with_its_id(emulator, fox, status):
    """A refusal of a status read ends the handle; the task is paid for, so it is not retryable."""
    emulator.add_fault(Fault.status("poll", status, code="refused", error_type="refused"))
    handle = await fox.submit(fox_request())

    with pytest.raises(Exception, match=f"HTTP {status}") as caught:
        await handle

    assert (status, handle.id, "yes", False) == (
        caught.value.status,
        caught.value.task_id,
        caught.value.charged,
        caught.value.retryable,
    )
    assert (handle,) == fox.unfinished


async def test_a_429_on_a_poll_holds_back_every_poll(emulator, fox):
    """`Retry-After` on one status read holds all reads of the session back."""
    first = await fox.submit(fox_request())
    await fox.submit(fox_request())
    emulator.add_fault(Fault.status("poll", 429, retry_after=15))
    async for event in first:
        if event.elapsed:
            break

    times = sorted(record.when for record in polls(emulator))
    assert times[1] - times[0] >= 15


async def test_hooks_get_every_event_and_do_no_harm(emulator, caplog):
    """Hooks are called with each event. An error of a hook is logged once, and the hook is still called."""
    seen = []

    def broken(event):
        raise RuntimeError("a hook of the user's")

    async with session_at(emulator, hooks=[broken, seen.append]) as fox:
        handle = await fox.submit(fox_request())
        events = [event async for event in handle]

    assert events == [event for event in seen if isinstance(event, TaskEvent)]
    assert 1 == sum("a hook raised" in record.getMessage() for record in caplog.records)


async def test_one_stream_reports_all_tasks(emulator):
    """`events()` yields the current state of running tasks and each final event, and ends with the session."""
    async with session_at(emulator) as fox:
        early = await fox.submit(fox_request())
        stream = fox.events()
        idle = fox.events()
        await idle.aclose()
        late = await fox.submit(fox_request())
        await asyncio.gather(early.wait(), late.wait())
    events = [event async for event in stream]

    assert {early.id, late.id} == {event.task_id for event in events if event.final}
    assert 2 == len(events)
    assert [] == [event async for event in idle]


async def test_a_waiting_stream_wakes_for_each_event(emulator, fox):
    """The next event wakes a waiting reader of `events()`."""
    stream = fox.events()
    reading = asyncio.create_task(anext(stream))
    await settle()
    handle = await fox.submit(fox_request())

    assert handle.id == (await reading).task_id


async def test_fetch_reads_once(emulator, fox):
    """`fetch` returns the present state of the task, without polling, and its images can be saved."""
    handle = await fox.submit(fox_request())
    snapshot = await fox.fetch(handle.id)
    await handle
    done = await fox.fetch(handle.id)

    assert ("pending", False) == (snapshot.status, snapshot.finished)
    assert (True, handle.id) == (done.finished, done.images[0].task_id)
    assert await done.images[0].read()


async def test_fetch_tries_again_and_then_says_why(emulator, fox):
    """`fetch` survives a short fault; its final error is not charged."""
    emulator.add_fault(Fault.status("poll", 500, times=2))
    handle = await fox.submit(fox_request())
    assert "pending" == (await fox.fetch(handle.id)).status
    handle.stop()
    emulator.add_fault(Fault.status("poll", 401))

    with pytest.raises(AuthenticationError) as caught:
        await fox.fetch(handle.id)

    assert ("no", handle.id) == (caught.value.charged, caught.value.task_id)


async def test_a_raw_request_is_sent_as_it_is(emulator, fox):
    """`RawRequest` reaches any model and any generation endpoint."""
    result = await fox.generate(RawRequest("gpt-image-2", "a fox", params={"quality": "low"}))

    assert {"model": "gpt-image-2", "prompt": "a fox", "quality": "low"} == dict(
        emulator.tasks[result.task_id].body
    )


async def test_nothing_but_what_was_set_is_sent(emulator, fox):
    """A typed request sends no default and no null."""
    result = await fox.generate(fox_request(num_outputs=1))

    assert {"model", "prompt", "num_outputs"} == set(emulator.tasks[result.task_id].body)


async def test_tasks_submitted_together_do_not_poll_together(emulator, fox):
    """A random phase for each task spreads the first polls of a burst."""
    handles = [await fox.submit(fox_request()) for _ in range(20)]
    await asyncio.gather(*(handle.wait() for handle in handles))

    times = sorted(record.when for record in polls(emulator))
    assert max(times[i + 3] - times[i] for i in range(len(times) - 3)) > 0
    assert len({round(when, 1) for when in times}) > len(times) / 3


async def test_polls_run_no_more_than_connections_at_a_time(emulator):
    """Polls beyond the connections wait in the schedule, and are made later."""
    async with session_at(emulator, limits=Limits(connections=2), cadence=Cadence(poll_price=0.5)) as fox:
        emulator.add_fault(Fault.slow("poll", 3, times=None))
        handles = [await fox.submit(fox_request()) for _ in range(12)]
        results = await asyncio.gather(*(handle.wait() for handle in handles))

    assert 12 == len({result.task_id for result in results})


async def test_polls_per_second_is_not_exceeded(emulator):
    """`polls_per_second` is never exceeded."""
    async with session_at(emulator, limits=Limits(polls_per_second=2.0)) as fox:
        handles = [await fox.submit(fox_request()) for _ in range(10)]
        await asyncio.gather(*(handle.wait() for handle in handles))

    times = sorted(record.when for record in polls(emulator))
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.499


async def test_submits_keep_their_pace_and_order(emulator):
    """`submits_per_second` is never exceeded, and the order is kept."""
    async with session_at(emulator, limits=Limits(submits_per_second=4.0)) as fox:
        await asyncio.gather(*(fox.submit(fox_request(f"fox {i}")) for i in range(9)))

    times = [record.when for record in posts(emulator)]
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.249
    assert [f"fox {i}" for i in range(9)] == [task.body["prompt"] for task in emulator.tasks.values()]


async def test_nothing_is_logged_in_a_quiet_session(emulator, caplog):
    """A session without faults logs nothing at WARNING."""
    async with session_at(emulator) as fox:
        await fox.generate(fox_request())

    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_poll_that_never_began_frees_its_connection(emulator):
    """Stopping a handle in the turn in which its poll should begin costs no connection."""
    async with session_at(emulator, limits=Limits(connections=1)) as fox:
        for _ in range(3):
            handle = fox.attach("task-x")
            for _ in range(2):
                await asyncio.sleep(0)
            handle.stop()

        assert (await fox.generate(fox_request())).images


async def test_one_id_is_polled_once_at_a_time(emulator):
    """A task that is given twice, by a gateway that replays, is tracked once with one poll at a time."""
    async with Emulator(seconds=20, faults=[Fault.hang("poll", times=None)]) as slow, session_at(slow) as fox:
        handle = await fox.submit(fox_request())
        await asyncio.sleep(12)
        again = fox._engine.poller.adopt(handle.snapshot, None, None)
        await asyncio.sleep(1)
        assert 1 == len(polls(slow))
        began = now()

    assert handle.id == again.id
    assert now() - began < 0.5


async def test_streams_end_with_a_fault_of_ours(emulator, caplog):
    """A reader of `events()` does not hang when a bug ends the session."""
    with pytest.raises(ZeroDivisionError):
        async with session_at(emulator, cadence=Broken()) as fox:
            stream = fox.events()
            await fox.submit(fox_request())
            async for _ in stream:
                pass


async def test_a_hook_that_raises_a_cancellation_does_no_harm(emulator, caplog):
    """`CancelledError` out of a hook, as `result()` of a cancelled future raises it, goes no further."""

    def cancelled(event):
        raise asyncio.CancelledError

    async with session_at(emulator, hooks=[cancelled]) as fox:
        assert (await fox.generate(fox_request())).images


async def test_what_is_no_plain_function_is_no_hook():
    """A coroutine function as a hook would never be awaited: it is refused when the session is made."""

    async def hook(event):
        pass

    with pytest.raises(ConfigurationError, match="hooks"):
        FoxSession("sk-test-12345", hooks=[hook])


@pytest.mark.parametrize("estimate", ["45", float("nan"), [45]])
async def test_an_estimate_is_a_number(fox, estimate):
    """`attach` takes seconds, or None."""
    with pytest.raises(InvalidRequestError, match="estimated_time"):
        fox.attach("task-1", estimated_time=estimate)


async def test_a_cancelled_generate_logs_its_id(emulator, fox, caplog):
    """The id of a task whose `generate` was cancelled is in the log, also after its end."""
    generating = asyncio.create_task(fox.generate(fox_request()))
    await asyncio.sleep(1)
    generating.cancel()
    await asyncio.wait([generating])

    (task_id,) = emulator.tasks
    assert task_id in caplog.text


async def test_a_handle_that_comes_while_closing_has_its_snapshot(emulator):
    """An id that arrives in the grace of an exit has the snapshot from its reply."""
    emulator.add_fault(Fault.slow("submit", 2))
    async with session_at(emulator) as fox:
        submitting = asyncio.create_task(fox.submit(fox_request()))
        await asyncio.sleep(1)

    assert "pending" == (await submitting).snapshot.status


@pytest.mark.parametrize(
    "fault",
    [
        Fault.status("submit", 401, body=b'{"error":{"message":"bad token {key}"}}'),
        Fault.status("submit", 401, body=b'{"error":{"message":"no","code":"{key}"}}'),
        Fault.garbage("submit", body=b"<title>{key}</title>", status=502),
        Fault.garbage("submit", body=b'{"id": "{key}/x"}'),
    ],
    ids=["message", "code", "page", "id"],
)
async def test_a_key_that_the_service_echoes_is_in_no_error(emulator, fox, fault, caplog):
    """If a reply quotes the key, the error does not."""
    import attrs

    emulator.add_fault(attrs.evolve(fault, body=fault.body.replace(b"{key}", emulator.key.encode())))
    with pytest.raises(Exception, match=r".") as caught:
        await fox.submit(fox_request())

    assert emulator.key not in f"{caught.value!r} {vars(caught.value)}"
    assert "***" in f"{caught.value!r} {vars(caught.value)}"


async def test_a_fault_in_the_timers_turn_is_reported_too(emulator, caplog):
    """A bug outside any poll, where only the loop would see it, ends the session with that error; the first
    bug counts.
    """

    def broken():
        raise ZeroDivisionError("a fault of ours")

    with pytest.raises(ZeroDivisionError):
        async with session_at(emulator) as fox:
            handle = await fox.submit(fox_request(), timeout=1)
            poller = fox._engine.poller
            poller._deadlines.first = broken
            with pytest.raises(TaskAbandonedError, match="internal error"):
                await handle
            poller._report(KeyError("a second one"))


def test_a_session_that_was_refused_can_be_shown():
    """A log of the traceback of a wrong setting shows the session's repr, not another error."""
    with pytest.raises(ConfigurationError) as caught:
        FoxSession("sk-test-12345", base_url="nonsense")

    half_made = caught.traceback[-1].frame.f_locals["self"]
    assert "<FoxSession refused>" == repr(half_made)


async def test_a_fetch_behind_a_long_hold_is_refused_at_once(emulator, fox):
    """While the service holds reads back for longer than a fetch waits, `fetch` raises that refusal and sends
    nothing.
    """
    emulator.add_fault(Fault.status("poll", 429, retry_after=500))
    handle = await fox.submit(fox_request())
    await asyncio.sleep(30)
    asked = len(emulator.requests)
    with pytest.raises(RateLimitError):
        await fox.fetch(handle.id)

    assert asked == len(emulator.requests)


async def test_an_upload_behind_a_long_hold_is_refused_at_once(emulator, fox):
    """After a 429 that asks for more than an upload waits, the next upload is refused unsent."""
    emulator.add_fault(Fault.status("upload", 429, retry_after=500))
    for _ in range(2):
        with pytest.raises(RateLimitError):
            await fox.upload(b"GIF89a of a fox")

    assert 1 == sum("upload" in record.path for record in emulator.requests)
