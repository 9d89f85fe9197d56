"""Calls the user's hooks: plain functions of one event, on the loop. One that raises harms nobody."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable

from foxapi_async._errors import ConfigurationError
from foxapi_async._events import TaskEvent

Hook = Callable[[TaskEvent], object]

_log = logging.getLogger("foxapi_async")


class Hooks:
    """The hooks of a session, called in order.

    Raises:
        ConfigurationError: one of them cannot be called.
    """

    def __init__(self, hooks: Iterable[Hook]) -> None:
        self._hooks = tuple(hooks)
        self._reported: set[int] = set()
        for hook in self._hooks:
            if not callable(hook) or inspect.iscoroutinefunction(hook):
                raise ConfigurationError(f"hooks: {hook!r} is no plain function of one event")

    def __call__(self, event: TaskEvent) -> None:
        """Give the event to each hook; what one raises is logged the first time, and goes no further."""
        for number, hook in enumerate(self._hooks):
            try:
                hook(event)
            except (Exception, asyncio.CancelledError):  # the latter: `result()` of a cancelled future, say
                if number not in self._reported:
                    self._reported.add(number)
                    _log.exception(
                        "a hook raised on task %s; it is called on, and this is logged once", event.task_id
                    )
