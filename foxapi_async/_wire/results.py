"""Reads the results of a task: where its files are, in each form that a gateway with this API uses.

- FoxAPI: `results: [{url}]`; its oldest pages: `output: {url, urls}`.
- EvoLink (a gateway with the same API), and the clients of both: `results: ["https://…"]`,
  `results: [{image_url}]`, a list of addresses in `url`, `result_data: [{image_url}]`.
- Pictures inside the reply: a `data:` address, or `b64_json`, which becomes one.

An address without a host belongs to the API's own origin. An address with a scheme other than http, https
and data is ignored, because saving a result must not open anything else.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes, urljoin

from foxapi_async._wire.json_values import JsonValue, Raw, read_text

# The highest documented limit of a model is ten results. A reply with a hundred thousand files blocked the loop for a
# second.
MOST_FILES = 1000

_ADDRESSES = "urls", "url", "image_url", "video_url", "audio_url"
# Results that are not files: a voice, a profile, a character, a text (docs.foxapi.cc get-task-detail, special
# results).
_VALUES = "voice_id", "profile_id", "character_id", "choices", "text"
_TEXT_TYPES = "llm", "text"

# All lengths are limited: a reply may hold a text of 32 MB, and the loop waits while it is read.
_LONGEST_ADDRESS = 2000
_SCHEME = re.compile(
    r"[a-z][a-z0-9+.-]{0,100}:(?!\d+(?:/|$))", re.IGNORECASE
)  # not the port of `host:8080/a.png`
_DATA = re.compile(r"data:[\w.+/-]{0,200}(?:;[^,;]{0,200}){0,10},.", re.IGNORECASE | re.ASCII)
_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?/", re.IGNORECASE | re.ASCII)
_NOT_IN_ADDRESS = re.compile(r"[\s<>\"\x00-\x1f]")


class ResultFile(NamedTuple):
    """One result that has an address: http, https or data. `raw` is its whole object in the reply."""

    url: str
    content_type: str | None
    raw: Raw


def results_in(raw: Raw) -> list[JsonValue]:
    """The results of a reply, unchanged. They come from the first field with results that can be read. If no field has
    such results, they come from the first field with any.

    Null is not a result. An object or a text without content is not a result either.
    """
    older: JsonValue = raw.get("output")
    if isinstance(older, dict):
        older = older.get("urls") or older.get("url")
    given: list[JsonValue] = [raw.get("results"), raw.get("result_data"), older]
    found: list[list[JsonValue]] = []
    for value in given:
        items: list[JsonValue] = value if isinstance(value, list) else [value]
        if kept := list(itertools.islice((item for item in items if not _is_empty(item)), MOST_FILES)):
            found.append(kept)
    if len(found) < 2:
        return found[0] if found else []
    kind: JsonValue = raw.get("type")
    readable = (items for items in found if files_in(items, "https://any.origin") or values_in(items, kind))
    return next(readable, found[0])


def _is_empty(item: JsonValue) -> bool:
    if isinstance(item, dict):
        return not any(item.values())
    return not (isinstance(item, (str, list)) and item)


def files_in(results: list[JsonValue], origin: str) -> tuple[ResultFile, ...]:
    """The results that have an address.

    Args:
        results: the results of a reply.
        origin: the origin of the API, for addresses without a host; "" if unknown.
    """
    found = (file for item in results for file in _files_of(item, origin, item))
    return tuple(itertools.islice(found, MOST_FILES))


def values_in(results: list[JsonValue], kind: JsonValue) -> list[JsonValue]:
    """The results that are voices, profiles, characters or texts, unchanged. `kind` is the task's type."""
    if kind in _TEXT_TYPES:
        return results
    return [item for item in results if isinstance(item, dict) and any(item.get(name) for name in _VALUES)]


def texts_in(values: list[JsonValue]) -> Iterator[str]:
    """The words of transcripts and of answers of language models."""
    for value in values:
        inside = _texts_of(value) if isinstance(value, dict) else [value]
        yield from (text for text in inside if isinstance(text, str))


def _texts_of(value: Raw) -> Iterator[JsonValue]:
    yield value.get("text")
    choices: JsonValue = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        message: JsonValue = choice.get("message") if isinstance(choice, dict) else None
        yield message.get("content") if isinstance(message, dict) else None


def _files_of(value: JsonValue, origin: str, result: JsonValue) -> Iterator[ResultFile]:
    """The files that a value inside a result names."""
    raw: dict[str, Any] = result if isinstance(result, dict) else {"url": result}
    if isinstance(value, str):
        url = _usable(value, origin)
        if url is not None:
            yield ResultFile(url, read_text(raw.get("content_type")), raw)
    elif isinstance(value, list):
        for item in value[:MOST_FILES]:
            yield from _files_of(item, origin, item if isinstance(item, dict) else result)
    elif isinstance(value, dict):
        inside: JsonValue = value.get("b64_json")
        encoded = inside if not isinstance(inside, str) or _DATA.match(inside) else f"data:;base64,{inside}"
        for address in (*(value.get(name) for name in _ADDRESSES), encoded):
            files = list(_files_of(address, origin, result))
            if files:
                yield from files
                return


def _usable(text: str, origin: str) -> str | None:
    """The address in a form that can be fetched; None if there is none."""
    text = text.strip()
    if text[:8].lower().startswith(("http://", "https://")):
        return text
    if _SCHEME.match(text):
        return text if _DATA.match(text) else None
    if not text or len(text) > _LONGEST_ADDRESS or _NOT_IN_ADDRESS.search(text):
        return None
    if text.startswith("//") or _HOST.match(text):
        return f"https://{text.lstrip('/')}"
    return urljoin(f"{origin}/", text) if origin else None


def is_inside(url: str) -> bool:
    """Whether the address contains the file itself: a `data:` address (RFC 2397)."""
    return url[:5].lower() == "data:"


def decode(url: str) -> tuple[bytes, str | None]:
    """The bytes of a `data:` address, and their declared type.

    Raises:
        ValueError: it is not valid base64.
    """
    head, _, text = url.partition(",")
    kind, *parameters = head[5:].lower().split(";")
    data = unquote_to_bytes(text)
    if "base64" in parameters:
        data = b"".join(data.split()).translate(_URL_SAFE).rstrip(b"=")
        data = base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    return data, kind or None


_URL_SAFE = bytes.maketrans(b"-_", b"+/")  # RFC 4648 section 5
