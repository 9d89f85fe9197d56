"""What the service says of tasks and files, read without any I/O: the whole dialect in one place.

- Unknown fields are ignored by the values and kept whole in `.raw`.
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
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from foxapi_async._errors import ResponseDecodeError
from foxapi_async._wire.json_values import (
    Raw,
    excerpt,
    read_mapping,
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
    return _structured(reply, raw, task_id)


def _to_quote(value: object) -> str | None:
    """An id that cannot be asked for is still what to name to the service's support; None if it is no name at all."""
    named = isinstance(value, str) and value.isprintable() and value.strip() and len(value) <= MAX_ID
    return str(value) if named else None


def read_status(reply: Reply, task_id: str) -> TaskReply:
    """The task in the reply to a read of `task_id`; the id is ours, so only a status is indispensable.

    Raises:
        ResponseDecodeError: it is unreadable or has no status.
    """
    raw = read_object(reply)
    if not isinstance(raw.get("status"), str):
        raise ResponseDecodeError(
            f"HTTP {reply.status} with an answer that has no task status; {excerpt(reply)}"
        )
    return _structured(reply, raw, task_id)


def _structured(reply: Reply, raw: dict[str, Any], task_id: str) -> TaskReply:
    """What the reply says of the task `task_id`, whatever id it has itself."""
    exact = raw.get("id") == task_id
    raw["id"] = task_id  # one text for all replies of a task
    given = raw, reply.body if exact else None, reply.headers.get("Date")
    return make_converter().structure(given, TaskReply)


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
    """The one converter; a session makes it before it opens.

    Its two hooks are plain functions, one constructor call each: a poll is read in half the time that generated code
    with a hook for every field takes.
    """
    import cattrs  # noqa: PLC0415 - naming the package, and making a request, must not wait for it

    converter = cattrs.Converter()
    converter.register_structure_hook(TaskReply, lambda given, _: _read_task(*given))
    converter.register_structure_hook(UploadedFile, lambda raw, _: _read_upload(raw))
    return converter


def _read_task(raw: Raw, body: bytes | None, date: str | None) -> TaskReply:
    get = raw.get
    results = _results_of(get("results"), get("output"))
    return TaskReply(
        id=raw["id"],
        model=_read_word(get("model")) or "",
        status=_read_word(get("status")) or "pending",
        progress=read_number(get("progress")),
        estimated_time=_read_estimate(get("task_info")),
        created=read_number(get("created")),
        files=_read_files(results) if results else (),
        error=_read_problem(get("error")),
        usage=read_mapping(get("usage")),
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
    text = read_text(value)
    return _the_same(text) if text and len(text) < 100 else text


@functools.lru_cache(maxsize=256)
def _the_same(text: str) -> str:
    return text


def _read_estimate(task_info: object) -> float | None:
    return read_number(task_info.get("estimated_time")) if isinstance(task_info, dict) else None


def _results_of(results: object, output: object) -> list[Any]:
    """The result list in any of its documented shapes; an object or text with nothing in it is no result."""
    if not results and not output:
        return []
    if isinstance(results, (dict, str)):
        results = [results]
    if not isinstance(results, list) or not results:
        results = _older_output(output)
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
    objects = (item if isinstance(item, dict) else {"url": item} for item in results)
    return tuple(
        ResultFile(item["url"], read_text(item.get("content_type")), item)
        for item in objects
        if _is_link(item.get("url"))
    )


def _is_link(url: object) -> bool:
    return isinstance(url, str) and url[:8].lower().startswith(("http://", "https://"))


def _read_problem(error: object) -> TaskProblem | None:
    if not error:
        return None
    if isinstance(error, str) and error:
        return TaskProblem(message=error)
    if not isinstance(error, dict):
        return None
    code, kind = read_text(error.get("code")), read_text(error.get("type"))
    return TaskProblem(code=code, message=read_text(error.get("message")) or "", type=kind)
