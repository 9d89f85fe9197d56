"""The two streams of a command: data to standard output, lines for people and live progress to standard error."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import sys
import traceback
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TextIO

from foxapi_async._wire.texts import plain
from foxapi_async.cli._progress import Progress, ProgressRow
from foxapi_async.cli._streams import is_terminal, put

LOG_SECONDS = 10.0


class Screen:
    """The output of a command.

    Args:
        as_json: data are JSON objects, one per line; text for people is not on standard output.
        quiet: no progress and no remarks; errors and messages about costs are still shown.
    """

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._panel = None if quiet else _make_panel()

    @property
    def live(self) -> bool:
        """Whether progress is drawn on a terminal."""
        return self._panel is not None

    def data(self, item: Mapping[str, Any]) -> None:
        """Print one JSON object on standard output, if `as_json` is set."""
        if self.as_json:
            self._write(sys.stdout, json.dumps(item, allow_nan=False))

    async def content(self, pieces: Iterable[bytes]) -> None:
        """Print a file in UTF-8 on standard output, unchanged. On a terminal, control characters become escapes.

        If it cannot be written, the rest is left out, and the command ends with an error.
        """
        for_terminal: list[bytes] = []
        for piece in pieces:
            await asyncio.sleep(0)  # Ctrl-C ends it here
            if is_terminal(sys.stdout):
                for_terminal.append(piece)
            elif put(sys.stdout, piece):
                return
        for line in b"".join(for_terminal).decode("utf-8-sig").splitlines():
            await asyncio.sleep(0)
            self._write(sys.stdout, plain(line))

    def line(self, text: str) -> None:
        """Print one line of data on standard output, unless `as_json` is set."""
        if not self.as_json:
            # A program gets a path unchanged. A terminal must not obey control characters in it.
            self._write(sys.stdout, plain(text) if is_terminal(sys.stdout) else text)

    def note(self, text: str) -> None:
        """Print a remark for people, unless `quiet` is set."""
        if not self.quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Print a line that people must see."""
        self._write(sys.stderr, f"foxapi: {plain(text)}")

    def trace(self, error: BaseException) -> None:
        """Print the traceback of an error, for `--debug`."""
        self._write(sys.stderr, "".join(traceback.format_exception(error)).rstrip())

    @contextlib.asynccontextmanager
    async def following(self, progress: Progress) -> AsyncGenerator[None]:
        """Show progress while the block runs: bars on a terminal, else one line every ten seconds."""
        ticker = asyncio.create_task(self._tick(progress))
        try:
            yield
        finally:
            ticker.cancel()
            await asyncio.wait([ticker])
            self._erase()

    async def _tick(self, progress: Progress) -> None:
        while True:
            if (panel := self._panel) is not None:
                await asyncio.sleep(progress.redraw_seconds)
                self._try(functools.partial(panel.draw, progress.bars(), progress.details()))
            else:
                await asyncio.sleep(LOG_SECONDS)
                if text := progress.summary():
                    self.note(text)

    def _write(self, stream: TextIO | None, line: str) -> None:
        self._erase()  # it is drawn again in a moment
        put(stream, f"{line}\n")

    def _erase(self) -> None:
        if self._panel is not None:
            self._try(self._panel.erase)

    def _try(self, change: Callable[[], None]) -> None:
        """Change the drawing. If the terminal has gone, nothing is drawn any more."""
        try:
            change()
        except (OSError, ValueError):  # a closed stream is a ValueError
            self._panel = None


class Panel(Protocol):
    """The part of a terminal that is drawn again and again."""

    def draw(self, bars: Sequence[ProgressRow], details: Sequence[str]) -> None:
        """Show this in place of the last drawing."""
        ...

    def erase(self) -> None:
        """Remove the drawing, and show the cursor again."""
        ...


def _make_panel() -> Panel | None:
    """A panel by rich; None if rich is not installed, or standard error is not a terminal that can be drawn on."""
    if not is_terminal(sys.stderr) or os.environ.get("TERM") == "dumb":
        return None
    try:
        from foxapi_async.cli._rich import RichPanel  # noqa: PLC0415 - slow to import, and optional
    except ImportError:
        return None
    return RichPanel()
