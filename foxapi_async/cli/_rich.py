"""Live progress with rich: a bar for each task."""

from __future__ import annotations

import asyncio

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn
from rich.table import Column

from foxapi_async.cli._text import elided
from foxapi_async.cli._view import LABEL_ROOM, View

_WIDE = 100


class BarsView(View):
    """A bar for each task, on standard error; gone when the command ends."""

    live = True

    def __init__(self) -> None:
        super().__init__()
        console = Console(stderr=True)
        self._bars = Progress(
            SpinnerColumn(),
            _text("label"),
            BarColumn(bar_width=30 if console.width >= _WIDE else 12),
            _text("percent", justify="right"),
            _text("status"),
            _text("clock", style="dim"),
            console=console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._ids: dict[str, TaskID] = {}
        self._shown = False

    def begin(self, key: str, label: str) -> None:
        """Open a row with a bar that moves to and fro until something is known."""
        super().begin(key, label)
        label = elided(self.rows[key].label, LABEL_ROOM)
        self._ids[key] = self._bars.add_task("", total=None, label=label, percent="", status="", clock="")

    def end(self, key: str) -> None:
        """Close a row."""
        super().end(key)
        self._bars.remove_task(self._ids.pop(key))

    def draw(self) -> None:
        """Show the bars as they stand now."""
        now = asyncio.get_running_loop().time()
        for key, row in self.rows.items():
            total, done = (None, 0.0) if row.share is None else (1.0, row.share)
            self._bars.update(
                self._ids[key],
                total=total,
                completed=done,
                percent=row.percent,
                status=row.status,
                clock=row.clock(now),
            )
        if not self._shown:
            self._bars.start()
            self._shown = True
        self._bars.refresh()

    def erase(self) -> None:
        """Take the bars off the screen; the cursor comes back."""
        if self._shown:
            self._bars.stop()
            self._shown = False


def _text(field: str, *, justify: str = "left", style: str = "none") -> ProgressColumn:
    column = Column(no_wrap=True, justify="right" if justify == "right" else "left")
    # Without markup: the text may come from the service.
    return TextColumn(f"{{task.fields[{field}]}}", style=style, markup=False, table_column=column)
