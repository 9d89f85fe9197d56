"""What the service says of tasks and files, read without any I/O: the whole dialect in one place.

- Unknown fields are ignored by the values and kept whole in `.raw`.
- Every text is made clean as the reply is parsed (`json_values`).
- A field that is missing, null or of the wrong type becomes None or empty. Only `id` is indispensable: the vendor's
  own specification marks no field as required.
- Numbers may come as text. NaN and infinity count as missing.
- `results` is a list of objects (FoxAPI), of URL strings (its sister gateway), or null. The older documentation has
  `output: {url, urls}` instead.
- `estimated_time` lies in `task_info`.
- `error` is an object or a text.
- Only http and https result URLs are taken: nothing else may be opened by `save`.
- Of very many results only the first become files. All are in `.raw`.

What a refusal says is read in `error_replies`. What to do about it is decided in `_policy`. The pages named beside the
rules are those of docs.foxapi.cc.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import attrs

from foxapi_async._errors import ResponseDecodeError
from foxapi_async._wire.json_values import (
    Raw,
    begins_like_json,
    excerpt,
    is_json,
    read_document,
    read_number,
    read_object,
    read_text,
    read_whole,
)
from foxapi_async._wire.requests import MAX_ID, Reply, is_task_id
from foxapi_async._wire.texts import short

if TYPE_CHECKING:
    from cattrs import Converter

# The documented models make four at most; a reply that lists a hundred thousand held the loop up for a second.
MOST_IMAGES = 1000


@attrs.frozen(kw_only=True)
class TaskProblem:
    """Why the service says a task failed.

    Attributes:
        code: an open-ended reason such as "content_policy_violation"; None if it gave none.
        message: its words.
        type: "task_error" in the documentation; None if it gave none.
    """

    code: str | None = None
    message: str = ""
    type: str | None = None


class ResultFile(NamedTuple):
    """One result that has an address: `raw` is the whole object of the reply."""

    url: str
    content_type: str | None
    raw: Raw


class TaskReply(NamedTuple):
    """What one reply says of a task, as docs.foxapi.cc get-task-detail describes it.

    A tuple, because every poll makes one: a frozen attrs class takes three times as long. `raw` is the whole reply,
    as a mapping or as the JSON that it came in; `date` is the service's clock (`Date` header).
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
    date: str | None = None


@attrs.frozen(kw_only=True)
class UploadedFile:
    """An input file that the service keeps for 72 hours (docs.foxapi.cc upload-stream).

    Attributes:
        url: its temporary address, for `image_urls`.
        id: the file's id, None if the reply had none.
        filename: its name at the service, None if the reply had none.
        size: in bytes, None if the reply had none.
        created: Unix time in seconds on the service's clock, or None.
        raw: the whole reply.
    """

    url: str
    id: str | None = None
    filename: str | None = None
    size: int | None = None
    created: float | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)


def read_task(reply: Reply) -> TaskReply:
    """The task in the reply to a submit or a status read, whatever its status.

    Raises:
        ResponseDecodeError: it is unreadable, or has no id that can travel in a path. What looks like one is in
            `.task_id`.
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
    except Exception:  # ours: it must not cost the id of a task that is paid for
        return TaskReply(id=task_id)


def _usable_id(raw: Raw) -> str | None:
    """The id of a task that can be asked for; one with replaced bytes is another task's, or none's."""
    value = raw.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and "\ufffd" not in value and is_task_id(value) else None


def _to_quote(value: object) -> str | None:
    """An id that cannot be asked for is still what to name to the service's support; None if it is no name at all."""
    named = isinstance(value, str) and value.isprintable() and value.strip() and len(value) <= MAX_ID
    return str(value) if named else None


# Where an id may stand that is not where it belongs: in these fields, of the reply or of what lies in it.
_IDS = "task_id", "taskId", "id"
_INSIDE = "data", "task", "result", "results", "output"
_ID_TEXT = re.compile(rb'"(?:id|task_?[iI]d)"\s{0,8}:\s{0,8}"([^"\\\x00-\x1f]{1,512})"')
_TASK_ADDRESS = re.compile(r"/tasks/([^/?#\s]{1,512})")


def _id_elsewhere(raw: Raw) -> str | None:
    """What looks like a task id in a reply without a usable one."""
    inner = (value[0] if isinstance(value, list) and value else value for value in map(raw.get, _INSIDE))
    places = [raw, *(value for value in inner if isinstance(value, dict))]
    found = (_to_quote(place.get(name)) for place in places for name in _IDS)
    return next((task_id for task_id in found if task_id), None)


def _id_in_text(reply: Reply) -> str | None:
    """What looks like a task id in JSON that cannot be read, or in the address that a reply names."""
    found = _ID_TEXT.search(reply.body, 0, 64 * 1024) if begins_like_json(reply) else None
    return _to_quote(found[1].decode("utf-8", "replace")) if found else _id_in_location(reply)


def _id_in_location(reply: Reply) -> str | None:
    found = _TASK_ADDRESS.search(reply.headers.get("Location") or "")
    return _to_quote(found[1]) if found else None


Speaker = Literal["service", "stranger", "page", "cut"]


def speaker(reply: Reply) -> Speaker:
    """Who gave a reply: the service itself, if it is JSON of its own (an object with a task's id or with `error`).

    Everything else comes from something in front of it: JSON of another kind from a "stranger", and a "page" (or a
    text, or nothing). Of JSON that is "cut" it cannot be told.
    """
    try:
        raw = read_object(reply)
    except ResponseDecodeError:
        if not reply.whole or reply.too_large:
            return "cut" if begins_like_json(reply) else "page"
        return "stranger" if is_json(reply) else "page"
    error = raw.get("error")
    says_error = isinstance(error, dict | str) and bool(error)
    return "service" if says_error or _usable_id(raw) is not None else "stranger"


def read_status(reply: Reply, task_id: str) -> TaskReply:
    """The task in the reply to a read of `task_id`; the id is ours, so only a status is indispensable.

    Raises:
        ResponseDecodeError: it is unreadable or has no status.
    """
    raw, body = read_document(reply)
    if not isinstance(raw.get("status"), str):
        raise ResponseDecodeError(
            f"HTTP {reply.status} with an answer that has no task status; {excerpt(reply)}"
        )
    return _structured(reply, raw, body, task_id)


def _structured(reply: Reply, raw: dict[str, Any], body: bytes, task_id: str) -> TaskReply:
    """What the reply says of the task `task_id`, whatever id it has itself."""
    exact = raw.get("id") == task_id
    raw["id"] = task_id  # one text for all replies of a task
    task: TaskReply = _task_hook()((raw, body if exact else None, reply.headers.get("Date")), TaskReply)
    return task


def read_upload(reply: Reply) -> UploadedFile:
    """The stored file in the reply to an upload (file-management/upload-stream).

    Raises:
        ResponseDecodeError: it is unreadable or has no URL.
    """
    raw = read_object(reply)
    if not isinstance(raw.get("url"), str) or not raw["url"]:
        raise ResponseDecodeError(f"HTTP {reply.status} with an upload answer that has no url")
    return make_converter().structure(raw, UploadedFile)


@functools.cache
def make_converter() -> Converter:
    """The one converter; a session makes it before it opens (`prepare_converter`).

    Its two hooks are plain functions, one constructor call each: a poll is read in half the time that generated code
    with a hook for every field takes.
    """
    import cattrs  # noqa: PLC0415 - naming the package, and making a request, must not wait for it

    converter = cattrs.Converter()
    converter.register_structure_hook(TaskReply, _read_task)
    converter.register_structure_hook(UploadedFile, lambda raw, _: _read_upload(raw))
    return converter


@functools.cache
def _task_hook() -> Callable[[Any, Any], Any]:
    """What the converter calls for a task; to ask it each time takes longer than the call."""
    return make_converter().get_structure_hook(TaskReply)


def prepare_converter() -> None:
    """Import cattrs and make the converter, so that no reply has to wait for that."""
    _task_hook()


def _read_task(given: tuple[Raw, bytes | None, str | None], _: object) -> TaskReply:
    raw, body, date = given
    get = raw.get
    error, usage, info = get("error"), get("usage"), get("task_info")
    results = _results_of(raw) if get("results") or get("output") else []
    return TaskReply(
        id=raw["id"],
        model=_read_word(get("model")) or "",
        status=_read_word(get("status")) or "pending",
        progress=read_number(get("progress")),
        estimated_time=read_number(info.get("estimated_time")) if isinstance(info, dict) else None,
        created=read_number(get("created")),
        files=_read_files(results) if results else (),
        error=_read_problem(error) if error else None,
        usage=usage if isinstance(usage, dict) else None,
        raw=body if body and not results else raw,
        has_results=bool(results),
        date=date,
    )


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
    """A text that many replies share, as one object for all: a hundred thousand tasks have few models and states."""
    text = value if type(value) is str else read_text(value)
    return _the_same(text) if text and len(text) < 100 else text


@functools.lru_cache(maxsize=256)
def _the_same(text: str) -> str:
    return text


def _results_of(raw: Raw) -> list[Any]:
    """The result list in any of its documented shapes; an object or text with nothing in it is no result."""
    results = raw.get("results")
    if isinstance(results, (dict, str)):
        results = [results]
    if not isinstance(results, list) or not results:
        results = _older_output(raw.get("output"))
    # Types of JSON, asked for by name: an abstract class takes ten times as long to tell.
    found = (item for item in results if isinstance(item, (dict, str)) and item)
    return list(itertools.islice(found, MOST_IMAGES))


def _older_output(output: object) -> list[Any]:
    """`output: {url, urls}` of the oldest get-task-detail page."""
    if not isinstance(output, dict):
        return []
    urls = output.get("urls")
    return [url for url in urls if url] if isinstance(urls, list) and urls else [output.get("url")]


def _read_files(results: Iterable[Any]) -> tuple[ResultFile, ...]:
    """The results that are links, each a text or an object with a `url`."""
    files = []
    for item in results:
        raw = item if isinstance(item, dict) else {"url": item}
        url = raw.get("url")
        if isinstance(url, str) and url[:8].lower().startswith(("http://", "https://")):
            files.append(ResultFile(url, read_text(raw.get("content_type")), raw))
    return tuple(files)


def _read_problem(error: object) -> TaskProblem | None:
    if isinstance(error, str):
        return TaskProblem(message=error)
    if not isinstance(error, dict):
        return None
    code, kind = read_text(error.get("code")), read_text(error.get("type"))
    return TaskProblem(code=code, message=read_text(error.get("message")) or "", type=kind)
