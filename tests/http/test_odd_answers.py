"""Odd answers over a real connection: long and many headers, large bodies, and an answer during a blocked loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time

import aiohttp
import pytest
from helpers import fox_request

from foxapi_async import APIError, FoxSession, ResponseDecodeError, RetryPolicy

KEY = "sk-test-12345"


@contextlib.contextmanager
def answering(body=b'{"id":"task-1","status":"processing"}', *headers, on_request=lambda: None):
    """A service in its own thread, which gives each connection this answer and closes it."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Connection: close", *headers]
    answer = "\r\n".join([*lines, "", ""]).encode() + body
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.recv(65536)
                    on_request()
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextlib.asynccontextmanager
async def session(url, *, given):
    """A session with its own connections, or over the user's."""
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession()) if given else None
        yield await stack.enter_async_context(
            FoxSession(KEY, base_url=url, http=http, retry=RetryPolicy(tries=1))
        )


@pytest.mark.parametrize("given", [False, True], ids=["own", "given"])
@pytest.mark.parametrize(
    "headers",
    [[f"X-Long: {'a' * 60_000}"], [f"X-{n}: {n}" for n in range(400)]],
    ids=["a long header", "many headers"],
)
async def test_long_and_many_headers_are_read(headers, given):
    """A header of 60 kB and 400 headers are accepted, also over the user's session."""
    with answering(b'{"id":"task-1","status":"processing"}', *headers) as url:
        async with session(url, given=given) as fox:
            assert (await fox.fetch("task-1")).status == "processing"


async def test_a_status_reply_of_many_megabytes_is_read():
    """A reply with 20 MB of inline results is a snapshot."""
    body = json.dumps(
        {"id": "task-1", "status": "completed", "results": [{"text": "a" * 20_000_000}]}
    ).encode()
    with answering(body) as url:
        async with session(url, given=False) as fox:
            assert len((await fox.fetch("task-1")).raw["results"][0]["text"]) == 20_000_000


async def test_a_reply_beyond_the_limit_names_it():
    """33 MiB are not read."""
    with answering(b'{"status":"x","y":"' + b"a" * 33 * 1024**2 + b'"}') as url:
        async with session(url, given=False) as fox:
            with pytest.raises(ResponseDecodeError, match="larger than 32 MiB"):
                await fox.fetch("task-1")


async def test_a_large_page_is_a_page():
    """A page of 300 kB is the edge's answer, shown by its first words."""
    with answering(b"<title>maintenance</title>" + b" " * 300_000) as url:
        async with session(url, given=False) as fox:
            with pytest.raises(APIError, match="maintenance"):
                await fox.fetch("task-1")


@pytest.mark.parametrize("padding", [0, 500_000], ids=["small", "large"])
async def test_an_answer_that_came_while_the_loop_was_blocked_is_read(padding):
    """The loop is blocked beyond `reply_timeout`: the answer waits in the socket, and its id is not lost."""
    loop, blocked = asyncio.get_running_loop(), threading.Event()
    body = json.dumps({"id": "task-1", "status": "pending", "x": "a" * padding}).encode()

    def block():
        blocked.set()
        time.sleep(0.6)

    def on_request():
        loop.call_soon_threadsafe(block)
        blocked.wait()

    with answering(body, on_request=on_request) as url:
        retry = RetryPolicy(tries=1, reply_timeout=0.3)
        async with FoxSession(KEY, base_url=url, retry=retry) as fox:
            handle = await fox.submit(fox_request())

    assert handle.id == "task-1"
