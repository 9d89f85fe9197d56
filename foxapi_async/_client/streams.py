"""One stream of the events of all tasks of a session. A slow reader does not delay the session."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol, Self

from foxapi_async._display import public_dir
from foxapi_async._handles.snapshot import TaskEvent


class EventSink(Protocol):
    """A reader of events."""

    def put(self, event: TaskEvent) -> None:
        """Accept an event, without waiting."""
        ...


class EventStream:
    """The async iterator of `FoxSession.events` over `TaskEvent`.

    A slow reader gets the latest state of each task and every final event. It never delays the polling.
    """

    __dir__ = public_dir

    def __init__(self, current: Iterable[TaskEvent]) -> None:
        self._pending = {event.task_id: event for event in current}
        self._changed = asyncio.Event()
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TaskEvent:
        while not self._pending:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._pending.pop(next(iter(self._pending)))

    async def aclose(self) -> None:
        """End the stream for its reader."""
        self._pending.clear()
        self.close()

    def put(self, event: TaskEvent) -> None:
        """Accept an event. It replaces an unread event of the same task."""
        if not self._closed:
            self._pending.pop(event.task_id, None)
            self._pending[event.task_id] = event
            self._changed.set()

    def close(self) -> None:
        """Accept no more events. The reader still gets the pending ones."""
        self._closed = True
        self._changed.set()
