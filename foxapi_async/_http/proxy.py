"""Decides which requests go through an HTTP proxy.

Only https requests go through one. The proxy passes their bytes on (CONNECT, RFC 9110 section 9.3.6), and sees no
key and no file. Requests to this machine never go through a proxy.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Mapping
from typing import TypedDict
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import attrs
from yarl import URL

from foxapi_async._errors import ConfigurationError
from foxapi_async._hints import Hint
from foxapi_async._http.credentials import Secret, is_loopback

ENVIRONMENT = "environment"


class ProxyOptions(TypedDict, total=False):
    """The options that aiohttp gets for a request that goes through a proxy."""

    proxy: URL
    proxy_headers: Mapping[str, str]


@attrs.frozen
class Proxy:
    """The proxy of a session, and which hosts it serves.

    Attributes:
        address: its address, without a user name and password; None if there is none.
        login: the value of its Proxy-Authorization header, if it needs one.
        setting: the name of its setting: "proxy", the environment variable, or "http.proxy" for the proxy of the user's
            own aiohttp session.
        obeys_no_proxy: whether NO_PROXY names hosts that are reached without it.
        fault: why it cannot be used; None if it can. A fault matters only for hosts that would be reached through the proxy.
    """

    address: URL | None = None
    login: Secret | None = None
    setting: str = "proxy"
    obeys_no_proxy: bool = False
    fault: str | None = None

    def __str__(self) -> str:
        """The setting and its value, without the user name and password. Without an address it is "http=", the argument
        for the user's own aiohttp session.
        """
        if self.address is None:
            return "http="
        return (
            f"{self.setting}={self.address.scheme}://{'***@' if self.login else ''}{self.address.authority}"
        )

    def is_used_for(self, address: str | URL) -> bool:
        """Whether requests to this address go through it."""
        url = URL(address)
        host = url.host or ""
        if (self.address is None and self.fault is None) or url.scheme != "https" or is_loopback(host):
            return False
        # In NO_PROXY a name may have a port. An IPv6 address may stand without brackets.
        names = (f"[{host}]:{url.port}", host) if ":" in host else (f"{host}:{url.port}",)
        return not (self.obeys_no_proxy and any(map(proxy_bypass, names)))

    def check(self, address: str | URL) -> None:
        """Check that requests can go to this address.

        Raises:
            ConfigurationError: they would have to go through this proxy, which cannot be used.
        """
        if self.fault is not None and self.is_used_for(address):
            raise ConfigurationError(self.fault, hint=Hint.SET_PROXY)

    def options_for(self, url: URL) -> ProxyOptions:
        """The options of a request to this address; none if it goes there directly.

        Raises:
            ConfigurationError: see `check`.
        """
        self.check(url)
        if self.address is None or not self.is_used_for(url):
            return {}
        headers = {} if self.login is None else {"Proxy-Authorization": self.login}
        return {"proxy": self.address, "proxy_headers": headers}


def resolve_proxy(given: object) -> Proxy | ConfigurationError:
    """The proxy that a session's `proxy` setting describes: an address, None, or "environment".

    If the given address has a fault, the error is returned and not raised, because the address may hold a password.
    The caller raises it in a frame that does not hold the address.
    """
    if given is None:
        return Proxy()
    if given == ENVIRONMENT:
        return environment_proxy()
    proxy = _parse(given, "proxy", obeys_no_proxy=False)
    return proxy if proxy.fault is None else ConfigurationError(proxy.fault, hint=Hint.SET_PROXY)


def environment_proxy() -> Proxy:
    """The proxy of HTTPS_PROXY and NO_PROXY, or of the settings of macOS and Windows.

    An address that cannot be used raises nothing here: it becomes the `fault` of the proxy. Other programs use the
    variable too, and this one may not need it.
    """
    address = getproxies().get("https")
    name = "https_proxy" if os.environ.get("https_proxy") else "HTTPS_PROXY"
    return _parse(address, name, obeys_no_proxy=True) if address else Proxy()


def proxy_of(session: object) -> Proxy:
    """The proxy for files that are fetched after the user's session was closed: the proxy of that session, or else of
    the environment.

    Args:
        session: the user's aiohttp session.
    """
    given = getattr(session, "_default_proxy", None)
    if given is None:
        return environment_proxy()
    proxy = _parse(str(given), "http.proxy", obeys_no_proxy=False)
    auth = getattr(session, "_default_proxy_auth", None)
    return proxy if auth is None else attrs.evolve(proxy, login=Secret(auth.encode()))


def _parse(given: object, name: str, *, obeys_no_proxy: bool) -> Proxy:
    if not isinstance(given, str):  # its repr may show a password
        return Proxy(fault=f"{name} is a {type(given).__name__}, not a text")
    text, shown, login = given.strip(), "…", None
    with contextlib.suppress(ValueError):
        parts = urlsplit(text if "://" in text else f"http://{text}")
        # A path, a query or a fragment may be a part of the password: a password may have any character.
        is_bare = parts.path in {"", "/"} and not parts.query and not parts.fragment
        # An @ in one of them suggests that a slash, a ? or a # of the password was read as the end of the host. Then the
        # parsed host may be a part of the password, so it is not shown.
        if "@" not in parts.path + parts.query + parts.fragment:
            shown = f"{parts.scheme}://{parts.hostname or ''}"
        if is_bare and parts.scheme == "http" and parts.hostname:
            address = URL.build(scheme="http", host=parts.hostname, port=parts.port or 80)
            if parts.username is not None:
                pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
                login = Secret(f"Basic {base64.b64encode(pair.encode()).decode()}")
            return Proxy(address, login, name, obeys_no_proxy)
    fault = f"{name}={shown!r} is not the address of an HTTP proxy"
    return Proxy(setting=name, obeys_no_proxy=obeys_no_proxy, fault=fault)
