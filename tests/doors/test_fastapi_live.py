"""The routes in real processes: uvicorn, a client that reads SSE over sockets, and the service's own count."""

import asyncio
import collections
import contextlib

import aiohttp
import pytest
from aiohttp import web as web_
from file_hosts import PICTURE, TASK, Host
from helpers import let_end, polls

from foxapi_async.emulator import Fault, ThreadedEmulator, _images

pytest.importorskip("fastapi.sse", reason="needs the extra fastapi")
pytest.importorskip("uvicorn", reason="needs uvicorn")

from apps.asgi import Event
from apps.served import PATIENCE, serving

# Here the app runs in its own processes. Other tests run it in theirs, and reach the same lines.
pytestmark = pytest.mark.thorough

A_FOX = {"model": "grok-imagine-image", "prompt": "a red fox"}


@pytest.fixture(autouse=True)
def quick_painting(monkeypatch):
    """The service answers with few bytes: painting would take more time than all else here."""
    monkeypatch.setattr(_images, "render", lambda picture: b"\xff\xd8\xff" + picture.prompt.encode())


@pytest.fixture
async def web():
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(PATIENCE)) as web:
        yield web


async def submitted(web, server):
    """The path of a new task."""
    async with web.post(f"{server.url}/images", json=A_FOX) as response:
        assert 202 == response.status, await response.text()
        return response.headers["location"]


async def stream(web, url, last_id=""):
    """The events of one stream, as they come."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with web.get(url, headers=headers) as response:
        assert 200 == response.status
        while block := await until_blank(response.content):
            if (event := Event.of(block)).kind:
                yield event


async def until_blank(content):
    """The lines up to a blank one; nothing at the end of the stream."""
    lines = []
    while (line := (await content.readline()).decode()).strip():
        lines.append(line)
    return "".join(lines)


async def whole(web, url, last_id=""):
    return [event async for event in stream(web, url, last_id)]


async def result(web, server, path):
    async with web.get(f"{server.url}{path}/result?wait=60") as response:
        assert 200 == response.status
        return await response.json()


async def test_two_hundred_readers_of_fifty_tasks(web):
    """Four readers on each of fifty tasks all see the end, with no more polls than for fifty tasks without
    readers.
    """
    with ThreadedEmulator(seconds=1.5, faults=[Fault.never_finishes(times=None)]) as service:
        async with serving(service) as server:
            paths = await asyncio.gather(*(submitted(web, server) for _ in range(100)))
            ends = asyncio.gather(*(result(web, server, path) for path in paths))
            browsers = [Browser(web, path) for path in paths[::2] for _ in range(4)]
            streams = asyncio.gather(*(browser.read(server) for browser in browsers))
            # A reader that comes after a task's end polls by itself, so no task ends before all readers are there.
            await asyncio.gather(*(browser.begun.wait() for browser in browsers))
            let_end(service)
            await streams
            await ends

    asked = collections.Counter(record.path.rpartition("/")[2] for record in polls(service))
    shared, alone = (
        sum(asked[path.rpartition("/")[2]] for path in half) for half in (paths[::2], paths[1::2])
    )
    assert ["final"] * 200 == [browser.seen[-1].kind for browser in browsers]
    # The moments are random. If each reader polled by itself, this would be five times as many.
    assert 1.25 * alone > shared


async def test_clients_that_disconnect(web):
    """Readers that break off their connection disturb neither the other readers nor the server."""
    with ThreadedEmulator(seconds=1.5) as service:
        async with serving(service) as server:
            path = await submitted(web, server)
            url = f"{server.url}{path}/events"
            stayers = asyncio.gather(*(whole(web, url) for _ in range(10)))
            for _ in range(10):
                async with contextlib.aclosing(stream(web, url)) as leaver:
                    await anext(leaver)
            read = await stayers
            server.terminate()
            err = await server.ended()

    assert ["final"] * 10 == [events[-1].kind for events in read]
    assert "tasks unfinished" not in err


class Browser:
    """Follows a task like an EventSource: after each stream it returns with the last id, until there is no more."""

    def __init__(self, web, path):
        self._web = web
        self._path = path
        self.seen = []
        self.begun = asyncio.Event()

    async def read(self, server):
        """One stream, to its end."""
        last_id = self.seen[-1].id if self.seen else ""
        async for event in stream(self._web, f"{server.url}{self._path}/events", last_id):
            self.seen.append(event)
            self.begun.set()

    @property
    def finished(self):
        return self.seen[-1].kind == "final"


async def test_a_rolling_restart(web):
    """A server that gets a signal ends with streams open, and names its tasks; another continues with all,
    billed once.
    """
    with ThreadedEmulator(seconds=2, faults=[Fault.never_finishes()]) as service:
        async with serving(service) as old, serving(service) as new:
            stuck = await submitted(web, old)
            waiting = asyncio.create_task(web.get(f"{old.url}{stuck}/result?wait=300"))
            paths = await asyncio.gather(*(submitted(web, old) for _ in range(10)))
            browsers = [Browser(web, path) for path in [stuck, *paths]]
            streams = asyncio.gather(*(browser.read(old) for browser in browsers))
            await asyncio.gather(*(browser.begun.wait() for browser in browsers))
            old.terminate()
            await streams
            log = await old.ended()
            left = [browser for browser in browsers[1:] if not browser.finished]
            await asyncio.gather(*(browser.read(new) for browser in left))

    assert 504 == (await waiting).status
    assert ["progress"] == [event.kind for event in browsers[0].seen[-1:]]
    assert stuck.rpartition("/")[2] in log
    assert all(browser.finished for browser in browsers[1:])
    assert 11 == service.billed


@pytest.mark.parametrize("length", [str(len(PICTURE)), None])
async def test_a_file_that_breaks_off_is_one_warning(web, length):
    """The client sees that the file is not whole, and the server's log has no traceback."""

    async def answer(request):
        response = web_.StreamResponse(headers={"Content-Length": length} if length else {})
        if not length:
            response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(PICTURE[:5000])
        await broken.wait()
        request.transport.close()
        return response

    broken = asyncio.Event()
    async with Host(answer, ["/fox"]) as host:
        host.key = "sk-the-key-of-these-tests"
        async with serving(host) as server:
            async with web.get(f"{server.url}/images/{TASK}/files/1") as response:
                assert (200, length) == (response.status, response.headers.get("Content-Length"))
                assert PICTURE[:5000] == await response.content.readexactly(5000)
                broken.set()
                with pytest.raises(aiohttp.ClientPayloadError):
                    await response.read()
            server.terminate()
            output = await server.ended()

    assert 1 == output.count("was cut off after 5000 bytes")
    assert "Traceback" not in output
