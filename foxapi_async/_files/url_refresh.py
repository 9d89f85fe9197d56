"""Fresh addresses for result files that have expired.

Their task is read again, once for all of its files that are being fetched at the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from weakref import WeakValueDictionary

from foxapi_async._errors import FoxError
from foxapi_async._files.values import FileRequest

Refresh = Callable[[str], Awaitable[Sequence[str]]]
"""Gives the addresses that a task's files have now, by the task's id: a GET, which bills nothing."""


class UrlRefresh:
    """One read of a task, made when the first of its files turns out to have expired."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._outcome: Sequence[str] | FoxError | None = None

    async def fresh(self, file: FileRequest, refresh: Refresh) -> FileRequest | str:
        """The file at the address that its task gives now, or in words why there is none."""
        outcome = await self._read(file.task_id or "", refresh)
        if isinstance(outcome, FoxError):
            return f", and its task cannot be read for a fresh address: {outcome}"
        fresh = file.at_fresh_address(outcome)
        if fresh is None:
            return ", and its task names no address for it any more"
        return ", and its task still names this address" if fresh.url == file.url else fresh

    async def _read(self, task_id: str, refresh: Refresh) -> Sequence[str] | FoxError:
        """What the read gave. If the reader is cancelled, the next in line reads."""
        async with self._turn:
            if self._outcome is None:
                try:
                    self._outcome = await refresh(task_id)
                except FoxError as error:  # it is the same for every file of the task
                    self._outcome = error
            return self._outcome


class UrlRefreshes:
    """The read that the downloads of one task share for as long as one of them holds it."""

    def __init__(self) -> None:
        self._open: WeakValueDictionary[str | None, UrlRefresh] = WeakValueDictionary()

    def of(self, task_id: str | None) -> UrlRefresh:
        """The read of a task, to be held for the whole of a download."""
        return self._open.setdefault(task_id, UrlRefresh())
