"""Batches in a PostgreSQL database, on which any number of workers work.

The rows of the database say which items were sent, which worker sent them, and how they ended. Workers may start and
stop at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.plan import BatchItems
from foxapi_async._errors import ConfigurationError, InvalidRequestError
from foxapi_async._ledger.entry import ItemState
from foxapi_async._options import is_number
from foxapi_async._threads import to_its_end
from foxapi_async.cluster.database import Database, check_version, errors_of
from foxapi_async.cluster.enqueue import Enqueued, enqueue
from foxapi_async.cluster.known_state import check_identity, pause_all
from foxapi_async.cluster.queue import add_jobs, make_queue, opened
from foxapi_async.cluster.registration import forget
from foxapi_async.cluster.removal import remove
from foxapi_async.cluster.results import ItemEnd, ends
from foxapi_async.cluster.status import ClusterStatus, status_of

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")

# This does not continue a batch that is paused because the database is another one. A person must call `resume`.
_MAKE = """
    INSERT INTO batch (id, budget, price) VALUES (%(batch)s, %(budget)s, %(price)s)
    ON CONFLICT (id) DO UPDATE SET
        state = CASE WHEN batch.reason = 'database' THEN batch.state ELSE 'open' END,
        reason = CASE WHEN batch.reason = 'database' THEN batch.reason END,
        problem = CASE WHEN batch.reason = 'database' THEN batch.problem END,
        hint = NULL, stopped_models = '{}', sealed = false,
        budget = coalesce(excluded.budget, batch.budget), price = coalesce(excluded.price, batch.price)
    WHERE batch.state <> 'cancelled'
"""
# The items that a new run tries again. A paid task is never submitted again. An item may have become uncertain after
# `_check_senders`, so its sender is checked again here.
_AGAIN = """
    UPDATE item SET ready = true WHERE batch_id = %(batch)s AND NOT ready AND owner IS NULL
        AND (paid OR state = ANY(%(states)s) OR (state = 'new' AND %(new)s))
        AND NOT (state = 'uncertain' AND EXISTS (
            SELECT FROM worker WHERE id = sender AND worker.state NOT IN ('left', 'dead')
        ))
"""
_SEAL = "UPDATE batch SET sealed = true WHERE id = %s"
_BLOCKED = """
    SELECT DISTINCT sender, host, worker.state FROM item JOIN worker ON worker.id = sender
    WHERE batch_id = %s AND item.state = 'uncertain' AND worker.state NOT IN ('left', 'dead') ORDER BY sender
"""


class Cluster:
    """A database with batches. `Cluster.open` connects to it.

    Methods may be called from any number of programs at a time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def __repr__(self) -> str:
        return f"<Cluster {self._database}>"

    @staticmethod
    def open(dsn: str | None = None) -> Opening:
        """The cluster at this address: `await` it, or use it with `async with`.

        Args:
            dsn: the address of the PostgreSQL database, such as postgresql://user:password@host/name; default
                FOXAPI_DSN.

        Raises:
            ConfigurationError: there is no address, or the database has no tables yet (`foxapi cluster migrate`
                makes them), or they are of another version; or the extra `cluster` is not installed.
            LedgerError: the database cannot be reached.
        """
        return Opening(Database.at(dsn))

    async def submit(
        self,
        requests: BatchItems | InputFile,
        *,
        batch_id: str | None = None,
        budget: float | None = None,
        price: float | None = None,
        retry_failed: bool = False,
        resubmit_uncertain: bool = False,
    ) -> Enqueued:
        """Put a batch into the database; workers begin at once.

        If the batch is there already, its new items are added, and it continues. Nothing is billed twice. A paused batch
        continues, unless it was paused because the database is another one than before. Then check what was lost, and
        call `resume`.

        Args:
            requests: as for `Batch`. A list is put in as a whole; a generator is put in while it runs.
            batch_id: its name: letters, digits, ".", "_" and "-"; default a new one.
            budget: the most credits for the whole batch, for all workers together; None keeps the former one.
            price: credits of one image, if you know it and the service does not report it.
            retry_failed: submit failed items again.
            resubmit_uncertain: submit uncertain items again, with the same idempotency key. They may be billed
                already.

        Raises:
            InvalidRequestError: an item is not valid, or an id was used for another request; or the batch was
                cancelled; or an uncertain item's worker may still be alive (see `forget`).
            LedgerError: the database cannot be reached.
        """
        batch = batch_id or f"batch-{secrets.token_hex(6)}"
        if not _ID.fullmatch(batch):
            raise InvalidRequestError(
                f"batch_id={batch!r}: use letters, digits, '.', '_' and '-', at most 100"
            )
        for name, value in (("budget", budget), ("price", price)):
            if value is not None and not (is_number(value) and value >= 0):
                raise ConfigurationError(f"{name}={value!r}: give credits as a number, zero or more")
        asked = {ItemState.FAILED: retry_failed, ItemState.UNCERTAIN: resubmit_uncertain}
        async with self._connected() as connection:
            if resubmit_uncertain:
                await _check_senders(connection, batch)
            made = await connection.execute(_MAKE, {"batch": batch, "budget": budget, "price": price})
            if not made.rowcount:
                raise _cancelled(batch)
            try:
                enqueued = await enqueue(connection, batch, requests)
            except InvalidRequestError:
                await connection.execute(_SEAL, (batch,))  # otherwise `results` would wait for more items
                raise
            states = [state.value for state, is_asked in asked.items() if is_asked]
            await connection.execute(_AGAIN, {"batch": batch, "states": states, "new": True})
            await connection.execute(_SEAL, (batch,))
        await self._add_job(batch)
        return enqueued

    def results(self, batch_id: str, *, after: str | None = None) -> AsyncIterator[ItemEnd]:
        """The ends of the batch's items, each as soon as it is known, until nothing is left to do.

        If the batch is paused, the results end when all sent submits have ended. If an item is submitted again, its
        new end comes, too. Several programs may read the results, at the same time and any number of times.

        Args:
            batch_id: the batch.
            after: the `cursor` of the last item that was read; None to read from the beginning. If the database was
                restored, the results also come from the beginning, with a warning.

        Raises:
            InvalidRequestError: (when iterating) there is no such batch.
            LedgerError: (when iterating) the database cannot be reached.
        """
        return ends(self._database, batch_id, after)

    async def status(self, batch_id: str) -> ClusterStatus:
        """The state of a batch.

        Raises:
            InvalidRequestError: there is no such batch.
            LedgerError: the database cannot be reached.
        """
        async with self._connected() as connection:
            return await status_of(connection, batch_id)

    async def batches(self) -> list[str]:
        """The names of all batches, the newest first.

        Raises:
            LedgerError: the database cannot be reached.
        """
        async with self._connected() as connection:
            cursor = await connection.execute("SELECT id FROM batch ORDER BY created DESC, id")
            return [batch for (batch,) in await cursor.fetchall()]

    async def pause(self, batch_id: str) -> None:
        """Send nothing more for this batch until `resume`. Submitted tasks continue to their ends.

        Raises:
            InvalidRequestError: there is no such batch, or it was cancelled.
            LedgerError: the database cannot be reached.
        """
        await self._change(
            batch_id, "SET state = 'paused', reason = 'user', problem = 'a person has paused it'"
        )

    async def pause_all(self) -> int:
        """Pause all open batches. Call this before a worker starts on a database that was restored.

        Only `resume` continues these batches; `submit` does not. Returns how many batches were paused.

        Raises:
            LedgerError: the database cannot be reached.
        """
        async with self._connected() as connection:
            return await pause_all(connection, "all batches were paused, to check what the database has lost")

    async def resume(self, batch_id: str, *, budget: float | None = None) -> None:
        """Continue with a paused batch.

        Args:
            batch_id: the batch.
            budget: a new budget; None keeps the former one.

        Raises:
            InvalidRequestError: there is no such batch, or it was cancelled.
            LedgerError: the database cannot be reached.
        """
        await self._change(
            batch_id,
            "SET state = 'open', reason = NULL, problem = NULL, hint = NULL, stopped_models = '{}', "
            "budget = coalesce(%(budget)s, budget)",
            budget=budget,
        )
        await self._add_job(batch_id)

    async def cancel(self, batch_id: str) -> int:
        """End a batch. It cannot be resumed: no more of its items are claimed. Items that a worker has claimed before are
        processed, billed and delivered. Returns how many items are never sent.

        Raises:
            InvalidRequestError: there is no such batch.
            LedgerError: the database cannot be reached.
        """
        async with self._connected() as connection:
            cursor = await connection.execute(
                "WITH ended AS (UPDATE batch SET state = 'cancelled', reason = NULL, problem = NULL WHERE id = %(batch)s "
                "RETURNING id) UPDATE item SET ready = false FROM ended WHERE batch_id = ended.id AND ready "
                "AND owner IS NULL AND NOT paid",
                {"batch": batch_id},
            )
            left = cursor.rowcount
            await _check_batch(connection, batch_id)
        return left

    async def remove(self, batch_id: str) -> int:
        """Remove a batch that is over from the database, with everything that is known about it.

        If its items are submitted again later, they are billed again. A batch is over if no worker has an item of it,
        and if all its items have ended or it was cancelled. Returns how many items it had.

        Raises:
            InvalidRequestError: there is no such batch, or it is not over.
            LedgerError: the database cannot be reached.
        """
        async with self._connected() as connection:
            return await remove(connection, batch_id)

    async def forget(self, worker: int) -> None:
        """Declare a worker dead, if its process was ended before it could leave. Then its uncertain items may be
        submitted again with `resubmit_uncertain`.

        Be sure that its process has ended: a frozen process could wake up and send.

        Raises:
            InvalidRequestError: there is no such worker, or it sends heartbeats.
            LedgerError: the database cannot be reached.
        """
        async with self._connected() as connection:
            await forget(connection, worker)

    async def aclose(self) -> None:
        """Do nothing: no connection is kept open between two calls."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _change(self, batch: str, assignment: str, **values: Any) -> None:
        async with self._connected() as connection:
            cursor = await connection.execute(
                f"UPDATE batch {assignment} WHERE id = %(batch)s AND state <> 'cancelled'".encode(),
                {"batch": batch, **values},
            )
            if cursor.rowcount:
                return
            await _check_batch(connection, batch)
            raise _cancelled(batch)

    async def _add_job(self, batch: str) -> None:
        async def add() -> None:
            queue = make_queue(self._database)
            async with opened(queue):
                await add_jobs(queue, [batch])

        # On Python 3.11 the pool may ignore a cancellation. So this task gets none.
        async with errors_of(self._database):
            await to_its_end(asyncio.create_task(add()))

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncGenerator[Connection]:
        connection = await self._database.connect()
        try:
            async with errors_of(self._database):
                await check_version(connection)
                await check_identity(connection)
                yield connection
        finally:
            await connection.close()


class Opening:
    """A cluster that is being opened: `await` it, or use it with `async with`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __await__(self) -> Generator[Any, None, Cluster]:
        return self._open().__await__()

    async def __aenter__(self) -> Cluster:
        return await self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is kept open; see `Cluster.aclose`."""

    async def _open(self) -> Cluster:
        cluster = Cluster(self._database)
        async with cluster._connected():  # noqa: SLF001 - a class of this module
            return cluster


def _cancelled(batch: str) -> InvalidRequestError:
    return InvalidRequestError(f"batch {batch!r} was cancelled, which is final: submit it under another name")


async def _check_batch(connection: Connection, batch: str) -> None:
    cursor = await connection.execute("SELECT 1 FROM batch WHERE id = %s", (batch,))
    if await cursor.fetchone() is None:
        raise InvalidRequestError(f"there is no batch {batch!r} in the database")


async def _check_senders(connection: Connection, batch: str) -> None:
    """Raise an error if a worker of uncertain items could still wake up and send them."""
    rows = await (await connection.execute(_BLOCKED, (batch,))).fetchall()
    if rows:
        workers = ", ".join(f"{worker} on {host} ({state})" for worker, host, state in rows)
        raise InvalidRequestError(
            f"uncertain items were sent by workers that may still wake up: {workers}. Be sure that their processes "
            f"have ended, then forget each of them, such as with `foxapi cluster forget {rows[0][0]}`"
        )
