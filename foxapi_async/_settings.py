"""Which key goes where: the settings that protect it, resolved once, before anything is sent."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import attrs

from foxapi_async._errors import ConfigurationError

DEFAULT_BASE_URL = "https://api.foxapi.cc"
"""The host of the documentation; `https://api.aihubmax.com` is its known successor."""


@attrs.frozen
class Account:
    """A key and the only origin it may go to.

    Attributes:
        key: the API key; never shown.
        base_url: scheme, host and an optional path prefix, without a slash at the end.
        plain: the key travels over plain http beyond this machine, as explicitly allowed.
    """

    key: str = attrs.field(repr=lambda _: "'***'")
    base_url: str
    plain: bool = False


def resolve_account(
    api_key: str | None, base_url: str | None, *, allow_http: bool, environ: Mapping[str, str]
) -> Account:
    """The account of the arguments, else of FOXAPI_API_KEY, FOXAPI_BASE_URL and FOXAPI_ALLOW_HTTP.

    Raises:
        ConfigurationError: no key, a key with white space inside, a URL that is no http(s) URL, or plain http
            to another machine.
    """
    key = _check_key(environ.get("FOXAPI_API_KEY") if api_key is None else api_key)
    url = _text("base_url", base_url or environ.get("FOXAPI_BASE_URL") or DEFAULT_BASE_URL).rstrip("/")
    plain = _check_url(url, allow_http=allow_http or environ.get("FOXAPI_ALLOW_HTTP") == "1")
    return Account(key, url, plain)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} is a {type(value).__name__}, not a text")
    return value.strip()


def _check_key(given: object) -> str:
    key = _text("the API key", "" if given is None else given)
    if not key:
        raise ConfigurationError(
            "no API key: set FOXAPI_API_KEY or pass api_key= (on the command line, --emulator needs none)"
        )
    if any(c.isspace() or not c.isprintable() for c in key) or not key.isascii():
        raise ConfigurationError(
            "the API key has white space, a line break or a non-ASCII character inside: copy it again, in one piece"
        )
    return key


def _check_url(url: str, *, allow_http: bool) -> bool:
    """Whether the URL is plain http beyond this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    odd = any(c in "?#" or c.isspace() or not c.isprintable() for c in url)
    if host is None or parts.scheme not in {"http", "https"} or odd:
        raise ConfigurationError(f"base_url={_redacted(url)!r}: give an address such as {DEFAULT_BASE_URL}")
    if parts.username or parts.password:
        raise ConfigurationError(
            "base_url has a user name or password in it: the API key is the only credential"
        )
    if parts.path.endswith("/v1"):
        raise ConfigurationError(f"base_url={url!r}: leave out the /v1 at the end, every path begins with it")
    if parts.scheme == "https" or is_loopback(host):
        return False
    if not allow_http:
        raise ConfigurationError(
            f"base_url={url!r} would send the key unencrypted to another machine: use https, or allow it with "
            "allow_http=True or FOXAPI_ALLOW_HTTP=1"
        )
    return True


def _redacted(url: str) -> str:
    """The URL without what may be a secret: a password before an @, anything after a `?` or `#`."""
    shown = f"…@{url.rsplit('@', 1)[1]}" if "@" in url else url
    return re.sub(r"[?#].*", "…", shown, flags=re.DOTALL)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
