"""The errors of this package. Each says whether the generation may be billed.

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
    │   ├── UnreadableResultError          it is completed, but no result can be read
    │   └── TaskTimeoutError, TaskAbandonedError  we stopped polling; the task continues
    ├── DownloadError                      the image exists, but the file could not be fetched
    └── LedgerError                        the ledger of a batch

`FoxError.charged` and `FoxError.retryable` depend on the request, not on the class alone: a 401 that answers
a poll concerns a task that is already paid for. One rule connects the two, and a property test checks it: every
error that is `retryable` has `charged == "no"`.

Each error survives `pickle` and `copy`. It holds no key, no request headers and no foreign exception.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

from foxapi_async._hints import PYTHON_WORDS, Hint, with_hint

Charged = Literal["no", "yes", "unknown"]
ProblemType = Literal[
    "missing",
    "not_allowed",
    "too_long",
    "wrong_count",
    "not_a_list",
    "not_a_url",
    "not_utf8",
    "excluded",
    "needs",
    "at_most",
    "unknown_field",
    "unknown_model",
    "other",
]
"""What is wrong with a field of a request, as a code. Programs that show messages of their own use it."""

# `str(error)` lists this many problems; `.problems` has all.
_SHOWN_PROBLEMS = 20


class FoxError(Exception):
    """The root of all errors of this package.

    Attributes:
        task_id: the id of the task concerned; None before the service has given one.
        charged: whether the generation that this call asked for may be billed: "no", "yes" or "unknown".
        retryable: True only if the same call, unchanged, may succeed and cannot bill the same work twice.
        hint: what can be done, as a code for programs that show messages of their own; None if there is nothing to add.
    """

    default_charged: ClassVar[Charged] = "no"
    default_hint: ClassVar[Hint | None] = None

    def __init__(
        self,
        message: str = "",
        *,
        task_id: str | None = None,
        charged: Charged | None = None,
        retryable: bool = False,
        hint: Hint | None = None,
    ) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.hint = self.default_hint if hint is None else hint
        self.charged: Charged = self.default_charged if charged is None else charged
        self.retryable = retryable and self.charged == "no"

    @property
    def what_happened(self) -> str:
        """The text without the hint."""
        return super().__str__()

    def __str__(self) -> str:
        return with_hint(self.what_happened, self.hint, PYTHON_WORDS, self.task_id)


class FieldProblem(str):
    """One problem of a request, as a line of text. Its parts are the name of a field, a text, the name of a field, and so on.

    `FieldProblem("prompt", ": missing", type="missing")`. A line that concerns no field begins with an empty name.

    Attributes:
        parts: these names and texts.
        type: what is wrong, as a code; "other" if there is no code for it.
        values: the JSON values that a message of a program's own needs, by name.
        hint: what can be done about it, if this is different in Python and on the command line; else None.
    """

    __slots__ = ("hint", "parts", "type", "values")

    parts: tuple[str, ...]
    type: ProblemType
    values: Mapping[str, Any]
    hint: Hint | None

    def __new__(
        cls,
        *parts: str,
        type: ProblemType = "other",  # noqa: A002 - the name on the wire
        values: Mapping[str, Any] = MappingProxyType({}),
        hint: Hint | None = None,
    ) -> Self:
        problem = super().__new__(cls, "".join(parts))
        problem.parts, problem.type, problem.values, problem.hint = parts, type, values, hint
        return problem

    def __reduce__(self) -> tuple[Any, ...]:
        return _field_problem, (self.parts, self.type, dict(self.values), self.hint)


def _field_problem(
    parts: tuple[str, ...], kind: ProblemType, values: Mapping[str, Any], hint: Hint | None
) -> FieldProblem:
    return FieldProblem(*parts, type=kind, values=values, hint=hint)


def parts_of(problem: str) -> tuple[str, ...]:
    """The parts of a line of `InvalidRequestError.problems`; see `FieldProblem`."""
    return problem.parts if isinstance(problem, FieldProblem) else ("", problem)


class InvalidRequestError(FoxError, ValueError):
    """The request, or an argument, is invalid; raised before anything is sent.

    Attributes:
        problems: one line for each fault: the field, the value and the allowed values.
        headline: the text before the problems, which may name a file; empty if there is none.
    """

    def __init__(self, message: str = "", *, problems: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.problems: tuple[str, ...] = tuple(problems) or ((message,) if message else ())

    @property
    def headline(self) -> str:
        """The text before the problems; empty if there is none."""
        text = super().what_happened
        return "" if self.problems == (text,) else text

    @property
    def what_happened(self) -> str:
        """The headline and the first problems, without the hint."""
        count = len(self.problems)
        several = f"{count} problems: " if count > 1 else ""
        more = f"; and {count - _SHOWN_PROBLEMS} more" if count > _SHOWN_PROBLEMS else ""
        listed = f"{several}{'; '.join(self.problems[:_SHOWN_PROBLEMS])}{more}"
        return ": ".join(filter(None, (self.headline, listed)))


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
    """503, or a 422 with the type "service_unavailable_error": no channel for the model right now.

    `.retry_after` is the number of seconds the service asked to wait, or None if it named none.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.retry_after = retry_after


class ServerError(APIError):
    """Another 5xx: the service failed."""


class ConnectionFailedError(FoxError):
    """The service could not be reached. For a submit it also means that nothing was sent."""

    default_hint: ClassVar[Hint | None] = Hint.CHECK_NETWORK


class UncertainSubmitError(FoxError):
    """A submit was sent, wholly or in part, and has no usable answer: it may have been accepted and billed.

    The SDK never sends it again by itself. Check your account before you repeat it, or always allow the repeat with
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
    """One task has ended without a result, or we have stopped polling it.

    `.task_id` is always its id. `.snapshot` is its last known state (a `TaskSnapshot`), or None if it was never read.
    """

    default_charged: ClassVar[Charged] = "yes"
    task_id: str

    # `task_id` has a default for pickle and copy: they make the error from its message alone, and set the rest later.
    def __init__(self, message: str = "", *, task_id: str = "", snapshot: Any = None, **kwargs: Any) -> None:
        super().__init__(message, task_id=task_id, **kwargs)
        self.snapshot = snapshot


class TaskFailedError(TaskError):
    """The service reports that the generation failed. Refunds are not documented.

    `.code` is the service's reason, such as "content_policy_violation". Other values are possible, and None means that it
    gave no code. `.message` is the service's message.
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


class UnreadableResultError(TaskError):
    """The task is completed and paid for, but its reply has no result that can be read.

    `.results` has the results of the reply, as JSON values. `.snapshot.raw` is the whole reply.
    """

    def __init__(self, message: str = "", *, results: Any = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.results = results


class TaskTimeoutError(TaskError):
    """The time limit is over. The task continues and stays billed. `FoxSession.attach(task_id)` waits for it again.

    This is not a `TimeoutError` on purpose: generic retry layers repeat those, and would bill again.

    `.last_poll` describes the task: its last status, and if polls failed, why and for how long.
    """

    def __init__(self, message: str = "", *, last_poll: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        status = self.snapshot.status if self.snapshot else "not read yet"
        self.last_poll = f"last status: {status}" if last_poll is None else last_poll


class TaskAbandonedError(TaskError):
    """The SDK no longer polls this task, because you stopped its handle or closed the session.
    `FoxSession.attach(task_id)` waits for it again.

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
