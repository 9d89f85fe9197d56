"""What a completed task gives: too few results, results that cannot be read, and odd statuses."""

import logging

import pytest
from crowd import Room, Service, room
from helpers import now

from foxapi_async import TaskTimeoutError, UnreadableResultError
from foxapi_async._handles.snapshot import snapshot_of
from foxapi_async._wire.replies import TaskProblem, TaskReply
from foxapi_async._wire.results import ResultFile

pytestmark = pytest.mark.virtual

ONE = ResultFile("https://files.test/a.png", None, {})
ALIKE = {"model": "fox", "status": "completed", "has_results": True}


def submit(crowd: Room, expected: int, timeout: float | None = 3600.0):
    """A task of ten seconds with this many results, as the poller tracks it after its submit."""
    remote = crowd.service.create(10.0, 10.0)
    deadline = None if timeout is None else now() + timeout
    reply = TaskReply(id=remote.id, model="fox", estimated_time=10.0)
    return crowd.poller.adopt(snapshot_of(reply), deadline, timeout, None, expected)


def answer(crowd: Room, handle, *replies: TaskReply) -> None:
    """The answers to the next polls of the task; the last one repeats."""
    crowd.service.answers[handle.id] = [*replies, *[replies[-1]] * 50]


async def test_missing_images_are_polled_for_fifteen_seconds(caplog):
    """One of four images: the others are polled for 15 s. Then the one is the result, and the log says so."""
    async with room(Service()) as crowd:
        handle = submit(crowd, 4)
        answer(crowd, handle, TaskReply(id=handle.id, files=(ONE,), **ALIKE))
        result = await handle
        first = crowd.service.tasks[handle.id].polls[0]

    assert (1, 3) == (len(result.images), result.missing)
    assert 15.0 == pytest.approx(now() - first)
    assert [f"task {handle.id} gave 1 of 4 images, and the rest did not come"] == [
        record.getMessage() for record in caplog.records
    ]


async def test_late_images_are_taken():
    """If the missing images come within the 15 s, the result has them all."""
    async with room(Service()) as crowd:
        handle = submit(crowd, 2)
        few = TaskReply(id=handle.id, files=(ONE,), **ALIKE)
        answer(crowd, handle, few, few, TaskReply(id=handle.id, files=(ONE, ONE), **ALIKE))
        result = await handle

    assert (2, 0) == (len(result.images), result.missing)


async def test_a_deadline_gives_what_there_is():
    """If the time ends while images are missing, the handle gives the images that came."""
    async with room(Service()) as crowd:
        handle = submit(crowd, 4, timeout=12.0)
        answer(crowd, handle, TaskReply(id=handle.id, files=(ONE,), **ALIKE))
        result = await handle
        at_rest = crowd.at_rest

    assert 3 == result.missing
    assert 12.0 == pytest.approx(now())
    assert at_rest


@pytest.mark.parametrize("status", ["processing", "completed"])
async def test_a_task_that_loses_its_results_again_is_not_called_cancelled(status):
    """If a later reply has no results any more, the task counts as unfinished, and its deadline as a timeout."""
    async with room(Service()) as crowd:
        handle = submit(crowd, 4, timeout=60.0)
        few = TaskReply(id=handle.id, files=(ONE,), **ALIKE)
        answer(crowd, handle, few, TaskReply(id=handle.id, model="fox", status=status))
        with pytest.raises(TaskTimeoutError):
            await handle
        at_rest = crowd.at_rest

    assert at_rest


async def test_results_that_cannot_be_read_are_an_error_of_their_own():
    """The error says that the task is paid for, and has what came."""
    raw = {"id": "x", "status": "completed", "results": [{"ok": True}]}
    async with room(Service()) as crowd:
        handle = submit(crowd, 1)
        answer(crowd, handle, TaskReply(id=handle.id, raw=raw, **ALIKE))
        with pytest.raises(UnreadableResultError, match=r'no result can be read.*"ok": true') as caught:
            await handle

    assert [{"ok": True}] == caught.value.results
    assert "yes" == caught.value.charged
    assert not caught.value.retryable


async def test_a_result_without_a_file_is_a_result():
    """A voice or a text has no images, and is complete."""
    async with room(Service()) as crowd:
        handle = submit(crowd, 1)
        answer(crowd, handle, TaskReply(id=handle.id, has_values=True, **ALIKE))
        result = await handle

    assert ((), 0) == (result.images, result.missing)


async def test_a_deadline_without_results_shows_the_reply():
    """A task that is completed without results is not called unfinished."""
    raw = {"id": "x", "status": "completed", "results": []}
    async with room(Service()) as crowd:
        handle = submit(crowd, 1, timeout=30.0)
        answer(crowd, handle, TaskReply(id=handle.id, model="fox", status="completed", raw=raw))
        with pytest.raises(
            TaskTimeoutError, match=r'is completed, but has given no results.*"results": \[\]'
        ):
            await handle


async def test_an_odd_status_is_logged_once(caplog):
    """An unknown status with results or an error is named once, and polling continues."""
    caplog.set_level(logging.WARNING)
    async with room(Service()) as crowd:
        handles = [submit(crowd, 1) for _ in range(3)]
        for handle in handles:
            odd = TaskReply(id=handle.id, model="fox", status="SUCCESS", has_results=True, files=(ONE,))
            wrong = TaskReply(id=handle.id, model="fox", status="expired", error=TaskProblem(message="no"))
            answer(crowd, handle, odd, wrong, TaskReply(id=handle.id, files=(ONE,), **ALIKE))
        results = [await handle for handle in handles]

    assert 3 == len(results)
    assert ["odd_status"] == [record.event for record in caplog.records]
