"""A submit is answered by the service, or by something in front of it: the sender decides what the answer means."""

import asyncio

import pytest
from counted import ended, run_batch, small, smalls
from helpers import WHOLE, now, posts, session_at

from foxapi_async import (
    APIError,
    Limits,
    NotFoundError,
    TaskHandle,
    UncertainSubmitError,
    UnprocessableError,
)
from foxapi_async.emulator import Emulator, Fault

pytestmark = [pytest.mark.virtual, pytest.mark.wide]

ITEMS = 300 if WHOLE else 60
PAGE = b"<html><title>The house is closed</title></html>"
ELSEWHERE = "https://login.example.com/"


async def submitted(fault, **options):
    """The result of a single submit under a fault, and the service."""
    async with Emulator(seconds=5, faults=[fault]) as emulator, session_at(emulator, **options) as fox:
        return await ended(fox.submit(small())), emulator


# A single submit


NOT_PASSED_ON = [
    *(301, 302, 307, 308, 400, 401, 402, 403, 404, 405, 406, 410, 411, 413, 414, 415, 417, 421),
    *(425, 426, 431, 451),
]


@pytest.mark.parametrize("status", NOT_PASSED_ON)
async def test_a_page_that_says_not_passed_on(status):
    """A page with a status that means "not passed on" is a refusal after one POST: nothing is billed."""
    error, emulator = await submitted(Fault.edge("submit", status, body=PAGE, times=None))

    assert isinstance(error, APIError)
    assert (error.charged, error.status) == ("no", status)
    assert (len(posts(emulator)), emulator.billed) == (1, 0)


@pytest.mark.parametrize("status", [302, 404, 405, 421, 403])
async def test_a_refusal_by_the_edge_has_the_page_s_words(status):
    """The error of a single submit has the first words of the page that refused it."""
    error, _ = await submitted(Fault.edge("submit", status, body=PAGE))

    assert "The house is closed" in str(error)


@pytest.mark.parametrize(
    "status",
    [301, 302, 307, 308],
)
async def test_a_redirect_is_named(status):
    """The error of a single submit that is redirected names the address to which the edge points."""
    error, _ = await submitted(Fault.edge("submit", status, location=ELSEWHERE))

    assert ELSEWHERE in str(error)


MAYBE_PASSED_ON = [
    200,
    300,
    303,
    304,
    407,
    408,
    409,
    412,
    416,
    418,
    422,
    423,
    424,
    428,
    500,
    502,
    503,
    504,
    520,
]
SURE = {200, 408, 500, 502, 503, 504, 520}


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize(
    "status",
    MAYBE_PASSED_ON,
)
async def test_any_other_page_is_uncertain(status, accepted):
    """A page with any other status proves nothing: the submit is uncertain and is not sent again."""
    error, emulator = await submitted(Fault.edge("submit", status, body=PAGE, accepted=accepted, times=None))

    assert isinstance(error, UncertainSubmitError)
    assert error.charged == "unknown"
    assert (len(posts(emulator)), emulator.billed) == (1, int(accepted))


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFoundError), (422, UnprocessableError), (409, APIError)]
)
async def test_the_service_s_own_refusal(status, kind):
    """A refusal in the service's own JSON is raised at once, with any status, and nothing is billed."""
    error, emulator = await submitted(Fault.status("submit", status, times=None))

    assert type(error) is kind
    assert error.charged == "no"
    assert len(posts(emulator)) == 1


@pytest.mark.parametrize(
    "status",
    [
        201,
        202,
        *(n for n in (302, 404, 409, 422, 500, 502, 503)),
    ],
)
async def test_an_id_is_kept_whatever_the_status(status):
    """A reply with an id is an accepted task, with any status."""
    handle, emulator = await submitted(Fault.altered("submit", {}, status=status, times=None))

    assert isinstance(handle, TaskHandle)
    assert [handle.id] == list(emulator.tasks)


# A 200 that is not a task


async def test_an_error_at_200_has_the_service_s_words():
    """A 200 with an error envelope and no id is uncertain, and the error has the service's words."""
    fault = Fault.status("submit", 200, message="the model is being maintained", accepted=True)
    error, emulator = await submitted(fault)

    assert isinstance(error, UncertainSubmitError)
    assert "the model is being maintained" in str(error)
    assert (len(posts(emulator)), emulator.billed) == (1, 1)


async def test_an_error_at_200_with_an_id():
    """A 200 with an error and an id is accepted."""
    handle, emulator = await submitted(Fault.altered("submit", {"error": {"message": "slow today"}}))

    assert isinstance(handle, TaskHandle)
    assert [handle.id] == list(emulator.tasks)


@pytest.mark.parametrize(
    "put",
    [
        pytest.param({"task_id": "{id}"}, id="task_id"),
        pytest.param({"data": [{"task_id": "{id}"}]}, id="data"),
        pytest.param({"data": {"task_id": "{id}"}}, id="data-object"),
    ],
)
@pytest.mark.parametrize("status", [200, 202])
async def test_an_id_at_another_place_is_quoted(put, status):
    """A success with its id in another place is uncertain, and the error quotes the text that looks like an id."""
    error, emulator = await submitted(Fault.altered("submit", put, drop=["id"], status=status))

    assert isinstance(error, UncertainSubmitError)
    assert next(iter(emulator.tasks)) in str(error)


async def test_a_body_with_images_is_kept():
    """A success with images and no id is uncertain, and the error has the body with the address."""
    put = {"data": [{"url": "https://files.example.com/a.png"}]}
    error, _ = await submitted(Fault.altered("submit", put, drop=["id"]))

    assert isinstance(error, UncertainSubmitError)
    assert "https://files.example.com/a.png" in error.body


async def test_a_large_body_is_bounded():
    """The part of the body in an error is limited, and is the body's beginning."""
    put = {"hint": "see the console", "note": "x" * 100_000}
    error, _ = await submitted(Fault.altered("submit", put, drop=["id", "task_info", "usage"]))

    assert "see the console" in error.body
    assert len(error.body) < 10_000


# Many submits


@pytest.mark.parametrize(
    ("status", "count"),
    [
        (404, ITEMS),
        *(pytest.param(status, 60, marks=pytest.mark.thorough) for status in (302, 405, 421, 400, 403)),
    ],
)
async def test_pages_for_two_seconds_in_a_batch(status, count, tmp_path):
    """If an edge refuses every submit for 2 s, no item fails: all are held, and then done."""
    async with Emulator(seconds=5) as emulator:
        seen = await run_batch(
            emulator,
            smalls(count),
            tmp_path,
            begin=lambda: emulator.outage(2, Fault.edge("all", status, location=ELSEWHERE)),
        )

    assert seen.states == (count, 0, 0, 0)
    assert (seen.billed, seen.paused) == (count, None)
    assert seen.posts <= count + 10


@pytest.mark.thorough
async def test_pages_in_the_middle_of_a_batch(tmp_path):
    """When an edge refuses every submit for 2 s in the middle of a batch, no item fails."""
    faults = [Fault.edge("all", 404).during(7, 9)]
    paced = {"limits": Limits(submits_per_second=4)}
    async with Emulator(seconds=5, faults=faults) as emulator:
        seen = await run_batch(emulator, smalls(100), tmp_path, max_in_flight=20, session=paced)

    assert seen.states == (100, 0, 0, 0)
    assert (seen.billed, seen.paused) == (100, None)
    assert 100 < seen.posts <= 120


@pytest.mark.thorough
async def test_pages_for_two_seconds_in_a_series():
    """When an edge refuses every submit of a series for 2 s, each item has its result."""
    async with Emulator(seconds=5) as emulator, session_at(emulator) as fox:
        emulator.outage(2, Fault.edge("all", 404))
        errors = [outcome.error async for outcome in fox.as_completed(smalls(50))]

    assert errors == [None] * 50
    assert emulator.billed == 50
    assert len(posts(emulator)) <= 60


@pytest.mark.parametrize("status", [403, pytest.param(406, marks=pytest.mark.thorough)])
async def test_a_prompt_that_a_firewall_refuses_fails_alone(status, tmp_path):
    """A firewall that refuses one prompt fails that item with its words, and no other."""
    firewall = Fault.edge("submit", status, prompt="DROP TABLE", times=None, body=PAGE)
    requests = [*smalls(30), small("DROP TABLE foxes"), *smalls(60)[30:]]
    async with Emulator(seconds=5, faults=[firewall]) as emulator:
        seen = await run_batch(emulator, requests, tmp_path)

    assert seen.states == (60, 1, 0, 0)
    assert (seen.billed, seen.paused) == (60, None)
    assert [error.charged for error in seen.errors] == ["no"]
    assert "The house is closed" in str(seen.errors[0])


@pytest.mark.thorough
async def test_a_prompt_that_a_firewall_refuses_is_tried_twice(tmp_path):
    """The item that an edge refused is tried once more at the end, if others were accepted."""
    firewall = Fault.edge("submit", 406, prompt="DROP TABLE", times=None)
    requests = [small("DROP TABLE foxes"), *smalls(60)]
    async with Emulator(seconds=5, faults=[firewall]) as emulator:
        seen = await run_batch(emulator, requests, tmp_path)

    assert seen.states == (60, 1, 0, 0)
    assert (seen.posts, seen.billed) == (60 + 2, 60)


async def test_413_concerns_its_item_alone(tmp_path):
    """A page that means "too large" fails its item after one POST, and holds nothing back."""
    large = Fault.edge("submit", 413, prompt="large", times=None)
    requests = [small("large one"), small("large two"), small("large three"), *smalls(20)]
    async with Emulator(seconds=5, faults=[large]) as emulator:
        seen = await run_batch(emulator, requests, tmp_path)

    assert seen.states == (20, 3, 0, 0)
    assert (seen.posts, seen.billed, seen.paused) == (23, 20, None)


@pytest.mark.parametrize("status", [302, 403, 404, 405])
async def test_a_base_url_at_which_nothing_is_ever_accepted(status, tmp_path):
    """If an edge refuses three different items and none was ever accepted, the run pauses at once."""
    fault = Fault.edge("all", status, times=None, location=ELSEWHERE)
    async with Emulator(seconds=5, faults=[fault]) as emulator:
        seen = await run_batch(emulator, smalls(ITEMS), tmp_path)

    assert seen.states == (0, 0, 0, 0)
    # Eight at the start, and a probe after each of the first two gaps.
    assert 3 <= seen.posts <= 10
    assert seen.billed == 0
    assert seen.seconds < 60
    assert "base URL" in (seen.paused or "")


@pytest.mark.thorough
async def test_pages_for_an_hour_pause_a_batch(tmp_path):
    """If an edge refuses every submit for an hour, the batch pauses after ten minutes, and continues later."""
    outage = Fault.edge("submit", 404).during(10, 3610)
    async with Emulator(seconds=5, faults=[outage]) as emulator:
        first = await run_batch(
            emulator, smalls(ITEMS), tmp_path, session={"limits": Limits(submits_per_second=2)}
        )
        await asyncio.sleep(3700 - now())
        second = await run_batch(emulator, smalls(ITEMS), tmp_path)

    assert (first.failed, first.uncertain) == (0, 0)
    assert first.paused is not None
    assert 600 <= first.seconds <= 60 + 720
    assert second.states == (ITEMS, 0, 0, 0)
    assert second.billed == ITEMS


async def test_an_item_that_is_held_ends_with_the_reason():
    """In a series, an item that is held for the whole of `task_timeout` ends with the page's words."""
    outage = Fault.edge("submit", 404, times=None, after=1)
    async with (
        Emulator(seconds=5, faults=[outage]) as emulator,
        session_at(emulator, task_timeout=100) as fox,
    ):
        errors = [outcome.error async for outcome in fox.as_completed(smalls(3))]
        seconds = now()
    errors = [error for error in errors if error is not None]

    assert [error.charged for error in errors] == ["no", "no"]
    assert all("404 page not found" in str(error) for error in errors)
    assert 100 <= seconds <= 130
