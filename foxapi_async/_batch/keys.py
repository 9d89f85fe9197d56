"""The keys of a batch's items: an item's id, or its request's fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import PurePath
from typing import Any

from foxapi_async._files.names import COUNTED_KEY
from foxapi_async.models import GenerationRequest

_FINGERPRINT_LENGTH = 24
_LONGEST_ID = 200


def fingerprint(request: GenerationRequest) -> str:
    """24 hexadecimal digits that are the same for equal requests, now and in every later version.

    They come from the canonical JSON of the fields that were set. A local file counts by its path, not its
    content. The numbers 1 and 1.0 are sent differently, so they differ here too.
    """
    return fingerprint_of(request.to_dict())


def fingerprint_of(fields: Any) -> str:
    """The fingerprint of a request with these fields."""
    return hashlib.sha256(_canonical(fields).encode()).hexdigest()[:_FINGERPRINT_LENGTH]


def _as_json(value: Any) -> dict[str, str]:
    """A local file as an object, so that no URL is ever equal to it."""
    if not isinstance(value, os.PathLike):
        raise TypeError(f"{type(value).__name__} is not a JSON value")
    return {"file": value.as_posix() if isinstance(value, PurePath) else os.fsdecode(value)}


# Pure ASCII, so that a file name which is not UTF-8 can be hashed too.
_canonical = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), check_circular=False, default=_as_json
).encode


def counted_key(mark: str, n: int) -> str:
    """The key of the `n`-th item (from 1) without an id whose request has the fingerprint `mark`."""
    return f"{mark}#{n}"


def id_problem(item_id: str) -> str | None:
    """What is wrong with an explicit id; None if it is valid."""
    if not 1 <= len(item_id) <= _LONGEST_ID:
        return f"id: has {len(item_id)} characters; allowed are 1 to {_LONGEST_ID}"
    if not item_id.isprintable() or item_id != item_id.strip():
        return f"id={item_id!r}: allowed are printable characters, without blanks at its ends"
    if COUNTED_KEY.fullmatch(item_id):
        return f"id={item_id!r}: this is how lines without an id are counted; leave it out, or take another"
    return None


def id_conflict(item_id: str, *, used: bool, known: bool) -> str | None:
    """The problem if an id names another request: `used` in the same input, or `known` from an earlier run."""
    if used:
        return f"id={item_id!r} is used twice, for different requests: give each its own"
    if known:
        return f"id={item_id!r} was used in an earlier run for another request: give the changed one an id of its own"
    return None
