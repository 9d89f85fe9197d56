"""What every failed exchange means: the whole table of retries, and the one rule about money."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import _errors
from foxapi_async._errors import (
    APIError,
    ConnectionFailedError,
    FoxError,
    RateLimitError,
    ResponseDecodeError,
    UncertainSubmitError,
)
from foxapi_async._policy.verdict import Verdict, is_transient
from foxapi_async._policy.verdicts import judge_read, judge_submit
from foxapi_async._wire.replies import TaskReply, UploadedFile, read_status, read_upload
from foxapi_async._wire.requests import Failure, Reply

ID = "task-1"
KEY = "k" * 32
ACCEPTED = Reply(status=200, headers={}, body=json.dumps({"id": ID, "status": "pending"}).encode())
NOT_SENT = Failure(reason="cannot connect", sent=False)
LOST = Failure(reason="the server closed the connection", sent=True)
UNREADABLE = Reply(status=200, headers={}, body=b"<html>")


def refused(status: int, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body=b'{"error": {"message": "no", "type": "t"}}')


NO_CHANNEL = Reply(status=422, headers={}, body=b'{"error": {"type": "service_unavailable_error"}}')

# outcome: error class, charged, retryable, again, hold.
U = UncertainSubmitError
SUBMITS = {
    "nothing sent": (NOT_SENT, ConnectionFailedError, "no", True, True, False),
    "429": (refused(429), RateLimitError, "no", True, True, True),
    "301": (refused(301), APIError, "no", False, False, False),
    "307": (refused(307), APIError, "no", False, False, False),
    "400": (refused(400), _errors.BadRequestError, "no", False, False, False),
    "401": (refused(401), _errors.AuthenticationError, "no", False, False, False),
    "402": (refused(402), _errors.InsufficientQuotaError, "no", False, False, False),
    "403": (refused(403), _errors.PermissionDeniedError, "no", False, False, False),
    "404": (refused(404), _errors.NotFoundError, "no", False, False, False),
    "409 at first": (refused(409), APIError, "no", False, False, False),
    "413": (refused(413), _errors.PayloadTooLargeError, "no", False, False, False),
    "418": (refused(418), APIError, "no", False, False, False),
    "422": (refused(422), _errors.UnprocessableError, "no", False, False, False),
    "422, no channel": (NO_CHANNEL, _errors.ServiceUnavailableError, "no", True, False, False),
    "408": (refused(408), U, "unknown", False, False, False),
    "500": (refused(500), U, "unknown", False, False, False),
    "502": (refused(502), U, "unknown", False, False, False),
    "503": (refused(503), U, "unknown", False, False, False),
    "504": (refused(504), U, "unknown", False, False, False),
    "524": (refused(524), U, "unknown", False, False, False),
    "lost": (LOST, U, "unknown", False, False, False),
    "unreadable": (UNREADABLE, U, "unknown", False, False, False),
    "no id": (Reply(status=201, headers={}, body=b"{}"), U, "unknown", False, False, False),
    "cut": (Reply(status=200, headers={}, body=ACCEPTED.body, whole=False), U, "unknown", False, False, False),
    "204": (Reply(status=204, headers={}, body=b""), U, "unknown", False, False, False),
}  # fmt: skip
submit_table = pytest.mark.parametrize(
    ("outcome", "cls", "charged", "retryable", "again", "hold"), SUBMITS.values(), ids=SUBMITS
)


@submit_table
def test_submits(outcome, cls, charged, retryable, again, hold):
    """A refusal proves that nothing was billed; a missing or unusable answer after sending proves nothing."""
    verdict = judge_submit(outcome, KEY)

    assert type(verdict.error) is cls
    assert (charged, retryable) == (verdict.error.charged, verdict.error.retryable)
    assert (again, hold) == (verdict.again, verdict.hold)
    assert verdict.error.task_id is None


@submit_table
def test_uncertain_submits_name_what_is_known(outcome, cls, charged, retryable, again, hold):
    """An uncertain submit carries its idempotency key, and the status if there was one."""
    error = judge_submit(outcome, KEY).error
    if cls is not U:
        return

    assert error.idempotency_key == KEY
    assert error.status == getattr(outcome, "status", None)
    assert "may have been accepted and billed" in str(error)


@submit_table
def test_opting_in_repeats_the_uncertain_ones_only(outcome, cls, charged, retryable, again, hold):
    """`resubmit_uncertain` sends again what is uncertain; it repeats no refusal, and calls nothing retryable."""
    verdict = judge_submit(outcome, KEY, resubmit=True)

    assert verdict.again is (again or cls is U)
    assert verdict.hold is hold
    assert (charged, retryable) == (verdict.error.charged, verdict.error.retryable)


@submit_table
def test_after_an_uncertain_try_nothing_is_proved(outcome, cls, charged, retryable, again, hold):
    """Once a try was uncertain, no later refusal or failure says that nothing was billed."""
    plain = judge_submit(outcome, KEY, earlier=1, resubmit=True)
    tainted = judge_submit(outcome, KEY, earlier=1, tainted=True, resubmit=True)

    assert type(tainted.error) is U
    assert (tainted.error.charged, tainted.error.retryable) == ("unknown", False)
    assert tainted.error.idempotency_key == KEY
    assert tainted.error.status == getattr(outcome, "status", None)
    assert (plain.again, plain.hold) == (tainted.again, tainted.hold)


@pytest.mark.parametrize("status", range(200, 207))
@pytest.mark.parametrize("tainted", [False, True])
def test_any_2xx_with_an_id_is_accepted(status, tainted):
    """A task is a task under every 2xx, also after an uncertain try."""
    reply = Reply(status=status, headers={}, body=ACCEPTED.body)

    assert judge_submit(reply, KEY, tainted=tainted).id == ID


@pytest.mark.parametrize("earlier", [1, 4])
def test_a_conflict_on_a_repeat_is_uncertain(earlier):
    """409 after a first try says that an earlier one did arrive: it may be billed."""
    verdict = judge_submit(refused(409), KEY, earlier=earlier)

    assert type(verdict.error) is U
    assert verdict.error.status == 409
    assert verdict.again is False


@pytest.mark.parametrize(
    ("outcome", "tainted", "seconds"),
    [
        (refused(429, Retry_After="30"), False, 30.0),
        (refused(429, Retry_After="30"), True, 30.0),
        (refused(503, Retry_After="30"), False, 30.0),
        (refused(503, Retry_After="30"), True, 30.0),
        (refused(429), True, None),
        (LOST, True, None),
        (NOT_SENT, False, None),
    ],
)
def test_what_the_service_asked_for_is_kept(outcome, tainted, seconds):
    """A Retry-After counts also where the outcome as a whole is uncertain."""
    verdict = judge_submit(outcome, KEY, earlier=1, tainted=tainted, resubmit=True)

    assert seconds == verdict.retry_after


def test_others_are_told_the_refusal_itself():
    """A 429 on a tainted submit holds all others: these were not sent, so what they are told is the 429."""
    verdict = judge_submit(refused(429), KEY, earlier=1, tainted=True, resubmit=True)

    assert type(verdict.error) is U
    assert type(verdict.refusal) is RateLimitError
    assert verdict.refusal.charged == "no"


# outcome, fresh: error class, again, hold; and for a poll, charged.
READS = {
    "nothing sent": (NOT_SENT, ConnectionFailedError, True, False, "yes"),
    "lost": (LOST, ConnectionFailedError, True, False, "yes"),
    "unreadable": (UNREADABLE, ResponseDecodeError, True, False, "yes"),
    "408": (refused(408), APIError, True, False, "yes"),
    "429": (refused(429), RateLimitError, True, True, "yes"),
    "500": (refused(500), _errors.ServerError, True, False, "yes"),
    "502": (refused(502), _errors.ServerError, True, False, "yes"),
    "503": (refused(503), _errors.ServiceUnavailableError, True, False, "yes"),
    "301": (refused(301), APIError, False, False, "yes"),
    "400": (refused(400), _errors.BadRequestError, False, False, "yes"),
    "401": (refused(401), _errors.AuthenticationError, False, False, "yes"),
    "402": (refused(402), _errors.InsufficientQuotaError, False, False, "yes"),
    "403": (refused(403), _errors.PermissionDeniedError, False, False, "yes"),
    "404": (refused(404), _errors.NotFoundError, False, False, "unknown"),
    "409": (refused(409), APIError, False, False, "yes"),
    "413": (refused(413), _errors.PayloadTooLargeError, False, False, "yes"),
    "422": (refused(422), _errors.UnprocessableError, False, False, "yes"),
}
read_table = pytest.mark.parametrize(
    ("outcome", "cls", "again", "hold", "charged"), READS.values(), ids=READS
)


def judged(outcome, kind, *, fresh=False):
    read = read_upload if kind == "upload" else lambda reply: read_status(reply, ID)
    return judge_read(outcome, read, kind, None if kind == "upload" else ID, fresh=fresh)


@read_table
def test_polls(outcome, cls, again, hold, charged):
    """A poll's task is paid for, whatever its status read says; its error is never retryable, and has the id."""
    verdict = judged(outcome, "poll")

    assert type(verdict.error) is cls
    assert (charged, False) == (verdict.error.charged, verdict.error.retryable)
    assert (again, hold) == (verdict.again, verdict.hold)
    assert verdict.error.task_id == ID


@pytest.mark.parametrize("kind", ["fetch", "upload"])
@read_table
def test_fetches_and_uploads(kind, outcome, cls, again, hold, charged):
    """A fetch and an upload bill nothing, so what may pass by itself is retryable."""
    verdict = judged(outcome, kind)

    assert type(verdict.error) is cls
    assert verdict.error.charged == "no"
    assert again is verdict.error.retryable is verdict.again
    assert hold is verdict.hold
    assert verdict.error.task_id == (ID if kind == "fetch" else None)


def test_a_fresh_task_may_not_be_known_yet():
    """A 404 just after the submit is a replica that lags behind: looked at again, then an error."""
    assert judged(refused(404), "poll", fresh=True).again is True
    assert judged(refused(404), "poll").again is False
    assert judged(refused(401), "poll", fresh=True).again is False


@pytest.mark.parametrize(
    ("kind", "cls"), [("poll", TaskReply), ("fetch", TaskReply), ("upload", UploadedFile)]
)
def test_good_replies_are_values(kind, cls):
    """A readable 2xx is the value itself."""
    body = json.dumps({"id": ID, "status": "processing", "url": "https://cdn.test/a"}).encode()

    assert isinstance(judged(Reply(status=200, headers={}, body=body), kind), cls)


@given(st.integers(100, 999))
def test_later_and_no(status):
    """Timeouts, rate limits and the server's own faults say "later"; everything else says "no"."""
    assert is_transient(status) is (status in {408, 429} or status >= 500)


def test_verdicts_name_the_time_asked_for():
    """`retry_after` is the refusal's, or None."""
    assert judged(refused(429, Retry_After="9"), "poll").retry_after == 9.0
    assert judged(refused(500, Retry_After="9"), "poll").retry_after is None
    assert Verdict(FoxError()).retry_after is None


# The rule about money, from anything that can happen.

kinds = st.sampled_from(
    ["service_unavailable_error", "rate_limit_error", "server_error", "insufficient_quota", "x", None, 5]
)
bodies = st.one_of(
    st.binary(max_size=20),
    st.just(ACCEPTED.body),
    st.builds(
        lambda kind, retry: json.dumps(
            {"error": {"type": kind, "message": "m", "retry_after": retry}}
        ).encode(),
        kinds,
        st.none() | st.integers(-5, 100) | st.text(max_size=5),
    ),
)
outcomes = st.builds(Failure, reason=st.text(max_size=10), sent=st.booleans()) | st.builds(
    Reply,
    status=st.integers(100, 599) | st.sampled_from([408, 409, 422, 429, 503]),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "Date"]), st.sampled_from(["5", "x", "NaN"])),
    body=bodies,
    whole=st.booleans(),
)


@given(outcomes, st.integers(0, 5), st.booleans(), st.booleans())
def test_no_submit_error_invites_a_second_bill(outcome, earlier, tainted, resubmit):
    """Of whatever can happen to a submit: `retryable` implies `charged == "no"`, and then nothing was accepted."""
    verdict = judge_submit(outcome, KEY, earlier=earlier, tainted=tainted, resubmit=resubmit)
    if isinstance(verdict, TaskReply):
        return
    error = verdict.error

    assert error.charged == "no" or not error.retryable
    # What may have been accepted is uncertain, and is not sent again unless that was chosen.
    status = getattr(outcome, "status", None)
    accepted = status is not None and (200 <= status < 300 or status >= 500 or status == 408)
    if tainted or accepted or getattr(outcome, "sent", False):
        assert type(error) is UncertainSubmitError
        assert (error.charged, error.retryable) == ("unknown", False)
        assert resubmit or tainted or not verdict.again
    assert (error.__cause__, error.__context__) == (None, None)


@given(outcomes, st.sampled_from(["poll", "fetch", "upload"]), st.booleans())
def test_no_read_error_invites_a_second_bill(outcome, kind, fresh):
    """Of whatever can happen to a read: `retryable` implies `charged == "no"`; a poll's error is never retryable."""
    verdict = judged(outcome, kind, fresh=fresh)
    if not isinstance(verdict, Verdict):
        return
    error = verdict.error

    assert error.charged == "no" or not error.retryable
    assert kind != "poll" or error.charged in {"yes", "unknown"}
    assert kind == "poll" or error.charged == "no"
    assert (error.__cause__, error.__context__) == (None, None)
