"""Moves bytes to the API and back. Its callers decide what is sent and repeated.

There are two connectors. Each submit uses a fresh connection (`force_close`). If it used a kept connection that the
server has just closed, the failure would look like a billed request without an answer. Reads keep their connections.
The key is added here, to each API call. It is not a default of any aiohttp session, so a result host never gets it.

A failure is returned as a `Failure` or raised as `ExchangeFailed`, always outside the `except`. aiohttp's
exceptions hold the request's headers, and would otherwise become the context of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from foxapi_async._errors import ConfigurationError
from foxapi_async._hints import Hint
from foxapi_async._http.client_session import (
    AS_IT_COMES,
    NETWORK,
    NO_TIMEOUT,
    USER_AGENT,
    describe,
    hint_for,
    is_of_proxy,
    make_session,
    never_repeat,
)
from foxapi_async._http.credentials import DEFAULT_BASE_URL, Credentials, Redactor, Secret
from foxapi_async._http.exchange import Exchange, ExchangeFailed, ExchangeTimeouts, TimedExchange
from foxapi_async._http.file_client import FileClient
from foxapi_async._http.proxy import Proxy
from foxapi_async._threads import in_thread
from foxapi_async._wire.json_values import MAX_JSON_BYTES, make_document
from foxapi_async._wire.requests import Call, Failure, Headers, Reply

# Larger bodies are read one at a time, so that few of them are in memory. They are parsed in a thread,
# because parsing them would block the loop.
LARGE_BYTES = 256 * 1024


# A status read that takes longer is repeated. The schedule decides when.
READ_SECONDS = 15.0

CLOSE_SECONDS = 1.0


class _Body(aiohttp.BytesIOPayload):
    """A request body that reports when it is handed to the connection.

    aiohttp writes it in pieces. A body with data URIs has megabytes, and aiohttp warns of large `bytes`.
    """

    def __init__(self, value: bytes, hand_over: Callable[[], None]) -> None:
        super().__init__(io.BytesIO(value), content_type="application/json")
        self._hand_over = hand_over

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        # aiohttp refuses to write to a closed connection, so then nothing was sent.
        if writer.transport is not None and not writer.transport.is_closing():
            self._hand_over()
        await super().write_with_length(writer, content_length)


class Transport:
    """The connections of one session, on the event loop where it was opened."""

    def __init__(
        self, credentials: Credentials, proxy: Proxy, *, connections: int, http: aiohttp.ClientSession | None
    ) -> None:
        self._connections = connections
        self._given = http
        self._reads: aiohttp.ClientSession | None = None
        self._submits: aiohttp.ClientSession | None = None
        self._root = credentials.base_url
        self._origin = str(URL(credentials.base_url).origin())
        self._proxy = proxy
        self._options = proxy.options_for(URL(credentials.base_url))
        self._redactor = Redactor(credentials.key)
        self._read_timeouts = ExchangeTimeouts(READ_SECONDS)
        self._large: asyncio.Lock = asyncio.Lock()
        self._headers = CIMultiDict(
            {"User-Agent": USER_AGENT, "Authorization": Secret(f"Bearer {credentials.key}")}
        )
        # A user's session keeps its own middlewares. Ours is the last one, next to the connection.
        given = getattr(http, "_middlewares", None) or ()
        self._middlewares = None if http is None else (*given, never_repeat)

    def open(self) -> None:
        """Make the connectors, on the running loop.

        Raises:
            ConfigurationError: the user's session cannot be used.
        """
        if self._given is not None:
            if self._given.closed or getattr(self._given, "auth", None) is not None:
                raise ConfigurationError(
                    "http= is closed or has its own `auth`: give an open session without `auth`"
                )
            self._reads = self._submits = self._given
            return
        self._reads = make_session(aiohttp.TCPConnector(limit=self._connections))
        self._submits = make_session(aiohttp.TCPConnector(limit=0, force_close=True))

    async def close(self) -> None:
        """Close our own connectors, within a second. A session from the user stays open."""
        sessions = (self._reads, self._submits)
        self._reads = self._submits = None
        if self._given is not None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(session.close() for session in sessions if session is not None))

    def files(self) -> FileClient | None:
        """A client for result files over our connections, without the key; None after `close`."""
        if self._reads is None or self._reads.closed:
            return None
        return FileClient(self._reads, self._proxy, None if self._given is None else (never_repeat,))

    async def read(self, path: str) -> Reply | Failure:
        """The reply to a GET that may be repeated. It uses a kept connection, and takes `READ_SECONDS` at most."""
        return await self._exchange(
            self._reads, "GET", path, self._headers, None, self._read_timeouts.begin()
        )

    async def submit(self, call: Call, exchange: Exchange) -> Reply | Failure:
        """The reply to a billed POST, over its own connection."""
        body = _Body(call.body or b"", exchange.hand_over)
        headers = {**self._headers, **call.headers}
        return await self._exchange(self._submits, "POST", call.path, headers, body, exchange)

    async def upload(self, call: Call, chunks: AsyncIterator[bytes], exchange: Exchange) -> Reply | Failure:
        """The reply to a POST with a streamed body. The call's headers hold its Content-Length."""
        writers: set[asyncio.Task[Any] | None] = set()

        async def noted() -> AsyncIterator[bytes]:
            writers.add(asyncio.current_task())  # aiohttp's own task, which it cancels without waiting for it
            async for chunk in chunks:
                exchange.hand_over()  # each piece renews the time limit of the answer
                yield chunk

        try:
            headers = {**self._headers, **call.headers}
            return await self._exchange(self._submits, "POST", call.path, headers, noted(), exchange)
        finally:
            if writing := [w for w in writers if w is not None and w is not asyncio.current_task()]:
                await asyncio.wait(writing)  # a writer may be in a thread, with the file open

    async def _exchange(
        self,
        session: aiohttp.ClientSession | None,
        method: str,
        path: str,
        headers: Headers,
        body: Any,
        exchange: Exchange | TimedExchange,
    ) -> Reply | Failure:
        hint = None
        try:
            if session is None or session.closed:
                return Failure(reason="the session is closed", sent=False)
            async with exchange.timeout:
                response = await session.request(
                    method,
                    URL(self._root + path, encoded=True),
                    headers=headers,
                    data=body,
                    auto_decompress=True,
                    timeout=NO_TIMEOUT,
                    middlewares=self._middlewares,
                    **AS_IT_COMES,
                    **self._options,
                )
                return await self._read_reply(response, exchange)
        except TimeoutError:
            reason = "no answer in time" if exchange.sent else "no connection in time"
        except ExchangeFailed as error:
            reason = error.reason
        except NETWORK as error:
            reason, hint = describe(error, self._proxy), self._hint_for(error)
        except asyncio.CancelledError as cancelled:
            cancelled.__traceback__ = None  # its frames hold aiohttp's data, or a reply with the key
            raise
        finally:
            exchange.close()  # a scheduled writer must not send a request that is about to be reported as unsent
        return Failure(reason=reason, sent=exchange.sent, hint=hint)

    def _hint_for(self, error: BaseException) -> Hint | None:
        if not isinstance(error, aiohttp.ClientConnectorDNSError) or is_of_proxy(error, self._proxy):
            return hint_for(error, self._proxy)
        return Hint.SERVICE_MOVED if self._root == DEFAULT_BASE_URL else Hint.CHECK_ADDRESS

    async def _read_reply(
        self, response: aiohttp.ClientResponse, exchange: Exchange | TimedExchange
    ) -> Reply:
        """The reply with its body, read in pieces, so that a compressed bomb is noticed while it is small."""
        exchange.note_received()
        pieces: list[bytes] = []
        try:
            whole = await _read(response.content, pieces, exchange, LARGE_BYTES)
            if whole is not None:
                return self._redacted(
                    Reply(response.status, response.headers, b"".join(pieces), whole, origin=self._origin)
                )
            async with self._large:
                whole = await _read(response.content, pieces, exchange, MAX_JSON_BYTES)
                exchange.complete()
                return await in_thread(self._parsed, response.status, response.headers, pieces, whole)
        finally:
            if not response.closed:  # a response that was read to its end has already returned its connection
                response.close()

    def _parsed(self, status: int, headers: Headers, pieces: list[bytes], whole: bool | None) -> Reply:  # noqa: FBT001 - called through in_thread
        """The reply with its large body parsed. Runs in a thread."""
        body = b"".join(pieces)
        reply = self._redacted(Reply(status, headers, body, bool(whole), whole is None, origin=self._origin))
        if not whole:
            return reply
        document = make_document(reply.body)
        return reply._replace(document=document, too_large=document.too_large)

    def _redacted(self, reply: Reply) -> Reply:
        """The reply without our key. An edge's error page may repeat the key, and then every error would hold it."""
        body = self._redactor.data(reply.body)
        if reply.status < 300 and body is reply.body:
            return reply
        headers = CIMultiDict((name, self._redactor.text(value)) for name, value in reply.headers.items())
        return reply._replace(headers=headers, body=body)


async def _read(
    content: aiohttp.StreamReader, pieces: list[bytes], exchange: Exchange | TimedExchange, limit: int
) -> bool | None:
    """Read to the end. Return True; False if the body was cut off; None if it has more than `limit` bytes."""
    size = sum(map(len, pieces))
    try:
        while size <= limit:
            if content.at_eof():
                return True
            pieces.append(await content.readany())
            exchange.note_received()
            size += len(pieces[-1])
    except NETWORK:
        return False
    return None
