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

from foxapi_async._wire.json_values import read_number
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


class Budget:
    """The credits of one batch.

    Args:
        limit: credits that are never passed; None for no limit.
        spent: credits of what was submitted before, failed and uncertain items among them.
        unpriced: submits before at a price that is not known: each counts as the dearest that is.
        price: credits of any submit, where the caller knows it; a price that the service states counts more.
    """

    def __init__(
        self, limit: float | None, *, spent: float = 0.0, price: float | None = None, unpriced: int = 0
    ) -> None:
        self.limit = math.inf if limit is None else limit
        self._spent = spent
        self._unpriced = unpriced
        self._default = price
        self._prices: dict[Hashable, float] = {}
        self._held = 0.0
        self._under_way = 0
        self._alone = False
        self._blind: set[Hashable] = set()

    @property
    def spent(self) -> float:
        """Credits that count as spent."""
        return self._spent + self._unpriced * max(self._prices.values(), default=self._default or 0.0)

    def ask(self, kind: Hashable) -> Answer:
        """Whether a submit of this kind may go now."""
        if math.isinf(self.limit):
            return Answer.GO
        price = self._prices.get(kind, self._default)
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
        price = self._prices.get(kind, self._default)
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
            (price for price in (stated, held, self._prices.get(kind, self._default)) if price is not None),
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
    number = read_number((usage or {}).get("credits_reserved"))
    return None if number is None or number < 0 else float(number)
