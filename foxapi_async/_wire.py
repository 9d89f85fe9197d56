"""Reading what the service says of tasks and files, without any I/O.

What a refusal says is read in `_refusals`, and what to do about it is decided in `_verdicts`. The pages named beside
the rules are those of docs.foxapi.cc.
"""

from __future__ import annotations

import json
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from foxapi_async import _errors
from foxapi_async._calls import MAX_ID, Reply, is_task_id, short, shorten
from foxapi_async._converter import structure_snapshot, structure_upload
from foxapi_async._errors import FoxError, ResponseDecodeError
from foxapi_async._events import TaskSnapshot, UploadedFile
from foxapi_async._state import Signal


class Sighting(NamedTuple):
    """A reading of a task, and the service's clock (`Date`) when it was taken."""

    snapshot: TaskSnapshot
    date: str | None = None


def read_object(reply: Reply) -> dict[str, Any]:
    """The JSON object in a reply's body.

    Raises:
        ResponseDecodeError: there is none: cut off, too large, malformed, NaN, too deep, or another kind of value.
    """
    problem = "" if reply.whole else "the body broke off or was too large"
    value: object = None
    if not problem:
        try:
            value = _parse(reply.body)
        except (ValueError, RecursionError) as error:
            problem = f"not JSON ({type(error).__name__})"
    if not problem and not isinstance(value, dict):
        problem = f"a JSON {type(value).__name__} instead of an object"
    if problem or not isinstance(value, dict):
        raise ResponseDecodeError(
            f"HTTP {reply.status} with an unreadable answer: {problem}; {excerpt(reply)}"
        )
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)

# Whoever copies, compares, pickles or prints a value goes down into it by recursion, from wherever the stack stands
# by then. The documented replies have four levels.
MAX_DEPTH = 100


def _parse(body: bytes) -> object:
    if not body.startswith(b'{"'):
        text = body.decode(json.detect_encoding(body))
        value = _DECODER.decode(text)
    else:
        # Nearly always: two ASCII characters leave no encoding but UTF-8. Not to search for it, nor for white space
        # in front, takes a third off `json.loads`.
        text = body.decode()
        value, end = _DECODER.raw_decode(text)
        if text[end:].strip(" \t\r\n"):
            raise ValueError("extra data")
    # Few brackets cannot be deep.
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value):
        raise RecursionError
    return value


def _is_deep(value: object) -> bool:
    """Whether containers lie more than `MAX_DEPTH` deep in one another."""
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        insides = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [inner for inside in insides for inner in inside if isinstance(inner, (dict, list))]
        if not level:
            return False
    return True


def read_task(reply: Reply) -> TaskSnapshot:
    """The task in the reply to a submit or a status read.

    Raises:
        ResponseDecodeError: it is unreadable, or has no id that can travel in a path; what it has is in `.task_id`.
    """
    raw = read_object(reply)
    value = raw.get("id")
    task_id = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(task_id, str) or not is_task_id(task_id):
        raise ResponseDecodeError(
            f"HTTP {reply.status} with an answer that has no usable task id: id={short(value)}",
            task_id=_to_quote(task_id),
        )
    return _snapshot(raw, reply.body, task_id)


def _to_quote(value: object) -> str | None:
    """An id that cannot be asked for is still what to name to the service's support; None if it is no name at all."""
    named = isinstance(value, str) and value.isprintable() and value.strip() and len(value) <= MAX_ID
    return str(value) if named else None


def read_status(reply: Reply, task_id: str) -> TaskSnapshot:
    """The task in the reply to a read of `task_id`; the id is ours, so only a status is indispensable.

    Raises:
        ResponseDecodeError: it is unreadable or has no status.
    """
    raw = read_object(reply)
    if not isinstance(raw.get("status"), str):
        raise ResponseDecodeError(
            f"HTTP {reply.status} with an answer that has no task status; {excerpt(reply)}"
        )
    return _snapshot(raw, reply.body, task_id)


def _snapshot(raw: dict[str, Any], body: bytes, task_id: str) -> TaskSnapshot:
    """The reading of the task `task_id`, whatever id it has itself."""
    exact = raw.get("id") == task_id
    raw["id"] = task_id  # one text for all readings of a task
    return structure_snapshot(raw, body if exact else None)


def read_upload(reply: Reply) -> UploadedFile:
    """The stored file in the reply to an upload (file-management/upload-stream).

    Raises:
        ResponseDecodeError: it is unreadable or has no URL.
    """
    raw = read_object(reply)
    if not isinstance(raw.get("url"), str) or not raw["url"]:
        raise ResponseDecodeError(f"HTTP {reply.status} with an upload answer that has no url")
    return structure_upload(raw)


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


# It matches wherever a title begins: a search for its end as well would take the square of many beginnings.
_TITLE = re.compile(r"<title>([^<]*)", re.IGNORECASE)


def excerpt(reply: Reply) -> str:
    """A few words of a body that is not our JSON: an HTML page's title, or the beginning of a text."""
    text = reply.body[:4096].decode("utf-8", "replace")
    title = _TITLE.search(text)
    return (title and shorten(title[1])) or shorten(text) or "empty body"


def task_failure(snapshot: TaskSnapshot) -> FoxError:
    """The error that a task which failed or was cancelled stands for."""
    problem = snapshot.error
    code, words = (problem.code, shorten(problem.message)) if problem else (None, "")
    if snapshot.signal is Signal.FAILURE:
        why = f" ({shorten(code, 100)})" if code else ""
        text = f"task {snapshot.id} failed{why}" + (f": {words}" if words else "")
        return _errors.TaskFailedError(text, code=code, detail=words, task_id=snapshot.id, snapshot=snapshot)
    text = f"task {snapshot.id} was cancelled at the service" + (f": {words}" if words else "")
    return _errors.TaskCancelledError(text, task_id=snapshot.id, snapshot=snapshot)
