"""The ledger of a batch: what was submitted, with which id, at which price, and how it ended.

It is what makes a batch safe to kill at any moment. A submit is in it, durably, before the POST leaves; its task id
enters the writer's queue before anything else can happen. Running the same batch again looks everything up here.

One SQLite file (WAL, synchronous=FULL), one thread that writes, one lock against a second run. Reading alone, by
`Ledger.peek`, is possible at any time.
"""

from __future__ import annotations

import contextlib
import os
from asyncio import CancelledError, Future
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from functools import partial
from pathlib import Path

import attrs

from foxapi_async._errors import LedgerError
from foxapi_async._ledger import statements as rows
from foxapi_async._ledger.entry import ItemState, LedgerEntry
from foxapi_async._ledger.group_commit import Writer
from foxapi_async._ledger.proofs import Comparison, Proofs, compare, rebuild
from foxapi_async._ledger.schema import open_to_read, open_to_write
from foxapi_async._ledger.submitted_log import Accepted, Moved, SubmittedLog
from foxapi_async._wire.json_values import read_price


@attrs.define(eq=False, slots=False)
class LedgerView:
    """A ledger that is only looked at. `Ledger.peek` opens one."""

    _writer: Writer

    async def look_up(self, keys: Iterable[str]) -> dict[str, LedgerEntry]:
        """What is known of these keys; keys that are not known are missing.

        Raises:
            LedgerError: it cannot be read.
        """
        found: dict[str, LedgerEntry] = {}
        keys = list(keys)
        for start in range(0, len(keys), rows.CHUNK):
            chunk = keys[start : start + rows.CHUNK]
            found |= await self._writer.put(partial(rows.look_up, keys=chunk))
        return found

    async def entries(self, *states: ItemState) -> AsyncGenerator[LedgerEntry, None]:
        """The entries in one of these states, or all, in the order in which they were first submitted.

        An entry that changes meanwhile is given once, as it was or as it is.

        Raises:
            LedgerError: it cannot be read.
        """
        last, chunk = await self._writer.put(partial(rows.entries, states=states, last=0))
        while chunk:
            for entry in chunk:
                yield entry
            last, chunk = await self._writer.put(partial(rows.entries, states=states, last=last))

    async def totals(self) -> rows.Totals:
        """How many items are in each state, and the credits that may be billed.

        Raises:
            LedgerError: it cannot be read.
        """
        return await self._writer.put(rows.totals)

    async def meta(self, name: str) -> str | None:
        """What `set_meta` kept; `created` is there from the beginning, in unix seconds.

        Raises:
            LedgerError: it cannot be read.
        """
        return await self._writer.put(partial(rows.meta, name=name))


@attrs.define(eq=False, slots=False)
class Ledger(LedgerView):
    """The ledger of the batch that runs. `Ledger.opened` opens one.

    Each change answers with a future, which is done once the change is on the disk. The change is in the writer's
    queue before the call returns, and is made also if nobody waits. A change that may not follow on the item's state
    fails alone, with a LedgerError. If the file cannot be written, so does everything from then on, and leaving the
    ledger says so.

    Attributes:
        ends: how many ends of items this run has noted, or is about to.
    """

    ends: int = attrs.field(default=0, init=False)

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(
        cls, path: str | os.PathLike[str], *, before_making: Callable[[], None] | None = None
    ) -> AsyncIterator[Ledger]:
        """The ledger at `path`, for this run alone; made where there is none.

        Args:
            path: of the ledger.
            before_making: called in a thread if there is no ledger yet; it may refuse with a LedgerError.

        Raises:
            LedgerError: another run has it, it is of a newer version, damaged, no ledger, or cannot be written.
        """
        writer = Writer(Path(path))
        try:
            await writer.open(partial(open_to_write, before_making=before_making))
            yield cls(writer)
        finally:
            await writer.close()
        if writer.broken is not None:
            raise LedgerError(str(writer.broken))

    @staticmethod
    @contextlib.asynccontextmanager
    async def peek(path: str | os.PathLike[str]) -> AsyncIterator[LedgerView]:
        """The ledger at `path`, only to be looked at, also while a run is on.

        Raises:
            LedgerError: there is none, it is of a newer version, or cannot be read.
        """
        writer = Writer(Path(path), begin="BEGIN")
        try:
            await writer.open(open_to_read)
            yield LedgerView(writer)
        finally:
            await writer.close()

    async def compare(self, *files: Proofs) -> Comparison:
        """What these files know of the batch's items that the ledger does not.

        Raises:
            LedgerError: it, or one of them, cannot be read.
        """
        return await self._writer.put(partial(compare, files=files))

    async def rebuild(self, accepted: Proofs, ended: Proofs, moved: Proofs, **meta: str) -> None:
        """Take what the files prove, and the texts in `meta`, all at once.

        Args:
            accepted: the ids that the service gave.
            ended: the manifest.
            moved: the submits that were about to leave.
            **meta: texts, kept as `set_meta` does.

        Raises:
            LedgerError: it cannot be written, or one of the files cannot be read.
        """
        await self._writer.put(
            partial(rebuild, accepted=accepted, ended=ended, moved=moved, meta=tuple(meta.items()))
        )

    async def keep_log(self, log: SubmittedLog, *, agrees: bool) -> None:
        """Write each id that is noted from now on into this log, before it is committed.

        Args:
            log: is closed with the ledger.
            agrees: whether the log has the ids that the ledger has; if not, these are added.

        Raises:
            LedgerError: it cannot be written.
        """
        self._writer.log = log
        await self._writer.put(partial(log.open, agrees=agrees))

    async def without_line(
        self, lines: Callable[[], Iterable[bytes]], *states: ItemState
    ) -> AsyncGenerator[LedgerEntry, None]:
        """The entries in one of these states whose record is none of these lines. `lines` is called in a thread.

        Raises:
            LedgerError: it cannot be read.
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

    async def number(self, fingerprints: Iterable[str]) -> list[int]:
        """How many times each has been given since the ledger was opened, this time included.

        Kept in a temporary file: memory does not grow with the input.

        Raises:
            LedgerError: it cannot be written.
        """
        numbers: list[int] = []
        fingerprints = list(fingerprints)
        for start in range(0, len(fingerprints), rows.CHUNK):
            chunk = fingerprints[start : start + rows.CHUNK]
            numbers += await self._writer.put(partial(rows.number, fingerprints=chunk))
        return numbers

    async def submitting(
        self,
        key: str,
        fingerprint: str,
        idempotency_key: str,
        price: float | None = None,
        opening: str | None = None,
    ) -> None:
        """Note that this item is about to be submitted; when this returns, that is on the disk.

        If this is cancelled, the note is taken back, because then nothing is sent.

        Args:
            key: the item's name.
            fingerprint: of its request.
            idempotency_key: what the submit will carry.
            price: the credits that it is expected to cost, if known. They count as spent from now on.
            opening: what another run needs to know to go on with it; kept until there is a record.

        Raises:
            LedgerError: the key is known with another fingerprint, or its state does not allow a submit, or it
                cannot be written.
        """
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
            await self._writer.put(work, Moved(key, ItemState.SUBMITTING, fingerprint, idempotency_key))
        except CancelledError:
            self._writer.put(partial(rows.taken_back, note=note, key=key), Moved(key, ItemState.NEW))
            raise

    def submitted(self, key: str, task_id: str, price: float | None = None) -> Future[None]:
        """Note the id that the service gave, and the credits that it reserved.

        An item that failed may come back with the id it had, to be looked at once more.
        """
        credit = read_price(price)
        work = partial(rows.submitted, key=key, task_id=task_id, price=credit)
        return self._writer.put(work, Accepted(key, task_id, credit))

    def released(self, key: str) -> Future[None]:
        """Note that the submit was refused and nothing was billed: the item is again what it was before.

        That is NEW, or for a repeated one FAILED or UNCERTAIN. It keeps the idempotency key.
        """
        return self._writer.put(partial(rows.released, key=key), Moved(key, ItemState.NEW))

    def ended(self, key: str, state: ItemState, record: str, price: float | None = None) -> Future[None]:
        """Note how the item ended: DONE (its images are there), FAILED, or UNCERTAIN (it may have been accepted).

        It counts as spent with what was known, or with `price`; 0 if it cost nothing.
        """
        self.ends += 1
        work = partial(rows.ended, key=key, state=state, record=record, price=read_price(price))
        # Of an item that is done, the log has the id.
        return self._writer.put(work, None if state is ItemState.DONE else Moved(key, state))

    def set_meta(self, name: str, value: str | Callable[[], str]) -> Future[None]:
        """Keep a text under a name. A function makes its text in the ledger's thread, after all earlier changes."""
        return self._writer.put(partial(rows.set_meta, name=name, value=value))
