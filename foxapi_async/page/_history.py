"""An index of all items of a folder, newest first. The ledger has their data."""

from __future__ import annotations

from typing import Any

from foxapi_async._ledger.entry import ItemState, LedgerEntry
from foxapi_async._ledger.protocol import LedgerView
from foxapi_async.page._cards import card_of


class History:
    """The items of a ledger, by their place and by their task.

    Args:
        ledger: the data of each item.
        faults: by key, why the server stopped waiting for a task.
    """

    def __init__(self, ledger: LedgerView, faults: dict[str, str]) -> None:
        self._ledger = ledger
        self._faults = faults
        self._keys: list[str] = []
        self._places: dict[str, int] = {}
        self._by_task: dict[str, str] = {}

    async def load(self) -> None:
        """Read the ledger.

        Raises:
            LedgerError: it cannot be read.
        """
        async for entry in self._ledger.entries():
            self.add(entry.key)
            if entry.task_id is not None:
                self.name(entry.key, entry.task_id)

    def add(self, key: str) -> int:
        """Add a new item, and return its place."""
        self._places[key] = len(self._keys)
        self._keys.append(key)
        return self._places[key]

    def name(self, key: str, task_id: str) -> None:
        """Note the id of an item's task."""
        self._by_task[task_id] = key

    async def entry(self, task_id: str) -> LedgerEntry | None:
        """The ledger's entry of a task; None if it was not submitted here.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        key = self._by_task.get(task_id)
        return None if key is None else (await self._ledger.look_up([key])).get(key)

    async def card(self, key: str) -> dict[str, Any] | None:
        """An item as a page shows it; None if it was not sent.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        return self._card((await self._ledger.look_up([key])).get(key))

    async def page(self, before: int | None, limit: int) -> dict[str, Any]:
        """The last `limit` items before a place, newest first, and the place for the next call (None at the
        end).

        Raises:
            LedgerError: the ledger cannot be read.
        """
        end = len(self._keys) if before is None else max(0, min(before, len(self._keys)))
        start = max(0, end - limit)
        keys = self._keys[start:end]
        known = await self._ledger.look_up(keys)
        cards = [self._card(known.get(key)) for key in reversed(keys)]
        return {"cards": [card for card in cards if card], "before": start or None}

    def _card(self, entry: LedgerEntry | None) -> dict[str, Any] | None:
        # A NEW item was refused temporarily: it is not sent and costs nothing. Its error was shown at once.
        if entry is None or entry.state is ItemState.NEW:
            return None
        waits = entry.state is ItemState.SUBMITTED
        fault = self._faults.get(entry.key) if waits else None
        return card_of(entry, place=self._places[entry.key], fault=fault)
