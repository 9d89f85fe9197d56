"""Sends each change to every open page. A slow page gets the latest of each subject, and delays no other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import attrs


@attrs.frozen
class Notice:
    """One change.

    Attributes:
        name: the kind of change, which is also the name of its server-sent event.
        subject: the thing that has changed. A later notice of the same kind and subject replaces this one.
        data: the data for a page, ready for JSON.
    """

    name: str
    subject: str
    data: Any


class Reader:
    """The notices that one page has not received yet."""

    def __init__(self) -> None:
        self._pending: dict[tuple[str, str], Notice] = {}
        self._news = asyncio.Event()

    def put(self, notice: Notice) -> None:
        """Add a notice. It replaces an unread one of the same subject."""
        self._pending.pop((notice.name, notice.subject), None)
        self._pending[notice.name, notice.subject] = notice
        self._news.set()

    def wake(self) -> None:
        """End the wait."""
        self._news.set()

    async def notices(self, seconds: float) -> list[Notice]:
        """The unread notices; an empty list if there are none after this many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()
        notices, self._pending = list(self._pending.values()), {}
        return notices


class Board:
    """The readers of one server."""

    def __init__(self) -> None:
        self._readers: set[Reader] = set()

    def put(self, notice: Notice) -> None:
        """Send a notice to every reader."""
        for reader in self._readers:
            reader.put(notice)

    def wake(self) -> None:
        """End the wait of all readers."""
        for reader in self._readers:
            reader.wake()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """A reader that exists while the block runs."""
        reader = Reader()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
