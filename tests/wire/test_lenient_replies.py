"""Replies with odd parts: they are still read, and the kept parts are clean."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from foxapi_async._errors import ResponseDecodeError
from foxapi_async._handles.snapshot import TaskSnapshot, snapshot_of, task_failure
from foxapi_async._wire import json_values
from foxapi_async._wire.error_replies import read_error
from foxapi_async._wire.json_values import make_document
from foxapi_async._wire.replies import read_status, read_task
from foxapi_async._wire.requests import Reply

ID = "task-1"
CASES = Path(__file__).parents[1] / "cases"


def status_of(fields: bytes) -> TaskSnapshot:
    """The snapshot of a reply with these further members."""
    return snapshot_of(read_status(Reply(200, {}, b'{"id":"task-1","status":"failed",' + fields + b"}"), ID))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b'"a\xffb"', "a\ufffdb"),
        (b'"a\\ud83d"', "a\ufffd"),
        (b'"a\\uD83Db"', "a\ufffdb"),
        (b'"a\\udc00\\ud83d"', "a\ufffd\ufffd"),
        (b'"a\\ud83d\\ude00"', "a\U0001f600"),
        (b'"\\ud55c"', "\ud55c"),
        (b'"\\\\ud83d"', "\\ud83d"),
        (b'"a\nb"', "a\nb"),
        (b"NaN", None),
        (b"-Infinity", None),
        (b"1e999", None),
        (b"-1e999", None),
        (b"1" * 5000, None),
        (b"1e308", 1e308),
        (b"-2.5", -2.5),
        (b'{"k\\ud83d": [NaN]}', {"k\ufffd": [None]}),
    ],
    ids=repr,
)
def test_an_odd_field_makes_no_reply_unreadable(given, kept):
    """Invalid bytes and half surrogate pairs are replaced, and invalid numbers count as missing."""
    assert status_of(b'"x":' + given).raw["x"] == kept


@pytest.mark.parametrize(
    "results", [b"[]", b'[{"url":"https://h.example/a.png"}]'], ids=["as bytes", "as mapping"]
)
def test_what_is_kept_can_be_encoded(results):
    """The whole reply is JSON in valid UTF-8, whether kept unparsed or parsed."""
    odd = status_of(b'"x":["\\ud83d","\xff",NaN,1e999],"results":' + results)

    assert (
        json.dumps(odd.raw["x"], ensure_ascii=False, allow_nan=False).encode().decode()
        == '["\ufffd", "\ufffd", null, null]'
    )


@pytest.mark.parametrize("field", ["model", "status"])
def test_a_lone_surrogate_is_replaced(field):
    """A lone surrogate in a word is replaced."""
    reply = read_status(Reply(200, {}, b'{"status":"x","%s":"a\\ud800"}' % field.encode()), ID)

    assert getattr(reply, field) == "a\ufffd"


def test_recorded_a_lone_surrogate():
    """A failed task with lone surrogates everywhere is an error that can be encoded."""
    status, body = json.loads((CASES / "poll_lone_surrogate.json").read_text())["polls"][0]
    error = task_failure(snapshot_of(read_status(Reply(status, {}, json.dumps(body).encode()), ID)))

    assert (error.code, error.snapshot.model) == ("x\ufffd", "fox \ufffd")
    assert repr(error.snapshot.raw).encode()


@pytest.mark.parametrize("field", ["message", "code", "type"])
def test_refusals_are_clean(field):
    """The words of a refusal can be encoded."""
    error = read_error(
        Reply(400, {"x-request-id": "a\ud800"}, b'{"error":{"%s":"a\\ud83d"}}' % field.encode())
    )

    assert f"{error}{error.code}{error.type}{error.message}{error.request_id}".encode()


def test_an_odd_field_leaves_the_id():
    """A submit's reply with an invalid byte in another field is accepted."""
    assert read_task(Reply(200, {}, b'{"id":"task-1","x":"\xff"}')).id == ID


def test_a_clean_reply_is_kept_as_it_came():
    """The bytes of a reply without results are kept, not copied."""
    body = b'{"id":"task-1","status":"x","y":"\\ud55c"}'

    assert read_status(Reply(200, {}, body), ID).raw is body


def test_more_after_the_object_is_unreadable():
    """A body with two values is not a reply."""
    with pytest.raises(ResponseDecodeError, match="JSONDecodeError"):
        read_status(Reply(200, {}, b'{"status":"x"} 5'), ID)


def test_very_many_values_are_not_parsed():
    """A body that was made to fill the memory is refused before it does."""
    tracemalloc.start()
    body = b'{"x":[' + b"[]," * json_values.MAX_VALUES + b"0]}"
    document = make_document(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (document.value, document.too_large) == (None, True)
    assert peak < 5 * len(body)


def test_very_many_values_in_another_form_are_not_parsed():
    """White space before it changes nothing."""
    assert make_document(b" [" + b"0," * json_values.MAX_VALUES + b"0]").too_large is True


def test_a_large_text_is_parsed():
    """A long text is one value."""
    text = "a" * (json_values.MAX_VALUES + 1)

    assert make_document(json.dumps({"x": text}).encode()).value == {"x": text}


@pytest.mark.parametrize(
    ("body", "problem"),
    [(b"<html>", "not JSON (JSONDecodeError)"), (b"[" * 200 + b"]" * 200, "not JSON (RecursionError)")],
)
def test_a_document_says_why_it_is_invalid(body, problem):
    """The thread that parses a body raises nothing."""
    assert make_document(body) == (None, b"", problem, False)


@pytest.mark.parametrize(("body", "words"), [(b"[]", "a JSON list"), (b"<html>", "not JSON")])
def test_a_document_that_is_no_object_is_unreadable(body, words):
    """A body that was parsed in a thread is judged like any other."""
    with pytest.raises(ResponseDecodeError, match=words):
        read_task(Reply(200, {}, body, document=make_document(body)))


def test_a_document_is_read_without_parsing_its_body_again():
    """The value from the thread is used directly."""
    assert read_task(Reply(200, {}, b"no JSON", document=make_document(b'{"id":"task-1"}'))).id == ID
