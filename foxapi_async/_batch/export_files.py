"""Writes the rows of a batch as CSV, JSON lines or a workbook, in pieces of bytes."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import tempfile
from collections.abc import Iterator
from typing import Literal

import attrs

from foxapi_async._batch.export import BatchTable
from foxapi_async._batch.input.tables import Cell
from foxapi_async._batch.input.workbook import MOST_ROWS, import_openpyxl
from foxapi_async._errors import InvalidRequestError

ExportForm = Literal["csv", "jsonl", "xlsx"]

LONGEST_CELL = 32_767
"""The most UTF-16 units that a cell of a workbook can have."""

CUT = "… [cut]"
"""The end of a cell that was too long."""

_BLOCK_BYTES = 256 * 1024

# A spreadsheet reads a text that begins like this as a formula: https://owasp.org/www-community/attacks/CSV_Injection
# Some programs ignore blanks and control characters before it.
_FORMULA = re.compile(r"[\s\x00-\x1f\ufeff]*[=+\-@＝＋－＠]|[\t\r\n]")
# In much of Europe, Excel separates the cells of every CSV file at semicolons. Then the quotes around our cells do not
# protect a semicolon or a line break: Excel puts the text after it into a cell of its own.
_LATER_FORMULA = re.compile(r"[;\t\r\n][\s\x00-\x1f\ufeff\"]*(?=[=+\-@＝＋－＠])")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?([eE][+-]?[0-9]+)?")
# XML has no such characters: https://www.w3.org/TR/xml/#charsets
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@attrs.define
class BatchExport:
    """Writes a table.

    Args:
        table: the rows.

    Attributes:
        cut: how many cells were cut, because they were too long for a workbook. The number is known at the end.
    """

    _table: BatchTable
    cut: int = attrs.field(default=0, init=False)

    def pieces(self, form: ExportForm) -> Iterator[bytes]:
        """The file in this format.

        Raises:
            ConfigurationError: openpyxl is not installed, and the form is "xlsx".
            InvalidRequestError: a sheet cannot have so many rows.
        """
        makers = {"csv": self._csv, "jsonl": self._jsonl, "xlsx": self._xlsx}
        return makers[form]()

    def _jsonl(self) -> Iterator[bytes]:
        for row in self._table:
            yield f"{json.dumps(row.values, allow_nan=False)}\n".encode()

    def _csv(self) -> Iterator[bytes]:
        """A table that Excel can open: it has a byte order mark, and no text that Excel reads as a formula."""
        line = io.StringIO()
        writer = csv.writer(line, lineterminator="\r\n")
        yield b"\xef\xbb\xbf"
        for cells in self._rows():
            writer.writerow(_harmless(cell, is_first=place == 0) for place, cell in enumerate(cells))
            yield line.getvalue().encode(errors="replace")
            line.seek(0)
            line.truncate()

    def _rows(self) -> Iterator[list[Cell]]:
        """The header, and the cells of each row."""
        columns = self._table.columns
        yield list(columns)
        for row in self._table:
            cells = row.cells
            yield [cells.get(name) for name in columns]

    def _xlsx(self) -> Iterator[bytes]:
        openpyxl = import_openpyxl("a workbook")
        if len(self._table) >= MOST_ROWS:
            raise InvalidRequestError(
                f"the batch has {len(self._table):,} items, and a sheet has at most {MOST_ROWS:,} rows; write CSV or "
                "JSON lines"
            )
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet("batch")
        sheet.freeze_panes = "A2"

        def cell(value: Cell) -> object:
            if isinstance(value, int) and abs(value) >= 10**15:  # a spreadsheet keeps only 15 digits
                value = str(value)
            if not isinstance(value, str):
                return value
            made = openpyxl.cell.WriteOnlyCell(sheet, self._fitting(_NOT_IN_XML.sub("\ufffd", value)))
            made.data_type = "s"  # never a formula or an error
            return made

        with contextlib.closing(sheet):  # openpyxl warns about a sheet that stays open
            for cells in self._rows():
                sheet.append(list(map(cell, cells)))
                yield b""  # nothing is ready yet, but the caller may stop here
        with tempfile.TemporaryFile() as file:
            book.save(file)
            file.seek(0)
            while piece := file.read(_BLOCK_BYTES):
                yield piece

    def _fitting(self, text: str) -> str:
        units = text.encode("utf-16-le")
        if len(units) <= 2 * LONGEST_CELL:
            return text
        self.cut += 1
        return units[: 2 * (LONGEST_CELL - len(CUT))].decode("utf-16-le", "ignore") + CUT


def _harmless(value: Cell, *, is_first: bool) -> Cell:
    """The cell for a spreadsheet, changed so that the spreadsheet reads no text as a formula.

    A text such as `-5` is a number and stays. It is changed only in the first cell of a row, because together with the
    next cells it could become a formula.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    text = _LATER_FORMULA.sub(r"\g<0>'", value)
    is_formula = _FORMULA.match(text) and (is_first or not _NUMBER.fullmatch(text))
    return f"'{text}" if is_formula else text
