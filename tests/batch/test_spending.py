"""What a batch spends: its budget, the prices that it learns, and charges above the expectation."""

import asyncio

import pytest
from helpers import fox_request, posts, session_at

from foxapi_async import Batch, RawRequest
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual


@pytest.fixture
async def service():
    """A service whose tasks take 5 s."""
    async with Emulator(seconds=5) as service:
        yield service


def foxes(count, **fields):
    return [fox_request(f"fox {n}", **fields) for n in range(count)]


async def run(emulator, requests, out, **options):
    """One complete run: the batch, and its outcomes."""
    batch = Batch(requests, out, **options)
    async with session_at(emulator) as fox:
        outcomes = [outcome async for outcome in batch.run(fox)]
    return batch, outcomes


async def test_a_budget_is_never_passed(service, tmp_path):
    """The first submit of unknown price goes alone; then as many go as the credits pay for. With more credits
    the batch continues.
    """
    batch, outcomes = await run(service, foxes(50), tmp_path, budget=32, max_in_flight=50)
    assert (6, 6, 30) == (service.billed, len(outcomes), batch.spent)
    assert "the next item would pass the budget of 32 credits: 30 are spent, and it costs 5; " in batch.paused
    batch, outcomes = await run(service, foxes(50), tmp_path, budget=40, price=5)

    assert (8, 2, 40) == (service.billed, len(outcomes), batch.spent)


async def test_with_a_known_price_the_first_submits_go_together(service, tmp_path):
    """With `price` the first submits go together, and failed ones count as spent."""
    batch, outcomes = await run(service, foxes(50), tmp_path, budget=25, price=5, max_in_flight=50)

    assert (5, 25) == (len(outcomes), batch.spent)
    assert len({round(record.when, 3) for record in posts(service)}) == 1


async def test_what_has_no_price_counts_as_the_dearest(tmp_path):
    """Uncertain items of a run without prices count against a later budget as soon as a price is known."""
    async with Emulator(seconds=5, faults=[Fault.cut_after("submit", times=2)]) as emulator:
        await run(emulator, foxes(2), tmp_path)
        batch, outcomes = await run(emulator, foxes(9), tmp_path, budget=22)

        assert (2, 20) == (len(outcomes), batch.spent)
        assert 20 == 5 * emulator.billed


async def test_a_service_without_prices_pauses_a_budget(service, tmp_path, monkeypatch):
    """A reply without credits ends a run with a budget, and the error says which option to give."""
    monkeypatch.setattr("foxapi_async._batch.item.credits_of", lambda usage: None)
    batch, outcomes = await run(service, foxes(5), tmp_path, budget=100)

    assert (1, 1) == (service.billed, len(outcomes))
    assert "the price of grok-imagine-image" in batch.paused
    assert "price=" in batch.paused


async def test_a_price_is_that_of_an_image(service, tmp_path):
    """Submits of several images, which cost several times the price, do not pass the budget either."""
    requests = [*foxes(1, num_outputs=2), *foxes(9)]
    batch, _ = await run(service, requests, tmp_path, budget=5, price=5)
    assert (0, 0) == (service.billed, batch.spent)
    batch, _ = await run(service, requests, tmp_path, budget=22, price=5)

    assert (3, 20) == (service.billed, batch.spent)


@pytest.mark.thorough
async def test_prices_of_earlier_runs_are_known(service, tmp_path):
    """A run begins with the prices of done items. So its first submit does not pass the budget."""
    await run(service, foxes(9), tmp_path, budget=15)
    batch, outcomes = await run(service, foxes(9), tmp_path, budget=17)

    assert (15, []) == (batch.spent, outcomes)
    assert "would pass the budget of 17 credits: 15 are spent" in batch.paused


async def test_what_a_run_spent(service, tmp_path):
    """A run that continues has its own sum. One that finds everything done has spent nothing."""
    spent = []
    for budget in (10, 25, None):
        batch, _ = await run(service, foxes(5), tmp_path, budget=budget)
        spent.append((batch.newly_spent, batch.spent))

    assert [(10, 10), (15, 25), (0, 25)] == spent
    assert 0 == Batch([], tmp_path).newly_spent


# What the rest needs.


@pytest.mark.thorough
async def test_a_used_budget_names_what_covers_the_rest(service, tmp_path):
    """A run with the named budget makes the rest, and no credit of it remains."""
    requests = [*foxes(6), *foxes(2, num_outputs=2)]
    batch, _ = await run(service, requests, tmp_path, budget=15)
    assert batch.paused.endswith(
        "; the rest (7 images) is expected to cost 35 credits: a budget of 50 covers it"
    )
    again, _ = await run(service, requests, tmp_path, budget=batch.paused.least_budget)

    assert (50, None, 50) == (batch.paused.least_budget, again.paused, again.spent)


@pytest.mark.parametrize("last", [fox_request("owl", num_outputs=2), RawRequest("other", "an owl")])
@pytest.mark.thorough
async def test_what_is_not_known_of_the_rest_is_not_named(service, tmp_path, last):
    """A generator is not read ahead, and the price of another model is not known. So only the next item is."""
    requests = [*foxes(6), last]
    given = iter(requests) if last.model != "other" else requests
    batch, _ = await run(service, given, tmp_path, budget=15)

    why = "the budget of 15 credits is used up: 15 are spent"
    assert (f"{why}; a budget of 20 allows one more item", 20) == (batch.paused, batch.paused.least_budget)


async def test_a_read_after_the_end_adds_nothing(service, tmp_path):
    """What the rest needs is said once."""
    batch = Batch(foxes(3), tmp_path, budget=5)
    async with session_at(service) as fox:
        outcomes = batch.run(fox)
        assert 1 == len([outcome async for outcome in outcomes])
        said = batch.paused
        assert [] == [outcome async for outcome in outcomes]

    assert said.endswith("a budget of 15 covers it")
    assert said == batch.paused


async def test_a_rest_that_cannot_be_read_is_not_named(service, tmp_path):
    """The file has gone during the run."""
    file = tmp_path / "p.txt"
    file.write_text("a fox\nan owl\n")
    batch = Batch.from_file(file, tmp_path / "out", budget=5)
    async with session_at(service) as fox:
        async for _ in batch.run(fox):
            file.unlink()

    assert batch.paused.endswith("5 are spent; a budget of 10 allows one more item")


# Charges above the expectation.


@pytest.mark.thorough
async def test_a_price_of_the_caller_that_is_too_low_ends_the_run(service, tmp_path, caplog):
    """Of 50 submits at a time only those that were sent before the first answer are made. It is said once."""
    batch, outcomes = await run(service, foxes(50), tmp_path, budget=1000, price=2, max_in_flight=50)

    assert "budget" == batch.paused.reason
    assert (
        "1 image of grok-imagine-image cost 5 credits instead of the expected 2: 5 of the budget"
        in batch.paused
    )
    assert batch.paused.endswith(" credits: the budget covers it")
    assert batch.paused.least_budget is None
    assert (service.billed, 5 * service.billed) == (len(outcomes), batch.spent)
    assert service.billed <= 8
    assert [] == caplog.records


@pytest.mark.thorough
async def test_the_next_run_has_the_price_of_the_service(service, tmp_path):
    """So the same command continues."""
    await run(service, foxes(20), tmp_path, budget=1000, price=2)
    batch, _ = await run(service, foxes(20), tmp_path, budget=1000, price=2)

    assert (None, 20) == (batch.paused, service.billed)


def events(caplog):
    return [record.event for record in caplog.records]


@pytest.mark.thorough
async def test_a_price_that_is_too_low_without_a_budget_is_a_warning(service, tmp_path, caplog):
    """The run continues, because nothing limits it."""
    batch, outcomes = await run(service, foxes(20), tmp_path, price=2)

    assert (None, 20, ["price_exceeded"]) == (batch.paused, len(outcomes), events(caplog))
    assert "1 image of grok-imagine-image cost 5 credits instead of the expected 2" == caplog.messages[0]


@pytest.mark.parametrize(
    ("budget", "more"),
    [(3, "; a budget of 10 allows one more item"), (1000, " of the budget of 1000 are spent")],
)
async def test_the_charge_of_a_generator_names_the_next_item(service, tmp_path, budget, more):
    """Its rest is not known."""
    batch, _ = await run(service, iter(foxes(20)), tmp_path, budget=budget, price=2, max_in_flight=1)

    assert ("budget", 1) == (batch.paused.reason, service.billed)
    assert batch.paused.endswith(more)


@pytest.mark.parametrize("form", [list, iter])
@pytest.mark.parametrize("budget", [3, 100])
async def test_a_charge_above_the_expectation_of_the_last_item_is_a_warning(
    service, tmp_path, caplog, budget, form
):
    """There is nothing to stop, so the batch is complete. But it is said."""
    batch, outcomes = await run(service, form(foxes(1)), tmp_path, budget=budget, price=2)

    assert (None, 1, ["price_exceeded"]) == (batch.paused, len(outcomes), events(caplog))
    assert f"instead of the expected 2: 5 of the budget of {budget} are spent" in caplog.text


async def test_an_unknown_price_that_passes_the_budget_is_said(service, tmp_path, caplog):
    """One item of an unknown price goes alone, and may cost more than is left."""
    batch, _ = await run(service, foxes(1), tmp_path, budget=3)

    assert (None, ["price_exceeded"]) == (batch.paused, events(caplog))
    assert (
        "1 image of grok-imagine-image cost 5 credits: 5 of the budget of 3 are spent" == caplog.messages[0]
    )


async def test_a_final_charge_above_the_price_ends_the_run(tmp_path):
    """A service may reserve less than it takes in the end."""
    dear = Fault.completes_with({"usage": {"credits_used": 9}})
    async with Emulator(seconds=5, faults=[dear]) as emulator:
        batch, outcomes = await run(emulator, foxes(9), tmp_path, budget=12, max_in_flight=1)

        assert (1, 9) == (len(outcomes), batch.spent)
        assert "would pass the budget of 12 credits: 9 are spent" in batch.paused


async def test_a_charge_of_an_ended_run_is_a_warning(tmp_path, caplog):
    """If its outcomes are not read any more, the log has it, also for the last answer."""
    async with Emulator(faults=[Fault.slow("submit", 5)]) as emulator, session_at(emulator) as fox:
        batch = Batch(foxes(1), tmp_path, budget=100, price=2)
        outcomes = batch.run(fox)
        reading = asyncio.create_task(anext(outcomes))
        await asyncio.sleep(2)
        reading.cancel()
        await outcomes.aclose()

    assert 5 == batch.spent
    assert "price_exceeded" in events(caplog)
