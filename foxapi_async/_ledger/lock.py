"""A file lock, so that only one run uses a ledger at a time. The kernel releases it when the process ends."""

from __future__ import annotations

import os
import sys
import time
import weakref
from pathlib import Path

from foxapi_async._errors import LedgerError
from foxapi_async._files.disk import open_private

# Seconds before each try. A program that checks whether a run is active holds the lock for a moment.
_PAUSES = (0.0, 0.02, 0.1)


class FileLock:
    """The lock of a ledger's file. This run holds it until `release`, or until the process ends.

    A separate file is locked, because SQLite loses its locks if any code in the process closes the database
    file. The separate file is never removed. Otherwise two runs could lock two files of the same name.

    Raises:
        LedgerError: another run has the lock.
        OSError: the separate file cannot be made, or is a link.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_private(_lock_path(path), os.O_RDWR)
        try:
            for pause in _PAUSES:
                time.sleep(pause)  # in a thread
                if _lock(self._file):
                    break
            else:
                raise LedgerError(  # noqa: TRY301 - the file is closed below
                    f"the ledger {path} is in use by {_holder_name(self._file)}: wait for its end, or stop it; "
                    "until then, `foxapi status` can read the ledger"
                )
            os.ftruncate(self._file, 0)
            os.write(self._file, str(os.getpid()).encode())
        except BaseException:
            os.close(self._file)
            raise
        _held.add(self)

    def release(self) -> None:
        """Release the lock for others."""
        _held.discard(self)
        os.close(self._file)


def holder_of(path: Path) -> str | None:
    """The process that has the lock of the file at `path`, such as "process 4711"; None if there is no holder."""
    try:
        file = os.open(_lock_path(path), os.O_RDONLY)
    except OSError:
        return None
    try:
        return None if _lock(file, shared=True) else _holder_name(file)
    finally:
        os.close(file)  # this releases the lock


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _holder_name(file: int) -> str:
    holder = os.read(file, 20)
    return f"process {holder.decode()}" if holder.isdigit() else "another process"


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _release_in_child() -> None:
    """Release the locks in a forked child. It shares them, and would keep them after its parent is killed."""
    for lock in list(_held):
        lock.release()


if sys.platform == "win32":  # pragma: no cover - Windows
    import msvcrt

    def _lock(file: int, *, shared: bool = False) -> bool:
        os.lseek(file, 1 << 20, os.SEEK_SET)  # the locked byte is after the process id, which others read
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(file, 0, os.SEEK_SET)
        if shared:  # Windows may release the lock late when the file is closed, so release it now
            os.lseek(file, 1 << 20, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
        return True
else:
    import fcntl

    def _lock(file: int, *, shared: bool = False) -> bool:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    os.register_at_fork(after_in_child=_release_in_child)
