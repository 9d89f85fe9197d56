"""The errors of this package. Each says what happened to your money.

The tree is split by who must act::

    FoxError
    ├── InvalidRequestError (ValueError)   fix the request: nothing was sent
    ├── ConfigurationError                 fix the set-up: nothing was sent
    ├── APIError                           the service refused, with an HTTP status
    │   ├── BadRequestError 400, UnprocessableError 422, PayloadTooLargeError 413
    │   ├── AuthenticationError 401, InsufficientQuotaError 402, PermissionDeniedError 403
    │   ├── NotFoundError 404
    │   ├── RateLimitError 429             wait `.retry_after` seconds
    │   └── ServiceUnavailableError 503, ServerError other 5xx
    ├── ConnectionFailedError              the network: nothing was sent
    ├── UncertainSubmitError               sent, no usable answer: may be billed
    ├── ResponseDecodeError                an answer that cannot be read
    ├── TaskError                          one task, by its id
    │   ├── TaskFailedError, TaskCancelledError   the service ended it
    │   └── TaskTimeoutError, TaskAbandonedError  we stopped polling; the task continues
    ├── DownloadError                      the image exists, but the file could not be fetched
    └── LedgerError                        the ledger of a batch

`FoxError.charged` and `FoxError.retryable` depend on the request, not on the class alone: a 401 that answers
a poll concerns a task that is already paid for. One rule joins the two, and a property test checks it: every
error that is `retryable` has `charged == "no"`.

Each error survives `pickle` and `copy`. It holds no key, no request headers and no foreign exception.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

Charged = Literal["no", "yes", "unknown"]


class FoxError(Exception):
    """The root of all errors of this package.

    Attributes:
        task_id: the id of the task concerned; None before the service has given one.
        charged: whether the generation that this call asked for may be billed: "no", "yes" or "unknown".
        retryable: True only if the same call, unchanged, may succeed and cannot bill the same work twice.
    """

    default_charged: ClassVar[Charged] = "no"

    def __init__(
        self,
        message: str = "",
        *,
        task_id: str | None = None,
        charged: Charged | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.charged: Charged = self.default_charged if charged is None else charged
        self.retryable = retryable and self.charged == "no"


class InvalidRequestError(FoxError, ValueError):
    """The request, or an argument, is invalid; raised before anything is sent.

    `.problems` holds one line for each fault: the field, the value and the allowed values.
    """

    def __init__(self, message: str = "", *, problems: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.problems: tuple[str, ...] = tuple(problems) or ((message,) if message else ())


class ConfigurationError(FoxError):
    """The session cannot work with these settings: no key, an unsafe URL, not open, another event loop."""


class APIError(FoxError):
    """The service answered with an HTTP error.

    Attributes:
        status: the HTTP status.
        type: `error.type` of the reply, such as "invalid_request_error"; None if it had none.
        code: `error.code` of the reply as text, such as "model_not_found"; None if it had none.
        message: the service's own words, shortened; the exception's text adds status and request id.
        request_id: an id to quote to the service's support; None if the reply had none.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        type: str | None = None,  # noqa: A002 - the name on the wire
        code: str | None = None,
        detail: str = "",
        request_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.status = status
        self.type = type
        self.code = code
        self.message = detail or message
        self.request_id = request_id


class BadRequestError(APIError):
    """400: the service could not read the request."""


class AuthenticationError(APIError):
    """401: the key is missing, wrong or expired."""


class InsufficientQuotaError(APIError):
    """402, or a submit's 403 or 429 with a quota code: the balance is too low. Top up, then repeat."""


class PermissionDeniedError(APIError):
    """403: the key may not do this, the upload storage is full, or the edge refused the client."""


class NotFoundError(APIError):
    """404: the service does not know this id or path."""


class PayloadTooLargeError(APIError):
    """413: the file or body is too large."""


class UnprocessableError(APIError):
    """422: a field or the model is not accepted; see `.code`."""


class RateLimitError(APIError):
    """429: too many requests.

    `.retry_after` is the number of seconds the service asked to wait, or None if it named none.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.retry_after = retry_after


class ServiceUnavailableError(APIError):
    """503, or 422 of that type: no channel for the model right now.

    `.retry_after` is the number of seconds the service asked to wait, or None if it named none.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.retry_after = retry_after


class ServerError(APIError):
    """Another 5xx: the service failed."""


class ConnectionFailedError(FoxError):
    """The service could not be reached. For a submit it also means that nothing was sent."""


class UncertainSubmitError(FoxError):
    """A submit was sent, wholly or in part, and has no usable answer: it may have been accepted and billed.

    It is never sent again by itself. Check your account before you repeat it, or always allow the repeat with
    `RetryPolicy(resubmit_uncertain=True)`.

    Attributes:
        status: the HTTP status if there was an answer, else None.
        idempotency_key: the key that the submit carried. The service does not document it, but its support
            can use it.
        body: the beginning of the answer's body on one line, if there was an answer; else None. It may name the task.
    """

    default_charged: ClassVar[Charged] = "unknown"

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        idempotency_key: str | None = None,
        body: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.status = status
        self.idempotency_key = idempotency_key
        self.body = body


class ResponseDecodeError(FoxError):
    """The answer is not a JSON object, lacks a required field, is too large or is malformed."""


class TaskError(FoxError):
    """One task has ended badly, or we have stopped polling it.

    `.snapshot` is its last known state (a `TaskSnapshot`), or None if it was never read.
    """

    default_charged: ClassVar[Charged] = "yes"

    def __init__(self, message: str = "", *, snapshot: Any = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.snapshot = snapshot


class TaskFailedError(TaskError):
    """The service reports that the generation failed. Refunds are not documented.

    `.code` is the service's open-ended reason such as "content_policy_violation" (None if it gave no code),
    and `.message` its message.
    """

    default_charged: ClassVar[Charged] = "unknown"

    def __init__(
        self, message: str = "", *, code: str | None = None, detail: str = "", **kwargs: Any
    ) -> None:
        super().__init__(message, **kwargs)
        self.code = code
        self.message = detail or message


class TaskCancelledError(TaskError):
    """The service reports that the task was cancelled. Refunds are not documented."""

    default_charged: ClassVar[Charged] = "unknown"


class TaskTimeoutError(TaskError):
    """The time limit is over. The task continues and stays billed: `FoxSession.attach(task_id)`.

    This is not a `TimeoutError` on purpose: generic retry layers repeat those, and would bill again.

    `.last_poll` describes what is known of the task: its last status, and if polls failed, why and for how long.
    """

    def __init__(self, message: str = "", *, last_poll: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        status = self.snapshot.status if self.snapshot else "not read yet"
        self.last_poll = f"last status: {status}" if last_poll is None else last_poll


class TaskAbandonedError(TaskError):
    """The SDK polls this task no more (it was stopped, or the session was closed):
    `FoxSession.attach(task_id)`.

    This error means that *you* stopped waiting; `TaskTimeoutError` means that the time ran out.
    """


class DownloadError(FoxError):
    """An image exists but could not be fetched or written. It is paid for.

    Attributes:
        url: its address, which works for 24 hours.
        saved: paths of the other images of the same call that were saved.
        local: True if this machine could not write it (a full disk, a taken name). The next file may fail too.
    """

    default_charged: ClassVar[Charged] = "yes"

    def __init__(
        self,
        message: str = "",
        *,
        url: str | None = None,
        saved: tuple[Path, ...] = (),
        local: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.url = url
        self.saved = saved
        self.local = local


class LedgerError(FoxError):
    """The ledger of a batch cannot be used: locked by another run, from a newer version, or damaged."""
