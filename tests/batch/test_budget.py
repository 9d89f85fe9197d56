"""The spending of a batch: never more than its budget, however many submits run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import GrokImagineImage, RawRequest
from foxapi_async._batch.budget import Budget, BudgetDecision, Excess, Kind, kind_of

FOX, FOXES, OWL = Kind("fox"), Kind("fox", 4), Kind("owl")
GO, WAIT, REACHED, UNPRICED = BudgetDecision


def settled(budget, kind, stated):
    """The cost of a submit that was taken and settled."""
    budget.take(kind)
    return budget.settle(kind, stated)


def test_without_a_limit_everything_goes():
    """A batch without a budget checks nothing, even for kinds without a price."""
    budget = Budget()
    budget.take(FOX)

    assert GO is budget.ask(FOX)


def test_an_unknown_price_goes_alone():
    """While a submit of unknown price is unanswered no other goes. Before it goes, it waits for all others."""
    budget = Budget(100)
    budget.take(FOX)
    assert [WAIT, WAIT] == [budget.ask(FOX), budget.ask(OWL)]
    assert 5 == budget.settle(FOX, 5)
    budget.take(FOX)

    assert [GO, WAIT] == [budget.ask(FOX), budget.ask(OWL)]


def test_what_the_service_states_is_the_price_of_the_next():
    """The credits that a reply reserves are held for each further submit of the kind."""
    budget = Budget(12)
    settled(budget, FOX, 5)
    budget.take(FOX)

    assert (5, WAIT) == (budget.price_of(FOX), budget.ask(FOX))
    assert (5, 10) == (budget.settle(FOX, None), budget.spent)
    assert REACHED is budget.ask(FOX)


def test_a_price_is_that_of_an_image():
    """A submit of four images holds four times the price of the caller."""
    budget = Budget(24, price=5)
    assert 20 == budget.price_of(FOXES)
    budget.take(FOXES)

    assert WAIT is budget.ask(FOX)
    assert [REACHED, GO] == [Budget(19, price=5).ask(FOXES), Budget(20, price=5).ask(FOXES)]


def test_a_price_of_the_caller_is_used_until_the_service_states_another():
    """With `price` the first submits go together; a stated price replaces it."""
    budget = Budget(10, price=2)
    for _ in range(5):
        budget.take(FOX)
    assert WAIT is budget.ask(FOX)
    for _ in range(5):
        budget.settle(FOX, 1)

    assert (5, GO, 1) == (budget.spent, budget.ask(FOX), budget.price_of(FOX))


def test_a_price_of_the_caller_that_is_too_low_for_a_model():
    """If each image of a model cost more than the caller says, its other kinds are expected to cost that, too."""
    budget = Budget(100, price=2)
    settled(budget, FOX, 5)

    assert [20, 2] == [budget.price_of(FOXES), budget.price_of(OWL)]


def test_what_is_under_way_is_held_at_the_newest_price():
    """A higher price counts for the submits that have no answer yet."""
    budget = Budget(20, price=2)
    budget.take(FOX)
    budget.take(FOX)
    budget.settle(FOX, 8)

    assert [WAIT, GO] == [budget.ask(FOX), budget.ask(OWL)]


def test_the_highest_stated_price_counts():
    """The price of a kind may vary. The budget holds the highest."""
    budget = Budget(100)
    settled(budget, FOX, 5)
    settled(budget, FOX, 3)

    assert (8, 5) == (budget.spent, budget.price_of(FOX))


@pytest.mark.parametrize(("limit", "answer"), [(24, REACHED), (25, GO)])
def test_an_unknown_price_is_not_below_that_of_so_many_images(limit, answer):
    """Four images of a model are not sent alone if they would pass the budget by the price of one."""
    budget = Budget(limit)
    settled(budget, FOX, 5)

    assert (None, 20) == (budget.price_of(FOXES), budget.expected_of(FOXES))
    assert [answer, GO] == [budget.ask(FOXES), budget.ask(OWL)]


def test_decimal_fractions_fill_a_budget():
    """Three times 0.1 is not more than 0.3."""
    budget = Budget(0.3, price=0.1)
    settled(budget, FOX, 0.1)
    settled(budget, FOX, 0.1)

    assert GO is budget.ask(FOX)


def test_a_refused_submit_gives_its_credits_back():
    """The credits held for a refused submit can be spent."""
    budget = Budget(5, price=5)
    budget.take(FOX)
    assert WAIT is budget.ask(FOX)
    budget.release(FOX)

    assert (0, GO) == (budget.spent, budget.ask(FOX))


def test_a_service_that_names_no_price_is_distinguished():
    """A reply without credits blocks its kind: no more of it goes, unless the caller gives the price."""
    budget = Budget(100)

    assert settled(budget, FOX, None) is None
    assert [UNPRICED, GO] == [budget.ask(FOX), budget.ask(OWL)]


def test_what_another_worker_has_learned_counts():
    """A price, or that there is none, is learned as if the service had stated it here."""
    budget = Budget(100)
    budget.learn(FOX, 5.0)
    budget.learn(OWL, None)

    assert [GO, UNPRICED] == [budget.ask(FOX), budget.ask(OWL)]
    assert {FOX: 5.0, OWL: None} == budget.stated


def test_what_was_spent_before_counts():
    """A resumed batch continues from the amount in its ledger."""
    assert REACHED is Budget(10, spent=10).ask(FOX)
    assert REACHED is Budget(10, spent=8, price=3).ask(FOX)
    assert GO is Budget(10, spent=7, price=3).ask(FOX)


def test_what_has_no_price_counts_as_the_dearest_submit():
    """That is the asked one, too."""
    budget = Budget(59, price=5, unpriced=2)
    assert [GO, REACHED] == [budget.ask(FOX), budget.ask(FOXES)]
    budget.take(FOXES)

    assert 40 == budget.spent


def test_the_kind_is_all_but_words_and_pictures():
    """Prompts do not change a price; outputs, ratios, the model and the number of input images do."""
    same = [GrokImagineImage("a"), GrokImagineImage("b")]
    others = [
        GrokImagineImage("a", num_outputs=2),
        GrokImagineImage("a", image_urls=["https://x.example/1.png"]),
        RawRequest("grok-imagine-image", "a"),
        RawRequest("m", params={"image_urls": "odd"}),
    ]

    assert 1 == len({kind_of(request) for request in same})
    assert 5 == len({kind_of(request) for request in [same[0], *others]})
    assert kind_of(GrokImagineImage("a", image_urls=["https://x.example/1.png"])) == kind_of(
        GrokImagineImage("c", image_urls=["https://x.example/2.png"])
    )


@pytest.mark.parametrize(
    ("cost", "final", "spent"), [(5.0, 4.0, 4.0), (5.0, None, 5.0), (None, 4.0, 4.0), (5.0, 0.0, 0.0)]
)
def test_the_final_cost_replaces_the_first(cost, final, spent):
    """What the service says that a task used counts instead of what it reserved, and of an unknown cost."""
    budget = Budget()
    settled(budget, FOX, cost)
    budget.correct(FOX, cost, final, is_new=True)

    assert (spent, spent) == (budget.spent, budget.newly_spent)


def test_the_final_cost_of_an_earlier_run():
    """It changes what was spent in all, and not what this run has spent."""
    budget = Budget(spent=10)
    settled(budget, FOX, 5)
    budget.correct(FOX, 10, 8, is_new=False)

    assert (13, 5) == (budget.spent, budget.newly_spent)


# Charges above the expectation.


def test_a_charge_above_the_price_of_the_caller():
    """It is an excess even if the budget allows it. Only the first one is kept."""
    budget = Budget(1000, price=5)
    settled(budget, FOXES, 20)
    assert budget.excess is None
    settled(budget, OWL, 7)
    settled(budget, OWL, 8)

    assert Excess(OWL, 5, 7, 27) == budget.excess


@pytest.mark.parametrize(("expected", "limit"), [(None, 7), (5, 12)])
def test_a_charge_that_passes_the_budget(expected, limit):
    """Neither an unknown price nor one that the service stated before is a promise."""
    budget = Budget(limit)
    if expected:
        settled(budget, FOX, expected)
    settled(budget, FOX, 8)

    assert Excess(FOX, expected, 8, 8 + (expected or 0)) == budget.excess


def test_a_charge_that_leaves_too_little_for_those_under_way():
    """They are on their way, so the budget is as good as passed."""
    budget = Budget(20)
    settled(budget, FOX, 5)
    budget.take(FOX)
    budget.take(FOX)
    budget.settle(FOX, 8)

    assert Excess(FOX, 5, 8, 13) == budget.excess


@pytest.mark.parametrize("stated", [[5, 8], [None]])
def test_a_charge_within_the_budget_is_no_excess(stated):
    """A price of the service may vary."""
    budget = Budget(100)
    for each in stated:
        settled(budget, FOX, each)

    assert budget.excess is None


@pytest.mark.parametrize(("kind", "excess"), [(FOX, Excess(FOX, 5, 8, 8)), (None, None)])
def test_a_final_cost_above_the_price_of_the_caller(kind, excess):
    """A service may state it only at the end. Of an item of an earlier run the kind may be unknown."""
    budget = Budget(100, price=5)
    assert 5 == settled(budget, FOX, None)
    budget.correct(kind, 5, 8, is_new=True)

    assert (8, excess) == (budget.spent, budget.excess)


@given(
    limit=st.integers(0, 60),
    prices=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    moves=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["submit", "accept", "refuse"])), max_size=80
    ),
)
def test_no_order_of_events_passes_the_budget(limit, prices, moves):
    """When each price is known the budget holds. A kind's first submit may exceed it by its own price only."""
    budget, under_way = Budget(limit), []
    for number, move in moves:
        kind = Kind(f"model {number % len(prices)}")
        if move == "submit" and budget.ask(kind) is GO:
            under_way.append((kind, budget.price_of(kind)))
            budget.take(kind)
        elif move == "accept" and under_way:
            kind, held = under_way.pop(number % len(under_way))
            before = budget.spent
            budget.settle(kind, prices[int(kind.model.split()[1])])
            assert budget.spent <= limit or (held is None and before < limit)
        elif move == "refuse" and under_way:
            budget.release(under_way.pop(number % len(under_way))[0])


@given(
    limit=st.integers(0, 60),
    price=st.integers(1, 5),
    moves=st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from(["submit", "accept", "refuse", "lose"])), max_size=80
    ),
)
def test_with_the_price_of_an_image_no_order_of_events_passes_the_budget(limit, price, moves):
    """What is spent and what is under way never exceeds the budget, however many images a submit makes."""
    budget, under_way = Budget(limit, price=price), []
    for number, move in moves:
        kind = Kind("fox", number)
        if move == "submit" and budget.ask(kind) is GO:
            under_way.append(kind)
            budget.take(kind)
        elif move != "submit" and under_way:
            kind = under_way.pop(number % len(under_way))
            if move == "refuse":
                budget.release(kind)
            else:
                budget.settle(kind, price * kind.images if move == "accept" else None)
        assert budget.spent + price * sum(kind.images for kind in under_way) <= limit
    assert budget.excess is None
