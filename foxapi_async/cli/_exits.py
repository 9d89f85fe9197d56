"""What an error means to a shell: an exit status, one line for people, one object for programs."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from foxapi_async._errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    FoxError,
    InsufficientQuotaError,
    InvalidRequestError,
    LedgerError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    TaskCancelledError,
    TaskFailedError,
    UnprocessableError,
)
from foxapi_async.cli._words import in_shell_words, line_of

if TYPE_CHECKING:
    from foxapi_async.cli._screen import Screen

DONE, FAILED, USAGE, ACCOUNT, BUDGET = 0, 1, 2, 3, 4
INTERRUPTED = 128 + signal.SIGINT

# A ledger that is in use, or a disk that is full, is put right on this machine, and then the same command goes on.
_ACCOUNT = (
    ConfigurationError,
    AuthenticationError,
    InsufficientQuotaError,
    PermissionDeniedError,
    LedgerError,
)
_REFUSED = (BadRequestError, UnprocessableError, PayloadTooLargeError)
# What the service has ended, or does not know, cannot be resumed.
_OVER = (TaskFailedError, TaskCancelledError, NotFoundError)
_DETAILS = ("status", "type", "code", "request_id", "retry_after", "url", "idempotency_key")


def status_of(error: FoxError) -> int:
    """The exit status that `error` stands for."""
    if isinstance(error, _ACCOUNT):
        return ACCOUNT
    if isinstance(error, InvalidRequestError) or (isinstance(error, _REFUSED) and error.task_id is None):
        return USAGE
    return FAILED


def is_resumable(error: FoxError) -> bool:
    """Whether the task goes on, or its images wait, so that `foxapi wait` can still bring them."""
    return error.task_id is not None and not isinstance(error, _OVER)


def object_of(error: FoxError) -> dict[str, Any]:
    """The error as `--json` prints it."""
    told: dict[str, Any] = {
        "type": type(error).__name__,
        "message": line_of(error),
        "task_id": error.task_id,
        "charged": error.charged,
        "retryable": error.retryable,
    }
    if isinstance(error, InvalidRequestError):
        told["problems"] = [in_shell_words(problem) for problem in error.problems]
    details = {name: getattr(error, name, None) for name in _DETAILS}
    # `type` is the name of the class here; the service's own word for it goes by another name.
    details["service_type"] = details.pop("type")
    return {"error": told | {name: value for name, value in details.items() if value is not None}}


def report(error: FoxError, screen: Screen) -> int:
    """Tell people, and with `--json` programs, what went wrong; returns the exit status."""
    screen.complain(line_of(error))
    screen.data(object_of(error))
    return status_of(error)
