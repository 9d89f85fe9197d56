"""The only thread that uses a ledger's connection. It commits in groups.

All work that arrives while it is busy is done in one transaction: a thousand coroutines that each wait for
their own record share one flush of the disk. The thread is the ledger's own, never the loop's default
executor. `run_in_executor` starts it once for each busy period, and it works until the queue is empty. So all
queued work is written even if the loop is blocked meanwhile.
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
from typing import Any, TypeVar

import attrs

from foxapi_async._errors import LedgerError
from foxapi_async._files.disk import to_its_end
from foxapi_async._ledger.schema import LedgerFile, explained
from foxapi_async._ledger.submitted_log import Note, SubmittedLog

T = TypeVar("T")

# Faults of one statement: a refused move, a value that the file cannot hold. Any other fault concerns the file.
_STATEMENT_ERRORS = (
    LedgerError,
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    ValueError,
    OverflowError,
)


@attrs.define(eq=False)
class _QueuedWork:
    """Work for the connection, the future of its waiting caller, and its note for the log."""

    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    note: Note | None
    result: Any = None
    error: LedgerError | None = None


class Writer:
    """Uses one open ledger. Everything except the work itself runs on the loop on which it was made.

    Args:
        path: of the ledger, for the messages.
        begin: the statement that begins a transaction.

    Attributes:
        log: also gets the notes, from the next transaction on; it is closed with the file. None for no log.
        broken: why nothing can be written any more; None if writing works.
    """

    def __init__(self, path: Path, begin: str = "BEGIN IMMEDIATE") -> None:
        self.log: SubmittedLog | None = None
        self.broken: LedgerError | None = None
        self._path = path.absolute()  # a later `chdir` has no effect
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="foxapi-ledger")
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._pending: list[_QueuedWork] = []
        self._busy = False
        self._file: LedgerFile | None = None
        self._refusal: str | None = "is not open"

    async def open(self, opener: Callable[[Path], LedgerFile]) -> None:
        """Open the file in the thread. If cancelled, wait for this anyway: `close` closes it.

        Raises:
            LedgerError: the file cannot be used.
        """
        await to_its_end(self._loop.run_in_executor(self._executor, self._open, opener))

    def _open(self, opener: Callable[[Path], LedgerFile]) -> None:
        self._file = opener(self._path)
        self._refusal = None

    async def close(self) -> None:
        """Write the queued work, close the file, and release it for others. If cancelled, still do so."""
        if os.getpid() != self._process:
            return  # a forked child: the file belongs to its parent
        self._refusal = "is closed"
        try:
            await to_its_end(self._loop.run_in_executor(self._executor, self._close))
        finally:
            self._executor.shutdown(wait=False)

    def _close(self) -> None:
        if self._file is not None:
            # All queued work is committed. The next opening repeats the rest of the clean-up.
            with contextlib.suppress(sqlite3.Error):
                self._file.close()
        if self.log is not None:
            self.log.close()

    def put(self, work: Callable[[sqlite3.Connection], T], note: Note | None = None) -> asyncio.Future[T]:
        """Run `work(connection)` in the next transaction. It is queued before this returns.

        Args:
            work: does its part of the transaction. It runs also if the future is cancelled.
            note: a note for the log: an id is written before the commit, everything else after it.

        Returns:
            A future. It gets the result of `work` when the transaction is durable. It gets a LedgerError if
            the work was refused, or if nothing can be written any more.

        Raises:
            LedgerError: this is another process or event loop than the one that opened the ledger.
        """
        self._check_place()
        job = _QueuedWork(work, self._loop.create_future(), note)
        if self._refusal is not None:
            job.error = LedgerError(f"the ledger {self._path} {self._refusal}")
            _resolve([job])
            return job.future
        with self._lock:
            self._pending.append(job)
            idle, self._busy = not self._busy, True
        if idle:
            try:
                self._loop.run_in_executor(self._executor, self._work)
            except RuntimeError as error:  # the interpreter ends, and starts no more threads
                self.broken = explained(self._path, error)
                group = self._take()
                for lost in group:
                    lost.error = _copy_of(self.broken)
                _resolve(group)
        return job.future

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

    def _take(self) -> list[_QueuedWork]:
        with self._lock:
            group, self._pending = self._pending, []
            self._busy = bool(group)
            return group

    # In the thread.

    def _work(self) -> None:
        while group := self._take():
            try:
                self._commit(group)
            except Exception as error:  # the transaction's error, or a bug: the waiters must get it
                self._break(error)
            if self.broken is not None:
                for job in group:
                    job.error = _copy_of(self.broken)
            with contextlib.suppress(RuntimeError):  # the loop is closed, and all waiters are gone with it
                self._loop.call_soon_threadsafe(_resolve, group)

    def _commit(self, group: list[_QueuedWork]) -> None:
        """Do the work of a group in one transaction, and write its notes to the log."""
        assert self._file is not None  # noqa: S101 - no work is taken before the file is open
        if self.broken is not None:
            return
        connection, log = self._file.connection, self.log
        problem = None
        if log is not None:
            try:
                log.before_commit(connection, [job.note for job in group if job.note is not None])
            except LedgerError as error:
                problem = error
        connection.execute(self._begin)
        for job in group:
            try:
                job.result = job.work(connection)
            except _STATEMENT_ERRORS as error:
                job.error = explained(self._path, error)
        connection.execute("COMMIT")
        if problem is not None:  # the ids are kept in the ledger; nothing more is sent
            raise problem
        if log is not None:
            # A statement that changes nothing fails, or returns False: then its note is not logged.
            done = [job for job in group if job.error is None and job.result is not False]
            log.after_commit(job.note for job in done if job.note is not None)

    def _break(self, error: Exception) -> None:
        """Stop writing: after a failed flush, the content of the disk is unknown until the file is opened again."""
        self.broken = explained(self._path, error)
        with contextlib.suppress(sqlite3.Error):
            assert self._file is not None  # noqa: S101 - as above
            self._file.connection.execute("ROLLBACK")


def _resolve(group: list[_QueuedWork]) -> None:
    """Give each waiting caller its result. An error counts as read: a broken ledger also refuses the next call."""
    for job in group:
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)
            job.future.exception()


def _copy_of(error: LedgerError) -> LedgerError:
    """A new exception object with the same text, for each waiter."""
    return LedgerError(str(error))
