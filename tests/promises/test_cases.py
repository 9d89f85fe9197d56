"""Replies that real services gave for completed tasks: what a batch keeps of each."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import attrs
import pytest
from aiohttp import web
from scripted import serving

from foxapi_async import Batch, FoxSession
from foxapi_async._ledger.entry import ItemState

pytestmark = pytest.mark.virtual

CASES = Path(__file__).parents[1] / "cases"
HOST = "https://files.example.com"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
IMAGE = SIGNATURE + b"the rest"


@attrs.define
class Service:
    """Answers one submit and its polls by a case, and serves its files.

    Attributes:
        case: the replies. The host of their files is this service.
        url: its address.
        keys: whether each request for a file had the key.
    """

    case: dict
    url: str = ""
    keys: list[bool] = attrs.field(factory=list)

    async def answer(self, request):
        """Answer by the case."""
        if request.path.endswith(".png"):
            self.keys.append("Authorization" in request.headers)
            return web.Response(body=IMAGE, content_type="image/png")
        polls = self.case["polls"]
        status, body = self.case["submit"] if request.method == "POST" else polls[0]
        if request.method == "GET" and len(polls) > 1:
            polls.pop(0)
        return web.Response(
            text=json.dumps(body).replace(HOST, self.url), status=status, content_type="application/json"
        )


@contextlib.asynccontextmanager
async def playing(name):
    """The running service of a case."""
    service = Service(json.loads((CASES / f"{name}.json").read_text()))
    async with serving(service.answer) as service.url:
        yield service


async def made(name, out):
    """The batch of one item against a case, the line of its manifest, and the service."""
    async with playing(name) as service, FoxSession("sk-test-12345", base_url=service.url) as fox:
        request = {"model": "grok-imagine-image", "prompt": "a fox", **service.case.get("request", {})}
        batch = Batch([request], out)
        async for _ in batch.run(fox):
            pass
    (line,) = map(json.loads, (out / "manifest.jsonl").read_text().splitlines())
    return batch, line, service


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("completed_addresses_as_strings", IMAGE),
        ("completed_b64_json", SIGNATURE),
        ("completed_data_uri", SIGNATURE),
        ("completed_relative_address", IMAGE),
        ("completed_result_data", IMAGE),
        ("fewer_than_asked", IMAGE),
    ],
)
async def test_every_form_of_a_result_is_a_file(name, image, tmp_path):
    """The item is done, and its one file has the bytes of the result. No file is fetched with the key."""
    batch, line, service = await made(name, tmp_path)

    assert 1 == batch.tally[ItemState.DONE]
    assert [image] == [(tmp_path / file["path"]).read_bytes() for file in line["files"]]
    assert True not in service.keys


async def test_spend_is_what_the_task_used(tmp_path):
    """The sister gateway says what was used, and less than it reserved."""
    batch, line, _ = await made("completed_addresses_as_strings", tmp_path)

    assert (1.783, 1.783) == (line["credits"], batch.spent)


async def test_images_that_are_missing_are_counted(tmp_path, caplog):
    """One of four images: the line and the log say that three are missing."""
    _, line, _ = await made("fewer_than_asked", tmp_path)

    assert 3 == line["missing"]
    assert "gave 1 of 4 images, and the rest did not come" in caplog.text


async def test_nothing_readable_is_kept_as_it_came(tmp_path):
    """The item was made and is not saved. The manifest has the raw results, and that they are billed."""
    batch, line, _ = await made("completed_nothing_readable", tmp_path)

    assert 1 == batch.tally[ItemState.UNSAVED]
    assert ([{"ok": True}], "UnreadableResultError", "yes") == (
        line["results"],
        line["error"]["code"],
        line["error"]["charged"],
    )
