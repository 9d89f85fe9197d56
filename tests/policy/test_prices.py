"""Prices are learned for each kind of result, and never guessed."""

from __future__ import annotations

import json

import pytest

from foxapi_async import GrokImagineImage, RawRequest
from foxapi_async._policy.prices import LONGEST_FIELDS, MOST_PRICES, Price, PriceBook, Priced, priced_as
from foxapi_async.models import parse_request

GROK = GrokImagineImage("a fox")
KIND = priced_as(GROK)


def book_of(*prices: float) -> PriceBook:
    """A book that saw these prices of one kind."""
    book = PriceBook()
    for price in prices:
        book.learn(KIND, price)
    return book


def sora(**fields):
    return parse_request({"model": "sora-2", "prompt": "a fox", **fields})


@pytest.mark.parametrize(
    "other",
    [
        GrokImagineImage("a bear"),
        GrokImagineImage("a fox", num_outputs=1),
        GrokImagineImage("a fox", num_outputs=3),
    ],
    ids=["another prompt", "one result", "three results"],
)
def test_neither_prompt_nor_number_makes_another_kind(other):
    """The price is that of one result."""
    assert other != GROK
    assert KIND == priced_as(other)


@pytest.mark.parametrize("other", [{"duration": 8}, {"resolution": "720p"}], ids=str)
def test_another_field_makes_another_kind(other):
    """It may decide the price."""
    assert priced_as(sora(duration=4)) != priced_as(sora(**other))


def test_a_number_that_is_not_that_of_the_results_stays():
    """The class does not know what this field means."""
    assert '{"n": "4"}' == priced_as(RawRequest("m", params={"n": "4"})).fields


def test_a_seed_makes_no_other_kind():
    """No service takes more for another seed."""
    assert priced_as(RawRequest("m", params={"seed": 7})) == priced_as(RawRequest("m", params={"seed": 8}))


def test_the_address_for_callbacks_is_not_kept():
    """It may hold a secret, and does not decide the price."""
    request = RawRequest("m", params={"callback_url": "https://example.com/?token=secret"})

    assert "secret" not in priced_as(request).fields


def test_a_kind_that_was_not_seen_has_no_price():
    """Prices of other kinds of its model say nothing."""
    assert book_of(5).price_of(priced_as(GrokImagineImage("a fox", aspect_ratio="16:9"))) is None


def test_the_same_price_is_counted():
    """A price that was seen more often is surer."""
    assert Price(5, 3) == book_of(5, 5, 5).price_of(KIND)


def test_parts_of_a_price_are_the_same_price():
    """A sum of decimal fractions is not exact."""
    assert 2 == book_of(0.3, 0.1 + 0.2).price_of(KIND).seen


def test_a_new_price_replaces_the_old_one():
    """Its count begins again."""
    assert Price(6, 1) == book_of(5, 5, 6).price_of(KIND)


def test_the_latest_kinds_are_kept():
    """The number of kinds is bounded, and one that is seen again is new."""
    book = book_of(5)
    for number in range(MOST_PRICES - 1):
        book.learn(Priced("m", json.dumps({"size": number})), 1)
    book.learn(KIND, 5)
    book.learn(Priced("other"), 1)

    assert MOST_PRICES == len(book.to_list())
    assert Price(5, 2) == book.price_of(KIND)
    assert book.price_of(Priced("m", '{"size": 0}')) is None


def test_very_long_fields_are_not_kept():
    """Such a request is not like others, and the file stays small."""
    book = PriceBook()
    kind = priced_as(RawRequest("m", params={"lyrics": "x" * LONGEST_FIELDS}))
    book.learn(kind, 5)

    assert book.price_of(kind) is None


def test_the_prices_of_a_model_have_their_fields():
    """Other models are left out."""
    book = book_of(5)
    book.learn(priced_as(sora(duration=8)), 40)

    assert [({"duration": 8}, Price(40, 1))] == list(book.of_model("sora-2"))


def test_a_saved_book_is_the_same():
    """Order and counts, too."""
    book = book_of(5, 5)
    book.learn(priced_as(sora(duration=8)), 2.5)
    again = PriceBook()
    again.load(json.loads(json.dumps(book.to_list())))

    assert book.to_list() == again.to_list()
    assert Price(2.5, 1) == again.price_of(priced_as(sora(duration=8)))


ROW = {"model": "m", "fields": {}, "credits": 5, "seen": 1}


@pytest.mark.parametrize(
    "saved",
    [
        {},
        [5],
        [{}],
        [ROW | {"model": 5}],
        [ROW | {"fields": "{}"}],
        [ROW | {"credits": "5"}],
        [ROW | {"credits": -5}],
        [ROW | {"credits": float("nan")}],
        [ROW | {"seen": 0}],
        [ROW | {"seen": 1.5}],
    ],
    ids=str,
)
def test_other_content_is_no_book(saved):
    """It is refused."""
    with pytest.raises((ValueError, TypeError, KeyError)):
        PriceBook().load(saved)
