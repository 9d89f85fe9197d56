"""From the service's bytes to tasks and files: the documented shapes, the odd ones, and all others."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wire_samples import BAD_IDS, COMPLETED, DEEP, ID, NOW, OLDER, SUBMITTED, URL, reply, seen, task

from foxapi_async._errors import APIError, FoxError, ResponseDecodeError
from foxapi_async._handles.snapshot import TaskSnapshot, snapshot_of
from foxapi_async._wire.error_replies import read_error
from foxapi_async._wire.replies import TaskProblem, UploadedFile, read_status, read_task, read_upload
from foxapi_async._wire.requests import (
    Reply,
)


def test_a_submit_reply():
    """The documented reply to a submit, field by field."""
    snapshot = snapshot_of(read_task(reply(SUBMITTED)))

    assert snapshot == TaskSnapshot(
        id=ID,
        model="grok-imagine-image",
        type="image",
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
    """A list of objects or of URLs (the sister gateway's), or one of either: each is one image."""
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
        {"url": "javascript:alert(1)"},
        {"url": "file:///etc/passwd"},
        {"url": "data:image/png;base64"},
        {"url": "data:image/png;base64,"},
        {"url": "/a.png"},
        {"url": "ftp://cdn.test/a.png"},
        "javascript:alert(1)",
        "a picture of a fox",
        [5],
        {"ok": True},
    ],
    ids=repr,
)
def test_results_that_are_no_link(item):
    """A result without an http(s) URL finishes the task and stays in `raw`; it is not an image that could be
    opened.
    """
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
    """A number is used as given, also from text; other values are None. Whether it is usable is decided elsewhere."""
    snapshot = task(task_info={"estimated_time": value}, progress=value, created=value)

    assert seconds == snapshot.estimated_time
    assert seconds == snapshot.progress
    assert seconds == snapshot.created


@pytest.mark.parametrize(
    ("kind", "whole", "expected"),
    [
        ("video", "image.generation.task", "video"),
        (None, "video.generation.task", "video"),
        ("", "audio.generation.task", "audio"),
        ([5], "task", ""),
        (None, ["x"], ""),
    ],
)
def test_the_type_of_a_task(kind, whole, expected):
    """It is in `type`, else in `object`; without either it is unknown."""
    assert expected == task(type=kind, object=whole).type


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
    """Unknown fields stay in `raw`, also under names of our own fields."""
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


def test_a_reply_to_another_id_is_kept_under_ours():
    """`raw` has the requested id, for any id in the reply."""
    assert {**RUNNING, "id": ID} == seen(reply({**RUNNING, "id": "another"})).raw
    assert {**RUNNING, "id": "5"} == snapshot_of(read_task(reply({**RUNNING, "id": 5}))).raw


def test_words_that_many_replies_share_are_kept_once():
    """Models, states and the id are one object in all replies; words of extreme length are not cached."""
    first, second = (seen(reply(RUNNING)) for _ in range(2))
    long = [task(status="s" * 100) for _ in range(2)]

    assert all(getattr(first, name) is getattr(second, name) for name in ("id", "model", "status"))
    assert long[0].status is not long[1].status


def test_everything_may_be_missing_but_the_id():
    """A reply with only an id is a task that runs."""
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
    """If an accepted submit's id cannot be part of a path, the answer is unreadable."""
    with pytest.raises(ResponseDecodeError, match="no usable task id") as caught:
        read_task(reply(body))

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_a_status_read_keeps_our_id():
    """A status reply needs no id: it is the requested one."""
    assert read_status(reply({"status": "processing"}), ID).id == ID
    assert read_status(reply({"status": "processing", "id": None}), ID).id == ID


@pytest.mark.parametrize("body", [{}, {"status": None}, {"status": 5}, {"id": ID}, {"status": ["completed"]}])
def test_a_status_read_needs_a_status(body):
    """A status reply without a status is unreadable."""
    with pytest.raises(ResponseDecodeError, match="no task status"):
        read_status(reply(body), ID)


UNREADABLE = {
    "empty": b"",
    "cut": b'{"id":"a","status":"b","url":"c"',
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
    """A body that is not a whole JSON object is one error, in one printable line, with no foreign cause."""
    with pytest.raises(ResponseDecodeError, match="HTTP 200") as caught:
        read(reply(body))

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_body_that_broke_off_is_not_read():
    """A body that parses is still unreadable if it is known to be incomplete."""
    with pytest.raises(ResponseDecodeError, match="cut off"):
        read_task(reply(SUBMITTED, whole=False))


def test_a_byte_order_mark_is_fine():
    """JSON with a byte order mark, or in UTF-16, is still JSON."""
    assert read_task(reply(b"\xef\xbb\xbf" + json.dumps(SUBMITTED).encode())).id == ID
    assert read_task(reply(json.dumps(SUBMITTED).encode("utf-16"))).id == ID


def test_white_space_round_a_reply_is_fine():
    """JSON allows white space before and after the object."""
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


# All replies.

READERS = [lambda r: snapshot_of(read_task(r)), seen, read_upload, read_error]

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
    too_large=st.just(False),
    document=st.none(),
)


@given(replies)
@example(reply(DEEP))
@example(reply(b'{"id":"a","status":"completed","results":[{"url":"http://a"}],"size":1e999,"url":"b"}'))
def test_any_reply_is_a_value_or_our_error(any_reply):
    """For all bytes, a reply gives a value or a FoxError with finite numbers and no foreign cause."""
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
