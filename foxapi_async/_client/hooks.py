"""Calls the user's hooks: plain functions of one event, on the loop. One that raises harms nobody."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from foxapi_async._client.notices import HookEvent, Retried, Saved, Throttled
from foxapi_async._errors import ConfigurationError, FoxError
from foxapi_async._files.values import SavedFile
from foxapi_async._listener import What

Hook = Callable[[HookEvent], object]

# While a hook runs, nothing else of the loop does: one that takes longer is named in the log.
SLOW_SECONDS = 0.1

_log = logging.getLogger("foxapi_async")


class Hooks:
    """The hooks of a session, called in order.

    Attributes:
        clock: tells seconds, by which they are timed; the session sets its loop's.

    Raises:
        ConfigurationError: one of them cannot be called.
    """

    def __init__(self, hooks: Iterable[Hook]) -> None:
        self.clock: Callable[[], float] = float  # stands still
        self._hooks = tuple(hooks)
        self._reported: set[int] = set()
        self._slow: set[int] = set()
        for hook in self._hooks:
            if not callable(hook) or inspect.iscoroutinefunction(hook):
                raise ConfigurationError(f"hooks: {hook!r} is no plain function of one event")

    @property
    def listener(self) -> Self | None:
        """What reports go to; None without a hook, so that no notice need be made."""
        return self if self._hooks else None

    def on_retry(
        self,
        what: What,
        seconds: float,
        error: FoxError,
        *,
        task_id: str | None = None,
        call: int | None = None,
    ) -> None:
        """See `Listener.on_retry`."""
        self(Retried(what=what, task_id=task_id, call=call, seconds=seconds, error=error))

    def on_throttle(self, what: What, seconds: float, error: FoxError | None) -> None:
        """See `Listener.on_throttle`."""
        self(Throttled(what=what, seconds=seconds, error=error))

    def on_saved(self, task_id: str | None, path: Path, sha256: str, size: int, seconds: float) -> None:
        """See `Listener.on_saved`."""
        self(Saved(task_id=task_id, file=SavedFile(path, sha256, size), seconds=seconds))

    def __call__(self, event: HookEvent) -> None:
        """Give the event to each hook; what one raises is logged the first time, and goes no further."""
        for number, hook in enumerate(self._hooks):
            began = self.clock()
            try:
                hook(event)
            except (Exception, asyncio.CancelledError):  # the latter: `result()` of a cancelled future, say
                if number not in self._reported:
                    self._reported.add(number)
                    _log.exception(
                        "a hook raised on %s; it is called on, and this is logged once", _described(event)
                    )
            if self.clock() - began > SLOW_SECONDS:
                self._tell_slow(number, event, self.clock() - began)

    def _tell_slow(self, number: int, event: HookEvent, seconds: float) -> None:
        if number not in self._slow:
            self._slow.add(number)
            _log.warning(
                "the hook %s took %.2f s for %s, and kept everything on the loop waiting; this is logged once",
                _name(self._hooks[number]),
                seconds,
                _described(event),
            )


def _described(event: HookEvent) -> str:
    of = "" if event.task_id is None else f" of task {event.task_id}"
    return f"{type(event).__name__}{of}"


def _name(hook: Hook) -> str:
    name = getattr(hook, "__qualname__", type(hook).__qualname__)
    return f"{getattr(hook, '__module__', '?')}.{name}"
