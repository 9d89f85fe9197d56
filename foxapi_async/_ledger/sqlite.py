"""The ledger of a batch: each submit, with its id, its price and its result.

With it, a batch can be killed at any moment. A submit is stored durably in the ledger before the POST is sent. Its task
id enters the writer's queue before anything else can happen. When the batch is run again, it reads the ledger.

It is one SQLite file (WAL, synchronous=FULL), with one thread that writes, and one lock against a second run.
`SqliteLedger.peek` can read it at any time.
"""

from __future__ import annotations

import contextlib
import os
from asyncio import CancelledError, Future
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from pathlib import Path

import attrs

from foxapi_async._errors import LedgerError
from foxapi_async._ledger import statements as rows
from foxapi_async._ledger.entry import ItemState, LedgerEntry
from foxapi_async._ledger.group_commit import Writer
from foxapi_async._ledger.protocol import Totals
from foxapi_async._ledger.recovery import Comparison, Proofs, compare, rebuild
from foxapi_async._ledger.schema import open_to_read, open_to_write
from foxapi_async._ledger.submitted_log import Accepted, StateChange, SubmittedLog
from foxapi_async._wire.json_values import read_price


@attrs.define(eq=False, slots=False)
class SqliteLedgerView:
    """A ledger that is only read; see `protocol.LedgerView`. `SqliteLedger.peek` opens it."""

    _writer: Writer

    async def look_up(self, keys: Iterable[str]) -> dict[str, LedgerEntry]:
        """The entries of these keys; see `LedgerView`."""
        found: dict[str, LedgerEntry] = {}
        keys = list(keys)
        for start in range(0, len(keys), rows.CHUNK):
            chunk = keys[start : start + rows.CHUNK]
            found |= await self._writer.put(partial(rows.look_up, keys=chunk), reads=True)
        return found

    async def entries(self, *states: ItemState) -> AsyncGenerator[LedgerEntry, None]:
        """The entries in one of these states, or all; see `LedgerView`."""
        last, chunk = await self._writer.put(partial(rows.entries, states=states, last=0), reads=True)
        while chunk:
            for entry in chunk:
                yield entry
            last, chunk = await self._writer.put(partial(rows.entries, states=states, last=last), reads=True)

    async def totals(self) -> Totals:
        """The totals of the ledger; see `LedgerView`."""
        return await self._writer.put(rows.totals, reads=True)

    async def meta(self, name: str) -> str | None:
        """The text that `set_meta` kept. Every ledger has the text `created`: when it was made, in Unix seconds."""
        return await self._writer.put(partial(rows.meta, name=name), reads=True)


@attrs.define(eq=False, slots=False)
class SqliteLedger(SqliteLedgerView):
    """The ledger of a running batch; see `protocol.Ledger`. `SqliteLedger.opened` opens it.

    Each change returns a future, which is done when the change is on the disk. If the file cannot be written,
    closing the ledger raises the error too.

    Attributes:
        ends: for how many items this run has recorded an end, or has queued it.
    """

    ends: int = attrs.field(default=0, init=False)

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(
        cls,
        path: str | os.PathLike[str],
        *,
        room: int = 0,
        before_making: Callable[[], None] | None = None,
    ) -> AsyncGenerator[SqliteLedger]:
        """The ledger at `path`, for this run only; made if missing.

        Args:
            path: the file of the ledger.
            room: the largest number of items in flight. If the disk becomes full, there is still space for their ids.
            before_making: called in a thread if there is no ledger yet; it may refuse with a LedgerError.

        Raises:
            LedgerError: another run uses the file, or it is of a newer version, damaged, not a ledger, or cannot be
                written; or the disk is full.
        """
        writer = Writer(Path(path))
        try:
            await writer.open(partial(open_to_write, room=room, before_making=before_making))
            yield cls(writer)
        finally:
            await writer.close()
        if (fault := writer.broken or writer.full) is not None:
            raise LedgerError(str(fault))

    @staticmethod
    @contextlib.asynccontextmanager
    async def peek(path: str | os.PathLike[str]) -> AsyncGenerator[SqliteLedgerView]:
        """The ledger at `path`, only for reading. It can be read during a run.

        Raises:
            LedgerError: there is no ledger, or it is of a newer version, or cannot be read.
        """
        writer = Writer(Path(path), begin="BEGIN")
        try:
            await writer.open(open_to_read)
            yield SqliteLedgerView(writer)
        finally:
            await writer.close()

    async def written(self) -> LedgerError | None:
        """Wait until every id is written; see `Ledger`."""
        await self._writer.written.wait()
        return self._writer.broken or self._writer.full

    async def compare(self, *files: Proofs) -> Comparison:
        """The facts about the batch's items that these files have and the ledger lacks.

        Raises:
            LedgerError: the ledger, or one of the files, cannot be read.
        """
        return await self._writer.put(partial(compare, files=files))

    async def rebuild(self, accepted: Proofs, ended: Proofs, begun: Proofs, **meta: str) -> None:
        """Add the facts that the files prove, and the texts in `meta`, in one transaction.

        Args:
            accepted: the ids from the service.
            ended: the manifest.
            begun: the submits before their POST.
            **meta: texts, kept as by `set_meta`.

        Raises:
            LedgerError: the ledger cannot be written, or one of the files cannot be read.
        """
        await self._writer.put(
            partial(rebuild, accepted=accepted, ended=ended, begun=begun, meta=tuple(meta.items()))
        )

    async def keep_log(self, log: SubmittedLog, *, agrees: bool) -> None:
        """From now on, write each id to this log before the id is committed.

        Args:
            log: the log. It is closed with the ledger.
            agrees: whether the log has all ids of the ledger. If not, they are added.

        Raises:
            LedgerError: the log cannot be written.
        """
        self._writer.log = log
        await self._writer.put(partial(log.open, agrees=agrees))

    async def without_line(
        self, lines: Callable[[], Iterable[bytes]], *states: ItemState
    ) -> AsyncGenerator[LedgerEntry, None]:
        """The entries in one of these states whose record is not one of these lines. `lines` is called in a
        thread.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        await self._writer.put(partial(rows.note_lines, lines=lines))
        last, chunk = await self._writer.put(partial(rows.entries, states=states, last=0))
        while chunk:
            records = [(entry.record or "").encode() for entry in chunk]
            known = await self._writer.put(partial(rows.is_line, lines=records))
            for entry, is_line in zip(chunk, known, strict=True):
                if not is_line:
                    yield entry
            last, chunk = await self._writer.put(partial(rows.entries, states=states, last=last))

    async def submitting(
        self,
        key: str,
        fingerprint: str,
        idempotency_key: str,
        price: float | None = None,
        opening: str | None = None,
    ) -> None:
        """Record that this item is about to be submitted; see `Ledger`."""
        note = rows.Note()
        work = partial(
            rows.submitting,
            note=note,
            key=key,
            fingerprint=fingerprint,
            idempotency_key=idempotency_key,
            price=read_price(price),
            opening=opening,
        )
        try:
            await self._writer.put(work, StateChange(key, ItemState.SUBMITTING, fingerprint, idempotency_key))
        except (CancelledError, LedgerError) as error:
            if (
                isinstance(error, CancelledError) or note.made
            ):  # else the ledger refused it, and nothing was changed
                self._writer.put(
                    partial(rows.undo_submitting, note=note, key=key), StateChange(key, ItemState.NEW)
                )
            raise

    def submitted(self, key: str, task_id: str, price: float | None = None) -> Future[None]:
        """Record the id from the service; see `Ledger`."""
        credit = read_price(price)
        work = partial(rows.submitted, key=key, task_id=task_id, price=credit)
        return self._writer.put(work, Accepted(key, task_id, credit))

    def released(self, key: str) -> Future[None]:
        """Record that the submit was refused; see `Ledger`."""
        return self._writer.put(partial(rows.released, key=key), StateChange(key, ItemState.NEW))

    def ended(self, key: str, state: ItemState, record: str, price: float | None = None) -> Future[None]:
        """Record how the item ended; see `Ledger`."""
        self.ends += 1
        work = partial(rows.ended, key=key, state=state, record=record, price=read_price(price))
        # The log already has the id of an item that was made.
        is_made = state in {ItemState.DONE, ItemState.UNSAVED}
        return self._writer.put(work, None if is_made else StateChange(key, state))

    def set_meta(self, name: str, value: str | Callable[[], str]) -> Future[None]:
        """Keep a text under a name; see `Ledger`. A function makes its text in the ledger's thread."""
        return self._writer.put(partial(rows.set_meta, name=name, value=value))
