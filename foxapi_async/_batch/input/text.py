"""The lines of an input, in the encodings that spreadsheets and editors write."""

from __future__ import annotations

import codecs
import itertools
import json
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from foxapi_async.models._values import shown

LONGEST_LINE = 1024 * 1024
"""The most bytes that a line may have, and the most characters that a table's record may have."""

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class TextLine(NamedTuple):
    """One line of the file, numbered from 1. If it has a `fault`, its text could not be read."""

    number: int
    text: str
    fault: str | None = None


class TextLines:
    """The lines of a stream of blocks: UTF-8, or UTF-16 with a byte order mark, ending in LF, CRLF or CR.

    `drained` is true if all complete lines of the last block were returned, except for blank ones. Then the next line
    needs another block.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.drained = False

    def __iter__(self) -> Iterator[TextLine]:
        tail, too_long, number = b"", False, 0
        for block in _as_utf8(self._blocks):
            *whole, tail = (tail + block).split(b"\n")
            last = number + _last_filled(whole)
            for line in whole:
                number += 1
                self.drained = number >= last
                yield _text_line(number, line, too_long=too_long)
                too_long = False
            if len(tail) > LONGEST_LINE:
                tail, too_long = b"", True
        if tail or too_long:
            yield _text_line(number + 1, tail, too_long=too_long)


def _last_filled(lines: list[bytes]) -> int:
    """The number of the last line that is not blank; 0 if all are blank."""
    count = len(lines)
    while count and not lines[count - 1].strip():
        count -= 1
    return count


def _text_line(number: int, line: bytes, *, too_long: bool) -> TextLine:
    if too_long or len(line) > LONGEST_LINE:
        return TextLine(number, "", f"a line of more than {LONGEST_LINE} bytes")
    if number == 1:
        line = line.removeprefix(_BOM)
    try:
        return TextLine(number, line.decode())
    except UnicodeDecodeError as error:
        return TextLine(
            number, "", f"not UTF-8 at byte {error.start + 1} of the line; save the file as UTF-8"
        )


def _as_utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks in UTF-8, with LF at the end of each line."""
    start = b""
    while len(start) < 2 and (block := next(blocks, b"")):
        start += block
    blocks = itertools.chain([start], blocks)
    if start.startswith(_UTF16):
        decoder = codecs.getincrementaldecoder("utf-16")("replace")
        blocks = (decoder.decode(block).encode("utf-8", "replace") for block in blocks)
    held = b""  # a CR at the end of a block, because the next block may begin with the LF of a CRLF
    for block in blocks:
        text = held + block
        held = b"\r" if text.endswith(b"\r") else b""
        yield text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if held:
        yield b"\n"


# JSON.


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, if no name is given twice. Python's own decoder would silently keep only the last of equal names."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the field {shown(twice)} is given twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


STRICT_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)
"""Reads JSON, but refuses an object with the same name twice, and NaN."""
