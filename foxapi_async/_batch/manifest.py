"""The manifest of a batch: a line of JSON for each item as it ends, for people and programs to read.

It follows the ledger and is made anew from it where a run was killed between the two.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from foxapi_async._errors import LedgerError
from foxapi_async._files.disk import in_thread
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.sqlite import Ledger

P = ParamSpec("P")
T = TypeVar("T")

_AT_ONCE = 1000

ENDED = (ItemState.DONE, ItemState.FAILED, ItemState.UNCERTAIN)


class Manifest:
    """The open file; `opened` makes one."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path, ledger: Ledger) -> AsyncIterator[Manifest]:
        """The manifest at `path`, which says what the ledger says.

        Raises:
            LedgerError: it cannot be written.
        """
        counts = await ledger.counts()
        if await _guarded(path, _count_lines, path) != sum(counts[state] for state in ENDED):
            await _rewrite(path, ledger)
        descriptor = await _guarded(path, os.open, path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            yield cls(path, descriptor)
        finally:
            await in_thread(os.close, descriptor)

    async def append(self, *records: str) -> None:
        """Add a line for each record, in one write.

        Raises:
            LedgerError: it cannot be written.
        """
        await _guarded(self._path, self._write, "".join(f"{record}\n" for record in records).encode())

    def _write(self, lines: bytes) -> None:
        while lines:
            lines = lines[os.write(self._descriptor, lines) :]


def _count_lines(path: Path) -> int:
    """How many whole lines there are; -1 where the last one is not whole."""
    count, last = 0, b"\n"
    if not path.exists():
        return 0
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            count += block.count(b"\n")
            last = block[-1:]
    return count if last == b"\n" else -1


async def _rewrite(path: Path, ledger: Ledger) -> None:
    part = path.with_name(f".{path.name}.part")
    descriptor = await _guarded(path, os.open, part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        fresh, records = Manifest(part, descriptor), list[str]()
        async for entry in ledger.entries(*ENDED):
            records.append(entry.record or "{}")
            if len(records) == _AT_ONCE:
                await fresh.append(*records)
                records.clear()
        await fresh.append(*records)
    finally:
        await in_thread(os.close, descriptor)
    await _guarded(path, part.replace, path)


async def _guarded(path: Path, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return await in_thread(func, *args, **kwargs)
    except OSError as error:
        problem = f"cannot write {path}: {error.strerror or error}"
    raise LedgerError(problem)
