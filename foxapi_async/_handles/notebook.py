"""Shows a handle in the cell of a notebook: a bar that moves while the task runs, then its images or its error.

No asyncio task updates the cell, so there is nothing to cancel. The loop calls a plain function after each event, and
once a second between two events. The last call comes when the handle ends. A session that closes ends its handles.
"""
# ruff: noqa: SLF001 - these parts of a handle and of a result are not for users

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any, Protocol

import attrs

from foxapi_async._errors import FoxError
from foxapi_async._handles.progress import clock_words, not_less, share_done
from foxapi_async._handles.result import TaskResult
from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async._wire.texts import duration, shorten

REDRAW_SECONDS = 1.0


@attrs.frozen(kw_only=True)
class HandleView:
    """A handle at one moment.

    Attributes:
        task_id: the task's id.
        state: the handle's state in words.
        event: the last event; None if the task was not read yet.
        waited: seconds since that event.
        ending: the result or the error; None while the task runs.
    """

    task_id: str
    state: str
    event: TaskEvent | None
    waited: float
    ending: TaskResult | FoxError | None

    @property
    def share(self) -> float | None:
        """How much of the task is done, 0 to 1; None if that is not known."""
        return share_done(self.event, self.waited) if self.event else None


class Followed(Protocol):
    """The parts of a handle that a cell needs."""

    def done(self) -> bool:
        """Whether it has ended."""
        ...

    def _view(self) -> HandleView: ...

    def _call_later(self, seconds: float, call: Callable[[], object]) -> None:
        """Make the call once: after the next event, when the handle ends, or after `seconds`, whichever is first."""
        ...


class LiveCell:
    """A cell that shows a handle, and is updated until the handle ends."""

    def __init__(self, handle: Followed) -> None:
        self._handle = handle
        self._share: float | None = None
        self._display = _ipython().display.display(self._bundle(), raw=True, display_id=True)
        self._wait()

    def _wait(self) -> None:
        if not self._handle.done():
            self._handle._call_later(REDRAW_SECONDS, self._redraw)

    def _redraw(self) -> None:
        self._display.update(self._bundle(), raw=True)
        self._wait()

    def _bundle(self) -> dict[str, str]:
        view = self._handle._view()
        self._share = not_less(view.share, self._share)
        return {"text/plain": repr(self._handle), "text/html": html_of(view, self._share)}


def replaces_html() -> bool:
    """Whether the front end of IPython shows HTML. A terminal would print each new state on a new line."""
    formatter = getattr(_ipython().get_ipython(), "display_formatter", None)
    return "text/html" in getattr(formatter, "active_types", ())


def _ipython() -> Any:
    """The module IPython. It is already loaded when IPython shows a handle."""
    import IPython.display  # noqa: PLC0415 # pyright: ignore[reportMissingImports, reportUnusedImport]

    return IPython


def html_of(view: HandleView, share: float | None) -> str:
    """The handle as HTML without scripts and styles; `share` is the filled part of the bar, 0 to 1."""
    task_id, event = f"<code>{html.escape(view.task_id)}</code>", view.event
    if view.ending is not None:
        after = f" after {duration(event.elapsed)}" if event is not None and event.final else ""
        return f"<div>{view.state}{after} {task_id}</div><div>{_html_of_ending(view.ending)}</div>"
    percent = "" if share is None else f" {share:.0%}"
    words = (
        f"{shorten(event.status, 40)}{percent}, {clock_words(event, view.waited)}"
        if event is not None
        else "not read yet"
    )
    value = "" if share is None else f' value="{share:.3f}"'
    return f'<div><progress max="1"{value}></progress> {html.escape(words)} {task_id}</div>'


def _html_of_ending(ending: TaskResult | FoxError) -> str:
    return ending._repr_html_() if isinstance(ending, TaskResult) else html.escape(str(ending))
