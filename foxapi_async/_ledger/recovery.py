"""Compares the ledger with the files beside it, and rebuilds the ledger from them.

`compare` and `rebuild` run in the ledger's thread, each within one transaction. They read the files line by line, so
memory does not grow with the batch.
"""

from __future__ import annotations

import enum
import itertools
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import attrs

from foxapi_async._ledger.entry import PAID_TASK, ItemState
from foxapi_async._ledger.schema import NOW

T = TypeVar("T")

_CHUNK = 500
SHOWN_KEYS = 3

_MADE = frozenset({ItemState.DONE, ItemState.UNSAVED})


@attrs.frozen(kw_only=True)
class Proof:
    """The facts that one line of a file proves about an item.

    Attributes:
        key: the item's name.
        state: SUBMITTED for an accepted id, SUBMITTING for a submit before its POST; otherwise how a submit
            or the item ended.
        task_id: the id from the service; None if the line has none.
        fingerprint: the hash of its request.
        idempotency_key: the key of its submit; empty if the line has none.
        price: credits of the submit; None if the line has none.
        record: the line of the manifest; None for another file.
    """

    key: str
    state: ItemState
    task_id: str | None = None
    fingerprint: str = ""
    idempotency_key: str = ""
    price: float | None = None
    record: str | None = None


Proofs = Callable[[], Iterable[Proof]]
"""Opens a file of proofs; called in the ledger's thread."""


@attrs.frozen
class Comparison:
    """The facts that the files have and the ledger lacks.

    Attributes:
        lost: how many items the ledger has lost.
        keys: the keys of the first lost items.
        late: ids that a killed run has logged, but not committed to its ledger.
    """

    lost: int
    keys: tuple[str, ...]
    late: tuple[Proof, ...]


@attrs.frozen
class _Known:
    """The ledger's facts about an item. `held` is the last id that it ever had."""

    state: ItemState
    idempotency_key: str
    held: str | None


class _Finding(enum.Enum):
    HELD = enum.auto()
    LATE = enum.auto()
    LOST = enum.auto()
    NOTHING = enum.auto()


def compare(connection: sqlite3.Connection, files: tuple[Proofs, ...]) -> Comparison:
    """Compare the ledger with the files. If an item has several lines in one file, the last one counts."""
    lost: dict[str, None] = {}
    late: dict[str, Proof] = {}
    for proofs in files:
        missed: dict[str, None] = {}
        for chunk in _chunks(proofs()):
            known = _known(connection, [proof.key for proof in chunk])
            for proof in chunk:
                verdict = _judge(proof, known.get(proof.key))
                if verdict is _Finding.LOST:
                    missed[proof.key] = None
                if verdict in {_Finding.HELD, _Finding.LATE}:
                    missed.pop(proof.key, None)
                    late.pop(proof.key, None)
                if verdict is _Finding.LATE:
                    late[proof.key] = proof
        lost |= missed
    return Comparison(len(lost), tuple(itertools.islice(lost, SHOWN_KEYS)), tuple(late.values()))


def _judge(proof: Proof, known: _Known | None) -> _Finding:
    if known is None:
        return _Finding.LOST
    if proof.state is ItemState.SUBMITTED:
        return _judge_accepted(proof, known)
    if (
        proof.record is None
    ):  # a line of `submitting.jsonl`: the ledger's state of the item is as new or newer
        return _Finding.NOTHING
    if proof.task_id is not None and proof.task_id == known.held:
        return _Finding.HELD
    # The ledger is written before the manifest. If the manifest says that an item was made, the ledger has its id.
    # If the manifest says that an item ended, it is not NEW in the ledger.
    impossible = proof.state in _MADE or known.state is ItemState.NEW
    return _Finding.LOST if impossible else _Finding.NOTHING


def _judge_accepted(proof: Proof, known: _Known) -> _Finding:
    if proof.task_id == known.held:
        return _Finding.HELD
    open_states = {ItemState.SUBMITTING, ItemState.UNCERTAIN}
    same_submit = known.state in open_states and proof.idempotency_key == known.idempotency_key
    return _Finding.LATE if same_submit else _Finding.LOST


def _known(connection: sqlite3.Connection, keys: list[str]) -> dict[str, _Known]:
    query = f"""
        SELECT key, state, idempotency_key, ifnull(task_id, former_task_id) FROM item
        WHERE key IN ({", ".join("?" * len(keys))})
    """  # noqa: S608 - of question marks
    rows = connection.execute(query, keys)
    return {
        key: _Known(ItemState(state), idempotency_key, held) for key, state, idempotency_key, held in rows
    }


# A rebuilt ledger.

_TABLE = """
    CREATE TEMP TABLE proof (
        key TEXT PRIMARY KEY, fingerprint TEXT, idempotency_key TEXT, price REAL, sunk REAL DEFAULT 0,
        is_current INTEGER DEFAULT 0, logged TEXT, in_manifest INTEGER DEFAULT 1,
        state TEXT, task_id TEXT, former_task_id TEXT, record TEXT, begun_key TEXT
    ) WITHOUT ROWID
"""
# `is_current`: the file has the ledger's id, so its last line is as new as the ledger or newer.
_IS_CURRENT = "(SELECT count(*) FROM item WHERE key = ? AND ifnull(task_id, former_task_id) = ?)"
_ACCEPTED = f"""
    INSERT INTO proof (key, fingerprint, idempotency_key, price, logged, in_manifest, is_current) VALUES (?, ?, ?, ?, ?, 0, {_IS_CURRENT})
    ON CONFLICT (key) DO UPDATE SET
        sunk = sunk + iif(logged = excluded.logged, 0, ifnull(price, 0)), former_task_id = logged,
        fingerprint = excluded.fingerprint, idempotency_key = excluded.idempotency_key,
        price = excluded.price, logged = excluded.logged, is_current = max(is_current, excluded.is_current)
"""  # noqa: S608 - of constants
# `in_manifest`: the manifest has the last id that was logged, so its last line is newer than that.
_ENDED = f"""
    INSERT INTO proof (key, fingerprint, idempotency_key, price, task_id, state, record, is_current)
    VALUES (?, ?, ?, ?, ?, ?, ?, {_IS_CURRENT})
    ON CONFLICT (key) DO UPDATE SET
        in_manifest = max(in_manifest, ifnull(logged = excluded.task_id, 0)), is_current = max(is_current, excluded.is_current),
        former_task_id = coalesce(task_id, former_task_id), task_id = excluded.task_id,
        state = excluded.state, record = excluded.record, price = ifnull(excluded.price, price)
"""  # noqa: S608 - of constants
_BEGUN = """
    INSERT INTO proof (key, fingerprint, idempotency_key, begun_key) VALUES (?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET begun_key = excluded.begun_key
"""
_PROVEN = f"""
    SELECT proof.*, item.state, item.idempotency_key, ifnull(item.task_id, item.former_task_id)
    FROM proof LEFT JOIN item USING (key) WHERE key > ? ORDER BY key LIMIT {_CHUNK}
"""  # noqa: S608 - of constants
_RESTORE = f"""
    INSERT INTO item (key, fingerprint, state, origin, idempotency_key, task_id, former_task_id, price, sunk, changed)
    VALUES (?, ?, ?, 'new', ?, ?, ?, ?, ?, {NOW})
    ON CONFLICT (key) DO UPDATE SET
        state = excluded.state, origin = excluded.origin, idempotency_key = excluded.idempotency_key,
        task_id = excluded.task_id, former_task_id = excluded.former_task_id,
        price = ifnull(excluded.price, price), sunk = max(sunk, excluded.sunk), changed = excluded.changed
"""  # noqa: S608 - of constants
_RECORD = """
    INSERT INTO record (id, text) SELECT id, ? FROM item WHERE key = ?
    ON CONFLICT (id) DO UPDATE SET text = excluded.text, opening = iif(?, NULL, opening)
"""


@attrs.frozen
class _Proven:
    """What all files together prove about one item: a row of the table."""

    key: str
    fingerprint: str
    idempotency_key: str
    price: float | None
    sunk: float
    is_current: bool
    logged: str | None
    in_manifest: bool
    state: ItemState | None
    task_id: str | None
    former_task_id: str | None
    record: str | None
    begun_key: str | None

    def concluded(self) -> _Proven | None:
        """The item as the ledger must record it; None if the files prove nothing."""
        if self.begun_key is not None and not (self.logged and self.begun_key == self.idempotency_key):
            former = self.logged or self.task_id or self.former_task_id
            return attrs.evolve(
                self,
                state=ItemState.SUBMITTING,
                idempotency_key=self.begun_key,
                task_id=None,
                former_task_id=former,
            )
        if self.logged is not None and not self.in_manifest:
            return attrs.evolve(self, state=ItemState.SUBMITTED, task_id=self.logged)
        if self.state is None:
            return None
        former = self.former_task_id if self.logged in {None, self.task_id} else self.logged
        return attrs.evolve(self, former_task_id=former)


def rebuild(
    connection: sqlite3.Connection,
    accepted: Proofs,
    ended: Proofs,
    begun: Proofs,
    meta: tuple[tuple[str, str], ...],
) -> None:
    """Write the facts that the files prove into the ledger. Newer facts of the ledger stay.

    Args:
        connection: the ledger's connection.
        accepted: the ids from the service.
        ended: the manifest.
        begun: the submits before their POST. The item of a submit without an id is SUBMITTING, because it may have been
            billed.
        meta: names and texts to keep in the ledger.
    """
    connection.execute(_TABLE)
    for proof in accepted():
        key, task_id = proof.key, proof.task_id
        values = (key, proof.fingerprint, proof.idempotency_key, proof.price, task_id, key, task_id)
        connection.execute(_ACCEPTED, values)
    for proof in ended():
        key, task_id = proof.key, proof.task_id
        unused = secrets.token_hex(16)
        line = (
            key,
            proof.fingerprint,
            unused,
            proof.price,
            task_id,
            proof.state.value,
            proof.record,
            key,
            task_id,
        )
        connection.execute(_ENDED, line)
    for proof in begun():
        begun_key = proof.idempotency_key if proof.state is ItemState.SUBMITTING else None
        connection.execute(_BEGUN, (proof.key, proof.fingerprint, proof.idempotency_key, begun_key))
    last = ""
    while rows := connection.execute(_PROVEN, (last,)).fetchall():
        last = rows[-1][0]
        for row in rows:
            _restore(connection, row)
    connection.execute("DROP TABLE proof")
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta)


def _restore(connection: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    *columns, known_state, known_key, held = row
    columns[8] = columns[8] and ItemState(columns[8])
    proven = _Proven(*columns).concluded()
    known = None if known_state is None else _Known(ItemState(known_state), known_key, held)
    if proven is None or proven.state is None or not (known is None or _is_newer(proven, known)):
        return
    values = (
        proven.fingerprint,
        proven.state.value,
        proven.idempotency_key,
        proven.task_id,
        proven.former_task_id,
        proven.price,
        proven.sunk,
    )
    connection.execute(_RESTORE, (proven.key, *values))
    if proven.record is not None:
        is_over = proven.state not in {ItemState.SUBMITTING, ItemState.SUBMITTED}
        connection.execute(_RECORD, (proven.record, proven.key, is_over))


def _is_newer(proven: _Proven, known: _Known) -> bool:
    """Whether the files have newer facts about an item than the ledger. If this is not certain, the ledger's
    state stays, unless it would allow another submit.
    """
    has_id = proven.task_id is not None
    if known.state is ItemState.DONE:
        return False
    if has_id and proven.task_id == known.held:
        return known.state in PAID_TASK and proven.state in {*_MADE, ItemState.FAILED}
    if known.held is not None and not proven.is_current:
        return proven.state in _MADE  # otherwise the ledger's id came after the last line
    if proven.state is ItemState.SUBMITTING:
        return proven.idempotency_key != known.idempotency_key
    if known.state in {ItemState.SUBMITTING, ItemState.UNCERTAIN}:
        return proven.state in {ItemState.SUBMITTED, *_MADE}
    return known.state is ItemState.NEW or has_id


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(values)
    return iter(lambda: list(itertools.islice(iterator, _CHUNK)), [])
