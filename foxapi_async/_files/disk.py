"""Writes and reads files in their own threads.

A slow disk then blocks neither the loop nor name look-up, which needs the loop's default executor.

A file gets its name only when it is whole. Its bytes go to `.<name>.<random>.part` beside it, and the rename
is the last step. A cancelled step waits for its thread, so that no thread writes unnoticed.

The file system decides whether two names are the same. If `Fox.png` and `fox.png` are, the second is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from foxapi_async._files.resume import PartialFile
from foxapi_async._threads import in_thread

BUFFER_BYTES = 256 * 1024

_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def open_private(path: Path, flags: int) -> int:
    """Open a file, and make it if missing. Only its owner may read a new one. A link is not followed. Blocks.

    Raises:
        OSError: it cannot be opened, or is a link.
    """
    return os.open(path, flags | os.O_CREAT | _FLAGS, 0o600)


def append_whole(file: int, data: bytes) -> None:
    """Append all of `data` or nothing: a part of a line would spoil the line after it. Blocks.

    Raises:
        OSError: it cannot be written.
    """
    size = os.fstat(file).st_size
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file, size)
        raise


@attrs.define(eq=False)
class PartFile:
    """A file that is being written, and has not got its final name yet. Use `part_file` to make one.

    Attributes:
        path: the path of the part file.
        size: the number of bytes so far.
        head: the first bytes, which show the type of the content.
        known: which bytes of the file are wanted, and what is known about it.
        is_committed: whether the file has its final name.
    """

    path: Path
    size: int = attrs.field(default=0, init=False)
    head: bytes = attrs.field(default=b"", init=False)
    known: PartialFile = attrs.field(factory=PartialFile, init=False)
    is_committed: bool = attrs.field(default=False, init=False)
    _file: BinaryIO = attrs.field(init=False)  # set by `open`
    _hash: Any = attrs.field(factory=hashlib.sha256, init=False)
    _pending: list[bytes] = attrs.field(factory=list[bytes], init=False)
    _pending_bytes: int = attrs.field(default=0, init=False)

    def open(self) -> None:
        """Make the file, and its folder if missing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("xb")

    async def write(self, piece: bytes) -> None:
        """Append `piece`."""
        self.size += len(piece)
        if len(self.head) < HEAD_BYTES:
            self.head += piece[: HEAD_BYTES - len(self.head)]
        self._pending.append(piece)
        self._pending_bytes += len(piece)
        if self._pending_bytes >= BUFFER_BYTES:
            await in_thread(self._append)

    def _append(self) -> None:
        for piece in self._pending:  # not joined: that would copy them
            self._file.write(piece)
            self._hash.update(piece)
        self._pending, self._pending_bytes = [], 0

    async def restart(self) -> None:
        """Discard everything written so far."""
        self._pending, self._pending_bytes = [], 0
        self.size, self.head = 0, b""
        await in_thread(self._truncate)

    def _truncate(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()

    def commit(self, path: Path, *, overwrite: bool) -> str:
        """Give the whole file its name. Blocks: call it in a thread.

        Returns:
            The SHA-256 of its content, in hexadecimal.

        Raises:
            FileExistsError: the name is taken, and `overwrite` is not set.
        """
        self._append()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if overwrite:
            self.path.replace(path)
        else:
            _rename_to_free_name(self.path, path)
        self.is_committed = True
        digest: str = self._hash.hexdigest()
        return digest

    def discard(self) -> None:
        """Close and remove the file, and ignore failures. Blocks: call it in a thread.

        Closing may fail, because it writes the buffered bytes. They are not needed any more.
        """
        if hasattr(self, "_file"):
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self.path.unlink()


HEAD_BYTES = 512


class MemoryFile:
    """A file in memory, or a part of one, with the same methods as a part file."""

    def __init__(self, wanted: PartialFile | None = None) -> None:
        self.data = bytearray()
        self.known = wanted or PartialFile()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return len(self.data)

    @property
    def head(self) -> bytes:
        """The first bytes, which show the type of the content."""
        return bytes(self.data[:HEAD_BYTES])

    async def write(self, piece: bytes) -> None:
        """Append `piece`."""
        self.data += piece

    async def restart(self) -> None:
        """Discard everything written so far."""
        self.data.clear()


def _rename_to_free_name(part: Path, path: Path) -> None:
    """Rename without replacing: a hard link fails if the name is taken, but `rename` would overwrite it silently."""
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: an empty file takes the name first
        path.open("xb").close()
        try:
            part.replace(path)
        except OSError:
            path.unlink()  # the empty file
            raise
    else:
        part.unlink()


@contextlib.asynccontextmanager
async def part_file(directory: Path, name: str) -> AsyncGenerator[PartFile]:
    """A part file beside the future file `name` in `directory`, which is made if missing.

    At the end it is removed, unless it was committed.
    """
    # A name may have 255 bytes, and a character has up to four. So 40 characters of the name fit.
    part = PartFile(directory / f".{name[:40]}.{secrets.token_hex(4)}.part")
    try:
        await in_thread(part.open)  # inside the `try`: if cancelled, the thread may still have opened it
        yield part
    finally:
        if not part.is_committed:
            await in_thread(part.discard)


def remove_parts(directory: Path) -> None:
    """Remove the part files that killed processes left in a folder and below. Blocks: call it in a thread."""
    for part in directory.glob("**/.*.part"):
        part.unlink(missing_ok=True)
