"""Live progress: a row for each task, carried forward between two readings by what the task still needs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import attrs

from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async.cli._text import duration, elided, plain

TICK_SECONDS = 0.1
LABEL_ROOM = 24
_BAR_ROOM = 20
_NEARLY = 0.99


@attrs.define
class Row:
    """One task as the screen shows it. Moments are loop time in seconds."""

    label: str
    begun: float
    event: TaskEvent | None = None
    seen: float = 0.0
    share: float | None = None

    def take(self, event: TaskEvent, now: float) -> None:
        """Note a reading."""
        self.event, self.seen = event, now

    def move(self, now: float) -> None:
        """Bring `share` up to date; it never goes back."""
        share = forecast(self.event, now - self.seen) if self.event else None
        self.share = share if share is None or self.share is None else max(share, self.share)

    @property
    def percent(self) -> str:
        """The share as text, empty where it is not known."""
        return "" if self.share is None else f"{self.share:4.0%}"

    @property
    def status(self) -> str:
        """The service's word for the state, empty before there is one."""
        return plain(self.event.status)[:20] if self.event else ""

    def clock(self, now: float) -> str:
        """How long it has taken, and may still take."""
        if self.event is None:
            return duration(now - self.begun)
        waited = now - self.seen
        spent = duration(self.event.elapsed + waited)
        if not self.event.remaining:
            return spent
        left = self.event.remaining - waited
        return f"{spent}, {f'about {duration(left)} left' if left >= 1 else 'any moment now'}"


def forecast(event: TaskEvent, waited: float) -> float | None:
    """How much of a task is done, 0 to 1, `waited` seconds after `event`; None where nothing tells.

    It starts from the service's progress, or from the time where that stays at 0, and moves so as to arrive when
    the task is expected to end. Only the service's word makes it 1.
    """
    if event.final:
        return 1.0
    left = event.remaining
    share = (event.progress or 0.0) / 100
    if not share:
        if left is None:
            return None
        share = event.elapsed / max(event.elapsed + left, 1e-9)
    if left:
        share += (1 - share) * min(1.0, waited / left)
    return min(max(share, 0.0), _NEARLY)


class View:
    """Shows nothing: what `--quiet` gets, and the frame of the others."""

    live = False
    period = TICK_SECONDS

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def begin(self, key: str, label: str) -> None:
        """Open a row."""
        self.rows[key] = Row(plain(label), _now())

    def take(self, event: TaskEvent) -> None:
        """Note a task's reading."""
        if row := self.rows.get(event.task_id):
            row.take(event, _now())

    def end(self, key: str) -> None:
        """Close a row."""
        self.rows.pop(key, None)

    def draw(self) -> None:
        """Show the rows as they stand now."""

    def erase(self) -> None:
        """Take everything off the screen until it is drawn again."""

    def close(self) -> None:
        """Leave the screen clean."""
        self.rows.clear()
        self.erase()

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Leave the screen to others while the block runs."""
        self.erase()
        yield

    @contextlib.asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        """Keep the rows moving while the block runs."""
        ticker = asyncio.create_task(self._tick()) if self.live else None
        try:
            yield
        finally:
            if ticker is not None:
                ticker.cancel()
                await asyncio.wait([ticker])
            self.close()

    async def _tick(self) -> None:
        while True:
            now = _now()
            for row in self.rows.values():
                row.move(now)
            self.draw()
            await asyncio.sleep(self.period)


class ChangesView(View):
    """A line for each change of a task's status: for logs and pipes."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note

    def take(self, event: TaskEvent) -> None:
        """Tell the status if it is a new one."""
        row = self.rows.get(event.task_id)
        before = row.event.status if row and row.event else None
        super().take(event)
        if row and event.status != before:
            self._note(f"{event.task_id}: {event.status} after {duration(event.elapsed)}")


class LineView(View):
    """One line, rewritten in place."""

    live = True

    def __init__(self) -> None:
        super().__init__()
        self._width = 0

    def draw(self) -> None:
        """Rewrite the line, never longer than the terminal is wide."""
        room = _columns() - 1
        text = self._text(_now(), room)[:room]
        self._put(f"\r{text.ljust(min(self._width, room))}")
        self._width = len(text)

    def erase(self) -> None:
        """Blank the line."""
        if self._width:
            self._put(f"\r{' ' * self._width}\r")
            self._width = 0

    def _text(self, now: float, room: int) -> str:
        if not self.rows:
            return ""
        row = min(self.rows.values(), key=lambda row: row.share or 0.0)
        others = f"and {len(self.rows) - 1} more" if len(self.rows) > 1 else ""
        done = round((row.share or 0.0) * _BAR_ROOM)
        bar = "#" * done + "-" * (_BAR_ROOM - done)
        parts = (f"[{bar}]", row.percent, row.status, row.clock(now), others)
        text = "  ".join(part for part in parts if part)
        return f"{text}  {elided(row.label, max(8, room - len(text) - 2))}".replace("…", "~")

    def _put(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text.encode("ascii", "replace").decode())
            sys.stderr.flush()


def is_watched() -> bool:
    """Whether somebody looks at standard error on a terminal that can rewrite a line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _columns() -> int:
    try:
        # Inside a serial console or an IDE the width may be told as 0.
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _now() -> float:
    return asyncio.get_running_loop().time()
