"""Shows live progress with rich: a bar for each row, on standard error, until the command ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foxapi_async._wire.texts import elided
from foxapi_async.cli._progress import LABEL_ROOM, ProgressRow

_WIDE = 100
_GAP = 2
# A shorter part of an id says nothing.
_SHORTEST_LABEL = 8


class RichPanel:
    """See `Panel`.

    Args:
        console: where it is drawn; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console(stderr=True) if console is None else console
        self._live = Live(
            console=self._console,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def draw(self, bars: Sequence[ProgressRow], details: Sequence[str]) -> None:
        """Show the bars, and the details below them. A bar without a share moves back and forth."""
        grid = _grid(bars, self._console.width)
        self._live.update(Group(grid, *(_line(text, wraps=True) for text in details)))
        if not self._live.is_started:
            self._live.start()
        self._live.refresh()

    def erase(self) -> None:
        """Remove the bars from the screen, and show the cursor again."""
        if self._live.is_started:
            self._live.stop()


def _grid(bars: Sequence[ProgressRow], width: int) -> Table:
    """The bars with their labels and texts. In a narrow terminal the labels are left out first. The bars stay."""
    bar_width = 30 if width >= _WIDE else 12
    columns = list(zip_longest(*(bar.texts for bar in bars), fillvalue=""))
    taken = bar_width + sum(_GAP + max(map(cell_len, column)) for column in columns)
    room = min(LABEL_ROOM, width - taken - _GAP)
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    has_labels = room >= _SHORTEST_LABEL and any(bar.label for bar in bars)
    if has_labels:
        grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, min_width=bar_width)
    for place in range(len(columns)):
        # The percentage stays, too. Words and times are cut off.
        grid.add_column(no_wrap=place == 0)
    for bar in bars:
        total, done = (None, 0.0) if bar.share is None else (1.0, bar.share)
        # A `Text` has no markup. That is safe for a text from the service.
        label = [Text(elided(bar.label, room), no_wrap=True)] if has_labels else []
        grid.add_row(
            *label, ProgressBar(total=total, completed=done, width=bar_width), *map(_line, bar.texts)
        )
    return grid


def _line(text: str, *, wraps: bool = False) -> Text:
    line = Text(text, no_wrap=not wraps, overflow="ellipsis")
    line.highlight_regex(r"[\d,]+ failed", "red")
    line.highlight_regex(r"[\d,]+ uncertain", "yellow")
    return line
