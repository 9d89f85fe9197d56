"""The spending of a batch: never more than its budget, however many submits run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async import GrokImagineImage, RawRequest
from foxapi_async._batch.budget import Budget, BudgetDecision, kind_of

FOX = "a fox"


def test_without_a_limit_everything_goes():
    """A batch without a budget checks nothing, even for kinds without a price."""
    budget = Budget()
    budget.take(FOX)

    assert BudgetDecision.GO is budget.ask(FOX)


def test_an_unknown_price_goes_alone():
    """While a submit of unknown price is unanswered no other goes. Before it goes, it waits for all others."""
    budget = Budget(100)
    held = budget.take(FOX)
    assert [BudgetDecision.WAIT, BudgetDecision.WAIT] == [budget.ask(FOX), budget.ask("an owl")]
    assert 5 == budget.settle(FOX, held, 5)
    budget.take(FOX)

    assert [BudgetDecision.GO, BudgetDecision.WAIT] == [budget.ask(FOX), budget.ask("an owl")]


def test_what_the_service_states_is_the_price_of_the_next():
    """The credits that a reply reserves are held for each further submit of the kind."""
    budget = Budget(12)
    budget.settle(FOX, budget.take(FOX), 5)
    assert 5 == budget.take(FOX)

    assert BudgetDecision.WAIT is budget.ask(FOX)
    assert 10 == budget.settle(FOX, 5, None) + 5 == budget.spent
    assert BudgetDecision.REACHED is budget.ask(FOX)


def test_a_price_of_the_caller_is_used_until_the_service_states_another():
    """With `price` the first submits go together; a stated price replaces it."""
    budget = Budget(10, price=2)
    held = [budget.take(FOX) for _ in range(5)]
    assert BudgetDecision.WAIT is budget.ask(FOX)
    for amount in held:
        budget.settle(FOX, amount, 1)

    assert (5, BudgetDecision.GO, 1) == (budget.spent, budget.ask(FOX), budget.take(FOX))


def test_a_refused_submit_gives_its_credits_back():
    """The credits held for a refused submit can be spent."""
    budget = Budget(5, price=5)
    held = budget.take(FOX)
    assert BudgetDecision.WAIT is budget.ask(FOX)
    budget.release(held)

    assert (0, BudgetDecision.GO) == (budget.spent, budget.ask(FOX))


def test_a_service_that_names_no_price_is_distinguished():
    """A reply without credits blocks its kind: no more of it goes, unless the caller gives the price."""
    budget = Budget(100)

    assert budget.settle(FOX, budget.take(FOX), None) is None
    assert [BudgetDecision.UNPRICED, BudgetDecision.GO] == [budget.ask(FOX), budget.ask("an owl")]


def test_what_was_spent_before_counts():
    """A resumed batch continues from the amount in its ledger."""
    assert BudgetDecision.REACHED is Budget(10, spent=10).ask(FOX)
    assert BudgetDecision.REACHED is Budget(10, spent=8, price=3).ask(FOX)
    assert BudgetDecision.GO is Budget(10, spent=7, price=3).ask(FOX)


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
    budget.take(FOX)
    budget.settle(FOX, None, cost)
    budget.correct(cost, final)

    assert spent == budget.spent


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
        kind = number % len(prices)
        if move == "submit" and budget.ask(kind) is BudgetDecision.GO:
            under_way.append((kind, budget.take(kind)))
        elif move == "accept" and under_way:
            kind, held = under_way.pop(number % len(under_way))
            before = budget.spent
            budget.settle(kind, held, prices[kind])
            assert budget.spent <= limit or (held is None and before < limit)
        elif move == "refuse" and under_way:
            budget.release(under_way.pop(number % len(under_way))[1])
