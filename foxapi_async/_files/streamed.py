"""A result file that is passed on while it arrives, and is not stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from foxapi_async._files.disk import HEAD_BYTES
from foxapi_async._files.resume import PartialFile
from foxapi_async._http.exchange import ExchangeFailed


class StreamedFile:
    """A file that a download writes, while a reader takes its `pieces`.

    It holds the first pieces until the type of the content is known. Then it holds one piece at a time, and the
    download waits until the reader has taken it.

    Args:
        wanted: the part that is wanted; None for the whole file.
        head: the first bytes of the file, if they are known. The bytes of a part do not show the type.

    Attributes:
        size: the number of bytes so far.
        head: the first bytes of the file, which show the type of the content.
        known: which bytes of the file are wanted, and what is known about it.
    """

    def __init__(self, wanted: PartialFile | None = None, head: bytes = b"") -> None:
        self.size = 0
        self.head = head
        self.known = wanted or PartialFile()
        self._has_head = bool(head)
        self._is_over = False
        self._first: list[bytes] = []
        self._next: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(1)

    async def write(self, piece: bytes) -> None:
        """Pass `piece` on, after the reader has taken the piece before it."""
        self.size += len(piece)
        if not self._has_head:
            self.head += piece[: HEAD_BYTES - len(self.head)]
            self._has_head = len(self.head) == HEAD_BYTES
        await self._next.put(piece)

    async def restart(self) -> None:
        """End the download with an error, because a reader cannot give bytes back."""
        raise ExchangeFailed("it was cut off, and its server cannot send only the rest", final=True)

    async def end(self, error: Exception | None) -> None:
        """Let the reader see the end of the file, or the error that ended it."""
        await self._next.put(error)

    async def begin(self) -> None:
        """Wait until enough bytes have arrived to show the type of the content.

        Raises:
            FoxError: the download ended before that.
        """
        while not (self._first and self._has_head):
            piece = await self._taken()
            if piece is None:
                self._is_over = True
                return
            self._first.append(piece)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes, after `begin`.

        Raises:
            FoxError: the download was cut off.
        """
        for first in self._first:
            yield first
        self._first = []
        while not self._is_over and (piece := await self._taken()) is not None:
            yield piece

    async def _taken(self) -> bytes | None:
        item = await self._next.get()
        if isinstance(item, Exception):
            raise item
        return item
