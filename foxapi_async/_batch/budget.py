"""The credits that a batch may still spend. Pure: it says "wait", and the caller waits.

A submit counts as spent until it is known to be refused. So even a thousand submits at a time cannot exceed a
budget. Unknown prices are not guessed. If the price of a request is not known, the request is sent alone. The credits
that the service reserves for it (`usage.credits_reserved`) become the price of the next request of its kind.
"""

from __future__ import annotations

import enum
import json
import math
from collections import Counter
from collections.abc import Mapping

import attrs

from foxapi_async._policy.prices import Priced, priced_by
from foxapi_async.models import GenerationRequest

# Sums of decimal fractions are not exact.
_EXACT = 1e-9

_features = json.JSONEncoder(sort_keys=True, default=str).encode


@attrs.frozen
class Kind:
    """A kind of request. Requests of one kind have the same price.

    Attributes:
        model: their model.
        images: how many images each of them makes.
        features: their other known fields that may decide the price, as one text.
    """

    model: str
    images: int = 1
    features: str = ""


def kind_of(request: GenerationRequest) -> Kind:
    """The kind of a request."""
    return Kind(request.model, request.expected, _features(request.price_fields()))


def result_of(kind: Kind) -> Priced:
    """The key under which the price book has the price of one result of such requests."""
    return priced_by(kind.model, kind.images, json.loads(kind.features))


class BudgetDecision(enum.Enum):
    """Whether a submit may be sent."""

    GO = "go"
    WAIT = "wait"
    "Ask again when a running submit has ended."
    REACHED = "reached"
    "The rest of the budget is too small for it."
    UNPRICED = "unpriced"
    "The service does not report its price."


@attrs.frozen
class Excess:
    """A submit that cost more than was expected.

    Attributes:
        kind: the kind of its request.
        expected: the credits that were expected; None if its price was unknown.
        credits: what it cost.
        spent: what the batch has spent, including this submit.
    """

    kind: Kind
    expected: float | None
    credits: float
    spent: float


@attrs.define(eq=False)
class Budget:
    """The credits of one batch.

    Args:
        limit: the most credits that may be spent.
        spent: credits of earlier submits, including failed and uncertain items.
        unpriced: how many earlier submits have an unknown price. Each counts with the highest known price.
        price: credits of one image, if the caller knows it; prices from the service replace it.

    Attributes:
        newly_spent: credits of the submits of this run; those without a known price are not included.
        excess: the first submit that cost more than the caller's price, or more than expected while the batch is above
            its limit; None if there is none.
    """

    limit: float = math.inf
    _spent: float = attrs.field(alias="spent", default=0.0, kw_only=True)
    _price: float | None = attrs.field(alias="price", default=None, kw_only=True)
    _unpriced: int = attrs.field(alias="unpriced", default=0, kw_only=True)
    newly_spent: float = attrs.field(default=0.0, init=False)
    excess: Excess | None = attrs.field(default=None, init=False)
    # The highest price that the service has stated for each kind, and the lowest for one image of each model.
    _prices: dict[Kind, float] = attrs.field(factory=dict[Kind, float], init=False)
    _image_prices: dict[str, float] = attrs.field(factory=dict[str, float], init=False)
    _unpriced_kinds: set[Kind] = attrs.field(factory=set[Kind], init=False)
    # The highest price of any submit.
    _dearest: float = attrs.field(init=False)
    _under_way: Counter[Kind] = attrs.field(factory=Counter[Kind], init=False)
    _alone: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._dearest = self._price or 0.0

    @property
    def spent(self) -> float:
        """Credits that count as spent."""
        return self._spent + self._unpriced * self._dearest

    def ask(self, kind: Kind) -> BudgetDecision:
        """Whether a submit of this kind may be sent now."""
        if math.isinf(self.limit):
            return BudgetDecision.GO
        price = self.price_of(kind)
        if price is None and kind in self._unpriced_kinds:
            return BudgetDecision.UNPRICED
        if self._alone or (price is None and self._under_way):
            return BudgetDecision.WAIT
        expected = self.expected_of(kind)
        spent = self._spent + self._unpriced * max(self._dearest, expected or 0.0) + self._held
        if spent < self.limit if expected is None else self.allows(spent + expected):
            return BudgetDecision.GO
        return BudgetDecision.WAIT if self._under_way else BudgetDecision.REACHED

    def price_of(self, kind: Kind) -> float | None:
        """The credits of a submit of this kind; None if unknown."""
        known = self._prices.get(kind)
        if known is not None or self._price is None:
            return known
        # If every image of this model has cost more than the caller says, this one will cost more, too.
        return max(self._price, self._image_prices.get(kind.model, 0.0)) * kind.images

    def expected_of(self, kind: Kind) -> float | None:
        """The credits of a submit of this kind. If they are unknown: the lowest known price of one image of the model,
        times the number of images; None if no such price is known.
        """
        price, image = self.price_of(kind), self._image_prices.get(kind.model)
        return image * kind.images if price is None and image is not None else price

    def learn(self, kind: Kind, price: float | None) -> None:
        """Note the price that the service states for a kind. `price` is None if it states none."""
        if price is None:
            self._unpriced_kinds.add(kind)
            return
        image = price / kind.images
        self._prices[kind] = max(price, self._prices.get(kind, 0.0))
        self._image_prices[kind.model] = min(image, self._image_prices.get(kind.model, image))
        self._dearest = max(self._dearest, price)

    def cost_of(self, requests: Mapping[Kind, int]) -> float | None:
        """The expected credits of these numbers of submits, by kind; None if they are unknown for any of the kinds."""
        costs = [(self.expected_of(kind), number) for kind, number in requests.items()]
        known = [cost * number for cost, number in costs if cost is not None]
        return math.fsum(known) if len(known) == len(costs) else None

    def allows(self, total: float) -> bool:
        """Whether `total` credits are within the limit."""
        return total <= self.limit * (1 + _EXACT)

    @property
    def stated(self) -> dict[Kind, float | None]:
        """The prices that the service has stated; None for a kind without a stated price."""
        return {**dict.fromkeys(self._unpriced_kinds), **self._prices}

    def take(self, kind: Kind) -> None:
        """Note that a submit is being sent. Its price is held until `settle` or `release`."""
        price = self.price_of(kind)
        self._under_way[kind] += 1
        self._dearest = max(self._dearest, price or 0.0)
        self._alone = price is None and not math.isinf(self.limit)

    def settle(self, kind: Kind, stated: float | None) -> float | None:
        """Note that a submit was, or may have been, accepted. Returns its credits, or None if unknown."""
        self.release(kind)
        cost = self.price_of(kind) if stated is None else stated
        self._spent += cost or 0.0
        self.newly_spent += cost or 0.0
        self._unpriced += cost is None
        if stated is not None:
            self._compare(kind, self.expected_of(kind), stated)
        elif cost is None:
            self._unpriced_kinds.add(kind)
        return cost

    def correct(self, kind: Kind | None, cost: float | None, final: float | None, *, is_new: bool) -> None:
        """Note that a settled submit cost `final` credits in the end, instead of `cost`.

        Args:
            kind: its kind, if known.
            cost: the credits that it counted with, if known.
            final: the credits that it cost in the end, if known.
            is_new: whether it was sent in this run.
        """
        if final is None or final == cost:
            return
        self._spent += final - (cost or 0.0)
        self.newly_spent += (final - (cost or 0.0)) * is_new
        self._unpriced -= cost is None
        if kind is not None and final > (cost or 0.0):
            self._compare(kind, cost, final)

    def release(self, kind: Kind) -> None:
        """Note that a submit was refused: it cost nothing."""
        self._under_way[kind] -= 1
        if not self._under_way[kind]:
            del self._under_way[kind]
        self._alone = False

    @property
    def _held(self) -> float:
        return math.fsum(count * (self.price_of(kind) or 0.0) for kind, count in self._under_way.items())

    def _compare(self, kind: Kind, expected: float | None, stated: float) -> None:
        """Learn a stated price, and note if it is above the expected one. The spent credits already include it."""
        is_given = kind not in self._prices and self._price is not None
        self.learn(kind, stated)
        is_above = expected is None or stated > expected * (1 + _EXACT)
        if is_above and (is_given or not self.allows(self.spent + self._held)) and self.excess is None:
            self.excess = Excess(kind, expected, stated, self.spent)
