"""Opens a ledger's file: takes its lock, checks the existing file, and brings it up to date.

The lock comes first. Then the file is checked without changing it. So another program's database, or a ledger of
a newer version, keeps every byte. After that the file is opened for writing, and SQLite may recover it after a
killed run. Every failure is a `LedgerError` that says what to do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import attrs

from foxapi_async._errors import LedgerError
from foxapi_async._files.disk import append_whole, open_private
from foxapi_async._ledger.file_errors import BAD_FILE, explained
from foxapi_async._ledger.lock import FileLock, holder_of

# "FoxL", in the file's header: distinguishes a ledger from any other SQLite file.
APPLICATION = 0x466F784C

NOW = "(julianday('now') - 2440587.5) * 86400.0"

# One script for each version, in order. A published script is never changed; a new one continues it. The
# records have their own table because they are long: counting must not read them. `LedgerView` reads every
# version: its statements use only the columns of version 1.
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
    # The id that an item had before it was submitted again. The latest id is ifnull(task_id, former_task_id).
    """
    ALTER TABLE item ADD COLUMN former_task_id TEXT;
    """,
)

_CACHE_KIB = 8000

# How long to wait for another program that reads the file. Such a program holds the file only for a moment.
_BUSY_SECONDS = 30.0

_RESERVE = ".reserve"
_RESERVE_BYTES = 64 * 1024
_RESERVE_BYTES_OF_AN_ITEM = 8 * 1024


@attrs.define
class LedgerFile:
    """An open ledger: the only connection, the lock that makes it the only writer, and the reserve.

    The reserve is a file of random bytes. If the disk becomes full, the reserve is emptied, so that there is space for
    the ids of the tasks.
    """

    connection: sqlite3.Connection
    lock: FileLock | None = None
    copy: tempfile.TemporaryDirectory[str] | None = None
    _reserve: tuple[Path, int] | None = attrs.field(default=None, init=False)

    def fill_reserve(self, path: Path, items: int) -> None:
        """Write the reserve, with space for the ids of this many items in flight.

        Raises:
            LedgerError: there is no space for the reserve.
        """
        size = _RESERVE_BYTES + items * _RESERVE_BYTES_OF_AN_ITEM
        try:
            file = open_private(path, os.O_WRONLY | os.O_TRUNC)
            self._reserve = path, file
            for _ in range(0, size, _RESERVE_BYTES_OF_AN_ITEM):
                append_whole(file, os.urandom(_RESERVE_BYTES_OF_AN_ITEM))
            os.fsync(file)
        except OSError as error:
            problem = error.strerror or str(error)
        else:
            return
        self.empty_reserve()
        raise LedgerError(
            f"cannot write {path}: {problem}. Nothing was sent. This file reserves {size // 1024:,} KiB for the ids of "
            "the tasks, in case the disk becomes full. Free space on the disk, then run it again"
        )

    def empty_reserve(self) -> None:
        """Free the space of the reserve."""
        if self._reserve is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._reserve[1], 0)

    def close(self, *, is_clean: bool = True) -> None:
        """Close the connection, then release the file for others.

        After a clean run the ledger is a single file. A later reader finds no WAL, and SQLite makes none for it.

        Args:
            is_clean: whether the file has everything and is not damaged. If not, the reserve stays, so that the next
                run checks the whole file.
        """
        try:
            if self.lock is not None and is_clean:
                # Another program that reads the file may prevent this. Then the next run does it.
                with contextlib.suppress(sqlite3.Error):
                    for text in ("busy_timeout=0", "wal_checkpoint(TRUNCATE)", "journal_mode=DELETE"):
                        _pragma(self.connection, text)
            self.connection.close()
        finally:
            if self._reserve is not None:
                path, file = self._reserve
                os.close(file)
                if is_clean:
                    path.unlink(missing_ok=True)
            if self.lock is not None:
                self.lock.release()
            if self.copy is not None:
                self.copy.cleanup()


def open_to_write(path: Path, room: int = 0, before_making: Callable[[], None] | None = None) -> LedgerFile:
    """The ledger, open for this run only. If it or its folder is missing, it is made. An older version is brought
    up to date.

    Args:
        path: the file of the ledger.
        room: the largest number of items in flight. The reserve has space for their ids.
        before_making: called before a missing ledger is made; it may refuse with a LedgerError.

    Raises:
        LedgerError: the file is in use, of a newer version, not a ledger, damaged, or cannot be written; or there is
            no space for the reserve.
    """
    with contextlib.ExitStack() as undo:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            undo.callback(lock.release)
            found = _judge(path)
            if found.version == 0 and before_making is not None:
                before_making()
            if not path.exists():  # SQLite gives its other files the same owner and mode
                os.close(open_private(path, os.O_RDWR))
            connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            file = LedgerFile(connection, lock)
            undo.pop_all()
            undo.callback(file.close, is_clean=found.clean)
            file.fill_reserve(path.with_suffix(_RESERVE), room)
            _prepare(path, connection, found)
        except (sqlite3.Error, OSError, ValueError) as error:
            problem = explained(path, error)
        else:
            undo.pop_all()
            return file
    raise problem


def _prepare(path: Path, connection: sqlite3.Connection, found: _Found) -> None:
    check = _pragma(connection, "quick_check(1)" if found.clean else "integrity_check(1)")
    if check != "ok":
        raise LedgerError(f"the ledger {path} {BAD_FILE[sqlite3.SQLITE_CORRUPT]} ({check})")
    # WAL needs memory that processes share. A network file system may not have it. Then the answer is not "wal".
    if _pragma(connection, "journal_mode=WAL") != "wal":
        _pragma(connection, "journal_mode=DELETE")
    _pragma(connection, "synchronous=FULL")
    _pragma(connection, "temp_store=FILE")
    # Keys come in random order, so SQLite would keep most pages of the file in memory. This limits their number.
    _pragma(connection, f"cache_size={-_CACHE_KIB}")
    _pragma(connection, f"temp.cache_size={-_CACHE_KIB // 2}")
    # A temporary table is dropped at the end and after a failure, so it needs no journal.
    _pragma(connection, "temp.journal_mode=OFF")
    if found.version < len(
        MIGRATIONS
    ):  # in one transaction, so that a kill leaves the old version or the new one
        connection.executescript(
            "BEGIN IMMEDIATE;"
            + "".join(MIGRATIONS[found.version :])
            + f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={len(MIGRATIONS)}; COMMIT;"
        )


def open_to_read(path: Path) -> LedgerFile:
    """The ledger, open for reading, even during a run. Older versions are not changed.

    If the ledger needs recovery, a recovered copy is read, because only a run may change the ledger.

    Raises:
        LedgerError: there is no ledger, or it is of a newer version, not a ledger, or cannot be read.
    """
    with contextlib.ExitStack() as undo:
        try:
            file = _opened_to_read(path, undo)
        except (sqlite3.Error, OSError, ValueError) as error:
            problem = explained(path, error)
        else:
            undo.pop_all()
            return file
    raise problem


def _opened_to_read(path: Path, undo: contextlib.ExitStack) -> LedgerFile:
    if not path.is_file():
        raise _no_ledger(path)
    way = "immutable=1" if _is_at_rest(path) else "mode=ro"
    file = LedgerFile(
        sqlite3.connect(
            f"{path.absolute().as_uri()}?{way}", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
        )
    )
    undo.callback(file.close)
    try:
        version = _version(path, file.connection)
    except sqlite3.OperationalError as error:
        # There is a hot journal, or a WAL in a folder that cannot be written. If a run is active, the error is real.
        if error.sqlite_errorcode & 0xFF not in _NEEDS_COPY or holder_of(path) is not None:
            raise
        undo.pop_all().close()
        file = _open_copy(path, _copy_all)
        undo.callback(file.close)
        version = _version(path, file.connection)
    if version == 0:
        raise _no_ledger(path)
    return file


def _is_at_rest(path: Path) -> bool:
    """Whether a ledger in WAL mode has no run and no WAL. Older versions of this package end a run like this.

    SQLite makes a new WAL for such a file, even to read it. In a folder that cannot be written this fails. In any
    other folder the WAL stays.
    """
    if holder_of(path) is not None or any(_size(path, suffix) for suffix in _SUFFIXES):
        return False
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)[18:19] == b"\x02"


_NEEDS_COPY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


def _no_ledger(path: Path) -> LedgerError:
    return LedgerError(f"there is no ledger {path}: no run has begun there")


# The existing file.

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_LARGEST_PAGE = 65536


@attrs.frozen
class _Found:
    """The state of a ledger's file.

    Attributes:
        version: the version of its tables; 0 if the ledger must still be made.
        clean: whether the last run closed it.
    """

    version: int
    clean: bool


def _judge(path: Path) -> _Found:
    """The state of the file at the path, found without changing a byte.

    For a closed ledger, its header is enough. Otherwise the newest state may be in a WAL or a journal. Then
    SQLite recovers a copy of the first page with those two files. The first page is enough, because it has the
    application id and the version.

    Raises:
        LedgerError: the file is another program's, or of a newer version.
    """
    if not path.is_file():
        return _Found(0, clean=True)
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    clean = not any(_size(path, suffix) for suffix in _SUFFIXES) and not path.with_suffix(_RESERVE).exists()
    if clean and (not header or _is_ledger(header)):
        return _Found(_checked_version(path, int.from_bytes(header[60:64])), clean)
    copy = _open_copy(path, _copy_head)
    try:
        return _Found(_version(path, copy.connection), clean)
    finally:
        copy.close()


_SUFFIXES = ("-wal", "-journal")


def _is_ledger(header: bytes) -> bool:
    return header.startswith(_MAGIC) and int.from_bytes(header[68:72]) == APPLICATION


def _size(path: Path, suffix: str) -> int:
    file = path.with_name(path.name + suffix)
    return file.stat().st_size if file.is_file() else 0


def _open_copy(path: Path, copy: Callable[[Path, Path], None]) -> LedgerFile:
    """A copy of the file with its WAL and journal, in a temporary folder. Opening it recovers it."""
    folder = tempfile.TemporaryDirectory(prefix="foxapi-")
    try:
        target = Path(folder.name) / "ledger"
        copy(path, target)
        for suffix in _SUFFIXES:
            if _size(path, suffix):
                shutil.copyfile(path.with_name(path.name + suffix), target.with_name(target.name + suffix))
        return LedgerFile(sqlite3.connect(target, isolation_level=None), copy=folder)
    except BaseException:
        folder.cleanup()
        raise


def _copy_all(path: Path, target: Path) -> None:
    shutil.copyfile(path, target)


def _copy_head(path: Path, target: Path) -> None:
    """Copy only the first page, into a file of the same size. The rest is a hole, which takes no space on the disk."""
    with path.open("rb") as source, target.open("wb") as file:
        file.write(source.read(_LARGEST_PAGE))
        file.truncate(path.stat().st_size)


def _pragma(connection: sqlite3.Connection, text: str) -> object:
    row = connection.execute(f"PRAGMA {text}").fetchone()
    return row and row[0]


def _version(path: Path, connection: sqlite3.Connection) -> int:
    """The version of its tables; 0 for an empty file, which becomes a ledger. Reads only the first page."""
    application = _pragma(connection, "application_id")
    if application != APPLICATION and _pragma(connection, "schema_version"):
        raise LedgerError(
            f"the ledger {path} is another program's database: give another folder or file name"
        )
    return _checked_version(path, int(str(_pragma(connection, "user_version"))))


def _checked_version(path: Path, version: int) -> int:
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"the ledger {path} was made by a newer foxapi-async (ledger version {version}; this "
            f"one knows {len(MIGRATIONS)}): upgrade with `pip install -U foxapi-async`"
        )
    return version
