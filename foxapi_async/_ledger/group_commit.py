"""The only thread that uses a ledger's connection. It commits in groups.

All work that arrives while the thread is busy is done in one transaction. So a thousand coroutines that each wait for
their own record share one flush to the disk. The ledger has this thread to itself; it does not use the loop's default
executor. `run_in_executor` starts it once for each busy period, and it works until the queue is empty. So all
queued work is written even if the loop is blocked.

If the disk is full, nothing new is recorded, so nothing more is sent. The reserve is emptied, so that there is space
for the ids of the submits that are under way. An id that still cannot be written is logged at once. It is tried again
for ten minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import attrs

from foxapi_async._errors import LedgerError
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.file_errors import explained, is_full
from foxapi_async._ledger.schema import LedgerFile
from foxapi_async._ledger.submitted_log import Accepted, Note, StateChange, SubmittedLog
from foxapi_async._listener import about, log
from foxapi_async._threads import to_its_end

T = TypeVar("T")

RETRY_SECONDS = 5.0
"""An id that could not be written is tried again after this time."""

GIVE_UP_SECONDS = 600.0
"""After this time, it is not tried any more."""

# The faults of one statement: a refused change, or a value that the file cannot hold. Any other fault is the file's.
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
    """Work for the connection, the future of its waiting caller, and its note for the log.

    Attributes:
        reads: whether it changes nothing.
        is_logged: whether the log has its id.
        is_reported: whether it was reported that its id is not written.
    """

    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    note: Note | None
    reads: bool
    result: Any = None
    error: LedgerError | None = None
    is_logged: bool = False
    is_reported: bool = False

    @property
    def precedes_post(self) -> bool:
        """Whether its caller sends a POST as soon as it is done."""
        return isinstance(self.note, StateChange) and self.note.state is ItemState.SUBMITTING

    @property
    def is_vital(self) -> bool:
        """Whether it is done even if the disk is full: it writes an id, or that a submit was not billed."""
        return isinstance(self.note, Accepted) or (
            isinstance(self.note, StateChange) and self.note.state is ItemState.NEW
        )

    def fail(self, error: LedgerError) -> None:
        """Set its error. Each piece of work gets an exception object of its own."""
        if isinstance(self.note, Accepted):
            self.error = LedgerError(str(error), task_id=self.note.task_id, charged="yes")
        else:
            self.error = LedgerError(str(error))


class Writer:
    """Uses one open ledger. Code on the loop on which it was made calls it, and its thread does the work.

    Args:
        path: the file of the ledger, for the messages.
        begin: the statement that begins a transaction.

    Attributes:
        log: the log that also gets the notes; None for no log. It gets the notes from the next transaction on. It is
            closed with the file.
        broken: why nothing can be written any more; None if writing works.
        full: why only ids and releases are still written; None if the disk has space.
        written: set while no id waits for space on the disk.
    """

    def __init__(self, path: Path, begin: str = "BEGIN IMMEDIATE") -> None:
        self.log: SubmittedLog | None = None
        self.broken: LedgerError | None = None
        self.full: LedgerError | None = None
        self.written = asyncio.Event()
        self.written.set()
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
        self._give_up_at = 0.0
        self._retry: asyncio.TimerHandle | None = None
        # Only the thread uses this.
        self._unwritten: list[_QueuedWork] = []

    async def open(self, opener: Callable[[Path], LedgerFile]) -> None:
        """Open the file in the thread. If this is cancelled, it still waits until the file is open, so that `close` can
        close it.

        Raises:
            LedgerError: the file cannot be used.
        """
        await to_its_end(self._loop.run_in_executor(self._executor, self._open, opener))

    def _open(self, opener: Callable[[Path], LedgerFile]) -> None:
        self._file = opener(self._path)
        self._refusal = None

    async def close(self) -> None:
        """Write the queued work, close the file, and release it for others. A cancellation does not stop this."""
        if os.getpid() != self._process:
            return  # a forked child: the file belongs to its parent
        if self._retry is not None:
            self._try_again()  # for the last time
        self._refusal = "is closed"
        try:
            await to_its_end(self._loop.run_in_executor(self._executor, self._close))
        finally:
            self.written.set()
            self._executor.shutdown(wait=False)

    def _close(self) -> None:
        if self._unwritten:
            self.broken = self.full
        if self._file is not None:
            # All queued work is committed. If the clean-up fails, the next run does it.
            with contextlib.suppress(sqlite3.Error):
                self._file.close(is_clean=self.broken is None)
        if self.log is not None:
            self.log.close()

    def put(
        self, work: Callable[[sqlite3.Connection], T], note: Note | None = None, *, reads: bool = False
    ) -> asyncio.Future[T]:
        """Run `work(connection)` in the next transaction. It is queued before this returns.

        Args:
            work: does its part of the transaction. It runs even if the future is cancelled. It is repeated if
                the transaction fails because the disk is full.
            note: a note for the log: an id is written before the commit, everything else after it.
            reads: whether the work changes nothing. Then it is done even if the disk is full.

        Returns:
            A future. It gets the result of `work` when the transaction is durable. It gets a LedgerError if
            the work was refused, or if nothing can be written any more.

        Raises:
            LedgerError: this is another process or event loop than the one that opened the ledger.
        """
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
        job = _QueuedWork(work, self._loop.create_future(), note, reads)
        if self._refusal is not None:
            job.fail(LedgerError(f"the ledger {self._path} {self._refusal}"))
            self._resolve([(job, job.error)], is_short=False)
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
                    lost.fail(self.broken)
                self._resolve([(lost, lost.error) for lost in group], is_short=False)
        return job.future

    def _take(self) -> list[_QueuedWork]:
        with self._lock:
            group, self._pending = self._pending, []
            self._busy = bool(group)
            return group

    def _resolve(self, group: Iterable[tuple[_QueuedWork, LedgerError | None]], *, is_short: bool) -> None:
        """Give each waiting caller its result, and report the ids that are not written. If ids wait for space on the
        disk, try again later.

        Args:
            group: each piece of work with its error. `job.error` may be another one, because the thread may be doing
                the work again.
            is_short: whether ids wait for space.
        """
        for job, error in group:
            if isinstance(job.note, Accepted) and (error is not None) != job.is_reported:
                job.is_reported = error is not None
                self._report(job.note, error)
            if job.future.done():
                continue
            if error is None:
                job.future.set_result(job.result)
            else:
                job.future.set_exception(error)
                # The error is read here, so that asyncio does not log it. A broken ledger also refuses the next call.
                job.future.exception()
        if not is_short:
            self.written.set()
        elif self._refusal is None and self._retry is None and self.broken is None:
            if self.written.is_set():
                self._give_up_at = self._loop.time() + GIVE_UP_SECONDS
            self.written.clear()
            self._retry = self._loop.call_later(RETRY_SECONDS, self._try_again)

    def _report(self, note: Accepted, error: LedgerError | None) -> None:
        if error is None:
            log.warning(
                "item %s: the id of its task %s is in the ledger now",
                note.key,
                note.task_id,
                extra=about("id_kept", key=note.key, task_id=note.task_id),
            )
        else:
            log.error(
                "item %s: its task %s is billed, and its id could not be written: %s",
                note.key,
                note.task_id,
                error,
                extra=about("id_unkept", key=note.key, task_id=note.task_id, folder=self._path.parent),
            )

    def _try_again(self) -> None:
        """Wake the thread. It first writes the ids that it could not write before. After ten minutes, give up."""
        assert self._retry is not None  # noqa: S101 - only its timer and `close` call this
        self._retry.cancel()
        self._retry = None
        if self._loop.time() >= self._give_up_at:
            self.broken = self.full
            self.written.set()
        else:
            self.put(lambda _: None, reads=True)

    # In the thread.

    def _work(self) -> None:
        while group := self._take():
            group[:0], self._unwritten = self._unwritten, []
            fault = self.broken
            if fault is None:
                try:
                    self._transact(group)
                except Exception as error:  # the transaction's error, or a bug: the callers must get it
                    fault = self._recover(group, error)
            if fault is not None:
                for job in group:
                    job.fail(fault)
            outcomes = [(job, job.error) for job in group]
            done = functools.partial(self._resolve, outcomes, is_short=bool(self._unwritten))
            with contextlib.suppress(RuntimeError):  # the loop is closed, so no caller waits any more
                self._loop.call_soon_threadsafe(done)

    def _recover(self, group: list[_QueuedWork], error: Exception) -> LedgerError | None:
        """Undo a failed transaction. If the disk is full, use the reserve, and do only what must be done.

        If the disk is not full, return the error that all the work gets.
        """
        with contextlib.suppress(sqlite3.Error):
            assert self._file is not None  # noqa: S101 - as below
            self._file.connection.execute("ROLLBACK")
        if not is_full(error):
            # After a failed flush, the content of the disk is unknown until the file is opened again.
            self.broken = explained(self._path, error)
            return self.broken
        if self.full is None:
            self._note_full(error)
            try:
                self._transact(group)
            except Exception as again:
                return self._recover(group, again)
            return None
        for job in group:
            job.fail(self.full)
        unwritten, reads = [job for job in group if job.is_vital], [job for job in group if job.reads]
        if unwritten and reads:
            try:
                self._transact(reads)
            except Exception as again:
                fault = self._recover(reads, again)
                if fault is not None:
                    return fault
        self._unwritten = unwritten
        return None

    def _transact(self, group: list[_QueuedWork]) -> None:
        """Do the work of a group in one transaction, and write its notes to the log. After the disk was full, do
        only what must be done.
        """
        assert self._file is not None  # noqa: S101 - no work is taken before the file is open
        connection, notes = self._file.connection, self.log
        if self.full is not None:
            for job in group:
                job.fail(self.full)
            group = [job for job in group if job.is_vital or job.reads]
        problem = None
        if notes is not None:
            unlogged = [job for job in group if job.note is not None and not job.is_logged]
            problem = notes.before_commit(connection, [job.note for job in unlogged if job.note is not None])
            if problem is not None and self.full is None and is_full(problem):
                raise problem  # `_recover` repeats this with the space of the reserve
            for job in unlogged:
                job.is_logged = problem is None
        connection.execute(self._begin)
        for job in group:
            job.result, job.error = None, None
            try:
                job.result = job.work(connection)
            except _STATEMENT_ERRORS as error:
                job.fail(explained(self._path, error))
        connection.execute("COMMIT")
        if notes is not None and problem is None:
            # A statement that changes nothing fails, or returns False. Then its note is not logged.
            done = [job for job in group if job.error is None and job.result is not False]
            problem = notes.after_commit(job.note for job in done if job.note is not None)
        if problem is not None:
            self._note_unlogged(group, problem)

    def _note_unlogged(self, group: list[_QueuedWork], problem: OSError) -> None:
        """Refuse new work. The ledger has all work of the group, but the log lacks some of its lines."""
        if is_full(problem):
            self._note_full(problem)
        else:
            self.broken = LedgerError(f"cannot write {problem.filename}: {problem.strerror}")
        fault = self.broken or self.full
        for job in group:
            if job.precedes_post and fault is not None:
                job.fail(fault)

    def _note_full(self, error: Exception) -> None:
        """Begin to refuse new work, and empty the reserve, so that there is space for the ids."""
        assert self._file is not None  # noqa: S101 - as above
        if self.full is None:
            self.full = explained(self._path, error)
            self._file.empty_reserve()
