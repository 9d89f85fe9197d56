"""The ends of a batch's items, in an order in which none is skipped.

Transactions become visible in another order than they began. So each end has the number of its transaction. A reader
only reads the ends of transactions before the oldest one that still runs. No other end can still come before these.

Each server has its own numbers. So a cursor also has the identity of the tables. If the database is another one, or was
restored to an older state, the reader begins again. Then some ends come twice, and none is skipped.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from foxapi_async._errors import InvalidRequestError
from foxapi_async._listener import about, log
from foxapi_async.cluster.database import Database, errors_of
from foxapi_async.cluster.known_state import check_identity

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

_AT_ONCE = 1000

_BEGIN = "0", 0
_CURSOR = re.compile(r"([0-9]+)-([0-9]+)@(\S+)")
_IS_AHEAD = "SELECT %s::xid8 >= pg_snapshot_xmax(pg_current_snapshot())"

POLL_SECONDS = (0.2, 0.5, 1.0)
"""Seconds between two reads while there are no new ends; the last value repeats."""

_ENDS = f"""
    SELECT ended::text, number, key, state, task_id, price::float8, record FROM item
    WHERE batch_id = %(batch)s AND ended IS NOT NULL AND ended < pg_snapshot_xmin(pg_current_snapshot())
        AND (ended, number) > (%(ended)s::xid8, %(number)s)
    ORDER BY item.ended, item.number LIMIT {_AT_ONCE}
"""  # noqa: S608 - of constants
# Whether everything has ended: no item is left for a worker, and none has a worker.
_IS_OVER = """
    SELECT batch.sealed AND NOT EXISTS (
        SELECT 1 FROM item WHERE batch_id = batch.id AND owner IS NOT NULL
    ) AND NOT EXISTS (
        SELECT 1 FROM item WHERE batch_id = batch.id AND ready AND owner IS NULL
            AND (paid OR (batch.state = 'open' AND (model IS NULL OR model <> ALL(stopped_models))))
    )
    FROM batch WHERE id = %s
"""


@attrs.frozen(kw_only=True)
class ItemEnd:
    """How an item of a batch in a database ended.

    Attributes:
        key: the item's id, or its counted key.
        state: "done", "unsaved", "failed" or "uncertain".
        task_id: its task; None if there is none.
        credits: its cost; None if unknown.
        record: its line of the manifest, with its files, its request and its error.
        cursor: give it to `Cluster.results` as `after`, to continue after this item. If the database was restored
            meanwhile, the results begin again.
    """

    key: str
    state: str
    task_id: str | None
    credits: float | None
    record: Mapping[str, Any] = attrs.field(repr=False)
    cursor: str


async def ends(database: Database, batch: str, after: str | None) -> AsyncGenerator[ItemEnd, None]:
    """The ends of a batch's items as they come, until nothing more can come.

    Raises:
        InvalidRequestError: there is no such batch, or `after` is not a cursor.
        LedgerError: the database cannot be reached.
    """
    read = None if after is None else _read_cursor(after)
    connection = await database.connect()
    try:
        async with errors_of(database):
            identity = await check_identity(connection)
            place = await _place_of(connection, identity, read)
            async for end in _ends(connection, batch, identity, place):
                yield end
    finally:
        await connection.close()


async def _ends(
    connection: Connection, batch: str, identity: str, place: tuple[str, int]
) -> AsyncGenerator[ItemEnd, None]:
    waits = 0
    until = None
    while True:
        # These two questions come first. So the last query also finds what ends or becomes visible in between.
        if until is None and await _is_over(connection, batch):
            until = await _next_transaction(connection)
        is_last = until is not None and await _is_visible(connection, until)
        cursor = await connection.execute(
            _ENDS.encode(), {"batch": batch, "ended": place[0], "number": place[1]}
        )
        rows = await cursor.fetchall()
        for ended, number, key, state, task_id, price, record in rows:
            place = ended, number
            yield ItemEnd(
                key=key,
                state=state,
                task_id=task_id,
                credits=price,
                record=json.loads(record or "{}"),
                cursor=f"{ended}-{number}@{identity}",
            )
        if rows:
            waits = 0
            continue
        if is_last:
            return
        await asyncio.sleep(POLL_SECONDS[min(waits, len(POLL_SECONDS) - 1)])
        waits += 1


def _read_cursor(cursor: str) -> tuple[tuple[str, int], str]:
    """The place in the order of the ends, and the identity of the tables."""
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise InvalidRequestError(f"after={cursor!r}: give the `cursor` of an item, or None")
    ended, number, identity = found.groups()
    return (ended, int(number)), identity


async def _place_of(
    connection: Connection, identity: str, read: tuple[tuple[str, int], str] | None
) -> tuple[str, int]:
    """The place after which a reader continues."""
    if read is None:
        return _BEGIN
    place, known = read
    if known == identity and not await is_ahead(connection, place[0]):
        return place
    log.warning(
        "the cursor is of another database, or the database has an older state now: all ends are read again",
        extra=about("database_changed"),
    )
    return _BEGIN


async def is_ahead(connection: Connection, ended: str) -> bool:
    """Whether an end has the number of a transaction that the server has not reached."""
    cursor = await connection.execute(_IS_AHEAD, (ended,))
    (found,) = await cursor.fetchone() or (False,)
    return bool(found)


async def _is_over(connection: Connection, batch: str) -> bool:
    row = await (await connection.execute(_IS_OVER, (batch,))).fetchone()
    if row is None:
        raise InvalidRequestError(f"there is no batch {batch!r} in the database")
    return bool(row[0])


async def _next_transaction(connection: Connection) -> str:
    (number,) = await (
        await connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    ).fetchone() or ("0",)
    return str(number)


async def _is_visible(connection: Connection, until: str) -> bool:
    """Whether all transactions before this one have ended."""
    cursor = await connection.execute("SELECT pg_snapshot_xmin(pg_current_snapshot()) >= %s::xid8", (until,))
    (is_visible,) = await cursor.fetchone() or (False,)
    return bool(is_visible)
