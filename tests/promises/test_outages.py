"""The cost of an outage: a brake limits the number of submits that may or may not be billed."""

import asyncio
import socket

import pytest
from counted import run_batch, small, smalls
from helpers import WHOLE, now, polls, posts, session_at

from foxapi_async import ConnectionFailedError, Limits, RetryPolicy
from foxapi_async.emulator import Emulator, Fault

pytestmark = [pytest.mark.virtual, pytest.mark.wide]

ITEMS = 300 if WHOLE else 60
AT_THE_START = 8
"""The most unanswered submits at the start, and after each reopening."""


def most_uncertain(sent):
    """How many of these submits may be uncertain before a run pauses, plus the unanswered ones then."""
    return 10 + sent // 100 + AT_THE_START


# Every submit is unanswered for a while


@pytest.mark.parametrize(
    ("seconds", "accepted", "count"),
    [
        (30, False, 60),
        *(
            pytest.param(*case, marks=pytest.mark.thorough)
            for case in [(2, False, ITEMS), (2, True, 60), (30, True, ITEMS)]
        ),
    ],
)
async def test_an_outage_at_the_start(seconds, accepted, count, tmp_path):
    """A 503 page on every submit for 2 s or 30 s makes at most eight items uncertain, and the others are done."""
    async with Emulator(seconds=5) as emulator:
        page = Fault.edge("all", 503, accepted=accepted)
        seen = await run_batch(
            emulator, smalls(count), tmp_path, begin=lambda: emulator.outage(seconds, page)
        )

    assert 1 <= seen.uncertain <= AT_THE_START
    assert (seen.done, seen.failed, seen.submitted) == (count - seen.uncertain, 0, 0)
    assert (seen.posts, seen.paused) == (count, None)
    assert seen.billed == (count if accepted else count - seen.uncertain)


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.thorough
async def test_an_outage_of_ten_minutes(accepted, tmp_path):
    """A 503 page on every request for ten minutes: at most eight uncertain items, and a pause or the rest done."""
    async with Emulator(seconds=5) as emulator:
        page = Fault.edge("all", 503, accepted=accepted)
        first = await run_batch(emulator, smalls(ITEMS), tmp_path, begin=lambda: emulator.outage(600, page))
        await asyncio.sleep(max(0, 601 - now()))
        second = await run_batch(emulator, smalls(ITEMS), tmp_path)

    assert 1 <= first.uncertain <= AT_THE_START
    assert first.failed == 0
    assert first.seconds <= 1200
    assert (second.done, second.failed, second.uncertain) == (ITEMS - first.uncertain, 0, first.uncertain)
    assert first.posts + second.posts == ITEMS
    assert second.billed == (ITEMS if accepted else ITEMS - first.uncertain)


@pytest.mark.parametrize("seconds", [2, 30])
@pytest.mark.thorough
async def test_an_outage_in_the_middle(seconds, tmp_path):
    """A 503 page on every submit in the middle of a paced batch makes few items uncertain."""
    outage = Fault.edge("all", 503).during(7, 7 + seconds)
    async with Emulator(seconds=5, faults=[outage]) as emulator:
        seen = await run_batch(
            emulator, smalls(100), tmp_path, session={"limits": Limits(submits_per_second=4)}
        )

    assert 1 <= seen.uncertain <= 4
    assert (seen.done, seen.failed, seen.submitted) == (100 - seen.uncertain, 0, 0)
    assert (seen.posts, seen.billed) == (100, 100 - seen.uncertain)


@pytest.mark.thorough
async def test_at_most_eight_submits_are_unanswered_at_the_start():
    """At the start of a series at most eight submits are unanswered; each acceptance allows one more."""
    async with (
        Emulator(seconds=60, faults=[Fault.slow("submit", 5, times=None)]) as emulator,
        session_at(emulator) as fox,
    ):
        series = fox.as_completed(smalls(100))
        reading = asyncio.create_task(anext(series))
        counts = []
        for _ in range(3):
            await asyncio.sleep(4.8)
            counts.append(len(posts(emulator)))
            await asyncio.sleep(0.2)
        await reading
        async with asyncio.timeout(600):
            await series.aclose()

    assert counts[0] == AT_THE_START
    assert counts[1] <= 3 * AT_THE_START
    assert counts[2] <= 7 * AT_THE_START


@pytest.mark.thorough
async def test_a_free_read_comes_first(tmp_path):
    """While the brake is closed, free reads check the service, and no submit goes before one is answered."""
    async with Emulator(seconds=5) as emulator:
        await run_batch(
            emulator, smalls(50), tmp_path, begin=lambda: emulator.outage(30, Fault.edge("all", 503))
        )
        submits = [record.when for record in posts(emulator)]
        reads = [record.when for record in emulator.requests if record.method == "GET"]

    assert len([when for when in submits if when < 30]) <= AT_THE_START
    assert [when for when in reads if 1 <= when < 30] != []


@pytest.mark.thorough
async def test_an_uncertain_item_is_not_sent_again(tmp_path):
    """After an outage that the service billed, further runs send no uncertain item again."""
    async with Emulator(seconds=5) as emulator:
        page = Fault.edge("submit", 503, accepted=True)
        first = await run_batch(emulator, smalls(50), tmp_path, begin=lambda: emulator.outage(2, page))
        second = await run_batch(emulator, smalls(50), tmp_path)

    assert first.uncertain >= 1
    assert second.uncertain == first.uncertain
    assert first.posts + second.posts == second.billed == 50


@pytest.mark.thorough
async def test_resubmission_is_braked_too(tmp_path):
    """Under `resubmit_uncertain` the probe of an outage is the same item with the same key, and nothing is
    billed twice.
    """
    async with Emulator(seconds=5, idempotent=True) as emulator:
        page = Fault.edge("all", 503, accepted=True)
        seen = await run_batch(
            emulator,
            smalls(100),
            tmp_path,
            resubmit_uncertain=True,
            session={"retry": RetryPolicy(resubmit_uncertain=True)},
            begin=lambda: emulator.outage(30, page),
        )

    assert seen.states == (100, 0, 0, 0)
    assert seen.billed == 100
    assert seen.posts <= 100 + 2 * AT_THE_START


# A share of the answers


async def share_of_502s(count, accepted, folder):
    fault = Fault.edge("submit", 502, probability=0.2, times=None, accepted=accepted)
    async with Emulator(seconds=5, faults=[fault]) as emulator:
        seen = await run_batch(emulator, smalls(count), folder)
        fired = emulator.faults_fired

    assert seen.uncertain == fired
    assert seen.uncertain <= most_uncertain(seen.posts)
    assert seen.failed == 0
    assert (seen.done, seen.posts) == (seen.posts - fired, seen.done + fired)
    assert seen.billed == seen.posts - (0 if accepted else fired)
    assert "uncertain" in (seen.paused or "")


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.thorough
async def test_a_fifth_of_the_submits_answered_502(accepted, tmp_path):
    """When 20 % of the submits of a batch are answered 502, the run pauses after few of 1,000 items."""
    await share_of_502s(1000, accepted, tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize("accepted", [False, True])
async def test_a_fifth_of_10_000_submits_answered_502(accepted, tmp_path):
    """When 20 % of the submits of a batch are answered 502, the run pauses after few of 10,000 items."""
    await share_of_502s(10_000, accepted, tmp_path)


@pytest.mark.thorough
async def test_a_few_502s_pause_nothing(tmp_path):
    """If a few of 100 submits are answered 502, the batch is completed."""
    fault = Fault.edge("submit", 502, probability=0.02, times=None, accepted=True)
    async with Emulator(seconds=5, faults=[fault]) as emulator:
        seen = await run_batch(emulator, smalls(100), tmp_path)
        fired = emulator.faults_fired

    assert 1 <= fired <= 8
    assert seen.states == (100 - fired, 0, fired, 0)
    assert (seen.posts, seen.billed, seen.paused) == (100, 100, None)


# The service cannot be reached


async def test_a_service_that_is_never_reached(tmp_path):
    """A run that never reached the service ends after 60 s with `ConnectionFailedError`, and no item changes."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with Emulator() as emulator:
        nowhere = {"base_url": f"http://127.0.0.1:{port}"}
        seen = await run_batch(emulator, smalls(20), tmp_path, session=nowhere, limit=120)

    assert isinstance(seen.raised, ConnectionFailedError)
    assert 55 <= seen.seconds <= 75
    assert seen.states == (0, 0, 0, 0)
    assert (seen.posts, seen.billed) == (0, 0)


@pytest.mark.parametrize("seconds", [2, pytest.param(30, marks=pytest.mark.thorough)])
async def test_refused_connections(seconds, tmp_path):
    """Connections that are refused for a while cost nothing: every item is done, and each is sent once."""
    async with Emulator(seconds=5) as emulator:
        restarts = []
        seen = await run_batch(
            emulator,
            smalls(40),
            tmp_path,
            begin=lambda: restarts.append(asyncio.create_task(emulator.refuse(seconds))),
        )
        await restarts[0]

    assert seen.states == (40, 0, 0, 0)
    assert (seen.posts, seen.billed, seen.paused) == (40, 40, None)


@pytest.mark.thorough
async def test_refused_connections_while_tasks_run():
    """Connections that are refused while tasks are polled end no handle."""
    async with Emulator(seconds=30) as emulator, session_at(emulator) as fox:
        handles = [await fox.submit(small(f"fox {n}")) for n in range(20)]
        await asyncio.sleep(5)
        await emulator.refuse(60)
        results = [await handle for handle in handles]

    assert len(results) == 20
    assert emulator.billed == 20
    assert len(polls(emulator)) >= 20
