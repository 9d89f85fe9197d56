"""Parses JSON from other programs within limits, and reads its values. A number may be sent as a text, and a text as a
number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from foxapi_async._errors import ResponseDecodeError
from foxapi_async._wire.requests import Document, Reply
from foxapi_async._wire.texts import shorten

Raw = Mapping[str, Any]
JsonValue: TypeAlias = "dict[str, Any] | list[JsonValue] | str | int | float | bool | None"

# A float holds each whole number below this one exactly.
_EXACT = 2**53

# A status reply has a few hundred bytes. A status reply with images inside has a few hundred kB. A body above this
# limit is not read.
MAX_JSON_BYTES = 32 * 1024 * 1024

# This many values may take 200 MB once they are parsed. A body with more was made to fill the memory.
MAX_VALUES = 2 * 1024 * 1024

# Code that copies, compares, pickles or prints a value recurses into it, from any depth of the stack.
# The documented replies have four levels.
MAX_DEPTH = 100

TOO_LARGE = f"the body is larger than {MAX_JSON_BYTES // 1024**2} MiB"


def read_object(reply: Reply) -> dict[str, Any]:
    """The JSON object in a reply's body.

    Raises:
        ResponseDecodeError: the body has no JSON object: cut off, too large, malformed, too deep, or another
            kind of value.
    """
    return read_document(reply)[0]


def read_document(reply: Reply) -> tuple[dict[str, Any], bytes]:
    """The JSON object in a reply's body, and a JSON text of this value.

    Raises:
        ResponseDecodeError: see `read_object`.
    """
    value: JsonValue
    if reply.whole and reply.document is None:  # nearly always
        try:
            value, body = parse(reply.body)
            if type(value) is dict:
                return value, body
            problem = ""
        except _UNREADABLE as error:
            value, problem = None, _problem_of(error)
    elif reply.document is None:
        value, problem = None, TOO_LARGE if reply.too_large else "the body was cut off"
    else:
        value, body, problem, _ = reply.document
        if isinstance(value, dict):
            return value, body
    problem = problem or f"a JSON {type(value).__name__} instead of an object"
    raise ResponseDecodeError(f"HTTP {reply.status} with an unreadable answer: {problem}; {excerpt(reply)}")


def make_document(body: bytes) -> Document:
    """The parsed body, or why it cannot be parsed. Runs in a thread."""
    try:
        return Document(*parse(body))
    except _UNREADABLE as error:
        return Document(None, b"", _problem_of(error), too_large=isinstance(error, TooManyValuesError))


def _problem_of(error: Exception) -> str:
    return str(error) if isinstance(error, TooManyValuesError) else f"not JSON ({type(error).__name__})"


def is_json(reply: Reply) -> bool:
    """Whether a body is JSON of any kind."""
    if reply.document is not None:
        return not reply.document.problem
    try:
        parse(reply.body)
    except _UNREADABLE:
        return False
    return True


def begins_like_json(reply: Reply) -> bool:
    """Whether a body, which may be cut off, begins like an object or a list."""
    return reply.body[:64].lstrip()[:1] in {b"{", b"["}


class TooManyValuesError(Exception):
    """JSON whose values would fill the memory."""


_UNREADABLE = ValueError, RecursionError, TooManyValuesError


class _OddError(ValueError):
    """A JSON number that is not finite."""


def _refuse_constant(name: str) -> None:
    raise _OddError(name)


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0.0:  # `1e999` is valid JSON, but infinite
        raise _OddError(text)
    return number


def _finite_or_none(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _whole_or_none(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:  # more digits than Python converts
        return None


_STRICT = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
# `raw_decode` calls this function; typeshed does not name it.
_decode: Callable[[str, int], tuple[JsonValue, int]] = _STRICT.scan_once  # type: ignore[attr-defined]
_LENIENT = json.JSONDecoder(
    parse_constant=lambda _: None, parse_float=_finite_or_none, parse_int=_whole_or_none, strict=False
)

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(body: bytes) -> tuple[JsonValue, bytes]:
    """The value of a body, and a JSON text of this value: nearly always the body itself.

    Odd values are replaced here, once for all readers. A byte that is not UTF-8 and half of a surrogate pair
    become the replacement character U+FFFD. A number that is NaN, infinite or too long becomes null.

    Raises:
        ValueError, RecursionError, TooManyValuesError: the body is not JSON, is too deep, or would fill the memory.
    """
    try:
        if body.startswith(b'{"'):
            # Nearly always: a body that starts with two ASCII characters can only be UTF-8. This skips the
            # search for the encoding and for leading white space, and saves a third of the time of
            # `json.loads`.
            text = body.decode()
            if len(text) > MAX_VALUES:
                _check_values(text)
            value, end = _decode(text, 0)
            if end != len(text) and text[end:].strip(" \t\r\n"):
                value = _STRICT.decode(text)  # raises: there is more after the value
        else:
            text = body.decode(json.detect_encoding(body))
            _check_values(text)
            value = _STRICT.decode(text)
    except (ValueError, StopIteration):
        return _parse_odd(body)
    if text.count("[") + text.count("{") > MAX_DEPTH:  # few brackets cannot nest deeply
        _check_depth(value)
    if "\\u" in text and _SURROGATE_ESCAPE.search(text):
        return _without_surrogates(value)
    return value, body


def _parse_odd(body: bytes) -> tuple[JsonValue, bytes]:
    """The value of a body that is not valid JSON, if it can still be read."""
    text = body.decode(json.detect_encoding(body), "replace")
    _check_values(text)
    value = _LENIENT.decode(text)
    _check_depth(value)
    return _without_surrogates(value)


def _without_surrogates(value: JsonValue) -> tuple[JsonValue, bytes]:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    body = _SURROGATE.sub("\ufffd", text).encode()
    return json.loads(body), body


def _check_values(text: str) -> None:
    if sum(text.count(mark) for mark in ",[{") > MAX_VALUES:
        raise TooManyValuesError(f"it has more than {MAX_VALUES} values")


def _check_depth(value: JsonValue) -> None:
    if _is_deep(value):
        raise RecursionError


def _is_deep(value: JsonValue) -> bool:
    """Whether containers are nested more than `MAX_DEPTH` deep."""
    level: list[dict[str, Any] | list[Any]] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        insides = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [inner for inside in insides for inner in inside if isinstance(inner, (dict, list))]
        if not level:
            return False
    return True


# This matches each beginning of a title. A search for its end as well would take quadratic time.
_TITLE = re.compile(r"<title>([^<]*)", re.IGNORECASE)


def excerpt(reply: Reply) -> str:
    """A few words of a body that is not the service's JSON: an HTML page's title, or the beginning of a text."""
    text = reply.body[:4096].decode("utf-8", "replace")
    title = _TITLE.search(text)
    return (title and shorten(title[1])) or shorten(text) or "empty body"


def read_number(value: object) -> float | None:
    """The value as a finite number, even if it is a text; else None."""
    if value is None or (type(value) is int and -_EXACT < value < _EXACT):
        return value  # nearly all values
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return value if isinstance(value, int) else number


def read_price(value: object) -> float | None:
    """Credits that can be added up: a finite number, zero or more; else None. A strange price does not raise an error,
    because an error would lose the id of its task.
    """
    number = read_number(value)
    return None if number is None or number < 0 else float(number)


def read_text(value: object) -> str | None:
    """The value as a text, even if it is a number, as some codes are; else None."""
    if value is None or isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def read_mapping(value: JsonValue) -> Raw | None:
    """The value if it is a JSON object; else None."""
    return value if isinstance(value, dict) else None


def read_whole(value: object) -> int | None:
    """The value as a whole number, without its fraction; else None."""
    number = read_number(value)
    return None if number is None else int(number)
