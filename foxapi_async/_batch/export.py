"""The rows of a batch for other programs: what each item asks for, its state and its results."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from foxapi_async._batch.folder import LEDGER
from foxapi_async._batch.input.tables import Cell, cell_of
from foxapi_async._batch.input.validation import VALIDATED, count_in
from foxapi_async._batch.manifest import ENDED
from foxapi_async._files.names import COUNTED_KEY
from foxapi_async._ledger import statements
from foxapi_async._ledger.entry import LedgerEntry
from foxapi_async._ledger.file_errors import explained
from foxapi_async._ledger.schema import open_to_read

OWN = ("id", "state", "files", "error", "credits")
"""The columns that each row has in addition to those of its request and of the input."""

# A number that a spreadsheet shows with the same digits.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,14})?")


@attrs.frozen(kw_only=True)
class ExportRow:
    """One item of a batch.

    Attributes:
        id: its explicit id; None if it has none.
        request: the fields of its request, as JSON values, by the names of their columns.
        extra: the cells of the input's other columns, by the names of their columns.
        state: its state, under the same name as in `foxapi status --json`.
        files: its saved files, relative to the folder of the batch.
        error: what went wrong; None if nothing did, or if the item has not ended.
        credits: what its last submit costs; None if that is not known.
    """

    id: str | None
    request: Mapping[str, Any]
    extra: Mapping[str, str]
    state: str
    files: Sequence[str] = ()
    error: str | None = None
    credits: float | None = None

    @classmethod
    def of(cls, entry: LedgerEntry, columns: Mapping[str, str]) -> ExportRow:
        """The row of a ledger's entry.

        Args:
            entry: the ledger's entry of the item.
            columns: the name of the column for each field and each other column of the input.
        """
        opening = _opening_of(entry)
        end: dict[str, Any] = json.loads(entry.record or "{}") if entry.state in ENDED else {}
        return cls(
            id=None if COUNTED_KEY.fullmatch(entry.key) else entry.key,
            request=_named(opening.get("request"), columns),
            extra=_named(opening.get("extra"), columns),
            state=entry.state.value,
            files=[file["path"] for file in end.get("files") or ()],
            error=_error_text(end.get("error") or {}),
            credits=entry.price,
        )

    @property
    def values(self) -> dict[str, Any]:
        """The JSON values by the names of their columns. A field that is not set is left out. `OWN` is complete."""
        return {"id": self.id, **self.request, **self.extra, **self._results, "files": list(self.files)}

    @property
    def cells(self) -> dict[str, Cell]:
        """The cells by the names of their columns. If an input has these cells as a row, its request is the same."""
        is_raw = "path" in self.request
        return {
            "id": self.id,
            **{name: cell_of(name, value, is_raw=is_raw) for name, value in self.request.items()},
            **{name: _number_or_text(text) for name, text in self.extra.items()},
            **self._results,
            "files": "|".join(self.files),
        }

    @property
    def _results(self) -> dict[str, Any]:
        return {"state": self.state, "files": None, "error": self.error, "credits": self.credits}


def _opening_of(entry: LedgerEntry) -> dict[str, Any]:
    """The record of the last submit of an item: its place, its request and its other cells."""
    opening: dict[str, Any] = json.loads(entry.opening or entry.record or "{}")
    return opening


def _named(values: Mapping[str, Any] | None, columns: Mapping[str, str]) -> dict[str, Any]:
    return {columns[name]: value for name, value in (values or {}).items()}


def _error_text(error: Mapping[str, Any]) -> str | None:
    code, message = str(error.get("code") or ""), str(error.get("message") or "")
    return (message if code in message else f"{code}: {message}") or None


def _number_or_text(text: str) -> Cell:
    """The text as a number, so that a spreadsheet can add it up; or the text, if the number would have other digits."""
    if not _NUMBER.fullmatch(text) or len(text) > 15:
        return text
    number = float(text) if "." in text else int(text)
    return number if str(number) == text else text


@attrs.frozen
class BatchTable:
    """The rows of a batch, as its ledger has them at one moment.

    Attributes:
        columns: the names of all columns, in their order.
        unknown: how many items of the last input have not begun, and are not in the ledger.
    """

    columns: Sequence[str]
    unknown: int
    _connection: sqlite3.Connection
    _keys: Sequence[str]
    _given: Mapping[str, str]

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[ExportRow]:
        """The rows in the order of the input."""
        for start in range(0, len(self._keys), statements.CHUNK):
            keys = self._keys[start : start + statements.CHUNK]
            found = statements.look_up(self._connection, keys)
            yield from (ExportRow.of(found[key], self._given) for key in keys)


@contextlib.contextmanager
def open_table(out: Path) -> Generator[BatchTable]:
    """The rows of the batch in the folder `out`, also during a run. The folder is not changed.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    file = open_to_read(out / LEDGER)
    try:
        file.connection.execute("BEGIN")  # every later statement reads the state of this moment
        yield _read_table(file.connection)
    except sqlite3.Error as error:
        problem = explained(out / LEDGER, error)
    else:
        return
    finally:
        file.close()
    raise problem


def _read_table(connection: sqlite3.Connection) -> BatchTable:
    places: list[tuple[float, int, str]] = []
    fields: dict[str, None] = {}
    extra: dict[str, None] = {}
    last, entries = statements.entries(connection, (), 0)
    while entries:
        for entry in entries:
            opening = _opening_of(entry)
            fields |= dict.fromkeys(opening.get("request") or ())
            extra |= dict.fromkeys(opening.get("extra") or ())
            # Without its opening, the place of an item is not known.
            places.append((opening.get("index", float("inf")), len(places), entry.key))
        last, entries = statements.entries(connection, (), last)
    given = _columns_of({**fields, **extra})
    known = statements.meta(connection, VALIDATED)
    unknown = 0 if known is None else max(0, count_in(known) - len(places))
    columns = [OWN[0], *given.values(), *OWN[1:]]
    return BatchTable(columns, unknown, connection, [key for *_, key in sorted(places)], given)


def _columns_of(names: Collection[str]) -> dict[str, str]:
    """The column for each of these names, in their order. A name that is in `OWN` gets a column with a longer name."""
    taken = {*OWN, *names}
    columns: dict[str, str] = {}
    for name in names:
        column = name
        while column in OWN or (column != name and column in taken):
            column = f"{column} (input)"
        columns[name] = column
        taken.add(column)
    return columns
