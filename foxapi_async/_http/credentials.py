"""Decides which key is sent to which address. These settings are resolved once, before anything is sent.

Error trackers show the local variables of every frame of a traceback. So functions that check a possible
secret return before an error is raised. After the check it is a `Secret`.
"""

from __future__ import annotations

import contextlib
import html
import ipaddress
import json
import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import attrs

from foxapi_async._errors import ConfigurationError
from foxapi_async._hints import Hint

DEFAULT_BASE_URL = "https://api.foxapi.cc"
"""The host in the documentation."""


_SHORTEST_KEY = 8

# Placeholders for a key: in our README, in the same README after some editors changed the dots, and in the service's
# documentation.
_PLACEHOLDERS = {"sk-...", "sk-…", "YOUR_API_KEY"}


class Secret(str):
    """A text that is sent but never shown: its repr is stars, even inside a container.

    A container with its own repr would protect less: aiohttp copies the headers that it gets, but keeps their values.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


@attrs.frozen
class Credentials:
    """A key and the only origin it may go to.

    Attributes:
        key: the API key; never shown.
        base_url: scheme, host and an optional path prefix, without a slash at the end.
        plain: whether the key travels over plain http to another machine, which the user has allowed.
    """

    key: Secret = attrs.field(converter=Secret)
    base_url: str
    plain: bool = False


def resolve_credentials(
    api_key: object, base_url: object, *, allow_http: bool, environ: Mapping[str, str]
) -> Credentials | ConfigurationError:
    """The key and its address from the arguments, or else from FOXAPI_API_KEY, FOXAPI_BASE_URL and FOXAPI_ALLOW_HTTP.

    A fault is returned as an error: no key, a key with white space inside, a URL that is not http(s), or
    plain http to another machine. The caller raises it in a frame that holds neither the key nor the
    environment.
    """
    given = _unquoted(environ.get("FOXAPI_API_KEY") if api_key is None else api_key)
    address = base_url or environ.get("FOXAPI_BASE_URL") or DEFAULT_BASE_URL
    url = address.strip().rstrip("/") if isinstance(address, str) else address
    if problem := _problem_of_key("" if given is None else given):
        return ConfigurationError(problem, hint=Hint.SET_KEY)
    if problem := _problem_of_url(url):
        return ConfigurationError(problem, hint=Hint.SET_BASE_URL)
    plain = _is_plain(str(url))
    if plain and not (allow_http or environ.get("FOXAPI_ALLOW_HTTP") == "1"):
        return ConfigurationError(
            f"the base URL {url!r} would send the key unencrypted to another machine", hint=Hint.ALLOW_HTTP
        )
    return Credentials(str(given).strip(), str(url), plain)


def _unquoted(given: object) -> object:
    """A key without the quotes that env files of containers keep."""
    key = given.strip() if isinstance(given, str) else ""
    return key[1:-1] if len(key) > 1 and key[0] == key[-1] and key[0] in "'\"" else given


def _problem_of_key(given: object) -> str | None:
    if not isinstance(given, str):
        return f"the API key is a {type(given).__name__}, not a text"
    key = given.strip()
    if not key:
        return "no API key"
    if key in _PLACEHOLDERS:
        return f"the API key is {key!r}: this is the placeholder of the documentation, not a key"
    if any(c.isspace() or not c.isprintable() for c in key) or not key.isascii():
        return "the API key has white space, a line break or a non-ASCII character inside: copy it again, in one piece"
    if len(key) < _SHORTEST_KEY:
        return (
            f"the API key has only {len(key)} characters: at least {_SHORTEST_KEY} are needed, because every text shows "
            "stars in place of the key, and a shorter key may be part of ids and file names by chance"
        )
    return None


def _problem_of_url(url: object) -> str | None:
    if not isinstance(url, str):
        return f"the base URL is a {type(url).__name__}, not a text"
    if "@" in url:  # anywhere in the URL: a password with a slash would make the @ part of the path
        return "the base URL has a user name or password in it (an @): the API key is the only credential"
    parts = host = None
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    odd = any(c in "?#" or c.isspace() or not c.isprintable() for c in url)
    if parts is None or host is None or parts.scheme not in {"http", "https"} or odd:
        return f"the base URL {_redacted(url)!r} is not an address such as {DEFAULT_BASE_URL}"
    if parts.path.endswith("/v1"):
        return f"the base URL {url!r} ends in /v1: leave that out, every path begins with it"
    return None


def _is_plain(url: str) -> bool:
    """Whether a valid URL is plain http to another machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _redacted(url: str) -> str:
    """The URL without possible secrets: anything after a `?` or `#`, or all of it if it is not an address."""
    return re.sub(r"[?#].*", "…", url, flags=re.DOTALL) if re.search(r"[./:]", url) else "…"


class Redactor:
    """Replaces the key by stars in texts from other programs. It also finds the key's spellings in JSON, HTML and URLs.

    Args:
        key: the key to hide.
    """

    def __init__(self, key: str) -> None:
        # Usually there is only one: a key of letters, digits and dashes has the same spelling everywhere.
        spellings = {
            key,
            key.replace("/", "\\/"),
            json.dumps(key)[1:-1],
            html.escape(key),
            quote(key, safe=""),
        }
        either = "|".join(re.escape(text) for text in sorted(spellings, key=len, reverse=True))
        self._texts, self._data = re.compile(either), re.compile(either.encode())

    def text(self, text: str) -> str:
        """The text without the key."""
        return self._texts.sub("***", text)

    def data(self, data: bytes) -> bytes:
        """The same bytes if the key is not in them, else a copy without the key."""
        return self._data.sub(b"***", data)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
