"""The live view of a batch with rich: a bar, and two lines of figures below it."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foxapi_async.cli._batch_figures import Figures
from foxapi_async.cli._batch_view import READING, REDRAW_SECONDS, Look
from foxapi_async.cli._view import View

_COLOURS = {"failed": "red", "uncertain": "yellow"}


class BatchBarView(View):
    """A bar with its figures, on standard error; gone when the command ends."""

    live = True
    period = REDRAW_SECONDS

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self._live = Live(
            console=Console(stderr=True),
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def draw(self) -> None:
        """Show the figures as they stand now."""
        figures = self._look()
        self._live.update(Text(READING, style="dim") if figures is None else _drawn(figures))
        if not self._live.is_started:
            self._live.start()
        self._live.refresh()

    def erase(self) -> None:
        """Take everything off the screen; the cursor comes back."""
        if self._live.is_started:
            self._live.stop()


def _drawn(figures: Figures) -> RenderableType:
    states = Text("   ").join(
        Text(state, style=_COLOURS.get(state.split()[-1], "none"), no_wrap=True) for state in figures.states
    )
    return Group(
        _bar(figures),
        states,
        Text("   ".join([*figures.pace, *figures.traffic]), style="dim", no_wrap=True, overflow="ellipsis"),
    )


def _bar(figures: Figures) -> RenderableType:
    if figures.share is None:
        return Text(figures.progress)
    row = Table.grid(padding=(0, 2, 0, 0))
    bar = ProgressBar(total=1.0, completed=figures.share, width=40)
    row.add_row(bar, Text(f"{figures.share:.0%}"), Text(figures.progress, no_wrap=True))
    return row
