"""How the error of one item changes its state and the whole run: rules, without a service."""

import asyncio

import pytest

from foxapi_async import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DownloadError,
    InsufficientQuotaError,
    LedgerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
    TaskCancelledError,
    TaskFailedError,
    TaskTimeoutError,
    UncertainSubmitError,
    UnprocessableError,
    UnreadableResultError,
)
from foxapi_async._batch.pause import pause_reason
from foxapi_async._batch.record import state_after
from foxapi_async._client.submission import Barrier, Series, Submission
from foxapi_async._ledger.entry import ItemState

pytestmark = pytest.mark.virtual

CASES = [
    (TaskFailedError(task_id="t"), "failed", None),
    (TaskCancelledError(task_id="t"), "failed", None),
    (TaskTimeoutError(task_id="t"), None, None),
    (UncertainSubmitError(), "uncertain", None),
    (UnprocessableError(status=422), "failed", None),
    (NotFoundError(status=404), "failed", None),
    (NotFoundError(status=404, task_id="t", charged="unknown"), None, None),
    (AuthenticationError(status=401), "new", "account"),
    (AuthenticationError(status=401, task_id="t", charged="yes"), None, "account"),
    (InsufficientQuotaError(status=402), "new", "account"),
    (PermissionDeniedError(status=403), "new", "account"),
    (APIError(status=404, task_id="t", charged="yes"), None, "path"),
    (RateLimitError(status=429), "new", "hold"),
    (ServiceUnavailableError(status=503, retryable=True), "new", "outage"),
    (ConnectionFailedError(), "new", "outage"),
    (ConfigurationError(), "new", "outage"),
    (LedgerError(), "failed", "disk"),
    (DownloadError(task_id="t", local=True), None, "disk"),
    (DownloadError(task_id="t"), "unsaved", None),
    (UnreadableResultError(task_id="t"), "unsaved", None),
]


@pytest.mark.parametrize(("error", "state", "reason"), CASES)
def test_an_error_without_a_submit(error, state, reason):
    """The class of an error, and whether it concerns a task, decide the item's state and the reason of a pause."""
    assert (state_after(error, None), pause_reason(error, None)) == (state, reason)


def refused_by_edge(*, series=True):
    """A submit that something in front of the service has refused."""
    submission = Submission(60, 10, key="key", series=Series(pauses=True) if series else None)
    submission.refused_by_edge = True
    return submission


async def test_an_item_that_the_edge_alone_refuses_has_failed():
    """A submit that the edge refuses, while nothing holds it back, is its own failure, with any status."""
    error = PermissionDeniedError(status=403)

    assert (state_after(error, refused_by_edge()), pause_reason(error, refused_by_edge())) == (
        ItemState.FAILED,
        None,
    )


async def test_a_single_submit_that_the_edge_refuses_is_judged_by_its_class():
    """A single submit is judged by the class of its error."""
    error = PermissionDeniedError(status=403)

    assert state_after(error, refused_by_edge(series=False)) is ItemState.NEW


async def test_an_item_that_is_stopped_while_the_edge_refuses_it_is_new():
    """A submit that the edge refused, and that was stopped before it was tried again, is new."""
    submission = refused_by_edge()
    submission.bar(Barrier())

    assert state_after(NotFoundError(status=404), submission) is ItemState.NEW


async def test_an_item_that_waited_behind_a_closed_brake_is_new():
    """A submit that was never sent, and ends with the error of another, is new and has that one's reason."""
    submission = Submission(60, 10, key="key", series=Series(pauses=True))
    submission.bar(Barrier(NotFoundError(status=404), "path"))
    error = NotFoundError(status=404)

    assert (state_after(error, submission), pause_reason(error, submission)) == (ItemState.NEW, "path")
    await asyncio.sleep(0)
