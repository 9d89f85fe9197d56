"""The prices of results, as the service states them. Nothing is guessed: a kind of result that was never seen has no
price.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import attrs

from foxapi_async._options import is_number
from foxapi_async.models import GenerationRequest

# At most this many prices are remembered, the latest ones.
MOST_PRICES = 1000
# A price with longer fields is not remembered: no other request is likely to have the same fields.
LONGEST_FIELDS = 500

# These fields say how many results are wanted, if their value is that number.
_COUNTS = ("num_outputs", "n")
# These fields never decide a price, and often differ from one request to the next.
_NO_PRICE = frozenset({"model", "path", "seed", "callback_url"})

_text_of = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str).encode


@attrs.frozen
class Priced:
    """The kind of a result. All results of one kind have the same price.

    Attributes:
        model: the model that makes it.
        fields: the fields of the request that may decide the price, as a JSON text, without the number of results.
    """

    model: str
    fields: str = "{}"


@attrs.frozen
class Price:
    """The price that the service took for a result.

    Attributes:
        credits: for one result.
        seen: how many times in a row this price was seen.
    """

    credits: float
    seen: int = 1


def priced_as(request: GenerationRequest) -> Priced:
    """The kind of each result of a request."""
    return priced_by(request.model, request.expected, request.price_fields())


def priced_by(model: str, results: int, fields: Mapping[str, Any]) -> Priced:
    """The kind of each result of a request, by its price fields and how many results it asks for."""
    kept = {
        name: value
        for name, value in fields.items()
        if name not in _NO_PRICE and not (name in _COUNTS and _counts(value, results))
    }
    return Priced(model, _text_of(kept))


def _counts(value: object, results: int) -> bool:
    return isinstance(value, int) and value == results


class PriceBook:
    """The last known price of each kind of result."""

    def __init__(self) -> None:
        self._prices: dict[Priced, Price] = {}

    def __len__(self) -> int:
        return len(self._prices)

    def learn(self, kind: Priced, credits_of_one: float) -> None:
        """Note what one result cost. A new price replaces the old one."""
        if len(kind.fields) > LONGEST_FIELDS:
            return
        known = self._prices.pop(kind, None)
        is_same = known is not None and math.isclose(known.credits, credits_of_one, rel_tol=1e-9)
        self._put(kind, Price(credits_of_one, known.seen + 1 if known is not None and is_same else 1))

    def price_of(self, kind: Priced) -> Price | None:
        """The price of a result; None if it is unknown."""
        return self._prices.get(kind)

    def of_model(self, model: str) -> Iterator[tuple[dict[str, Any], Price]]:
        """The known prices of a model, the oldest first, each with the fields that decide it."""
        for kind, price in self._prices.items():
            if kind.model == model:
                yield json.loads(kind.fields), price

    def to_list(self) -> list[dict[str, Any]]:
        """The prices as JSON values, the oldest first."""
        return [
            {"model": kind.model, "fields": json.loads(kind.fields), **attrs.asdict(price)}
            for kind, price in self._prices.items()
        ]

    def load(self, saved: object) -> None:
        """Begin with the prices from `to_list`.

        Raises:
            ValueError, TypeError, KeyError: `saved` is not from `to_list`.
        """
        if not isinstance(saved, list):
            raise TypeError("the prices are not a list")
        for row in cast("list[dict[str, Any]]", saved):
            self._put(
                Priced(_checked_model(row["model"]), _checked_fields(row["fields"])), _checked_price(row)
            )

    def _put(self, kind: Priced, price: Price) -> None:
        self._prices.pop(kind, None)
        self._prices[kind] = price
        if len(self._prices) > MOST_PRICES:
            del self._prices[next(iter(self._prices))]


def _checked_model(model: object) -> str:
    if not isinstance(model, str):
        raise TypeError(f"the model of a price is {model!r}, not a text")
    return model


def _checked_fields(fields: object) -> str:
    if not isinstance(fields, dict):
        raise TypeError(f"the fields of a price are {fields!r}, not an object")
    return _text_of(fields)


def _checked_price(row: Mapping[str, Any]) -> Price:
    amount, seen = row["credits"], row["seen"]
    if not is_number(amount) or amount < 0 or not isinstance(seen, int) or seen < 1:
        raise ValueError(f"a price is {amount!r}, seen {seen!r} times")
    return Price(amount, seen)
