"""The live view of a batch, one for all its items: a bar with rich, else a line, else a log line now and then."""

from __future__ import annotations

from collections.abc import Callable

from foxapi_async.cli._batch_figures import Figures
from foxapi_async.cli._view import LineView, View

LOG_SECONDS = 10.0
REDRAW_SECONDS = 0.5
READING = "reading the input"
_BAR_ROOM = 20

Look = Callable[[], Figures | None]


class BatchLogView(View):
    """A line every ten seconds: for logs and pipes."""

    live = True
    period = LOG_SECONDS

    def __init__(self, look: Look, note: Callable[[str], None]) -> None:
        super().__init__()
        self._look = look
        self._note = note
        self._begun = False

    def draw(self) -> None:
        """Tell how it stands; a batch that is over sooner is told of by its summary alone."""
        figures = self._look()
        if self._begun:
            self._note(READING if figures is None else _in_words(figures))
        self._begun = True


class BatchLineView(LineView):
    """One line, rewritten in place."""

    period = REDRAW_SECONDS

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look

    def _text(self, now: float, room: int) -> str:
        del now
        figures = self._look()
        if figures is None:
            return READING
        bar = ""
        if figures.share is not None:
            done = int(figures.share * _BAR_ROOM)
            bar = f"[{'#' * done}{'-' * (_BAR_ROOM - done)}] {figures.share:4.0%}  "
        text = f"{bar}{figures.progress}"
        # What does not fit is left out as a whole, the less telling first.
        for part in [*figures.pace[::-1], *figures.states[1:], *figures.traffic]:
            if len(text) + len(part) + 2 <= room:
                text += f"  {part}"
        return text


def _in_words(figures: Figures) -> str:
    parts = [", ".join(figures.states), ", ".join(figures.pace), ", ".join(figures.traffic)]
    return f"{figures.progress}: {'; '.join(part for part in parts if part)}"
