"""Opens a ledger's file: takes its lock, makes sure that it is a sound ledger, and brings it up to date.

Nothing is written before it is known to be a ledger. Every failure is a `LedgerError` with the way out.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import attrs

from foxapi_async._errors import LedgerError
from foxapi_async._ledger.lock import FileLock

# "FoxL", in the file's header: tells a ledger from any other SQLite file.
APPLICATION = 0x466F784C

NOW = "(julianday('now') - 2440587.5) * 86400.0"

# One script for each version, in order; what has been published is never changed, only continued.
# The records stand apart, because they are long: counting must not read them.
MIGRATIONS: tuple[str, ...] = (
    f"""
    CREATE TABLE item (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        fingerprint TEXT NOT NULL,
        state TEXT NOT NULL,
        origin TEXT NOT NULL,
        idempotency_key TEXT NOT NULL,
        task_id TEXT,
        price REAL,
        sunk REAL NOT NULL DEFAULT 0,
        changed REAL NOT NULL
    );
    CREATE TABLE record (id INTEGER PRIMARY KEY REFERENCES item, text TEXT, opening TEXT);
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO meta VALUES ('created', {NOW});
    """,  # noqa: S608 - of constants
)

_CACHE_KIB = 8000

# Another program that looks into the file holds it for moments only.
_BUSY_SECONDS = 30.0

_BAD_FILE = {
    sqlite3.SQLITE_NOTADB: "is no ledger: give another folder or file name",
    sqlite3.SQLITE_CORRUPT: (
        "is damaged: keep it, get back what can be read with `sqlite3 FILE .recover`, or use a copy; "
        "a new ledger would submit and bill everything again"
    ),
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: see that its folder exists and that you may write there",
    sqlite3.SQLITE_READONLY: "cannot be written: see that you own the file and its folder",
    sqlite3.SQLITE_PERM: "may not be opened: see that you own the file and its folder",
    sqlite3.SQLITE_FULL: "cannot grow: free some space on its disk (or where temporary files are), then run it again",
    sqlite3.SQLITE_BUSY: "is in use by another program: close that, then run it again",
    sqlite3.SQLITE_LOCKED: "is in use by another program: close that, then run it again",
    sqlite3.SQLITE_IOERR: "cannot be read or written: see to its disk, then run it again",
}


def explained(path: Path, error: Exception) -> LedgerError:
    """The error for the user: what is wrong with the ledger, and the fix."""
    if isinstance(error, LedgerError):
        return error
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest is detail
    advice = _BAD_FILE.get(code, "cannot be used")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return LedgerError(f"the ledger {path} {advice} ({reason})")


@attrs.frozen
class LedgerFile:
    """An open ledger: the one connection, and the lock that makes it the only one that writes."""

    connection: sqlite3.Connection
    lock: FileLock | None = None

    def close(self) -> None:
        """Close the connection, then let others have the file."""
        try:
            self.connection.close()
        finally:
            if self.lock is not None:
                self.lock.release()


def open_to_write(path: Path) -> LedgerFile:
    """Open the ledger for this run alone; it and its folder are made where missing, older versions brought up to date.

    Raises:
        LedgerError: it is in use, of a newer version, no ledger, damaged, or cannot be written.
    """
    with contextlib.ExitStack() as undo:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            undo.callback(lock.release)
            connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            undo.callback(connection.close)
            _prepare(path, connection)
        except (sqlite3.Error, OSError, ValueError) as error:
            problem = explained(path, error)
        else:
            undo.pop_all()
            return LedgerFile(connection, lock)
    raise problem


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    version = _version(path, connection)
    _check(path, connection)
    # WAL needs memory shared between processes; a network file system that has none answers with another word.
    if _pragma(connection, "journal_mode=WAL") != "wal":
        _pragma(connection, "journal_mode=DELETE")
    _pragma(connection, "synchronous=FULL")
    _pragma(connection, "temp_store=FILE")
    # Keys come in no order. The pages kept in memory are bounded; what does not fit is read again.
    _pragma(connection, f"cache_size={-_CACHE_KIB}")
    _pragma(connection, f"temp.cache_size={-_CACHE_KIB // 2}")
    _pragma(connection, "temp.journal_mode=OFF")  # it is forgotten at the end, and after any failure
    connection.execute("CREATE TEMP TABLE seen (fingerprint TEXT PRIMARY KEY, times INTEGER) WITHOUT ROWID")
    if version < len(MIGRATIONS):
        _migrate(connection, version)


def open_to_read(path: Path) -> LedgerFile:
    """Open the ledger to look at it, whether or not a run is on.

    Raises:
        LedgerError: there is none, it is of another version, no ledger, or cannot be read.
    """
    with contextlib.ExitStack() as undo:
        try:
            if not path.is_file():
                raise LedgerError(f"there is no ledger {path}: nothing was run there yet")
            connection = sqlite3.connect(
                f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
            )
            undo.callback(connection.close)
            if _version(path, connection) < len(MIGRATIONS):
                raise LedgerError(
                    f"the ledger {path} is of an older version: run the batch once, which updates it"
                )
        except (sqlite3.Error, OSError, ValueError) as error:
            problem = explained(path, error)
        else:
            undo.pop_all()
            return LedgerFile(connection)
    raise problem


def _pragma(connection: sqlite3.Connection, text: str) -> object:
    row = connection.execute(f"PRAGMA {text}").fetchone()
    return row and row[0]


def _version(path: Path, connection: sqlite3.Connection) -> int:
    """The version of its tables; 0 of an empty file, which becomes a ledger."""
    application = _pragma(connection, "application_id")
    if application != APPLICATION and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise LedgerError(
            f"the ledger {path} is another program's database: give another folder or file name"
        )
    version = int(str(_pragma(connection, "user_version")))
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"the ledger {path} was made by a newer foxapi-async (version {version} of it, "
            f"{len(MIGRATIONS)} is known here): upgrade with `pip install -U foxapi-async`"
        )
    return version


def _check(path: Path, connection: sqlite3.Connection) -> None:
    found = _pragma(connection, "quick_check(1)")
    if found != "ok":
        raise LedgerError(f"the ledger {path} {_BAD_FILE[sqlite3.SQLITE_CORRUPT]} ({found})")


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """All at once: a kill leaves the old version or the new one."""
    connection.executescript(
        "BEGIN IMMEDIATE;"
        + "".join(MIGRATIONS[version:])
        + f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={len(MIGRATIONS)}; COMMIT;"
    )
