"""From a refusal's bytes to an error: its class, words, request id and the requested wait."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import DEEP, NOW, reply

from foxapi_async import _errors
from foxapi_async._errors import APIError
from foxapi_async._wire.error_replies import read_error
from foxapi_async._wire.headers import parse_date

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
    """For HTML, plain text, other JSON or an empty body, the error still quotes it in printable words."""
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
    """For any text in message, type or code, the error's text is one printable line of limited length."""
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
    """The request id comes from a header, else from the message; it is in the text, so that users can quote it."""
    error = read_error(reply(envelope(message), 500, **headers))

    assert request_id == error.request_id
    assert request_id is None or f"[request {request_id}]" in str(error)


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
        ({}, {"fallback_suggestion": "retry after 5 minutes"}, 300.0),
        ({}, {"fallback_suggestion": "retry after 5 times"}, None),
        ({}, {"fallback_suggestion": "try again 3 more times"}, None),
        ({}, {"fallback_suggestion": "retry in 250 milliseconds"}, 0.25),
        ({}, {"fallback_suggestion": "retry after 2 mins"}, 120.0),
        ({}, {"fallback_suggestion": "try again in 1m30.5s"}, 90.5),
        ({}, {"fallback_suggestion": "please wait 350ms"}, 0.35),
        ({}, {"fallback_suggestion": "wait for 2 hours"}, 7200.0),
        ({}, {"fallback_suggestion": "try again in about 2 seconds"}, 2.0),
        ({}, {"retry_after": "30s"}, 30.0),
        ({}, {"retry_after_ms": 1500, "retry_after": 2}, 1.5),
        ({}, {"retry_after_ms": "soon", "retry_after": 2}, 2.0),
        ({"Retry_After": "2s"}, {}, 2.0),
        ({"Retry_After": "2, 2"}, {}, 2.0),
        ({"Retry_After": "2, 5s"}, {}, 5.0),
        ({"Retry_After": "1.5"}, {}, 1.5),
        ({"Retry_After": "1 minute"}, {}, 60.0),
        ({"Retry_After": "2 foxes"}, {}, None),
        ({"Retry_After": "2", "Retry_After_Ms": "1500"}, {}, 1.5),
        ({"Retry_After": "2", "Retry_After_Ms": "soon"}, {}, 2.0),
        ({"Retry_After": "7"}, {"retry_after": 60}, 7.0),
        ({"Retry_After": "soon"}, {"retry_after": 60}, 60.0),
        ({}, {"retry_after": 3, "fallback_suggestion": "retry after 60 seconds"}, 3.0),
    ],
    ids=repr,
)
def test_retry_after(status, headers, extra, seconds):
    """Seconds, or a date against the reply's own clock, else a hint in the body; garbage, NaN and infinity
    count as missing.
    """
    assert seconds == read_error(reply(envelope(**extra), status, **headers)).retry_after


def test_retry_after_in_the_message():
    """The message itself may name the seconds."""
    assert read_error(reply(envelope("Rate limit: try again in 20s"), 429)).retry_after == 20.0


@pytest.mark.parametrize("error", [{"message": "slow down"}, "slow down"])
@pytest.mark.parametrize(
    ("beside", "seconds"),
    [
        ({"retry_after": 60}, 60.0),
        ({"retry_after_ms": 500}, 0.5),
        ({"fallback_suggestion": "retry after 5 minutes"}, 300.0),
    ],
)
def test_retry_after_beside_the_error(error, beside, seconds):
    """The hint may stand in the reply beside its `error`."""
    body = json.dumps({"error": error, **beside}).encode()

    assert read_error(reply(body, 429)).retry_after == seconds


def test_the_hint_in_the_error_counts_before_one_beside_it():
    """The error names the wait of this refusal."""
    body = b'{"error": {"retry_after": 3}, "retry_after": 60}'

    assert read_error(reply(body, 429)).retry_after == 3.0


def test_a_retry_date_without_a_reply_date():
    """If the reply has no date, the caller's wall clock is used."""
    wall = parse_date(NOW)

    assert read_error(reply(b"", 429, Retry_After=LATER), wall).retry_after == 90.0


def test_other_errors_have_no_retry_after():
    """Only a 429 or an unavailable service names a time."""
    assert not hasattr(read_error(reply(b"", 500, Retry_After="5")), "retry_after")
