"""Exit statuses: what an error means to a shell."""

from __future__ import annotations

import signal

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
from foxapi_async.cli._one_line_parser import USAGE as USAGE  # noqa: PLC0414 - a parser imports no errors

DONE, FAILED, ACCOUNT, BUDGET = 0, 1, 3, 4
INTERRUPTED = 128 + signal.SIGINT

# Such an error concerns every request of the command, not only the request that got it.
REFUSED_ACCOUNT = (AuthenticationError, InsufficientQuotaError, PermissionDeniedError)
# The user can remove such a problem on this machine (a full disk, a ledger in use). Then the same command continues.
_ACCOUNT = (*REFUSED_ACCOUNT, ConfigurationError, LedgerError)
_REFUSED = (BadRequestError, UnprocessableError, PayloadTooLargeError)
# A task that the service has ended, or does not know, cannot be resumed.
_OVER = (TaskFailedError, TaskCancelledError, NotFoundError)


def status_of(error: FoxError) -> int:
    """The exit status that `error` stands for."""
    if isinstance(error, _ACCOUNT):
        return ACCOUNT
    if isinstance(error, InvalidRequestError) or (isinstance(error, _REFUSED) and error.task_id is None):
        return USAGE
    return FAILED


def is_resumable(error: FoxError) -> bool:
    """Whether `foxapi wait` can still get the images: the task runs, or its images are ready."""
    return error.task_id is not None and not isinstance(error, _OVER)
