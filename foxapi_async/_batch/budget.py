"""The credits that a batch may still spend. Pure: if the answer is "wait", the caller waits.

A submit counts as spent until it is known to be refused, so a thousand submits at a time cannot exceed a
budget. Unknown prices are not guessed. A request of a kind without a known price is sent alone. The credits
that the service reserves for it (`usage.credits_reserved`) are the price of the next one of its kind.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Hashable

import attrs

from foxapi_async.models import GenerationRequest


class BudgetDecision(enum.Enum):
    """Whether a submit may be sent."""

    GO = "go"
    WAIT = "wait"
    "Ask again when a running submit has ended."
    REACHED = "reached"
    "The rest of the budget is too small for it."
    UNPRICED = "unpriced"
    "The service does not report its price."


@attrs.define(eq=False)
class Budget:
    """The credits of one batch.

    Args:
        limit: the most credits that may be spent.
        spent: credits of earlier submits, including failed and uncertain items.
        unpriced: earlier submits at an unknown price: each counts as the highest known one.
        price: credits of any submit, if the caller knows it; a price from the service replaces it.
    """

    limit: float = math.inf
    _spent: float = attrs.field(alias="spent", default=0.0, kw_only=True)
    _price: float | None = attrs.field(alias="price", default=None, kw_only=True)
    _unpriced: int = attrs.field(alias="unpriced", default=0, kw_only=True)
    _prices: dict[Hashable, float] = attrs.field(factory=dict[Hashable, float], init=False)
    _held: float = attrs.field(default=0.0, init=False)
    _under_way: int = attrs.field(default=0, init=False)
    _alone: bool = attrs.field(default=False, init=False)
    _unpriced_kinds: set[Hashable] = attrs.field(factory=set[Hashable], init=False)

    @property
    def spent(self) -> float:
        """Credits that count as spent."""
        return self._spent + self._unpriced * max(self._prices.values(), default=self._price or 0.0)

    def ask(self, kind: Hashable) -> BudgetDecision:
        """Whether a submit of this kind may be sent now."""
        if math.isinf(self.limit):
            return BudgetDecision.GO
        price = self.price_of(kind)
        if price is None and kind in self._unpriced_kinds:
            return BudgetDecision.UNPRICED
        if self._alone or (price is None and self._under_way):
            return BudgetDecision.WAIT
        left = self.limit - self.spent - self._held
        if left > 0 if price is None else left >= price:
            return BudgetDecision.GO
        return BudgetDecision.WAIT if self._under_way else BudgetDecision.REACHED

    def price_of(self, kind: Hashable) -> float | None:
        """The expected credits of a submit of this kind; None if unknown."""
        return self._prices.get(kind, self._price)

    def take(self, kind: Hashable) -> float | None:
        """Note that a submit is being sent. Returns the credits held for it; pass them to `settle` or `release`."""
        price = self.price_of(kind)
        self._under_way += 1
        self._held += price or 0.0
        self._alone = price is None and not math.isinf(self.limit)
        return price

    def settle(self, kind: Hashable, held: float | None, stated: float | None) -> float | None:
        """Note that a submit was, or may have been, accepted. Returns its credits, or None if unknown."""
        self.release(held)
        if stated is not None:
            self._prices[kind] = stated
        elif held is None:
            self._unpriced_kinds.add(kind)
        cost = next(
            (price for price in (stated, held, self.price_of(kind)) if price is not None),
            None,
        )
        self._spent += cost or 0.0
        self._unpriced += cost is None
        return cost

    def correct(self, cost: float | None, final: float | None) -> None:
        """Note that a settled submit cost `final` credits in the end, instead of `cost`."""
        if final is not None and final != cost:
            self._spent += final - (cost or 0.0)
            self._unpriced -= cost is None

    def release(self, held: float | None) -> None:
        """Note that a submit was refused: it cost nothing."""
        self._under_way -= 1
        self._held -= held or 0.0
        self._alone = False


def kind_of(request: GenerationRequest) -> Hashable:
    """The known fields that may decide the price of a request, as one text."""
    return json.dumps(request.price_fields(), sort_keys=True, default=str)
