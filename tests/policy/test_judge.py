"""The verdict on every failed exchange: the whole table of retries, and the one rule about money."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

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
from foxapi_async._policy.judge import MAX_BODY, judge_read, judge_submit
from foxapi_async._policy.verdict import Verdict, is_transient
from foxapi_async._wire.replies import TaskReply, UploadedFile, read_status, read_upload
from foxapi_async._wire.requests import Document, Failure, Reply

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
CUT = [SUBMITS["cut"][0]]
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
    assert (ID if outcome in CUT else None) == verdict.error.task_id


@submit_table
def test_uncertain_submits_name_what_is_known(outcome, cls, charged, retryable, again, hold):
    """An uncertain submit has its idempotency key, and the status if there was one."""
    error = judge_submit(outcome, KEY).error
    if cls is not U:
        return

    assert error.idempotency_key == KEY
    assert error.status == getattr(outcome, "status", None)
    assert "may have been accepted and billed" in str(error)


@submit_table
def test_opting_in_repeats_the_uncertain_ones_only(outcome, cls, charged, retryable, again, hold):
    """`resubmit_uncertain` sends uncertain submits again; it repeats no refusal, and makes nothing retryable."""
    verdict = judge_submit(outcome, KEY, resubmit=True)

    assert verdict.again is (again or cls is U)
    assert verdict.hold is hold
    assert (charged, retryable) == (verdict.error.charged, verdict.error.retryable)


@submit_table
def test_after_an_uncertain_try_nothing_is_proved(outcome, cls, charged, retryable, again, hold):
    """After an uncertain try, no later refusal or failure says that nothing was billed."""
    plain = judge_submit(outcome, KEY, earlier=1, resubmit=True)
    maybe_accepted = judge_submit(outcome, KEY, earlier=1, maybe_accepted=True, resubmit=True)

    assert type(maybe_accepted.error) is U
    assert (maybe_accepted.error.charged, maybe_accepted.error.retryable) == ("unknown", False)
    assert maybe_accepted.error.idempotency_key == KEY
    assert maybe_accepted.error.status == getattr(outcome, "status", None)
    assert (plain.again, plain.hold) == (maybe_accepted.again, maybe_accepted.hold)


@pytest.mark.parametrize("status", range(200, 207))
@pytest.mark.parametrize("maybe_accepted", [False, True])
def test_any_2xx_with_an_id_is_accepted(status, maybe_accepted):
    """Every 2xx with an id is a task, also after an uncertain try."""
    reply = Reply(status=status, headers={}, body=ACCEPTED.body)

    assert judge_submit(reply, KEY, maybe_accepted=maybe_accepted).id == ID


@pytest.mark.parametrize("earlier", [1, 4])
def test_a_conflict_on_a_repeat_is_uncertain(earlier):
    """409 after a first try means that an earlier one did arrive: it may be billed."""
    verdict = judge_submit(refused(409), KEY, earlier=earlier)

    assert type(verdict.error) is U
    assert verdict.error.status == 409
    assert verdict.again is False


@pytest.mark.parametrize(
    ("outcome", "maybe_accepted", "seconds"),
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
def test_what_the_service_asked_for_is_kept(outcome, maybe_accepted, seconds):
    """A Retry-After counts also if the outcome as a whole is uncertain."""
    verdict = judge_submit(outcome, KEY, earlier=1, maybe_accepted=maybe_accepted, resubmit=True)

    assert seconds == verdict.retry_after


def test_others_get_the_refusal_itself():
    """A 429 on a submit that may be accepted holds all others: these were not sent, so they get the 429 itself."""
    verdict = judge_submit(refused(429), KEY, earlier=1, maybe_accepted=True, resubmit=True)

    assert type(verdict.error) is U
    assert type(verdict.refusal) is RateLimitError
    assert verdict.refusal.charged == "no"


# outcome, fresh: error class, again, hold; and for a poll, charged.
READS = {
    "nothing sent": (NOT_SENT, ConnectionFailedError, True, False, "yes"),
    "lost": (LOST, ConnectionFailedError, True, False, "yes"),
    "a page": (UNREADABLE, APIError, True, False, "yes"),
    "another JSON": (Reply(status=200, headers={}, body=b"[]"), ResponseDecodeError, True, False, "yes"),
    "no status": (refused(200), ResponseDecodeError, True, False, "yes"),
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
    """A fetch and an upload bill nothing, so a failure that may pass is retryable."""
    verdict = judged(outcome, kind)

    assert type(verdict.error) is cls
    assert verdict.error.charged == "no"
    assert again is verdict.error.retryable is verdict.again
    assert hold is verdict.hold
    assert verdict.error.task_id == (ID if kind == "fetch" else None)


def test_a_fresh_task_may_not_be_known_yet():
    """A 404 just after the submit comes from a replica that lags behind: read again, then an error."""
    assert judged(refused(404), "poll", fresh=True).again is True
    assert judged(refused(404), "poll").again is False
    assert judged(refused(401), "poll", fresh=True).again is False


@pytest.mark.parametrize(
    ("kind", "cls"), [("poll", TaskReply), ("fetch", TaskReply), ("upload", UploadedFile)]
)
def test_a_readable_2xx_is_its_value(kind, cls):
    """A readable 2xx is the value itself."""
    body = json.dumps({"id": ID, "status": "processing", "url": "https://cdn.test/a"}).encode()

    assert isinstance(judged(Reply(status=200, headers={}, body=body), kind), cls)


@given(st.integers(100, 999))
def test_transient_statuses_mean_later(status):
    """Timeouts, rate limits and the server's own faults mean "later"; everything else means "no"."""
    assert is_transient(status) is (status in {408, 429} or status >= 500)


def test_verdicts_name_the_time_asked_for():
    """`retry_after` is the refusal's, or None."""
    assert judged(refused(429, Retry_After="9"), "poll").retry_after == 9.0
    assert judged(refused(500, Retry_After="9"), "poll").retry_after is None
    assert Verdict(FoxError()).retry_after is None


# The rule about money, for all outcomes.

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
    too_large=st.just(False),
    document=st.none(),
)


@given(outcomes, st.integers(0, 5), st.booleans(), st.booleans())
def test_no_submit_error_invites_a_second_bill(outcome, earlier, maybe_accepted, resubmit):
    """For all outcomes of a submit: `retryable` implies `charged == "no"`, and then nothing was accepted."""
    verdict = judge_submit(outcome, KEY, earlier=earlier, maybe_accepted=maybe_accepted, resubmit=resubmit)
    if isinstance(verdict, TaskReply):
        return
    error = verdict.error

    assert error.charged == "no" or not error.retryable
    # A submit that may have been accepted is uncertain, and is not sent again unless the user chose this.
    status = getattr(outcome, "status", None)
    accepted = status is not None and (status < 300 or status >= 500 or status == 408)
    if maybe_accepted or accepted or getattr(outcome, "sent", False):
        assert type(error) is UncertainSubmitError
        assert (error.charged, error.retryable) == ("unknown", False)
        assert resubmit or maybe_accepted or not verdict.again
    assert (error.__cause__, error.__context__) == (None, None)


@given(outcomes, st.sampled_from(["poll", "fetch", "upload"]), st.booleans())
def test_no_read_error_invites_a_second_bill(outcome, kind, fresh):
    """For all outcomes of a read: `retryable` implies `charged == "no"`; a poll's error is never retryable."""
    verdict = judged(outcome, kind, fresh=fresh)
    if not isinstance(verdict, Verdict):
        return
    error = verdict.error

    assert error.charged == "no" or not error.retryable
    assert kind != "poll" or error.charged in {"yes", "unknown"}
    assert kind == "poll" or error.charged == "no"
    assert (error.__cause__, error.__context__) == (None, None)


# Every status from the service, from something in front of it, and from a stranger.

PAGE = b"<html><title>One moment</title></html>"
BODIES = {
    "service": b'{"error": {"message": "no", "type": "t"}}',
    "page": PAGE,
    "nothing": b"",
    "stranger": b'{"detail": "no"}',
}
STATUSES = [*range(100, 600), 999]
NOT_PASSED_ON = {
    301, 302, 307, 308, 400, 401, 402, 403, 404, 405, 406, 410, 411, 413, 414, 415, 417, 421, 425, 426, 431, 451,
}  # fmt: skip
CLASSES = {
    400: _errors.BadRequestError,
    401: _errors.AuthenticationError,
    402: _errors.InsufficientQuotaError,
    403: _errors.PermissionDeniedError,
    404: _errors.NotFoundError,
    413: _errors.PayloadTooLargeError,
    422: _errors.UnprocessableError,
    429: RateLimitError,
    503: _errors.ServiceUnavailableError,
}
every_body = pytest.mark.parametrize("sender", BODIES)


def class_at(status):
    return CLASSES.get(status) or (_errors.ServerError if status >= 500 else APIError)


def plain(verdict):
    """The deciding parts, in a form that a failed test shows."""
    error = verdict.error
    return type(error).__name__, error.charged, verdict.again, verdict.hold, verdict.edge


@every_body
def test_every_status_of_a_submit(sender):
    """From the service, 3xx and 4xx refuse, except 408; from any other sender only a "not passed on" status does."""
    edge = sender != "service"
    actual, expected = {}, {}
    for status in STATUSES:
        actual[status] = plain(judge_submit(Reply(status, {}, BODIES[sender]), KEY))
        is_refused = status in NOT_PASSED_ON if edge else 300 <= status < 500 and status != 408
        if status == 429:
            expected[status] = ("RateLimitError", "no", True, True, edge)
        elif is_refused:
            expected[status] = (class_at(status).__name__, "no", False, False, edge)
        else:
            expected[status] = ("UncertainSubmitError", "unknown", False, False, edge)

    assert actual == expected


@pytest.mark.parametrize("status", STATUSES[::7])
@pytest.mark.parametrize("fields", [{}, {"error": {"message": "no"}}], ids=["task", "task with error"])
def test_an_id_is_accepted_under_any_status(status, fields):
    """A reply with a usable id is a task, for any status and any other content."""
    reply = Reply(status, {}, json.dumps({"id": ID, **fields}).encode())

    assert judge_submit(reply, KEY, maybe_accepted=True).id == ID


def expected_poll(status, sender):
    edge = sender != "service"
    if 200 <= status < 300:
        unreadable = "ResponseDecodeError" if sender in {"service", "stranger"} else "APIError"
        return unreadable, "yes", True, False, edge
    if status == 429:
        return "RateLimitError", "yes", True, True, edge
    if edge:
        return "APIError", "yes", True, False, True
    charged = "unknown" if status == 404 else "yes"
    return class_at(status).__name__, charged, status == 408 or status >= 500, False, False


@every_body
def test_every_status_of_a_poll(sender):
    """Only the service's own reply ends a poll's handle; something in front of it never does."""
    actual = {status: plain(judged(Reply(status, {}, BODIES[sender]), "poll")) for status in STATUSES}

    assert actual == {status: expected_poll(status, sender) for status in STATUSES}


@every_body
@pytest.mark.parametrize("kind", ["fetch", "upload"])
def test_every_status_of_a_fetch_and_an_upload(kind, sender):
    """An edge's answer is tried again a few times, then a plain `APIError`; a file that is too large stays so."""
    actual, expected = {}, {}
    for status in STATUSES:
        actual[status] = plain(judged(Reply(status, {}, BODIES[sender]), kind))
        name, _, again, hold, edge = expected_poll(status, sender)
        if kind == "upload" and status == 413:
            name, again = "PayloadTooLargeError", False
        expected[status] = name, "no", again, hold, edge

    assert actual == expected


@pytest.mark.parametrize("kind", ["submit", "poll", "fetch", "upload"])
@pytest.mark.parametrize("outcome", [NOT_SENT, LOST], ids=["not sent", "lost"])
def test_a_failure_is_no_answer_of_the_edge(kind, outcome):
    """Without an answer there is no sender."""
    verdict = judge_submit(outcome, KEY) if kind == "submit" else judged(outcome, kind)

    assert verdict.edge is False


CUT_REFUSAL = Reply(401, {}, b'{"error": {"mess', whole=False)


def test_of_json_that_is_cut_the_sender_is_unknown():
    """A cut refusal ends no handle, and does not count as the edge's."""
    verdict = judged(CUT_REFUSAL, "poll")

    assert (verdict.again, verdict.edge) == (True, False)


def test_a_cut_page_is_the_edges():
    """A page that broke off is a page."""
    assert judged(Reply(404, {}, b"404 pa", whole=False), "poll").edge is True


def test_a_cut_refusal_of_a_submit_counts_by_its_status():
    """The status line alone shows that a submit was not passed on."""
    assert judge_submit(CUT_REFUSAL, KEY).error.charged == "no"


@pytest.mark.parametrize("sender", ["page", "service"])
def test_a_conflict_at_first_is_a_refusal_only_of_the_service(sender):
    """409 of a page does not show whether the request was passed on."""
    error = judge_submit(Reply(409, {}, BODIES[sender]), KEY).error

    assert error.charged == ("no" if sender == "service" else "unknown")


# The text of the edge's answer.


def location(target):
    return Reply(302, {"Location": target}, b"")


@pytest.mark.parametrize("kind", ["submit", "poll", "fetch"])
@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("https://login.example.com/", "redirected to https://login.example.com/"),
        ("https://me:pw@host.example/a", "redirected to https://host.example/a"),
        ("https://host.example/a?token=x#y", "redirected to https://host.example/a…"),
        ("/login", "redirected to /login"),
        ("https://h.example/\ud800\x1b", "redirected to https://h.example/"),
        ("", "empty body"),
    ],
)
def test_a_redirect_names_where_it_leads(kind, target, shown):
    """The error names the `Location`, without possible secrets."""
    error = (
        judge_submit(location(target), KEY).error
        if kind == "submit"
        else judged(location(target), kind).error
    )

    assert error.message == shown


def test_a_long_location_is_cut():
    """A `Location` of any length gives a short line."""
    assert len(str(judge_submit(location("https://h.example/" + "a" * 60_000), KEY).error)) < 500


@pytest.mark.parametrize("kind", ["submit", "poll", "upload"])
def test_a_page_is_quoted(kind):
    """The error has the page's first words."""
    reply = Reply(403, {}, PAGE)
    error = judge_submit(reply, KEY).error if kind == "submit" else judged(reply, kind).error

    assert error.message == "One moment"


def test_the_edges_retry_after_is_kept():
    """A page with 429 says how long to wait."""
    assert judged(Reply(429, {"Retry-After": "9"}, PAGE), "poll").retry_after == 9.0


# Quota.

QUOTA = b'{"error": {"message": "quota is used up", "type": "%s", "code": "%s"}}'
quota_code = pytest.mark.parametrize("code", [b"insufficient_quota", b"insufficient_user_quota"])
quota_status = pytest.mark.parametrize("status", [403, 429])


@quota_code
@quota_status
@pytest.mark.parametrize("place", ["type", "code"])
def test_a_used_up_quota_is_no_rate_limit(status, code, place):
    """403 and 429 with a quota code and no Retry-After are like 402, with their own status."""
    body = QUOTA % ((code, b"c") if place == "code" else (b"t", code))
    verdict = judge_submit(Reply(status, {}, body), KEY)

    assert plain(verdict) == ("InsufficientQuotaError", "no", False, False, False)
    assert verdict.error.status == status


@quota_status
def test_a_quota_that_comes_back_is_a_rate_limit(status):
    """With a Retry-After it is repeated after that time."""
    reply = Reply(status, {"Retry-After": "7"}, QUOTA % (b"insufficient_quota", b"c"))
    verdict = judge_submit(reply, KEY)

    assert plain(verdict) == ("RateLimitError", "no", True, True, False)
    assert verdict.retry_after == 7.0


@quota_code
@pytest.mark.parametrize("status", [400, 401, 402, 403, 422, 429])
def test_quota_words_end_no_poll(status, code):
    """The task of a poll is paid for: quota words never make its verdict final."""
    assert judged(Reply(status, {}, QUOTA % (b"t", code)), "poll").again is True


@quota_code
def test_quota_words_change_nothing_for_a_fetch(code):
    """A fetch is judged by its status."""
    assert plain(judged(Reply(403, {}, QUOTA % (b"t", code)), "fetch"))[::2] == (
        "PermissionDeniedError",
        False,
        False,
    )


# Replies that look like an accepted submit.

CASES = Path(__file__).parents[1] / "cases"


def case(name):
    """The submit's recorded reply."""
    status, body = json.loads((CASES / f"{name}.json").read_text())["submit"]
    headers = {"Location": body.pop("Location")} if "Location" in body else {}
    return Reply(status, headers, json.dumps(body).encode() if body else b"")


def test_recorded_a_quota_as_429():
    """It is like 402, with the service's words."""
    error = judge_submit(case("quota_as_429"), KEY).error

    assert (type(error), error.message) == (_errors.InsufficientQuotaError, "quota is used up")


def test_recorded_an_error_at_200():
    """Uncertain, with the service's words."""
    error = judge_submit(case("submit_error_at_200"), KEY).error

    assert type(error) is U
    assert "the model is being maintained" in str(error)


def test_recorded_another_id():
    """It is uncertain; the error quotes the text that looks like an id, as text and as attribute."""
    error = judge_submit(case("submit_other_id"), KEY).error

    assert (type(error), error.task_id) == (U, "task-unified-1757165031-other")
    assert "it names task-unified-1757165031-other" in str(error)


def test_recorded_a_redirect():
    """Nothing is billed; the message names the target."""
    error = judge_submit(case("submit_redirected"), KEY).error

    assert (error.charged, error.message) == ("no", "redirected to https://login.example.com/")


@pytest.mark.parametrize(
    "body",
    [
        {"task_id": "t-1"},
        {"taskId": "t-1"},
        {"data": [{"task_id": "t-1"}]},
        {"data": {"id": "t-1"}},
        {"task": {"id": "t-1"}},
        {"error": {"message": "no"}, "task_id": "t-1"},
        {"id": None, "task_id": "t-1"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("status", [200, 202, 400, 404, 409, 429, 500])
def test_an_id_that_stands_elsewhere_is_quoted(status, body):
    """It may have been accepted, with any status."""
    verdict = judge_submit(Reply(status, {}, json.dumps(body).encode()), KEY)

    assert (type(verdict.error), verdict.error.task_id, verdict.again) == (U, "t-1", False)


@pytest.mark.parametrize("status", [201, 302, 303])
def test_an_address_of_a_task_is_quoted(status):
    """A `Location` may name the task that was made."""
    error = judge_submit(Reply(status, {"Location": "/v1/tasks/t-1?x=1"}, b""), KEY).error

    assert (type(error), error.task_id) == (U, "t-1")


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        (b'{"id": "t-1", "status": "pend', "t-1"),
        (b'{"data": {"task_id":"t-1"}, "x', "t-1"),
        (b'{"id": "t-', None),
        (b'<script>{"id": "t-1"}', None),
    ],
)
def test_an_id_in_a_cut_answer_is_quoted(body, quoted):
    """A body that broke off still names its task, if the id is whole."""
    assert judge_submit(Reply(200, {}, body, whole=False), KEY).error.task_id == quoted


@pytest.mark.parametrize("body", [b'{"id": "t-\xff"}', b'{"id": "t-\\ud800"}'], ids=["byte", "surrogate"])
def test_an_id_with_replaced_bytes_is_uncertain(body):
    """It may be another task's id: it is quoted and not polled."""
    error = judge_submit(Reply(200, {}, body), KEY).error

    assert (type(error), error.task_id) == (U, "t-\ufffd")


IMAGES = b'{"created": 1, "data": [{"url": "https://files.example/a.png"}]}'


def test_an_uncertain_answer_is_kept():
    """The error has the beginning of the body: it may name the images that were made."""
    error = judge_submit(Reply(200, {}, IMAGES), KEY).error

    assert error.body == IMAGES.decode()


def test_an_uncertain_answer_is_kept_short():
    """Only the beginning of a large body is kept, on one printable line."""
    error = judge_submit(Reply(200, {}, b'{"x": "\n' + b"a" * 100_000), KEY).error

    assert (len(error.body), error.body.isprintable()) == (MAX_BODY + 1, True)


def test_an_uncertain_answer_survives_pickle_and_copy():
    """The body is kept through both."""
    error = judge_submit(Reply(200, {}, IMAGES), KEY).error

    assert [error.body] * 2 == [pickle.loads(pickle.dumps(error)).body, copy.copy(error).body]


def test_after_an_uncertain_try_the_refusal_is_kept_too():
    """The last answer's body is on the error."""
    assert (
        judge_submit(refused(400), KEY, maybe_accepted=True).error.body
        == '{"error": {"message": "no", "type": "t"}}'
    )


@pytest.mark.parametrize("outcome", [LOST, Reply(500, {}, b"")], ids=["lost", "empty"])
def test_without_an_answer_there_is_no_body(outcome):
    """Without an answer there is nothing to keep."""
    assert judge_submit(outcome, KEY).error.body is None


class BadHeaders(dict):
    """Headers that cannot be read."""

    def get(self, name, default=None):
        raise MemoryError(name)


def test_an_error_while_reading_does_not_cost_the_id():
    """For any error after the id was read, the submit is accepted."""
    assert judge_submit(Reply(200, BadHeaders(), ACCEPTED.body), KEY) == TaskReply(id=ID)


# Too large.

TOO_LARGE = Reply(200, {}, b'{"x": "', whole=False, too_large=True)
TOO_MANY = Reply(
    200,
    {},
    b"[[]]",
    too_large=True,
    document=Document(None, b"", "it has more than 9 values", too_large=True),
)
TOO_LARGE_PAGE = Reply(404, {}, b"<html>", whole=False, too_large=True)


@pytest.mark.parametrize("kind", ["submit", "poll", "fetch", "upload"])
@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (TOO_LARGE, "larger than 32 MiB"),
        (TOO_MANY, "more than 9 values"),
    ],
    ids=["bytes", "values"],
)
def test_an_answer_that_is_too_large_names_the_limit(kind, outcome, words):
    """The verdict says so, and its error names the limit."""
    verdict = judge_submit(outcome, KEY) if kind == "submit" else judged(outcome, kind)

    assert verdict.too_large is True
    assert words in str(verdict.error)


@pytest.mark.parametrize("kind", ["poll", "fetch"])
def test_a_page_that_is_too_large_names_the_limit(kind):
    """With any status, it exceeds the size limit."""
    assert "larger than 32 MiB" in str(judged(TOO_LARGE_PAGE, kind).error)


def test_other_answers_are_not_too_large():
    """A cut answer is not one."""
    assert judged(CUT_REFUSAL, "poll").too_large is False
