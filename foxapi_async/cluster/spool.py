"""Keeps the ids of billed tasks in a file while the database cannot be written."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from foxapi_async._errors import LedgerError
from foxapi_async._files.disk import append_whole, open_private
from foxapi_async._wire.json_values import read_price


@attrs.frozen
class SpooledId:
    """The id of a billed task.

    Attributes:
        batch: the batch of its item.
        key: the item.
        task_id: the task.
        price: credits; None if unknown.
    """

    batch: str
    key: str
    task_id: str
    price: float | None = None


def spool_path(folder: Path, worker: int) -> Path:
    """A new path for the file of a worker. It has a random part, because a worker of another database may have the same
    number and folder.
    """
    return folder / f"unwritten-{worker}-{secrets.token_hex(4)}.jsonl"


@attrs.define
class Spool:
    """A file of ids, one JSON object on each line. Only the user who runs the worker may read the file. It is made when the first id is kept.

    Args:
        path: the path of the file.
    """

    path: Path
    _file: int | None = attrs.field(default=None, init=False)

    def keep(self, ids: list[SpooledId]) -> None:
        """Write these ids to the file and to stderr. They are on the disk when this returns.

        If the file cannot be written, stderr has the error and the ids.
        """
        lines = "".join(f"{json.dumps(attrs.asdict(spooled))}\n" for spooled in ids)
        problem = ""
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open_private(self.path, os.O_WRONLY | os.O_APPEND)
            append_whole(self._file, lines.encode())
            os.fsync(self._file)
        except OSError as error:
            problem = error.strerror or str(error)
        kept = f"{self.path} cannot be written either: {problem}. Save" if problem else f"{self.path} keeps"
        sys.stderr.write(f"The database cannot be written. {kept} these ids of billed tasks:\n{lines}")
        sys.stderr.flush()

    def remove(self) -> None:
        """Remove the file, because the database has all its ids."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, and do not remove it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def read_spool(path: Path) -> Iterator[SpooledId]:
    """The ids in a file that `Spool` has written. A last line that was cut is left out.

    Raises:
        LedgerError: the file cannot be read, or a line is not an id.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        problem = f"cannot read {path}: {error.strerror or error}"
    else:
        for number, line in enumerate(lines[:-1], 1):
            yield _id_of(line, f"{path}, line {number}")
        return
    raise LedgerError(problem)


def _id_of(line: bytes, place: str) -> SpooledId:
    try:
        fields: Any = json.loads(line)
        spooled = SpooledId(
            fields["batch"], fields["key"], fields["task_id"], read_price(fields.get("price"))
        )
    except (ValueError, KeyError, TypeError):
        spooled = None
    if spooled is None or not all(
        isinstance(text, str) for text in (spooled.batch, spooled.key, spooled.task_id)
    ):
        raise LedgerError(f"{place}: this is not the id of a task: give a file that a worker has written")
    return spooled
