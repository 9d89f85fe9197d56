"""The connection on which a worker claims items and sends its heartbeats: one transaction at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from foxapi_async._errors import LedgerError
from foxapi_async.cluster.database import Database, closed_on_error
from foxapi_async.cluster.lease import BEATS

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection
    from foxapi_async.cluster.known_state import KnownState

LEAST_IDLE_SECONDS = 5.0
"""If a worker does nothing in a transaction, the server ends the transaction after half the worker's lease, but not
before this many seconds.
"""


def idle_seconds(lease: float) -> float:
    """Seconds after which the server ends a transaction in which its worker does nothing."""
    return max(lease / 2, LEAST_IDLE_SECONDS)


class ControlConnection:
    """Connects again if the connection was lost. No lock of another worker delays the heartbeats for long.

    Args:
        database: the database of the cluster.
        lease: seconds for which a heartbeat allows the worker to send.
        on_other: called if the database is another one than before.

    Attributes:
        known: what the worker knows about the database; None before it is registered.
    """

    def __init__(self, database: Database, lease: float, on_other: Callable[[LedgerError], None]) -> None:
        self.known: KnownState | None = None
        self._database = database
        self._lease = lease
        self._on_other = on_other
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None

    @property
    def is_open(self) -> bool:
        """Whether the connection is open. If it was lost, this may not be known yet."""
        return self._connection is not None and not self._connection.closed

    @contextlib.asynccontextmanager
    async def use(self) -> AsyncGenerator[Connection]:
        """The connection. Only the asyncio task that calls this uses it meanwhile.

        Raises:
            LedgerError: the database cannot be reached, or it is another one than before.
        """
        async with self._turn:
            if self._connection is None or self._connection.closed:
                self._connection = await self._connect()
            yield self._connection

    async def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            await self._connection.close()

    async def _connect(self) -> Connection:
        """A new connection, if it is to the same database."""
        connection = await self._database.connect(idle=idle_seconds(self._lease), lock=self._lease / BEATS)
        async with closed_on_error(connection):
            await self._check(connection)
        return connection

    async def _check(self, connection: Connection) -> None:
        problem = None if self.known is None else await self.known.difference(connection)
        if problem is not None:
            fault = LedgerError(problem)
            self._on_other(fault)
            raise fault
