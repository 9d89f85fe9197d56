"""Two logs beside a ledger, so that nothing is billed again if the ledger is lost.

`submitted.jsonl` has a line for each id from the service. The line is written before the ledger's commit, so
the log is never behind the ledger. The file stays, and grows with the batch.

`submitting.jsonl` has a line for each submit before its POST. The line is written after the ledger's commit. If the
submit ends without an id, it gets a second line. Without this log, a rebuilt ledger could not distinguish an item in
the middle of its submit from an item that did not start. It is emptied when a run begins and no submit is unanswered.

Both logs are flushed to the disk only at a clean end. They protect against a lost ledger, not against a power
failure. The ledger itself is flushed at each commit, so a power failure does not damage it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs

from foxapi_async._errors import LedgerError
from foxapi_async._files.disk import append_whole, open_private
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.recovery import Proof
from foxapi_async._wire.json_values import read_price

SUBMITTED = "submitted.jsonl"
SUBMITTING = "submitting.jsonl"

_TAIL_BYTES = 4096
_STATES = {state.value: state for state in ItemState}

_HELD = "SELECT key, fingerprint, ifnull(task_id, former_task_id), idempotency_key, price FROM item"
_UNDER_WAY = "SELECT key, fingerprint, idempotency_key FROM item WHERE state = 'submitting' ORDER BY id"


@attrs.frozen
class Accepted:
    """An id from the service: a line of `submitted.jsonl`."""

    key: str
    task_id: str
    price: float | None = None


@attrs.frozen
class StateChange:
    """A submit before its POST, or one that ended without an id: a line of `submitting.jsonl`."""

    key: str
    state: ItemState
    fingerprint: str = ""
    idempotency_key: str = ""


Note = Accepted | StateChange


class SubmittedLog:
    """Both logs of one folder. Only the ledger's thread writes them.

    Args:
        folder: their folder.
    """

    def __init__(self, folder: Path) -> None:
        self.submitted = folder / SUBMITTED
        self.submitting = folder / SUBMITTING
        self._files: dict[Path, int] = {}

    @property
    def is_complete(self) -> bool:
        """Whether both files exist. Then an item that is not in them, and not in the manifest, was never sent."""
        return self.submitted.is_file() and self.submitting.is_file()

    def accepted_ids(self, start: int = 0) -> Iterator[Proof]:
        """The ids from the service, from byte `start` on."""
        for line in _objects(self.submitted, start):
            key, task_id = line.get("key"), line.get("task_id")
            if isinstance(key, str) and isinstance(task_id, str):
                yield Proof(
                    key=key,
                    state=ItemState.SUBMITTED,
                    task_id=task_id,
                    fingerprint=str(line.get("fingerprint", "")),
                    idempotency_key=str(line.get("idempotency_key", "")),
                    price=read_price(line.get("price")),
                )

    def moves(self) -> Iterator[Proof]:
        """The submits before their POST, and the ends of submits without an id."""
        for line in _objects(self.submitting):
            key, state = line.get("key"), _STATES.get(str(line.get("state")))
            if isinstance(key, str) and state is not None:
                yield Proof(
                    key=key,
                    state=state,
                    fingerprint=str(line.get("fingerprint", "")),
                    idempotency_key=str(line.get("idempotency_key", "")),
                )

    def open(self, connection: sqlite3.Connection, *, agrees: bool) -> None:
        """Begin to write.

        Args:
            connection: the ledger's connection.
            agrees: whether `submitted.jsonl` is as the ledger's last run left it, or longer. If not, every id
                of the ledger is added.

        Raises:
            LedgerError: a file cannot be written.
        """
        try:
            if not self.submitted.exists():
                # Written under another name, then renamed. So the file is complete if it exists.
                part = self.submitted.with_name(f".{SUBMITTED}.part")
                with os.fdopen(open_private(part, os.O_WRONLY | os.O_TRUNC), "w") as whole:
                    whole.writelines(_held_lines(connection))
                    whole.flush()
                    os.fsync(whole.fileno())
                part.replace(self.submitted)
                agrees = True
            for path in (self.submitted, self.submitting):
                self._files[path] = file = open_private(path, os.O_RDWR | os.O_APPEND)
                end = os.lseek(file, 0, os.SEEK_END)
                if end and os.lseek(file, end - 1, os.SEEK_SET) >= 0 and os.read(file, 1) != b"\n":
                    os.write(file, b"\n")  # a killed run wrote only a part of the last line: begin a new one
            under_way = connection.execute(_UNDER_WAY).fetchall()
            if not under_way:
                os.ftruncate(self._files[self.submitting], 0)
            lines = (
                _line_of_change(StateChange(key, ItemState.SUBMITTING, *rest)) for key, *rest in under_way
            )
            problem = self._write(self.submitting, lines)
            if not agrees:
                problem = problem or self._write(self.submitted, _held_lines(connection))
        except OSError as error:
            problem = error
        if problem is not None:
            raise LedgerError(
                f"cannot write {problem.filename or self.submitted}: {problem.strerror or problem}"
            )

    def before_commit(self, connection: sqlite3.Connection, notes: Iterable[Note]) -> OSError | None:
        """Write the ids, in one write, with the ledger's facts about their items.

        Returns:
            The error if the file cannot be written. Then it has none of these lines.
        """
        lines: list[str] = []
        for note in notes:
            if isinstance(note, Accepted):
                row = connection.execute(f"{_HELD} WHERE key = ?", (note.key,)).fetchone()
                if row is not None and row[2] != note.task_id:
                    key, fingerprint, _, idempotency_key, price = row
                    price = price if note.price is None else note.price
                    lines.append(_line(key, fingerprint, note.task_id, idempotency_key, price))
        return self._write(self.submitted, lines)

    def after_commit(self, notes: Iterable[Note]) -> OSError | None:
        """Write the submits that may be sent now, and the ends of submits without an id, in one write.

        Returns:
            The error if the file cannot be written. Then it has none of these lines.
        """
        return self._write(
            self.submitting, (_line_of_change(note) for note in notes if isinstance(note, StateChange))
        )

    def _write(self, path: Path, lines: Iterable[str]) -> OSError | None:
        if text := "".join(lines).encode():
            try:
                append_whole(self._files[path], text)
            except OSError as error:
                return OSError(error.errno, error.strerror, str(path))
        return None

    def close(self) -> None:
        """Flush and close both files."""
        while self._files:
            _, file = self._files.popitem()
            with contextlib.suppress(OSError):
                os.fsync(file)
            os.close(file)


def _objects(path: Path, start: int = 0) -> Iterator[dict[str, Any]]:
    """The objects in a file of JSON lines. A line that is not an object is skipped, for example an incomplete line."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(line)
                if isinstance(value, dict):
                    yield value


def _held_lines(connection: sqlite3.Connection) -> Iterator[str]:
    for row in connection.execute(f"{_HELD} WHERE ifnull(task_id, former_task_id) IS NOT NULL ORDER BY id"):
        yield _line(*row)


def _line(key: str, fingerprint: str, task_id: str, idempotency_key: str, price: float | None) -> str:
    facts = {"key": key, "fingerprint": fingerprint, "task_id": task_id, "idempotency_key": idempotency_key}
    return f"{json.dumps(facts | {'price': price})}\n"


def _line_of_change(move: StateChange) -> str:
    facts = {"key": move.key, "state": move.state.value}
    if move.state is ItemState.SUBMITTING:
        facts |= {"fingerprint": move.fingerprint, "idempotency_key": move.idempotency_key}
    return f"{json.dumps(facts)}\n"


# Up to which place an earlier run has read a file.


def mark_of(path: Path, size: int | None = None) -> str:
    """The size of a file, and a checksum of its last bytes. With them, the file is recognised after it has grown."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END) if size is None else size
            file.seek(max(0, end - _TAIL_BYTES))
            tail = file.read(end - file.tell())
    except FileNotFoundError:
        return ""
    return f"{end} {hashlib.sha256(tail).hexdigest()}"


def known_part(path: Path, mark: str) -> int | None:
    """The size of the file when it was marked; None if it does not begin with those bytes."""
    size = int(mark.partition(" ")[0] or 0)
    return size if mark and mark_of(path, size) == mark else None
