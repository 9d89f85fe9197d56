"""The keys of a batch's items: an item's id, or its request's fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from foxapi_async._errors import LedgerError
from foxapi_async._files.names import COUNTED_KEY
from foxapi_async.models import GenerationRequest

_FINGERPRINT_LENGTH = 24
_LONGEST_ID = 200

_CACHE_KIB = 4000

# Fewer than the variables that the oldest SQLite allows in one query.
_CHUNK = 500


def fingerprint(request: GenerationRequest) -> str:
    """24 hexadecimal digits that are the same for equal requests, now and in every later version.

    They come from the canonical JSON of the fields that were set. Of a local file, only the path counts, not the
    content. The numbers 1 and 1.0 are sent differently, so they give different fingerprints.
    """
    return fingerprint_of(request.identity())


def fingerprint_of(fields: Any) -> str:
    """The fingerprint of a request with these fields."""
    return hashlib.sha256(_canonical(fields).encode()).hexdigest()[:_FINGERPRINT_LENGTH]


def _as_json(value: os.PathLike[str]) -> dict[str, str]:
    """A local file as an object, so that no URL is ever equal to it."""
    if not isinstance(value, os.PathLike):
        raise TypeError(f"{type(value).__name__} is not a JSON value")
    return {"file": value.as_posix() if isinstance(value, PurePath) else os.fsdecode(value)}


# The JSON is ASCII, because a file name that is not UTF-8 cannot be encoded.
_canonical = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), check_circular=False, default=_as_json
).encode


class Numbering:
    """Counts how often each text was given. It uses a temporary file, so that memory does not grow with the input."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        # Keys come in random order, so SQLite would keep most pages of the file in memory. This limits their number.
        self._connection.executescript(
            f"PRAGMA journal_mode=OFF; PRAGMA cache_size={-_CACHE_KIB};"
            "CREATE TABLE seen (text TEXT PRIMARY KEY, times INTEGER) WITHOUT ROWID"
        )

    def number(self, texts: Sequence[str]) -> list[int]:
        """How often each text has been given, this time included. Blocks: call it in a thread.

        Raises:
            LedgerError: there is no room for temporary files.
        """
        numbers: list[int] = []
        times: dict[str, int] = {}
        try:
            for start in range(0, len(texts), _CHUNK):
                chunk = texts[start : start + _CHUNK]
                placeholders = ", ".join("?" * len(chunk))
                query = f"SELECT text, times FROM seen WHERE text IN ({placeholders})"  # noqa: S608 - of question marks
                times = dict(self._connection.execute(query, chunk).fetchall())
                for text in chunk:
                    times[text] = number = times.get(text, 0) + 1
                    numbers.append(number)
                self._connection.execute("BEGIN")
                self._connection.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", times.items())
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            problem = str(error)
        else:
            return numbers
        raise LedgerError(
            f"the items cannot be counted in a temporary file ({problem}): free some space where temporary files are"
        )

    def close(self) -> None:
        """Remove the file."""
        self._connection.close()


def counted_key(request_fingerprint: str, n: int) -> str:
    """The key of the `n`-th item (from 1) of those that have no id, and whose request has this fingerprint."""
    return f"{request_fingerprint}#{n}"


def id_problem(item_id: str) -> str | None:
    """The fault of an explicit id; None if it is valid."""
    if not 1 <= len(item_id) <= _LONGEST_ID:
        return f"id: has {len(item_id)} characters; use 1 to {_LONGEST_ID}"
    if not item_id.isprintable() or item_id != item_id.strip():
        return f"id={item_id!r}: use printable characters, without blanks at its ends"
    if COUNTED_KEY.fullmatch(item_id):
        return (
            f"id={item_id!r}: only lines without an id get such a name; leave the id out, or use another one"
        )
    return None


def id_conflict(item_id: str, *, used: bool, known: bool) -> str | None:
    """The problem if an id names two requests: both in the same input (`used`), or one in an earlier run (`known`)."""
    if used:
        return f"id={item_id!r} is used twice, for different requests: give each request its own id"
    if known:
        return f"id={item_id!r} was used in an earlier run for another request: give the changed request its own id"
    return None
