"""Makes a batch's input lines (JSON lines, tables or plain prompts) into requests or problems.

A wrong line never ends the reading: it becomes an `InputRow` without a request, with its problems.
"""

from __future__ import annotations

import csv
import functools
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import attrs

from foxapi_async._batch.keys import id_problem
from foxapi_async._errors import InvalidRequestError
from foxapi_async._wire.json_values import JsonValue
from foxapi_async.models import MODELS, GenerationRequest, parse_request
from foxapi_async.models._parse import request_class
from foxapi_async.models._values import shown

Form = Literal["jsonl", "csv", "tsv", "text"]
"""The format of an input: an object per line, a table with a header, or a prompt per line."""

SUFFIXES: Mapping[str, Form] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
}
"""The format for a file's ending."""

LONGEST_LINE = 1024 * 1024
"""The most bytes of a line, and the most characters of a table's record."""

_DELIMITERS = {"csv": ",", "tsv": "\t"}
# As on the command line, a text without a scheme is a local file. The check reports any other text with `://`.
_NO_PATH = re.compile(r"https?:|data:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class TextLine(NamedTuple):
    """One line of the file, numbered from 1. If it has a `fault`, its text could not be read."""

    number: int
    text: str
    fault: str | None = None


@attrs.frozen
class InputRow:
    """One item of the input.

    Attributes:
        number: the line of the file on which it begins, from 1.
        id: its explicit id; None if it has none, or a wrong one.
        request: the request; None if there are problems.
        problems: one line for each fault.
        outside: the first of its input files that is not below the folder; None if there is none.
    """

    number: int
    id: str | None = None
    request: GenerationRequest | None = None
    problems: tuple[str, ...] = ()
    outside: Path | None = None


@attrs.frozen(kw_only=True)
class LineReader:
    """Makes items from lines.

    Args:
        form: the format of the lines. If it is None, a first line that begins with `{` means JSON lines, else prompts.
        defaults: values for the fields that a line does not set. A JSON `null` still leaves a field out.
        folder: the folder for relative names of local input files.
        is_confined: whether a line may only name files below that folder: it may come from a stranger.
    """

    form: Form | None
    defaults: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    folder: Path = attrs.field(factory=Path)
    is_confined: bool = False

    def read(self, lines: Iterable[TextLine]) -> Iterator[InputRow]:
        """The items, each as soon as its last line was read. Blank lines are skipped."""
        filled: Iterator[TextLine] = (line for line in lines if line.fault or line.text.strip())
        form = self.form
        if form is None:
            form, filled = _sniffed(filled)
        if form in _DELIMITERS:
            # Within quotes, a table's blank lines are part of a text.
            yield from self._read_table(lines, _DELIMITERS[form])
            return
        make = self._read_json if form == "jsonl" else self._read_prompt
        for line in filled:
            yield InputRow(line.number, problems=(line.fault,)) if line.fault else make(line)

    def _read_prompt(self, line: TextLine) -> InputRow:
        return self._make(line.number, {"prompt": line.text.strip()})

    def _read_json(self, line: TextLine) -> InputRow:
        try:
            given: JsonValue = _decode(line.text)
        except json.JSONDecodeError as error:
            problem = f"not JSON: {error.msg} at column {error.colno}"
        except (ValueError, RecursionError) as error:
            problem = f"not usable JSON: {error}"
        else:
            if isinstance(given, dict):
                return self._make(line.number, given)
            problem = f'a line is an object such as {{"prompt": "a red fox"}}, not {shown(given)}'
        return InputRow(line.number, problems=(problem,))

    def _read_table(self, lines: Iterable[TextLine], delimiter: str) -> Iterator[InputRow]:
        header: list[str] | None = None
        for number, row, fault in _records(lines, delimiter):
            if fault:
                yield InputRow(number, problems=(fault,))
            elif header is None:
                header = [name.strip() for name in row]
                if problem := _header_fault(header, delimiter):
                    yield InputRow(number, problems=(problem,))
                    return
            elif len(row) != len(header):
                yield InputRow(number, problems=(f"has {len(row)} cells, the header has {len(header)}",))
            else:
                yield self._make(number, self._typed(dict(zip(header, row, strict=True))))

    def _typed(self, row: dict[str, str]) -> dict[str, Any]:
        """The cells that are not empty, each with the type of its field."""
        cells = {name: cell for name, cell in row.items() if cell.strip()}
        model = cells.get("model", str(self.defaults.get("model", ""))).strip()
        raw = model not in MODELS or "path" in cells or "path" in self.defaults
        kinds = _kinds(None if raw else model)
        return {
            name: _READERS[kinds.get(name, "json" if raw else "text")](cell) for name, cell in cells.items()
        }

    def _make(self, number: int, given: dict[str, Any]) -> InputRow:
        item_id, problems = _read_id(given.pop("id", None))
        outside: list[Path] = []
        given = request_class({**self.defaults, **given}).map_files(
            given, functools.partial(self._located, outside=outside)
        )
        if outside and self.is_confined:
            where = f"the input file {shown(str(outside[0]))} is not below {shown(str(self.folder))}"
            problems += (f"{where}, as a line from a pipe needs: give the lines as a file",)
        request = None
        try:
            request = parse_request({**self.defaults, **given})
        except InvalidRequestError as error:
            problems += error.problems
        return InputRow(
            number, item_id, None if problems else request, problems, outside[0] if outside else None
        )

    def _located(self, file: Any, outside: list[Path]) -> Any:
        """An input file of a line, with the folder before a local name. One that leaves the folder is also put into
        `outside`.
        """
        if not isinstance(file, str) or not file.strip() or _NO_PATH.match(file):
            return file
        path = self.folder / file
        if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(self.folder)):  # noqa: PTH100 - follows no link
            outside.append(path)
        return path


def _sniffed(lines: Iterator[TextLine]) -> tuple[Form, Iterator[TextLine]]:
    first = next(lines, None)
    if first is None:
        return "text", lines
    return "jsonl" if first.text.lstrip().startswith("{") else "text", itertools.chain([first], lines)


def _read_id(given: Any) -> tuple[str | None, tuple[str, ...]]:
    """The id as text, with its faults."""
    if given is None:
        return None, ()
    if isinstance(given, str):
        text = given
    elif isinstance(given, int | float) and not isinstance(given, bool):
        text = str(given)
    else:
        return None, (f"id={shown(given)}: must be a text or a number",)
    problem = id_problem(text)
    return (None, (problem,)) if problem else (text, ())


# --- JSON ------------------------------------------------------------------------------------------


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, if no name is given twice: the last of two equal names would replace the first silently."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the field {shown(twice)} is given twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number).decode


# --- tables ----------------------------------------------------------------------------------------


class _UnusableRecord(Exception):  # noqa: N818 - csv's reader passes it on, and `_records` catches it
    pass


class _CsvLines:
    """Gives csv's reader one line after the other, and keeps the number of the line where the record began.

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


def _records(lines: Iterable[TextLine], delimiter: str) -> Iterator[tuple[int, list[str], str | None]]:
    """Number, cells and fault of each record that is not blank."""
    csv_lines = _CsvLines(lines)
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


def _header_fault(header: list[str], delimiter: str) -> str | None:
    if len(header) == 1 and (other := re.search(r"[,;\t]", header[0])):
        return f"the header has {other[0]!r} between its fields; use {delimiter!r}"
    twice = next((name for name in header if header.count(name) > 1 or not name), None)
    if twice is None:
        return None
    return (
        f"the header has the field {shown(twice)} twice" if twice else "the header has a field without a name"
    )


@functools.cache
def _kinds(model: str | None) -> dict[str, str]:
    """The kind of each field of a model; for an unknown model, the kinds of all known models."""
    classes = [MODELS[model]] if model is not None else MODELS.values()
    kinds: dict[str, str] = {spec.name: spec.kind for cls in classes for spec in cls.fields()}
    # These also hold for a row that is sent unchecked.
    return kinds | dict.fromkeys(("id", "model", "path"), "choice")


def _read_integer(cell: str) -> int | str:
    return int(cell) if _WHOLE.fullmatch(cell.strip()) else cell


def _read_flag(cell: str) -> bool | str:
    return _FLAGS.get(cell.strip().lower(), cell)


def _read_images(cell: str) -> Any:
    """White space separates several addresses. A name with white space needs a JSON array."""
    return _read_any(cell) if cell.lstrip().startswith("[") else cell.split()


def _read_any(cell: str) -> Any:
    """The value if the cell is JSON, else its text."""
    try:
        return _decode(cell)
    except (ValueError, RecursionError):
        return cell


# A cell of the wrong kind stays a text, so that the check can report it.
_READERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "choice": str.strip,
    "integer": _read_integer,
    "flag": _read_flag,
    "images": _read_images,
    "json": _read_any,
}
