"""The transport's replies: without the key, and read within bounds."""

import asyncio
import threading

import aiohttp
import pytest
from helpers import settle

from foxapi_async._http import transport
from foxapi_async._http.credentials import Credentials
from foxapi_async._http.exchange import Exchange
from foxapi_async._http.proxy import Proxy
from foxapi_async._http.transport import Transport
from foxapi_async._wire.requests import Document, Reply


def _transport_with(key):
    return Transport(Credentials(key, "https://fox.example"), Proxy(), connections=1, http=None)


def test_a_key_in_a_reply_is_redacted():
    """If a reply repeats the key, stars replace it, also in its headers."""
    reply = Reply(401, {"X-Echo": "Bearer sk-secret-1"}, b"no such key: sk-secret-1")
    clean = _transport_with("sk-secret-1")._redacted(reply)

    assert ({"X-Echo": "Bearer ***"}, b"no such key: ***") == (dict(clean.headers), clean.body)
    assert b"***" == _transport_with("sk-secret-1")._redacted(Reply(200, {}, b"sk-secret-1")).body


class _Response:
    """A response whose body comes in these pieces. With `ends` it closes itself at its end."""

    def __init__(self, *pieces, ends=True):
        self.status, self.headers, self.closed, self.was_closed = 200, {}, ends, False
        self._pieces = list(pieces)
        self.content = self

    def close(self):
        self.was_closed = True

    def at_eof(self):
        return not self._pieces

    async def readany(self):
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece


async def _read(response, monkeypatch):
    monkeypatch.setattr(transport, "LARGE_BYTES", 10)
    monkeypatch.setattr(transport, "MAX_JSON_BYTES", 20)
    return await _transport_with("sk-secret-1")._read_reply(response, Exchange(10, 60))


@pytest.mark.parametrize("size", [10, 20])
async def test_a_body_that_was_read_to_its_end_leaves_its_connection_open(monkeypatch, size):
    """It has already returned its connection."""
    response = _Response(b"x" * 6, b"y" * (size - 6))
    reply = await _read(response, monkeypatch)

    assert (len(reply.body), reply.whole, response.was_closed) == (size, True, False)


async def test_a_body_beyond_the_limit_is_given_up_with_its_connection(monkeypatch):
    """A body above the limit is too large, and its connection is closed."""
    response = _Response(b"x" * 11, b"y" * 10, b"z", ends=False)
    reply = await _read(response, monkeypatch)

    assert (reply.whole, reply.too_large, response.was_closed) == (False, True, True)


@pytest.mark.parametrize("before", [1, 11], ids=["small", "large"])
async def test_a_body_that_breaks_off_is_not_whole(monkeypatch, before):
    """The read part of a cut body is kept, and it is not too large."""
    reply = await _read(_Response(b"x" * before, aiohttp.ClientPayloadError()), monkeypatch)

    assert (len(reply.body), reply.whole, reply.too_large, reply.document) == (before, False, False, None)


async def test_a_large_body_is_parsed_in_a_thread_of_ours(monkeypatch):
    """Not in the loop's own thread, nor in the default executor, which name look-up needs."""
    threads = []

    def parsed(body):
        threads.append(threading.current_thread().name)
        return Document(5, body, "", too_large=False)

    monkeypatch.setattr(transport, "make_document", parsed)
    reply = await _read(_Response(b"12345678901"), monkeypatch)

    assert (reply.document.value, threads[0].rpartition("_")[0]) == (5, "foxapi-files")


async def test_a_large_body_is_kept_without_the_key(monkeypatch):
    """The key is replaced before the body is parsed."""
    reply = await _read(_Response(b'{"x":"sk-secret-1"}'), monkeypatch)

    assert (reply.body, reply.document.value) == (b'{"x":"***"}', {"x": "***"})


async def test_large_bodies_are_read_one_at_a_time(monkeypatch):
    """A second one waits until the first is parsed; a small one does not."""
    monkeypatch.setattr(transport, "LARGE_BYTES", 10)
    reader, gate, order = _transport_with("sk-1-12345"), asyncio.Event(), []

    class Slow(_Response):
        async def readany(self):
            if len(self._pieces) == 1:
                await gate.wait()
            return await super().readany()

    async def read(name, response):
        await reader._read_reply(response, Exchange(10, 60))
        order.append(name)

    readers = [
        read("first", Slow(b"x" * 11, b"y")),
        read("second", _Response(b"x" * 11)),
        read("small", _Response(b"x")),
    ]
    tasks = [asyncio.create_task(each) for each in readers]
    await tasks[2]
    await settle()
    gate.set()
    await asyncio.gather(*tasks)

    assert order == ["small", "first", "second"]
