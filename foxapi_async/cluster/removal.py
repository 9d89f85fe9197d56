"""Removes a batch that is over from the database, with all its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foxapi_async._errors import InvalidRequestError
from foxapi_async._wire.texts import counted

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

# This deletes the rows and counts the deleted ones, so no worker can claim an item in between. If the removal is refused,
# the end of the transaction brings the rows back.
_ITEMS = """
    WITH gone AS (DELETE FROM item WHERE batch_id = %s RETURNING owner, state, ready, paid)
    SELECT count(*), count(*) FILTER (WHERE owner IS NOT NULL), count(*) FILTER (WHERE ready AND paid),
        count(*) FILTER (WHERE state IN ('new', 'submitting', 'submitted')) FROM gone
"""
# Another batch may use the same file. The requests of a batch hold the SHA-256 of each of its files.
_FILES = """
    WITH mine AS (
        DELETE FROM request WHERE batch_id = %(batch)s RETURNING opening
    ), named AS (
        SELECT DISTINCT sha256 FROM mine, regexp_matches(opening, '[0-9a-f]{64}', 'g') AS found(digests)
            JOIN input_file ON sha256 = decode(digests[1], 'hex')
    )
    DELETE FROM input_file USING named WHERE input_file.sha256 = named.sha256 AND NOT EXISTS (
        SELECT FROM request WHERE batch_id <> %(batch)s AND strpos(opening, encode(named.sha256, 'hex')) > 0
    )
"""
_REST = (
    "DELETE FROM second_task WHERE batch_id = %s",
    "DELETE FROM tally WHERE batch_id = %s",
    "DELETE FROM procrastinate_jobs WHERE queueing_lock = 'foxapi:' || %s AND status = 'todo'",
    "DELETE FROM batch WHERE id = %s",  # this deletes its rows of batch_meta, too
)


async def remove(connection: Connection, batch: str) -> int:
    """Remove a batch with all its rows, in one transaction. Returns how many items it had.

    Raises:
        InvalidRequestError: there is no such batch, or it is not over.
    """
    async with connection.transaction():
        # Another program may be putting in an item with a file. It first stores the file and then the item, and the file
        # must not be removed between these steps. With this lock, one of the two programs waits for the other.
        await connection.execute("LOCK TABLE input_file IN SHARE ROW EXCLUSIVE MODE")
        cursor = await connection.execute(
            "SELECT state, sealed FROM batch WHERE id = %s FOR UPDATE", (batch,)
        )
        row = await cursor.fetchone()
        if row is None:
            raise InvalidRequestError(f"there is no batch {batch!r} in the database")
        await connection.execute(_FILES, {"batch": batch})
        counts = await (await connection.execute(_ITEMS, (batch,))).fetchone() or (0, 0, 0, 0)
        state, is_sealed = row
        problem = _problem(state, *counts, is_sealed=is_sealed)
        if problem is not None:
            raise InvalidRequestError(f"batch {batch!r} is not removed: {problem}")
        for statement in _REST:
            await connection.execute(statement.encode(), (batch,))
    return int(counts[0])


def _problem(state: str, _: int, owned: int, paid: int, unended: int, *, is_sealed: bool) -> str | None:
    """Why a batch is not over; None if it is."""
    if owned:
        return f"workers have {counted(owned, 'item')} of it: wait until they are done"
    if paid:
        return f"{counted(paid, 'item')} of it are billed, and their images are not saved: let a worker save them"
    if state != "cancelled" and unended:
        return f"{counted(unended, 'item')} of it have not ended: let workers do them, or cancel it first"
    if state != "cancelled" and not is_sealed:
        return "a program still puts items into it, or has ended early: wait, or cancel it first"
    return None
