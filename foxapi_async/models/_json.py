"""Copies the fields of a request in JSON's own types, and names what JSON cannot hold."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from foxapi_async._errors import FieldProblem
from foxapi_async.models._file_fields import is_file, is_file_list
from foxapi_async.models._values import NOT_UTF8, FieldValue, is_sendable, shown

# Deep enough for every documented field, and not deep enough to exhaust the stack of `json`.
_DEEPEST = 100

_PLAIN = (int, bool)

# The names and numbers that lead to a value.
_Place = tuple[object, ...]


def copy_fields(fields: Mapping[Any, Any], problems: list[str]) -> dict[str, Any]:
    """A deep copy of the fields, with a line in `problems` for each value that JSON cannot hold. Input files may be
    local ones.

    Args:
        fields: the fields.
        problems: gets the lines.
    """
    copied: dict[str, Any] = {}
    given: Mapping[Any, FieldValue] = fields
    for key, value in given.items():
        if _is_plain(value) and type(key) is str and key.isascii():
            copied[key] = value
            continue
        if not _is_name(key):
            problems.append(_problem((), f"the field name {shown(key)} must be a text"))
        elif is_file(key) and isinstance(value, os.PathLike):
            copied[key] = value
        elif is_file_list(key) and isinstance(value, list | tuple):
            copied[key] = [
                item if isinstance(item, os.PathLike) else _copy(item, (key, number), problems)
                for number, item in enumerate(value)
            ]
        else:
            copied[key] = _copy(value, (key,), problems)
    return copied


def copy_checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of what `copy_fields` has made."""
    return {name: _copy_checked(value) for name, value in fields.items()}


def _copy_checked(value: FieldValue) -> Any:
    if isinstance(value, dict):
        return copy_checked(value)
    return list(map(_copy_checked, value)) if isinstance(value, list) else value


def _is_plain(value: object) -> bool:
    """Whether JSON holds a value as it is, as it holds most values."""
    return type(value) in _PLAIN or (isinstance(value, str) and value.isascii())


def _copy(value: FieldValue, place: _Place, problems: list[str]) -> Any:
    if value is None or type(value) in _PLAIN or (isinstance(value, str) and is_sendable(value)):
        return value
    if len(place) > _DEEPEST + 2:
        problems.append(_problem(place, ": nested too deeply"))
    elif isinstance(value, Mapping):
        unnamed = [key for key in value if not _is_name(key)]
        problems += [_problem(place, f": the field name {shown(key)} must be a text") for key in unnamed]
        return {key: _copy(item, (*place, key), problems) for key, item in value.items() if _is_name(key)}
    elif isinstance(value, list | tuple):
        return [_copy(item, (*place, number), problems) for number, item in enumerate(value)]
    elif fault := _fault(value):
        problems.append(_problem(place, f"={shown(value)}: {fault}"))
    return value


def _problem(place: _Place, text: str) -> FieldProblem:
    """A fault at a place in the fields. The text of the place is made only here, because most values have no fault."""
    first, rest = (str(place[0]), place[1:]) if place else ("", ())
    return FieldProblem(first, "".join(f"[{shown(key)}]" for key in rest) + text)


def _is_name(key: object) -> bool:
    return isinstance(key, str) and is_sendable(key)


def _fault(value: object) -> str | None:
    if isinstance(value, os.PathLike):
        return 'a local file can only be in a field such as "image_url", or in a list such as "image_urls"'
    if isinstance(value, float) and not math.isfinite(value):
        return "JSON cannot hold this number"
    if isinstance(value, str) and not is_sendable(value):
        return NOT_UTF8
    return None if value is None or isinstance(value, str | int | float) else "not a JSON value"
