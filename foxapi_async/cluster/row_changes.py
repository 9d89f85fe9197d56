"""Makes a group of changes of items in one transaction, and says why the rows do not allow some of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import attrs

from foxapi_async._errors import LedgerError
from foxapi_async._ledger.entry import ItemState, refused_move
from foxapi_async._listener import about, log
from foxapi_async.cluster import statements
from foxapi_async.cluster.spool import SpooledId

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection


@attrs.define(eq=False)
class RowChange:
    """A change of one item, or a read after all earlier changes.

    Attributes:
        batch: the item's batch.
        to: the state to which the item moves; None to hand it back, or to read.
        row: the values of the statement's columns.
        future: the caller waits for it.
        read: the function that reads; None for a change.
        result: the epoch of the item, or what was read.
        error: why this change was refused; None if it was not.
    """

    batch: str
    to: ItemState | None
    row: dict[str, Any]
    future: asyncio.Future[Any]
    read: Callable[[Connection], Awaitable[Any]] | None = None
    result: Any = None
    error: LedgerError | None = None

    @property
    def spooled(self) -> SpooledId:
        """The id that this change stores."""
        return SpooledId(self.batch, self.row["key"], self.row["task_id"], self.row["price"])


async def make_changes(connection: Connection, worker: int, group: list[RowChange]) -> None:
    """Make the changes in waves. A wave has at most one change of each item, so one statement changes many items."""
    wave: dict[tuple[str, str], RowChange] = {}
    for change in group:
        change.result = change.error = None
        item = change.batch, change.row.get("key", "")
        if change.read is not None or item in wave:
            await _make_wave(connection, worker, wave.values())
            wave.clear()
        if change.read is not None:
            await _read(connection, change, change.read)
        else:
            wave[item] = change
    await _make_wave(connection, worker, wave.values())


async def _read(
    connection: Connection, change: RowChange, read: Callable[[Connection], Awaitable[Any]]
) -> None:
    """Read. If the function has a bug, only its caller gets an error."""
    import psycopg  # noqa: PLC0415 - of an extra

    try:
        change.result = await read(connection)
    except psycopg.Error:
        raise
    except Exception as error:
        change.error = LedgerError(f"{type(error).__name__}: {error}")


async def _make_wave(connection: Connection, worker: int, wave: Iterable[RowChange]) -> None:
    moves: dict[tuple[str, ItemState | None], list[RowChange]] = {}
    for change in wave:
        moves.setdefault((change.batch, change.to), []).append(change)
    for (batch, to), changes in moves.items():
        await _move_items(connection, worker, batch, to, changes)


async def _move_items(
    connection: Connection, worker: int, batch: str, to: ItemState | None, changes: list[RowChange]
) -> None:
    """Move items to one state with one statement. The changes of items that do not move get an error with the reason."""
    same = {"batch": batch, "worker": worker}

    def columns(changes: list[RowChange], *names: str) -> dict[str, Any]:
        return {**same, **{name: [change.row[name] for change in changes] for name in names}}

    if to is ItemState.SUBMITTING:
        # An item without an epoch was not claimed, so the table may not have it yet.
        missing = [change for change in changes if not change.row["epoch"]]
        if missing:
            values = columns(missing, "key", "fingerprint", "opening")
            await connection.execute(statements.INSERT_MISSING.encode(), values)
    text, names = statements.MOVES[to]
    cursor = await connection.execute(text, columns(changes, *names))
    epochs: dict[str, int] = dict(await cursor.fetchall())
    refused: list[RowChange] = []
    for change in changes:
        change.result = epochs.get(change.row["key"])
        if change.result is None:
            refused.append(change)
    if refused and to is not None:
        known = await statements.look_up(connection, batch, [change.row["key"] for change in refused])
        for change in refused:
            key = change.row["key"]
            entry = known.get(key)
            change.error = refused_move(key, entry, to, change.row.get("fingerprint"))
            if to is ItemState.SUBMITTED and (entry is None or entry.task_id != change.row["task_id"]):
                await _keep_second(connection, worker, change.spooled)


async def _keep_second(connection: Connection, worker: int, spooled: SpooledId) -> None:
    """Keep the id of a task whose item has another task."""
    values = {**attrs.asdict(spooled), "worker": worker}
    await connection.execute(statements.SECOND_TASK.encode(), values)
    report_second(spooled)


def report_second(spooled: SpooledId) -> None:
    """Log the id of a task whose item has another task."""
    log.error(
        "item %s of batch %s has a second task, %s, which is billed too",
        spooled.key,
        spooled.batch,
        spooled.task_id,
        extra=about("second_task", key=spooled.key, task_id=spooled.task_id),
    )
