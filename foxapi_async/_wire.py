"""Building and reading every exchange with the service, without any I/O.

Everything the service can say is understood here, from `(status, headers, body)` to a value or an error; what
to do about an error is decided in `_verdicts`. The pages named beside the rules are those of docs.foxapi.cc.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import attrs

from foxapi_async import _errors
from foxapi_async._converter import read_mapping, read_number, read_text, structure_snapshot, structure_upload
from foxapi_async._errors import APIError, FoxError, InvalidRequestError, ResponseDecodeError
from foxapi_async._events import TaskSnapshot, UploadedFile

Headers = Mapping[str, str]
JSON = "application/json"
UPLOAD_PATH = "/v1/files/upload/stream"  # file-management/upload-stream


@attrs.frozen(kw_only=True)
class Call:
    """One request to the API, without the key: that is the transport's business."""

    method: str
    path: str
    headers: dict[str, str] = attrs.field(factory=dict)
    body: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class Reply:
    """One answer; `whole` is False where its body broke off or was larger than we read."""

    status: int
    headers: Headers
    body: bytes = attrs.field(repr=False)
    whole: bool = True


@attrs.frozen(kw_only=True)
class Failure:
    """An exchange without an answer.

    `sent` is a fact noted at the moment the request was handed over, not deduced from an exception's class.
    """

    reason: str
    sent: bool


@attrs.frozen
class Sighting:
    """A reading of a task, and the service's clock (`Date`) when it was taken."""

    snapshot: TaskSnapshot
    date: str | None = None


def submit_call(path: str, wire: Mapping[str, Any], idempotency_key: str) -> Call:
    """A billed POST. The idempotency key is undocumented here, honoured by the sister gateway, harmless elsewhere."""
    headers = {"Content-Type": JSON, "Accept": JSON, "Idempotency-Key": idempotency_key}
    return Call(method="POST", path=path, headers=headers, body=dump(wire))


def task_call(task_id: str) -> Call:
    """A status read (task-management/get-task-detail)."""
    return Call(method="GET", path=f"/v1/tasks/{quote(check_task_id(task_id), safe='')}", headers=_ACCEPT)


_ACCEPT = {"Accept": JSON}


def dump(value: Mapping[str, Any]) -> bytes:
    """JSON as UTF-8 bytes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


# Control characters and lone surrogates among them: the latter cannot be encoded at all.
_UNSAFE_IN_ID = re.compile(r"[/\\?#%\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_task_id(task_id: object) -> str:
    """The id as given, if it is one path segment whatever a server makes of it.

    Raises:
        InvalidRequestError: it is empty, `.`, `..`, too long, or has a slash, `? # %` or a control character.
    """
    if not isinstance(task_id, str) or task_id.strip() in {"", ".", ".."} or len(task_id) > 512:
        raise InvalidRequestError(f"task_id={_short(task_id)}: give the id that a submit returned")
    if _UNSAFE_IN_ID.search(task_id):
        raise InvalidRequestError(
            f"task_id={_short(task_id)}: an id is one path segment, without / \\ ? # % or control characters"
        )
    return task_id


def multipart_frame(filename: str, boundary: str) -> tuple[bytes, bytes]:
    """What goes before and after a file's bytes in `multipart/form-data` (file-management/upload-stream: `file`)."""
    # RFC 7578 section 4.2 and the HTML standard: quotes and line ends of a name are percent-encoded.
    name = filename.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode("utf-8", "replace"), f"\r\n--{boundary}--\r\n".encode()


def upload_call(boundary: str, size: int) -> Call:
    """A POST of a file whose framed body has `size` bytes."""
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(size),
        **_ACCEPT,
    }
    return Call(method="POST", path=UPLOAD_PATH, headers=headers)


def read_object(reply: Reply) -> Mapping[str, Any]:
    """The JSON object in a reply's body.

    Raises:
        ResponseDecodeError: there is none: cut off, too large, malformed, NaN, too deep, or another kind of value.
    """
    problem = "" if reply.whole else "the body broke off or was too large"
    value: object = None
    if not problem:
        try:
            value = _DECODER.decode(reply.body.decode(json.detect_encoding(reply.body)))
        except (ValueError, RecursionError) as error:
            problem = f"not JSON ({type(error).__name__})"
    if not problem and not isinstance(value, dict):
        problem = f"a JSON {type(value).__name__} instead of an object"
    if problem or not isinstance(value, dict):
        raise ResponseDecodeError(
            f"HTTP {reply.status} with an unreadable answer: {problem}; {_excerpt(reply)}"
        )
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def read_task(reply: Reply) -> TaskSnapshot:
    """The task in the reply to a submit or a status read.

    Raises:
        ResponseDecodeError: it is unreadable, or has no id that can travel in a path.
    """
    raw = read_object(reply)
    value = raw.get("id")
    task_id = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not is_task_id(task_id):
        raise ResponseDecodeError(
            f"HTTP {reply.status} with an answer that has no usable task id: id={_short(value)}"
        )
    return structure_snapshot({**raw, "id": task_id} if task_id is not value else raw)


def read_status(reply: Reply, task_id: str) -> TaskSnapshot:
    """The task in the reply to a read of `task_id`; the id is ours, so only a status is indispensable.

    Raises:
        ResponseDecodeError: it is unreadable or has no status.
    """
    raw = read_object(reply)
    if not isinstance(raw.get("status"), str):
        raise ResponseDecodeError(
            f"HTTP {reply.status} with an answer that has no task status; {_excerpt(reply)}"
        )
    return structure_snapshot(raw if raw.get("id") == task_id else {**raw, "id": task_id})


def is_task_id(value: object) -> bool:
    """Whether `check_task_id` takes it."""
    try:
        check_task_id(value)
    except InvalidRequestError:
        return False
    return True


def read_upload(reply: Reply) -> UploadedFile:
    """The stored file in the reply to an upload (file-management/upload-stream).

    Raises:
        ResponseDecodeError: it is unreadable or has no URL.
    """
    raw = read_object(reply)
    if not isinstance(raw.get("url"), str) or not raw["url"]:
        raise ResponseDecodeError(f"HTTP {reply.status} with an upload answer that has no url")
    return structure_upload(raw)


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

_ADVICE = {
    401: "check FOXAPI_API_KEY",
    402: "top up the account's credits, then repeat",
    403: "the key may not do this, or the service's edge refused this client",
    404: "check the id, the path and the base URL",
    413: "send a smaller file",
    429: "slow down",
}


def read_error(reply: Reply, wall_now: float | None = None) -> APIError:
    """The error a refusing reply stands for, whether its body is the envelope, HTML or plain text.

    `wall_now` is Unix time in seconds, to read a Retry-After that is a date where the reply has no date itself.
    """
    envelope = _envelope(reply)
    kind, code = read_text(envelope.get("type")), read_text(envelope.get("code"))
    words = _shorten(read_text(envelope.get("message")) or _excerpt(reply))
    cls = _class_of(reply.status, kind)
    request_id = _request_id(reply.headers, words)
    extra: dict[str, Any] = {}
    if issubclass(cls, _errors.RateLimitError | _errors.ServiceUnavailableError):
        extra["retry_after"] = retry_after(reply.headers, envelope, wall_now)
    text = _error_text(reply.status, _shorten(code or kind or "", 100), words, request_id)
    return cls(text, status=reply.status, type=kind, code=code, detail=words, request_id=request_id, **extra)


def _class_of(status: int, kind: str | None) -> type[APIError]:
    # The error page contradicts itself: no channel is 503 in one table and 422 of this type in the other.
    if status == 422 and kind in {"service_unavailable_error", "service_unavailable"}:
        return _errors.ServiceUnavailableError
    return _CLASSES.get(status) or (_errors.ServerError if status >= 500 else APIError)


def _error_text(status: int, code: str, words: str, request_id: str | None) -> str:
    parts = [f"HTTP {status}", f" {code}" if code else "", f": {words}" if words else ""]
    parts += [
        f" ({_ADVICE[status]})" if status in _ADVICE else "",
        f" [request {request_id}]" if request_id else "",
    ]
    return "".join(parts)


def _envelope(reply: Reply) -> Mapping[str, Any]:
    try:
        error = read_object(reply).get("error")
    except ResponseDecodeError:
        return {}
    return {"message": error} if isinstance(error, str) else read_mapping(error) or {}


def _request_id(headers: Headers, words: str) -> str | None:
    for name in ("x-request-id", "x-oneapi-request-id"):
        if name in headers:
            return _shorten(headers[name], 100)
    found = re.search(r"request[_ ]id: ?([\w-]{4,100})", words)
    return found[1] if found else None


def retry_after(headers: Headers, envelope: Mapping[str, Any], wall_now: float | None = None) -> float | None:
    """Seconds to wait as the service asks: header in seconds or as a date, else a hint in the error's body.

    The body forms are the sister gateway's: `retry_after: 60`, `fallback_suggestion: "retry after 60 seconds"`.
    """
    header = headers.get("Retry-After")
    asked = _seconds(header) if _seconds(header) is not None else _date_distance(header, headers, wall_now)
    if asked is not None:
        return asked
    hint = _seconds(envelope.get("retry_after"))
    words = f"{envelope.get('fallback_suggestion', '')} {envelope.get('message', '')}"
    found = re.search(r"(?:retry|try again) (?:after|in) (\d{1,6}(?:\.\d+)?) ?s", words, re.IGNORECASE)
    return hint if hint is not None or found is None else float(found[1])


def _seconds(value: object) -> float | None:
    number = read_number(value)
    return None if number is None else max(0.0, float(number))


def _date_distance(text: str | None, headers: Headers, wall_now: float | None) -> float | None:
    when, now = parse_date(text), parse_date(headers.get("Date"))
    now = wall_now if now is None else now
    return None if when is None or now is None else max(0.0, when - now)


def parse_date(text: str | None) -> float | None:
    """An HTTP date as Unix time in seconds; None if it is none."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    # HTTP dates are GMT (RFC 9110 section 5.6.7): one without a zone is not this machine's local time.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def age_at_reply(snapshot: TaskSnapshot, date: str | None) -> float:
    """Seconds since the task was created, both moments on the service's clock; 0 where it does not say.

    `created: 0` does not say: it is what a gateway sends that never filled the field in.
    """
    now, created = parse_date(date), snapshot.created or 0
    if now is None or created <= 0:
        return 0.0
    return max(0.0, now - created)


_TITLE = re.compile(r"<title>(.*?)</title>", re.IGNORECASE | re.DOTALL)


def _excerpt(reply: Reply) -> str:
    """A few words of a body that is not our JSON: an HTML page's title, or the beginning of a text."""
    text = reply.body[:4096].decode("utf-8", "replace")
    title = _TITLE.search(text)
    return _shorten(title[1] if title else text) or "empty body"


def _shorten(text: str, limit: int = 300) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return text if len(text) <= limit else f"{text[:limit]}…"


def _short(value: object) -> str:
    return _shorten(repr(value), 80)


def task_failure(snapshot: TaskSnapshot) -> FoxError:
    """The error that a task which failed or was cancelled stands for."""
    problem = snapshot.error
    code, words = (problem.code, _shorten(problem.message)) if problem else (None, "")
    if snapshot.status == "failed":
        why = f" ({_shorten(code, 100)})" if code else ""
        text = f"task {snapshot.id} failed{why}" + (f": {words}" if words else "")
        return _errors.TaskFailedError(text, code=code, detail=words, task_id=snapshot.id, snapshot=snapshot)
    text = f"task {snapshot.id} was cancelled at the service" + (f": {words}" if words else "")
    return _errors.TaskCancelledError(text, task_id=snapshot.id, snapshot=snapshot)
