"""Real file systems for tests: small ones, and ones that cannot be written. Only processes of the test see them."""

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

import pytest


@functools.cache
def can_mount():
    """Whether this machine lets a process of ours mount file systems that only it sees."""
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        return False
    words = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif("not __import__('disks').can_mount()", reason="no file system can be mounted")


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

    def start(self, *words, **options):
        """Start `foxapi *words` on it."""
        command = [sys.executable, "-W", "error", "-m", "foxapi_async", *map(str, words)]
        return subprocess.Popen(
            ["nsenter", *self._namespace, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def resize(self, kilobytes):
        """Give it another size."""
        words = ["mount", "-o", f"remount,size={kilobytes}k", str(self.folder)]
        subprocess.run(["nsenter", *self._namespace, *words], check=True)

    def used(self):
        """How many bytes are written."""
        space = os.statvfs(self.path)
        return (space.f_blocks - space.f_bfree) * space.f_frsize

    @contextlib.contextmanager
    def filled_from(self, size: int) -> Iterator[threading.Event]:
        """Another file that takes all space as soon as `size` bytes are used, and again and again.

        Yields an event, which is set when the disk was full for the first time.
        """
        full, over = threading.Event(), threading.Event()
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
                            full.set()

        thread = threading.Thread(target=fill)
        thread.start()
        try:
            yield full
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
                return {row[0] for row in connection.execute("SELECT task_id FROM item WHERE task_id NOT NULL")}
            return set()

    def remove(self):
        """End it, with all of its files."""
        self._holder.kill()
        self._holder.communicate()


def account_of(service):
    """The environment for a command that uses this service."""
    return {**os.environ, "FOXAPI_API_KEY": service.key, "FOXAPI_BASE_URL": service.url}
