"""The route that streams a result file to a browser."""

import asyncio

import pytest
from aiohttp import web
from apps.asgi import Client, make_app
from file_hosts import PICTURE, TASK, Host, broken_off, by_path, reply
from helpers import now

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
    assert str(len(PICTURE)) == answer.headers["content-length"]
    assert "accept-ranges" not in answer.headers  # its host does not say so
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


@pytest.mark.thorough
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


def parts_of(content, kind="image/png"):
    """A host that sends parts of the content, as RFC 9110 says, and says so."""

    async def answer(request):
        headers = {"Accept_Ranges": "bytes", "ETag": '"one"', "Content_Type": kind}
        wanted = request.http_range
        if wanted.start is None and wanted.stop is None:
            return reply(content, **headers)
        first, stop, _ = wanted.indices(len(content))
        return reply(
            content[first:stop], 206, **headers, Content_Range=f"bytes {first}-{stop - 1}/{len(content)}"
        )

    return answer


VIDEO = b"\x00\x00\x00\x18ftypisom" + bytes(range(256)) * 10
END = len(VIDEO) - 1


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-", 0, END),
        ("bytes=0-1", 0, 1),
        ("bytes=600-699", 600, 699),
        ("bytes=2000-", 2000, END),
        ("Bytes= 2000-99999 ", 2000, END),
        ("bytes=-10", END - 9, END),
        ("bytes=-99999", 0, END),
    ],
)
async def test_a_part_of_a_file(wanted, first, last):
    """A browser that seeks in a video gets the bytes that it asks for, with the type that the first bytes show."""
    answer, host = await asked(parts_of(VIDEO, "text/html"), range=wanted)

    assert (206, VIDEO[first : last + 1]) == (answer.status, body_of(answer))
    assert f"bytes {first}-{last}/{len(VIDEO)}" == answer.headers["content-range"]
    assert str(last + 1 - first) == answer.headers["content-length"]
    assert ("bytes", "video/mp4") == (answer.headers["accept-ranges"], answer.headers["content-type"])
    assert ["bytes=0-511", f"bytes={first}-{last}"] == host.ranges
    assert KEY not in str([request.headers for request in host.asked])


async def test_a_part_of_a_short_file():
    """The first bytes of a short file are all of it, and the type of a part still comes from them."""
    answer, _ = await asked(parts_of(b"GIF89a" + b"<html>"), range="bytes=6-")

    assert (206, b"<html>", "image/gif") == (answer.status, body_of(answer), answer.headers["content-type"])


async def test_a_host_says_that_it_sends_parts():
    """A client that asks for the whole file learns that it may ask for parts."""
    answer, _ = await asked(parts_of(VIDEO))

    assert (200, "bytes") == (answer.status, answer.headers["accept-ranges"])


@pytest.mark.parametrize("wanted", ["bytes=3000-", "bytes=99999-100000", "bytes=-0"])
async def test_a_part_that_the_file_does_not_have(wanted):
    """Bytes after the end are 416, with the length of the file."""
    answer, _ = await asked(parts_of(VIDEO), range=wanted)

    assert (416, "no_such_part") == (answer.status, answer.error["type"])
    assert f"bytes */{len(VIDEO)}" == answer.headers["content-range"]


@pytest.mark.parametrize(
    "wanted", ["bytes=5-1", "bytes=-", "bytes=0-1,5-6", "lines=1-2", f"bytes={'9' * 19}-", "bytes=a-b"]
)
async def test_a_range_that_is_not_valid(wanted):
    """It counts for nothing, and so do several ranges: the whole file comes."""
    answer, host = await asked(parts_of(VIDEO), range=wanted)

    assert (200, VIDEO, [None]) == (answer.status, body_of(answer), host.ranges)


async def test_a_range_of_another_version():
    """No answer names a version, so a client that has one has it from elsewhere: the whole file comes."""
    answer, host = await asked(parts_of(VIDEO), range="bytes=5-", if_range='"one"')

    assert (200, [None]) == (answer.status, host.ranges)


@pytest.mark.parametrize("length", [100, len(PICTURE)])
async def test_a_host_that_sends_no_parts(length):
    """The whole file comes, and the answer does not promise parts."""
    answer, host = await asked(by_path(fox=PICTURE[:length]), range="bytes=50-")

    assert (200, PICTURE[:length]) == (answer.status, body_of(answer))
    assert "accept-ranges" not in answer.headers
    assert ["bytes=0-511", None] == host.ranges


async def test_a_host_that_does_not_say_the_length():
    """Without the length, the parts of a file cannot be named: the whole file comes."""

    async def answer(request):
        if "Range" in request.headers:
            return reply(PICTURE[:512], 206, Content_Range="bytes 0-511/*")
        return reply(PICTURE)

    answer, _ = await asked(answer, range="bytes=50-")

    assert (200, PICTURE) == (answer.status, body_of(answer))


async def test_a_part_of_a_web_page_is_no_file():
    """The type is checked by the first bytes, whatever the part is."""
    page = b"<!doctype html><script>alert(1)</script>" + b" " * 600 + PICTURE
    answer, host = await asked(parts_of(page, "image/png"), range="bytes=600-")

    assert (502, "no_file", 1) == (answer.status, answer.error["type"], len(host.asked))


async def test_a_part_of_a_file_that_has_changed():
    """A part of a file that has another length by then is not passed on."""

    async def answer(request):
        more = b"" if request.headers["Range"] == "bytes=0-511" else b"x"
        return await parts_of(VIDEO + more)(request)

    answer, _ = await asked(answer, range="bytes=600-")

    assert (502, "no_file") == (answer.status, answer.error["type"])


async def test_a_host_that_sends_parts_only_at_the_beginning():
    """A whole file in place of a later part is not passed on as the part."""

    async def answer(request):
        if request.headers["Range"] == "bytes=0-511":
            return await parts_of(VIDEO)(request)
        return reply(VIDEO)

    answer, _ = await asked(answer, range="bytes=600-")

    assert (502, "no_file") == (answer.status, answer.error["type"])


async def test_a_part_that_breaks_off_is_resumed():
    """The rest of a part is asked for, and no more."""

    async def answer(request):
        if request.headers["Range"] != "bytes=600-9999":
            return await parts_of(PICTURE)(request)
        headers = {
            "Content-Range": f"bytes 600-9999/{len(PICTURE)}",
            "ETag": '"one"',
            "Content-Length": "9400",
        }
        response = web.StreamResponse(status=206, headers=headers)
        await response.prepare(request)
        await response.write(PICTURE[600:5000])
        await asyncio.sleep(1)
        request.transport.close()
        return response

    answer, host = await asked(answer, range="bytes=600-9999")

    assert (206, PICTURE[600:10000]) == (answer.status, body_of(answer))
    assert ["bytes=0-511", "bytes=600-9999", "bytes=5000-9999"] == host.ranges
    assert '"one"' == host.asked[-1].headers["If-Range"]


async def test_only_the_headers():
    """HEAD gives the headers of the whole file, and no byte of it."""
    async with Host(parts_of(VIDEO), ["/fox"]) as host, Client(app_of(host)) as client:
        answer = await client.ask("HEAD", PATH, headers={"range": "bytes=0-5"})

    assert (200, b"", True) == (answer.status, body_of(answer), answer.done)
    assert (str(len(VIDEO)), "bytes") == (answer.headers["content-length"], answer.headers["accept-ranges"])


async def test_the_emulator_sends_parts():
    """A video of the emulator can be sought."""
    async with Emulator() as emulator, Client(make_app(emulator, models=["sora-2"])) as client:
        sent = await client.post("/generations", {"model": "sora-2", "prompt": "a fox runs"})
        await client.get(f"{sent.headers['location']}/result?wait=300")
        answer = await client.get(f"{sent.headers['location']}/files/1", range="bytes=4-7")

    assert (206, b"ftyp") == (answer.status, body_of(answer))


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


async def test_a_client_sees_that_a_file_broke_off(caplog):
    """If a file breaks off for good, the connection ends without the end of a body: no client takes it for whole.

    The log has one line about it.
    """

    async def answer(request):
        return await broken_off(request, PICTURE[:5000], "no mark")

    async with Host(answer, ["/fox"]) as host, Client(app_of(host)) as client:
        request = client.start("GET", PATH)
        await asyncio.wait([request.finished])

    assert None is request.finished.exception()
    assert (200, False) == (request.answer.status, request.answer.done)
    [record] = [record for record in caplog.records if record.name == "foxapi_async"]
    assert ("WARNING", "file_cut_off") == (record.levelname, record.event)
    assert (
        "cut off after 5000 bytes: task task-unified-1: cannot download: it was cut off"
        in record.getMessage()
    )


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


async def test_a_file_is_not_fetched_faster_than_it_is_read(caplog):
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
    assert None is request.finished.exception()
    assert "the client took nothing for 60 s" in caplog.text
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


async def test_a_file_has_a_most_size(monkeypatch, caplog):
    """A file larger than the limit of downloads breaks off there."""
    monkeypatch.setattr(downloads, "MAX_FILE_BYTES", len(PICTURE) + 100_000)
    async with Host(Endless(), ["/fox"]) as host, Client(app_of(host)) as client:
        request = client.start("GET", PATH)
        await asyncio.wait([request.finished])

    assert "larger than" in caplog.text
    assert not request.answer.done
    assert len(body_of(request.answer)) <= len(PICTURE) + 100_000
