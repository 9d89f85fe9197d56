"""An index of all items of a folder for the page, newest first. The ledger has their data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import attrs

from foxapi_async._batch.folder import IMAGES
from foxapi_async._ledger.entry import PAID_TASK, ItemState, LedgerEntry
from foxapi_async._ledger.protocol import LedgerView
from foxapi_async._wire.json_values import JsonValue, read_mapping

# Types that a browser shows or plays.
SHOWN_TYPES = {
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".ogg": "audio/ogg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
ANY_TYPE = "application/octet-stream"

# A longer text in a list of input images is the data of an image, and would make the card large.
_LONGEST_ADDRESS = 2000


class History:
    """The items of a ledger, by their place and by their task.

    Args:
        ledger: the data of each item.
        faults: by key, why the server stopped waiting for a task.
    """

    def __init__(self, ledger: LedgerView, faults: dict[str, str]) -> None:
        self._ledger = ledger
        self._faults = faults
        self._keys: list[str] = []
        self._places: dict[str, int] = {}
        self._by_task: dict[str, str] = {}

    async def load(self) -> None:
        """Read the ledger.

        Raises:
            LedgerError: it cannot be read.
        """
        async for entry in self._ledger.entries():
            if entry.state is not ItemState.NEW:  # nothing was sent: the same request may come again
                self.add(entry.key)
            if entry.task_id is not None:
                self.name(entry.key, entry.task_id)

    def add(self, key: str) -> int:
        """Add a new item, and return its place."""
        self._places[key] = len(self._keys)
        self._keys.append(key)
        return self._places[key]

    def knows(self, key: str) -> bool:
        """Whether there is an item with this key."""
        return key in self._places

    def name(self, key: str, task_id: str) -> None:
        """Note the id of an item's task."""
        self._by_task[task_id] = key

    async def entry(self, task_id: str) -> LedgerEntry | None:
        """The ledger's entry of a task; None if it was not submitted here.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        key = self._by_task.get(task_id)
        return None if key is None else (await self._ledger.look_up([key])).get(key)

    async def request(self, key: str) -> Mapping[str, Any] | None:
        """The whole request of an item; None if there is no such item.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        entry = (await self._ledger.look_up([key])).get(key)
        return None if entry is None else read_mapping(_record(entry).get("request")) or {}

    async def entries(self, keys: Sequence[str]) -> list[LedgerEntry]:
        """The ledger's entries with these keys, in this order. Unknown keys are left out.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        known = await self._ledger.look_up(keys)
        return [known[key] for key in keys if key in known]

    async def card(self, key: str) -> dict[str, Any] | None:
        """An item as a page shows it; None if it was not sent.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        return self._card((await self._ledger.look_up([key])).get(key))

    async def page(self, before: int | None, limit: int) -> dict[str, Any]:
        """The last `limit` items before a place, newest first, and the place for the next call (None at the
        end).

        Raises:
            LedgerError: the ledger cannot be read.
        """
        end = len(self._keys) if before is None else max(0, min(before, len(self._keys)))
        start = max(0, end - limit)
        keys = self._keys[start:end]
        known = await self._ledger.look_up(keys)
        cards = [self._card(known.get(key)) for key in reversed(keys)]
        return {"cards": [card for card in cards if card], "before": start or None}

    def _card(self, entry: LedgerEntry | None) -> dict[str, Any] | None:
        # A NEW item was refused temporarily: it is not sent and costs nothing. Its error was shown at once.
        if entry is None or entry.state is ItemState.NEW:
            return None
        fault = self._faults.get(entry.key) if entry.state in PAID_TASK else None
        if entry.state is ItemState.UNSAVED:
            if fault is None:  # it is being saved again
                entry = attrs.evolve(entry, state=ItemState.SUBMITTED)
            fault = None  # the line of the item has the error
        return card_of(entry, place=self._places[entry.key], fault=fault)


# One item.


def card_of(entry: LedgerEntry, *, place: int, fault: str | None = None) -> dict[str, Any]:
    """The item as JSON.

    Args:
        entry: the item's entry in the ledger.
        place: its number in the ledger, from 0.
        fault: why the server stopped waiting for its task, which continues; None while it waits.
    """
    record = _record(entry)
    whole = read_mapping(record.get("request")) or {}
    request = {name: _shortened(value) for name, value in whole.items()}
    return {
        "key": entry.key,
        "place": place,
        "id": entry.task_id,
        "state": entry.state.value,
        "request": request,
        "shortened": request != whole,
        "model": record.get("model") or request.get("model"),
        "changed": entry.changed,
        "elapsed": (read_mapping(record.get("timings")) or {}).get("elapsed"),
        "credits": entry.price,
        "files": [
            {
                "url": address(entry, n),
                "name": name.name,
                "type": SHOWN_TYPES.get(name.suffix.lower(), ANY_TYPE),
            }
            for n, name in enumerate(_names(record), 1)
        ],
        "values": record.get("values") or [],
        "error": _error(record),
        "fault": fault,
    }


def address(entry: LedgerEntry, number: int) -> str:
    """The address of a file of the item; `number` counts from 1."""
    return f"/files/{quote(entry.task_id or '', safe='')}/{number}"


def files_of(entry: LedgerEntry, folder: Path) -> list[Path]:
    """The paths of all files of the item that are in the folder of the images."""
    found = (file_of(entry, number, folder) for number in range(1, len(_names(_record(entry))) + 1))
    return [path for path, _ in filter(None, found)]


def file_of(entry: LedgerEntry, number: int, folder: Path) -> tuple[Path, str] | None:
    """The path and the MIME type of a file of the item, `number` from 1; None if there is no such file.

    The path comes from the ledger. A path outside the folder of the images gives None.
    """
    names = _names(_record(entry))
    path = names[number - 1] if 1 <= number <= len(names) else PurePosixPath("..")
    if "\\" in str(path) or "\0" in str(path):
        return None
    found = (folder / path).resolve()
    inside = found.is_relative_to((folder / IMAGES).resolve())
    return (found, SHOWN_TYPES.get(path.suffix.lower(), ANY_TYPE)) if inside else None


def _record(entry: LedgerEntry) -> Mapping[str, Any]:
    """The item's line of the manifest. Without one, or after a newer submit, the data stored with the submit."""
    text = entry.opening if entry.state in {ItemState.SUBMITTING, ItemState.SUBMITTED} else None
    try:
        return read_mapping(json.loads(text or entry.record or entry.opening or "{}")) or {}
    except ValueError:
        return {}


def _names(record: Mapping[str, Any]) -> list[PurePosixPath]:
    """The names of an item's files, below the folder. A value that is not a name becomes "..", which is never sent."""
    files: JsonValue = record.get("files")
    given = [(read_mapping(file) or {}).get("path") for file in files] if isinstance(files, list) else []
    return [PurePosixPath(path if isinstance(path, str) and path else "..") for path in given]


def _shortened(value: Any) -> Any:
    """A value of a request, without the data of input images."""
    if not isinstance(value, list):
        return value
    items: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - mypy knows it
    return [
        f"{item[:40]}…" if isinstance(item, str) and len(item) > _LONGEST_ADDRESS else item for item in items
    ]


def _error(record: Mapping[str, Any]) -> dict[str, Any] | None:
    error = read_mapping(record.get("error"))
    return {name: error.get(name) for name in ("code", "message", "charged")} if error else None
