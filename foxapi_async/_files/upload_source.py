"""Reads a file, bytes or a file object for an upload: in pieces, in the file threads, with a known size."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from foxapi_async._files import names
from foxapi_async._files.disk import BUFFER_BYTES, HEAD_BYTES
from foxapi_async._threads import in_thread
from foxapi_async.models import FieldSpec


def facts_of(path: str | os.PathLike[str]) -> os.stat_result:
    """The `stat` result of a regular file.

    Raises:
        OSError: it is missing, or not a regular file. Opening a pipe would block until another process writes to it.
    """
    facts = Path(path).stat()
    if stat.S_ISDIR(facts.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return facts


def input_problem(path: str | os.PathLike[str], field: FieldSpec | None = None) -> str | None:
    """Why a local file cannot be the input file of a field; None if it can. Blocks.

    A text that is not an SVG drawing is refused. The paths may come from other people, and a private text of this
    machine must not be sent.

    Args:
        path: the file.
        field: what is known about the field; None if nothing is known.
    """
    try:
        size = facts_of(path).st_size
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        return error.strerror or str(error)
    except ValueError:
        return "embedded null byte in the name"
    if not head:
        return "the file is empty"
    if names.is_words(head):
        medium = "image" if field is None or field.medium in (None, "file") else field.medium
        return f"the file is a text, not {'an' if medium[0] in 'aeiou' else 'a'} {medium}"
    return None if field is None or field.level == "extract" else _misfit(size, head, field)


def _misfit(size: int, head: bytes, field: FieldSpec) -> str | None:
    """Why a field does not take a file that begins with `head`; None if it takes it."""
    if field.bytes is not None and size > field.bytes:
        return f"it has {size:,} bytes, and {field.name} takes at most {field.bytes:,}"
    found = str(names.ending(head, None))
    media = names.media_of(found)
    if media and field.medium and field.medium not in media:
        return f"it is a {found} file, and {field.name} takes {field.medium} files"
    if media and field.formats and found not in map(names.ending_of, field.formats):
        return f"it is a {found} file, and {field.name} takes {', '.join(field.formats)}"
    return None


class Source:
    """An input file to stream. Each try streams it from the beginning.

    Args:
        file: a path, bytes, or a binary file object that can seek.
    """

    def __init__(self, file: str | os.PathLike[str] | bytes | BinaryIO) -> None:
        self._file = file
        self.size = 0
        self.name = "upload.bin"
        self._start = 0

    def __str__(self) -> str:
        return str(self._file) if isinstance(self._file, str | os.PathLike) else self.name

    async def measure(self) -> None:
        """Set `size` (in bytes) and `name`.

        Raises:
            OSError: the file cannot be read.
        """
        await in_thread(self._measure)

    def _measure(self) -> None:
        file = self._file
        if isinstance(file, bytes | bytearray | memoryview):
            self.size = len(bytes(file))
        elif isinstance(file, str | os.PathLike):
            self.name = Path(file).name
            self.size = facts_of(file).st_size
            Path(file).open("rb").close()
        else:
            self._start = file.tell()
            self.size = file.seek(0, os.SEEK_END) - self._start
            self.name = os.path.basename(str(getattr(file, "name", self.name)))  # noqa: PTH119 - may be no path at all

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes in pieces, from the beginning.

        Raises:
            OSError: the file cannot be read, or its length has changed since it was measured.
        """
        remaining = self.size
        holder = contextlib.ExitStack()
        try:
            opened = await in_thread(self._open, holder)
            while remaining and (piece := await in_thread(opened.read, min(remaining, BUFFER_BYTES))):
                remaining -= len(piece)
                yield piece
            if remaining:
                raise OSError(errno.EIO, "the file became shorter while it was read", self.name)
        finally:
            holder.close()  # closes also a file that a cancelled thread has opened, but not the user's file object

    def _open(self, holder: contextlib.ExitStack) -> BinaryIO:
        file = self._file
        if isinstance(file, bytes | bytearray | memoryview):
            return io.BytesIO(file)
        if isinstance(file, str | os.PathLike):
            return holder.enter_context(Path(file).open("rb"))
        file.seek(self._start)
        return file
