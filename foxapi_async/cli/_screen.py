"""The two streams of a command: data to standard output, lines for people and live progress to standard error."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol, TextIO

from foxapi_async._wire.texts import plain
from foxapi_async.cli._progress import Progress, ProgressRow

LOG_SECONDS = 10.0


class Screen:
    """Where a command writes.

    Args:
        as_json: data are JSON objects, one a line; what is for people only stays off standard output.
        quiet: no progress and no remarks; errors and what may cost money are still shown.
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
            self.error(text)

    def error(self, text: str) -> None:
        """A line that people must see."""
        self._write(sys.stderr, f"foxapi: {plain(text)}")

    @contextlib.asynccontextmanager
    async def following(self, progress: Progress) -> AsyncGenerator[None]:
        """Show progress while the block runs: bars on a terminal, else a line now and then."""
        ticker = asyncio.create_task(self._tick(progress))
        try:
            yield
        finally:
            ticker.cancel()
            await asyncio.wait([ticker])
            if self._panel is not None:
                self._panel.erase()

    async def _tick(self, progress: Progress) -> None:
        while True:
            if self._panel is not None:
                await asyncio.sleep(progress.redraw_seconds)
                self._panel.draw(progress.bars(), progress.details())
            else:
                await asyncio.sleep(LOG_SECONDS)
                if text := progress.summary():
                    self.note(text)

    def _write(self, stream: TextIO, line: str) -> None:
        if self._panel is not None:  # it is drawn again in a moment
            self._panel.erase()
        try:
            _put(stream, line)
        except OSError:  # nothing reads it any more (| head): what is under way is paid for and continues
            _discard(stream)


class Panel(Protocol):
    """The part of a terminal that is drawn again and again."""

    def draw(self, bars: Sequence[ProgressRow], details: Sequence[str]) -> None:
        """Show this instead of what was shown before."""
        ...

    def erase(self) -> None:
        """Show nothing; the cursor comes back."""
        ...


def _make_panel() -> Panel | None:
    """A panel by rich; None if rich is not installed, or standard error is no terminal that can be drawn on."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return None
    try:
        from foxapi_async.cli._rich import RichPanel  # noqa: PLC0415 - slow to import, and optional
    except ImportError:
        return None
    return RichPanel()


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
