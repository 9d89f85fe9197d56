"""What is expected of the rest of a batch, by the items that are done."""

import json

import pytest

from foxapi_async import GrokImagineImage
from foxapi_async._batch.budget import kind_of
from foxapi_async._batch.expectation import (
    DoneItems,
    Expectation,
    Experience,
    expect,
    expect_alike,
    experience_of,
    learned_costs,
)
from foxapi_async._batch.input.check import Count, Tally
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async._policy.prices import PriceBook, Priced, priced_as
from foxapi_async.models import parse_request

GROK, PRO = "grok-imagine-image", "gemini-3-pro-image-preview"


def record(images=1, price=5.0, elapsed=20.0, model=GROK):
    timings = {} if elapsed is None else {"elapsed": elapsed}
    files = [{"path": f"{n}.jpg"} for n in range(images)]
    return {"files": files, "credits": price, "timings": timings, "request": {"model": model}}


def items(*records):
    found = DoneItems()
    for each in records:
        found.add(each)
    return found


def expected(left, done, *, price=None, room=100, submits_per_second=None, learned=None):
    return expect(left, done, price=price, room=room, submits_per_second=submits_per_second, learned=learned)


def test_credits_by_images_and_time_by_the_median():
    """Credits follow from those of an image, the time from the item in the middle and the number at a time."""
    done = {GROK: items(record(), record(2, 10.0, 30.0), record(elapsed=300.0))}

    assert Expectation(credits=12_500.0, seconds=600.0, images=4) == expected({GROK: Tally(2000, 2500)}, done)


@pytest.mark.parametrize(
    ("count", "room", "rate", "seconds"),
    [(1, 100, None, 20.0), (10, 5, None, 40.0), (100, 100, 2.0, 50.0), (100, 100, 1000.0, 20.0)],
)
def test_the_time_of_a_run(count, room, rate, seconds):
    """It is at least that of one item, and no shorter than the items or the submits at a time allow."""
    left = {GROK: Tally(count, count)}

    assert seconds == expected(left, {GROK: items(record())}, room=room, submits_per_second=rate).seconds


@pytest.mark.parametrize(("price", "cost"), [(None, None), (7.0, 56.0)])
def test_without_done_items_only_a_price_is_known(price, cost):
    """A price is that of one image. Nothing is guessed."""
    wanted = Expectation(credits=cost, seconds=None, images=0)

    assert wanted == expected({GROK: Tally(2, 8)}, {}, price=price)


def test_known_credits_replace_the_price():
    """What the service has billed is better than a given price."""
    assert 10.0 == expected({GROK: Tally(2, 2)}, {GROK: items(record())}, price=99.0).credits


def test_several_models():
    """Each model has its own credits and times, which are added."""
    done = {GROK: items(record()), PRO: items(record(price=50.0, elapsed=40.0))}

    assert Expectation(credits=160.0, seconds=40.0, images=2) == expected(
        {GROK: Tally(2, 2), PRO: Tally(3, 3)}, done
    )


def test_one_unknown_model_leaves_the_whole_unknown():
    """A sum without one of its parts would be wrong."""
    left = {GROK: Tally(2, 2), PRO: Tally(3, 3)}

    assert Expectation(credits=None, seconds=None, images=1) == expected(left, {GROK: items(record())})


@pytest.mark.parametrize(
    "odd",
    [
        record(price=None, elapsed=None),
        record(images=0, elapsed=None),
        {},
        {"files": 3, "timings": [], "credits": "dear"},
    ],
)
def test_records_without_figures(odd):
    """A record without credits or times says nothing of them."""
    found = expected({GROK: Tally(2, 2)}, {GROK: items(odd)})

    assert (None, None) == (found.credits, found.seconds)


def test_items_of_unknown_models_are_like_the_done_ones():
    """If only their number is known, items have the average of all models."""
    done = {GROK: items(record(2, 10.0, 20.0)), PRO: items(record(4, 50.0, 40.0))}
    found = expect_alike(10, done, price=None, room=10, submits_per_second=None)

    assert Expectation(credits=300.0, seconds=40.0, images=6) == found
    assert 70.0 == expect_alike(10, {}, price=7.0, room=10, submits_per_second=None).credits


def test_a_missing_image_was_ordered():
    """An item of two images that gave one cost as much as two."""
    done = {GROK: items({**record(1, 10.0), "missing": 1})}

    assert 50.0 == expected({GROK: Tally(10, 10)}, done).credits


async def test_done_items_are_read_by_their_model(tmp_path, monkeypatch):
    """The model is that of the request, which the service may call otherwise; only so many items are read."""
    monkeypatch.setattr("foxapi_async._batch.expectation._MOST_READ", 3)
    async with SqliteLedger.opened(tmp_path / "ledger.sqlite") as ledger:
        for n in range(5):
            await ledger.submitting(f"k{n}", "f" * 24, "key")
            await ledger.submitted(f"k{n}", f"t{n}")
            state = ItemState.FAILED if n == 0 else ItemState.DONE
            text = json.dumps({**record(model=PRO if n == 1 else GROK), "model": "named otherwise"})
            await ledger.ended(f"k{n}", state, text)
        found = (await experience_of(ledger)).models

    assert {PRO: 1, GROK: 2} == {model: each.items for model, each in found.items()}


@pytest.mark.parametrize(
    ("usage", "price"),
    [
        ({"credits_reserved": 10}, 10.0),
        ({"credits_reserved": 10, "credits_used": 8}, 10.0),
        ({"credits_used": 8}, 8.0),
        ({}, None),
        (None, None),
    ],
)
def test_the_prices_that_the_service_stated(usage, price):
    """A price is what a submit of the kind reserves. What only a caller expected is no price of the service."""
    request = GrokImagineImage("a fox", num_outputs=2, image_urls=["https://x.example/1.png"])
    found = Experience()
    found.add({**record(2, 10.0), "request": request.to_dict(), "usage": usage})
    found.add({**record(), "usage": {"credits_reserved": 5}})  # its request has no prompt

    assert ({} if price is None else {kind_of(request): price}) == found.prices


# Learned prices.


def count_of(*requests):
    """What a check counts of these requests."""
    count = Count.of({}, by_kind=True)
    for fields in requests:
        count.add_request(parse_request({"model": GROK, "prompt": "a fox", **fields}))
    return count


def book_of(**prices):
    """A book with the prices of these aspect ratios."""
    book = PriceBook()
    for side, price in prices.items():
        ratio = {"wide": "16:9", "square": "1:1"}[side]
        book.learn(priced_as(GrokImagineImage("a fox", aspect_ratio=ratio)), price)
    return book


WIDE, SQUARE = {"aspect_ratio": "16:9"}, {"aspect_ratio": "1:1"}


def test_each_kind_of_a_model_has_its_learned_price():
    """A request costs so much for each of its images."""
    left = count_of(WIDE, SQUARE | {"num_outputs": 2}, WIDE)

    assert {GROK: 20.0} == learned_costs(left, book_of(wide=5, square=5))
    assert {GROK: 16.0} == learned_costs(left, book_of(wide=5, square=3))


@pytest.mark.parametrize("order", [(WIDE, SQUARE), (SQUARE, WIDE)], ids=["known first", "unknown first"])
def test_one_unknown_kind_leaves_its_model_unknown(order):
    """Other models are known all the same."""
    left = count_of(*order, {"model": PRO})
    book = book_of(wide=5)
    book.learn(Priced(PRO), 50)

    assert {PRO: 50.0} == learned_costs(left, book)


def test_a_count_of_models_has_no_learned_price():
    """It does not say which kinds they are of."""
    assert {} == learned_costs(Count.of({kind_of(GrokImagineImage("a fox")): 3}), book_of(wide=5))


def test_kinds_of_the_budget_have_learned_prices():
    """A batch that continues counts its items by them."""
    kinds = {kind_of(GrokImagineImage("a fox", num_outputs=2, **WIDE)): 3}

    assert {GROK: 30.0} == learned_costs(Count.of(kinds, by_kind=True), book_of(wide=5))


def test_learned_prices_are_used_for_a_model_without_done_items():
    """The expectation says so, and gives no time."""
    wanted = Expectation(credits=10.0, seconds=None, images=0, learned=True)

    assert wanted == expected({GROK: Tally(2, 2)}, {}, learned={GROK: 10.0})


@pytest.mark.parametrize(("done", "price"), [({GROK: items(record())}, None), ({}, 5.0)])
def test_done_items_and_a_given_price_go_before_learned_prices(done, price):
    """They belong to this batch."""
    found = expected({GROK: Tally(2, 2)}, done, price=price, learned={GROK: 99.0})

    assert (10.0, False) == (found.credits, found.learned)


def test_a_learned_price_of_one_of_two_models_is_no_sum():
    """The other is unknown, so the whole is."""
    found = expected({GROK: Tally(2, 2), PRO: Tally(1, 1)}, {}, learned={GROK: 10.0})

    assert (None, False) == (found.credits, found.learned)


def test_models_with_done_items_and_with_learned_prices_are_added():
    """Each is known from its own source."""
    found = expected({GROK: Tally(2, 2), PRO: Tally(1, 1)}, {GROK: items(record())}, learned={PRO: 50.0})

    assert (60.0, 1, True) == (found.credits, found.images, found.learned)
