"""The ledger's SQL statements, in functions that take its connection. The writer's thread calls them.

The first statement of each change checks whether the item's state allows the change. If not, it changes nothing.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from foxapi_async._ledger.entry import COMES_FROM, KEEPS_ITS_ID, ItemState, LedgerEntry, refused_move
from foxapi_async._ledger.protocol import Totals
from foxapi_async._ledger.schema import NOW

# Rows in one query: fewer than the variables that the oldest SQLite allows, and so few that submits are not delayed.
CHUNK = 500

_COLUMNS = "item.key, fingerprint, state, idempotency_key, task_id, price, text, changed, opening"
_ENTRIES = f"SELECT {_COLUMNS} FROM item LEFT JOIN record USING (id)"  # noqa: S608 - of constants

_STATES = {state.value: state for state in ItemState}


def _names(states: Iterable[ItemState]) -> str:
    return ", ".join(sorted(f"'{state.value}'" for state in states))


_SUBMITTING = f"""
    INSERT INTO item (key, fingerprint, state, origin, idempotency_key, price, changed)
    VALUES (?, ?, 'submitting', 'new', ?, ?, {NOW})
    ON CONFLICT (key) DO UPDATE SET
        state = excluded.state, origin = state, idempotency_key = excluded.idempotency_key,
        former_task_id = ifnull(task_id, former_task_id), task_id = NULL,
        sunk = sunk + ifnull(price, 0), price = excluded.price, changed = excluded.changed
    WHERE fingerprint = excluded.fingerprint AND state IN ({_names(COMES_FROM[ItemState.SUBMITTING])})
"""  # noqa: S608 - of constants
_SUBMITTED = f"""
    UPDATE item SET state = 'submitted', task_id = ?, price = ifnull(?, price), changed = {NOW}
    WHERE key = ? AND state IN ({_names(COMES_FROM[ItemState.SUBMITTED])})
        AND (task_id = ? OR state NOT IN ({_names(KEEPS_ITS_ID)}))
"""  # noqa: S608 - of constants
_RELEASED = f"""
    UPDATE item SET state = origin, price = NULL, changed = {NOW}
    WHERE key = ? AND state IN ({_names(COMES_FROM[ItemState.NEW])})
"""  # noqa: S608 - of constants
_OPENING = """
    INSERT INTO record (id, opening) SELECT id, ? FROM item WHERE key = ?
    ON CONFLICT (id) DO UPDATE SET opening = excluded.opening
"""
_RECORD = {
    state: f"""
    INSERT INTO record (id, text) SELECT id, ? FROM item
    WHERE key = ? AND state IN ({_names(COMES_FROM[state])})
    ON CONFLICT (id) DO UPDATE SET text = excluded.text, opening = NULL
"""  # noqa: S608 - of constants
    for state in (ItemState.DONE, ItemState.UNSAVED, ItemState.FAILED, ItemState.UNCERTAIN)
}
_ENDED = f"""
    UPDATE item SET state = ?, price = ifnull(?, price), changed = {NOW} WHERE key = ?
"""  # noqa: S608 - of constants


def _entry(row: tuple[Any, ...]) -> LedgerEntry:
    key, fingerprint, state, *rest = row
    return LedgerEntry(key, fingerprint, _STATES[state], *rest)


def look_up(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, LedgerEntry]:
    placeholders = ", ".join("?" * len(keys))
    rows = connection.execute(f"{_ENTRIES} WHERE item.key IN ({placeholders})", keys)
    return {row[0]: _entry(row) for row in rows}


def entries(
    connection: sqlite3.Connection, states: tuple[ItemState, ...], last: int
) -> tuple[int, list[LedgerEntry]]:
    names = [state.value for state in states or ItemState]
    placeholders = ", ".join("?" * len(names))
    query = f"SELECT id, {_ENTRIES.removeprefix('SELECT ')} WHERE id > ? AND state IN ({placeholders})"
    rows = connection.execute(f"{query} ORDER BY id LIMIT {CHUNK}", (last, *names)).fetchall()
    return rows[-1][0] if rows else last, [_entry(row[1:]) for row in rows]


def totals(connection: sqlite3.Connection) -> Totals:
    counts = dict(connection.execute("SELECT state, count(*) FROM item GROUP BY state"))
    spent = connection.execute("SELECT total(price) + total(sunk) FROM item").fetchone()[0]
    unpriced = "SELECT count(*) FROM item WHERE price IS NULL AND sunk = 0 AND state <> 'new'"
    return Totals(
        {state: counts.get(state.value, 0) for state in ItemState},
        spent,
        connection.execute(unpriced).fetchone()[0],
    )


def meta(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return row and str(row[0])


def set_meta(connection: sqlite3.Connection, name: str, value: str | Callable[[], str]) -> None:
    text = value() if callable(value) else value
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, text))


def note_lines(connection: sqlite3.Connection, lines: Callable[[], Iterable[bytes]]) -> None:
    """Note the lines of a file in a temporary table, for `is_line`."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS line (mark BLOB PRIMARY KEY) WITHOUT ROWID")
    connection.execute("DELETE FROM line")
    connection.executemany("INSERT OR IGNORE INTO line VALUES (?)", ((_digest(line),) for line in lines()))


def is_line(connection: sqlite3.Connection, lines: list[bytes]) -> list[bool]:
    """Whether each of these lines was noted."""
    query = "SELECT count(*) FROM line WHERE mark = ?"
    return [bool(connection.execute(query, (_digest(line),)).fetchone()[0]) for line in lines]


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()


@attrs.define
class Note:
    """Whether `submitting` was recorded for one item."""

    made: bool = False


def submitting(
    connection: sqlite3.Connection,
    note: Note,
    key: str,
    fingerprint: str,
    idempotency_key: str,
    price: float | None,
    opening: str | None,
) -> None:
    kept = None if opening is None else _text(opening)
    if not connection.execute(_SUBMITTING, (key, fingerprint, idempotency_key, price)).rowcount:
        raise refused_move(key, look_up(connection, (key,))[key], ItemState.SUBMITTING, fingerprint)
    if kept is not None:
        connection.execute(_OPENING, (kept, key))
    note.made = True


def undo_submitting(connection: sqlite3.Connection, note: Note, key: str) -> bool:
    """Undo `submitting`, if it was recorded with this note and its transaction did not fail. Return whether it was."""
    return note.made and bool(connection.execute(_RELEASED, (key,)).rowcount)


def submitted(connection: sqlite3.Connection, key: str, task_id: str, price: float | None) -> None:
    _move(connection, _SUBMITTED, (task_id, price, key, task_id), key, ItemState.SUBMITTED)


def released(connection: sqlite3.Connection, key: str) -> None:
    _move(connection, _RELEASED, (key,), key, ItemState.NEW)


def ended(
    connection: sqlite3.Connection, key: str, state: ItemState, record: str, price: float | None
) -> None:
    _move(connection, _RECORD[state], (_text(record), key), key, state)
    connection.execute(_ENDED, (state.value, price, key))


def _text(value: object) -> str:
    """The value, if it is a text that the file can hold. This is checked before anything is changed."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")  # noqa: TRY004 - `encode` below raises the same class
    value.encode()
    return value


def _move(
    connection: sqlite3.Connection,
    statement: str,
    values: tuple[str | float | None, ...],
    key: str,
    to: ItemState,
) -> None:
    if not connection.execute(statement, values).rowcount:
        raise refused_move(key, look_up(connection, (key,)).get(key), to)
