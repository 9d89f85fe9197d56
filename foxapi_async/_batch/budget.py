"""What a batch may still spend, in credits. Pure: whoever asks waits where it says "wait".

What is under way counts as spent until it is known to have been refused, so a thousand submits at a time pass no
budget. What is not known is not guessed: a request of a kind whose price nobody has stated goes alone, and what the
service reserves for it (`usage.credits_reserved`) is the price of the next of its kind.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Hashable, Mapping
from typing import Any

import attrs

from foxapi_async._wire.json_values import read_price
from foxapi_async.models import GenerationRequest


class Answer(enum.Enum):
    """Whether a submit may go."""

    GO = "go"
    WAIT = "wait"
    "Ask again once something that is under way has ended."
    REACHED = "reached"
    "What is left does not pay for it."
    BLIND = "blind"
    "The service does not say what it costs."


@attrs.define(eq=False)
class Budget:
    """The credits of one batch.

    Args:
        limit: credits that are never passed.
        spent: credits of what was submitted before, failed and uncertain items among them.
        unpriced: submits before at a price that is not known: each counts as the dearest that is.
        price: credits of any submit, where the caller knows it; a price that the service states counts more.
    """

    limit: float = math.inf
    _spent: float = attrs.field(default=0.0, kw_only=True)
    _price: float | None = attrs.field(default=None, kw_only=True)
    _unpriced: int = attrs.field(default=0, kw_only=True)
    _prices: dict[Hashable, float] = attrs.field(factory=dict, init=False)
    _held: float = attrs.field(default=0.0, init=False)
    _under_way: int = attrs.field(default=0, init=False)
    _alone: bool = attrs.field(default=False, init=False)
    _blind: set[Hashable] = attrs.field(factory=set, init=False)

    @property
    def spent(self) -> float:
        """Credits that count as spent."""
        return self._spent + self._unpriced * max(self._prices.values(), default=self._price or 0.0)

    def ask(self, kind: Hashable) -> Answer:
        """Whether a submit of this kind may go now."""
        if math.isinf(self.limit):
            return Answer.GO
        price = self._prices.get(kind, self._price)
        if price is None and kind in self._blind:
            return Answer.BLIND
        if self._alone or (price is None and self._under_way):
            return Answer.WAIT
        left = self.limit - self.spent - self._held
        if left > 0 if price is None else left >= price:
            return Answer.GO
        return Answer.WAIT if self._under_way else Answer.REACHED

    def take(self, kind: Hashable) -> float | None:
        """Note that a submit goes; what is held for it is given back to `settle` or `release`."""
        price = self._prices.get(kind, self._price)
        self._under_way += 1
        self._held += price or 0.0
        self._alone = price is None and not math.isinf(self.limit)
        return price

    def settle(self, kind: Hashable, held: float | None, stated: float | None) -> float | None:
        """Note that a submit was, or may have been, accepted: the credits that it counts for, if they are known."""
        self.release(held)
        if stated is not None:
            self._prices[kind] = stated
        elif held is None:
            self._blind.add(kind)
        cost = next(
            (price for price in (stated, held, self._prices.get(kind, self._price)) if price is not None),
            None,
        )
        self._spent += cost or 0.0
        self._unpriced += cost is None
        return cost

    def release(self, held: float | None) -> None:
        """Note that a submit was refused: it cost nothing."""
        self._under_way -= 1
        self._held -= held or 0.0
        self._alone = False


def kind_of(request: GenerationRequest) -> Hashable:
    """What the price of a request depends on, as far as can be seen from here: all but its words and its pictures."""
    fields = request.to_dict()
    fields.pop("prompt", None)
    images = fields.pop("image_urls", None)
    return json.dumps([fields, len(images) if isinstance(images, list) else 0], sort_keys=True, default=str)


def credits_reserved(usage: Mapping[str, Any] | None) -> float | None:
    """The credits that a reply's `usage` says are reserved (docs.foxapi.cc get-task-detail); None if it says none."""
    return read_price((usage or {}).get("credits_reserved"))
