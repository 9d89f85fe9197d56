"""A ledger in memory: a second implementation of the protocol, without a file or a thread."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable

import attrs

from foxapi_async import LedgerError
from foxapi_async._ledger.entry import COMES_FROM, KEEPS_ITS_ID, ItemState, LedgerEntry, refused_move
from foxapi_async._ledger.protocol import Totals


@attrs.define
class Item:
    """The facts about one item beside its entry."""

    entry: LedgerEntry
    origin: ItemState = ItemState.NEW
    sunk: float = 0.0


class MemoryLedger:
    """The items of one batch in a dictionary."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._texts: dict[str, str] = {"created": "0"}
        self._clock = 0.0

    async def look_up(self, keys: Iterable[str]) -> dict[str, LedgerEntry]:
        return {key: self._items[key].entry for key in keys if key in self._items}

    async def entries(self, *states: ItemState) -> AsyncGenerator[LedgerEntry, None]:
        for item in list(self._items.values()):
            if not states or item.entry.state in states:
                yield item.entry

    async def totals(self) -> Totals:
        entries = [item.entry for item in self._items.values()]
        counts = Counter(entry.state for entry in entries)
        return Totals(
            {state: counts[state] for state in ItemState},
            sum(item.entry.price or 0.0 for item in self._items.values())
            + sum(item.sunk for item in self._items.values()),
            sum(
                item.entry.price is None and not item.sunk and item.entry.state is not ItemState.NEW
                for item in self._items.values()
            ),
        )

    async def meta(self, name: str) -> str | None:
        return self._texts.get(name)

    def set_meta(self, name: str, value: str | Callable[[], str]) -> asyncio.Future[None]:
        self._texts[name] = value() if callable(value) else value
        return done()

    async def submitting(
        self,
        key: str,
        fingerprint: str,
        idempotency_key: str,
        price: float | None = None,
        opening: str | None = None,
    ) -> None:
        item = self._items.get(key)
        if item is not None and (
            item.entry.fingerprint != fingerprint or item.entry.state not in COMES_FROM[ItemState.SUBMITTING]
        ):
            raise refused_move(key, item.entry, ItemState.SUBMITTING, fingerprint)
        old = item.entry if item else None
        entry = LedgerEntry(
            key,
            fingerprint,
            ItemState.SUBMITTING,
            idempotency_key,
            None,
            price,
            old and old.record,
            self._now(),
            opening or (old and old.opening),
        )
        sunk = item.sunk + (item.entry.price or 0.0) if item else 0.0
        self._items[key] = Item(entry, old.state if old else ItemState.NEW, sunk)

    def submitted(self, key: str, task_id: str, price: float | None = None) -> asyncio.Future[None]:
        item = self._items.get(key)
        keeps = item is not None and item.entry.state in KEEPS_ITS_ID and item.entry.task_id != task_id
        if keeps or not self._may(key, ItemState.SUBMITTED):
            return done(refused_move(key, item and item.entry, ItemState.SUBMITTED))
        assert item is not None
        price = item.entry.price if price is None else price
        return self._change(key, state=ItemState.SUBMITTED, task_id=task_id, price=price)

    def released(self, key: str) -> asyncio.Future[None]:
        if not self._may(key, ItemState.NEW):
            return done(refused_move(key, self._entry(key), ItemState.NEW))
        return self._change(key, state=self._items[key].origin, price=None)

    def ended(
        self, key: str, state: ItemState, record: str, price: float | None = None
    ) -> asyncio.Future[None]:
        if not self._may(key, state):
            return done(refused_move(key, self._entry(key), state))
        price = self._items[key].entry.price if price is None else price
        return self._change(key, state=state, record=record, price=price, opening=None)

    async def written(self) -> LedgerError | None:
        return None

    def _entry(self, key: str) -> LedgerEntry | None:
        return self._items[key].entry if key in self._items else None

    def _may(self, key: str, state: ItemState) -> bool:
        return key in self._items and self._items[key].entry.state in COMES_FROM[state]

    def _change(self, key: str, **changes: object) -> asyncio.Future[None]:
        item = self._items[key]
        item.entry = attrs.evolve(item.entry, changed=self._now(), **changes)  # type: ignore[arg-type]
        return done()

    def _now(self) -> float:
        self._clock += 1
        return self._clock


def done(error: LedgerError | None = None) -> asyncio.Future[None]:
    """A future with its result. The caller may ignore it."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        future.exception()
    return future
