"""Sends each change to every open page. A slow page gets the latest change of each subject, and delays no other page."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import Generator
from typing import Any

import attrs
from fastapi.sse import format_sse_event


@attrs.frozen
class Change:
    """One change.

    Attributes:
        name: the kind of change, which is also the name of its server-sent event.
        subject: the thing that has changed. A later change of the same kind and subject replaces this one.
        data: the data for a page, ready for JSON.
    """

    name: str
    subject: str
    data: Any

    @functools.cached_property
    def encoded(self) -> bytes:
        """The change as a server-sent event. All pages share these bytes."""
        return format_sse_event(event=self.name, data_str=json.dumps(self.data, allow_nan=False))


class Subscriber:
    """The changes that one page has not received yet."""

    def __init__(self) -> None:
        self._pending: dict[tuple[str, str], Change] = {}
        self._changed = asyncio.Event()

    def put(self, change: Change) -> None:
        """Add a change. It replaces an unread one of the same subject."""
        self._pending.pop((change.name, change.subject), None)
        self._pending[change.name, change.subject] = change
        self._changed.set()

    def wake(self) -> None:
        """End the wait."""
        self._changed.set()

    async def changes(self, seconds: float) -> list[Change]:
        """The unread changes; an empty list if there are none after this many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()
        changes, self._pending = list(self._pending.values()), {}
        return changes


class Broadcaster:
    """The subscribers of one server."""

    def __init__(self) -> None:
        self._subscribers: set[Subscriber] = set()

    def put(self, change: Change) -> None:
        """Send a change to every subscriber."""
        for subscriber in self._subscribers:
            subscriber.put(change)

    def wake(self) -> None:
        """End the wait of all subscribers."""
        for subscriber in self._subscribers:
            subscriber.wake()

    @contextlib.contextmanager
    def subscribed(self) -> Generator[Subscriber]:
        """A subscriber that exists while the block runs."""
        subscriber = Subscriber()
        self._subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)
