"""The answers that a client of the app gets for errors. They say who must act. They never show the key or
facts about our account.

A client, or a proxy, repeats a request if the answer says so. So Retry-After is sent only if the same request
cannot be billed twice.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import attrs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from foxapi_async import _errors
from foxapi_async._errors import APIError, FoxError, InvalidRequestError
from foxapi_async._files.asked_range import NoSuchPartError
from foxapi_async._listener import about, log
from foxapi_async._policy.breaker import PROBE_SECONDS
from foxapi_async._wire.texts import shorten
from foxapi_async.fastapi._body import BodyTooLargeError
from foxapi_async.fastapi._shapes import RequestProblem

# Seconds for Retry-After if the service gave none, and the longest wait that is passed on.
_RETRY_AFTER = 5.0
_LONGEST = 24 * 3600.0
_SHOWN_PROBLEMS = 20


class NoSuchFileError(FoxError):
    """The task has no file with this number."""


@attrs.frozen
class ErrorAnswer:
    """An error as a client sees it.

    Attributes:
        status: the HTTP status.
        type: a word for programs.
        message: a sentence for people.
        retry_after: seconds after which the same request may succeed; None if it must not be repeated without
            a check.
        code: the service's reason, or None.
        level: the level at which the error is logged if the answer hides its message; None if it shows it.
    """

    status: int
    type: str
    message: str
    retry_after: float | None = attrs.field(default=None, kw_only=True)
    code: str | None = attrs.field(default=None, kw_only=True)
    level: int | None = attrs.field(default=None, kw_only=True)


def answer_to(error: FoxError) -> ErrorAnswer:
    """The answer to a client for `error`, from the first row of `_ANSWERS` that fits."""
    return next(answer(error) for kind, answer in _ANSWERS if isinstance(error, kind))


def _refused(error: APIError) -> ErrorAnswer:
    """Pass on a refusal of the client's request in the service's words. Hide any other.

    Only words in the service's own error object are passed on, not those of an edge's page.
    """
    concerns_request = error.status in {400, 404, 413, 422} and error.task_id is None
    if not (concerns_request and (error.type or error.code)):
        return _UNUSABLE
    status = 422 if error.status == 404 else error.status
    return ErrorAnswer(status, "refused", shorten(error.message), code=error.code)


def _missing(error: APIError) -> ErrorAnswer:
    return (
        _refused(error) if error.task_id is None else ErrorAnswer(404, "not_found", "There is no such task.")
    )


def _limited(error: FoxError) -> ErrorAnswer:
    return ErrorAnswer(429, "rate_limited", "Too many requests: try again later.", retry_after=_pause(error))


def _unavailable(error: FoxError) -> ErrorAnswer:
    return attrs.evolve(_UNAVAILABLE, retry_after=_pause(error))


def _account_refused(error: FoxError) -> ErrorAnswer:
    """A submit may be repeated: the session sends one every `PROBE_SECONDS` to try again. A read, which has the id of its
    task, gets no Retry-After.
    """
    is_submit = error.charged == "no" and error.task_id is None
    return attrs.evolve(_ACCOUNT, retry_after=PROBE_SECONDS if is_submit else None)


def _unkept(error: FoxError) -> ErrorAnswer:
    if error.task_id is None:
        return _INTERNAL
    # No proxy or client repeats a request because of this status.
    words = f"Task {error.task_id} is billed, but the server could not keep its id: note it."
    return ErrorAnswer(507, "not_kept", words, level=logging.ERROR)


def _pause(error: FoxError) -> float | None:
    if error.charged != "no":
        return None
    asked = getattr(error, "retry_after", None)
    return _RETRY_AFTER if asked is None else min(asked, _LONGEST)


_UNAVAILABLE = ErrorAnswer(503, "unavailable", "Images cannot be made at the moment.", level=logging.WARNING)
_ACCOUNT = attrs.evolve(_UNAVAILABLE, level=logging.ERROR)
_UNUSABLE = ErrorAnswer(502, "upstream", "The image service gave no usable answer.", level=logging.WARNING)
_NOT_READY = ErrorAnswer(504, "not_ready", "The task has not ended yet. It continues: ask for its id again.")
_UNREADABLE = ErrorAnswer(
    502, "unreadable_result", "The task is completed, but its result cannot be read.", level=logging.ERROR
)
_UNCERTAIN = ErrorAnswer(
    502,
    "uncertain_submit",
    "It is not known whether the request was accepted. It may be billed: check before you repeat it.",
    level=logging.ERROR,
)
_NO_FILE = ErrorAnswer(
    502,
    "no_file",
    "The file cannot be fetched. The image service keeps files for 24 hours.",
    level=logging.WARNING,
)
_INTERNAL = ErrorAnswer(500, "internal", "The server is not set up for this.", level=logging.ERROR)

_ANSWERS: tuple[tuple[type[FoxError], Callable[[Any], ErrorAnswer]], ...] = (
    (BodyTooLargeError, lambda error: ErrorAnswer(413, "too_large", error.what_happened)),
    (NoSuchPartError, lambda error: ErrorAnswer(416, "no_such_part", error.what_happened)),
    (NoSuchFileError, lambda error: ErrorAnswer(404, "not_found", error.what_happened)),
    (_errors.InvalidRequestError, lambda error: ErrorAnswer(422, "invalid_request", _listed(error.problems))),
    (
        _errors.TaskFailedError,
        lambda error: ErrorAnswer(502, "task_failed", error.what_happened, code=error.code),
    ),
    (_errors.TaskCancelledError, lambda error: ErrorAnswer(502, "task_cancelled", error.what_happened)),
    (_errors.UnreadableResultError, lambda _: _UNREADABLE),
    (_errors.TaskError, lambda _: _NOT_READY),
    (_errors.UncertainSubmitError, lambda _: _UNCERTAIN),
    (_errors.AuthenticationError, _account_refused),
    (_errors.InsufficientQuotaError, _account_refused),
    (_errors.PermissionDeniedError, lambda _: _ACCOUNT),
    (_errors.NotFoundError, _missing),
    (_errors.RateLimitError, _limited),
    (_errors.ServiceUnavailableError, _unavailable),
    (_errors.ConnectionFailedError, _unavailable),
    (APIError, _refused),
    (_errors.DownloadError, lambda _: _NO_FILE),
    (_errors.ConfigurationError, lambda _: _INTERNAL),
    (_errors.LedgerError, _unkept),
    (FoxError, lambda _: _UNUSABLE),
)


def _listed(problems: tuple[str, ...]) -> str:
    return "; ".join(problems[:_SHOWN_PROBLEMS])


def error_body(error: FoxError) -> dict[str, Any]:
    """The error as JSON. If the answer hides the error's message, it is logged, once for each body."""
    answer = answer_to(error)
    if answer.level is not None:
        log.log(
            answer.level,
            "answered with %d %s: %s",
            answer.status,
            answer.type,
            error,
            extra=about("answered"),
        )
    return _body(answer, error)


def _body(answer: ErrorAnswer, error: FoxError) -> dict[str, Any]:
    content: dict[str, Any] = {"type": answer.type, "message": answer.message}
    if answer.code:
        content["code"] = shorten(answer.code, 100)
    if isinstance(error, InvalidRequestError):
        content["problems"] = list(error.problems)
        content["details"] = [RequestProblem.of(problem).model_dump() for problem in error.problems]
    if error.task_id is not None:
        content["id"] = error.task_id
    return {"error": content}


def error_response(error: FoxError) -> JSONResponse:
    """The error as an HTTP answer."""
    answer = answer_to(error)
    pause = answer.retry_after
    headers = {} if pause is None else {"Retry-After": str(max(1, math.ceil(pause)))}
    return JSONResponse(error_body(error), answer.status, headers)


def add_error_handlers(app: Starlette) -> None:
    """Answer every `FoxError` that a handler raises in one form, in a FastAPI or a Starlette app.

    The body is `{"error": {"type", "message"}}`, with `problems`, `details`, `code` and `id` if there are any:

    - `InvalidRequestError`: 422 with `problems`, and the same in `details` for programs
    - a refusal of the request by the service: its status, with its words
    - `RateLimitError`: 429; service unavailable or not reached: 503; both with Retry-After in whole seconds
    - 401, 402, 403 of our own account: 503, logged as an error and not shown. Retry-After is 30 if the service refuses
      the account (401, 402, or a used-up quota). The session sends one submit every 30 seconds to try again.
    - `TaskFailedError`: 502 with its `code`; `TaskCancelledError`, `UnreadableResultError`: 502
    - `TaskTimeoutError`, `TaskAbandonedError`: 504 with the `id`, because the task continues
    - `UncertainSubmitError`: 502 of type "uncertain_submit", without Retry-After, because it may be billed
    - `LedgerError` of a task that is billed: 507 of type "not_kept", with its `id`
    - `DownloadError` of a file: 502 of type "no_file"
    - `NotFoundError` of a task: 404; anything else: 502, or 500 for a wrong configuration; both logged and not shown
    """
    app.add_exception_handler(FoxError, _handle)


async def _handle(_: Request, error: Exception) -> Response:
    assert isinstance(error, FoxError)  # noqa: S101 - it is registered only for this class
    return error_response(error)
