"""Reads tables: finds the delimiter, finds the field for each column, and gives each cell the type of its field.

`cell_of` does the opposite: it makes the cell for a value.
"""

from __future__ import annotations

import csv
import functools
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import attrs

from foxapi_async._batch.input.text import LONGEST_LINE, STRICT_JSON, TextLine
from foxapi_async._hints import Hint
from foxapi_async.models import MODELS, model_definition
from foxapi_async.models._catalogue import is_known
from foxapi_async.models._model import unknown_field
from foxapi_async.models._values import shown

# If several of them occur equally often in the header, the first one is used.
DELIMITERS = (",", ";", "\t", "|")

Record = tuple[int, list[str], str | None]
"""The number, cells and fault of a record that is not blank."""

Cell = str | int | float | bool | None
"""The value of a cell that is written; None if it is empty."""

_SEPARATOR = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_CLOCK = re.compile(r"0?([0-9]+):0?([0-9]+)(:00)?")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
# The columns that a row of any model may have.
_OWN = ("id", "model", "path")


@attrs.frozen
class TableRow:
    """One row, or the fault of the header or the row.

    Attributes:
        number: the line on which it begins.
        fields: the fields of the request, and the id.
        extra: the cells of the other columns.
        fault: why it cannot be read; None if it can.
        hint: what can be done about the fault, or about a field that the model does not have.
        is_header: whether the fault is in the header. Then no row follows.
    """

    number: int
    fields: dict[str, Any] = attrs.field(factory=dict[str, Any])
    extra: dict[str, str] = attrs.field(factory=dict[str, str])
    fault: str | None = None
    hint: Hint | None = None
    is_header: bool = False


def is_header(text: str) -> bool:
    """Whether a line is the header of a table: it has a delimiter, and a column for prompts."""
    delimiter = _delimiter_of(text, "")
    return bool(delimiter) and "prompt" in {_plain(cell) for cell in text.split(delimiter)}


def read_table(
    lines: Iterable[TextLine],
    defaults: Mapping[str, Any],
    *,
    delimiter: str | None,
    usual: str,
    keeps_extra: bool,
) -> Iterator[TableRow]:
    """The rows of a text; see `read_records`.

    Args:
        lines: the lines of the file.
        defaults: values for the fields that a row does not set.
        delimiter: the character between two cells; None to find it in the header, or in a line such as `sep=;` before.
        usual: the delimiter if the header has only one column.
        keeps_extra: whether columns that are not fields are kept beside the request.
    """
    lines = iter(lines)
    first = next((line for line in lines if line.fault or line.text.strip()), None)
    if first is None:
        return iter(())
    given = _SEPARATOR.fullmatch(first.text)
    if given is None:
        lines = itertools.chain([first], lines)
    between = delimiter or (given[1] if given else _delimiter_of(first.text, usual))
    return read_records(_records(lines, between), defaults, keeps_extra=keeps_extra)


def read_records(
    records: Iterable[Record], defaults: Mapping[str, Any], *, keeps_extra: bool
) -> Iterator[TableRow]:
    """The rows below the header. The header is the first record. If it is wrong, there is only its fault.

    Args:
        records: the records of the table.
        defaults: values for the fields that a row does not set.
        keeps_extra: whether columns that are not fields are kept beside the request.
    """
    header: _Header | None = None
    for number, row, fault in records:
        if fault:
            yield TableRow(number, fault=fault, is_header=header is None)
            if header is None:
                return
        elif header is None:
            header = _Header.read(row, defaults, keeps_extra=keeps_extra)
            if header.fault:
                yield TableRow(number, fault=header.fault, hint=header.hint, is_header=True)
                return
        elif len(row) < len(header.names) or any(map(str.strip, row[len(header.names) :])):
            yield TableRow(number, fault=f"has {len(row)} cells, the header has {len(header.names)}")
        else:
            yield header.row(number, row, defaults)


def _delimiter_of(header: str, default: str) -> str:
    """The delimiter that occurs most often in a header, outside quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    best = max(DELIMITERS, key=bare.count)
    return best if best in bare else default


def _plain(name: str) -> str:
    """The name of a column, written like a field: `Aspect Ratio` becomes `aspect_ratio`."""
    return re.sub(r"[\s-]+", "_", name.strip().strip('"').strip().lower())


@attrs.frozen
class _Header:
    """The columns of a table.

    Attributes:
        names: the names of the columns, without empty names at the end.
        keeps_extra: whether columns that are not fields of a row's model are kept beside the request.
        fault: why the header cannot be used; None if it can.
        hint: what can be done about the fault.
    """

    names: Sequence[str]
    keeps_extra: bool = False
    fault: str | None = None
    hint: Hint | None = None

    @classmethod
    def read(cls, cells: Sequence[str], defaults: Mapping[str, Any], *, keeps_extra: bool) -> _Header:
        given = [cell.strip() for cell in cells]
        while given and not given[-1]:
            given.pop()
        if not all(given):
            return cls(given, fault="the header has a field without a name")
        model = str(defaults.get("model", ""))
        own = _kinds(None) | _kinds(model)
        names = [_plain(name) if _plain(name) in own else name for name in given]
        if twice := next((name for name in names if names.count(name) > 1), None):
            return cls(names, fault=f"the header has the field {shown(twice)} twice")
        if not _is_known(model) or "path" in defaults or {"model", "path"} & set(names):
            return cls(names, keeps_extra)  # each row may be for another model, so any column may be a field
        known = tuple(_kinds(model))
        unknown = [name for name in names if name not in known]
        if len(unknown) == len(names):
            text = "the first line names no column such as prompt; give the names there, or a list of prompts as .txt"
            return cls(names, fault=text)
        if unknown and not keeps_extra and model_definition(model).is_whole:
            faults = dict.fromkeys(unknown_field(name, known, model) for name in unknown[:-1])
            text = "; ".join(
                [*(fault.partition(";")[0] for fault in faults), unknown_field(unknown[-1], known, model)]
            )
            return cls(names, fault=text, hint=Hint.KEEP_EXTRA)
        return cls(names, keeps_extra)

    def row(self, number: int, cells: Sequence[str], defaults: Mapping[str, Any]) -> TableRow:
        """The row of these cells. Empty cells are left out, and each other cell gets the type of its field. An unknown
        model may have any field.
        """
        filled = {name: cell for name, cell in zip(self.names, cells, strict=False) if cell.strip()}
        model = filled.get("model", str(defaults.get("model", ""))).strip()
        is_raw = not _is_known(model) or "path" in filled or "path" in defaults
        kinds = _kinds(None if is_raw else model)
        unknown = [] if is_raw else [name for name in filled if name not in kinds]
        extra = {name: filled.pop(name) for name in unknown} if self.keeps_extra else {}
        other = "any" if is_raw or not model_definition(model).is_whole else "text"
        fields = {name: _READERS[kinds.get(name, other)](cell) for name, cell in filled.items()}
        return TableRow(number, fields, extra, hint=Hint.KEEP_EXTRA if unknown and not extra else None)


def _is_known(model: str) -> bool:
    return model in MODELS or is_known(model)


class _UnusableRecord(Exception):  # noqa: N818 - it comes through csv's reader, and `_records` catches it
    pass


class _CsvLines:
    """Gives csv's reader one line after another, and keeps the number of the line on which the record begins.

    It is not a generator, because a generator ends after its first exception.
    """

    def __init__(self, lines: Iterable[TextLine]) -> None:
        self._lines = iter(lines)
        self.begin()

    def begin(self) -> None:
        """Begin a new record."""
        self.number = 0
        self._size = 0

    def __iter__(self) -> _CsvLines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number = self.number or line.number
        self._size += len(line.text)
        if line.fault:
            raise _UnusableRecord(line.fault)
        if self._size > LONGEST_LINE:
            raise _UnusableRecord(f"a record of more than {LONGEST_LINE} characters; is a quote not closed?")
        return line.text + "\n"


def _records(lines: Iterable[TextLine], delimiter: str) -> Iterator[Record]:
    csv_lines = _CsvLines(lines)
    # A cell may have the data of an image. The limit is for the whole process, so it is never lowered here.
    csv.field_size_limit(max(2 * LONGEST_LINE, csv.field_size_limit()))
    reader = csv.reader(csv_lines, delimiter=delimiter, strict=True)
    while True:
        csv_lines.begin()
        try:
            row = next(reader)
        except StopIteration:
            return
        except (_UnusableRecord, csv.Error) as error:
            hint = "; is a quote not closed?" if isinstance(error, csv.Error) else ""
            yield csv_lines.number, [], f"{error}{hint}"
        else:
            if any(map(str.strip, row)):
                yield csv_lines.number, row, None


@functools.lru_cache(256)
def _kinds(model: str | None) -> dict[str, str]:
    """The kind of each column of a model. For None or an unknown model, the columns of all models with a class."""
    models = [model] if model is not None and _is_known(model) else MODELS
    kinds: dict[str, str] = {
        spec.name: spec.kind for each in models for spec in model_definition(each).fields
    }
    # Even a row that is sent unchecked has these columns.
    return kinds | dict.fromkeys(_OWN, "name")


def _read_integer(cell: str) -> int | str:
    return int(cell) if _WHOLE.fullmatch(cell.strip()) else cell


def _read_flag(cell: str) -> bool | str:
    return _FLAGS.get(cell.strip().lower(), cell)


def _read_choice(cell: str) -> str:
    """The text of a choice. A spreadsheet reads the ratio 16:9 as a time of day, and writes 16:09 or 16:09:00."""
    text = cell.strip()
    clock = _CLOCK.fullmatch(text)
    return f"{clock[1]}:{clock[2]}" if clock else text


def _read_files(cell: str) -> Any:
    """Several addresses, separated by white space or `|`. A name that contains one of these needs a JSON array."""
    return _read_any(cell) if cell.lstrip().startswith("[") else cell.replace("|", " ").split()


def _read_list(cell: str) -> Any:
    """The list in a JSON array, or in texts with `|` between them."""
    return _read_any(cell) if cell.lstrip().startswith("[") else [text.strip() for text in cell.split("|")]


def _read_size(cell: str) -> Any:
    """The size in a JSON object, with width and height in pixels; or the name of a size."""
    return _read_any(cell) if cell.lstrip().startswith("{") else _read_choice(cell)


def _read_any(cell: str) -> Any:
    """The value if the cell is JSON, else its text."""
    try:
        return STRICT_JSON.decode(cell)
    except (ValueError, RecursionError):
        return cell


# A cell of the wrong kind stays a text, so that the check can report it.
_READERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "name": str.strip,
    "choice": _read_choice,
    "integer": _read_integer,
    "number": _read_any,
    "flag": _read_flag,
    "size": _read_size,
    "file": str.strip,
    "files": _read_files,
    "images": _read_files,
    "list": _read_list,
    "object": _read_any,
    "any": _read_any,
}


def cell_of(name: str, value: Any, *, is_raw: bool) -> Cell:
    """The cell for a value. If the cell is read again, it gives the same value.

    Args:
        name: the name of the field.
        value: a JSON value.
        is_raw: whether the request is sent unchecked.
    """
    kind = _kinds(None).get(name, "any" if is_raw else "text")
    if kind == "images" and isinstance(value, list):
        texts = list(map(str, cast(list[object], value)))
        return " ".join(texts) if texts == _read_files(" ".join(texts)) else json.dumps(value)
    is_text = isinstance(value, str) and (kind != "any" or _read_any(value) == value)
    return value if is_text or isinstance(value, bool | int | float) else json.dumps(value)
