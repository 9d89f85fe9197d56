"""The only connection on which a worker changes items. It commits in groups.

All changes that arrive while a transaction runs are the group of the next transaction. A group moves many items
with one statement for each kind of move. Changes of one item keep their order.

If the connection is lost, the changes wait. Nothing is sent meanwhile, because a submit waits for its change. The
ids that wait are kept in a file. If the answer to COMMIT is lost, the writer first asks the server whether the
transaction was committed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from foxapi_async._errors import FoxError, LedgerError
from foxapi_async._ledger.entry import ItemState
from foxapi_async._listener import about, log
from foxapi_async.cluster import statements
from foxapi_async.cluster.database import (
    IDLE_SECONDS,
    Database,
    closed_on_error,
    first_line,
    may_pass,
)
from foxapi_async.cluster.known_state import KnownState, note_identity, pause_all
from foxapi_async.cluster.row_changes import RowChange, make_changes, report_second
from foxapi_async.cluster.spool import Spool, SpooledId

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

T = TypeVar("T")

RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each try to reach the database again; the last value repeats."""

CLOSING_SECONDS = 30.0
"""Seconds for which `close` still tries to write."""

SILENT_SECONDS = 5.0
"""If a transaction takes more seconds than this, the ids that wait are kept in the file."""

# Whether this worker may send, and the number of the transaction, to ask for its outcome after a lost answer.
_FENCE = b"SELECT state, pg_current_xact_id()::text FROM worker WHERE id = %s FOR KEY SHARE"
_XID = b"SELECT pg_current_xact_id()::text"


class RowWriter:
    """Changes the items that one worker owns.

    Args:
        database: the database of the items.
        known: what the worker knows about the database.
        spool: keeps ids while the database cannot be written.
        on_fault: called if this worker may not send any more, because it was replaced or the database is another
            one.
        held: returns the ids that this worker holds. If the database is another one, they are written again.
        idle: seconds after which the server ends a transaction of this process if the process does nothing.

    Attributes:
        fault: why no submit is recorded any more; None if submits are recorded.
    """

    def __init__(
        self,
        database: Database,
        known: KnownState,
        spool: Spool,
        on_fault: Callable[[LedgerError], None] = lambda _: None,
        held: Callable[[], list[SpooledId]] = list,
        *,
        idle: float = IDLE_SECONDS,
    ) -> None:
        self.fault: LedgerError | None = None
        self._database = database
        self.worker = known.worker
        self._known = known
        self._spool = spool
        self._on_fault = on_fault
        self._held = held
        self._idle_seconds = idle
        self._pending: list[RowChange] = []
        self._group: list[RowChange] = []  # is being written
        # The ids that are in the file, and perhaps not in the database.
        self._kept: set[RowChange] = set()
        self._is_away = False
        self._is_interrupted = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._connection: Connection | None = None
        self._is_doubtful = False  # whether the connection may be to another server than a new one
        self._is_other = False
        self._closing = False
        self._give_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.transactions = 0

    async def open(self) -> None:
        """Connect.

        Raises:
            LedgerError: the database cannot be reached.
        """
        await self._connected()
        self._task = asyncio.create_task(self._run(), name="foxapi cluster writer")

    def put(self, batch: str, to: ItemState | None, **row: Any) -> asyncio.Future[Any]:
        """Queue a change. The future gets the epoch of the item when the change is durable, or a LedgerError."""
        return self._queue(RowChange(batch, to, row, asyncio.get_running_loop().create_future()))

    def read(self, func: Callable[[Connection], Awaitable[T]]) -> asyncio.Future[T]:
        """Read after all changes that are queued now."""
        return self._queue(RowChange("", None, {}, asyncio.get_running_loop().create_future(), func))

    def look_again(self) -> None:
        """Check on a new connection whether the database is the same."""
        self._is_doubtful = True
        self.read(_nothing)

    def _queue(self, change: RowChange) -> asyncio.Future[Any]:
        if self._closing:
            self._refuse([change], LedgerError(f"the connection to the database {self._database} is closed"))
            return change.future
        self._pending.append(change)
        if self._is_away or self._is_interrupted:
            self._keep([change])
        self._idle.clear()
        self._wake.set()
        return change.future

    def withdraw(self, future: asyncio.Future[int]) -> bool:
        """Take a change out of the queue. Returns False if its transaction has begun."""
        for change in self._pending:
            if change.future is future:
                self._pending.remove(change)
                return True
        return False

    async def written(self) -> None:
        """Wait until everything that is queued is written, or can no longer be written."""
        while not self._idle.is_set():  # a change that is written now may be undone, if its caller has gone
            await self._idle.wait()

    def keep_unwritten(self) -> None:
        """Keep all ids that are not written in the file at once, because the process may end at any moment. Ids that come
        later are kept there at once, too. If there is time, all are also written to the database.
        """
        self._is_interrupted = True
        self._keep([*self._group, *self._pending])

    async def close(self) -> None:
        """Write everything, then disconnect. After `CLOSING_SECONDS` without the database, it gives up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await self.written()
        self._closing = True
        self._wake.set()
        self._give_up.set()
        assert self._task is not None  # noqa: S101 - it was opened before
        # If something is left, it ends after this try, unless the database is silent.
        _, late = await asyncio.wait([self._task], timeout=CLOSING_SECONDS)
        if late:
            self._task.cancel()
            await asyncio.wait(late)
        if self._connection is not None:
            await self._connection.close()

    # In its own asyncio task.

    async def _run(self) -> None:
        try:
            await self._write_groups()
        finally:
            self._closing = True  # after a cancellation, changes are refused, and ids go to the file
            self._spool.close()
            self._idle.set()

    async def _write_groups(self) -> None:
        while self._pending or not self._closing:
            if not self._pending:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
                continue
            group, self._pending = self._pending, []
            self._group = group[:]  # a copy, because `_commit` removes refused submits from the group
            try:
                await self._commit(group)
            except Exception as error:  # a bug of ours, or of the database: its callers must get an error
                problem = f"the database {self._database} cannot be written: {first_line(error)}"
                self._refuse(group, LedgerError(problem))
            except asyncio.CancelledError:  # by `close`, or at the end of the program
                problem = f"cannot write to the database {self._database}: it does not answer"
                self._refuse([*group, *self._pending], LedgerError(problem))
                break
            self._group = []

    async def _commit(self, group: list[RowChange]) -> None:
        """Make the changes of a group, and resolve their futures. If the connection is lost, try again."""
        import psycopg  # noqa: PLC0415 - of an extra

        failures = 0
        try:
            while (problem := await self._try(group)) is not None:
                if isinstance(problem, psycopg.errors.DiskFull):
                    full = f"the disk of the database is full: {first_line(problem)}"
                    self._refuse_submits(group, LedgerError(full))
                if self._give_up.is_set():
                    away = f"cannot write to the database {self._database}: {first_line(problem)}"
                    self._refuse(group, LedgerError(away))
                    return
                await self._pause(failures)
                failures += 1
        except psycopg.Error as error:  # of one change, such as a text that the database cannot hold
            await self._commit_each(group, error)
            return
        self._resolve(group)

    async def _commit_each(self, group: list[RowChange], error: Exception) -> None:
        """Make each change of a refused group alone, so that only the faulty change fails."""
        if len(group) == 1:
            self._refuse(group, LedgerError(f"the database refuses: {first_line(error)}"))
            return
        for change in group:
            await self._commit([change])

    async def _try(self, group: list[RowChange]) -> Exception | None:
        """Make the changes in one transaction. Returns why they cannot be made now; None if they are made.

        Raises:
            psycopg.Error: the database refuses a change, and waiting does not help.
        """
        import psycopg  # noqa: PLC0415 - of an extra

        xid = 0
        silence = TimeoutError(f"there is no answer for {SILENT_SECONDS:g} s")
        timer = asyncio.get_running_loop().call_later(SILENT_SECONDS, self._lose, group, silence)
        try:
            connection = await self._connected()
            async with connection.transaction():
                xid = await self._begin(connection, group)
                if self._is_other:  # this database may not know that these items were sent
                    ids = [change.spooled for change in group if change.to is ItemState.SUBMITTED]
                    await statements.keep_ids(connection, ids)
                await make_changes(connection, self.worker, group)
        except (psycopg.Error, LedgerError, OSError) as error:
            if not may_pass(error):
                raise
            problem: Exception | None = error
        else:
            problem = None
        finally:
            timer.cancel()
        if problem is not None:
            self._lose(group, problem)
            if not xid or not await self._was_committed(xid):
                return problem
        self._known.transaction = max(self._known.transaction, xid)
        return None

    def _resolve(self, group: list[RowChange]) -> None:
        self.transactions += any(change.read is None for change in group)
        if self._is_away:
            self._is_away = False
            log.warning("the database can be written again", extra=about("database_back"))
        for change in group:
            self._kept.discard(change)
            if change.error is not None:
                self._fail(change, change.error)
            elif not change.future.done():
                change.future.set_result(change.result)
        if not self._kept:
            self._spool.remove()

    async def _pause(self, failures: int) -> None:
        seconds = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._give_up.wait()

    async def _connected(self) -> Connection:
        """The connection, made again if it was lost. If the database is another one now, nothing new is sent."""
        if self._connection is not None:
            if not self._connection.closed and not self._is_doubtful:
                return self._connection
            await self._connection.close()
            self._connection = None
        connection = await self._database.connect(worker=self.worker, idle=self._idle_seconds)
        async with closed_on_error(connection):
            problem = None if self._is_other else await self._known.difference(connection)
            if problem is not None:
                await self._write_again(connection, problem)
        self._connection, self._is_doubtful = connection, False
        return connection

    async def _write_again(self, connection: Connection, problem: str) -> None:
        """Write the ids that this worker holds, and pause all batches, because the database is another one than before."""
        async with connection.transaction():
            seconds = await statements.keep_ids(connection, self._held())
            if await note_identity(connection, outdated=self._known.identity) is not None:
                await pause_all(connection, problem)
        self._is_other = True
        for spooled in seconds:
            report_second(spooled)
        self._stop(LedgerError(f"{problem}. All batches are paused: check what was lost, then resume them"))

    async def _was_committed(self, xid: int) -> bool:
        """Whether a transaction was committed. The answer to its COMMIT was lost."""
        import psycopg  # noqa: PLC0415 - of an extra

        failures = 0
        while True:
            try:
                connection = await self._connected()
                cursor = await connection.execute("SELECT pg_xact_status(%s::xid8)", (str(xid),))
                (status,) = await cursor.fetchone() or (None,)
            except (psycopg.Error, LedgerError, OSError):
                status = "unknown"
            if self._is_other:
                return False  # in another database, this number is that of another transaction
            if status in {"committed", "aborted", None}:
                return bool(status == "committed")
            if self._give_up.is_set():
                return False
            await self._pause(failures)
            failures += 1

    async def _begin(self, connection: Connection, group: list[RowChange]) -> int:
        """Begin a group, and return its number. A worker that was replaced may not send: then its submits are refused."""
        if all(change.read is not None for change in group):
            return 0
        if not any(change.to is ItemState.SUBMITTING for change in group):
            cursor = await connection.execute(_XID)
            (xid,) = await cursor.fetchone() or (0,)
            return int(xid)
        cursor = await connection.execute(_FENCE, (self.worker,))
        row = await cursor.fetchone()
        if row is None or row[0] != "alive":
            self._stop(
                LedgerError("this worker was replaced, because the database got no heartbeat for too long")
            )
        if self.fault is not None:
            self._refuse_submits(group, self.fault)
        return 0 if row is None else int(row[1])

    def _refuse_submits(self, group: list[RowChange], fault: LedgerError) -> None:
        for change in [
            change for change in group if change.to is ItemState.SUBMITTING and change.read is None
        ]:
            group.remove(change)
            self._fail(change, fault)

    def _stop(self, fault: LedgerError) -> None:
        if self.fault is None:
            self.fault = fault
            self._on_fault(fault)

    def _lose(self, group: list[RowChange], problem: BaseException) -> None:
        """Keep all ids in the file, because the database cannot be written now."""
        self._is_away = True
        self._keep([*group, *self._pending])
        log.warning(
            "the database cannot be written, and nothing is sent meanwhile: %s",
            first_line(problem),
            extra=about("database_lost"),
        )

    def _keep(self, changes: list[RowChange]) -> None:
        """Keep the ids among these changes in the file."""
        ids = [change for change in changes if change.to is ItemState.SUBMITTED and change not in self._kept]
        if ids:
            self._spool.keep([change.spooled for change in ids])
            self._kept.update(ids)

    def _refuse(self, group: list[RowChange], fault: LedgerError) -> None:
        """Refuse these changes. Their ids stay in the file."""
        self._keep(group)
        for change in group:
            self._fail(change, fault)

    @staticmethod
    def _fail(change: RowChange, error: FoxError) -> None:
        if change.future.done():
            return
        if change.to is ItemState.SUBMITTED:
            error = LedgerError(str(error), task_id=change.row["task_id"], charged="yes")
        else:
            error = LedgerError(str(error))
        change.future.set_exception(error)
        change.future.exception()  # this marks the error as read, because not every caller waits for it


async def _nothing(_: Connection) -> None:
    """A read that only needs the connection."""
