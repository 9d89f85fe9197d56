"""The manifest of a batch: a line of JSON for each item when it ends, for people and programs.

A line is written after the ledger has the same record. The next run adds lines that a killed run could not
write. No line is ever removed. An item that is sent again has a line for each end, and the last one counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import attrs

from foxapi_async._batch.input.lines import LineReader
from foxapi_async._batch.input.text import TextLine
from foxapi_async._batch.keys import fingerprint, fingerprint_of
from foxapi_async._errors import LedgerError
from foxapi_async._files.disk import append_whole, open_private
from foxapi_async._files.names import COUNTED_KEY
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.recovery import Proof
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async._threads import in_thread
from foxapi_async._wire.json_values import JsonValue, read_mapping, read_price
from foxapi_async._wire.replies import credits_of

P = ParamSpec("P")
T = TypeVar("T")

_AT_ONCE = 1000
_BLOCK_BYTES = 65536

ENDED = (ItemState.DONE, ItemState.UNSAVED, ItemState.FAILED, ItemState.UNCERTAIN)


@attrs.define(eq=False)
class Manifest:
    """The open manifest. `opened` opens it.

    Attributes:
        appended: how many lines this run has added for its own items.
    """

    _path: Path
    _descriptor: int
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    appended: int = attrs.field(default=0, init=False)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, path: Path, ledger: SqliteLedger, *, is_whole: bool = False
    ) -> AsyncGenerator[Manifest]:
        """The open manifest at `path`. If the last lines of items that ended are missing, they are added first.

        Args:
            path: the file.
            ledger: the ledger of the batch. It has these lines.
            is_whole: whether the file is known to have all these lines already.

        Raises:
            LedgerError: the file cannot be read or written.
        """
        descriptor = await _guarded(path, _open_to_append, path)
        try:
            manifest = cls(path, descriptor)
            if not is_whole:
                await manifest._add_missing(ledger)
            yield manifest
        finally:
            await in_thread(os.close, descriptor)

    async def append(self, *records: str) -> None:
        """Add a line for each record, in one write.

        Raises:
            LedgerError: the file cannot be written.
        """
        lines = "".join(f"{record}\n" for record in records).encode()
        async with self._turn:
            await _guarded(self._path, append_whole, self._descriptor, lines)
        self.appended += len(records)

    async def _add_missing(self, ledger: SqliteLedger) -> None:
        records: list[str] = []
        async with contextlib.aclosing(
            ledger.without_line(functools.partial(whole_lines, self._path), *ENDED)
        ) as entries:
            async for entry in entries:
                records.append(entry.record or "{}")
                if len(records) == _AT_ONCE:
                    await self.append(*records)
                    records.clear()
        await self.append(*records)
        self.appended = 0


def whole_lines(path: Path, start: int = 0) -> Iterator[bytes]:
    """The lines of a file from byte `start` on, without the line ends. If a killed run wrote only a part of the last
    line, this line is left out.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def proven_ends(lines: Iterable[bytes]) -> Iterator[Proof]:
    """The proofs in lines of a manifest. A line that proves nothing is skipped."""
    for text in lines:
        with contextlib.suppress(ValueError, RecursionError):
            line: JsonValue = json.loads(text)
            if isinstance(line, dict) and (proof := _proof(line, text.decode())) is not None:
                yield proof


def _proof(line: Mapping[str, JsonValue], record: str) -> Proof | None:
    key, task_id, price, error = (line.get(name) for name in ("id", "task_id", "credits", "error"))
    state = next((state for state in ENDED if state.value == line.get("status")), None)
    if not isinstance(key, str) or state is None:
        return None
    if isinstance(error, dict) and error.get("charged") == "no":
        price = 0.0
    elif price is None:  # a line of an older version
        price = credits_of(read_mapping(line.get("usage")))
    return Proof(
        key=key,
        state=state,
        task_id=task_id if isinstance(task_id, str) else None,
        fingerprint=_fingerprint(key, line.get("request")),
        price=read_price(price),
        record=record,
    )


def _fingerprint(key: str, request: Any) -> str:
    """The fingerprint of the request in a line. In the line, the path of a local file is a text."""
    if counted := COUNTED_KEY.fullmatch(key):
        return counted[1]
    (row,) = LineReader(form="jsonl").read([TextLine(1, json.dumps(request))])
    return fingerprint_of(request) if row.request is None else fingerprint(row.request)


def _open_to_append(path: Path) -> int:
    """The open file. If a killed run wrote only a part of the last line, this part is removed."""
    descriptor = open_private(path, os.O_RDWR | os.O_APPEND)
    with open(descriptor, "rb", closefd=False) as file:
        size = start = file.seek(0, os.SEEK_END)
        last = -1  # the place of the last line end
        while start and last < 0:
            end, start = start, max(0, start - _BLOCK_BYTES)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            last = found if found < 0 else start + found
    if last + 1 < size:
        os.ftruncate(descriptor, last + 1)
    return descriptor


async def _guarded(path: Path, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return await in_thread(func, *args, **kwargs)
    except OSError as error:
        problem = f"cannot write {path}: {error.strerror or error}"
    raise LedgerError(problem)
