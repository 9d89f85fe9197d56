"""Reads a request's body: a JSON object of limited size."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from foxapi_async._errors import InvalidRequestError
from foxapi_async._wire.json_values import JsonValue

# Large enough for a photo as a data URI.
MAX_BODY_BYTES = 8 * 1024 * 1024

# A request has about ten fields. Millions of small values in a body would block every other request.
MAX_COMMAS = 10_000

# Up to here, a float holds every whole number.
MOST_EXACT = 2**53


class BodyTooLargeError(InvalidRequestError):
    """The body is larger than any request."""


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        InvalidRequestError: the body is not a JSON object, or not declared as JSON. Without that check
            a form of another site could send it.
        BodyTooLargeError: it is larger than `MAX_BODY_BYTES`. No more than that is read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidRequestError("send a JSON object, with the header Content-Type: application/json")
    value = _parsed(await _bytes_of(request))
    if not isinstance(value, dict):
        raise InvalidRequestError('the body is not a JSON object such as {"model": "...", "prompt": "..."}')
    return value


async def _bytes_of(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError(f"the body is larger than {MAX_BODY_BYTES} bytes")
    if body.count(b",") > MAX_COMMAS:
        raise InvalidRequestError("the body has too many values")
    return bytes(body)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _number(text: str) -> int | float:
    """A number. For JSON, 2.0 and 2 are the same. For Python they are not."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < MOST_EXACT else number


def _parsed(body: bytes) -> JsonValue:
    """The value; None if it is not JSON, or too deeply nested."""
    try:
        value: JsonValue = json.loads(body, parse_constant=_refuse_constant, parse_float=_number)
        return value
    except (ValueError, RecursionError):
        return None
