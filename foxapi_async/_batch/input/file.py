"""Reads a batch's input from a file or a pipe in pieces, so that memory does not grow with its length."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import stat
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

from foxapi_async._batch.input.lines import SUFFIXES, Form, InputRow, LineReader
from foxapi_async._batch.input.tables import Record
from foxapi_async._batch.input.text import TextLines
from foxapi_async._batch.input.workbook import sheet_records
from foxapi_async._errors import InvalidRequestError
from foxapi_async._hints import Hint
from foxapi_async._listener import about, log
from foxapi_async._threads import in_thread
from foxapi_async.models._file_fields import is_file_list, map_files
from foxapi_async.models._values import as_images

T = TypeVar("T")

STDIN = "-"
"""The source that means standard input."""

_BLOCK_BYTES = 256 * 1024

# The endings of spreadsheets that cannot be read.
_UNREADABLE = (".xls", ".xlsb", ".ods", ".fods", ".numbers")


class InputFile:
    """The input of a batch.

    Args:
        source: a path, or "-" for standard input.
        form: its format. If None, the ending of the name decides. If a pipe has no ending, its first line decides:
            `{` means JSON lines, a header with tabs means a table, anything else means prompts.
        defaults: values for the fields that a line does not set. A relative path in them is below the working folder.
        delimiter: the character between two cells of a table; None to find it.
        keeps_extra: whether columns of a table that are not fields are kept beside the request.

    Attributes:
        checksum: the hexadecimal SHA-256 of the whole file; None until it was read to its end.

    Raises:
        InvalidRequestError: there is no such file, or its format is unknown.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        form: Form | None = None,
        defaults: Mapping[str, Any] | None = None,
        delimiter: str | None = None,
        keeps_extra: bool = False,
    ) -> None:
        self._path = None if source == STDIN else Path(source)
        self._defaults = _with_absolute_files(defaults or {})
        self._delimiter = delimiter
        self._keeps_extra = keeps_extra
        # A pipe can be read only once, and a read of it may block. For a regular file, neither is true.
        self.is_regular = self._path is not None and _is_regular(self._path)
        self._form: Form | None = form or self._form_by_name()
        if self._form == "xlsx" and not self.is_regular:
            raise InvalidRequestError(f"{self.name}: a workbook cannot be read from a pipe; give its file")
        self.checksum: str | None = None

    @property
    def name(self) -> str:
        """The name of the source in a message."""
        return "standard input" if self._path is None else str(self._path)

    @property
    def validation(self) -> str | None:
        """A hash of everything that decides the meaning of a line: the checksum, the format, the folder, the defaults
        and the options of a table. None until the checksum is known.
        """
        if self.checksum is None:
            return None
        facts: list[Any] = [self.checksum, self._form, str(self._folder), sorted(self._defaults.items())]
        if self._delimiter is not None or self._keeps_extra:
            facts += [self._delimiter, self._keeps_extra]
        return hashlib.sha256(json.dumps(facts, default=os.fspath).encode()).hexdigest()

    async def chunks(self, size: int = 500) -> AsyncGenerator[list[InputRow], None]:
        """At most `size` items at a time, read in a thread. A pipe gives the items that have arrived.

        Raises:
            InvalidRequestError: the input cannot be read.
        """
        reader = LineReader(
            form=self._form,
            defaults=self._defaults,
            folder=self._folder,
            is_confined=not self.is_regular,
            delimiter=self._delimiter,
            keeps_extra=self._keeps_extra,
        )
        chunks = _Chunks(await self._run(self._open), reader, size, self.name)
        has_warned = self.is_regular  # for a regular file, the check warns once for all lines
        try:
            while chunk := await self._run(chunks.next):
                if not has_warned and (found := [row for row in chunk if row.may_be_comment]):
                    warn_of_comments(self, len(found), found[0])
                    has_warned = True
                yield chunk
            self.checksum = chunks.checksum
        finally:
            chunks.close()

    async def size(self) -> int:
        """How many bytes the file has.

        Raises:
            InvalidRequestError: the file cannot be read.
        """
        return await self._run(lambda: Path(self.name).stat().st_size)

    async def read_checksum(self) -> None:
        """Set `checksum`, without reading the lines as items.

        Raises:
            InvalidRequestError: the file cannot be read.
        """
        self.checksum = await self._run(self._digest)

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            return await (in_thread(call) if self.is_regular else _in_own_thread(call))
        except OSError as error:
            problem = error.strerror or str(error)
        raise InvalidRequestError(f"{self.name}: {problem}")

    def _digest(self) -> str:
        with self._open() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _open(self) -> FileIO:
        # Unbuffered: a thread that waits for a pipe must hold no lock that the interpreter needs when it exits.
        if self._path is not None:
            return FileIO(self._path)
        if sys.stdin is None:
            raise OSError(errno.EBADF, "it is closed")
        return FileIO(sys.stdin.fileno(), closefd=False)

    @property
    def _folder(self) -> Path:
        """The folder for relative names of input files. It is absolute, so that the working folder does not matter."""
        return Path.cwd() if self._path is None or not self.is_regular else self._path.absolute().parent

    def _form_by_name(self) -> Form | None:
        suffix = self._path.suffix.lower() if self._path else ""
        found = SUFFIXES.get(suffix)
        if suffix in _UNREADABLE:
            raise InvalidRequestError(f"{self.name}: cannot read {suffix}; save it as .xlsx or .csv")
        if found is None and self.is_regular:
            known = " ".join(SUFFIXES)
            raise InvalidRequestError(
                f"{self.name}: cannot tell the format from the file name; known endings are {known}",
                hint=Hint.GIVE_FORMAT,
            )
        return found


def warn_of_comments(file: InputFile, count: int, first: InputRow) -> None:
    """Log that `count` lines of a list of prompts may be comments. They are billed as all other lines are."""
    log.warning(
        "%s: lines that begin with '# ' are prompts, too, and are billed: %d of them, the first on line %d; remove "
        "those that are comments",
        file.name,
        count,
        first.number,
        extra=about("comment_prompts"),
    )


def _with_absolute_files(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with absolute paths, so that the working folder does not matter. Several files become a list."""
    given = {name: _as_list(value) if is_file_list(name) else value for name, value in fields.items()}
    return map_files(given, _as_absolute)


def _as_absolute(file: str | os.PathLike[str]) -> str | os.PathLike[str]:
    return Path(file).absolute() if isinstance(file, os.PathLike) else file


def _as_list(files: Any) -> Any:
    found = as_images(files)
    return (
        list(found) if isinstance(found, tuple) else files
    )  # the check of each line refuses any other value


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError) as error:  # a null byte is a ValueError
        problem = getattr(error, "strerror", None) or str(error)
    raise InvalidRequestError(f"{path}: {problem}")


class _Chunks:
    """The items of one open file. Each call of `next` is made in a thread, and returns a chunk."""

    def __init__(self, file: FileIO, reader: LineReader, size: int, name: str) -> None:
        self.checksum: str | None = None
        self._file = file
        self._size = size
        self._texts = TextLines(self._blocks())
        is_sheet = reader.form == "xlsx"
        self._lines = reader.read_sheet(self._records(name)) if is_sheet else reader.read(self._texts)
        self._busy = self._closing = False

    def next(self) -> list[InputRow]:
        """The next items; an empty list at the end."""
        self._busy = True
        try:
            return self._gather()
        finally:
            self._busy = False
            if self._closing:
                self._file.close()

    def close(self) -> None:
        """Close the file. If a thread still waits for a pipe, it closes the file when it has finished."""
        self._closing = True
        if not self._busy:
            self._file.close()

    def _gather(self) -> list[InputRow]:
        chunk: list[InputRow] = []
        for line in self._lines:
            chunk.append(line)
            if len(chunk) >= self._size or self._texts.drained:
                break
        return chunk

    def _records(self, name: str) -> Iterator[Record]:
        """The rows of a workbook. First, all blocks of the file are read for the checksum, because openpyxl does not
        read the file from its beginning to its end.
        """
        for _ in self._blocks():
            pass
        yield from sheet_records(self._file, name)

    def _blocks(self) -> Iterator[bytes]:
        digest = hashlib.sha256()
        while block := self._file.read(_BLOCK_BYTES):
            digest.update(block)
            yield block
        self.checksum = digest.hexdigest()


async def _in_own_thread(call: Callable[[], T]) -> T:
    """The result of a call that may block forever. After a cancellation, and when the interpreter exits, nothing waits
    for its thread.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(take: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            take(value)

    def run() -> None:
        take: Callable[[Any], None] = future.set_result
        value: Any
        try:
            value = call()
        except BaseException as error:  # any error belongs to the caller
            take, value = future.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop was closed before the call ended
            loop.call_soon_threadsafe(settle, take, value)

    threading.Thread(target=run, name="foxapi-input", daemon=True).start()
    return await future
