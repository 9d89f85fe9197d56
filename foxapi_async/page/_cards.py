"""The data that a page shows for one item of the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from foxapi_async._batch.budget import credits_reserved
from foxapi_async._ledger.entry import ItemState, LedgerEntry

# Types that a browser shows only as a picture.
IMAGE_TYPES = {
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}


def card_of(entry: LedgerEntry, *, place: int, fault: str | None = None) -> dict[str, Any]:
    """The item as JSON.

    Args:
        entry: the item's entry in the ledger.
        place: its number in the ledger, from 0.
        fault: why the server stopped waiting for its task, which continues; None while it waits.
    """
    record = _record(entry)
    request = _mapping(record.get("request"))
    return {
        "key": entry.key,
        "place": place,
        "id": entry.task_id,
        "state": entry.state.value,
        "request": request,
        "model": record.get("model") or request.get("model"),
        "changed": entry.changed,
        "elapsed": _mapping(record.get("timings")).get("elapsed"),
        "credits": credits_reserved(_mapping(record.get("usage"))),
        "images": [{"url": address(entry, n)} for n in range(1, len(_files(record)) + 1)],
        "error": _error(record),
        "fault": fault,
    }


def address(entry: LedgerEntry, number: int) -> str:
    """The address of an image of the item; `number` counts from 1."""
    return f"/files/{quote(entry.task_id or '', safe='')}/{number}"


def file_of(entry: LedgerEntry, number: int, folder: Path) -> tuple[Path, str] | None:
    """The path and the MIME type of an image of the item, `number` from 1; None if there is no such image.

    The path comes from the ledger. A path out of `folder`, or to a file that is not a picture, gives None.
    """
    files = _files(_record(entry))
    path = files[number - 1].get("path") if 1 <= number <= len(files) else None
    if not isinstance(path, str) or "\\" in path or "\0" in path:
        return None
    kind = IMAGE_TYPES.get(PurePosixPath(path).suffix.lower())
    found = (folder / path).resolve()
    return (found, kind) if kind and found.is_relative_to(folder.resolve()) else None


def _record(entry: LedgerEntry) -> Mapping[str, Any]:
    """The item's line of the manifest. Without one, or after a newer submit, the data stored with the submit."""
    text = entry.opening if entry.state in {ItemState.SUBMITTING, ItemState.SUBMITTED} else None
    try:
        return _mapping(json.loads(text or entry.record or entry.opening or "{}"))
    except ValueError:
        return {}


def _files(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    files = record.get("files")
    return [_mapping(file) for file in files] if isinstance(files, list) else []


def _error(record: Mapping[str, Any]) -> dict[str, Any] | None:
    error = _mapping(record.get("error"))
    if not error:
        return None
    return {name: error.get(name) for name in ("code", "message", "charged")}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
