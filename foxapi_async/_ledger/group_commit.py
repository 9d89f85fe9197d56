"""The one thread that owns a ledger's connection, and commits in groups.

Whatever was asked for while it was busy is done in one transaction: a thousand coroutines that each wait for their
own record share one flush of the disk. The thread is the ledger's own, never the loop's default executor. It is
asked through `run_in_executor` once for each busy spell, and drains what comes in until there is nothing left; so
what has been put is written even if the loop is blocked meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import attrs

from foxapi_async._errors import LedgerError
from foxapi_async._files.disk import to_its_end
from foxapi_async._ledger.schema import LedgerFile, explained
from foxapi_async._ledger.submitted_log import Note, SubmittedLog

P = ParamSpec("P")
T = TypeVar("T")

# One statement's own fault: a refused move, a value that the file cannot hold. Anything else concerns the file.
_ITS_OWN = (
    LedgerError,
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    ValueError,
    OverflowError,
)


@attrs.define(eq=False)
class _Job:
    """Something to be done with the connection, who waits for it, and what the logs say of it."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    future: asyncio.Future[Any]
    note: Note | None = None
    result: Any = None
    error: LedgerError | None = None

    def run(self, path: Path, connection: sqlite3.Connection) -> None:
        try:
            self.result = self.func(connection, *self.args)
        except _ITS_OWN as error:
            self.error = explained(path, error)

    @property
    def has_moved(self) -> bool:
        """Whether what is noted came to pass: a statement that changes nothing fails, or gives False."""
        return self.error is None and self.result is not False

    def resolve(self) -> None:
        """Tell who waits, unless it has gone."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writer:
    """Owns one open ledger. Everything but the work itself runs on the loop on which it was made.

    Args:
        path: of the ledger, for the messages.
        begin: the statement that begins a transaction.
    """

    def __init__(self, path: Path, begin: str = "BEGIN IMMEDIATE") -> None:
        self._path = path
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="foxapi-ledger")
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._pending: list[_Job] = []
        self._busy = False
        self._file: LedgerFile | None = None
        self._log: SubmittedLog | None = None
        self._refusal: str | None = "is not open"
        self._broken: LedgerError | None = None

    async def open(self, opener: Callable[[Path], LedgerFile]) -> None:
        """Open the file in the thread. When cancelled, wait for it all the same: `close` closes it.

        Raises:
            LedgerError: it cannot be used.
        """
        await to_its_end(self._loop.run_in_executor(self._executor, self._open, opener))

    def _open(self, opener: Callable[[Path], LedgerFile]) -> None:
        self._file = opener(self._path)
        self._refusal = None

    async def close(self) -> None:
        """Write what was put, close the file, and let others have it. When cancelled, do so all the same."""
        if os.getpid() != self._process:
            return  # a forked child: the file is its parent's
        self._refusal = "is closed"
        try:
            await to_its_end(self._loop.run_in_executor(self._executor, self._close))
        finally:
            self._executor.shutdown(wait=False)

    def _close(self) -> None:
        if self._file is not None:
            # Everything that was put is committed; what closing still tidies up is repeated at the next opening.
            with contextlib.suppress(sqlite3.Error):
                self._file.close()
        if self._log is not None:
            self._log.close()

    def keep_log(self, log: SubmittedLog) -> None:
        """Write what is noted from now on into these logs, too; they are closed with the file."""
        self._log = log

    def check(self) -> None:
        """Raise if something that was put could not be written.

        Raises:
            LedgerError: that is so.
        """
        if self._broken is not None:
            raise _another(self._broken)

    def put(
        self, func: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **_: P.kwargs
    ) -> asyncio.Future[T]:
        """Have `func(connection, *args)` run in the next transaction; it is queued before this returns.

        What it gave is in the future once the transaction is durable. The future's LedgerError says that it was
        refused, or that nothing can be written any more. It is done also if the future is cancelled meanwhile.

        Raises:
            LedgerError: this is another process or event loop than the one that opened the ledger.
        """
        return self._put(_Job(func, args, self._loop.create_future()))

    def put_noted(
        self, note: Note, func: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **_: P.kwargs
    ) -> asyncio.Future[T]:
        """Do as `put`, and write the note into the logs: an id before the commit, anything else after it.

        Raises:
            LedgerError: as `put`.
        """
        return self._put(_Job(func, args, self._loop.create_future(), note))

    def _put(self, job: _Job) -> asyncio.Future[Any]:
        self._check_place()
        if self._refusal is not None:
            job.future.set_exception(LedgerError(f"the ledger {self._path} {self._refusal}"))
            return job.future
        with self._lock:
            self._pending.append(job)
            idle, self._busy = not self._busy, True
        if idle:
            self._start()
        return job.future

    def _start(self) -> None:
        try:
            self._loop.run_in_executor(self._executor, self._work)
        except RuntimeError as error:  # the interpreter ends, and starts no threads any more
            self._broken = explained(self._path, error)
            for job in self._take():
                job.error = _another(self._broken)
                job.resolve()

    def _check_place(self) -> None:
        if os.getpid() != self._process:
            raise LedgerError(
                f"the ledger {self._path} was opened by another process: a forked one cannot use it"
            )
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if not here:
            raise LedgerError(f"the ledger {self._path} was opened on another event loop: use it there")

    def _work(self) -> None:
        while group := self._take():
            try:
                self._commit(group)
            except Exception as error:  # the transaction's, or a fault of ours: the waiters must know
                self._break(error)
            if self._broken is not None:
                for job in group:
                    job.error = _another(self._broken)
            with contextlib.suppress(RuntimeError):  # the loop is closed, and all who waited are gone with it
                self._loop.call_soon_threadsafe(_resolve, group)

    def _take(self) -> list[_Job]:
        with self._lock:
            group, self._pending = self._pending, []
            self._busy = bool(group)
            return group

    def _commit(self, group: list[_Job]) -> None:
        assert self._file is not None  # noqa: S101 - nothing is taken before it is open
        if self._broken is not None:
            return
        connection = self._file.connection
        problem = self._log_ids(connection, group)
        connection.execute(self._begin)
        for job in group:
            job.run(self._path, connection)
        connection.execute("COMMIT")
        if problem is not None:  # the ids are kept in the ledger; nothing more is sent
            raise problem
        if self._log is not None:
            self._log.after_commit(job.note for job in group if job.note is not None and job.has_moved)

    def _log_ids(self, connection: sqlite3.Connection, group: list[_Job]) -> LedgerError | None:
        """Log the ids of the group; what went wrong if that failed."""
        try:
            if self._log is not None:
                self._log.before_commit(connection, [job.note for job in group if job.note is not None])
        except LedgerError as error:
            return error
        return None

    def _break(self, error: Exception) -> None:
        """Nothing is written any more: after a failed flush nobody knows what the disk holds, until it is opened anew."""
        self._broken = explained(self._path, error)
        with contextlib.suppress(sqlite3.Error):
            assert self._file is not None  # noqa: S101 - as above
            self._file.connection.execute("ROLLBACK")


def _resolve(group: list[_Job]) -> None:
    for job in group:
        job.resolve()


def _another(error: LedgerError) -> LedgerError:
    """Each waiter gets an exception object of its own."""
    return LedgerError(str(error))
