"""Reads the first visible sheet of a workbook (.xlsx) as the records of a table.

A row has a fault if it has one of three kinds of cells: a formula without a stored value, an error such as `#N/A`, or
a cell that is merged with one above it. openpyxl reads such cells as empty cells or as texts.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from types import NoneType
from typing import IO, Any, NamedTuple

from foxapi_async._batch.input.tables import Record
from foxapi_async._batch.input.text import LONGEST_LINE
from foxapi_async._errors import ConfigurationError, InvalidRequestError

MOST_ROWS = 1_048_576
"""The most rows of a sheet."""

# A file of 1 MB can unpack to 1 GB, and openpyxl keeps several copies of a text in memory.
_MOST_UNPACKED = 512 * 1024 * 1024
# The first bytes of an .xls file, and of an .xlsx file with a password.
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_BLOCK_BYTES = 256 * 1024
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s[^>]*?ref=[\"']([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})[\"']")
# Each block is searched together with this many bytes before it, because a `mergeCell` may be in two blocks. None is
# longer.
_OVERLAP = 512

# How a workbook stores line ends with a CR.
_LINE_END = re.compile(r"(?:_x000D_|\r)\n?")
# Larger whole numbers have already lost digits in the spreadsheet.
_LARGEST_WHOLE = 1e15


def sheet_records(file: io.FileIO, name: str) -> Iterator[Record]:
    """The rows that are not blank, beginning with the header. The number of a record is the number of its row in the sheet.

    Args:
        file: the open workbook.
        name: the name of the file in a message.

    Raises:
        ConfigurationError: openpyxl is not installed.
        InvalidRequestError: the file is not a workbook, is damaged or has a password, or has no visible sheet.
    """
    openpyxl = import_openpyxl(f"{name}: a workbook")
    # `catch_warnings` is not safe in threads, because one thread may restore the filters of another. This filter stays,
    # and concerns only openpyxl.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"openpyxl\.")
    buffered = io.BufferedReader(file)
    try:
        buffered.seek(0)
        if buffered.read(len(_OLE)) == _OLE:
            problem = "this is an .xls workbook, or it has a password; save it as .xlsx without a password"
        elif _unpacked_bytes(buffered) > _MOST_UNPACKED:
            problem = f"it has more than {_MOST_UNPACKED // 1024**2} MiB when it is unpacked; save it as .csv"
        else:
            yield from _rows(openpyxl, buffered)
            return
    except Exception as error:  # a damaged file makes openpyxl raise errors of many classes
        problem = (
            f"cannot be read as a workbook ({_first_line(error)}); open it in a spreadsheet program, and save it "
            "as .xlsx again"
        )
    finally:
        # The caller closes the file. If the caller has stopped before the last row, the file is closed already.
        with contextlib.suppress(ValueError):
            buffered.detach()
    raise InvalidRequestError(f"{name}: {problem}")


def import_openpyxl(what: str) -> Any:
    """The library for workbooks.

    Args:
        what: the thing that needs it, for the message.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import openpyxl  # noqa: PLC0415 - optional
    except ImportError:
        problem = f"{what} needs openpyxl: pip install 'foxapi-async[sheets]'"
    else:
        return openpyxl
    raise ConfigurationError(problem)


def _unpacked_bytes(file: IO[bytes]) -> int:
    with zipfile.ZipFile(file) as archive:
        return sum(part.file_size for part in archive.infolist())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _rows(openpyxl: Any, file: IO[bytes]) -> Iterator[Record]:
    book = openpyxl.load_workbook(file, read_only=True, keep_links=False)
    sheet = next((sheet for sheet in book.worksheets if sheet.sheet_state == "visible"), None)
    if sheet is None:
        raise ValueError("it has no visible sheet")
    merged = _MergedCells(file, sheet._worksheet_path)  # noqa: SLF001 - openpyxl has no public name for this path
    # The rows with the stored values of formulas. They are opened at the first formula, because most sheets have none.
    stored: Iterator[tuple[int, Sequence[Any]]] | None = None
    width = 0
    for number, row in _cells(sheet):
        kinds = [cell.data_type for cell in row]
        shown = row
        if "f" in kinds:
            if stored is None:
                data = openpyxl.load_workbook(file, read_only=True, keep_links=False, data_only=True)
                stored = _cells(data.worksheets[book.worksheets.index(sheet)])
            shown = next(cells for n, cells in stored if n == number)
        texts = [_text(cell.value) for cell in shown]
        while texts and not texts[-1].strip():
            texts.pop()
        fault = _cell_fault(kinds, shown) if "f" in kinds or "e" in kinds else None
        if texts and fault is None:
            fault = merged.fault(number, width) or _size_fault(texts)
        width = width or len(texts)
        if fault:
            yield number, [], fault
        elif texts:
            yield number, texts + [""] * (width - len(texts)), None


def _cells(sheet: Any) -> Iterator[tuple[int, Sequence[Any]]]:
    """The rows with their numbers. The size that a file states is often wrong, so it is not used.

    Raises:
        ValueError: the number of a row is too large for a sheet. openpyxl would make all rows before it.
    """
    sheet.reset_dimensions()
    for number, row in enumerate(sheet.iter_rows(), 1):
        if number > MOST_ROWS:
            raise ValueError(f"a sheet has at most {MOST_ROWS:,} rows")
        yield number, row


def _cell_fault(kinds: Sequence[str], row: Sequence[Any]) -> str | None:
    """The first formula without a stored value, or the first error.

    Args:
        kinds: the type of each cell, before formulas were replaced by their values.
        row: the cells with the values.
    """
    for kind, cell in zip(kinds, row, strict=True):
        if cell.data_type == "e":
            return f"{cell.coordinate} has the error {cell.value}"
        # If the value of a formula is an empty text, the type is "str" and no value is stored.
        if kind == "f" and cell.value is None and cell.data_type != "str":
            what = f"{cell.coordinate} has a formula without a stored value"
            return f"{what}; open the file in a spreadsheet program, and save it again"
    return None


def _size_fault(texts: list[str]) -> str | None:
    is_long = sum(map(len, texts)) > LONGEST_LINE
    return f"a row of more than {LONGEST_LINE} characters" if is_long else None


def _text(value: object) -> str:
    """The value of a cell as a CSV file would have it."""
    return _TEXTS.get(type(value), str)(value)


def _text_of_text(value: str) -> str:
    return _LINE_END.sub("\n", value) if "\r" in value or "_x000D_" in value else value


def _text_of_number(value: float) -> str:
    """The digits of a number as a spreadsheet shows them: at most 15, and 1.0 is 1."""
    is_whole = value.is_integer() and abs(value) < _LARGEST_WHOLE
    return str(int(value)) if is_whole else f"{value:.15g}"


def _text_of_moment(value: datetime) -> str:
    return (value.date() if value.time() == time() else value).isoformat()


def _text_of_duration(value: timedelta) -> str:
    minutes, seconds = divmod(round(value.total_seconds()), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


_TEXTS: Mapping[type, Callable[[Any], str]] = {
    NoneType: lambda _: "",
    str: _text_of_text,
    bool: lambda value: str(value).lower(),
    float: _text_of_number,
    datetime: _text_of_moment,
    time: time.isoformat,
    timedelta: _text_of_duration,
}
"""Makes a text of a value, by its type. A value of another type has the text that Python gives it."""


class _Merged(NamedTuple):
    """Merged cells from the row `top` to the row `bottom`. `left` is their first column, counted from 1."""

    top: int
    bottom: int
    left: int
    name: str


class _MergedCells:
    """The merged cells of a sheet that are in several rows. Only their first row has the value.

    openpyxl does not give them when it reads a sheet row by row, so this class reads them from the file.
    """

    def __init__(self, file: IO[bytes], path: str) -> None:
        found: set[_Merged] = set()
        with zipfile.ZipFile(file) as archive, archive.open(path) as source:
            text = b""
            while block := source.read(_BLOCK_BYTES):
                text = text[-_OVERLAP:] + block
                for left, top, right, bottom in _MERGED.findall(text):
                    if int(top) < int(bottom):
                        name = b"%s%s:%s%s" % (left, top, right, bottom)
                        found.add(_Merged(int(top), int(bottom), _column(left), name.decode()))
        self._next = sorted(found, reverse=True)
        self._above: list[_Merged] = []

    def fault(self, number: int, width: int) -> str | None:
        """The fault of a row if a cell in its first `width` columns is merged with one above it. Call this for the rows
        in their order.
        """
        while self._next and self._next[-1].top < number:
            self._above.append(self._next.pop())
        self._above = [merged for merged in self._above if merged.bottom >= number]
        names = (merged.name for merged in self._above if merged.left <= width)
        name = next(names, None)
        return name and f"its cells are merged with those above it ({name}); unmerge them, and fill each"


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number
