"""A hook that logs each event: one line for people, and fields for programs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import attrs

from foxapi_async._client.hooks import (
    Attached,
    HookEvent,
    Left,
    Polled,
    Polling,
    Retried,
    Saved,
    SubmitFailed,
    Submitted,
    Submitting,
    Throttled,
)
from foxapi_async._errors import ConfigurationError, DownloadError, TaskAbandonedError
from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async._wire.texts import plain, shorten

PROMPT_CHARACTERS = 80

_LINES: dict[type, str] = {
    Submitting: "submit %(call)s of %(model)s begins: %(prompt)s",
    Submitted: "submit %(call)s of %(model)s is task %(task_id)s, after %(seconds).2f s and %(tries)s tries",
    SubmitFailed: "submit %(call)s of %(model)s failed after %(seconds).2f s and %(tries)s tries: %(error)s",
    Attached: "task %(task_id)s is polled from now on",
    Polling: "task %(task_id)s is polled",
    Polled: "task %(task_id)s was polled in %(seconds).3f s",
    Retried: "%(what)s is tried again in %(seconds).2f s: %(error)s",
    Throttled: "%(what)s is held back for %(seconds).2f s",
    Saved: "saved %(path)s, %(bytes)s bytes, in %(seconds).2f s",
    Left: "task %(task_id)s is no longer polled, and continues: %(error)s",
    TaskEvent: "task %(task_id)s of %(model)s is %(status)s at %(progress)s %%, after %(elapsed).1f s",
}


def log_events(logger: logging.Logger | None = None) -> Callable[[HookEvent], None]:
    """A hook that logs every event: `FoxSession(hooks=[log_events()])`.

    Submits, ended tasks and saved files are at INFO. Retries, holds by the service, failures and abandoned
    tasks are at WARNING. Polls and everything else are at DEBUG. The prompt is only in a DEBUG record, cut to
    80 characters. Control characters in texts from outside are escaped.

    Each record also has fields for programs: `event`, which is the class of the event, and the fields of the event.
    Examples are `task_id`, `call`, `model`, `seconds` and `status`. An error has `error_type`, `error` and `charged`.

    Args:
        logger: the logger to use; default the logger "foxapi_async". No handler is added, and no level is set.

    Raises:
        ConfigurationError: `logger` is not a logger.
    """
    if logger is not None and not isinstance(logger, logging.Logger):
        raise ConfigurationError(
            f"log_events({shorten(repr(logger), 80)}): give a logging.Logger or nothing, as in hooks=[log_events()]"
        )
    log = logging.getLogger("foxapi_async") if logger is None else logger

    def write(event: HookEvent) -> None:
        level = _level(event)
        line = _LINES.get(type(event))
        if line is not None and log.isEnabledFor(level):
            fields = _fields(event)
            log.log(level, line, fields, extra=fields)

    return write


def _level(event: HookEvent) -> int:
    match event:
        case Submitting() | Polling() | Polled() | TaskEvent(final=False) | Throttled(error=None):
            return logging.DEBUG
        case Submitted() | Attached() | Saved() | Left(error=TaskAbandonedError()):
            return logging.INFO
        case TaskEvent(snapshot=snapshot) if snapshot.error is None and snapshot.images:
            return logging.INFO
        case _:
            return logging.WARNING


def _fields(event: HookEvent) -> dict[str, Any]:
    found: dict[str, Any] = {"event": type(event).__name__}
    for field in attrs.fields(type(event)):
        found |= _flat(field.name, getattr(event, field.name))
    return found


def _flat(name: str, value: Any) -> dict[str, Any]:
    """One field of an event as fields of a record."""
    match name:
        case "request":
            return {"prompt": plain((value.prompt or "")[:PROMPT_CHARACTERS])}
        case "error":
            return _error(value)
        case "file":
            return {"path": plain(str(value.path)), "sha256": value.sha256, "bytes": value.bytes}
        case "snapshot":
            code = value.error and value.error.code
            return {"images": len(value.images), "error_code": code and plain(code)}
        case _:
            return {name: plain(value) if isinstance(value, str) else value}


def _error(error: Exception | None) -> dict[str, Any]:
    if error is None:
        return {}
    words = str(error)
    if isinstance(error, DownloadError) and error.url:
        # The part after the question mark may be a signature, which lets its reader fetch the file.
        words = words.replace(error.url[:200], error.url.partition("?")[0][:200])
    charged = getattr(error, "charged", None)
    return {"error_type": type(error).__name__, "error": shorten(words), "charged": charged}
