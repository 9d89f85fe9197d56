"""Between the service's JSON and our values: the whole wire dialect in one place.

- unknown fields are ignored by the values and kept whole in `.raw`;
- a field that is missing, null or of the wrong type becomes None or empty: only `id` is indispensable
  (no field is marked required in the vendor's own specification);
- numbers may come as text; NaN and infinity count as missing;
- `results` is a list of objects (FoxAPI), of URL strings (its sister gateway), or null; the older
  documentation has `output: {url, urls}` instead;
- `estimated_time` lies in `task_info`;
- `error` is an object or a text;
- only http and https result URLs are taken: nothing else may be opened by `save`;
- of very many results only the first become images; all are in `.raw`.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from foxapi_async._events import TaskProblem, TaskSnapshot, UploadedFile
from foxapi_async._results import GeneratedImage

if TYPE_CHECKING:
    from cattrs import Converter

Raw = Mapping[str, Any]

_EXACT = 2**53

# The documented models make four at most; a reply that lists a hundred thousand held the loop up for a second.
MOST_IMAGES = 1000


@functools.cache
def make_converter() -> Converter:
    """The one converter, imported at first use. Its two hooks are plain functions, one constructor call each: a poll
    is read in half the time that generated code with a hook for every field takes.
    """
    import cattrs  # noqa: PLC0415

    converter = cattrs.Converter()
    converter.register_structure_hook(TaskSnapshot, lambda reply, _: _read_snapshot(*reply))
    converter.register_structure_hook(UploadedFile, lambda raw, _: _read_upload(raw))
    return converter


def structure_snapshot(raw: Raw, body: bytes | None = None) -> TaskSnapshot:
    """The reading in a task object whose `id` has been checked; `body` is the JSON that says exactly the same."""
    return make_converter().structure((raw, body), TaskSnapshot)


def structure_upload(raw: Raw) -> UploadedFile:
    """The file in an upload's reply whose `url` has been checked."""
    return make_converter().structure(raw, UploadedFile)


def _read_snapshot(raw: Raw, body: bytes | None) -> TaskSnapshot:
    get = raw.get
    results = _results_of(get("results"), get("output"))
    return TaskSnapshot(
        id=raw["id"],
        model=_read_word(get("model")) or "",
        status=_read_word(get("status")) or "pending",
        progress=read_number(get("progress")),
        estimated_time=_read_estimate(get("task_info")),
        created=read_number(get("created")),
        images=_read_images(results) if results else (),
        error=_read_problem(get("error")),
        usage=read_mapping(get("usage")),
        raw=body if body and not results else raw,
        has_results=bool(results),
    )


def _read_upload(raw: Raw) -> UploadedFile:
    return UploadedFile(
        url=raw["url"],
        id=read_text(raw.get("id")),
        filename=read_text(raw.get("filename")),
        size=_read_whole(raw.get("size")),
        created=read_number(raw.get("created")),
        raw=raw,
    )


def read_number(value: object) -> float | None:
    """A finite number, also from text; else None."""
    if value is None or (type(value) is int and -_EXACT < value < _EXACT):
        return value  # what nearly all are
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return value if isinstance(value, int) else number


def read_text(value: object) -> str | None:
    """A text, also from a number (some codes are); else None."""
    if value is None or isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _read_word(value: object) -> str | None:
    """A text that many replies share, as one object for all: a hundred thousand tasks have few models and states."""
    text = read_text(value)
    return _the_same(text) if text and len(text) < 100 else text


@functools.lru_cache(maxsize=256)
def _the_same(text: str) -> str:
    return text


def read_mapping(value: object) -> Raw | None:
    """A JSON object; else None."""
    return value if isinstance(value, dict) else None


def _read_whole(value: object) -> int | None:
    number = read_number(value)
    return None if number is None else int(number)


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


def _read_images(results: Iterable[Any]) -> tuple[GeneratedImage, ...]:
    objects = (item if isinstance(item, dict) else {"url": item} for item in results)
    return tuple(_read_image(item) for item in objects if _is_link(item.get("url")))


def _read_image(item: Raw) -> GeneratedImage:
    return GeneratedImage(item["url"], read_text(item.get("content_type")), raw=item)


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
