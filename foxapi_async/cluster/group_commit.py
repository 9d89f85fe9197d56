"""The only connection on which a worker changes items. It commits in groups.

All changes that arrive while a transaction runs make the next one. A group moves many items with one
statement for each kind of move. Changes of one item keep their order.

If the connection is lost, the changes wait, and nothing is sent meanwhile, because a submit waits for its
change. The ids that wait are kept in a file. If the answer to COMMIT is lost, the server is asked whether the
transaction was committed, before anything else is done.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from foxapi_async._errors import FoxError, LedgerError
from foxapi_async._ledger.entry import ItemState
from foxapi_async._listener import about, log
from foxapi_async.cluster import statements
from foxapi_async.cluster.database import Database, first_line, identity_of
from foxapi_async.cluster.spool import Spool, SpooledId

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

T = TypeVar("T")

RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each try to reach the database again; the last one repeats."""

CLOSING_SECONDS = 30.0
"""How long `close` still tries to write."""

# Of the fence: whether this worker may send, and the number by which the transaction is found again.
_FENCE = b"SELECT state, pg_current_xact_id()::text FROM worker WHERE id = %s FOR KEY SHARE"
_XID = b"SELECT pg_current_xact_id()::text"


@attrs.define(eq=False)
class RowChange:
    """A change of one item, or a read after all earlier changes.

    Attributes:
        batch: of the item.
        to: the state to which the item moves; None to hand it back, or to read.
        row: the values of the statement's columns.
        read: reads; None for a change.
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
    is_spooled: bool = False

    @property
    def spooled(self) -> SpooledId:
        """The id that this change stores."""
        return SpooledId(self.batch, self.row["key"], self.row["task_id"], self.row["price"])


class RowWriter:
    """Changes the items that one worker owns.

    Args:
        database: where they are.
        worker: its number.
        spool: keeps ids while the database cannot be written.
        on_fault: called if this worker may not send any more: others have replaced it, or the database is
            another one.
        held: returns the ids that this worker holds. If the database is another one, they are written again.

    Attributes:
        fault: why nothing new is recorded any more; None if it is.
    """

    def __init__(
        self,
        database: Database,
        worker: int,
        spool: Spool,
        on_fault: Callable[[LedgerError], None] = lambda _: None,
        held: Callable[[], list[SpooledId]] = list,
    ) -> None:
        self.fault: LedgerError | None = None
        self._database = database
        self.worker = worker
        self._spool = spool
        self._on_fault = on_fault
        self._held = held
        self._pending: list[RowChange] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._connection: Connection | None = None
        self._identity: str | None = None
        self._closing = False
        self._give_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.transactions = 0

    async def open(self) -> None:
        """Connect.

        Raises:
            LedgerError: the database cannot be reached.
        """
        self._connection = await self._database.connect(worker=self.worker)
        self._identity = await identity_of(self._connection)
        self._task = asyncio.create_task(self._run(), name="foxapi cluster writer")

    def put(self, batch: str, to: ItemState | None, **row: Any) -> asyncio.Future[Any]:
        """Queue a change. The future gets the epoch of the item when the change is durable, or a LedgerError."""
        return self._queue(RowChange(batch, to, row, asyncio.get_running_loop().create_future()))

    def read(self, func: Callable[[Connection], Awaitable[T]]) -> asyncio.Future[T]:
        """Read after all changes that are queued now."""
        return self._queue(RowChange("", None, {}, asyncio.get_running_loop().create_future(), func))

    def _queue(self, change: RowChange) -> asyncio.Future[Any]:
        if self._closing:
            self._fail(change, LedgerError(f"the connection to the database {self._database} is closed"))
            return change.future
        self._pending.append(change)
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
        await self._idle.wait()

    async def close(self) -> None:
        """Write everything, then disconnect. After `CLOSING_SECONDS` without the database, it gives up."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(CLOSING_SECONDS, self._give_up.set)
            await self._task
            timer.cancel()
        if self._connection is not None:
            await self._connection.close()

    # In its own asyncio task.

    async def _run(self) -> None:
        while self._pending or not self._closing:
            if not self._pending:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
                continue
            group, self._pending = self._pending, []
            try:
                await self._commit(group)
            except Exception as error:  # a bug of ours, or of the database: the waiters must get it
                fault = LedgerError(f"the database {self._database} cannot be written: {first_line(error)}")
                for change in group:
                    self._fail(change, fault)
        if not self._give_up.is_set():
            self._spool.remove()
        self._spool.close()
        self._idle.set()

    async def _commit(self, group: list[RowChange]) -> None:
        """Make the changes of a group, however often the connection is lost, and resolve their futures."""
        import psycopg  # noqa: PLC0415 - of an extra

        failures = 0
        while (problem := await self._try(group)) is not None:
            if isinstance(problem, psycopg.Error) and not isinstance(problem, _lost_connection()):
                await self._commit_each(group, problem)
                return
            if isinstance(problem, psycopg.errors.DiskFull):
                full = LedgerError(f"the disk of the database is full: {first_line(problem)}")
                self._refuse_submits(group, full)
            self._keep(group, problem)
            if self._give_up.is_set():
                fault = LedgerError(f"cannot write to the database {self._database}: {first_line(problem)}")
                for change in group:
                    self._fail(change, fault)
                return
            await self._pause(failures)
            failures += 1
        self.transactions += any(change.read is None for change in group)
        if failures:
            log.warning("the database can be written again", extra=about("database_back"))
        for change in group:
            if change.error is not None:
                self._fail(change, change.error)
            elif not change.future.done():
                change.future.set_result(change.result)

    async def _try(self, group: list[RowChange]) -> Exception | None:
        """Make the changes in one transaction. Returns why it was not committed; None if it was."""
        import psycopg  # noqa: PLC0415 - of an extra

        xid = ""
        try:
            connection = await self._connected()
            async with connection.transaction():
                xid = await self._begin(connection, group)
                await self._make(connection, group)
        except (psycopg.Error, LedgerError, OSError) as error:
            problem: Exception = error
        else:
            return None
        if xid and isinstance(problem, _lost_connection()) and await self._was_committed(xid):
            return None
        return problem

    async def _commit_each(self, group: list[RowChange], error: Exception) -> None:
        """Make each change of a refused group alone, so that the others do not suffer from a faulty one."""
        if len(group) == 1:
            self._fail(group[0], LedgerError(f"the database refuses: {first_line(error)}"))
            return
        for change in group:
            await self._commit([change])

    async def _pause(self, failures: int) -> None:
        seconds = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._give_up.wait()

    async def _connected(self) -> Connection:
        """The connection, made again if it was lost. If the database is another one now, nothing new is sent."""
        if self._connection is not None and not self._connection.broken and not self._connection.closed:
            return self._connection
        self._connection = None
        connection = await self._database.connect(worker=self.worker)
        identity = await identity_of(connection)
        if identity != self._identity:
            await self._write_again(connection, identity)
            self._identity = identity
        self._connection = connection
        return connection

    async def _write_again(self, connection: Connection, identity: str) -> None:
        """The server is another one, such as a restored backup: write the ids that we hold, and pause all batches."""
        problem = f"the database is another one than before ({identity} instead of {self._identity})"
        async with connection.transaction():
            seconds = await statements.keep_ids(connection, self._held())
            await pause_all(connection, identity, problem)
        for spooled in seconds:
            _report_second(spooled)
        self._stop(LedgerError(f"{problem}: all batches are paused. Check what was lost, then resume them"))

    async def _was_committed(self, xid: str) -> bool:
        """Whether a transaction was committed whose answer was lost."""
        import psycopg  # noqa: PLC0415 - of an extra

        failures = 0
        while True:
            try:
                connection = await self._connected()
                cursor = await connection.execute("SELECT pg_xact_status(%s::xid8)", (xid,))
                (status,) = await cursor.fetchone() or (None,)
            except (psycopg.Error, LedgerError, OSError):
                status = "unknown"
            if self.fault is not None and status != "committed":
                return False  # of another server: its numbers mean nothing here
            if status in {"committed", "aborted", None}:
                return bool(status == "committed")
            if self._give_up.is_set():
                return False
            await self._pause(failures)
            failures += 1

    async def _begin(self, connection: Connection, group: list[RowChange]) -> str:
        """Begin a group. A worker that was replaced may not send: then its submits are refused."""
        if all(change.read is not None for change in group):
            return ""
        if not any(change.to is ItemState.SUBMITTING for change in group):
            cursor = await connection.execute(_XID)
            (xid,) = await cursor.fetchone() or ("",)
            return str(xid)
        cursor = await connection.execute(_FENCE, (self.worker,))
        row = await cursor.fetchone()
        if row is None or row[0] != "alive":
            self._stop(
                LedgerError("this worker was replaced, because the database did not hear of it for too long")
            )
        if self.fault is not None:
            self._refuse_submits(group, self.fault)
        return "" if row is None else str(row[1])

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

    async def _make(self, connection: Connection, group: list[RowChange]) -> None:
        """Make the changes in waves: each wave has at most one change of an item, so it is a set of statements."""
        wave: dict[tuple[str, str], RowChange] = {}
        for change in group:
            change.result = change.error = None
            place = change.batch, change.row.get("key", "")
            if change.read is not None or place in wave:
                await self._move(connection, list(wave.values()))
                wave.clear()
            if change.read is not None:
                change.result = await change.read(connection)
            else:
                wave[place] = change
        await self._move(connection, list(wave.values()))

    async def _move(self, connection: Connection, wave: list[RowChange]) -> None:
        moves: dict[tuple[str, ItemState | None], list[RowChange]] = {}
        for change in wave:
            moves.setdefault((change.batch, change.to), []).append(change)
        for (batch, to), changes in moves.items():
            await self._move_all(connection, batch, to, changes)

    async def _move_all(
        self, connection: Connection, batch: str, to: ItemState | None, changes: list[RowChange]
    ) -> None:
        """Move items to one state with one statement. Those that do not move are refused, with the reason."""
        same = {"batch": batch, "worker": self.worker}
        if to is ItemState.SUBMITTING:
            # In the order of the keys, so that two workers do not wait for each other.
            missing = [change.row for change in changes if not change.row["epoch"]]
            if missing:
                columns = {name: [row[name] for row in missing] for name in ("key", "fingerprint", "opening")}
                await connection.execute(statements.INSERT_MISSING.encode(), {**same, **columns})
        text, names = statements.MOVES[to]
        cursor = await connection.execute(
            text, {**same, **{name: [change.row[name] for change in changes] for name in names}}
        )
        epochs: dict[str, int] = dict(await cursor.fetchall())
        refused: list[RowChange] = []
        for change in changes:
            change.result = epochs.get(change.row["key"])
            if change.result is None:
                refused.append(change)
        if refused and to is not None:
            await self._explain(connection, batch, to, refused)

    async def _explain(
        self, connection: Connection, batch: str, to: ItemState, refused: list[RowChange]
    ) -> None:
        known = await statements.look_up(connection, batch, [change.row["key"] for change in refused])
        for change in refused:
            key, entry = change.row["key"], known.get(change.row["key"])
            if entry is None:
                change.error = LedgerError(f"item {key!r} cannot become {to.value}: it is not in the ledger")
                if to is ItemState.SUBMITTED:
                    await self._keep_second(connection, change)
                continue
            if to is ItemState.SUBMITTING and entry.fingerprint != change.row["fingerprint"]:
                change.error = LedgerError(
                    f"item {key!r} is in the ledger with another request: give the changed one its own id"
                )
                continue
            task = f" as task {entry.task_id}" if entry.task_id else ""
            change.error = LedgerError(
                f"item {key!r} cannot become {to.value}: it is {entry.state.value} there{task}"
            )
            if to is ItemState.SUBMITTED and entry.task_id != change.row["task_id"]:
                await self._keep_second(connection, change)

    async def _keep_second(self, connection: Connection, change: RowChange) -> None:
        """Keep an id that its item cannot take."""
        values = {**attrs.asdict(change.spooled), "worker": self.worker}
        await connection.execute(statements.SECOND_TASK.encode(), values)
        _report_second(change.spooled)

    def _keep(self, group: list[RowChange], problem: BaseException) -> None:
        """Keep the ids of a group in a file, because the database cannot be written."""
        ids = [
            change
            for change in [*group, *self._pending]
            if change.to is ItemState.SUBMITTED and not change.is_spooled
        ]
        if ids:
            self._spool.keep([change.spooled for change in ids])
            for change in ids:
                change.is_spooled = True
        log.warning(
            "the database cannot be written, and nothing is sent meanwhile: %s",
            first_line(problem),
            extra=about("database_lost"),
        )

    @staticmethod
    def _fail(change: RowChange, error: FoxError) -> None:
        if change.future.done():
            return
        if change.to is ItemState.SUBMITTED:
            error = LedgerError(str(error), task_id=change.row["task_id"], charged="yes")
        else:
            error = LedgerError(str(error))
        change.future.set_exception(error)
        change.future.exception()  # an error counts as read: not every caller waits


def _lost_connection() -> tuple[type[Exception], ...]:
    """The errors of a connection or a server, which may pass; others concern one statement."""
    import psycopg  # noqa: PLC0415 - of an extra

    return psycopg.OperationalError, psycopg.InterfaceError, OSError


async def pause_all(connection: Connection, identity: str, problem: str) -> None:
    """Pause all batches, because the server is another one, and note its identity. Only the first caller does so."""
    cursor = await connection.execute(
        "UPDATE meta SET value = %s WHERE name = 'identity' AND value <> %s", (identity, identity)
    )
    if cursor.rowcount:
        await connection.execute(
            "UPDATE batch SET state = 'paused', reason = 'database', problem = %s WHERE state = 'open'",
            (problem,),
        )


def _report_second(spooled: SpooledId) -> None:
    log.error(
        "item %s of batch %s has a second task, %s, which is billed too",
        spooled.key,
        spooled.batch,
        spooled.task_id,
        extra=about("second_task", key=spooled.key, task_id=spooled.task_id),
    )
