"""Reads a manifest's lines as items. Values of the wrong type are left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs

from foxapi_async._wire.json_values import JsonValue, read_mapping
from foxapi_async._wire.replies import credits_of

# A longer prompt or message makes the page heavy without benefit.
_LONGEST_TEXT = 2000
_LARGEST = 1e15
# The year 9999. A later time is not valid.
_LAST_MOMENT = 253_402_300_799.0


@attrs.frozen(kw_only=True)
class ReportItem:
    """One item of a batch.

    Attributes:
        status: "done", "unsaved", "failed", "uncertain", or another word from the manifest.
        files: relative addresses for the page, percent-encoded.
        credits: its credits; None if the service did not report them.
        elapsed: seconds from its submit to its end; None if unknown.
        finished: Unix time of its end; None if unknown.
        code: the error's code, "" without an error; the same for `message` and `charged`.
        extra: the cells of the input's other columns, with their names.
    """

    id: str
    task_id: str = ""
    status: str = ""
    model: str = ""
    prompt: str = ""
    files: tuple[str, ...] = ()
    credits: float | None = None
    elapsed: float | None = None
    finished: float | None = None
    code: str = ""
    message: str = ""
    charged: str = ""
    extra: tuple[str, ...] = ()


@attrs.frozen
class ReportData:
    """All items, each id once, in the order of their last lines.

    Attributes:
        torn: whether the last line is cut off.
        unreadable: the numbers of other lines that cannot be read.
    """

    items: tuple[ReportItem, ...]
    torn: bool = False
    unreadable: tuple[int, ...] = ()


def read_manifest(path: Path) -> ReportData:
    """Read `manifest.jsonl`. If an id has several lines, the last counts.

    Raises:
        OSError: it cannot be read.
    """
    items: dict[str, ReportItem] = {}
    wrong: list[int] = []
    has_newline, number = True, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            has_newline = line.endswith(b"\n")
            item = _read_line(line, number) if line.strip() else None
            if item is not None:
                items.pop(item.id, None)
                items[item.id] = item
            elif line.strip():
                wrong.append(number)
    torn = bool(wrong) and wrong[-1] == number and not has_newline
    return ReportData(tuple(items.values()), torn, tuple(wrong[:-1] if torn else wrong))


def _read_line(line: bytes, number: int) -> ReportItem | None:
    try:
        record: JsonValue = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return _read_item(record, number) if isinstance(record, dict) else None


def _read_item(record: Mapping[str, Any], number: int) -> ReportItem:
    usage, timings, error = (read_mapping(record.get(name)) or {} for name in ("usage", "timings", "error"))
    prompt = record.get("prompt") or (read_mapping(record.get("request")) or {}).get("prompt")
    submitted, finished = _moment(timings.get("submitted")), _moment(timings.get("finished"))
    elapsed = _number(timings.get("elapsed"))
    if elapsed is None and submitted is not None and finished is not None and finished >= submitted:
        elapsed = finished - submitted
    return ReportItem(
        id=_text(record.get("id")) or f"line {number}",
        task_id=_text(record.get("task_id")),
        status=_text(record.get("status")) or "unknown",
        model=_text(record.get("model")),
        prompt=_text(prompt),
        files=_addresses(record.get("files")),
        credits=_number(
            record["credits"] if "credits" in record else credits_of(usage)
        ),  # an older line has none
        elapsed=elapsed,
        finished=finished,
        code=(_text(error.get("code")) or "no code") if error else "",
        message=_text(error.get("message")),
        charged=_text(error.get("charged")),
        extra=tuple(
            f"{_text(name)}: {_text(value)}"
            for name, value in (read_mapping(record.get("extra")) or {}).items()
        ),
    )


def _text(value: Any) -> str:
    """A text that UTF-8 and HTML can hold. Control characters would be errors in a page."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return ""
    text = str(value)  # safe: the JSON reader has refused integers with too many digits for `str`
    kept = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    return "".join(c if c.isprintable() or c in "\n\t" else " " if c.isspace() else "\ufffd" for c in kept)


def _number(value: Any) -> float | None:
    """A number from 0 up that sums and charts can hold. NaN fails every comparison."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= _LARGEST else None


def _moment(value: Any) -> float | None:
    moment = _number(value)
    return moment if moment is not None and moment <= _LAST_MOMENT else None


def _addresses(files: JsonValue) -> tuple[str, ...]:
    paths = [(read_mapping(file) or {}).get("path") for file in files] if isinstance(files, list) else []
    return tuple(address for path in paths if (address := address_of(path)))


def address_of(path: Any) -> str | None:
    """The relative address of a file below the page's folder; None for any other path."""
    if not isinstance(path, str) or not path or "\\" in path or not path.isprintable():
        return None
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        return None
    # A colon in the first part would make it a scheme, but `quote` leaves no colon.
    return "/".join(quote(part, safe="") for part in parts)
