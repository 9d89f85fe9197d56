"""The progress of tasks: a row for each. Between two events the row moves by the expected time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs

from foxapi_async._handles.progress import clock_words, not_less, share_done
from foxapi_async._wire.texts import duration, elided, plain

if TYPE_CHECKING:  # it imports aiohttp, which takes too long before the first line
    from foxapi_async._handles.snapshot import TaskEvent

LABEL_ROOM = 24


@attrs.frozen
class ProgressRow:
    """One bar of live progress; `share` is how much is done, 0 to 1, None if that is not known."""

    label: str
    share: float | None
    texts: Sequence[str]


class Progress(Protocol):
    """The progress that is shown while a command works."""

    redraw_seconds: float

    def bars(self) -> Sequence[ProgressRow]:
        """The present bars."""
        ...

    def details(self) -> Sequence[str]:
        """Lines below the bars."""
        ...

    def summary(self) -> str:
        """The progress in one line for a log; empty for no line."""
        ...


@attrs.define
class TaskRow:
    """One task as the screen shows it. Moments are loop time in seconds."""

    label: str
    begun: float
    event: TaskEvent | None = None
    seen: float = 0.0
    share: float | None = None

    def take(self, event: TaskEvent, now: float) -> None:
        """Note an event."""
        self.event, self.seen = event, now

    def bar(self, now: float) -> ProgressRow:
        """The present bar. Its share never decreases."""
        share = share_done(self.event, now - self.seen) if self.event else None
        self.share = not_less(share, self.share)
        percent = "" if self.share is None else f"{self.share:4.0%}"
        status = plain(self.event.status)[:20] if self.event else ""
        return ProgressRow(elided(self.label, LABEL_ROOM), self.share, (percent, status, self._clock(now)))

    def _clock(self, now: float) -> str:
        """The elapsed time, and the expected remaining time."""
        if self.event is None:
            return duration(now - self.begun)
        return clock_words(self.event, now - self.seen)


class TaskProgress:
    """The tasks of one command; see `Progress`.

    Args:
        note: writes a line for each new status; None if bars are drawn.
    """

    redraw_seconds = 0.1

    def __init__(self, note: Callable[[str], None] | None) -> None:
        self._note = note
        self._rows: dict[str, TaskRow] = {}

    def begin(self, key: str, label: str) -> None:
        """Open a row."""
        self._rows[key] = TaskRow(plain(label), asyncio.get_running_loop().time())

    def take(self, event: TaskEvent) -> None:
        """Note an event of a task."""
        row = self._rows[event.task_id]
        before = row.event and row.event.status
        row.take(event, asyncio.get_running_loop().time())
        if event.status != before and self._note is not None:
            self._note(f"{event.task_id}: {event.status} after {duration(event.elapsed)}")

    def end(self, key: str) -> None:
        """Close a row."""
        self._rows.pop(key, None)

    def bars(self) -> list[ProgressRow]:
        """A bar for each row."""
        now = asyncio.get_running_loop().time()
        return [row.bar(now) for row in self._rows.values()]

    def details(self) -> tuple[str, ...]:
        """Nothing, because the bars show everything."""
        return ()

    def summary(self) -> str:
        """Nothing, because each new status has its own line."""
        return ""
