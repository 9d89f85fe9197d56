"""Limits how many files are fetched at a time, so that slow ones do not keep others waiting."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

# A file that takes longer than `SLOT_SECONDS` gives its slot to the next file, and continues without one. Only
# `MOST_BESIDE` files may do this at a time, because polls share the connections.
SLOT_SECONDS = 30.0
MOST_BESIDE = 48


class DownloadSlots:
    """The slots for files that are fetched at the same time.

    Args:
        count: how many there are.
    """

    def __init__(self, count: int) -> None:
        self._slots = asyncio.Semaphore(count)
        self._beside: set[object] = set()

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncGenerator[None]:
        """Wait for a slot, and hold it until the block ends, or until the slot is given to the next file."""
        await self._slots.acquire()
        file = object()
        timer = asyncio.get_running_loop().call_later(SLOT_SECONDS, self._give_up, file)
        try:
            yield
        finally:
            timer.cancel()
            if file in self._beside:
                self._beside.remove(file)
            else:
                self._slots.release()

    def _give_up(self, file: object) -> None:
        if len(self._beside) < MOST_BESIDE:
            self._beside.add(file)
            self._slots.release()
