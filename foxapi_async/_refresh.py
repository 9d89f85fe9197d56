"""Fresh addresses for result files that have expired: their task is read again, once for all of its files that are
being fetched at the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from foxapi_async._errors import FoxError
from foxapi_async._events import TaskSnapshot
from foxapi_async._results import GeneratedImage

Refresh = Callable[[str], Awaitable[TaskSnapshot]]
"""Reads a task by its id: a GET, which bills nothing."""


class Reading:
    """One read of a task, made when the first of its files turns out to have expired."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._outcome: TaskSnapshot | FoxError | None = None

    async def fresh(self, image: GeneratedImage, refresh: Refresh) -> GeneratedImage | str:
        """The image at the address that its task names now, or in words why there is none."""
        outcome = await self._read(image.task_id or "", refresh)
        if isinstance(outcome, FoxError):
            return f", and its task cannot be read for a fresh address: {outcome}"
        named = image.counterpart(outcome.images)
        if named is None:
            return ", and its task names no address for it any more"
        return ", and its task still names this address" if named.url == image.url else named

    async def _read(self, task_id: str, refresh: Refresh) -> TaskSnapshot | FoxError:
        """What the read gave. If whoever reads is cancelled, the next in line reads."""
        async with self._turn:
            if self._outcome is None:
                try:
                    self._outcome = await refresh(task_id)
                except FoxError as error:  # it is the same for every file of the task
                    self._outcome = error
            return self._outcome


class Readings:
    """The reading that the downloads of one task share for as long as one of them holds it."""

    def __init__(self) -> None:
        self._open: WeakValueDictionary[str | None, Reading] = WeakValueDictionary()

    def of(self, task_id: str | None) -> Reading:
        """The reading of a task, to be held for the whole of a download."""
        return self._open.setdefault(task_id, Reading())
