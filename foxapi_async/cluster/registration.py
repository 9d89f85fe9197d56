"""The workers of a cluster. Each one registers and sends heartbeats. If its heartbeats stop, it is replaced.

A worker that was replaced never sends again under its number. Other workers continue to poll its running tasks. A
submit that it may have sent becomes uncertain, and is never sent again unless the user asks for it.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foxapi_async._batch.record import closing_record, item_of, unanswered_error
from foxapi_async._errors import InvalidRequestError, LedgerError
from foxapi_async._ledger.entry import ItemState
from foxapi_async._version import __version__
from foxapi_async.cluster.database import OtherDatabaseError
from foxapi_async.cluster.known_state import KnownState, check_identity
from foxapi_async.cluster.lease import TAKEOVER
from foxapi_async.cluster.statements import ENTRIES, entry_of

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

_AT_ONCE = 500

# While the server was down, no heartbeat could arrive. So the silence of a worker counts from the server's start at the
# earliest.
_LOST = """
    UPDATE worker SET state = 'lost' WHERE id IN (
        SELECT id FROM worker WHERE state = 'alive' AND id <> %(by)s
            AND greatest(seen, pg_postmaster_start_time()) < now() - make_interval(secs => lease * %(leases)s)
        FOR UPDATE SKIP LOCKED
    ) RETURNING id
"""
# Frees the rows that were not sent, or whose task is known. `_UNANSWERED` finds the rows that were being sent. If a
# worker has stopped in a transaction, a row may still be locked. Such a row is freed the next time.
_FREE = """
    WITH free AS (
        SELECT batch_id, key FROM item
        WHERE owner IN (SELECT id FROM worker WHERE state <> 'alive') AND state <> 'submitting'
        FOR UPDATE SKIP LOCKED
    )
    UPDATE item SET owner = NULL FROM free WHERE item.batch_id = free.batch_id AND item.key = free.key
"""
_FREE_UNKNOWN = """
    UPDATE item SET owner = NULL WHERE owner = %s AND batch_id <> ALL(%s) AND state <> 'submitting'
"""
_UNANSWERED = f"""
    {ENTRIES.replace("SELECT", "SELECT batch_id,", 1).replace("WHERE batch_id = %(batch)s", "")}
    WHERE state = 'submitting' AND owner IN (SELECT id FROM worker WHERE state <> 'alive')
    LIMIT {_AT_ONCE} FOR UPDATE OF item SKIP LOCKED
"""  # noqa: S608 - of constants
_UNCERTAIN = """
    UPDATE item SET state = 'uncertain', owner = NULL, ready = false, record = given.record,
        changed = clock_timestamp(), ended = pg_current_xact_id()
    FROM unnest(%(batch)s::text[], %(key)s::text[], %(record)s::text[]) AS given(batch, key, record)
    WHERE batch_id = given.batch AND item.key = given.key AND state = 'submitting'
"""


async def register(connection: Connection, lease: float) -> KnownState:
    """Register this process as a worker. Returns what the worker knows about the database.

    If the database is another one than before, all batches are paused.
    """
    identity = await check_identity(connection)
    cursor = await connection.execute(
        "INSERT INTO worker (host, pid, version, lease) VALUES (%s, %s, %s, %s) RETURNING id, started::text",
        (platform.node(), os.getpid(), __version__, lease),
    )
    worker, started = await cursor.fetchone() or (0, "")
    return KnownState(worker, identity, started)


async def send_heartbeat(connection: Connection, worker: int, beat: int) -> None:
    """Send the heartbeat with this number.

    Raises:
        LedgerError: this worker was replaced.
        OtherDatabaseError: the database has an older state than this worker knows.
    """
    cursor = await connection.execute(
        # If the answer to this heartbeat was lost before, its number is in the row already.
        "UPDATE worker SET seen = now(), beat = %s WHERE id = %s AND state = 'alive' AND beat >= %s",
        (beat, worker, beat - 1),
    )
    if cursor.rowcount:
        return
    cursor = await connection.execute("SELECT state FROM worker WHERE id = %s", (worker,))
    row = await cursor.fetchone()
    if row is not None and row[0] != "alive":
        raise LedgerError(
            f"worker {worker} was replaced, because the database got no heartbeat from it for too long"
        )
    raise OtherDatabaseError(
        "the database has lost what it knew about this worker: it has an older state than before"
    )


async def leave(connection: Connection, worker: int) -> None:
    """Note that a worker has left: it sends nothing any more."""
    await connection.execute("UPDATE worker SET state = 'left', seen = now() WHERE id = %s", (worker,))
    await free_items(connection)


async def forget(connection: Connection, worker: int) -> None:
    """Declare a worker dead: its process has ended. So its uncertain submits may be sent again if the user asks for it.

    Raises:
        InvalidRequestError: there is no such worker, or it still sends heartbeats.
    """
    async with connection.transaction():
        cursor = await connection.execute(
            "SELECT state, seen < now() - make_interval(secs => lease * %s) FROM worker WHERE id = %s FOR UPDATE",
            (TAKEOVER, worker),
        )
        row = await cursor.fetchone()
        if row is None:
            raise InvalidRequestError(f"there is no worker {worker}: see `foxapi status` for their numbers")
        state, is_silent = row
        if state == "alive" and not is_silent:
            raise InvalidRequestError(f"worker {worker} is alive: stop its process first")
        await connection.execute(
            "UPDATE worker SET state = 'dead' WHERE id = %s AND state <> 'left'", (worker,)
        )
    await free_items(connection)


async def replace_lost(connection: Connection, by: int) -> list[int]:
    """Replace the workers whose heartbeats have stopped: free their items. Returns their numbers.

    Args:
        connection: the connection to the database.
        by: the worker that replaces them. It never replaces itself.
    """
    async with connection.transaction():
        cursor = await connection.execute(_LOST, {"by": by, "leases": TAKEOVER})
        lost = [worker for (worker,) in await cursor.fetchall()]
    await free_items(connection)
    return lost


async def free_unknown(connection: Connection, worker: int, batches: Collection[str]) -> None:
    """Free the items that this worker owns but does not know, because the answer to their claim was lost.

    Args:
        connection: the connection to the database.
        worker: the worker.
        batches: the batches on which it works. It knows its items of these batches.
    """
    await connection.execute(_FREE_UNKNOWN, (worker, list(batches)))


async def free_items(connection: Connection) -> None:
    """Free the items of all workers that are not alive. A submit without an answer becomes uncertain."""
    await connection.execute(_FREE)
    while True:
        async with connection.transaction():
            cursor = await connection.execute(_UNANSWERED.encode())
            rows = await cursor.fetchall()
            if not rows:
                return
            await connection.execute(
                _UNCERTAIN,
                {
                    "batch": [row[0] for row in rows],
                    "key": [row[1] for row in rows],
                    "record": [_uncertain_record(row[1:]) for row in rows],
                },
            )


def _uncertain_record(row: Sequence[Any]) -> str:
    entry = entry_of(row)
    item = item_of(entry)
    return closing_record(
        item,
        ItemState.UNCERTAIN,
        request=item.recorded_request,
        task_id=None,
        price=entry.price,
        folder=Path(),
        timings={},
        error=unanswered_error(entry),
    )
