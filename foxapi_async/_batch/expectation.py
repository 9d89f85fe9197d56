"""Predicts from the done items of a batch what the rest will cost, and how long it will take.

Only `experience_of` reads the ledger. Everything else is pure.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any, cast

import attrs

from foxapi_async._batch.budget import Kind, kind_of
from foxapi_async._batch.input.check import Count, Tally
from foxapi_async._batch.record import request_in
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.protocol import LedgerView
from foxapi_async._policy.prices import PriceBook
from foxapi_async._wire.json_values import read_mapping, read_number, read_price, read_whole
from foxapi_async._wire.replies import credits_of

# The most done items that are read. More items would hardly change an average, and take long to read.
_MOST_READ = 2000


@attrs.define
class DoneItems:
    """Done items of one model, or of several.

    Attributes:
        items: how many there are.
        images: how many images they made.
        priced_images: how many images were ordered by the items with known credits.
        credits: what these items cost together.
        seconds: how long each item took at the service.
    """

    items: int = 0
    images: int = 0
    priced_images: int = 0
    credits: float = 0.0
    seconds: list[float] = attrs.field(factory=list[float])

    def add(self, record: Mapping[str, Any]) -> None:
        """Count an item by its record in the manifest."""
        files = record.get("files")
        images = len(cast("list[object]", files)) if isinstance(files, list) else 0
        self.items += 1
        self.images += images
        credits_used = read_number(record.get("credits"))
        if credits_used is not None and images:
            # An image that was ordered and is missing was paid for, too.
            self.priced_images += images + (read_whole(record.get("missing")) or 0)
            self.credits += credits_used
        seconds = read_number((read_mapping(record.get("timings")) or {}).get("elapsed"))
        if seconds is not None:
            self.seconds.append(seconds)

    def join(self, other: DoneItems) -> None:
        """Count the items of another model, too."""
        self.items += other.items
        self.images += other.images
        self.priced_images += other.priced_images
        self.credits += other.credits
        self.seconds += other.seconds

    def cost_of(self, left: Tally, price: float | None) -> float | None:
        """The credits of the items that are left, if their images cost as much as those of these items. If no credits
        are known, `price` is the price of one image.
        """
        image = self.credits / self.priced_images if self.priced_images else price
        return None if image is None else image * left.images

    @property
    def median(self) -> float | None:
        """The median of the seconds of an item; None if no seconds are known."""
        return sorted(self.seconds)[len(self.seconds) // 2] if self.seconds else None


@attrs.frozen(kw_only=True)
class Expectation:
    """What is expected of the items that are not submitted yet.

    Attributes:
        credits: what they will cost; None if that is not known.
        seconds: how long a run of them will take; None if that is not known.
        images: from how many earlier images the credits are known; 0 if they come only from given or learned prices.
        learned: whether some of the credits come from prices that runs in any folder have learned.
    """

    credits: float | None
    seconds: float | None
    images: int
    learned: bool = False


def expect(
    left: Mapping[str, Tally],
    done: Mapping[str, DoneItems],
    *,
    price: float | None,
    room: int,
    submits_per_second: float | None,
    learned: Mapping[str, float] | None = None,
) -> Expectation:
    """The credits and the time of the items that are left.

    Args:
        left: the items that are not submitted yet, by model.
        done: the done items, by model.
        price: credits of one image, for models of which no item is done.
        room: how many items run at a time.
        submits_per_second: the most submits per second; None for no limit.
        learned: what `learned_costs` gives, for models of which no item is done, if there is no price.
    """
    known = {model: done.get(model, DoneItems()) for model in left}
    by_run = {model: known[model].cost_of(tally, price) for model, tally in left.items()}
    unknown = [model for model, cost in by_run.items() if cost is None]
    by_book = {model: cost for model, cost in (learned or {}).items() if model in unknown}
    costs = _all_known(list((by_run | by_book).values()))
    medians = _all_known([each.median for each in known.values()])
    seconds = None
    if medians:
        counts = [tally.requests for tally in left.values()]
        work = sum(count * median for count, median in zip(counts, medians, strict=True))
        spread = sum(counts) / submits_per_second if submits_per_second else 0.0
        # The items run at the same time, but the run cannot take less time than one item.
        seconds = max(work / room, spread, *medians)
    return Expectation(
        credits=sum(costs) if costs else None,
        seconds=seconds,
        images=sum(each.images for each in known.values()),
        learned=bool(costs and by_book),
    )


def learned_costs(left: Count, book: PriceBook) -> dict[str, float]:
    """The credits of the items of each model, by the last known prices. A model with an unknown price is left out."""
    costs: dict[str, float | None] = {}
    for kind, images in (left.kinds or {}).items():
        before, price = costs.get(kind.model, 0.0), book.price_of(kind)
        costs[kind.model] = None if before is None or price is None else before + price.credits * images
    return {model: cost for model, cost in costs.items() if cost is not None}


def expect_alike(
    count: int,
    done: Mapping[str, DoneItems],
    *,
    price: float | None,
    room: int,
    submits_per_second: float | None,
) -> Expectation:
    """The same as `expect` for `count` items of unknown models. Each counts as an average of all done items."""
    together = DoneItems()
    for each in done.values():
        together.join(each)
    images = round(count * together.images / together.items) if together.items else count
    return expect(
        {"": Tally(count, images)},
        {"": together},
        price=price,
        room=room,
        submits_per_second=submits_per_second,
    )


def _all_known(values: list[float | None]) -> list[float]:
    """The values; an empty list if one of them is unknown."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


@attrs.define
class Experience:
    """What the done items of earlier runs show.

    Attributes:
        models: the items of each model.
        prices: the highest credits that the service stated for a submit of each kind.
    """

    models: dict[str, DoneItems] = attrs.field(factory=dict[str, DoneItems])
    prices: dict[Kind, float] = attrs.field(factory=dict[Kind, float])

    def add(self, record: Mapping[str, Any]) -> None:
        """Count an item by its record in the manifest."""
        model = (read_mapping(record.get("request")) or record).get("model")
        self.models.setdefault(str(model), DoneItems()).add(record)
        usage = read_mapping(record.get("usage")) or {}
        stated = credits_of(usage)
        if stated is not None and (request := request_in(record)) is not None:
            kind = kind_of(request)
            # The budget must allow the next submit to reserve this, too.
            reserved = read_price(usage.get("credits_reserved"))
            self.prices[kind] = max(stated, reserved or 0.0, self.prices.get(kind, 0.0))


async def experience_of(ledger: LedgerView) -> Experience:
    """What the done items of earlier runs show. At most the first 2,000 are read.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    found, count = Experience(), 0
    async with contextlib.aclosing(ledger.entries(ItemState.DONE)) as entries:
        async for entry in entries:
            found.add(json.loads(entry.record or "{}"))
            count += 1
            if count == _MOST_READ:
                break
    return found
