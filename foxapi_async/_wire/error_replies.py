"""Reads a refusal: the service's error object, an edge's HTML page or plain text, and how long to wait.

Comments name the pages of docs.foxapi.cc that state the rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from foxapi_async import _errors
from foxapi_async._errors import APIError, ResponseDecodeError
from foxapi_async._wire.headers import parse_date
from foxapi_async._wire.json_values import excerpt, read_mapping, read_number, read_object, read_text
from foxapi_async._wire.requests import Headers, Reply
from foxapi_async._wire.texts import shorten

# task-management/error-codes; 403 and 413 from file-management/upload-stream.
_CLASSES: dict[int, type[APIError]] = {
    400: _errors.BadRequestError,
    401: _errors.AuthenticationError,
    402: _errors.InsufficientQuotaError,
    403: _errors.PermissionDeniedError,
    404: _errors.NotFoundError,
    413: _errors.PayloadTooLargeError,
    422: _errors.UnprocessableError,
    429: _errors.RateLimitError,
    503: _errors.ServiceUnavailableError,
}

# A longer error is not parsed, only quoted: parsing it would block the loop for no benefit.
MAX_ENVELOPE_BYTES = 64 * 1024

_ADVICE = {
    401: "check FOXAPI_API_KEY",
    402: "top up the account's credits, then repeat",
    403: "the key may not do this, or the service's edge refused this client",
    404: "check the id, the path and the base URL",
    413: "send a smaller file",
    429: "slow down",
}
_EDGE_ADVICE = "not the service's own answer: check the base URL, the path and the proxy"


# Some gateways refuse an empty account with 403 or 429.
_QUOTA = frozenset({"insufficient_quota", "insufficient_user_quota"})


def read_error(reply: Reply, wall_now: float | None = None, *, submit: bool = False) -> APIError:
    """The error for a refusing reply. Its body may be the service's error object, HTML or plain text.

    `wall_now` is Unix time in seconds. It is used to read a Retry-After date if the reply has no `Date` header.
    With `submit`, a 403 or 429 with a quota code is an `InsufficientQuotaError`, or a `RateLimitError` if it asks for a wait.
    """
    envelope = _envelope(reply)
    kind, code = read_text(envelope.get("type")), read_text(envelope.get("code"))
    words = shorten(read_text(envelope.get("message")) or _target(reply) or excerpt(reply))
    seconds = retry_after(reply.headers, envelope, wall_now)
    cls = _class_of(reply.status, kind)
    if submit and reply.status in {403, 429} and not _QUOTA.isdisjoint({kind, code}):
        cls = _errors.InsufficientQuotaError if seconds is None else _errors.RateLimitError
    request_id = _request_id(reply.headers, words)
    waits = issubclass(cls, _errors.RateLimitError | _errors.ServiceUnavailableError)
    extra: dict[str, Any] = {"retry_after": seconds} if waits else {}
    advice = _ADVICE.get(402 if cls is _errors.InsufficientQuotaError else reply.status, "")
    text = _error_text(reply.status, shorten(code or kind or "", 100), words, advice, request_id)
    return cls(text, status=reply.status, type=kind, code=code, detail=words, request_id=request_id, **extra)


def read_edge(reply: Reply) -> APIError:
    """A plain `APIError` for a reply that an edge gave, and not the service, to a request other than a submit."""
    words = shorten(_target(reply) or excerpt(reply))
    request_id = _request_id(reply.headers, words)
    text = _error_text(reply.status, "", words, _EDGE_ADVICE, request_id)
    return APIError(text, status=reply.status, detail=words, request_id=request_id)


def has_quota_code(error: APIError) -> bool:
    """Whether the service says that the account's quota is used up."""
    return not _QUOTA.isdisjoint({error.type, error.code})


def _target(reply: Reply) -> str | None:
    """The target of a redirect, without possible secrets: a user's name and password, a query."""
    location = shorten(reply.headers.get("Location") or "") if 300 <= reply.status < 400 else ""
    bare = re.sub(r"//[^/]*@", "//", re.sub(r"[?#].*", "…", location))
    return f"redirected to {bare}" if bare else None


def _class_of(status: int, kind: str | None) -> type[APIError]:
    # The service's page `error-codes` contradicts itself. For a model without a channel, one table has the status 503,
    # and the other has 422 with this type.
    if status == 422 and kind in {"service_unavailable_error", "service_unavailable"}:
        return _errors.ServiceUnavailableError
    return _CLASSES.get(status) or (_errors.ServerError if status >= 500 else APIError)


def _error_text(status: int, code: str, words: str, advice: str, request_id: str | None) -> str:
    parts = [f"HTTP {status}", f" {code}" if code else "", f": {words}" if words else ""]
    parts += [f" ({advice})" if advice else "", f" [request {request_id}]" if request_id else ""]
    return "".join(parts)


def _envelope(reply: Reply) -> Mapping[str, Any]:
    if len(reply.body) > MAX_ENVELOPE_BYTES:
        return {}
    try:
        raw = read_object(reply)
    except ResponseDecodeError:
        return {}
    error = raw.get("error")
    inside = {"message": error} if isinstance(error, str) else read_mapping(error) or {}
    return {**{name: raw[name] for name in _HINTS if name in raw}, **inside}


def _request_id(headers: Headers, words: str) -> str | None:
    for name in ("x-request-id", "x-oneapi-request-id"):
        if name in headers:
            return shorten(headers[name], 100)
    found = re.search(r"request[_ ]id: ?([\w-]{4,100})", words)
    return found[1] if found else None


# Fields of a body that may say how long to wait.
_HINTS = "retry_after_ms", "retry_after", "fallback_suggestion"


def retry_after(headers: Headers, envelope: Mapping[str, Any], wall_now: float | None = None) -> float | None:
    """Seconds to wait as the service asks: from the headers, else from a hint in the error's body.

    `Retry-After` is a date, or seconds as gateways write them: `2`, `1.5`, `2s`, `2, 2` (two headers joined).
    Some gateways also send `retry-after-ms`, which is exact. A body may have a hint, too. EvoLink, a gateway with the
    same API, sends `retry_after: 60` or `fallback_suggestion: "retry after 60 seconds"`, inside `error` or beside it.
    OpenAI writes "try again in 1m30s" in the message.
    """
    header = headers.get("Retry-After") or ""
    asked = _milliseconds(headers.get("Retry-After-Ms"))
    if asked is None:
        asked = _date_distance(header, headers, wall_now)
    if asked is None:  # if a gateway has joined two headers, use the longer wait
        parts = [seconds for part in header.split(",") if (seconds := _seconds(part)) is not None]
        asked = max(parts, default=None)
    if asked is None:
        asked = _milliseconds(envelope.get("retry_after_ms"))
    if asked is None:
        asked = _seconds(envelope.get("retry_after"))
    if asked is None:
        words = " ".join(read_text(envelope.get(name)) or "" for name in ("fallback_suggestion", "message"))
        found = _WAIT.search(words)
        asked = _seconds(found[1]) if found else None
    return asked


# A time in words: "2s", "1m30s", "350 ms", "5 minutes". A unit is a whole word: "3 more tries" is not 3 m.
_UNITS = {"m": 60.0, "s": 1.0, "h": 3600.0}
_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
_UNIT = r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)(?![a-z])"
_TIME = rf"(?:{_NUMBER}\s*{_UNIT}\s*)+"
_PART = re.compile(rf"({_NUMBER})\s*({_UNIT})", re.IGNORECASE)
_WAIT = re.compile(rf"(?:retry|again|wait)(?: after| in| for)?(?: about)? ({_TIME})", re.IGNORECASE)


def _seconds(value: object) -> float | None:
    """A wait in seconds, zero or more: a number, or a time in words; else None."""
    number = read_number(value)
    if number is not None:
        return max(0.0, float(number))
    if not isinstance(value, str) or not re.fullmatch(_TIME, value.strip(), re.IGNORECASE):
        return None
    parts = ((float(part[1]), part[2].lower()) for part in _PART.finditer(value))
    return sum(
        size / 1000 if unit.startswith(("ms", "milli")) else size * _UNITS[unit[0]] for size, unit in parts
    )


def _milliseconds(value: object) -> float | None:
    number = _seconds(value)
    return None if number is None else number / 1000


def _date_distance(text: str, headers: Headers, wall_now: float | None) -> float | None:
    when, now = parse_date(text), parse_date(headers.get("Date"))
    now = wall_now if now is None else now
    return None if when is None or now is None else max(0.0, when - now)
