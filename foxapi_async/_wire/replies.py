"""Reads the service's replies about tasks and files, without I/O. All their forms are in this module.

- The values ignore unknown fields; `.raw` keeps them.
- Every text is cleaned when the reply is parsed (`json_values`).
- A field that is missing, null or of the wrong type becomes None or empty. Only `id` is required: the
  service's own specification marks no field as required.
- A number may be sent as a text. NaN and infinity count as missing.
- `estimated_time` is in `task_info`.
- `error` is an object or a text.

`results` reads the results of a task. `error_replies` reads refusals. `_policy` decides what follows from
them. Comments name the pages of docs.foxapi.cc that state the rules.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import attrs

from foxapi_async._errors import ResponseDecodeError
from foxapi_async._wire.json_values import (
    JsonValue,
    Raw,
    begins_like_json,
    excerpt,
    is_json,
    read_document,
    read_number,
    read_object,
    read_price,
    read_text,
    read_whole,
)
from foxapi_async._wire.requests import MAX_ID, Reply, is_task_id
from foxapi_async._wire.results import ResultFile, files_in, results_in, values_in
from foxapi_async._wire.texts import short

if TYPE_CHECKING:
    from cattrs import Converter


@attrs.frozen(kw_only=True)
class TaskProblem:
    """Why a task failed, in the service's words.

    Attributes:
        code: an open-ended reason such as "content_policy_violation"; None if the service gave no code.
        message: the service's message.
        type: "task_error" in the documentation; None if the service gave no type.
    """

    code: str | None = None
    message: str = ""
    type: str | None = None


class TaskReply(NamedTuple):
    """The task as one reply describes it (docs.foxapi.cc get-task-detail).

    A tuple, because every poll makes one, and a frozen attrs class takes three times as long. `raw` is the
    whole reply: a mapping, or the JSON text that arrived. `date` is the service's clock (`Date` header).
    """

    id: str
    model: str = ""
    status: str = "pending"
    progress: float | None = None
    estimated_time: float | None = None
    created: float | None = None
    files: tuple[ResultFile, ...] = ()
    error: TaskProblem | None = None
    usage: Raw | None = None
    raw: Raw | bytes = b"{}"
    has_results: bool = False
    has_values: bool = False
    date: str | None = None
    type: str = ""


@attrs.frozen(kw_only=True)
class UploadedFile:
    """An input file that the service keeps for 72 hours (docs.foxapi.cc upload-stream).

    Attributes:
        url: its temporary address, to be used as an input file.
        id: the file's id; None if the reply had no id.
        filename: its name at the service; None if the reply had no name.
        size: in bytes; None if the reply had no size.
        created: Unix time in seconds on the service's clock, or None.
        raw: the whole reply.
    """

    url: str
    id: str | None = None
    filename: str | None = None
    size: int | None = None
    created: float | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, hash=False)


def read_task(reply: Reply) -> TaskReply:
    """The task in the reply to a submit or a status read. It may have any status.

    Raises:
        ResponseDecodeError: the reply is unreadable, or has no id that can be part of a path. If the reply
            has a text that looks like an id, `.task_id` is this text.
    """
    try:
        raw, body = read_document(reply)
    except ResponseDecodeError as error:
        error.task_id = _id_in_text(reply)
        raise
    task_id = _usable_id(raw)
    if task_id is None:
        raise ResponseDecodeError(
            f"HTTP {reply.status} with an answer that has no usable task id: id={short(raw.get('id'))}",
            task_id=_id_elsewhere(raw) or _id_in_location(reply),
        )
    try:
        return _structured(reply, raw, body, task_id)
    except Exception:  # a bug of the SDK must not lose the id of a task that is paid for
        return TaskReply(id=task_id)


def _usable_id(raw: Raw) -> str | None:
    """The task's id, if a request can use it. An id with replaced bytes is refused, because
    it may be the id of another task.
    """
    value = raw.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and "\ufffd" not in value and is_task_id(value) else None


def _to_quote(value: object) -> str | None:
    """An id to quote to the service's support, even if no request can use it; None if it is not printable text."""
    named = isinstance(value, str) and value.isprintable() and value.strip() and len(value) <= MAX_ID
    return str(value) if named else None


# Other places of an id: these fields, of the reply itself or of an object inside it.
_IDS = "task_id", "taskId", "id"
_INSIDE = "data", "task", "result", "results", "output"
_ID_TEXT = re.compile(rb'"(?:id|task_?[iI]d)"\s{0,8}:\s{0,8}"([^"\\\x00-\x1f]{1,512})"')
_TASK_ADDRESS = re.compile(r"/tasks/([^/?#\s]{1,512})")


def _id_elsewhere(raw: Raw) -> str | None:
    """A text that looks like a task id, in a reply without a usable id."""
    inside: list[JsonValue] = [raw.get(name) for name in _INSIDE]
    inner = [value[0] if isinstance(value, list) and value else value for value in inside]
    places = [raw, *(value for value in inner if isinstance(value, dict))]
    found = (_to_quote(place.get(name)) for place in places for name in _IDS)
    return next((task_id for task_id in found if task_id), None)


def _id_in_text(reply: Reply) -> str | None:
    """A text that looks like a task id, in unreadable JSON or in the reply's `Location`."""
    found = _ID_TEXT.search(reply.body, 0, 64 * 1024) if begins_like_json(reply) else None
    return _to_quote(found[1].decode("utf-8", "replace")) if found else _id_in_location(reply)


def _id_in_location(reply: Reply) -> str | None:
    found = _TASK_ADDRESS.search(reply.headers.get("Location") or "")
    return _to_quote(found[1]) if found else None


Speaker = Literal["service", "stranger", "page", "cut"]


def speaker(reply: Reply) -> Speaker:
    """Who gave a reply: "service" if it is the service's own JSON (an object with a task's id or with
    `error`).

    Everything else comes from something in front of the service. Other JSON is from a "stranger". A "page" is
    HTML, text or nothing. JSON that is "cut" off does not show who sent it.
    """
    try:
        raw = read_object(reply)
    except ResponseDecodeError:
        if not reply.whole or reply.too_large:
            return "cut" if begins_like_json(reply) else "page"
        return "stranger" if is_json(reply) else "page"
    error: JsonValue = raw.get("error")
    says_error = isinstance(error, dict | str) and bool(error)
    return "service" if says_error or _usable_id(raw) is not None else "stranger"


def read_status(reply: Reply, task_id: str) -> TaskReply:
    """The task in the reply to a read of `task_id`. The SDK knows the id already, so only a status is
    required.

    Raises:
        ResponseDecodeError: the reply is unreadable or has no status.
    """
    raw, body = read_document(reply)
    if not isinstance(raw.get("status"), str):
        raise ResponseDecodeError(
            f"HTTP {reply.status} with an answer that has no task status; {excerpt(reply)}"
        )
    return _structured(reply, raw, body, task_id)


def _structured(reply: Reply, raw: dict[str, Any], body: bytes, task_id: str) -> TaskReply:
    """The task `task_id` as the reply describes it, even if the reply has another id."""
    exact = raw.get("id") == task_id
    raw["id"] = task_id  # so that all replies of a task share one text in memory
    given = raw, body if exact else None, reply
    task: TaskReply = _task_hook()(given, TaskReply)
    return task


def read_upload(reply: Reply) -> UploadedFile:
    """The stored file in the reply to an upload (file-management/upload-stream).

    Raises:
        ResponseDecodeError: the reply is unreadable or has no URL.
    """
    raw = read_object(reply)
    if not isinstance(raw.get("url"), str) or not raw["url"]:
        raise ResponseDecodeError(f"HTTP {reply.status} with an upload answer that has no url")
    return make_converter().structure(raw, UploadedFile)


@functools.cache
def make_converter() -> Converter:
    """The only converter. A session makes it before it opens (`prepare_converter`).

    Its two hooks are plain functions with one constructor call each. They read a poll in half the time of
    generated code with a hook for every field.
    """
    import cattrs  # noqa: PLC0415 - importing the package, and making a request, must not wait for it

    converter = cattrs.Converter()
    converter.register_structure_hook(TaskReply, _read_task)
    converter.register_structure_hook(UploadedFile, lambda raw, _: _read_upload(raw))
    return converter


@functools.cache
def _task_hook() -> Callable[[Any, Any], Any]:
    """The converter's function for a task, kept because looking it up takes longer than calling it."""
    return make_converter().get_structure_hook(TaskReply)


def prepare_converter() -> None:
    """Import cattrs and make the converter, so that no reply waits for this."""
    _task_hook()


def _read_task(given: tuple[Raw, bytes | None, Reply], _: object) -> TaskReply:
    raw, body, reply = given
    get = raw.get
    error: JsonValue = get("error")
    usage: JsonValue = get("usage")
    info: JsonValue = get("task_info")
    results = results_in(raw) if get("results") or get("output") or get("result_data") else []
    return TaskReply(
        id=raw["id"],
        model=_read_word(get("model")) or "",
        status=_read_word(get("status")) or "pending",
        progress=read_number(get("progress")),
        estimated_time=read_number(info.get("estimated_time")) if isinstance(info, dict) else None,
        created=read_number(get("created")),
        files=files_in(results, reply.origin) if results else (),
        error=_read_problem(error) if error else None,
        usage=usage if isinstance(usage, dict) else None,
        raw=body if body and not results else raw,
        has_results=bool(results),
        has_values=bool(results and values_in(results, get("type"))),
        date=reply.headers.get("Date"),
        type=_read_word(get("type")) or _type_in(get("object")),
    )


def _type_in(value: JsonValue) -> str:
    """The type of a task by its `object`, such as "video.generation.task"; "" if it has none."""
    kind, dot, _ = (_read_word(value) or "").partition(".")
    return kind if dot else ""


def _read_upload(raw: Raw) -> UploadedFile:
    return UploadedFile(
        url=raw["url"],
        id=read_text(raw.get("id")),
        filename=read_text(raw.get("filename")),
        size=read_whole(raw.get("size")),
        created=read_number(raw.get("created")),
        raw=raw,
    )


def _read_word(value: object) -> str | None:
    """The text. Equal texts are one object, because a hundred thousand tasks have only a few models and states."""
    text = value if type(value) is str else read_text(value)
    return _the_same(text) if text and len(text) < 100 else text


@functools.lru_cache(maxsize=256)
def _the_same(text: str) -> str:
    return text


def _read_problem(error: JsonValue) -> TaskProblem | None:
    if isinstance(error, str):
        return TaskProblem(message=error)
    if not isinstance(error, dict):
        return None
    code, kind = read_text(error.get("code")), read_text(error.get("type"))
    return TaskProblem(code=code, message=read_text(error.get("message")) or "", type=kind)


def credits_of(usage: Raw | None) -> float | None:
    """The credits of a task by its `usage` (docs.foxapi.cc get-task-detail); None if unknown. These are the used
    credits. If the reply does not state them, they are the reserved credits.

    EvoLink (a gateway with the same API) writes `credits_used`, or `cost: {credits}`, when a task is over.
    """
    if not usage:
        return None
    cost: JsonValue = usage.get("cost")
    inside = cost.get("credits") if isinstance(cost, dict) else None
    stated = (usage.get("credits_used"), inside, usage.get("credits_reserved"))
    return next((price for price in map(read_price, stated) if price is not None), None)
