"""Makes aiohttp sessions without defaults or hidden repeats, and describes failures without secrets."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Mapping
from typing import Any

import aiohttp

from foxapi_async._hints import Hint
from foxapi_async._http.exchange import ExchangeFailed
from foxapi_async._http.proxy import Proxy
from foxapi_async._version import __version__

# aiohttp rounds limits above 5 s up to whole seconds and ends every download at 300 s, so asyncio sets our limits.
NO_TIMEOUT = aiohttp.ClientTimeout(total=None)

# The service's edge refuses default agents such as Python-urllib's (403, "error code: 1010").
USER_AGENT = f"foxapi-async/{__version__} python/{platform.python_version()}"

NETWORK = (aiohttp.ClientError, OSError)

# A service behind several gateways may send many long headers. aiohttp's own limits are lines of 8 kB, and
# 128 of them.
MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 512

AS_IT_COMES: Mapping[str, Any] = {
    # aiohttp would repeat a POST on 307, even to another origin.
    "allow_redirects": False,
    "raise_for_status": False,
    "max_line_size": MAX_HEADER_BYTES,
    "max_field_size": MAX_HEADER_BYTES,
    "max_headers": MAX_HEADERS,
}
"""The options of each request. The caller gets every reply, even a redirect or an error."""


def make_session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    """A client session without cookies, key or total timeout. It repeats nothing by itself."""
    session = aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=NO_TIMEOUT
    )
    # This is aiohttp's own switch, which its test client uses. A middleware does the same for a session from
    # the user, but costs 2 % of the time of a poll. A test checks that neither way repeats anything.
    session._retry_connection = False  # noqa: SLF001
    return session


async def never_repeat(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> Any:
    """Stop aiohttp from sending a GET again by itself after a kept connection was dropped: only `_retry` repeats."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        reason = describe(error)
    raise ExchangeFailed(reason)


def describe(error: BaseException, proxy: Proxy = Proxy()) -> str:  # noqa: B008 - frozen
    """A failure in words, without the request data that aiohttp's exceptions hold.

    Args:
        error: the failure.
        proxy: the proxy of the request. It has no address if there was no proxy, or that of the user's session.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", None)
        return f"the TLS certificate of {error.host}:{error.port} is not accepted{f' ({why})' if why else ''}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy of {proxy} refuses the connection (HTTP {error.status})"
    if isinstance(error, aiohttp.ClientConnectorError):
        where = f"the proxy of {proxy}" if is_of_proxy(error, proxy) else f"{error.host}:{error.port}"
        return f"cannot connect to {where} ({_cause(error)})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _WORDS.get(type(error).__name__, type(error).__name__)


def _cause(error: aiohttp.ClientConnectorError) -> str:
    """The system's reason. asyncio's own words for it repeat the address."""
    cause, number = error.os_error, error.os_error.errno
    # The resolver has its own numbers, which `os.strerror` does not know.
    if isinstance(error, aiohttp.ClientConnectorDNSError) or number is None or number not in errno.errorcode:
        return cause.strerror or type(cause).__name__
    return os.strerror(number)


def is_of_proxy(error: BaseException, proxy: Proxy) -> bool:
    """Whether the proxy cannot be reached, or refuses the connection."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return proxy.address is not None and proxy.address.host == error.host
    return isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError)


def hint_for(error: BaseException, proxy: Proxy) -> Hint | None:
    """What can be done about a failure that waiting does not cure; None for any other failure."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Hint.CHECK_CERTIFICATES
    return Hint.SET_PROXY if proxy.address is not None and is_of_proxy(error, proxy) else None


_WORDS = {
    "ServerDisconnectedError": "the server closed the connection",
    "ClientPayloadError": "the body was cut off",
    "ClientConnectionResetError": "the connection was reset",
    "ClientOSError": "the connection broke",
    "ClientResponseError": "the answer is not HTTP",
}
