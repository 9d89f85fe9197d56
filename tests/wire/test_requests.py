"""Requests to the service: paths, headers and bodies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import BAD_IDS, ID

from foxapi_async._errors import InvalidRequestError
from foxapi_async._wire.requests import (
    check_task_id,
    is_task_id,
    multipart_frame,
    submit_call,
    task_path,
    upload_call,
)


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
    """An id is sent as one segment; every character that a server could misread is quoted."""
    assert path == task_path(task_id)


@pytest.mark.parametrize("task_id", BAD_IDS, ids=lambda value: ascii(value)[:20])
def test_bad_ids_are_refused_before_any_request(task_id):
    """An id that is not a single path segment is refused by name, in one printable line."""
    with pytest.raises(InvalidRequestError, match="task_id=") as caught:
        task_path(task_id)

    assert str(caught.value).isprintable()
    assert not is_task_id(task_id)


def test_an_id_that_needs_quotes_is_an_id():
    """A blank or a letter beyond ASCII is quoted in the path, and never refused."""
    assert is_task_id("füchse 1")
    assert "/v1/tasks/f%C3%BCchse%201" == task_path("füchse 1")


@given(st.text())
def test_every_accepted_id_stays_one_segment(task_id):
    """No accepted text changes the path around it."""
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
