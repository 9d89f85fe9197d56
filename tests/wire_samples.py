"""The service's replies about tasks, from its pages, and the package's reading of them."""

from __future__ import annotations

import json

from foxapi_async._handles.snapshot import TaskSnapshot, snapshot_of
from foxapi_async._wire.replies import read_status, read_task
from foxapi_async._wire.requests import (
    Reply,
)

ID = "task-unified-1754380800-ab12cd34"
URL = "https://cdn.foxapi.cc/results/a.png"

# The two pages' submit replies, and get-task-detail in its newer and its oldest form.
SUBMITTED = {
    "created": 1754380800,
    "id": ID,
    "model": "grok-imagine-image",
    "object": "image.generation.task",
    "progress": 0,
    "status": "pending",
    "task_info": {"can_cancel": True, "estimated_time": 45},
    "type": "image",
}
COMPLETED = {
    "id": ID,
    "object": "image.generation.task",
    "type": "image",
    "model": "grok-imagine-image",
    "status": "completed",
    "progress": 100,
    "created": 1754380800,
    "results": [{"url": URL}, {"url": URL, "content_type": "image/png", "width": 1024}],
    "error": None,
    "usage": {"credits_reserved": 5, "user_group": "default"},
}
OLDER = {
    "id": ID,
    "status": "completed",
    "type": "image",
    "progress": 100,
    "output": {"url": URL, "urls": [URL, f"{URL}?2"], "width": 1024},
    "task_info": {"can_cancel": False, "estimated_time": 45},
}


def reply(body: object = b"", status: int = 200, whole: bool = True, **headers: str) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body=raw, whole=whole)


def task(**fields: object) -> TaskSnapshot:
    return snapshot_of(read_task(reply({"id": ID, **fields})))


def seen(a_reply: Reply) -> TaskSnapshot:
    """Our task in a status reply, as users see it."""
    return snapshot_of(read_status(a_reply, ID))


BAD_IDS = [
    "", " ", ".", "..", " .. ", "a/b", "a\\b", "../tasks", "a?b", "a#b", "a%2Fb", "a\nb", "a\x00", "a\x7f", "a\x85b",
    "\x9b31m", "a\ud800", "x" * 513, None, 5, b"a", ["a"], {"a": 1},
]  # fmt: skip


DEEP = b'{"id":"a","status":"b","url":"c","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


NOW = "Tue, 05 Aug 2025 08:00:00 GMT"
