"""Disks for tests: real file systems that only processes of the test see, small or not to be written; and one that is scripted."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from foxapi_async._ledger import schema


@functools.cache
def can_mount():
    """Whether this machine lets a process of ours mount file systems that only it sees."""
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        return False
    words = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(
    "not __import__('disks').can_mount()", reason="no file system can be mounted"
)


def start_with(mounting, *words, **options):
    """Start `python *words` in a process that first runs the shell's `mounting` in its own mount namespace."""
    shell = ["unshare", "-rm", "sh", "-c", f'{mounting} && exec "$@"', "sh", sys.executable, *map(str, words)]
    return subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def read_only(folder):
    """The `mounting` that makes a folder one that cannot be written."""
    return f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}'"


class SmallDisk:
    """A file system in memory with a given size.

    Args:
        folder: where its processes see it.
        kilobytes: its size.
    """

    def __init__(self, folder: Path, kilobytes: int) -> None:
        folder.mkdir()
        self.folder = folder
        mounting = f"mount -t tmpfs -o size={kilobytes}k tmpfs '{folder}' && echo mounted && exec sleep 600"
        self._holder = subprocess.Popen(["unshare", "-rm", "sh", "-c", mounting], stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"mounted\n"
        self._namespace = ["-t", str(self._holder.pid), "-U", "-m", "--preserve-credentials"]
        self.path = Path(f"/proc/{self._holder.pid}/root{folder}")
        """Where this process sees it. SQLite resolves the path, so it cannot open a file there."""

    def inside(self, *words):
        """The command that runs a program which sees it."""
        return ["nsenter", *self._namespace, *words]

    def start(self, *words, **options):
        """Start `foxapi *words` on it."""
        command = [sys.executable, "-W", "error", "-m", "foxapi_async", *map(str, words)]
        return subprocess.Popen(
            self.inside(*command),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def resize(self, kilobytes):
        """Give it another size."""
        words = ["mount", "-o", f"remount,size={kilobytes}k", str(self.folder)]
        subprocess.run(self.inside(*words), check=True)

    def used(self):
        """How many bytes are written."""
        space = os.statvfs(self.path)
        return (space.f_blocks - space.f_bfree) * space.f_frsize

    def fill(self):
        """Take all of its space, until `free`."""
        with (self.path / "other").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self):
        """Give back what `fill` took."""
        (self.path / "other").unlink()

    @contextlib.contextmanager
    def filled_from(self, size: int) -> Iterator[None]:
        """Another file that takes all space as soon as `size` bytes are used, and again and again."""
        over = threading.Event()
        path = self.path / "other"

        def fill():
            with path.open("wb", buffering=0) as file:
                while not over.wait(0.001):
                    if self.used() >= size:
                        try:
                            while not over.is_set():
                                file.write(bytes(4096))
                        except OSError as error:
                            assert error.errno == errno.ENOSPC

        thread = threading.Thread(target=fill)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            path.unlink()

    def ids(self, folder, aside: Path):
        """The ids in the ledger of a batch's folder on it. `aside` is a folder for a copy."""
        aside.mkdir(exist_ok=True)
        for path in aside.iterdir():
            path.unlink()
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(self.path / folder / name, aside / name)
        with contextlib.closing(sqlite3.connect(aside / "ledger.sqlite")) as connection:
            with contextlib.suppress(sqlite3.OperationalError):  # there is no table yet
                return {
                    row[0] for row in connection.execute("SELECT task_id FROM item WHERE task_id NOT NULL")
                }
            return set()

    def remove(self):
        """End it, with all of its files."""
        self._holder.kill()
        self._holder.communicate()


def account_of(service):
    """The environment for a command that uses this service."""
    return {**os.environ, "FOXAPI_API_KEY": service.key, "FOXAPI_BASE_URL": service.url}


@attrs.define
class ScriptedDisk:
    """A disk without space for a commit while a test says so.

    Attributes:
        commits: how many commits still succeed; None for all.
        uses_reserve: whether the space of an emptied reserve is enough for a commit.
        is_reserve_empty: whether it was emptied.
    """

    commits: int | None = None
    uses_reserve: bool = True
    is_reserve_empty: bool = False

    def fill(self, *, commits=0, uses_reserve=True):
        """Become full after so many commits."""
        self.commits, self.uses_reserve = commits, uses_reserve

    def free(self):
        """Have space again."""
        self.commits = None

    def before_commit(self):
        """Called before each commit of a change to a database on it."""
        if self.commits is None:
            return
        if self.is_reserve_empty and self.uses_reserve:
            return
        if self.commits > 0:
            self.commits -= 1
            return
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    def installed(self, monkeypatch):
        """Be the disk of every database that is opened from now on."""
        disk, connect, empty = self, sqlite3.connect, schema.LedgerFile.empty_reserve

        class Connection(sqlite3.Connection):
            before = 0

            def execute(self, statement, *values):
                if statement.startswith("BEGIN"):
                    self.before = self.total_changes
                if statement == "COMMIT" and self.total_changes > self.before:
                    disk.before_commit()
                return super().execute(statement, *values)

        def emptied(file):
            disk.is_reserve_empty = True
            empty(file)

        monkeypatch.setattr(sqlite3, "connect", functools.partial(connect, factory=Connection))
        monkeypatch.setattr(schema.LedgerFile, "empty_reserve", emptied)
        return self
