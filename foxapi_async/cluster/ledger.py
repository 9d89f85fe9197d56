"""The ledger of a batch in PostgreSQL, as one worker uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import attrs

from foxapi_async._errors import LedgerError
from foxapi_async._ledger.entry import ItemState, LedgerEntry
from foxapi_async._ledger.protocol import Totals
from foxapi_async._wire.json_values import read_price
from foxapi_async.cluster import statements
from foxapi_async.cluster.group_commit import RowWriter
from foxapi_async.cluster.spool import SpooledId

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection


IDS_KEPT = 100_000
"""A worker keeps the last ids of each batch, to write them again into a database that was restored."""


@attrs.define(eq=False)
class PostgresLedger:
    """The ledger of one batch; see `protocol.Ledger`.

    Args:
        writer: the writer of this worker.
        batch: the name of the batch.

    Attributes:
        epochs: the epoch in which this worker claimed each of its items.
        accepted: the ids that this worker has got, by item.
    """

    _writer: RowWriter
    batch: str
    epochs: dict[str, int] = attrs.field(factory=dict[str, int], init=False)
    accepted: dict[str, SpooledId] = attrs.field(factory=dict[str, SpooledId], init=False)

    async def look_up(self, keys: Iterable[str]) -> dict[str, LedgerEntry]:
        """The entries of these keys; see `LedgerView`."""
        found: dict[str, LedgerEntry] = {}
        keys = list(keys)
        for start in range(0, len(keys), statements.CHUNK):
            chunk = keys[start : start + statements.CHUNK]
            found |= await self._writer.read(partial(statements.look_up, batch=self.batch, keys=chunk))
        return found

    async def entries(self, *states: ItemState) -> AsyncGenerator[LedgerEntry, None]:
        """The entries in one of these states, or all; see `LedgerView`."""
        last = -1
        while True:
            read = partial(statements.entries, batch=self.batch, states=states or ItemState, last=last)
            last, chunk = await self._writer.read(read)
            for entry in chunk:
                yield entry
            if not chunk:
                return

    async def totals(self) -> Totals:
        """The totals of the batch; see `LedgerView`."""
        return await self._writer.read(partial(statements.totals, batch=self.batch))

    async def meta(self, name: str) -> str | None:
        """The text that `set_meta` kept; None if there is none."""
        return await self._writer.read(partial(_meta, batch=self.batch, name=name))

    def set_meta(self, name: str, value: str | Callable[[], str]) -> Awaitable[None]:
        """Keep a text under a name; see `Ledger`."""
        return self._writer.read(partial(_set_meta, batch=self.batch, name=name, value=value))

    async def submitting(
        self,
        key: str,
        fingerprint: str,
        idempotency_key: str,
        price: float | None = None,
        opening: str | None = None,
    ) -> None:
        """Record that this item is about to be submitted; see `Ledger`."""
        writer = self._writer
        if writer.fault is not None:
            raise LedgerError(str(writer.fault))
        change = writer.put(
            self.batch,
            ItemState.SUBMITTING,
            key=key,
            fingerprint=fingerprint,
            idempotency_key=idempotency_key,
            price=read_price(price),
            opening=opening,
            epoch=self.epochs.get(key, 0),
        )
        try:
            self.epochs[key] = await asyncio.shield(change)
        except asyncio.CancelledError:
            if not writer.withdraw(change):
                change.add_done_callback(partial(self._undo, key))
            raise

    def _undo(self, key: str, change: asyncio.Future[int]) -> None:
        """Undo the record of a submit whose caller had gone before it was written. Nothing was sent. The item is given
        up.
        """
        if change.exception() is None:
            epoch = change.result()
            self._writer.put(self.batch, ItemState.NEW, key=key, epoch=epoch)
            self._writer.put(self.batch, None, key=key, ready=True, epoch=epoch)

    def submitted(self, key: str, task_id: str, price: float | None = None) -> Awaitable[None]:
        """Record the id from the service; see `Ledger`. It is stored even if another worker owns the item now."""
        credit = read_price(price)
        self.accepted[key] = SpooledId(self.batch, key, task_id, credit)
        if len(self.accepted) > IDS_KEPT:
            del self.accepted[next(iter(self.accepted))]
        return self._writer.put(self.batch, ItemState.SUBMITTED, key=key, task_id=task_id, price=credit)

    def released(self, key: str) -> Awaitable[None]:
        """Record that the submit was refused; see `Ledger`."""
        return self._writer.put(self.batch, ItemState.NEW, key=key, epoch=self.epochs.get(key, 0))

    def ended(self, key: str, state: ItemState, record: str, price: float | None = None) -> Awaitable[None]:
        """Record how the item ended, and give it up; see `Ledger`."""
        return self._writer.put(
            self.batch, state, key=key, record=record, price=read_price(price), epoch=self.epochs.pop(key, 0)
        )

    def hand_back(self, key: str, *, ready: bool) -> Awaitable[None]:
        """Give an item up. If it is `ready`, another worker continues with it.

        This worker remembers the item's epoch, because a submit of the item may still run, and its answer still counts.
        """
        return self._writer.put(self.batch, None, key=key, ready=ready, epoch=self.epochs.get(key, 0))

    async def written(self) -> LedgerError | None:
        """Wait until every id is written; see `Ledger`."""
        await self._writer.written()
        return self._writer.fault


async def _meta(connection: Connection, *, batch: str, name: str) -> str | None:
    cursor = await connection.execute(
        "SELECT value FROM batch_meta WHERE batch_id = %s AND name = %s", (batch, name)
    )
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def _set_meta(connection: Connection, *, batch: str, name: str, value: str | Callable[[], str]) -> None:
    text = value() if callable(value) else value
    await connection.execute(
        "INSERT INTO batch_meta VALUES (%s, %s, %s) "
        "ON CONFLICT (batch_id, name) DO UPDATE SET value = excluded.value",
        (batch, name, text),
    )
