"""JSON from a stranger: parsed within bounds, and its values read leniently."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from foxapi_async._errors import ResponseDecodeError
from foxapi_async._wire.requests import Reply
from foxapi_async._wire.texts import shorten

Raw = Mapping[str, Any]

_EXACT = 2**53


def read_object(reply: Reply) -> dict[str, Any]:
    """The JSON object in a reply's body.

    Raises:
        ResponseDecodeError: there is none: cut off, too large, malformed, NaN, too deep, or another kind of value.
    """
    problem = "" if reply.whole else "the body broke off or was too large"
    value: object = None
    if not problem:
        try:
            value = _parse(reply.body)
        except (ValueError, RecursionError) as error:
            problem = f"not JSON ({type(error).__name__})"
    if not problem and not isinstance(value, dict):
        problem = f"a JSON {type(value).__name__} instead of an object"
    if problem or not isinstance(value, dict):
        raise ResponseDecodeError(
            f"HTTP {reply.status} with an unreadable answer: {problem}; {excerpt(reply)}"
        )
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)

# Whoever copies, compares, pickles or prints a value goes down into it by recursion, from wherever the stack stands
# by then. The documented replies have four levels.
MAX_DEPTH = 100


def _parse(body: bytes) -> object:
    if not body.startswith(b'{"'):
        text = body.decode(json.detect_encoding(body))
        value = _DECODER.decode(text)
    else:
        # Nearly always: two ASCII characters leave no encoding but UTF-8. Not to search for it, nor for white space
        # in front, takes a third off `json.loads`.
        text = body.decode()
        value, end = _DECODER.raw_decode(text)
        if text[end:].strip(" \t\r\n"):
            raise ValueError("extra data")
    # Few brackets cannot be deep.
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value):
        raise RecursionError
    return value


def _is_deep(value: object) -> bool:
    """Whether containers lie more than `MAX_DEPTH` deep in one another."""
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        insides = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [inner for inside in insides for inner in inside if isinstance(inner, (dict, list))]
        if not level:
            return False
    return True


# It matches wherever a title begins: a search for its end as well would take the square of many beginnings.
_TITLE = re.compile(r"<title>([^<]*)", re.IGNORECASE)


def excerpt(reply: Reply) -> str:
    """A few words of a body that is not our JSON: an HTML page's title, or the beginning of a text."""
    text = reply.body[:4096].decode("utf-8", "replace")
    title = _TITLE.search(text)
    return (title and shorten(title[1])) or shorten(text) or "empty body"


def read_number(value: object) -> float | None:
    """A finite number, also from text; else None."""
    if value is None or (type(value) is int and -_EXACT < value < _EXACT):
        return value  # what nearly all are
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return value if isinstance(value, int) else number


def read_text(value: object) -> str | None:
    """A text, also from a number (some codes are); else None."""
    if value is None or isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def read_mapping(value: object) -> Raw | None:
    """A JSON object; else None."""
    return value if isinstance(value, dict) else None


def read_whole(value: object) -> int | None:
    """A whole number, cut off where it has a fraction; else None."""
    number = read_number(value)
    return None if number is None else int(number)
