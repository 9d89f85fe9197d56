"""The package's log on standard error: one plain line for each record, never a traceback."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foxapi_async.cli._screen import Screen


class _Lines(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        # Ids still running at the end are told by the command itself, with the way to resume them.
        if not hasattr(record, "task_ids"):
            self._screen.complain(record.getMessage())


@contextlib.contextmanager
def logging_to(screen: Screen, *, verbose: bool) -> Iterator[None]:
    """Show warnings of the package, and with `verbose` also what it does, while the block runs."""
    log, handler = logging.getLogger("foxapi_async"), _Lines(screen)
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
