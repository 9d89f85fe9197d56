"""Moves bytes. The only module besides the emulator that knows aiohttp; it decides nothing.

Two connectors: submits go over a fresh connection each (`force_close`), because a kept one may just have been
closed by the server, which looks exactly like a billed request that got no answer; reads keep theirs. The key
is added here, to each API call, and is in no session's defaults: a result host never sees it.

What went wrong is returned as a `Failure` or raised as `Broken`, always outside the `except`: aiohttp's
exceptions hold the request's headers, and would otherwise travel along as the context of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from foxapi_async._errors import ConfigurationError
from foxapi_async._settings import Account
from foxapi_async._version import __version__
from foxapi_async._wire import Call, Failure, Reply

# A status reply has some hundred bytes, one with inline text results some hundred kB. Reading one blocks the loop, and
# a hostile one of this size does so for a fifth of a second.
MAX_JSON_BYTES = 1024 * 1024

CLOSE_SECONDS = 1.0

MAX_HOPS = 5

# aiohttp rounds limits above 5 s up to whole seconds and ends every download at 300 s: ours are asyncio's.
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)

# Default agents such as Python-urllib's are refused by the service's edge (403, "error code: 1010").
USER_AGENT = f"foxapi-async/{__version__} python/{platform.python_version()}"

_NETWORK = (aiohttp.ClientError, OSError)


class Broken(Exception):  # noqa: N818 - a signal inside the package, never a user's error
    """A connection that could not be had or broke: `reason` says how, without secrets; `final` ones stay broken."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class Scope:
    """The time of one exchange, and whether its request was handed over to the connection.

    That is noted when it happens, because no exception tells: `TimeoutError` and `ServerDisconnectedError` both
    occur before and after sending.

    Args:
        connect: seconds until the request must have gone out.
        reply: seconds from there until the answer must be in.
    """

    def __init__(self, connect: float, reply: float) -> None:
        self.sent = False
        self._revoked = False
        self._reply = reply
        self._loop = asyncio.get_running_loop()
        self._last = float("inf")
        self.timeout = asyncio.timeout_at(self._loop.time() + connect)

    @classmethod
    def whole(cls, seconds: float) -> Scope:
        """The time of an exchange of which it does not matter what was sent."""
        scope = cls(seconds, seconds)
        scope.sent = True
        return scope

    def hand_over(self) -> None:
        """Note that bytes of the request are about to go out.

        Raises:
            Broken: they may not any more; what is buffered so far never leaves.
        """
        if self._revoked:
            raise Broken("given up before it was sent")
        self.sent = True
        self._move(self._loop.time() + self._reply)

    def end_by(self, when: float) -> None:
        """Let the exchange, which was sent, end at `when` (loop time) at the latest."""
        self._last = when
        self._move(self.timeout.when() or when)

    def _move(self, when: float) -> None:
        if not self.timeout.expired():  # pragma: no branch - it expires in this very turn
            self.timeout.reschedule(min(when, self._last))

    def revoke(self) -> bool:
        """Take the request back; whether that was in time. Then it is certain that nothing is sent.

        Cancelling alone is not enough: aiohttp writes in a task of its own, which may have been scheduled already.
        """
        self._revoked = not self.sent
        return self._revoked


class _Body(aiohttp.BytesPayload):
    """A request body that tells when it is handed to the connection."""

    def __init__(self, value: bytes, hand_over: Callable[[], None]) -> None:
        super().__init__(value, content_type="application/json")
        self._hand_over = hand_over

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        self._hand_over()
        await super().write_with_length(writer, content_length)


async def _never_repeat(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> Any:
    """Keep aiohttp from sending a GET again on its own when a kept connection was dropped: one layer retries."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        reason = describe(error)
    raise Broken(reason)


class Transport:
    """The connections of one session, within the event loop it was opened on."""

    def __init__(self, account: Account, *, connections: int, http: aiohttp.ClientSession | None) -> None:
        self._connections = connections
        self._given = http
        self._reads: aiohttp.ClientSession | None = None
        self._submits: aiohttp.ClientSession | None = None
        self._root = account.base_url
        self._key = account.key
        self._headers = {"User-Agent": USER_AGENT, "Authorization": f"Bearer {account.key}"}
        # A session that was brought along keeps its own middlewares: ours stands next to the wire.
        self._middlewares = (*(getattr(http, "_middlewares", None) or ()), _never_repeat)

    def open(self) -> None:
        """Make the connectors, on the running loop.

        Raises:
            ConfigurationError: the session that was brought along cannot be used.
        """
        if self._given is not None:
            if self._given.closed or getattr(self._given, "auth", None) is not None:
                raise ConfigurationError(
                    "http= is closed or has an `auth` of its own: give an open session without"
                )
            self._reads = self._submits = self._given
            return
        self._reads = make_session(aiohttp.TCPConnector(limit=self._connections))
        self._submits = make_session(aiohttp.TCPConnector(limit=0, force_close=True))

    async def close(self) -> None:
        """Close our own connectors, within a second; a session that was brought along stays open."""
        sessions = (self._reads, self._submits)
        self._reads = self._submits = None
        if self._given is not None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(session.close() for session in sessions if session is not None))

    def files(self) -> FileClient | None:
        """Fetches result files over our connections, without the key; None once closed."""
        return None if self._reads is None or self._reads.closed else FileClient(self._reads)

    async def read(self, call: Call, scope: Scope) -> Reply | Failure:
        """A GET that may be repeated, over a connection that is kept; it is bounded as a whole (`Scope.whole`)."""
        return await self._attempt(self._reads, call, None, scope)

    async def submit(self, call: Call, scope: Scope) -> Reply | Failure:
        """A billed POST, over a connection of its own."""
        return await self._attempt(self._submits, call, _Body(call.body or b"", scope.hand_over), scope)

    async def upload(self, call: Call, chunks: AsyncIterator[bytes], scope: Scope) -> Reply | Failure:
        """A POST whose body is streamed; its Content-Length is in the call's headers."""

        async def noted() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                scope.hand_over()  # each piece renews the time until the answer
                yield chunk

        return await self._attempt(self._submits, call, noted(), scope)

    async def _attempt(
        self, session: aiohttp.ClientSession | None, call: Call, body: Any, scope: Scope
    ) -> Reply | Failure:
        if session is None or session.closed:
            return Failure(reason="the session is closed", sent=False)
        try:
            async with scope.timeout:
                return await self._request(session, call, body)
        except TimeoutError:
            reason = "no answer in time" if scope.sent else "no connection in time"
        except Broken as error:
            reason = error.reason
        except _NETWORK as error:
            reason = describe(error)
        return Failure(reason=reason, sent=scope.sent)

    async def _request(self, session: aiohttp.ClientSession, call: Call, body: Any) -> Reply:
        async with session.request(
            call.method,
            URL(self._root + call.path, encoded=True),
            headers={**self._headers, **call.headers},
            data=body,
            allow_redirects=False,  # aiohttp would repeat a POST on 307, also to another origin
            raise_for_status=False,
            auto_decompress=True,
            timeout=_NO_TIMEOUT,
            middlewares=self._middlewares,
        ) as response:
            return self._redacted(await _read_reply(response))

    def _redacted(self, reply: Reply) -> Reply:
        """The reply without our key, which an edge's error page may echo and every error would then carry on."""
        key = self._key
        if reply.status >= 300 or key.encode() in reply.body:
            headers = {name: value.replace(key, "***") for name, value in reply.headers.items()}
            body = reply.body.replace(key.encode(), b"***")
            return Reply(status=reply.status, headers=CIMultiDict(headers), body=body, whole=reply.whole)
        return reply


def make_session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    """A client session without cookies, key or total timeout."""
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=_NO_TIMEOUT
    )


async def _read_reply(response: aiohttp.ClientResponse) -> Reply:
    """The reply with its body, read piece by piece, so that a compressed bomb is noticed while it is small."""
    chunks: list[bytes] = []
    size, whole = 0, True
    try:
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > MAX_JSON_BYTES:
                whole = False
                break
            chunks.append(chunk)
    except _NETWORK:
        whole = False
    if not whole:
        response.close()
    return Reply(status=response.status, headers=response.headers, body=b"".join(chunks), whole=whole)


class FileStream:
    """A result file on its way: `status`, `headers`, and its bytes in `pieces`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._content = response.content

    async def pieces(self, idle: float) -> AsyncIterator[bytes]:
        """The bytes as they come, at most `idle` seconds apart.

        Raises:
            Broken: they stop, or the body is shorter than announced.
        """
        while True:
            try:
                async with asyncio.timeout(idle):
                    piece = await self._content.readany()
            except TimeoutError:
                reason = f"no byte in {idle:g} s"
                break
            except _NETWORK as error:
                reason = describe(error)
                break
            if not piece:
                return
            yield piece
        raise Broken(reason)


class FileClient:
    """Fetches files from wherever the service put them; it knows no key."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @contextlib.asynccontextmanager
    async def short_lived(cls) -> AsyncIterator[FileClient]:
        """A client with a connection of its own, for a value that outlives its session."""
        async with make_session(aiohttp.TCPConnector(limit=1)) as session:
            yield cls(session)

    @contextlib.asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str], seconds: float) -> AsyncIterator[FileStream]:
        """The file at `url`, once its headers are in, within `seconds`. Redirects are followed by hand.

        Raises:
            Broken: no answer, too many redirects, or one to a scheme that is not followed.
        """
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(MAX_HOPS):
                response = await self._open(url, headers, seconds)
                stack.callback(response.close)
                location = response.headers.get("Location")
                if response.status not in {301, 302, 303, 307, 308} or location is None:
                    yield FileStream(response)
                    return
                url = check_hop(url, location)
                await stack.aclose()
            raise Broken("too many redirects", final=True)

    async def _open(self, url: str, headers: Mapping[str, str], seconds: float) -> aiohttp.ClientResponse:
        # Compressed images gain nothing, and a length that is counted after decompression proves nothing.
        own = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        final = False
        try:
            async with asyncio.timeout(seconds):
                return await self._session.get(
                    URL(url, encoded="%" in url),
                    headers={**own, **headers},
                    allow_redirects=False,
                    raise_for_status=False,
                    timeout=_NO_TIMEOUT,
                    middlewares=(_never_repeat,),
                )
        except TimeoutError:
            reason = f"no answer in {seconds:g} s"
        except Broken as error:
            reason = error.reason
        except ValueError:  # aiohttp's InvalidURL among them
            reason, final = "no address of a file", True
        except _NETWORK as error:
            reason = describe(error)
        raise Broken(reason, final=final)


def check_hop(source: str, location: str) -> str:
    """The target of a redirect, if it is no worse than where it comes from.

    Raises:
        Broken: it leads nowhere, to another scheme than http and https, or from https to http.
    """
    try:
        target = urljoin(source, location)
        schemes = urlsplit(source).scheme.lower(), urlsplit(target).scheme.lower()
    except ValueError:
        target, schemes = "", ("", "no address")
    if schemes[1] not in {"http", "https"} or schemes == ("https", "http"):
        raise Broken(f"a redirect from {schemes[0]} to {schemes[1]}, which is not followed", final=True)
    return target


def describe(error: BaseException) -> str:
    """A failure in words, without what aiohttp's exceptions carry of the request."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the TLS certificate of {error.host}:{error.port} is not accepted"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error.strerror or type(error.os_error).__name__
        return f"cannot connect to {error.host}:{error.port} ({cause})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _WORDS.get(type(error).__name__, type(error).__name__)


_WORDS = {
    "ServerDisconnectedError": "the server closed the connection",
    "ClientPayloadError": "the body broke off",
    "ClientConnectionResetError": "the connection was reset",
    "ClientOSError": "the connection broke",
}
