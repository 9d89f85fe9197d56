"""Explains errors of SQLite and of the disk to the user: what is wrong with a ledger's file, and what to do."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from foxapi_async._errors import LedgerError

_NO_SPACE = "cannot grow: free some space on its disk (or where temporary files are), then run it again"
BAD_FILE = {
    sqlite3.SQLITE_NOTADB: "is not a ledger: give another folder or file name",
    sqlite3.SQLITE_CORRUPT: (
        "is damaged: keep it, recover its readable part with `sqlite3 FILE .recover`, or use a copy; "
        "a new ledger would submit and bill everything again"
    ),
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that its folder exists and that you may write there",
    sqlite3.SQLITE_READONLY: "cannot be written: check that you own the file and its folder",
    sqlite3.SQLITE_PERM: "may not be opened: check that you own the file and its folder",
    sqlite3.SQLITE_FULL: _NO_SPACE,
    sqlite3.SQLITE_IOERR_SHMSIZE: _NO_SPACE,
    sqlite3.SQLITE_BUSY: "is in use by another program: close that, then run it again",
    sqlite3.SQLITE_LOCKED: "is in use by another program: close that, then run it again",
    sqlite3.SQLITE_IOERR: "cannot be read or written: check its disk, then run it again",
}


# A write that failed because there was no space may be repeated. A failed flush may not. SQLite reports SQLITE_FULL
# only for ENOSPC. For a quota, or a limit of the file's size, it reports a failed write.
_FULL_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_full(error: Exception) -> bool:
    """Whether a write failed because there was no space."""
    if isinstance(error, OSError):
        return error.errno in _FULL_ERRNOS
    return getattr(error, "sqlite_errorcode", None) in _FULL_CODES


def explained(path: Path, error: Exception) -> LedgerError:
    """The error for the user: what is wrong with the ledger, and what to do."""
    if isinstance(error, LedgerError):
        return error
    if isinstance(error, OSError) and is_full(error):
        return LedgerError(f"cannot write {error.filename or path}: {error.strerror or error}")
    code = getattr(error, "sqlite_errorcode", 0)
    if code != sqlite3.SQLITE_IOERR_SHMSIZE:
        code &= 0xFF  # without the bits for details
    advice = BAD_FILE.get(code, "cannot be used")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return LedgerError(f"the ledger {path} {advice} ({reason})")
