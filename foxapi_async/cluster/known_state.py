"""The facts that a worker has seen in the database. If a fact is missing now, the database is another one, or an old copy.

A failover, the recovery of a backup and a restored dump give the tables another identity. A copy of the server's files
has the same identity, but lacks the last heartbeats and transactions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from foxapi_async._listener import about, log
from foxapi_async.cluster.database import NEW_IDENTITY, identities, identity_of

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

# A dump from another server may have ends with numbers that this server has not reached. Readers would wait until the
# server reaches them. So these ends get the number of this transaction: they come after the ends with smaller numbers,
# and before all new ones. They keep the order of the items. Readers begin again, because a cursor has the identity.
_REACH = "UPDATE item SET ended = pg_current_xact_id() WHERE ended > pg_current_xact_id()"
_NOTE = f"INSERT INTO meta {NEW_IDENTITY} ON CONFLICT (name) DO "
_KNOWN = """
    SELECT started::text = %s AND beat >= %s AND %s::xid8 < pg_snapshot_xmax(pg_current_snapshot())
    FROM worker WHERE id = %s
"""


@attrs.define
class KnownState:
    """The last state of the database that a worker has seen. Each of its two connections is checked with it when it is
    opened again.

    Args:
        worker: the number of the worker.
        identity: the identity of the tables.
        started: when the worker was registered, in the words of the database.

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
        """How the database differs from this state; None if it has everything.

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


async def check_identity(connection: Connection) -> str:
    """The identity of the tables. If it is another one than before, all batches are paused.

    Raises:
        LedgerError: the server is a standby, which cannot be written.
    """
    identity, noted = await identities(connection)
    if identity == noted:
        return identity
    async with connection.transaction():
        if (problem := await note_identity(connection)) is not None:
            await pause_all(connection, problem)
            log.error("%s: all batches are paused", problem, extra=about("database_changed"))
    return await identity_of(connection)


async def note_identity(connection: Connection, outdated: str | None = None) -> str | None:
    """Note the identity of the tables. If it is another one than before, the first caller gets a text that says so. All
    other callers get None. After this, all ends in the tables can be read.

    The caller must begin a transaction before, without savepoints.

    Args:
        connection: the connection to the database.
        outdated: the identity of a state that the database has lost. If the tables still have it, they get another one.

    Raises:
        LedgerError: the server is a standby, which cannot be written.
    """
    made = await connection.execute(f"{_NOTE} NOTHING".encode())
    if made.rowcount:
        return None
    await connection.execute("SELECT 1 FROM meta WHERE name = 'identity' FOR UPDATE")  # one at a time
    identity, noted = await identities(connection)
    if identity == noted != outdated:
        return None
    await connection.execute(f"{_NOTE} UPDATE SET value = excluded.value".encode())
    await connection.execute(_REACH)
    return f"the database is another one than before: its identity is {await identity_of(connection)} now"


async def pause_all(connection: Connection, problem: str) -> int:
    """Pause all open batches, until a person has checked what the database has lost. Returns how many were paused."""
    cursor = await connection.execute(
        "UPDATE batch SET state = 'paused', reason = 'database', problem = %s WHERE state = 'open'",
        (problem,),
    )
    return cursor.rowcount
