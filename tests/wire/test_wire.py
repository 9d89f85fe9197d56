"""From the service's bytes to values and errors: the documented shapes, the odd ones, and anything at all."""

from __future__ import annotations

import json
import math
import os
import pickle
import time

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foxapi_async import _errors
from foxapi_async._errors import APIError, FoxError, InvalidRequestError, ResponseDecodeError
from foxapi_async._handles.snapshot import TaskSnapshot, task_failure
from foxapi_async._wire.error_replies import read_error
from foxapi_async._wire.headers import age_at_reply, parse_date
from foxapi_async._wire.replies import TaskProblem, UploadedFile, read_status, read_task, read_upload
from foxapi_async._wire.requests import (
    Reply,
    check_task_id,
    is_task_id,
    multipart_frame,
    submit_call,
    task_path,
    upload_call,
)

ID = "task-unified-1754380800-ab12cd34"
URL = "https://cdn.foxapi.cc/results/a.png"

# The two pages' submit replies, and get-task-detail in its newer and its oldest form.
SUBMITTED = {
    "created": 1754380800,
    "id": ID,
    "model": "grok-imagine-image",
    "object": "image.generation.task",
    "progress": 0,
    "status": "pending",
    "task_info": {"can_cancel": True, "estimated_time": 45},
    "type": "image",
}
COMPLETED = {
    "id": ID,
    "object": "image.generation.task",
    "type": "image",
    "model": "grok-imagine-image",
    "status": "completed",
    "progress": 100,
    "created": 1754380800,
    "results": [{"url": URL}, {"url": URL, "content_type": "image/png", "width": 1024}],
    "error": None,
    "usage": {"credits_reserved": 5, "user_group": "default"},
}
OLDER = {
    "id": ID,
    "status": "completed",
    "type": "image",
    "progress": 100,
    "output": {"url": URL, "urls": [URL, f"{URL}?2"], "width": 1024},
    "task_info": {"can_cancel": False, "estimated_time": 45},
}


def reply(body: object = b"", status: int = 200, whole: bool = True, **headers: str) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body=raw, whole=whole)


def task(**fields: object) -> TaskSnapshot:
    return TaskSnapshot.of(read_task(reply({"id": ID, **fields})))


def seen(a_reply: Reply) -> TaskSnapshot:
    """What a status reply says of our task, as users see it."""
    return TaskSnapshot.of(read_status(a_reply, ID))


# Requests.


def test_a_submit_carries_its_idempotency_key():
    """A submit is one JSON body with the key of its logical submit, and without the API key."""
    call = submit_call("/v1/images/generations", {"model": "m", "prompt": "狐 ü"}, "k" * 32)

    assert call.path == "/v1/images/generations"
    assert call.headers["Idempotency-Key"] == "k" * 32
    assert call.headers["Content-Type"] == "application/json"
    assert call.body == '{"model":"m","prompt":"狐 ü"}'.encode()
    assert "Authorization" not in call.headers
    assert "狐" not in repr(call)


@pytest.mark.parametrize(
    ("task_id", "path"),
    [
        (ID, f"/v1/tasks/{ID}"),
        ("a b", "/v1/tasks/a%20b"),
        ("ключ", "/v1/tasks/%D0%BA%D0%BB%D1%8E%D1%87"),
        ("a:b@c&d=e+f", "/v1/tasks/a%3Ab%40c%26d%3De%2Bf"),
        ("...", "/v1/tasks/..."),
        (".a", "/v1/tasks/.a"),
        ("a.b-c_d~e", "/v1/tasks/a.b-c_d~e"),
        ("x" * 512, f"/v1/tasks/{'x' * 512}"),
    ],
)
def test_a_task_id_is_one_quoted_path_segment(task_id, path):
    """An id travels as one segment, with everything quoted that a server could misread."""
    assert path == task_path(task_id)


BAD_IDS = [
    "", " ", ".", "..", " .. ", "a/b", "a\\b", "../tasks", "a?b", "a#b", "a%2Fb", "a\nb", "a\x00", "a\x7f", "a\x85b",
    "\x9b31m", "a\ud800", "x" * 513, None, 5, b"a", ["a"], {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("task_id", BAD_IDS, ids=lambda value: ascii(value)[:20])
def test_bad_ids_are_refused_before_any_request(task_id):
    """An id that is no single path segment is refused by name, in one printable line."""
    with pytest.raises(InvalidRequestError, match="task_id=") as caught:
        task_path(task_id)

    assert str(caught.value).isprintable()
    assert not is_task_id(task_id)


@given(st.text())
def test_every_accepted_id_stays_one_segment(task_id):
    """No text both passes the check and changes the path around it."""
    try:
        path = task_path(task_id)
    except InvalidRequestError:
        return

    assert path.startswith("/v1/tasks/")
    assert path.isascii()
    assert not set(path.removeprefix("/v1/tasks/")) & set("/\\?#\r\n\0 ")
    assert check_task_id(task_id) == task_id


@given(st.text(), st.integers(0, 10**12))
def test_an_upload_is_framed_whatever_the_file_is_called(filename, size):
    """No file name breaks out of its header: quotes and line ends are percent-encoded."""
    head, tail = multipart_frame(filename, "BOUNDARY")
    call = upload_call("BOUNDARY", size)
    lines = head.split(b"\r\n")

    assert lines[0] == b"--BOUNDARY"
    assert lines[1].startswith(b'Content-Disposition: form-data; name="file"; filename="')
    assert lines[1].count(b'"') == 4
    assert lines[2:] == [b"Content-Type: application/octet-stream", b"", b""]
    assert tail == b"\r\n--BOUNDARY--\r\n"
    assert call.headers["Content-Length"] == str(size)
    assert call.headers["Content-Type"] == "multipart/form-data; boundary=BOUNDARY"


# Task replies.


def test_a_submit_reply():
    """The documented reply to a submit, field by field."""
    snapshot = TaskSnapshot.of(read_task(reply(SUBMITTED)))

    assert snapshot == TaskSnapshot(
        id=ID,
        model="grok-imagine-image",
        status="pending",
        progress=0,
        estimated_time=45,
        created=1754380800,
        raw=SUBMITTED,
    )
    assert not snapshot.finished


def test_a_completed_task():
    """The newer reply: a list of result objects, of which only `url` is certain."""
    snapshot = seen(reply(COMPLETED))

    assert [image.url for image in snapshot.images] == [URL, URL]
    assert [image.content_type for image in snapshot.images] == [None, "image/png"]
    assert snapshot.images[1].raw["width"] == 1024
    assert snapshot.usage == {"credits_reserved": 5, "user_group": "default"}
    assert snapshot.raw == COMPLETED
    assert snapshot.error is None
    assert snapshot.finished


def test_the_oldest_shape():
    """`output.url` and `output.urls` of the oldest page are read as well."""
    snapshot = seen(reply(OLDER))

    assert [image.url for image in snapshot.images] == [URL, f"{URL}?2"]
    assert snapshot.finished
    assert [image.url for image in task(status="completed", output={"url": URL}).images] == [URL]


@pytest.mark.parametrize("status", ["pending", "processing", "queued", "in_progress", "完成"])
def test_open_statuses(status):
    """A status that is not known to be an end is kept as it is, and the task still runs."""
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
        {"results": 5},
        {"results": [[], 5, None]},
        {"output": {}},
        {"output": None},
        {"output": []},
        {"output": {"url": None}},
        {"output": {"url": "", "urls": []}},
        {"output": {"urls": [None, ""]}},
        {"results": [], "output": {"urls": "no list"}},
    ],
    ids=repr,
)
def test_completed_without_results_is_not_finished(fields):
    """Completed but empty, in whatever form: observed seconds before the results, so the task still runs."""
    snapshot = task(status="completed", **fields)

    assert snapshot.images == ()
    assert not snapshot.has_results
    assert not snapshot.finished


@pytest.mark.parametrize(
    "results",
    [
        [URL],
        URL,
        {"url": URL},
        [{"url": URL}],
        [None, {"url": URL}],
        [{"url": "HTTPS" + URL[5:]}],
    ],
    ids=repr,
)
def test_forms_of_results(results):
    """A list of objects or of URLs (the sister gateway's), or one of either: all are one image."""
    snapshot = task(status="completed", results=results)

    assert [image.url.lower() for image in snapshot.images] == [URL]
    assert snapshot.finished


@pytest.mark.parametrize(
    "item",
    [
        {"result_type": "profile", "profile_id": "p1"},
        {"voice_id": "v1"},
        {"text": "spoken", "words": []},
        {"url": None, "b": 1},
        {"url": 5},
        {"url": {"url": URL}},
        {"url": "javascript:alert(1)"},
        {"url": "file:///etc/passwd"},
        {"url": "data:image/png;base64,AAAA"},
        {"url": "//cdn.test/a.png"},
        {"url": "/a.png"},
        {"url": "ftp://cdn.test/a.png"},
        "javascript:alert(1)",
    ],
    ids=repr,
)
def test_results_that_are_no_link(item):
    """A result without an http(s) URL finishes the task and stays in `raw`; it is no image that could be opened."""
    snapshot = task(status="completed", results=[item])

    assert snapshot.images == ()
    assert snapshot.raw["results"] == [item]
    assert snapshot.finished


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (45, 45),
        (0, 0),
        (-5, -5),
        (2.5, 2.5),
        ("45", 45.0),
        (10**30, 10**30),
        (10**400, None),
        ("NaN", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        (None, None),
        (True, None),
        ([45], None),
        ({"s": 45}, None),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_estimates_and_progress(value, seconds):
    """A number is taken as it is, also from text; what is none is None: whether it is usable, others decide."""
    snapshot = task(task_info={"estimated_time": value}, progress=value, created=value)

    assert seconds == snapshot.estimated_time
    assert seconds == snapshot.progress
    assert seconds == snapshot.created


@pytest.mark.parametrize("info", [None, [], "x", 5, {}, {"estimated_time": None}], ids=repr)
def test_a_missing_task_info(info):
    """Without `task_info`, or with another kind of value there, there is no estimate."""
    assert task(task_info=info).estimated_time is None
    assert task().estimated_time is None


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (None, None),
        ({}, None),
        ("", None),
        ([], None),
        (5, None),
        ("out of luck", TaskProblem(message="out of luck")),
        (
            {"code": "generation_failed", "message": "no", "type": "task_error"},
            TaskProblem(code="generation_failed", message="no", type="task_error"),
        ),
        ({"code": 1301, "message": None}, TaskProblem(code="1301")),
        ({"code": ["x"], "message": {"a": 1}}, TaskProblem()),
    ],
    ids=repr,
)
def test_problems(error, problem):
    """A failed task's error may be an object, a text or missing; codes may be numbers."""
    assert problem == task(status="failed", error=error).error


def test_unknown_fields_are_kept():
    """What this package does not know stays in `raw`, also under names of our own fields."""
    fields = {
        "priority": 7,
        "raw": "theirs",
        "images": "theirs",
        "has_results": "theirs",
        "estimated_time": 9,
    }
    snapshot = task(**fields)

    assert snapshot.raw == {"id": ID, **fields}
    assert snapshot.images == ()
    assert snapshot.has_results is False
    assert snapshot.estimated_time is None


RUNNING = {
    **SUBMITTED,
    "status": "processing",
    "progress": 40,
    "results": None,
    "usage": {"credits_reserved": 5},
}


def test_a_reading_of_a_running_task_keeps_the_bytes_of_its_reply():
    """Of a task in flight the reply is kept as it came, a fifth of the parsed one's size; that shows nowhere."""
    body = json.dumps(RUNNING).encode()
    snapshot = seen(reply(body))
    same = attrs.evolve(snapshot, raw=RUNNING)

    assert body is snapshot._raw
    assert RUNNING == snapshot.raw
    assert RUNNING == pickle.loads(pickle.dumps(snapshot)).raw
    assert (same, hash(same), repr(same)) == (snapshot, hash(snapshot), repr(snapshot))
    assert snapshot != attrs.evolve(snapshot, raw={**RUNNING, "x": 1})


def test_a_reading_with_results_keeps_its_reply_parsed():
    """What is asked for its fields is parsed once."""
    snapshot = seen(reply(COMPLETED))

    assert snapshot.raw is snapshot.raw


def test_a_reply_to_another_id_is_kept_under_ours():
    """`raw` has the id that was asked for, whatever the reply says."""
    assert {**RUNNING, "id": ID} == seen(reply({**RUNNING, "id": "another"})).raw
    assert {**RUNNING, "id": "5"} == TaskSnapshot.of(read_task(reply({**RUNNING, "id": 5}))).raw


def test_words_that_many_replies_share_are_kept_once():
    """Models, states and the id are one object in all readings; words that no service uses are not remembered."""
    first, second = (seen(reply(RUNNING)) for _ in range(2))
    long = [task(status="s" * 100) for _ in range(2)]

    assert all(getattr(first, name) is getattr(second, name) for name in ("id", "model", "status"))
    assert long[0].status is not long[1].status


def test_everything_may_be_missing_but_the_id():
    """A reply with an id alone is a task that runs."""
    assert task() == TaskSnapshot(id=ID, raw={"id": ID})
    assert task(model=None, status=None, usage="x").status == "pending"


def test_an_id_may_be_a_number():
    """A whole number as id is taken as its text."""
    assert read_task(reply({"id": 12345})).id == "12345"


@pytest.mark.parametrize(
    "body",
    [{}, {"id": None}, {"id": True}, {"id": 1.5}, {"data": {"id": ID}}, *({"id": bad} for bad in BAD_IDS if bad != 5 and not isinstance(bad, bytes))],
    ids=lambda value: ascii(value)[:24],
)  # fmt: skip
def test_a_task_without_a_usable_id(body):
    """An accepted submit whose id cannot travel in a path is an unreadable answer."""
    with pytest.raises(ResponseDecodeError, match="no usable task id") as caught:
        read_task(reply(body))

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_a_status_read_keeps_our_id():
    """A status reply needs no id: it is the one that was asked for."""
    assert read_status(reply({"status": "processing"}), ID).id == ID
    assert read_status(reply({"status": "processing", "id": None}), ID).id == ID


@pytest.mark.parametrize("body", [{}, {"status": None}, {"status": 5}, {"id": ID}, {"status": ["completed"]}])
def test_a_status_read_needs_a_status(body):
    """A status reply without a status is unreadable."""
    with pytest.raises(ResponseDecodeError, match="no task status"):
        read_status(reply(body), ID)


DEEP = b'{"id":"a","status":"b","url":"c","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
UNREADABLE = {
    "empty": b"",
    "cut": b'{"id":"a","status":"b","url":"c"',
    "nan": b'{"id":"a","status":"b","url":"c","x":NaN}',
    "infinity": b'{"id":"a","status":"b","url":"c","x":-Infinity}',
    "list": b'[{"id":"a"}]',
    "text": b'"task"',
    "null": b"null",
    "html": b"<html><title>Bad Gateway</title></html>",
    "not utf-8": b'{"id":"\xff"}',
    "two": b'{"id":"a","status":"b","url":"c"} {}',
    "deep": DEEP,
    "huge integer": b'{"id":' + b"1" * 5000 + b"}",
}


@pytest.mark.parametrize(
    "read", [read_task, lambda r: read_status(r, ID), read_upload], ids=["task", "status", "upload"]
)
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_bodies(body, read):
    """A body that is no whole JSON object is one error, in one printable line, with no foreign cause."""
    with pytest.raises(ResponseDecodeError, match="HTTP 200") as caught:
        read(reply(body))

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_body_that_broke_off_is_not_read():
    """Even a body that parses is unreadable when it is known not to be whole."""
    with pytest.raises(ResponseDecodeError, match="broke off"):
        read_task(reply(SUBMITTED, whole=False))


def test_a_byte_order_mark_is_fine():
    """JSON with a byte order mark, or in UTF-16, is still JSON."""
    assert read_task(reply(b"\xef\xbb\xbf" + json.dumps(SUBMITTED).encode())).id == ID
    assert read_task(reply(json.dumps(SUBMITTED).encode("utf-16"))).id == ID


def test_white_space_round_a_reply_is_fine():
    """White space before and after the object is JSON's business."""
    body = json.dumps(SUBMITTED).encode()

    assert ID == read_task(reply(body + b"\r\n")).id
    assert ID == read_task(reply(b" \n" + body + b"\t")).id


# Uploads.


def test_an_upload_reply():
    """The documented reply to an upload, field by field."""
    raw = {"id": "f1", "filename": "a.png", "url": URL, "size": 12, "created": 1754380800}

    assert read_upload(reply(raw)) == UploadedFile(**raw, raw=raw)
    assert read_upload(reply({"url": URL, "size": "12.0", "id": 5})).size == 12
    assert read_upload(reply({"url": URL, "size": "many"})).size is None


@pytest.mark.parametrize("body", [{}, {"url": None}, {"url": ""}, {"url": 5}, {"id": "f1"}])
def test_an_upload_needs_a_url(body):
    """An upload's reply without a URL is unreadable."""
    with pytest.raises(ResponseDecodeError, match="no url"):
        read_upload(reply(body))


# Errors.

CLASSES = {
    301: APIError,
    307: APIError,
    400: _errors.BadRequestError,
    401: _errors.AuthenticationError,
    402: _errors.InsufficientQuotaError,
    403: _errors.PermissionDeniedError,
    404: _errors.NotFoundError,
    405: APIError,
    408: APIError,
    409: APIError,
    413: _errors.PayloadTooLargeError,
    418: APIError,
    422: _errors.UnprocessableError,
    429: _errors.RateLimitError,
    500: _errors.ServerError,
    502: _errors.ServerError,
    503: _errors.ServiceUnavailableError,
    504: _errors.ServerError,
    524: _errors.ServerError,
}


def envelope(
    message: object = "no", kind: object = None, code: object = None, **extra: object
) -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "code": code, **extra}}


@pytest.mark.parametrize(("status", "cls"), CLASSES.items())
def test_each_status_has_its_class(status, cls):
    """The class follows from the status; status, type, code and words are attributes and in the text."""
    error = read_error(reply(envelope("the words", "some_type", "some_code"), status))

    assert type(error) is cls
    assert (error.status, error.type, error.code, error.message) == (
        status,
        "some_type",
        "some_code",
        "the words",
    )
    assert f"HTTP {status} some_code: the words" in str(error)
    assert error.charged == "no"


@pytest.mark.parametrize("kind", ["service_unavailable_error", "service_unavailable"])
def test_no_channel_is_unavailable_under_either_status(kind):
    """The error page contradicts itself: 422 of that type means the same as 503."""
    assert type(read_error(reply(envelope(kind=kind), 422))) is _errors.ServiceUnavailableError
    assert type(read_error(reply(envelope(kind=kind), 400))) is _errors.BadRequestError


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (413, b"<html>\n<head><title>413 Request Entity\n Too Large</title></head></html>", "413 Request Entity Too Large"),
        (502, b"<!DOCTYPE html><TITLE>api.foxapi.cc | 502: Bad gateway</TITLE>", "api.foxapi.cc | 502: Bad gateway"),
        (403, b"error code: 1010", "error code: 1010"),
        (500, b"", "empty body"),
        (500, b"\x00\xff\x1b[31m", "� [31m"),
        (500, b'"a text"', '"a text"'),
        (400, b'{"error": "plain words"}', "plain words"),
        (400, b'{"error": null}', '{"error": null}'),
        (400, b'{"error": {}}', '{"error": {}}'),
        (400, b'{"error": ["a"]}', '{"error": ["a"]}'),
        (400, b'{"detail": "Not Found"}', '{"detail": "Not Found"}'),
        (400, b'{"error": {"message": 5}}', "5"),
        (400, b'{"error": {"message": {"a": 1}}}', '{"error": {"message": {"a": 1}}}'),
        (500, DEEP, None),
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_error_bodies_of_other_kinds(status, body, words):
    """HTML, plain text, another JSON or nothing: the error still says what there was, in printable words."""
    error = read_error(reply(body, status))

    assert type(error) is CLASSES[status]
    assert words in {None, error.message}
    assert error.message.isprintable()
    assert error.type is None


def test_a_cut_error_body_is_quoted():
    """An error body that broke off is not parsed, but its beginning is shown."""
    error = read_error(reply(envelope("half"), 400, whole=False))

    assert error.message.startswith('{"error": {"message": "half"')


def test_numbers_as_codes():
    """HTTP-stage errors of the sister gateway have numbers as code."""
    assert read_error(reply(envelope(code=1004), 400)).code == "1004"


@pytest.mark.parametrize("status", [400, 429, 503])
@given(text=st.text(min_size=1), size=st.integers(1, 400))
def test_error_texts_are_one_short_line(status, text, size):
    """Whatever a stranger writes into message, type or code, the error's text is one printable line of bounded length."""
    raw = text * size
    for body in (envelope(raw), envelope(code=raw), envelope(kind=raw)):
        error = read_error(reply(body, status, x_request_id=raw))
        assert str(error).isprintable()
        assert len(str(error)) < 800


@pytest.mark.parametrize(
    ("headers", "message", "request_id"),
    [
        ({"x_request_id": "req-1"}, "", "req-1"),
        ({"x_oneapi_request_id": "req-2"}, "", "req-2"),
        ({"x_request_id": "req-1", "x_oneapi_request_id": "req-2"}, "request_id: 20260101abc", "req-1"),
        ({}, "no channel (request_id: 20260101abc)", "20260101abc"),
        ({}, "no channel (request id: 20260101abc)", "20260101abc"),
        ({}, "no request id here", None),
        ({}, "", None),
    ],
)
def test_request_ids(headers, message, request_id):
    """The request id comes from a header, else from the message; it is in the text, to be quoted."""
    error = read_error(reply(envelope(message), 500, **headers))

    assert request_id == error.request_id
    assert request_id is None or f"[request {request_id}]" in str(error)


NOW = "Tue, 05 Aug 2025 08:00:00 GMT"
LATER = "Tue, 05 Aug 2025 08:01:30 GMT"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "extra", "seconds"),
    [
        ({"Retry_After": "7"}, {}, 7.0),
        ({"Retry_After": " 1.5 "}, {}, 1.5),
        ({"Retry_After": "0"}, {}, 0.0),
        ({"Retry_After": "-3"}, {}, 0.0),
        ({"Retry_After": "86400"}, {}, 86400.0),
        ({"Retry_After": LATER, "Date": NOW}, {}, 90.0),
        ({"Retry_After": NOW, "Date": LATER}, {}, 0.0),
        ({"Retry_After": LATER}, {}, None),
        ({"Retry_After": "NaN"}, {}, None),
        ({"Retry_After": "inf"}, {}, None),
        ({"Retry_After": "soon", "Date": NOW}, {}, None),
        ({"Retry_After": ""}, {}, None),
        ({}, {}, None),
        ({}, {"retry_after": 60}, 60.0),
        ({}, {"retry_after": "60"}, 60.0),
        ({}, {"retry_after": -1}, 0.0),
        ({}, {"retry_after": True}, None),
        ({}, {"retry_after": None}, None),
        ({}, {"fallback_suggestion": "retry after 60 seconds"}, 60.0),
        ({}, {"fallback_suggestion": "Please Try again in 2.5s"}, 2.5),
        ({}, {"fallback_suggestion": "retry after 5 minutes"}, None),
        ({"Retry_After": "7"}, {"retry_after": 60}, 7.0),
        ({"Retry_After": "soon"}, {"retry_after": 60}, 60.0),
        ({}, {"retry_after": 3, "fallback_suggestion": "retry after 60 seconds"}, 3.0),
    ],
    ids=repr,
)
def test_retry_after(status, headers, extra, seconds):
    """Seconds, or a date against the reply's own clock, else a hint in the body; garbage, NaN and infinity are none."""
    assert seconds == read_error(reply(envelope(**extra), status, **headers)).retry_after


def test_retry_after_in_the_message():
    """The message itself may name the seconds."""
    assert read_error(reply(envelope("Rate limit: try again in 20s"), 429)).retry_after == 20.0


def test_a_retry_date_without_a_reply_date():
    """Where the reply has no date, the caller's wall clock may stand in."""
    wall = parse_date(NOW)

    assert read_error(reply(b"", 429, Retry_After=LATER), wall).retry_after == 90.0


def test_other_errors_have_no_retry_after():
    """Only a 429 or an unavailable service names a time."""
    assert not hasattr(read_error(reply(b"", 500, Retry_After="5")), "retry_after")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:00:10 GMT", 10.0),
        ("Thu, 01 Jan 1970 01:00:10 +0100", 10.0),
        ("Thu, 01 Jan 1970 00:00:10 -0000", 10.0),
        ("Thu, 01 Jan 1970 00:00:10", 10.0),
        ("Thursday, 01-Jan-70 00:00:10 GMT", 10.0),
        ("yesterday", None),
        ("", None),
        (None, None),
        ("Thu, 99 Jan 1970 00:00:10 GMT", None),
        ("Thu, 01 Jan 99999999999 00:00:10 GMT", None),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai"])
def test_dates_are_gmt(text, seconds, zone, monkeypatch):
    """An HTTP date is GMT wherever this machine stands; what is none is None."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert seconds == parse_date(text)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "TZ" not in os.environ or os.environ["TZ"] != "Asia/Shanghai"


@given(
    st.text()
    | st.lists(
        st.sampled_from(["Mon,", "01", "Jan", "2024", "00:00:00", "GMT", "-0000", ".", ":", "+9999", "0"])
    ).map(" ".join)
)
def test_any_text_is_a_date_or_none(text):
    """No header makes the date reader fail."""
    seconds = parse_date(text)

    assert seconds is None or math.isfinite(seconds)


@pytest.mark.parametrize(
    ("created", "date", "age"),
    [
        (1754380770, NOW, 30.0),
        (1754380800, NOW, 0.0),
        (1754380900, NOW, 0.0),
        (None, NOW, 0.0),
        (0, NOW, 0.0),
        (-5, NOW, 0.0),
        (1754380770, None, 0.0),
        (1754380770, "soon", 0.0),
        (1754380770000, NOW, 0.0),
    ],
)
def test_the_age_is_the_services_own(created, date, age):
    """Age is `Date` minus `created`, both by the service's clock; 0 where either is missing, unset or in the future."""
    assert age == age_at_reply(created, date)


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
    """A failure without an error object is a failure all the same."""
    error = task_failure(task(status="failed"))

    assert (error.code, str(error)) == (None, f"task {ID} failed")


@pytest.mark.parametrize(("problem", "text"), [(None, ""), ("by hand", ": by hand")])
def test_a_cancelled_task(problem, text):
    """A cancelled task is an error of its own."""
    error = task_failure(task(status="cancelled", error=problem))

    assert type(error) is _errors.TaskCancelledError
    assert str(error) == f"task {ID} was cancelled at the service{text}"
    assert (error.charged, error.retryable, error.task_id) == ("unknown", False, ID)


@given(st.text(), st.text(), st.integers(1, 400))
def test_failure_texts_are_one_short_line(code, message, size):
    """Whatever the service writes, the error's text is one printable line of bounded length."""
    error = task_failure(task(status="failed", error={"code": code * size, "message": message * size}))

    assert str(error).isprintable()
    assert len(str(error)) < 600


# Anything at all.

READERS = [lambda r: TaskSnapshot.of(read_task(r)), seen, read_upload, read_error]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([URL, "completed", "failed", ID]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
NAMES = [
    "id",
    "model",
    "status",
    "progress",
    "created",
    "task_info",
    "results",
    "output",
    "error",
    "usage",
    "url",
    "size",
    "filename",
]
task_objects = st.dictionaries(st.sampled_from(NAMES), json_values)
results = st.fixed_dictionaries({"url": json_values}, optional={"content_type": json_values})
likely_tasks = st.fixed_dictionaries(
    {"id": st.just(ID) | json_values, "status": st.sampled_from(["completed", "failed", "x"]) | json_values},
    optional={
        "results": st.lists(results | json_values, max_size=3),
        "task_info": st.fixed_dictionaries({"estimated_time": json_values}),
        "error": st.fixed_dictionaries(
            {"code": json_values, "message": json_values, "retry_after": json_values}
        ),
        "output": st.fixed_dictionaries({}, optional={"url": json_values, "urls": json_values}),
        "url": st.just(URL) | json_values,
        "size": json_values,
    },
)
header_names = st.sampled_from(["Retry-After", "Date", "x-request-id", "Content-Type"])
replies = st.builds(
    Reply,
    status=st.integers(100, 599),
    headers=st.dictionaries(header_names, st.text() | st.sampled_from([NOW, "5", "NaN"])),
    body=st.binary()
    | (json_values | task_objects | likely_tasks).map(lambda value: json.dumps(value).encode()),
    whole=st.booleans(),
)


@given(replies)
@example(reply(DEEP))
@example(reply(b'{"id":"a","status":"completed","results":[{"url":"http://a"}],"size":1e999,"url":"b"}'))
def test_any_reply_is_a_value_or_our_error(any_reply):
    """Whatever the bytes, a reply gives a value or a FoxError with finite numbers and no foreign cause."""
    for read in READERS:
        try:
            value = read(any_reply)
        except FoxError as error:
            value = error
            assert (error.__cause__, error.__context__) == (None, None)
        numbers = [
            getattr(value, name, None) for name in ("estimated_time", "progress", "created", "retry_after")
        ]
        assert all(number is None or math.isfinite(number) for number in numbers)
        assert isinstance(value, APIError | ResponseDecodeError | TaskSnapshot | UploadedFile)
        hash(value)


@given(likely_tasks)
def test_only_links_become_images(body):
    """Every image has an http(s) URL, and a finished task's reply is kept whole."""
    try:
        snapshot = seen(reply(body))
    except ResponseDecodeError:
        return

    assert all(image.url.lower().startswith(("http://", "https://")) for image in snapshot.images)
    assert all(isinstance(image.content_type, str | None) for image in snapshot.images)
    assert set(snapshot.raw) == {*body, "id"}
    assert not snapshot.images or snapshot.has_results


@pytest.mark.parametrize("status", ["COMPLETED", "Completed"])
def test_the_case_of_a_status_does_not_matter(status):
    """A service that writes its statuses in capitals is understood; the word is kept as it is."""
    done = seen(reply({"status": status, "results": [{"url": URL}]}))
    failed = seen(reply({"status": "FAILED"}))

    assert (done.finished, done.status) == (True, status)
    assert isinstance(task_failure(failed), _errors.TaskFailedError)
