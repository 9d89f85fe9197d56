"""Fetches result files from any address that the service gives. It has no API key, and repeats nothing."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from urllib.parse import urljoin, urlsplit

import aiohttp
import attrs
from yarl import URL

from foxapi_async._errors import ConfigurationError
from foxapi_async._http.client_session import (
    AS_IT_COMES,
    NETWORK,
    NO_TIMEOUT,
    USER_AGENT,
    describe,
    hint_for,
    make_session,
)
from foxapi_async._http.exchange import ExchangeFailed
from foxapi_async._http.proxy import Proxy

MAX_HOPS = 5

SLOWEST_BYTES = 1024
"""If fewer bytes of a file arrive per second, its download ends with an error."""


@attrs.define(eq=False)
class FileStream:
    """A result file during its download: `status`, `headers`, and its bytes in `pieces`."""

    status: int
    headers: Mapping[str, str]
    _content: aiohttp.StreamReader

    async def pieces(self, idle: float) -> AsyncIterator[bytes]:
        """The bytes as they arrive.

        Raises:
            ExchangeFailed: no byte arrives for `idle` seconds, or fewer than `SLOWEST_BYTES` per second arrive
                during `idle` seconds, or the body is shorter than announced.
        """
        loop = asyncio.get_running_loop()
        waited, size = 0.0, 0
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(idle):
                    piece = await self._content.readany()
            except TimeoutError:
                reason = f"no byte in {idle:g} s"
                break
            except NETWORK as error:
                reason = describe(error)
                break
            if not piece:
                return
            waited, size = waited + loop.time() - began, size + len(piece)
            if waited >= idle:
                if size < idle * SLOWEST_BYTES:
                    reason = f"only {size} bytes in {waited:.0f} s"
                    break
                waited, size = 0.0, 0
            yield piece
        raise ExchangeFailed(reason)


@attrs.define(eq=False)
class FileClient:
    """Fetches files from any address that the service gives. It has no API key.

    Args:
        session: the aiohttp session.
        proxy: the proxy that https requests go through.
        middlewares: used in place of those of a user's session, so that it repeats nothing; None for our own session.
    """

    _session: aiohttp.ClientSession
    _proxy: Proxy
    _middlewares: tuple[aiohttp.ClientMiddlewareType, ...] | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def short_lived(cls, proxy: Proxy) -> AsyncGenerator[FileClient]:
        """A client with its own connection, for a file that is fetched after its session was closed."""
        async with make_session(aiohttp.TCPConnector(limit=1)) as session:
            yield cls(session, proxy)

    @contextlib.asynccontextmanager
    async def get(
        self, url: str, headers: Mapping[str, str], seconds: float, connect: float
    ) -> AsyncGenerator[FileStream]:
        """The file at `url`, after its headers have arrived.

        At `url` and at each redirect's target, it waits at most `connect` seconds for the connection, and at most
        `seconds` for the headers.

        Raises:
            ExchangeFailed: there was no answer, or there were too many redirects, or a redirect is not followed
                (see `redirect_target`).
        """
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(MAX_HOPS):
                response = await self._open(url, headers, seconds, connect)
                stack.callback(response.close)
                location = response.headers.get("Location")
                if response.status not in {301, 302, 303, 307, 308} or location is None:
                    yield FileStream(response.status, response.headers, response.content)
                    return
                url = redirect_target(url, location)
                await stack.aclose()
            raise ExchangeFailed("too many redirects", final=True)

    async def _open(
        self, url: str, headers: Mapping[str, str], seconds: float, connect: float
    ) -> aiohttp.ClientResponse:
        # Compression does not shrink images, and the length after decompression cannot be checked.
        own = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        final, hint = False, None
        if self._session.closed:  # the session was closed between two hops
            raise ExchangeFailed("the session was closed")
        try:
            address = URL(url, encoded="%" in url)
            async with asyncio.timeout(seconds):
                return await self._session.get(
                    address,
                    headers={**own, **headers},
                    # Without this threshold aiohttp rounds the timeout up.
                    timeout=attrs.evolve(NO_TIMEOUT, sock_connect=connect, ceil_threshold=math.inf),
                    middlewares=self._middlewares,
                    **AS_IT_COMES,
                    **self._proxy.options_for(address),
                )
        except aiohttp.ConnectionTimeoutError:
            reason = f"no connection in {connect:g} s"
        except TimeoutError:
            reason = f"no answer in {seconds:g} s"
        except ExchangeFailed as error:
            reason = error.reason
        except ConfigurationError as error:  # the proxy cannot be used
            reason, final, hint = error.what_happened, True, error.hint
        except aiohttp.ClientConnectorError as error:  # a certificate error is a ValueError as well
            reason, hint = describe(error, self._proxy), hint_for(error, self._proxy)
        except ValueError:  # includes aiohttp's InvalidURL
            reason, final = "not the address of a file", True
        except NETWORK as error:
            reason, hint = describe(error, self._proxy), hint_for(error, self._proxy)
        raise ExchangeFailed(reason, final=final, hint=hint)


def redirect_target(source: str, location: str) -> str:
    """The target of a redirect, if it is at least as safe as its source.

    Raises:
        ExchangeFailed: the target is not a URL, has a scheme other than http and https, or goes from https to http.
    """
    try:
        target = urljoin(source, location)
        schemes = urlsplit(source).scheme.lower(), urlsplit(target).scheme.lower()
    except ValueError:
        target, schemes = "", ("", "no address")
    if schemes[1] not in {"http", "https"} or schemes == ("https", "http"):
        raise ExchangeFailed(
            f"a redirect from {schemes[0]} to {schemes[1]}, which is not followed", final=True
        )
    return target
