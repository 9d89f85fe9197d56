"""`foxapi serve` on a full disk: an id that was answered is kept; another one is named as not kept."""

import asyncio
import contextlib
import functools
import json

import pytest
from apps.asgi import Client
from disks import ScriptedDisk
from helpers import session_at

from foxapi_async import LedgerError
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async.emulator import Emulator, Fault

pytest.importorskip("fastapi.sse", reason="the extra `web` is not installed")
pytest.importorskip("uvicorn", reason="the extra `web` is not installed")

from foxapi_async.page._app import Page
from foxapi_async.page._guard import Gate
from foxapi_async.page._service import PageService

pytestmark = pytest.mark.virtual

FOX = json.dumps({"model": "grok-imagine-image", "prompt": "a red fox"}).encode()
HERE = {"host": "127.0.0.1"}
SENT = {**HERE, "content-length": str(len(FOX))}


async def asked(emulator, folder, disk, *, seconds=0, **full):
    """The answers to three submits whose disk becomes full before their ids come, and the page's history after
    some seconds.
    """
    emulator.add_fault(Fault.slow("submit", 2, times=None))
    with pytest.raises(LedgerError, match="cannot grow"):  # at the end, which reports it
        async with page_on(emulator, folder) as web:
            asyncio.get_running_loop().call_later(1, functools.partial(disk.fill, **full))
            answers = await asyncio.gather(*(web.post("/images", FOX, headers=SENT) for _ in range(3)))
            await asyncio.sleep(seconds)
            history = await web.get("/history", **HERE)
    return answers, history.json["cards"]


@contextlib.asynccontextmanager
async def page_on(emulator, folder):
    """A client of a page in this folder."""
    async with (
        session_at(emulator) as fox,
        PageService.opened(fox, folder) as service,
        Client(Page(service, Gate()).app) as web,
    ):
        yield web


async def ids(folder):
    """The ids in the ledger."""
    async with SqliteLedger.peek(folder / "ledger.sqlite") as ledger:
        return {entry.task_id async for entry in ledger.entries() if entry.task_id}


@pytest.fixture
def disk(monkeypatch):
    """The disk of every database that is opened from now on."""
    return ScriptedDisk().installed(monkeypatch)


async def test_an_answered_id_is_in_the_ledger(disk, tmp_path):
    """If the disk becomes full while submits wait for their answers, each is answered with its id, and the
    ledger has it.
    """
    async with Emulator(seconds=60) as emulator:
        answers, _ = await asked(emulator, tmp_path, disk)
        billed = set(emulator.tasks)

    assert ({answer.status for answer in answers}, {answer.json["id"] for answer in answers}) == (
        {202},
        billed,
    )
    assert await ids(tmp_path) == billed


async def test_an_id_that_is_not_kept_is_named(disk, tmp_path, caplog):
    """If no space is left at all, the answer is a 507 with the id, and the log has the id too."""
    async with Emulator(seconds=60) as emulator:
        answers, _ = await asked(emulator, tmp_path, disk, uses_reserve=False)
        billed = set(emulator.tasks)

    assert {(answer.status, answer.error["type"]) for answer in answers} == {(507, "not_kept")}
    assert {answer.error["id"] for answer in answers} == billed
    assert all(answer.error["id"] in answer.error["message"] for answer in answers)
    assert {record.task_id for record in caplog.records if record.event == "id_unkept"} == billed


async def test_an_id_that_is_kept_later_can_be_continued(disk, tmp_path):
    """An id that finds space later is in the ledger. Its card says that the server has stopped waiting for it."""
    async with Emulator(seconds=60) as emulator:
        asyncio.get_running_loop().call_later(20, disk.free)
        _, cards = await asked(emulator, tmp_path, disk, seconds=30, uses_reserve=False)
        billed = set(emulator.tasks)

    assert {card["id"] for card in cards} == billed
    assert all("cannot grow" in card["fault"] for card in cards)


@pytest.mark.thorough
async def test_the_next_server_continues(disk, tmp_path):
    """With space again the next server on the folder waits for the tasks, and bills nothing again."""
    async with Emulator(seconds=60) as emulator:
        await asked(emulator, tmp_path, disk)
        disk.free()
        async with page_on(emulator, tmp_path) as web:
            await asyncio.sleep(400)
            history = await web.get("/history", **HERE)

    assert ([card["state"] for card in history.json["cards"]], emulator.billed) == (["done"] * 3, 3)


async def test_a_full_disk_sends_nothing(disk, tmp_path):
    """A submit on a disk that was full before is refused, and nothing is sent."""
    async with Emulator(seconds=60) as emulator:
        with pytest.raises(LedgerError, match="cannot grow"):
            async with page_on(emulator, tmp_path) as web:
                disk.fill()
                answer = await web.post("/images", FOX, headers=SENT)

    assert (answer.status, emulator.billed) == (500, 0)
