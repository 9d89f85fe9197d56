"""Tells every open page what has changed: a slow one gets the latest of each subject, and delays nobody."""

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
        name: the kind of change, which is the name of its server-sent event.
        subject: what has changed; a later notice of the same kind and subject replaces this one.
        data: what a page is told, ready for JSON.
    """

    name: str
    subject: str
    data: Any


class Reader:
    """What one page has not been told yet."""

    def __init__(self) -> None:
        self._pending: dict[tuple[str, str], Notice] = {}
        self._news = asyncio.Event()

    def put(self, notice: Notice) -> None:
        """Take a notice; an unread one of the same subject is out of date."""
        self._pending.pop((notice.name, notice.subject), None)
        self._pending[notice.name, notice.subject] = notice
        self._news.set()

    def wake(self) -> None:
        """End the waiting."""
        self._news.set()

    async def notices(self, seconds: float) -> list[Notice]:
        """What there is to tell; nothing where there was nothing for so many seconds."""
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
        """Tell every reader."""
        for reader in self._readers:
            reader.put(notice)

    def wake(self) -> None:
        """End the waiting of all."""
        for reader in self._readers:
            reader.wake()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """A reader, for as long as the block lasts."""
        reader = Reader()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
