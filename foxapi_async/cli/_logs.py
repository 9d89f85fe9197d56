"""The package's log on standard error: one plain line for each record, never a traceback."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from foxapi_async.cli._words import in_shell_words

if TYPE_CHECKING:
    from foxapi_async.cli._screen import Screen


# The command itself says what a refused account means to it.
_TOLD_ANYWAY = "the service refused the account"


# A batch tells at its end, once, what these tell of each of its items.
_TOLD_AT_THE_END = ("item %d of a left as_completed", "a submit whose caller has gone", "%s")
# In a batch every item under way waits for the same reason.
_HELD_BACK = "waiting: "
_CALM_SECONDS = 10.0


class _Lines(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        # Ids still running at the end are told by the command itself, with the way to resume them.
        told = hasattr(record, "task_id") or hasattr(record, "task_ids")
        if not told and not record.msg.startswith(_TOLD_ANYWAY):
            self._screen.complain(in_shell_words(record.getMessage()))


class _CalmLines(_Lines):
    """Of what holds for hundreds of items at a time, one line."""

    _last = -_CALM_SECONDS

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith(_TOLD_AT_THE_END):
            return
        if record.msg.startswith(_HELD_BACK):
            if record.created - self._last < _CALM_SECONDS:
                return
            self._last = record.created
        super().emit(record)


@contextlib.contextmanager
def logging_to(screen: Screen, *, verbose: bool, calm: bool = False) -> Iterator[None]:
    """Show warnings of the package, and with `verbose` also what it does, while the block runs.

    With `calm`, what many items have in common is told now and then, and not by each.
    """
    log = logging.getLogger("foxapi_async")
    handler = _CalmLines(screen) if calm else _Lines(screen)
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
