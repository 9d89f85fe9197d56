"""The two streams of a command: data to standard output, lines for people and live progress to standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from foxapi_async.cli._text import plain
from foxapi_async.cli._view import ChangesView, LineView, View, is_watched


class Screen:
    """Where a command writes.

    Args:
        as_json: data are JSON objects, one a line; what is for people only stays off standard output.
        quiet: no progress and no remarks; errors and what may cost money are still told.
    """

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.view: View = make_view(self.note, quiet=quiet)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.view.close()

    def data(self, item: Mapping[str, Any]) -> None:
        """One JSON object on standard output, if those are asked for."""
        if self.as_json:
            self._write(sys.stdout, json.dumps(item))

    def line(self, text: str) -> None:
        """One line of data on standard output, unless JSON is asked for."""
        if not self.as_json:
            # A program gets a path as it is; a terminal must not obey one.
            self._write(sys.stdout, plain(text) if sys.stdout.isatty() else text)

    def note(self, text: str) -> None:
        """A remark for people, left out with `--quiet`."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """A line that people must see."""
        self._write(sys.stderr, f"foxapi: {plain(text)}")

    def _write(self, stream: TextIO, line: str) -> None:
        with self.view.hidden():
            try:
                _put(stream, line)
            except OSError:  # nobody reads it (| head): what is under way is paid for and goes on
                _discard(stream)


def _put(stream: TextIO, line: str) -> None:
    try:
        stream.write(f"{line}\n")
    except UnicodeEncodeError:  # a terminal or pipe that is not UTF-8
        encoding = stream.encoding or "ascii"
        stream.write(f"{line.encode(encoding, 'backslashreplace').decode(encoding)}\n")
    stream.flush()


def _discard(stream: TextIO) -> None:
    """Send the rest of a stream nowhere, so that the interpreter's last flush is quiet as well."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def make_view(note: Callable[[str], None], *, quiet: bool) -> View:
    """The view for this terminal; `note` writes a line to standard error.

    Bars by rich if it is installed, one rewritten line on another terminal, a line for each change of status where
    nobody watches, nothing with `--quiet`.
    """
    if quiet:
        return View()
    if not is_watched():
        return ChangesView(note)
    try:
        from foxapi_async.cli._rich import BarsView  # noqa: PLC0415 - slow to import, and optional
    except ImportError:
        return LineView()
    return BarsView()
