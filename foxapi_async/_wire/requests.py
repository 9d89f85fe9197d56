"""Requests to the service and their outcomes (a reply or a failure), as values and without I/O.

Comments name the pages of docs.foxapi.cc that state the rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import attrs

from foxapi_async._errors import InvalidRequestError
from foxapi_async._hints import Hint
from foxapi_async._wire.texts import short

Headers = Mapping[str, str]
JSON = "application/json"
MODELS_PATH = "/v1/models"
CREDITS_PATH = "/v1/account/credits"
UPLOAD_PATH = "/v1/files/upload/stream"  # file-management/upload-stream


@attrs.frozen(kw_only=True)
class Call:
    """One POST to the API, without the key: the transport adds it."""

    path: str
    headers: dict[str, str]
    body: bytes | None = attrs.field(default=None, repr=False)


class Document(NamedTuple):
    """A parsed body: its value and a JSON text of this value; or the `problem` that makes it unreadable."""

    value: Any
    body: bytes
    problem: str = ""
    too_large: bool = False


class Reply(NamedTuple):
    """One reply. A tuple, because every poll makes one, and a frozen attrs class takes three times as long.

    `whole` is False if the body was cut off or was too large; `too_large` is True in the second case.
    `document` is the parsed body. Only a large body is parsed (in a thread) before its reply is judged.
    `origin` is the API's, such as "https://api.foxapi.cc".
    """

    status: int
    headers: Headers
    body: bytes
    whole: bool = True
    too_large: bool = False
    document: Document | None = None
    origin: str = ""


@attrs.frozen(kw_only=True)
class Failure:
    """An exchange without a reply.

    `sent` is noted when the request is handed over. It is not deduced from an exception's class.
    """

    reason: str
    sent: bool
    hint: Hint | None = None


def submit_call(path: str, wire: Mapping[str, Any], idempotency_key: str) -> Call:
    """A billed POST. The service does not document the idempotency key. EvoLink (a gateway with the same API)
    supports it, and it does no harm.
    """
    headers = {"Content-Type": JSON, "Accept": JSON, "Idempotency-Key": idempotency_key}
    body = json.dumps(wire, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return Call(path=path, headers=headers, body=body)


def task_path(task_id: object) -> str:
    """The path of a task's status (task-management/get-task-detail)."""
    plain = isinstance(task_id, str) and _is_plain(task_id)
    return f"/v1/tasks/{task_id if plain else quote(check_task_id(task_id), safe='')}"


# An id that has only unreserved characters (RFC 3986 section 2.3) passes the check and needs no quoting.
_is_plain = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.~-]{0,511}").fullmatch


_ACCEPT = {"Accept": JSON}


MAX_ID = 512

# Includes control characters and lone surrogates: a lone surrogate cannot be encoded.
_UNSAFE_IN_ID = re.compile(r"[/\\?#%\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_task_id(task_id: object) -> str:
    """The id as given, if every server reads it as one path segment.

    Raises:
        InvalidRequestError: the id is empty, `.`, `..` or too long, or has a slash, `? # %` or a control character.
    """
    if not isinstance(task_id, str) or task_id.strip() in {"", ".", ".."} or len(task_id) > MAX_ID:
        raise InvalidRequestError(f"{short(task_id)} is not a task id", hint=Hint.GIVE_TASK_ID)
    if _UNSAFE_IN_ID.search(task_id):
        raise InvalidRequestError(
            f"{short(task_id)} is not a task id: an id is one path segment, without / \\ ? # % or control characters",
            hint=Hint.GIVE_TASK_ID,
        )
    return task_id


def multipart_frame(filename: str, boundary: str) -> tuple[bytes, bytes]:
    """The bytes before and after a file's bytes in `multipart/form-data` (file-management/upload-stream: `file`)."""
    # RFC 7578 section 4.2 and the HTML standard: quotes and line ends in a name are percent-encoded.
    name = filename.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode("utf-8", "replace"), f"\r\n--{boundary}--\r\n".encode()


def upload_call(boundary: str, size: int) -> Call:
    """A POST of a file. Its body, with the frame, has `size` bytes."""
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(size),
        **_ACCEPT,
    }
    return Call(path=UPLOAD_PATH, headers=headers)


def is_task_id(value: object) -> bool:
    """Whether `check_task_id` accepts the value."""
    if isinstance(value, str) and _is_plain(value):
        return True
    try:
        check_task_id(value)
    except InvalidRequestError:
        return False
    return True
