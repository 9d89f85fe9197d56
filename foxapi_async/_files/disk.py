"""Writes and reads files in threads of its own: a slow disk never stalls the loop, nor name look-up, which needs
the loop's default executor.

A file appears under its name only when it is whole: its bytes go to `.<name>.<random>.part` beside it, and the
rename is the last step. A cancelled step waits for its thread, so that nothing writes behind our back.

Whether two names are one is the file system's business: where `Fox.png` and `fox.png` are, the second is refused.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from foxapi_async import _threads

# The packages above look for them here.
in_thread = _threads.in_thread
to_its_end = _threads.to_its_end

BUFFER_BYTES = 256 * 1024


class PartFile:
    """A file being written, not yet under its name. Use `part_file` to have one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.head = b""
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._committed = False

    def open(self) -> None:
        """Make the file, and its folder if missing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("xb")

    async def write(self, piece: bytes) -> None:
        """Append `piece`."""
        self.size += len(piece)
        if len(self.head) < _HEAD_BYTES:
            self.head += piece[: _HEAD_BYTES - len(self.head)]
        self._pending.append(piece)
        self._pending_bytes += len(piece)
        if self._pending_bytes >= BUFFER_BYTES:
            await in_thread(self._append, self._take())

    def _take(self) -> list[bytes]:
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        return pending

    def _append(self, pieces: list[bytes]) -> None:
        for piece in pieces:  # not joined, which would copy them
            self._opened.write(piece)
            self._hash.update(piece)

    @property
    def sha256(self) -> str:
        """The SHA-256, in hexadecimal, of the file once it is committed."""
        return self._hash.hexdigest()

    async def restart(self) -> None:
        """Forget everything written so far."""
        self._pending, self._pending_bytes = [], 0
        self.size, self.head = 0, b""
        await in_thread(self._truncate)

    def _truncate(self) -> None:
        self._opened.seek(0)
        self._opened.truncate()
        self._hash = hashlib.sha256()

    @property
    def _opened(self) -> BinaryIO:
        assert self._file is not None  # noqa: S101 - `part_file` opens before it yields
        return self._file

    async def commit(self, path: Path, *, overwrite: bool) -> None:
        """Give the whole file its name.

        Raises:
            FileExistsError: the name is taken, and `overwrite` is not set.
        """
        await in_thread(self._finish, self._take(), path, overwrite)

    def _finish(self, rest: list[bytes], path: Path, overwrite: bool) -> None:  # noqa: FBT001 - called through in_thread
        self._append(rest)
        self._commit(path, overwrite)
        self._committed = True

    def _commit(self, path: Path, overwrite: bool) -> None:  # noqa: FBT001 - called through in_thread
        self._opened.flush()
        os.fsync(self._opened.fileno())
        self._opened.close()
        if overwrite:
            self.path.replace(path)
        else:
            _rename_to_free_name(self.path, path)

    async def close(self) -> None:
        """Close and remove the part, unless it was committed."""
        if not self._committed:
            await in_thread(self._close)

    def _close(self) -> None:
        """May fail, because closing writes what is still buffered: nobody wants those bytes any more, and the error
        that led here is the one to tell.
        """
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self.path.unlink()


_HEAD_BYTES = 512


class MemoryFile:
    """A file held in memory, with the same verbs as a part file."""

    def __init__(self) -> None:
        self.data = bytearray()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return len(self.data)

    @property
    def head(self) -> bytes:
        """The first bytes, by which content is known."""
        return bytes(self.data[:_HEAD_BYTES])

    async def write(self, piece: bytes) -> None:
        """Append `piece`."""
        self.data += piece

    async def restart(self) -> None:
        """Forget everything written so far."""
        self.data.clear()


def _rename_to_free_name(part: Path, path: Path) -> None:
    """Rename without replacing: a hard link fails where the name is taken, `rename` would overwrite silently."""
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: take the name first
        path.open("xb").close()
        try:
            part.replace(path)
        except OSError:
            path.unlink()  # the name alone is no file
            raise
    else:
        part.unlink()


@contextlib.asynccontextmanager
async def part_file(directory: Path, name: str) -> AsyncIterator[PartFile]:
    """A part file beside the future file `name` in `directory`, which is made if missing; gone at the end unless
    it was committed.
    """
    # A character has up to four bytes, and a name up to 255.
    part = PartFile(directory / f".{name[:40]}.{secrets.token_hex(4)}.part")
    try:
        await in_thread(part.open)  # within the `try`: a cancelled thread has opened it all the same
        yield part
    finally:
        await part.close()


def remove_parts(directory: Path) -> None:
    """Remove what killed processes left of files that they were writing in a folder and below. Blocks: call it in a thread."""
    for part in directory.glob("**/.*.part"):
        part.unlink(missing_ok=True)


async def existing(paths: list[Path]) -> Path | None:
    """The first of the paths that exists."""
    return await in_thread(lambda: next((path for path in paths if os.path.lexists(path)), None))


async def is_directory(path: Path) -> bool:
    """Whether the path is a directory.

    Raises:
        OSError: no file can be there: a name too long or with a character that the system cannot have, a file in
            place of a folder, or a folder that is not ours to look into.
    """
    return await in_thread(_is_directory, path)


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return False
    except ValueError as error:
        problem = str(error)
    raise OSError(errno.EINVAL, problem)
