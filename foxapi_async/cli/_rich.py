"""Shows live progress with rich: a bar for each row, on standard error, until the command ends."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foxapi_async.cli._progress import ProgressRow

_WIDE = 100


class RichPanel:
    """See `Panel`."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._live = Live(
            console=self._console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def draw(self, bars: Sequence[ProgressRow], details: Sequence[str]) -> None:
        """Show the bars, and the details below them. A bar without a share moves back and forth."""
        width = 30 if self._console.width >= _WIDE else 12
        grid = Table.grid(padding=(0, 2, 0, 0))
        for bar in bars:
            total, done = (None, 0.0) if bar.share is None else (1.0, bar.share)
            row = ProgressBar(total=total, completed=done, width=width)
            # A `Text` has no markup. That is safe for a text from the service.
            grid.add_row(
                *(Text(text, no_wrap=True) for text in [bar.label] if text), row, *map(_line, bar.texts)
            )
        self._live.update(Group(grid, *map(_line, details)))
        if not self._live.is_started:
            self._live.start()
        self._live.refresh()

    def erase(self) -> None:
        """Remove the bars from the screen, and show the cursor again."""
        if self._live.is_started:
            self._live.stop()


def _line(text: str) -> Text:
    line = Text(text, no_wrap=True, overflow="ellipsis")
    line.highlight_regex(r"[\d,]+ failed", "red")
    line.highlight_regex(r"[\d,]+ uncertain", "yellow")
    return line
