"""A status read is answered by the service, or by something in front of it: no page ends a paid task."""

import logging
import re

import pytest
from counted import ended, run_batch, small, smalls
from helpers import now, polls, posts, session_at

from foxapi_async import (
    APIError,
    AuthenticationError,
    NotFoundError,
    TaskResult,
)
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual

ELSEWHERE = "https://login.example.com/"
ITEMS = 10


# One task


ENDS_TODAY = [302, 303, 307, 400, 401, 402, 403, 404, 405, 410, 421, 451]


@pytest.mark.parametrize(
    "status",
    [
        *(status for status in ENDS_TODAY),
        *(200, 408, 500, 502, 503, 504, 520),
    ],
)
async def test_a_page_on_one_poll(status):
    """After one page on a poll, with any status, the task is polled again and has its result."""
    page = Fault.edge("poll", status, location=ELSEWHERE).during(15, 35)
    async with Emulator(seconds=30, faults=[page]) as emulator, session_at(emulator) as fox:
        result = await ended(fox.generate(small()))

    assert emulator.faults_fired > 0
    assert isinstance(result, TaskResult)
    assert (len(posts(emulator)), emulator.billed) == (1, 1)


async def test_one_page_after_the_other():
    """A challenge, an ingress's 404, a redirect and a notice of maintenance on four polls: one image."""
    pages = [
        Fault.edge("poll", 403, after=1),
        Fault.edge("poll", 404, after=2),
        Fault.edge("poll", 302, after=3, location="http://captive.example.com/"),
        Fault.edge("poll", 200, after=4),
    ]
    async with Emulator(seconds=30, faults=pages) as emulator, session_at(emulator) as fox:
        result = await ended(fox.generate(small()))

    assert isinstance(result, TaskResult)
    assert emulator.faults_fired == 4
    assert len(result.images) == 1


async def test_pages_for_ten_minutes():
    """Pages on every poll for ten minutes do not end a handle if its session has had an answer of the service."""
    async with Emulator(seconds=30) as emulator, session_at(emulator) as fox:
        handle = await fox.submit(small())
        emulator.outage(600, Fault.edge("all", 404))
        result = await ended(handle.wait())
        seconds = now()

    assert isinstance(result, TaskResult)
    assert 600 <= seconds <= 900
    assert 5 <= len(polls(emulator)) <= 300


@pytest.mark.thorough
async def test_pages_are_warned_of_every_ten_minutes(caplog):
    """Pages on polls give one warning at once and one every ten minutes, not one per poll."""
    caplog.set_level(logging.WARNING, logger="foxapi_async")
    async with Emulator(seconds=30) as emulator, session_at(emulator) as fox:
        handles = [await fox.submit(request) for request in smalls(5)]
        emulator.outage(3590, Fault.edge("poll", 403))
        results = [await ended(handle.wait()) for handle in handles]
    warnings = [record for record in caplog.records if "403" in record.getMessage()]

    assert {type(result) for result in results} == {TaskResult}
    assert 6 <= len(warnings) <= 7


@pytest.mark.parametrize("status", [302, 403, 404, 200])
async def test_a_service_that_never_answered(status):
    """If the session never had the service's JSON, five pages over 30 s end the handle, and it stays unfinished."""
    page = Fault.edge("all", status, times=None, location=ELSEWHERE, body=b"<html>The gate</html>")
    async with Emulator(seconds=30, faults=[page]) as emulator, session_at(emulator) as fox:
        error = await ended(fox.attach("task-unified-1-abc", timeout=600).wait())
        seconds = now()
        unfinished = [handle.id for handle in fox.unfinished]

    assert type(error) is APIError
    assert (error.status, error.charged, error.task_id) == (status, "yes", "task-unified-1-abc")
    assert ELSEWHERE in str(error) or "The gate" in str(error)
    assert 30 <= seconds <= 120
    assert len(polls(emulator)) >= 5
    assert unfinished == ["task-unified-1-abc"]


async def test_the_service_s_own_401_ends_a_handle():
    """The service's own 401 on a poll ends the handle, with its id, and the task stays billed."""
    async with (
        Emulator(seconds=30, faults=[Fault.status("poll", 401, times=None)]) as emulator,
        session_at(emulator) as fox,
    ):
        handle = await fox.submit(small())
        error = await ended(handle.wait())

    assert isinstance(error, AuthenticationError)
    assert (error.task_id, error.charged) == (handle.id, "yes")


@pytest.mark.parametrize("fault", [Fault.not_found, Fault.invalid_url])
async def test_a_known_id_that_the_service_no_longer_knows(fault):
    """An id that this session saw accepted stays in `unfinished` when the service's own 404 ends its handle."""
    async with (
        Emulator(seconds=60, faults=[fault("poll", times=None)]) as emulator,
        session_at(emulator) as fox,
    ):
        handle = await fox.submit(small())
        error = await ended(handle.wait())
        unfinished = [left.id for left in fox.unfinished]

    assert isinstance(error, NotFoundError)
    assert error.charged != "no"
    assert unfinished == [handle.id]


async def test_an_attached_id_never_answered_for(caplog):
    """An attached id that gets only the service's own 404 is dropped, and is not reported as billed."""
    async with Emulator(seconds=60) as emulator, session_at(emulator) as fox:
        error = await ended(fox.attach("task-unified-1-abc").wait())
        unfinished = fox.unfinished

    assert isinstance(error, NotFoundError)
    assert error.charged == "unknown"
    assert unfinished == ()
    assert "billed" not in caplog.text


# fetch and upload


@pytest.mark.parametrize(
    "status",
    [*(n for n in (302, 403, 404, 405)), 502, 503],
)
async def test_fetch_takes_a_page_for_a_502(status):
    """`fetch` tries again after a page with any status."""
    async with Emulator(seconds=1) as emulator, session_at(emulator) as fox:
        handle = await fox.submit(small())
        await ended(handle.wait())
        emulator.add_fault(Fault.edge("poll", status, times=2))
        snapshot = await ended(fox.fetch(handle.id))

    assert getattr(snapshot, "status", None) == "completed"


@pytest.mark.parametrize("status", [302, 403, 404])
async def test_fetch_raises_a_plain_error_of_a_page(status):
    """`fetch` raises a plain `APIError` after five pages, never `NotFoundError`."""
    page = Fault.edge("all", status, times=None)
    async with Emulator(faults=[page]) as emulator, session_at(emulator) as fox:
        error = await ended(fox.fetch("task-unified-1-abc"))

    assert type(error) is APIError
    assert error.status == status
    assert len(polls(emulator)) == 5


@pytest.mark.parametrize("status", [302, 403, 404])
async def test_upload_takes_a_page_for_a_502(status):
    """`upload` tries again after a page with any status, and finally raises a plain `APIError`."""
    async with Emulator() as emulator, session_at(emulator) as fox:
        emulator.add_fault(Fault.edge("upload", status, times=2))
        uploaded = await ended(fox.upload(b"GIF89a", filename="x.gif"))
        emulator.add_fault(Fault.edge("upload", status, times=None))
        error = await ended(fox.upload(b"GIF89a", filename="x.gif"))

    assert getattr(uploaded, "filename", None) == "x.gif"
    assert type(error) is APIError


# A batch that continues


async def begun(emulator, folder):
    """A batch whose items are all submitted and not ended."""
    seen = await run_batch(emulator, smalls(ITEMS), folder, session={"task_timeout": 5})
    assert seen.states == (0, 0, 0, ITEMS)
    assert seen.posts == ITEMS


@pytest.mark.parametrize("status", [404, 403, 302])
@pytest.mark.thorough
async def test_pages_while_a_batch_continues(status, tmp_path):
    """If an edge answers everything for 6 s after a restart, no item changes, and nothing is sent again."""
    async with Emulator(seconds=60) as emulator:
        await begun(emulator, tmp_path)
        outage = Fault.edge("all", status, location=ELSEWHERE)
        second = await run_batch(emulator, smalls(ITEMS), tmp_path, begin=lambda: emulator.outage(6, outage))
        third = await run_batch(emulator, smalls(ITEMS), tmp_path, retry_failed=True)

    assert second.states == (ITEMS, 0, 0, 0)
    assert (second.posts, third.posts) == (0, 0)
    assert third.billed == ITEMS


@pytest.mark.parametrize("fault", [Fault.not_found, Fault.invalid_url])
async def test_a_service_that_no_longer_knows_the_tasks(fault, tmp_path):
    """If the service answers its own 404 for the resumed ids, the run pauses within a minute and no item changes."""
    async with Emulator(seconds=60) as emulator:
        await begun(emulator, tmp_path)
        emulator.outage(1000, fault("poll"))
        second = await run_batch(emulator, smalls(ITEMS), tmp_path, retry_failed=True)

    assert second.states == (0, 0, 0, ITEMS)
    assert (second.posts, second.billed) == (0, ITEMS)
    assert second.seconds <= 60
    assert re.search("base URL|key", second.paused or "")


@pytest.mark.thorough
async def test_a_wrong_base_path(tmp_path):
    """At a wrong base path the service's own 404 changes no item, and the run says within a minute what to check."""
    async with Emulator(seconds=60) as emulator:
        await begun(emulator, tmp_path)
        wrong = {"base_url": f"{emulator.url}/proxy"}
        second = await run_batch(emulator, smalls(ITEMS), tmp_path, session=wrong)
        third = await run_batch(emulator, smalls(ITEMS), tmp_path, retry_failed=True)

    assert second.states == (0, 0, 0, ITEMS)
    assert second.seconds <= 60
    assert "base URL" in (second.paused or "")
    assert third.states == (ITEMS, 0, 0, 0)
    assert (third.posts, third.billed) == (0, ITEMS)


async def test_a_wrong_key(tmp_path):
    """With a wrong key no item changes, and the run says within a minute what to check."""
    async with Emulator(seconds=60) as emulator:
        await begun(emulator, tmp_path)
        wrong = {"api_key": "sk-another"}
        second = await run_batch(emulator, smalls(ITEMS), tmp_path, session=wrong, retry_failed=True)

    assert second.states == (0, 0, 0, ITEMS)
    assert (second.posts, second.billed) == (0, ITEMS)
    assert second.seconds <= 60
    assert "FOXAPI_API_KEY" in (second.paused or "")


async def test_one_task_that_the_service_no_longer_knows(tmp_path):
    """One resumed item that the service no longer knows stays submitted; the others are done, and nothing is sent."""
    gone = Fault.not_found("poll", None, prompt="fox 3")
    async with Emulator(seconds=60, faults=[gone]) as emulator:
        await begun(emulator, tmp_path)
        second = await run_batch(emulator, smalls(ITEMS), tmp_path)
        third = await run_batch(emulator, smalls(ITEMS), tmp_path, retry_failed=True)

    assert second.states == (ITEMS - 1, 0, 0, 1)
    assert third.states == (ITEMS - 1, 0, 0, 1)
    assert (second.posts, third.posts, third.billed) == (0, 0, ITEMS)


async def test_a_task_no_longer_known_is_sent_again_on_request(tmp_path):
    """An item that the service no longer knows is sent again with `resubmit_uncertain`, and only then."""
    gone = Fault.not_found("poll", None, prompt="fox 3")
    async with Emulator(seconds=60, faults=[gone]) as emulator:
        await begun(emulator, tmp_path)
        second = await run_batch(emulator, smalls(ITEMS), tmp_path)
        third = await run_batch(emulator, smalls(ITEMS), tmp_path, resubmit_uncertain=True)

    assert second.posts == 0
    assert (third.posts, third.billed) == (1, ITEMS + 1)
