"""`foxapi serve` without a browser: what it keeps, how it continues, and which clients it accepts."""

import asyncio
import contextlib
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import aiohttp
import attrs
import pytest
from helpers import fox_request, session_at
from shell import interrupt_when, point_to

from foxapi_async import ConfigurationError, LedgerError, RetryPolicy
from foxapi_async._batch.record import WorkItem, opening_record
from foxapi_async._ledger.entry import ItemState, LedgerEntry
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async.cli import main
from foxapi_async.cli._messages import message_of
from foxapi_async.emulator import Emulator, Fault, ThreadedEmulator
from foxapi_async.models import find_models
from foxapi_async.report import write_report

pytest.importorskip("fastapi.sse", reason="the extra `web` is not installed")
pytest.importorskip("uvicorn", reason="the extra `web` is not installed")

from foxapi_async.page import _routes, _service
from foxapi_async.page._app import Page
from foxapi_async.page._broadcast import Broadcaster, Change
from foxapi_async.page._guard import HEADERS, MAX_BODY_BYTES, MAX_UPLOAD_BYTES, Gate, Guard
from foxapi_async.page._history import card_of, file_of
from foxapi_async.page._server import listen, serve
from foxapi_async.page._service import PageService

TOKEN = "a-token-that-nobody-guesses"
FOX = {"model": "grok-imagine-image", "prompt": "a red fox"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


@contextlib.asynccontextmanager
async def page_at(emulator, out, *, local=True, token=None, **options):
    """A page on loopback, and a client of it."""
    out.mkdir(exist_ok=True)
    with listen("127.0.0.1", 0) as sock:
        address = f"http://127.0.0.1:{sock.getsockname()[1]}"
        async with (
            session_at(emulator, **options) as fox,
            PageService.opened(fox, out) as service,
            aiohttp.ClientSession(address) as web,
        ):
            page = Page(service, Gate(local=local, token=token))
            serving = asyncio.create_task(serve(page, sock))
            try:
                yield SimpleNamespace(web=web, service=service, address=address, fox=fox, page=page)
            finally:
                serving.cancel()
                await asyncio.wait([serving])


@pytest.fixture
async def quick():
    """A service whose tasks take an instant."""
    async with Emulator(seconds=0.05) as emulator:
        yield emulator


@pytest.fixture
async def page(quick, tmp_path):
    """A page at that service."""
    async with page_at(quick, tmp_path / "page") as running:
        yield running


async def submit(page, **fields):
    """The id of the new submit."""
    async with page.web.post("/images", json={**FOX, **fields}) as response:
        assert response.status == 202, await response.text()
        return (await response.json())["id"]


async def history(page, query=""):
    async with page.web.get(f"/history{query}") as response:
        assert response.status == 200
        return await response.json()


async def card_when(page, *states, number=0):
    """The card with that number, newest first, when it is in one of these states."""
    async with asyncio.timeout(20):
        while True:
            cards = (await history(page))["cards"]
            if len(cards) > number and cards[number]["state"] in states:
                return cards[number]
            await asyncio.sleep(0.01)


async def until(met):
    """Wait until the condition is true."""
    async with asyncio.timeout(20):
        while True:
            if found := await met() if asyncio.iscoroutinefunction(met) else met():
                return found
            await asyncio.sleep(0.01)


async def faulty_card(page):
    """The newest card, when the server has stopped waiting for its task."""

    async def faulty():
        card = await card_when(page, "submitted")
        return card["fault"] and card

    return await until(faulty)


def unwritable(*_):
    """A change that the ledger cannot write any more."""
    future = asyncio.get_running_loop().create_future()
    future.set_exception(LedgerError("the disk is full"))
    return future


async def error_of(response):
    return response.status, (await response.json())["error"]["type"]


async def left_submitting(folder, key="left"):
    """A ledger as a server leaves it if it is killed while it submits."""
    folder.mkdir(exist_ok=True)
    request = fox_request()
    async with SqliteLedger.opened(folder / "ledger.sqlite") as ledger:
        opening = opening_record(WorkItem(index=0, key=key, request=request))
        await ledger.submitting(key, "f" * 24, "once", None, opening)


# Submits.


async def test_images_are_saved_without_an_onlooker(page):
    """The session saves a submitted image to the folder without an open page, and the page shows it from there."""
    task_id = await submit(page, num_outputs=2)
    card = await card_when(page, "done")

    assert [task_id, 2, 10.0] == [card["id"], len(card["files"]), card["credits"]]
    for n, file in enumerate(card["files"], 1):
        assert f"/files/{task_id}/{n}" == file["url"]
        async with page.web.get(file["url"]) as response:
            assert "image/jpeg" == response.headers["Content-Type"]
            assert "immutable" in response.headers["Cache-Control"]
            assert (await response.read()).startswith(b"\xff\xd8")


async def test_the_ledger_comes_first(page, quick, monkeypatch):
    """A submit that the ledger cannot record is not sent."""

    async def full(*_):
        raise LedgerError("the disk is full")

    monkeypatch.setattr(page.service._ledger, "submitting", full)
    async with page.web.post("/images", json=FOX) as response:
        assert (500, "internal") == await error_of(response)
    assert 0 == quick.billed


async def test_status_and_report_read_the_folder(page, tmp_path, capsys):
    """`foxapi status` and `foxapi report` can read the folder."""
    await submit(page)
    await card_when(page, "done")

    assert 0 == await asyncio.to_thread(main, ["status", str(tmp_path / "page")])
    assert "1 done" in capsys.readouterr().out
    assert "a red fox" in write_report(tmp_path / "page").read_text()


async def test_the_routers_routes_work(page):
    """The image router is there as well: status and result by the id alone."""
    task_id = await submit(page)

    async with page.web.get(f"/images/{task_id}/result") as response:
        assert [200, task_id] == [response.status, (await response.json())["id"]]
    async with page.web.get(f"/images/{task_id}") as response:
        assert True is (await response.json())["finished"]


async def test_models_are_the_definitions(page):
    """The page gets each known model with exactly its own fields, the usual model first."""
    async with page.web.get("/models") as response:
        told = await response.json()

    assert {known.model: [spec.name for spec in known.fields] for known in find_models()} == {
        each["model"]: [spec["name"] for spec in each["fields"]] for each in told
    }
    assert "grok-imagine-image" == told[0]["model"]


async def test_wrong_requests_are_reported_in_words(page, quick):
    """The answer to a wrong request names each problem, and nothing is sent or kept."""
    async with page.web.post("/images", json={**FOX, "num_outputs": 9}) as response:
        body = await response.json()

    assert 422 == response.status
    assert "num_outputs=9" in body["error"]["problems"][0]
    [problem] = body["error"]["details"]
    assert ("num_outputs", "not_allowed") == (problem["field"], problem["type"])
    assert [0, []] == [quick.billed, (await history(page))["cards"]]


async def test_a_failed_task_is_reported(page, quick):
    """A failed task is shown with the service's reason."""
    quick.add_fault(Fault.fails(code="content_policy", message="Not that."))
    await submit(page)
    card = await card_when(page, "failed")

    assert ["content_policy", "unknown", None] == [
        card["error"]["code"],
        card["error"]["charged"],
        card["fault"],
    ]
    assert "Not that." in card["error"]["message"]


async def test_a_refused_request_is_kept_without_an_id(page, quick):
    """A request that the service refuses is answered, and kept as failed and not billed."""
    quick.add_fault(Fault.status("submit", 400, code="bad_prompt", message="No."))
    async with page.web.post("/images", json=FOX) as response:
        assert (400, "refused") == await error_of(response)
    card = await card_when(page, "failed")

    assert [None, "no"] == [card["id"], card["error"]["charged"]]


async def test_a_refused_account_leaves_no_card(page, quick):
    """A refusal that does not concern the request leaves nothing in the history."""
    quick.add_fault(Fault.status("submit", 402))
    async with page.web.post("/images", json=FOX) as response:
        assert (503, "unavailable") == await error_of(response)

    assert [] == (await history(page))["cards"]


async def test_an_uncertain_submit_is_shown_so(page, quick):
    """A submit without an answer is answered as uncertain, and shown so."""
    quick.add_fault(Fault.cut_after("submit"))
    async with page.web.post("/images", json=FOX) as response:
        assert (502, "uncertain_submit") == await error_of(response)
    card = await card_when(page, "uncertain")

    assert ["a red fox", "unknown"] == [card["request"]["prompt"], card["error"]["charged"]]
    assert card["error"]["message"].endswith("It may have been accepted and billed")


async def test_the_status_of_a_page_offers_what_a_page_has(page, quick, tmp_path, capsys):
    """`foxapi status` names no option that `foxapi serve` lacks: a person sends an uncertain image again."""
    quick.add_fault(Fault.cut_after("submit"))
    async with page.web.post("/images", json=FOX):
        await card_when(page, "uncertain")

    assert 0 == await asyncio.to_thread(main, ["status", str(tmp_path / "page")])
    shown = capsys.readouterr().out
    assert "(check your account; the button Use again, on the page, makes a new image)" in shown
    assert "--resubmit" not in shown


async def test_a_refused_account_is_logged_in_plain_words(page, quick, caplog):
    """The server's log says what happened without the words of Python."""
    quick.add_fault(Fault.status("submit", 402))
    for _ in range(2):
        async with page.web.post("/images", json=FOX) as response:
            assert (503, "unavailable") == await error_of(response)
    record = caplog.records[-1]
    error = record.args[-1]

    assert message_of(error).endswith("One submit is sent every 30 s as a probe")
    assert str(error).endswith("as a probe; FoxSession.resume() allows all submits again")


async def test_a_client_that_disconnects_stops_nothing(page, quick):
    """A submit whose browser has gone is still completed."""
    quick.add_fault(Fault.slow("submit", 0.3))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await submit(page)

    assert "done" == (await card_when(page, "done"))["state"]
    assert 1 == quick.billed


def error_on(card):
    return card["error"]["code"], card["error"]["charged"]


async def test_a_download_can_be_repeated(quick, tmp_path):
    """Images that could not be saved are shown as made and not saved, and "again" fetches them without a new bill."""
    async with page_at(quick, tmp_path / "page", retry=RetryPolicy(tries=1)) as page:
        quick.add_fault(Fault.status("file", 404))
        task_id = await submit(page)
        assert ("DownloadError", "yes") == error_on(await card_when(page, "unsaved"))
        async with page.web.post(f"/again/{task_id}", json={}) as response:
            assert 202 == response.status

        assert None is (await card_when(page, "done"))["fault"]
        async with page.web.post(f"/again/{task_id}", json={}) as response:
            assert 404 == response.status
        assert 1 == quick.billed


async def test_a_task_that_takes_too_long_is_reported_to_people(tmp_path):
    """The page says that the wait for a task has ended, without advice for programs."""
    async with (
        Emulator(seconds=60) as emulator,
        page_at(emulator, tmp_path / "page", task_timeout=0.5) as page,
    ):
        await submit(page)
        card = await faulty_card(page)

    assert "has not finished within 0.5 s" in card["fault"]
    assert "attach" not in card["fault"]


async def test_a_ledger_that_breaks_keeps_the_id(page, monkeypatch):
    """If the ledger cannot be written any more, the id is still answered, and the fault shown."""
    monkeypatch.setattr(page.service._ledger, "ended", unwritable)
    task_id = await submit(page)
    card = await faulty_card(page)

    assert [task_id, "the disk is full"] == [card["id"], card["fault"]]


async def test_a_refusal_that_cannot_be_noted_is_answered(page, quick, monkeypatch, caplog):
    """If a refusal cannot be recorded in the ledger, it is still answered, and the fault logged."""
    quick.add_fault(Fault.status("submit", 402))
    monkeypatch.setattr(page.service._ledger, "released", unwritable)
    async with page.web.post("/images", json=FOX) as response:
        assert (503, "unavailable") == await error_of(response)
    assert "the disk is full" in caplog.text


async def test_nothing_is_sent_while_the_server_ends(quick, tmp_path):
    """A submit that arrives while the server stops is refused, and nothing is sent."""
    async with page_at(quick, tmp_path / "page") as page:
        pass
    with pytest.raises(ConfigurationError, match="nothing was sent"):
        await page.service.submit(fox_request())
    assert 0 == quick.billed


async def test_a_submit_under_way_keeps_its_id_when_the_server_ends(tmp_path):
    """If the answer to a submit arrives while the server stops, it is kept: the next server continues with
    its task.
    """
    async with Emulator(seconds=0.3, faults=[Fault.slow("submit", 0.4)]) as emulator:
        async with page_at(emulator, tmp_path / "page") as page:
            sending = asyncio.create_task(page.service.submit(fox_request()))
            await until(lambda: emulator.billed)
        with pytest.raises(ConfigurationError, match="stopped before there was an answer"):
            await sending
        async with page_at(emulator, tmp_path / "page") as page:
            assert "done" == (await card_when(page, "done"))["state"]
        assert 1 == emulator.billed


async def test_a_second_interruption_does_not_wait_for_answers(tmp_path):
    """After a second interrupt, a server no longer waits for the answer to a submit: the next one shows it as
    uncertain.
    """
    async with Emulator(seconds=0.05, faults=[Fault.hang("submit")]) as emulator:

        async def serving():
            async with page_at(emulator, tmp_path / "page") as page:
                sending = asyncio.create_task(page.service.submit(fox_request()))
                sending.add_done_callback(lambda task: task.exception())
                await until(lambda: emulator.billed)
                began.set()
                await asyncio.Event().wait()

        began = asyncio.Event()
        work = asyncio.create_task(serving())
        await began.wait()
        work.cancel()
        async with asyncio.timeout(5):  # the grace of an answer is 10 s
            while not work.done():
                await asyncio.wait([work], timeout=0.5)
                work.cancel()
        async with page_at(emulator, tmp_path / "page") as page:
            assert "uncertain" == (await card_when(page, "uncertain"))["state"]
        assert 1 == emulator.billed


async def test_a_server_interrupted_twice_waits_for_no_answer(tmp_path):
    """After a second interrupt, the server itself no longer waits for unfinished answers."""
    async with (
        Emulator(seconds=0.05, faults=[Fault.hang("submit")]) as emulator,
        session_at(emulator) as fox,
        PageService.opened(fox, tmp_path) as service,
        aiohttp.ClientSession() as web,
    ):
        sock = listen("127.0.0.1", 0)
        address = f"http://127.0.0.1:{sock.getsockname()[1]}/images"
        serving = asyncio.create_task(serve(Page(service, Gate()), sock))
        asking = asyncio.create_task(web.post(address, json=FOX))
        await until(lambda: emulator.billed)
        async with asyncio.timeout(4):  # an unfinished answer has 5 s
            for _ in range(2):
                serving.cancel()
                await asyncio.wait([serving], timeout=0.2)
            await asyncio.wait([serving])
        asking.cancel()
        service._engine.submitter.end_grace()

    assert serving.cancelled()


# A press of the button.


PRESS = {"Idempotency-Key": "0123456789abcdef"}


async def test_a_press_that_comes_again_is_sent_once(page, quick):
    """The same press gets the same id again, at the same time or later, and is billed once."""

    async def press():
        async with page.web.post("/images", json=FOX, headers=PRESS) as response:
            return (await response.json())["id"]

    ids = {*await asyncio.gather(press(), press()), await press()}
    card = await card_when(page, "done")

    assert ({card["id"]}, 1) == (ids, quick.billed)
    assert PRESS["Idempotency-Key"] == card["key"]


async def test_a_press_of_an_earlier_server_is_not_sent_again(quick, tmp_path):
    """A press that an earlier server on the folder has sent is answered with its id, and nothing is billed again."""
    ids = set()
    for _ in range(2):
        async with (
            page_at(quick, tmp_path / "page") as page,
            page.web.post("/images", json=FOX, headers=PRESS) as response,
        ):
            ids.add((await response.json())["id"])
    assert (1, 1) == (quick.billed, len(ids))


async def test_a_refused_press_that_comes_again_gets_the_same_answer(page, quick):
    """A press that was refused is not sent when it comes again, as after a reload of the page."""
    quick.add_fault(Fault.status("submit", 402, times=1))
    for _ in range(2):
        async with page.web.post("/images", json=FOX, headers=PRESS) as response:
            assert (503, "unavailable") == await error_of(response)
    assert 0 == quick.billed


async def test_a_press_that_was_refused_before_it_was_sent_may_come_again(quick, tmp_path):
    """A press that an account refused costs nothing; the next server sends it."""
    quick.add_fault(Fault.status("submit", 402, times=1))
    statuses = []
    for _ in range(2):
        async with (
            page_at(quick, tmp_path / "page") as page,
            page.web.post("/images", json=FOX, headers=PRESS) as response,
        ):
            statuses.append(response.status)
    assert ([503, 202], 1) == (statuses, quick.billed)


async def test_a_key_of_another_form_is_refused(page, quick):
    """The key of a press becomes part of a file name, so it has digits alone."""
    async with page.web.post("/images", json=FOX, headers={"Idempotency-Key": "../x"}) as response:
        assert (422, "invalid_request") == await error_of(response)
    assert 0 == quick.billed


async def checked(page, **fields):
    async with page.web.post("/check", json={**FOX, **fields}) as response:
        return await response.json()


async def test_the_price_of_a_press_is_the_last_one_of_its_kind(page, quick):
    """A price is unknown before a result of the kind was paid for; then it is that of so many results."""
    assert None is (await checked(page))["credits"]
    await submit(page)
    await card_when(page, "done")

    assert [5.0, 15.0, None] == [
        (await checked(page, **fields))["credits"]
        for fields in ({}, {"num_outputs": 3}, {"aspect_ratio": "16:9"})
    ]
    assert 1 == quick.billed


async def test_a_new_server_knows_the_prices_of_its_folder(quick, tmp_path):
    """The prices that the folder has seen are known after a restart."""
    async with page_at(quick, tmp_path / "page") as page:
        await submit(page)
        await card_when(page, "done")
    async with page_at(quick, tmp_path / "page") as page:
        assert 5.0 == (await checked(page))["credits"]


async def test_a_check_reports_problems_and_doubts(page):
    """A wrong field is a problem. What is not allowed by facts that are not sure is a doubt."""
    wrong = await checked(page, num_outputs=9)
    unsure = await checked(page, model="veo-3.1-text-to-video", duration="long")

    assert (["num_outputs"], []) == ([each["field"] for each in wrong["problems"]], wrong["doubts"])
    assert ([], ["duration"]) == (unsure["problems"], [each["field"] for each in unsure["doubts"]])


async def spending_of(page):
    async with page.web.get("/changes") as response, asyncio.timeout(20):
        return await anext(data async for name, data in events_of(response) if name == "spending")


async def test_the_page_says_what_was_spent(page):
    """The stream has the credits of the folder, and says that an emulator of this machine bills nothing."""
    assert {"emulated": True, "spent": 0.0, "unpriced": 0} == await spending_of(page)
    await submit(page, num_outputs=2)
    await card_when(page, "done")

    async def is_told():
        return (await spending_of(page))["spent"] == 10.0

    assert await until(is_told)


class Silent:
    """A service that answers no read."""

    class _transport:
        @staticmethod
        async def read(_path):
            return None


@pytest.mark.parametrize("url", ["https://api.foxapi.cc", "http://127.0.0.1:9", "http://localhost:9/v1"])
async def test_a_service_that_is_not_known_to_be_the_emulator_costs_credits(url):
    """Without the emulator's own word, the page says that a press costs credits."""
    assert not await _service._is_emulator(url, Silent)


async def test_a_result_becomes_an_input_image(page):
    """A saved image is stored at the service, and its address goes into the next request."""
    task_id = await submit(page)
    await card_when(page, "done")
    async with page.web.post(f"/references/{task_id}/1", json={}) as response:
        assert 201 == response.status
        url = (await response.json())["url"]
    async with page.web.post(f"/references/{task_id}/2", json={}) as response:
        assert 404 == response.status
    await submit(page, image_urls=[url])

    assert [url] == (await card_when(page, "done"))["request"]["image_urls"]


async def test_all_files_are_saved_as_one_archive(page):
    """An archive has the files of all wanted items. A file that is not there any more is left out."""
    await submit(page, num_outputs=2)
    first = await card_when(page, "done")
    await submit(page)
    second = await card_when(page, "done")
    gone = next(page.service.out.rglob(first["files"][1]["name"]))
    gone.unlink()
    query = [("key", first["key"]), ("key", second["key"]), ("key", "unknown")]
    async with page.web.get("/archive", params=query) as response:
        assert 'attachment; filename="foxapi.zip"' == response.headers["Content-Disposition"]
        archive = zipfile.ZipFile(io.BytesIO(await response.read()))

    async with page.web.get("/archive", params=[("key", str(n)) for n in range(301)]) as response:
        assert 422 == response.status

    assert [first["files"][0]["name"], second["files"][0]["name"]] == archive.namelist()
    assert None is archive.testzip()


# Uploads.


async def test_an_upload_gives_the_url_for_a_request(page, quick):
    """An uploaded image has a URL that a request can name, and the service gets it."""
    async with page.web.post(
        "/uploads?name=../my fox.png", data=PNG, headers={"Content-Type": "image/png"}
    ) as response:
        assert 201 == response.status
        url = (await response.json())["url"]
    await submit(page, image_urls=[url])

    assert url.startswith(quick.url)
    assert [url] == (await card_when(page, "done"))["request"]["image_urls"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "multipart/form-data", "Content-Length": "2"}, 415),
        ({"Content-Type": "video/mp4", "Content-Length": "2"}, 200),
        ({"Content-Type": "image/png", "Content-Length": str(MAX_UPLOAD_BYTES + 1)}, 413),
        ({"Content-Type": "image/png", "Content-Length": "9" * 5000}, 413),
        ({"Content-Type": "image/png", "Content-Length": "-1"}, 411),
        ({"Content-Type": "image/png"}, 411),
    ],
)
def test_uploads_are_files_of_a_known_size(headers, status):
    """An upload that a form of another site could send, too large, or of unknown length is refused before it is read."""
    assert status == asked("POST", "/uploads", headers)


# After a restart.


async def test_a_restart_shows_and_continues(tmp_path):
    """After a restart finished images are shown, and running tasks continue, without a new bill."""
    async with Emulator(seconds=0.3) as emulator:
        async with page_at(emulator, tmp_path / "page") as page:
            await submit(page, prompt="one")
            await card_when(page, "done")
            await submit(page, prompt="two")
            assert "submitted" == (await history(page))["cards"][0]["state"]
        async with page_at(emulator, tmp_path / "page") as page:
            await card_when(page, "done")
            cards = (await history(page))["cards"]

        assert [("two", "done"), ("one", "done")] == [(c["request"]["prompt"], c["state"]) for c in cards]
        assert 2 == emulator.billed


async def test_tasks_of_an_ended_emulator(tmp_path, caplog):
    """A page of the command's emulator says after a restart how many tasks ended with the first one."""
    for _ in range(2):
        async with (
            Emulator(seconds=60) as emulator,
            session_at(emulator) as fox,
            PageService.opened(fox, tmp_path, emulated=True) as service,
        ):
            await service.submit(fox_request())

    assert ["1 task of an earlier run ended with its emulator, and nothing was billed"] == [
        record.getMessage() for record in caplog.records if record.event == "emulator_ended"
    ]


async def test_what_was_being_submitted_is_uncertain(quick, tmp_path):
    """A submit that a killed server was sending is shown as uncertain, and is not sent again."""
    await left_submitting(tmp_path / "page")
    async with page_at(quick, tmp_path / "page") as page:
        (card,) = (await history(page))["cards"]

        assert ["uncertain", "a red fox"] == [card["state"], card["request"]["prompt"]]
        assert "may have been accepted" in card["error"]["message"]
    assert 0 == quick.billed


async def test_the_history_comes_in_pages(page):
    """The history comes newest first, in pages, up to the first item."""
    for n in range(5):
        await submit(page, prompt=f"fox {n}")
    first = await history(page, "?limit=2")
    second = await history(page, f"?limit=2&before={first['before']}")
    third = await history(page, f"?limit=2&before={second['before']}")

    told = [card["request"]["prompt"] for part in (first, second, third) for card in part["cards"]]
    assert [f"fox {n}" for n in (4, 3, 2, 1, 0)] == told
    assert None is third["before"]
    assert [] == (await history(page, "?before=0"))["cards"]


async def test_a_folder_has_one_server(page, quick, tmp_path):
    """A second server cannot use the same folder."""
    async with session_at(quick) as fox:
        with pytest.raises(LedgerError):
            async with PageService.opened(fox, tmp_path / "page"):
                pass


# The stream of changes.


async def events_of(response):
    """The server-sent events of a response: name and data."""
    name = ""
    async for line in response.content:
        if line.startswith(b"event: "):
            name = line[7:].strip().decode()
        elif line.startswith(b"data: "):
            yield name, json.loads(line[6:])


async def test_changes_report_progress_and_the_end(page):
    """One stream says that it is ready, and sends the progress of each task, and then its card."""
    async with page.web.get("/changes") as response, asyncio.timeout(20):
        events = events_of(response)
        assert ("ready", None) == await anext(events)
        task_id = await submit(page)
        seen = []
        async for name, data in events:
            if name == "spending":
                continue
            seen.append((name, data.get("final", data.get("state"))))
            assert task_id == data["id"]
            if seen[-1] == ("card", "done"):
                break

    assert ("card", "submitted") in seen
    assert ("progress", True) in seen


async def test_changes_begin_with_what_runs(page, quick):
    """A page that is opened later gets the progress of running tasks at once."""
    quick.add_fault(Fault.never_finishes())
    task_id = await submit(page)
    await until(page.service.current)
    async with page.web.get("/changes") as response, asyncio.timeout(20):
        events = events_of(response)
        await anext(events)  # it is ready
        assert "spending" == (await anext(events))[0]
        name, data = await anext(events)

    assert ("progress", task_id) == (name, data["id"])


async def test_a_silent_stream_is_kept_alive(page, monkeypatch):
    """A stream without news has a comment from time to time."""
    monkeypatch.setattr(_routes, "HEARTBEAT_SECONDS", 0.01)
    async with page.web.get("/changes") as response, asyncio.timeout(20):
        lines = [await response.content.readline() for _ in range(14)]

    assert 3 == lines.count(b": ping\n")


async def test_a_slow_reader_gets_the_latest():
    """Of several changes about one subject the last one is sent."""
    broadcaster = Broadcaster()
    with broadcaster.subscribed() as subscriber:
        for n in range(3):
            broadcaster.put(Change("progress", "t", n))
        broadcaster.put(Change("card", "t", 9))
        assert [2, 9] == [change.data for change in await subscriber.changes(1)]
        broadcaster.wake()
        assert [] == await subscriber.changes(1)


# Hostile addresses.


HOSTILE = (
    "/files/nobody/1",
    "/files/{id}/0",
    "/files/{id}/2",
    "/files/{id}/-1",
    "/files/{id}/999999999999999999999",
    "/files/{id}/1.jpg",
    "/files/..%2f..%2fledger.sqlite/1",
    "/files/%2e%2e/1",
    "/files/%00/1",
    "/files/{id}/..%2f..%2fledger.sqlite",
    "/ledger.sqlite",
    "/page.py",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/docs",
    "/openapi.json",
)


async def test_no_address_is_a_path(page):
    """No address reaches the file system: there is an image by its task and number, or nothing."""
    task_id = await submit(page)
    await card_when(page, "done")
    for path in HOSTILE:
        address = aiohttp.client.URL(page.address + path.format(id=task_id), encoded=True)
        async with page.web.get(address) as response:
            assert response.status in {404, 422}, path


def entry_with(*paths, **fields):
    """An entry whose record names these files."""
    record = {"request": FOX, "files": [{"path": path} for path in paths], **fields}
    return LedgerEntry("k", "f", ItemState.DONE, "i", "t/1", None, json.dumps(record), 1.0)


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "/etc/secret.png",
        "images/../../secret.png",
        "images\\a.png",
        "a\0.png",
        "page.svg",
        "ledger.sqlite",
        "images/../ledger.sqlite",
        7,
        None,
        "out/secret.png",
    ],
)
def test_a_record_gives_no_file_outside_the_folder(tmp_path, path):
    """A record whose file is outside the folder, or is not a picture, gives no file."""
    (tmp_path / "secret.png").write_bytes(PNG)
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)

    assert None is file_of(entry_with(path), 1, folder)


def test_a_picture_of_the_folder_is_found(tmp_path):
    """A record's picture is found, with the type of its ending."""
    assert (tmp_path / "images/a.WEBP", "image/webp") == file_of(entry_with("images/a.WEBP"), 1, tmp_path)


@pytest.mark.parametrize("record", ["[]", "no JSON", '{"files": 3, "request": [], "error": "x"}'])
def test_a_record_of_another_form_makes_a_card(record):
    """A record of another form makes a card with the values that it has."""
    card = card_of(LedgerEntry("k", "f", ItemState.FAILED, "i", None, None, record, 1.0), place=3)

    assert ["failed", {}, [], None, 3] == [
        card[name] for name in ("state", "request", "files", "error", "place")
    ]


def test_an_id_is_quoted_in_an_address():
    """A task's id is one segment of an address, whatever it contains."""
    assert [{"url": "/files/t%2F1/1", "name": "a.png", "type": "image/png"}] == card_of(
        entry_with("images/a.png"), place=0
    )["files"]


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("a.svg", "Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'"),
        ("a.mp4", "Content-Type", "video/mp4"),
        ("a.pdf", "Content-Disposition", "attachment"),
    ],
)
async def test_a_file_that_is_no_plain_picture(page, name, header, value):
    """A drawing is shown, and runs no script if it is opened alone. A video is played. Any other file is only saved."""
    task_id = await submit(page)
    card = await card_when(page, "done")
    (record,) = [await page.service._ledger.look_up([card["key"]])]
    entry = record[card["key"]]
    (page.service.out / "images" / name).write_bytes(b"<svg/>")
    line = {**json.loads(entry.record), "files": [{"path": f"images/{name}"}]}
    page.service.history._ledger = Known({card["key"]: attrs.evolve(entry, record=json.dumps(line))})
    async with page.web.get(f"/files/{task_id}/1") as response:
        assert value == response.headers[header]
        assert b"<svg/>" == await response.read()


@attrs.frozen
class Known:
    """A ledger to read."""

    entries_by_key: dict

    async def look_up(self, keys):
        return {key: self.entries_by_key[key] for key in keys if key in self.entries_by_key}


async def test_the_data_of_input_images_is_not_on_a_card(page):
    """A card has the beginning of a data URI, and the whole request has an address of its own."""
    data = f"data:image/png;base64,{'A' * 100_000}"
    async with page.web.post(
        "/images", json={**FOX, "image_urls": [data, "https://a.example/b.png"]}
    ) as response:
        assert 202 == response.status
    card = await card_when(page, "done")
    async with page.web.get(f"/requests/{card['key']}") as response:
        whole = await response.json()
    async with page.web.get("/requests/unknown") as response:
        unknown = response.status

    assert ([f"{data[:40]}…", "https://a.example/b.png"], True) == (
        card["request"]["image_urls"],
        card["shortened"],
    )
    assert [data, "https://a.example/b.png"] == whole["image_urls"]
    assert 404 == unknown


def test_all_pages_share_the_bytes_of_a_change():
    """A change is encoded once, however many pages get it."""
    change = Change("card", "k", {"id": 1})

    assert change.encoded is change.encoded
    assert b'event: card\ndata: {"id": 1}\n\n' == change.encoded


async def test_a_client_that_leaves_in_the_middle_of_an_upload(page, caplog, monkeypatch):
    """Nothing but the request is in the log, and nothing is stored."""
    host, port = page.address.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /uploads HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nhalf"
    logged, handle = asyncio.Event(), caplog.handler.handle
    monkeypatch.setattr(caplog.handler, "handle", lambda record: (handle(record), logged.set()))
    with caplog.at_level(logging.INFO, "foxapi_async"):
        writer.write(head.encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await logged.wait()

    assert ["POST /uploads 499"] == [
        record.getMessage() for record in caplog.records if "/uploads" in record.getMessage()
    ]
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", "//"])
def test_an_origin_that_is_no_address_is_foreign(origin):
    """A malformed Origin is refused, as another site is."""
    assert 403 == asked(
        "POST", "/images", {"Origin": origin, "Content-Type": "application/json", "Content-Length": "2"}
    )


# Which clients are accepted.


def asked(method, path, headers=None, *, gate=None, whole=False):
    """The status of a request at a guard, without a network; `whole` returns the headers, too."""
    target, _, query = path.partition("?")
    given = {"Host": "localhost:8000", **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": target,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items() if value],
    }
    sent = []

    async def behind(_scope, _receive, send):
        if target == "/bug":
            raise ZeroDivisionError("a secret")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if target == "/late":
            raise ZeroDivisionError("a secret")

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(behind, gate or Gate())(scope, None, send))
    told = {name.decode().title(): value.decode() for name, value in sent[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in sent)
    return (sent[0]["status"], told, body) if whole else sent[0]["status"]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "LOCALHOST:1"]
)
def test_loopback_answers_to_its_names(host):
    """A server on loopback answers to every name of this machine."""
    assert 200 == asked("GET", "/", {"Host": host})


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:8000", "192.168.1.5:8000", "", "[", "127.0.0.1.nip.io"]
)
def test_loopback_answers_to_no_other_name(host):
    """A name that an attacker made point to this machine (DNS rebinding) is refused."""
    assert 421 == asked("GET", "/", {"Host": host})


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
def test_another_site_spends_nothing(headers):
    """A POST that a browser sends for another site is refused, JSON or not."""
    sent = {"Content-Type": "application/json", "Content-Length": "2", **headers}

    assert 403 == asked("POST", "/images", sent)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost:8000"},
        {"Origin": "http://LOCALHOST:8000", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_the_page_itself_may_send(headers):
    """The page's own POST passes, and that of a program, which has no site."""
    assert 200 == asked(
        "POST",
        "/images",
        {"Content-Type": "application/json; charset=utf-8", "Content-Length": "2", **headers},
    )


@pytest.mark.parametrize("path", ["/history", "/files/t/1", "/changes", "/page.js", "/"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_reads_nothing(path, site):
    """Another site can neither embed nor fetch anything."""
    assert 403 == asked(
        "GET", path, {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    )


def test_a_link_on_another_site_leads_to_the_page():
    """A person who follows a link gets the page."""
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    assert [200, 403] == [asked("GET", path, visit) for path in ("/", "/history")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain", "Content-Length": "2"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "2"}, 415),
        ({"Content-Length": "2"}, 415),
        ({"Content-Type": "application/json"}, 411),
        ({"Content-Type": "application/json", "Content-Length": str(MAX_BODY_BYTES + 1)}, 413),
        ({"Content-Type": "application/json", "Content-Length": str(MAX_BODY_BYTES)}, 200),
    ],
)
def test_a_form_of_any_site_is_no_request(headers, status):
    """A body must be JSON of a known and limited size, or it is refused."""
    assert status == asked("POST", "/images", headers)


WITH_TOKEN = Gate(local=False, token=TOKEN, cookie="c")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/page.js",
        "/models",
        "/history",
        "/changes",
        "/files/t/1",
        "/images/t",
        "/favicon.ico",
        "/nothing",
    ],
)
def test_without_the_token_nothing_answers(path):
    """Beyond this machine everything except the exchange of the token answers 401 without it."""
    assert 401 == asked("GET", path, gate=WITH_TOKEN)
    assert 401 == asked("POST", path, {"Cookie": f"c={TOKEN}"}, gate=WITH_TOKEN)


def test_the_token_becomes_a_cookie():
    """The token is exchanged for a cookie that scripts and other sites cannot use, and that is not the token."""
    status, headers, body = asked("GET", f"/?token={TOKEN}", gate=WITH_TOKEN, whole=True)
    cookie = headers["Set-Cookie"]

    assert 200 == status
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert TOKEN.encode() not in body
    assert 200 == asked("GET", "/history", {"Cookie": cookie.partition(";")[0]}, gate=WITH_TOKEN)


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], f"{TOKEN}x", "%C3%A9"])
def test_a_wrong_token_is_refused(token):
    """A wrong token gets no cookie, and a cookie made from it is refused."""
    status, headers, _ = asked("GET", f"/?token={token}", gate=WITH_TOKEN, whole=True)

    assert [401, False] == [status, "Set-Cookie" in headers]
    assert 401 == asked("GET", "/history", {"Authorization": f"Bearer {token}"}, gate=WITH_TOKEN)


def test_a_program_may_send_the_token():
    """A program sends the token as a bearer token."""
    assert 200 == asked("GET", "/history", {"Authorization": f"Bearer {TOKEN}"}, gate=WITH_TOKEN)
    assert 401 == asked("GET", "/history", {"Authorization": f"Basic {TOKEN}"}, gate=WITH_TOKEN)


def test_a_token_where_none_is_demanded_does_no_harm():
    """If no token is required, an old address with a token leads to the page, and sets no cookie."""
    status, headers, _ = asked("GET", "/?token=old", whole=True)

    assert [200, False] == [status, "Set-Cookie" in headers]


def test_the_token_is_never_shown():
    """A gate's repr has no token in it."""
    assert TOKEN not in repr(WITH_TOKEN)


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/bug", 500), ("/late", 200)])
def test_every_answer_has_the_headers(path, status):
    """Every answer has the strict policy, also refusals and internal errors, and shows no internals."""
    for host, code in (("localhost", status), ("evil.example", 421)):
        answered, headers, body = asked("GET", path, {"Host": host}, whole=True)
        assert code == answered
        assert {name.title(): value for name, value in HEADERS.items()}.items() <= headers.items()
        assert b"secret" not in body


async def test_the_policy_allows_our_own_origin_alone(page):
    """The page is served with the strict policy, and holds no inline script, style or foreign address."""
    async with page.web.get("/") as response:
        html = await response.text()

    assert response.headers["Content-Security-Policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'"
    )
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert "nosniff" == response.headers["X-Content-Type-Options"]
    assert all(word not in html for word in ("<style", "style=", "onclick", "http://", "https://"))
    for path in _routes._ASSETS:
        async with page.web.get(path) as response:
            assert 200 == response.status
            assert "innerHTML" not in await response.text()


# The command.


@pytest.fixture
def clean(monkeypatch, tmp_path):
    """An empty working folder, without the settings of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FOXAPI_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("library", ["uvicorn", "fastapi.sse"])
def test_a_missing_extra_is_named(clean, monkeypatch, capsys, library):
    """Without the extra the command says which one to install."""
    for module in [
        name for name in sys.modules if name.startswith(("foxapi_async.page", "foxapi_async.cli._serve"))
    ]:
        monkeypatch.delitem(sys.modules, module)  # else it is there already
    monkeypatch.setitem(sys.modules, library, None)

    assert 3 == main(["serve", "--emulator"])
    assert "foxapi-async[web]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--port", "70000"], 2, "must be a port from 0 to 65535"),
        (["--port", "x"], 2, "must be a port from 0 to 65535"),
        (["--emulator", "--token", "short"], 2, "--token"),
        (["--emulator", "--token", "a token with blanks in it"], 2, "--token"),
        (
            ["--emulator", "--host", "no.such.host.invalid"],
            3,
            "cannot listen at no.such.host.invalid, port 8000: ",
        ),
        ([], 3, "FOXAPI_API_KEY"),
    ],
)
def test_a_wrong_command_line_is_reported(clean, capsys, words, status, message):
    """The error says what is wrong with the command, with the status of its kind."""
    assert status == main(["serve", *words])
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken_is_reported(clean, capsys):
    """A port that another program uses is a configuration error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        assert 3 == main(["serve", "--emulator", "--port", port])
    assert f"port {port}" in capsys.readouterr().err


def answers_at(port):
    """A function that returns whether the page is served at the port."""

    def answers():
        try:
            with urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    return answers


def test_a_server_without_running_tasks_names_none(clean, monkeypatch, capsys):
    """At its end it says nothing of tasks."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with ThreadedEmulator() as emulator:
        point_to(emulator, monkeypatch)
        interrupt_when(answers_at(port), signal.SIGINT)

        assert 130 == main(["serve", "--port", str(port), "--out", "page"])
    assert "running" not in capsys.readouterr().err


class Running:
    """A server in its own process."""

    def __init__(self, *words, emulator=None, stderr="stderr.txt"):
        env = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if emulator is not None:
            env |= {"FOXAPI_API_KEY": emulator.key, "FOXAPI_BASE_URL": emulator.url}
        command = [sys.executable, "-m", "foxapi_async", "serve", "--port", "0", "--out", "page", *words]
        self._errors = Path(stderr).open("w+")  # noqa: SIM115 - `wait` closes it
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=env
        )
        self.url = self.process.stdout.readline().strip()

    def end(self, number):
        """The exit status and the output after a signal."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        code = self.process.wait(30)
        self.process.stdout.close()
        self._errors.seek(0)
        with self._errors:
            return code, self._errors.read()


async def fetched(url, path, **options):
    async with (
        aiohttp.ClientSession() as web,
        web.request(options.pop("method", "GET"), url + path, **options) as response,
    ):
        return await response.json()


def test_a_signal_ends_it_soon_and_reports_what_runs(clean):
    """SIGTERM ends a server with subscribers attached at once; it names the running ids, and how to continue."""
    with ThreadedEmulator(seconds=3600) as emulator:
        server = Running("--token", TOKEN, emulator=emulator)
        url, headers = server.url.partition("?")[0].rstrip("/"), {"Authorization": f"Bearer {TOKEN}"}

        async def use():
            async with aiohttp.ClientSession(url, headers=headers) as web:
                async with web.post("/images", json=FOX) as response:
                    task_id = (await response.json())["id"]
                async with web.get("/changes") as changes, web.get(f"/images/{task_id}/events") as events:
                    await changes.content.readline()
                    await events.content.readline()
                    began = time.monotonic()
                    server.process.send_signal(signal.SIGTERM)
                    await asyncio.gather(changes.read(), events.read())
                    return task_id, began

        task_id, began = asyncio.run(use())
        code, told = server.wait()

    assert 143 == code
    # Not a measurement: waiting for a stream would take 5 s.
    assert time.monotonic() - began < 4
    assert f"1 task still running (and billed): {task_id}" in told
    assert "continue with: foxapi serve --port 0 --out page" in told
    assert TOKEN not in told
    assert "Traceback" not in told


@pytest.mark.thorough
def test_a_killed_server_leaves_its_history(clean):
    """After a kill -9 finished images are shown, submitted tasks continue, and a submit in progress is uncertain."""
    with ThreadedEmulator(seconds=0.05) as emulator:
        server = Running(emulator=emulator)

        async def use():
            async with aiohttp.ClientSession(server.url.rstrip("/")) as web:
                page = SimpleNamespace(web=web)
                await submit(page, prompt="one")
                await card_when(page, "done")
                emulator.add_fault(Fault.hang("submit"))
                sending = asyncio.create_task(submit(page, prompt="two"))
                await until(lambda: 2 == emulator.billed)
                server.end(signal.SIGKILL)
                with pytest.raises(aiohttp.ClientError):
                    await sending

        asyncio.run(use())
        again = Running(emulator=emulator)
        cards = asyncio.run(fetched(again.url, "history"))["cards"]
        again.end(signal.SIGINT)

        assert [("two", "uncertain"), ("one", "done")] == [
            (card["request"]["prompt"], card["state"]) for card in cards
        ]
        assert 2 == emulator.billed


def test_the_emulator_needs_no_key(clean):
    """`--emulator` makes a page without a key; Ctrl-C ends it with 130 and says that nothing was billed."""
    server = Running("--emulator", "--emulator-seconds", "0.1", "-v")
    models = asyncio.run(fetched(server.url, "models?token=of-somebody"))
    code, told = server.end(signal.SIGINT)

    assert len(find_models()) == len(models)
    assert 130 == code
    assert "nothing was billed" in told
    assert "GET /models 200" in told
    assert "of-somebody" not in told


def test_an_emulator_run_and_the_service_stay_apart(clean, capsys):
    """A folder of the emulator's images is refused at the service, in one line."""
    server = Running("--emulator")
    server.end(signal.SIGTERM)
    os.environ["FOXAPI_API_KEY"] = "sk-a-key"
    try:
        assert 2 == main(["serve", "--port", "0", "--out", "page"])
        refusal = capsys.readouterr().err
    finally:
        del os.environ["FOXAPI_API_KEY"]
    assert refusal.endswith("foxapi: page has a batch of the emulator; choose another --out\n")
    assert 2 == refusal.count("\n")


def test_an_emulator_that_was_not_started_ends_nothing(clean, capsys):
    """If the folder is refused, the output does not say that the emulator's tasks end."""
    asyncio.run(left_submitting(Path("page")))

    assert 2 == main(["serve", "--port", "0", "--out", "page", "--emulator"])
    assert (
        "foxapi: page has a batch of the service, not of the emulator; choose another --out"
        == (capsys.readouterr().err.splitlines()[1])
    )


def test_beyond_this_machine_there_is_a_token(clean):
    """At another address than loopback's a token is made, and printed only in the address."""
    server = Running("--emulator", "--host", "0.0.0.0", "--json")
    url = json.loads(server.url)["url"]
    address, _, token = url.partition("/?token=")
    port = address.rpartition(":")[2]
    refused = asyncio.run(fetched(f"http://127.0.0.1:{port}", "/models"))
    told = asyncio.run(
        fetched(f"http://127.0.0.1:{port}", "/models", headers={"Authorization": f"Bearer {token}"})
    )
    _, errors = server.end(signal.SIGTERM)

    assert 43 == len(token)
    assert "token" == refused["error"]["type"]
    assert len(find_models()) == len(told)
    assert token not in errors
    assert "not encrypted" in errors
