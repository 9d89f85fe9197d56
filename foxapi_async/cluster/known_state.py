"""What a worker knows that the database has: if it lacks any of it, the database is not the one that it was.

A failover or the recovery of a backup gives the server another identity. A copy of its files has the same one,
but lacks the last heartbeats and transactions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from foxapi_async.cluster.database import identity_of

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

_NOTE = """
    INSERT INTO meta VALUES ('identity', %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value
    WHERE meta.value <> excluded.value RETURNING xmax = 0
"""
_KNOWN = """
    SELECT started::text = %s AND beat >= %s AND %s::xid8 < pg_snapshot_xmax(pg_current_snapshot())
    FROM worker WHERE id = %s
"""


@attrs.define
class KnownState:
    """The last state of the database that a worker has seen. Both of its connections are checked with it when they are made again.

    Args:
        worker: the number of the worker.
        identity: of the server.
        started: when the worker was registered, as the database says it.

    Attributes:
        beat: the last heartbeat that was answered.
        transaction: the last transaction that was committed.
    """

    worker: int
    identity: str
    started: str
    beat: int = 0
    transaction: int = 0

    async def difference(self, connection: Connection) -> str | None:
        """In what the database differs from this; None if it has everything.

        Raises:
            LedgerError: the server is a standby, which cannot be written.
        """
        identity = await identity_of(connection)
        if identity != self.identity:
            return f"the database is another one than before ({identity} instead of {self.identity})"
        cursor = await connection.execute(
            _KNOWN, (self.started, self.beat, str(self.transaction), self.worker)
        )
        if await cursor.fetchone() == (True,):
            return None
        return "the database has an older state than before: a copy of it was restored"


async def note_identity(connection: Connection) -> str | None:
    """Note the identity of the server. Returns why it is another one than before, to the first caller; else None.

    Raises:
        LedgerError: the server is a standby, which cannot be written.
    """
    identity = await identity_of(connection)
    cursor = await connection.execute(_NOTE, (identity,))
    if await cursor.fetchone() == (False,):
        return f"the database is another one than before: its identity is {identity} now"
    return None


async def pause_all(connection: Connection, problem: str) -> None:
    """Pause all batches, until someone has checked what the database has lost."""
    await connection.execute(
        "UPDATE batch SET state = 'paused', reason = 'database', problem = %s WHERE state = 'open'",
        (problem,),
    )
