"""The route that streams a result file to a browser."""

import asyncio
import re

import pytest
from aiohttp import web
from apps.asgi import Client, make_app
from file_hosts import PICTURE, TASK, Host, broken_off, by_path, reply
from helpers import now

from foxapi_async import DownloadError
from foxapi_async._files import downloads
from foxapi_async.emulator import Emulator
from foxapi_async.fastapi._files import SLOWEST_CLIENT

pytestmark = pytest.mark.virtual

KEY = "sk-the-key-of-these-tests"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
PATH = f"/images/{TASK}/files/1"


def app_of(host):
    """An app whose service is the host."""
    host.key = KEY
    return make_app(host)


def body_of(answer):
    return b"".join(chunk for _, chunk in answer.chunks)


async def asked(answer_of_host, path=PATH, **headers):
    """The answer of the app, and the host that it asked."""
    async with Host(answer_of_host, ["/fox"]) as host, Client(app_of(host)) as client:
        return await client.get(path, **headers), host


async def test_a_file_comes_as_it_is_and_without_the_key():
    """The answer has the bytes, the type and a name; the host of the file gets no key."""
    answer, host = await asked(by_path(fox=PICTURE))

    assert (200, PICTURE) == (answer.status, body_of(answer))
    assert "image/png" == answer.headers["content-type"]
    assert f'inline; filename="{TASK}-1.png"' == answer.headers["content-disposition"]
    assert "private, max-age=86400" == answer.headers["cache-control"]
    assert "content-length" not in answer.headers  # it is not known before the end
    assert ["/fox"] == host.paths
    assert KEY not in str(host.asked[0].headers)


@pytest.mark.parametrize(
    ("content", "kind", "way"),
    [
        (b"\xff\xd8\xff" + bytes(20), "image/jpeg", "inline"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(600), "video/mp4", "inline"),
        (b"RIFF\x00\x00\x00\x00WAVE" + bytes(20), "audio/wav", "inline"),
        (SVG, "image/svg+xml", "attachment"),
        (b"%PDF-1.7" + bytes(20), "application/pdf", "attachment"),
        (b"\x00\x01\x02", "application/octet-stream", "attachment"),
    ],
)
async def test_no_file_runs_scripts_on_the_address_of_the_app(content, kind, way):
    """A browser takes the type as it is said, runs nothing in it, and only saves what is not an image, video or sound."""
    answer, _ = await asked(by_path(fox=content))

    assert (content, kind) == (body_of(answer), answer.headers["content-type"])
    assert way == answer.headers["content-disposition"].partition(";")[0]
    assert "nosniff" == answer.headers["x-content-type-options"]
    assert "sandbox; default-src 'none'" == answer.headers["content-security-policy"]


async def test_a_web_page_is_no_file():
    """A web page in place of the file is 502, and none of it is passed on."""
    answer, _ = await asked(by_path(fox=b"<!doctype html><script>alert(1)</script>" + b" " * 600))

    assert (502, "no_file", TASK) == (answer.status, answer.error["type"], answer.error["id"])
    assert "script" not in answer.text


async def test_a_file_that_is_gone(caplog):
    """A file that its host does not have any more is 502; the log has the reason, and the client does not."""
    answer, host = await asked(by_path())

    assert (502, "no_file") == (answer.status, answer.error["type"])
    assert host.url not in answer.text
    assert "HTTP 404" in caplog.text


async def test_a_file_in_the_reply_itself():
    """A file that the service gives as a `data:` address is decoded."""
    data = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
    async with Host(by_path(), [data]) as host, Client(app_of(host)) as client:
        answer = await client.get(PATH)

    assert ("image/gif", b"GIF89a") == (answer.headers["content-type"], body_of(answer)[:6])


@pytest.mark.parametrize(("n", "status", "kind"), [("2", 404, "not_found"), ("0", 422, "invalid_request")])
async def test_numbers_count_from_one(n, status, kind):
    """A number that the task does not have is 404, and one below 1 is 422."""
    answer, host = await asked(by_path(fox=PICTURE), f"/images/{TASK}/files/{n}")

    assert (status, kind) == (answer.status, answer.error["type"])
    assert [] == host.paths


async def test_a_task_that_has_not_ended():
    """A file that is not there yet is 504 with the id, at once."""
    async with Emulator(seconds=100) as emulator, Client(make_app(emulator)) as client:
        sent = await client.post("/images", {"model": "grok-imagine-image", "prompt": "a fox"})
        when = now()
        answer = await client.get(f"{sent.headers['location']}/files/1")

        assert (504, sent.json["id"]) == (answer.status, answer.error["id"])
        assert when == pytest.approx(now(), abs=0.5)


async def test_a_download_that_breaks_off_is_resumed():
    """If the host can send the rest alone, the client does not notice a break."""

    async def answer(request):
        if "Range" not in request.headers:
            return await broken_off(request, PICTURE[:5000], '"one"')
        rest = {"ETag": '"one"', "Content_Range": f"bytes 5000-{len(PICTURE) - 1}/{len(PICTURE)}"}
        return reply(PICTURE[5000:], 206, **rest)

    answer, host = await asked(answer)

    assert PICTURE == body_of(answer)
    assert [None, "bytes=5000-"] == [request.headers.get("Range") for request in host.asked]


async def test_a_client_sees_that_a_file_broke_off():
    """If a file breaks off for good, the connection ends without the end of a body: no client takes it for whole."""

    async def answer(request):
        return await broken_off(request, PICTURE[:5000], "no mark")

    async with Host(answer, ["/fox"]) as host, Client(app_of(host)) as client:
        request = client.start("GET", PATH)
        await asyncio.wait([request.finished])

    assert isinstance(request.finished.exception().__cause__, DownloadError)
    assert (200, False) == (request.answer.status, request.answer.done)


class Endless:
    """A file host that sends without end, and counts what it could send."""

    def __init__(self):
        self.sent = 0
        self.ended = asyncio.Event()

    async def __call__(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            await response.write(PICTURE)
            while True:
                await response.write(bytes(65536))
                self.sent += 65536
        except (ConnectionError, asyncio.CancelledError):
            self.ended.set()
            raise


async def test_a_file_is_not_fetched_faster_than_it_is_read():
    """A client that reads nothing is sent nothing more: memory stays bounded. After a minute its connection is broken."""
    endless = Endless()
    async with Host(endless, ["/fox"]) as host, Client(app_of(host)) as client:
        taken = []

        async def stalled(message):
            taken.append(message)
            if message.get("body"):
                await asyncio.Event().wait()

        request = client.start("GET", PATH, send=stalled)
        await asyncio.sleep(SLOWEST_CLIENT / 2)
        half = endless.sent
        await asyncio.wait([request.finished])
        await endless.ended.wait()

    assert half == endless.sent
    assert half < 32 * 1024 * 1024  # what the buffers of two sockets hold
    assert isinstance(request.finished.exception(), TimeoutError)
    assert 2 == len(taken)


async def test_a_client_that_leaves_ends_the_download():
    """If the client disconnects, nothing more is fetched."""
    endless = Endless()
    async with Host(endless, ["/fox"]) as host, Client(app_of(host)) as client:
        begun = asyncio.Event()

        async def send(message):
            if message.get("body"):
                begun.set()

        request = client.start("GET", PATH, send=send)
        await begun.wait()
        request.leave()
        await request.finished
        await endless.ended.wait()


async def test_a_file_has_a_most_size(monkeypatch):
    """A file larger than the limit of downloads breaks off there."""
    monkeypatch.setattr(downloads, "MAX_FILE_BYTES", len(PICTURE) + 100_000)
    async with Host(Endless(), ["/fox"]) as host, Client(app_of(host)) as client:
        request = client.start("GET", PATH)
        await asyncio.wait([request.finished])

    assert re.search("larger than", str(request.finished.exception().__cause__))
    assert len(body_of(request.answer)) <= len(PICTURE) + 100_000
