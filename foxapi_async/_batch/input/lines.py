"""Makes requests from the lines of a batch's input (JSON, tables or plain prompts), and from the rows of a sheet.

A wrong line does not end the reading. It becomes an `InputRow` with its problems and without a request.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import attrs

from foxapi_async._batch.input.tables import Record, TableRow, is_header, read_records, read_table
from foxapi_async._batch.input.text import LONGEST_LINE, STRICT_JSON, TextLine
from foxapi_async._batch.keys import id_problem
from foxapi_async._errors import InvalidRequestError
from foxapi_async._hints import Hint
from foxapi_async._wire.json_values import JsonValue
from foxapi_async.models import GenerationRequest, parse_request
from foxapi_async.models._file_fields import map_files
from foxapi_async.models._values import shown

Form = Literal["jsonl", "json", "csv", "tsv", "xlsx", "text"]
"""The format of an input: an object per line, an array of objects, a table with a header, a workbook, or a prompt
per line.
"""

SUFFIXES: Mapping[str, Form] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".txt": "text",
}
"""The format of a file with this ending."""

# As on the command line, a text without a scheme is a local file. For any other scheme, the check reports an error.
_NO_PATH = re.compile(r"https?:|data:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)

# A comment has a blank after `#`, because a prompt may begin with a colour, as in `#ff0000 background`.
_COMMENT = re.compile(r"#+(\s|$)")


@attrs.frozen
class InputRow:
    """One item of the input, or the fault that ends the reading.

    Attributes:
        number: the line of the file on which it begins, from 1.
        id: its explicit id; None if it has none, or a wrong one.
        request: the request; None if there are problems.
        problems: one line for each fault.
        outside: the first of its input files that is not below the folder; None if there is none.
        extra: the cells of columns that are not fields of the request.
        hint: what can be done about the problems.
        may_be_comment: whether it is a prompt that begins as a comment does in other formats.
        part: the part of the file that is wrong, if the problems are not those of an item. Nothing after it is read.
    """

    number: int
    id: str | None = None
    request: GenerationRequest | None = None
    problems: tuple[str, ...] = ()
    outside: Path | None = None
    extra: Mapping[str, str] = MappingProxyType({})
    hint: Hint | None = None
    may_be_comment: bool = False
    part: Literal["header", "array"] | None = None


@attrs.frozen(kw_only=True)
class LineReader:
    """Makes items from lines.

    Args:
        form: the format of the lines; None if the first line decides.
        defaults: values for the fields that a line does not set. A JSON `null` leaves a field out, even if it has a
            default.
        folder: the folder for relative names of local input files.
        is_confined: whether a line may only name files below that folder, because it may come from a stranger.
        delimiter: the character between two cells of a table; None to find it.
        keeps_extra: whether columns of a table that are not fields are kept beside the request.
    """

    form: Form | None
    defaults: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    folder: Path = attrs.field(factory=Path)
    is_confined: bool = False
    delimiter: str | None = None
    keeps_extra: bool = False

    def read(self, lines: Iterable[TextLine]) -> Iterator[InputRow]:
        """The items, each as soon as its last line was read. Blank lines are skipped."""
        filled: Iterator[TextLine] = (line for line in lines if line.fault or line.text.strip())
        form = self.form
        if form in {None, "text"}:
            form, lines = _sniffed(iter(lines), form)
            filled = (line for line in lines if line.fault or line.text.strip())
        if form in {"csv", "tsv"}:
            # A blank line within quotes is a part of a cell's text.
            yield from self._read_table(lines, "\t" if form == "tsv" else ",")
            return
        if form == "json":
            yield from self._read_array(lines)
            return
        make = self._read_json if form == "jsonl" else self._read_prompt
        for line in filled:
            yield InputRow(line.number, problems=(line.fault,)) if line.fault else make(line)

    def _read_prompt(self, line: TextLine) -> InputRow:
        prompt = line.text.strip()
        row = self._make(line.number, {"prompt": prompt})
        return attrs.evolve(row, may_be_comment=True) if _COMMENT.match(prompt) else row

    def _read_json(self, line: TextLine) -> InputRow:
        try:
            given: JsonValue = STRICT_JSON.decode(line.text)
        except json.JSONDecodeError as error:
            problem = f"not JSON: {error.msg} at column {error.colno}"
        except (ValueError, RecursionError) as error:
            problem = f"not usable JSON: {error}"
        else:
            return self._of_value(line.number, given)
        return InputRow(line.number, problems=(problem,))

    def _of_value(self, number: int, given: JsonValue) -> InputRow:
        if isinstance(given, dict):
            return self._make(number, given)
        problem = f'a line is an object such as {{"prompt": "a red fox"}}, not {shown(given)}'
        return InputRow(number, problems=(problem,))

    def _read_table(self, lines: Iterable[TextLine], usual: str) -> Iterator[InputRow]:
        rows = read_table(
            lines, self.defaults, delimiter=self.delimiter, usual=usual, keeps_extra=self.keeps_extra
        )
        return self._of_rows(rows)

    def read_sheet(self, records: Iterable[Record]) -> Iterator[InputRow]:
        """The items of a sheet, whose first record is the header."""
        return self._of_rows(read_records(records, self.defaults, keeps_extra=self.keeps_extra))

    def _of_rows(self, rows: Iterable[TableRow]) -> Iterator[InputRow]:
        for row in rows:
            if row.fault:
                part: Literal["header"] | None = "header" if row.is_header else None
                yield InputRow(row.number, problems=(row.fault,), hint=row.hint, part=part)
            else:
                item = self._make(row.number, row.fields, row.extra)
                yield attrs.evolve(item, hint=row.hint) if row.hint and item.problems else item

    def _read_array(self, lines: Iterable[TextLine]) -> Iterator[InputRow]:
        """The objects of a JSON array, each as soon as its last line was read."""
        text, begun, number = "", False, 1
        for line in lines:
            if line.fault:
                yield InputRow(line.number, problems=(line.fault,), part="array")
                return
            text, number = f"{text}{line.text}\n".lstrip(), number if text.strip() else line.number
            if not begun and text:
                if not text.startswith("["):
                    problem = "a .json file holds one array: [{...}, {...}]"
                    yield InputRow(line.number, problems=(problem,), part="array")
                    return
                text, begun = text[1:].lstrip(), True
            while text and not text.startswith("]"):
                try:
                    element = _first_element(text)
                except (ValueError, RecursionError) as error:
                    yield InputRow(line.number, problems=(f"not usable JSON: {error}",), part="array")
                    return
                if element is None:
                    break
                value, text = element
                yield self._of_value(number, value)
                number = line.number
        if begun and text.strip() != "]":
            where = (
                f"text after its end: {shown(text[1:])}"
                if text.startswith("]")
                else "no end; is the file cut off?"
            )
            yield InputRow(number, problems=(f"the array has {where}",), part="array")

    def _make(
        self, number: int, given: dict[str, Any], extra: Mapping[str, str] = MappingProxyType({})
    ) -> InputRow:
        item_id, problems = _read_id(given.pop("id", None))
        outside: list[Path] = []
        given = map_files(given, functools.partial(self._located, outside=outside))
        if outside and self.is_confined:
            where = f"the input file {shown(str(outside[0]))} is not below {shown(str(self.folder))}"
            problems += (
                f"{where}: lines from a pipe may only name files below it; give the lines as a file",
            )
        request = None
        try:
            request = parse_request({**self.defaults, **given})
        except InvalidRequestError as error:
            problems += error.problems
        return InputRow(
            number,
            item_id,
            None if problems else request,
            problems,
            outside[0] if outside else None,
            dict(extra),
        )

    def _located(self, file: Any, outside: list[Path]) -> Any:
        """An input file of a line, as a path in the folder if it is local. A file that is not below the folder is also
        added to `outside`.
        """
        if not isinstance(file, str) or not file.strip() or _NO_PATH.match(file):
            return file
        path = self.folder / file
        if not Path(os.path.abspath(path)).is_relative_to(os.path.abspath(self.folder)):  # noqa: PTH100 - follows no link
            outside.append(path)
        return path


def _sniffed(lines: Iterator[TextLine], form: Form | None) -> tuple[Form, Iterator[TextLine]]:
    """The format that the first line shows, and all lines. A text is a table if its first line is a header with tabs."""
    first = next((line for line in lines if line.fault or line.text.strip()), None)
    if first is None:
        return "text", lines
    lines = itertools.chain([first], lines)
    if form is None and first.text.lstrip().startswith("{"):
        return "jsonl", lines
    return ("csv" if "\t" in first.text and is_header(first.text) else "text"), lines


def _first_element(text: str) -> tuple[JsonValue, str] | None:
    """The first element of the rest of an array, and what follows it; None if it continues in the next line.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        value, end = STRICT_JSON.raw_decode(text)
    except json.JSONDecodeError as error:
        if len(text) <= LONGEST_LINE and error.pos >= len(text.rstrip()) - 1:
            return None
        raise
    rest = text[end:].lstrip()
    if rest and rest[0] not in ",]":
        raise ValueError(f"a comma is missing before {shown(rest)}")
    return value, rest.removeprefix(",").lstrip()


def _read_id(given: Any) -> tuple[str | None, tuple[str, ...]]:
    """The id as a text, and its faults."""
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
