"""A task as users see it: whether it is over, and the error of its end."""

from __future__ import annotations

import json
import pickle

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import COMPLETED, ID, SUBMITTED, URL, reply, seen, task

from foxapi_async import _errors
from foxapi_async._handles.snapshot import TaskSnapshot, signal_of, task_failure
from foxapi_async._handles.state import Signal


@pytest.mark.parametrize(
    ("status", "has_results", "signal"),
    [
        ("pending", False, Signal.RUNNING),
        ("processing", False, Signal.RUNNING),
        ("processing", True, Signal.RUNNING),
        ("completed", True, Signal.COMPLETED),
        ("completed", False, Signal.EMPTY),
        ("failed", False, Signal.FAILURE),
        ("failed", True, Signal.FAILURE),
        ("cancelled", False, Signal.CANCELLATION),
        ("canceled", False, Signal.CANCELLATION),
        ("queued", False, Signal.RUNNING),
        ("", False, Signal.RUNNING),
    ],
)
def test_statuses_give_signals(status, has_results, signal):
    """The documented statuses mean what the pages say; completed without results is not finished."""
    assert signal is signal_of(TaskSnapshot(id=ID, status=status, has_results=has_results))


@given(st.text(), st.booleans())
def test_unknown_statuses_are_still_running(status, has_results):
    """The service may add statuses: any other word means that the task continues."""
    known = {"completed", "failed", "cancelled", "canceled"}

    assert (
        status in known
        or signal_of(TaskSnapshot(id=ID, status=status, has_results=has_results)) is Signal.RUNNING
    )


@pytest.mark.parametrize("status", ["pending", "processing", "queued", "in_progress", "完成"])
def test_open_statuses(status):
    """A status that is not a known end is kept unchanged, and the task still runs."""
    snapshot = task(status=status, results=[{"url": URL}])

    assert snapshot.status == status
    assert not snapshot.finished


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"results": None},
        {"results": []},
        {"results": [None]},
        {"results": [{}]},
        {"results": [""]},
        {"results": {}},
        {"results": ""},
        {"results": 0},
        {"results": [[], {"url": None}, None]},
        {"output": {}},
        {"output": None},
        {"output": []},
        {"output": {"url": None}},
        {"output": {"url": "", "urls": []}},
        {"output": {"urls": [None, ""]}},
        {"results": [], "result_data": [], "output": {"urls": []}},
    ],
    ids=repr,
)
def test_completed_without_results_is_not_finished(fields):
    """Completed but empty, in any form: observed seconds before the results, so the task still runs."""
    snapshot = task(status="completed", **fields)

    assert snapshot.images == ()
    assert not snapshot.has_results
    assert not snapshot.finished


RUNNING = {
    **SUBMITTED,
    "status": "processing",
    "progress": 40,
    "results": None,
    "usage": {"credits_reserved": 5},
}


def test_a_reading_of_a_running_task_keeps_the_bytes_of_its_reply():
    """The reply of a task in flight is kept as bytes, a fifth of the parsed size; users see no difference."""
    body = json.dumps(RUNNING).encode()
    snapshot = seen(reply(body))
    same = attrs.evolve(snapshot, raw=RUNNING)

    assert body is snapshot._raw
    assert RUNNING == snapshot.raw
    assert RUNNING == pickle.loads(pickle.dumps(snapshot)).raw
    assert (same, hash(same), repr(same)) == (snapshot, hash(snapshot), repr(snapshot))
    assert snapshot != attrs.evolve(snapshot, raw={**RUNNING, "x": 1})


def test_a_reading_with_results_keeps_its_reply_parsed():
    """A reply whose fields are needed is parsed once."""
    snapshot = seen(reply(COMPLETED))

    assert snapshot.raw is snapshot.raw


# Ends of tasks.


def test_a_failed_task():
    """The service's code and words are attributes and in the text; whether it is refunded is unknown."""
    snapshot = task(status="failed", error={"code": "content_policy_violation", "message": "not this"})
    error = task_failure(snapshot)

    assert type(error) is _errors.TaskFailedError
    assert (error.code, error.message, error.task_id) == ("content_policy_violation", "not this", ID)
    assert str(error) == f"task {ID} failed (content_policy_violation): not this"
    assert error.snapshot is snapshot
    assert (error.charged, error.retryable) == ("unknown", False)


def test_a_task_that_failed_without_a_word():
    """A failure without an error object is still a failure."""
    error = task_failure(task(status="failed"))

    assert (error.code, str(error)) == (None, f"task {ID} failed")


@pytest.mark.parametrize(("problem", "text"), [(None, ""), ("by hand", ": by hand")])
def test_a_cancelled_task(problem, text):
    """A cancelled task has its own error."""
    error = task_failure(task(status="cancelled", error=problem))

    assert type(error) is _errors.TaskCancelledError
    assert str(error) == f"task {ID} was cancelled at the service{text}"
    assert (error.charged, error.retryable, error.task_id) == ("unknown", False, ID)


@given(st.text(), st.text(), st.integers(1, 400))
def test_failure_texts_are_one_short_line(code, message, size):
    """For any words of the service, the error's text is one printable line of limited length."""
    error = task_failure(task(status="failed", error={"code": code * size, "message": message * size}))

    assert str(error).isprintable()
    assert len(str(error)) < 600


@pytest.mark.parametrize("status", ["COMPLETED", "Completed"])
def test_the_case_of_a_status_does_not_matter(status):
    """Statuses in capitals are understood, and kept unchanged."""
    done = seen(reply({"status": status, "results": [{"url": URL}]}))
    failed = seen(reply({"status": "FAILED"}))

    assert (done.finished, done.status) == (True, status)
    assert isinstance(task_failure(failed), _errors.TaskFailedError)


def test_snapshots_report_whether_the_task_is_over():
    """Completed without results is not over; failed and cancelled are; an unknown status runs."""
    assert not TaskSnapshot(id="a", status="completed").finished
    assert TaskSnapshot(id="a", status="completed", has_results=True).finished
    assert TaskSnapshot(id="a", status="failed").finished
    assert TaskSnapshot(id="a", status="cancelled").finished
    assert not TaskSnapshot(id="a", status="upscaling", has_results=True).finished
