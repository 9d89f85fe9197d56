"""What a batch records and sends during faults."""

import asyncio
import contextlib
import json

import pytest
from helpers import fox_request, now, posts, session_at
from ledgers import states
from unreachable import Unreachable

from foxapi_async import Batch, FoxError, FoxSession, PermissionDeniedError, RetryPolicy
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual

RESUBMIT = RetryPolicy(resubmit_uncertain=True)


async def drained(outcomes):
    """The outcomes until the run ends, and the error that it ends with."""
    seen = []
    try:
        async for outcome in outcomes:
            seen.append(outcome)  # noqa: PERF401 - what came before the error counts
    except FoxError as error:
        return seen, error
    return seen, None


@contextlib.asynccontextmanager
async def watched(folder, seen):
    """Record every state that the ledger in this folder shows, ten times a second."""

    async def look():
        while True:
            seen.update(states(folder).items())
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])
        seen.update(states(folder).items())


# A try that may be billed is never lost.


async def test_after_an_uncertain_try_the_ledger_never_says_new(tmp_path):
    """A submit was billed without an answer. Its second try is held back for 30 s. Its item is never `new`."""
    seen = set()
    faults = [Fault.cut_after("submit"), Fault.status("submit", 429, retry_after=30)]
    async with (
        Emulator(seconds=5, faults=faults) as emulator,
        session_at(emulator, retry=RESUBMIT) as fox,
        watched(tmp_path, seen),
    ):
        await drained(Batch([("a", fox_request())], tmp_path).run(fox))

    assert {state for _, state in seen} & {"new", "done"} == {"done"}


@pytest.mark.parametrize("status", [302, 400, 401, 402, 403, 404, 422])
async def test_a_refusal_after_an_uncertain_try_leaves_the_item_uncertain(tmp_path, status):
    """A submit was billed without an answer and is sent again. If that try is refused, the item is `uncertain`."""
    faults = [Fault.cut_after("submit"), Fault.status("submit", status, times=None)]
    async with Emulator(faults=faults) as emulator, session_at(emulator, retry=RESUBMIT) as fox:
        await drained(Batch([("a", fox_request())], tmp_path).run(fox))

    assert states(tmp_path) == {"a": "uncertain"}


async def test_a_run_closed_after_an_uncertain_try_does_not_leave_its_item_new(tmp_path):
    """A submit was billed without an answer and waits for its second try. The run is closed. The item is not `new`."""
    faults = [Fault.cut_after("submit"), Fault.status("submit", 429, retry_after=100)]
    async with Emulator(faults=faults) as emulator, session_at(emulator, retry=RESUBMIT) as fox:
        outcomes = Batch([("a", fox_request())], tmp_path).run(fox)
        reading = asyncio.create_task(anext(outcomes))
        await asyncio.sleep(10)
        reading.cancel()
        await outcomes.aclose()
        assert len(posts(emulator)) == 2

    assert {key: state == "new" for key, state in states(tmp_path).items()} == {"a": False}


@pytest.fixture
async def interrupted(tmp_path):
    """A run of two items that is closed while both wait for the TLS handshake. Returns its duration."""
    requests = [("a", fox_request()), ("b", fox_request())]
    async with Unreachable(silent=True) as service, FoxSession("sk-test-12345", base_url=service.url) as fox:
        outcomes = Batch(requests, tmp_path).run(fox)
        reading = asyncio.create_task(anext(outcomes))
        await asyncio.sleep(1)
        reading.cancel()
        await outcomes.aclose()
        yield now() - 1


async def test_a_run_interrupted_while_connecting_leaves_its_items_new(interrupted, tmp_path):
    """Nothing of an item was sent when the run was closed. The item is `new`."""
    assert states(tmp_path) == {"a": "new", "b": "new"}


async def test_a_run_interrupted_while_connecting_ends_at_once(interrupted):
    """A run that sent nothing waits for no answer."""
    assert interrupted == pytest.approx(0, abs=0.1)


# The budget.


async def test_while_an_unknown_price_is_alone_under_way_no_known_one_goes(tmp_path):
    """Under a budget, an item of unknown price takes 20 s to be accepted. An item of known price waits for it."""
    requests = [
        fox_request("known"),
        fox_request("unknown", num_outputs=2),
        fox_request("known too"),
    ]
    faults = [Fault.slow("submit", 20, prompt="unknown")]
    async with Emulator(seconds=5, faults=faults) as emulator, session_at(emulator) as fox:
        await drained(Batch(requests, tmp_path, budget=1000).run(fox))

        assert [round(record.when) for record in posts(emulator)] == [0, 0, 20]


# A refusal that concerns the account.


@pytest.fixture
async def forbidden():
    """A service that answers every submit with a 403 in its own JSON."""
    async with Emulator(faults=[Fault.status("submit", 403, times=None)]) as emulator:
        yield emulator


async def paused_by(emulator, folder):
    """A run of two items, one at a time, and the error that ended it."""
    batch = Batch([("a", fox_request()), ("b", fox_request())], folder, max_in_flight=1)
    async with session_at(emulator) as fox:
        _, error = await drained(batch.run(fox))
    return batch, error


async def test_a_403_on_a_submit_pauses_the_batch(forbidden, tmp_path):
    """The first 403 ends the run, whose error says why."""
    batch, error = await paused_by(forbidden, tmp_path)

    assert (type(error), batch.paused is None) == (PermissionDeniedError, False)


async def test_a_403_on_a_submit_is_not_asked_for_again_by_the_next_item(forbidden, tmp_path):
    """After the first 403 no other item is sent."""
    await paused_by(forbidden, tmp_path)

    assert len(posts(forbidden)) == 1


async def test_a_403_on_a_submit_leaves_the_items_new(forbidden, tmp_path):
    """No item is `failed` after a 403: the next run sends them."""
    await paused_by(forbidden, tmp_path)

    assert set(states(tmp_path).values()) == {"new"}


# Ids that cannot be used.


async def test_an_unusable_id_of_a_billed_item_is_in_the_manifest(tmp_path):
    """An item was accepted with an id that cannot be part of a path. Its line of the manifest has that id."""
    faults = [Fault.garbage("submit", body=b'{"id": "one/two", "status": "pending"}')]
    async with Emulator(faults=faults) as emulator, session_at(emulator) as fox:
        await drained(Batch([("a", fox_request())], tmp_path).run(fox))

    (line,) = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert (line["status"], line["task_id"]) == ("uncertain", "one/two")
