"""Decides what follows from an exchange: whether it is repeated, and what it may have cost.

Only a reply with the service's own JSON comes from the service (`speaker`). Everything else comes from
something in front of it: an ingress during a deploy, a captive portal, a firewall, a challenge. A *refusal*
proves that nothing was billed. If the request was handed over and the answer is missing or unusable, the
outcome is *uncertain*.

===========  ==========================================  =====================================
request      what happened                               verdict
===========  ==========================================  =====================================
submit       nothing was sent                            again; ConnectionFailedError
submit       an id, with any status                      accepted
submit       429, from any sender; 403 with a quota      again, all submits held; RateLimitError
             code and a Retry-After
submit       403, 429 with a quota code and without a    refused at once;
             Retry-After                                 InsufficientQuotaError
submit       other 3xx, 4xx of the service               refused at once
submit       a page (not the service's JSON) with a      refused at once, by the edge
             status of `_NOT_PASSED_ON`
submit       sent, no whole answer; 408, 5xx; other      UncertainSubmitError, never again
             pages; 409 on a repeat; 2xx without an id   (`resubmit_uncertain` opts in)
any read     a page, with any status                     again; a plain APIError
poll         network, 408, 429, 5xx, unreadable; a       again until the deadline
             quota code
poll         404 in the first seconds                    again (replicas lag behind)
poll         other 3xx and 4xx of the service            the handle fails; the task is paid for
fetch,       network, 408, 429, 5xx, unreadable          again, a few times
upload
upload       413, from any sender                        PayloadTooLargeError
===========  ==========================================  =====================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import attrs

from foxapi_async import _errors
from foxapi_async._errors import (
    ConnectionFailedError,
    FoxError,
    RateLimitError,
    ResponseDecodeError,
    UncertainSubmitError,
)
from foxapi_async._hints import Hint
from foxapi_async._policy.verdict import Verdict, is_transient
from foxapi_async._wire import error_replies, replies
from foxapi_async._wire.replies import TaskReply
from foxapi_async._wire.requests import Failure, Reply
from foxapi_async._wire.texts import shorten

T = TypeVar("T")
ReadKind = Literal["fetch", "upload", "poll"]

# If an answer is not the service's own JSON, only these statuses mean that the request did not reach the service.
_NOT_PASSED_ON = frozenset({
    301, 302, 307, 308, *range(400, 407), 410, 411, 413, 414, 415, 417, 421, 425, 426, 431, 451,
})  # fmt: skip

# The senders that are not the service. An answer that is cut off ("cut") is not here: it does not show its sender.
_EDGE = frozenset({"stranger", "page"})

# This many characters of an uncertain answer are kept.
MAX_BODY = 2000


def judge_submit(
    outcome: Reply | Failure,
    key: str,
    *,
    earlier: int = 0,
    maybe_accepted: bool = False,
    resubmit: bool = False,
) -> TaskReply | Verdict:
    """The accepted task, or the verdict on a submit that has no proof of acceptance.

    Args:
        outcome: the reply or failure from the transport.
        key: the submit's idempotency key.
        earlier: how often this submit was tried before.
        maybe_accepted: whether an earlier try was uncertain, so that no later refusal proves anything.
        resubmit: `RetryPolicy.resubmit_uncertain`.
    """
    if isinstance(outcome, Reply):
        try:
            return replies.read_task(outcome)
        except ResponseDecodeError as caught:
            verdict = _judge_answer(outcome, caught, key, earlier=earlier, resubmit=resubmit)
    elif outcome.sent:
        verdict = Verdict(_uncertain(f"no answer ({outcome.reason})", key), again=resubmit)
    else:
        verdict = Verdict(_not_sent(outcome), again=True)
    if not maybe_accepted or isinstance(verdict.error, UncertainSubmitError):
        return verdict
    error = still_uncertain(verdict.error, key)
    error.body = _body_of(outcome)
    return attrs.evolve(verdict, error=error, answer=verdict.error)


def _judge_answer(
    outcome: Reply, no_task: ResponseDecodeError, key: str, *, earlier: int, resubmit: bool
) -> Verdict:
    """The verdict on an answer without a task. `no_task` says what is missing."""
    sender = replies.speaker(outcome)
    edge = sender in _EDGE
    error = error_replies.read_error(outcome, submit=sender == "service")
    if no_task.task_id is None:  # an id anywhere in the reply means that the submit was accepted
        if isinstance(error, RateLimitError):
            return Verdict(_free_to_repeat(error), again=True, hold=True, edge=edge)
        if _is_refused(outcome.status, sender, earlier):
            return Verdict(_free_to_repeat(error) if _clears_by_itself(error) else error, edge=edge)
    accepted = 200 <= outcome.status < 300
    has_own_text = sender == "service" or not accepted
    uncertain = _uncertain(_text_about(no_task, error, has_own_text=has_own_text), key, outcome.status)
    # It cannot be polled, but the user can name it to the service's support.
    uncertain.task_id = no_task.task_id
    uncertain.body = _body_of(outcome)
    answer = None if accepted and sender != "service" else error
    return Verdict(uncertain, again=resubmit, answer=answer, edge=edge, too_large=outcome.too_large)


def _is_refused(status: int, sender: replies.Speaker, earlier: int) -> bool:
    """Whether an answer without an id means that nothing is billed."""
    if sender != "service":
        return status in _NOT_PASSED_ON
    # A conflict on a repeated key means that an earlier try did arrive. An invalid status proves nothing.
    return 300 <= status < 500 and status != 408 and not (status == 409 and earlier)


def _text_about(no_task: ResponseDecodeError, error: FoxError, *, has_own_text: bool) -> str:
    """The text about an uncertain answer: its own text, or what is wrong with it. Then the id that it names."""
    named = "" if no_task.task_id is None else f"; it names {shorten(no_task.task_id, 100)}"
    return f"{(error if has_own_text else no_task).what_happened}{named}"


def _body_of(outcome: Reply | Failure) -> str | None:
    if isinstance(outcome, Failure):
        return None
    return shorten(outcome.body[: 4 * MAX_BODY].decode("utf-8", "replace"), MAX_BODY) or None


def _clears_by_itself(error: FoxError) -> bool:
    # The service's page error-codes says that no channel takes these options. So the user must leave them out.
    return isinstance(error, _errors.ServiceUnavailableError) and error.code != "unsupported_advanced_options"


def _free_to_repeat(error: FoxError) -> FoxError:
    """Mark a refusal that may end by itself as retryable. It proves that nothing was billed."""
    error.retryable = error.charged == "no"
    return error


def still_uncertain(refusal: FoxError, key: str) -> UncertainSubmitError:
    """The error for a refused submit if an earlier try had no answer."""
    words = f"an earlier try had no answer, and the last one gave: {refusal.what_happened}"
    return _uncertain(words, key, getattr(refusal, "status", None))


def _uncertain(what: str, key: str, status: int | None = None) -> UncertainSubmitError:
    return UncertainSubmitError(
        f"the submit was sent but its outcome is unknown: {what}. It may have been accepted and billed",
        status=status,
        idempotency_key=key,
        hint=Hint.CHECK_ACCOUNT,
    )


def _not_sent(failure: Failure) -> ConnectionFailedError:
    return ConnectionFailedError(f"{failure.reason}; nothing was sent", retryable=True, hint=failure.hint)


def judge_read(
    outcome: Reply | Failure,
    read: Callable[[Reply], T],
    kind: ReadKind,
    task_id: str | None = None,
    *,
    fresh: bool = False,
) -> T | Verdict:
    """The value of a status read, a fetch or an upload, or the verdict on its failure.

    Args:
        outcome: the reply or failure from the transport.
        read: makes the value of a 2xx reply, or raises `ResponseDecodeError`, which counts as no answer.
        kind: the kind of request. The task of a poll is paid for, even if the poll fails.
        task_id: the task concerned.
        fresh: whether the task was submitted a moment ago: a 404 may come from a replica that lags behind.
    """
    if isinstance(outcome, Failure):
        lost = ConnectionFailedError(f"could not reach the service: {outcome.reason}", hint=outcome.hint)
        return _read_verdict(lost, kind, task_id, again=True)
    status = outcome.status
    unreadable: ResponseDecodeError | None = None
    if 200 <= status < 300 or outcome.too_large:
        try:
            return read(outcome)
        except ResponseDecodeError as caught:
            unreadable = caught
    sender = replies.speaker(outcome)
    # A file that is too large for the edge stays too large.
    final = kind == "upload" and status == 413
    again = not final and (sender != "service" or unreadable is not None or is_transient(status))
    error: FoxError
    is_of_edge = sender == "page" or (sender in _EDGE and unreadable is None)
    if is_of_edge and not (final or status == 429 or outcome.too_large):
        error = error_replies.read_edge(outcome)
    elif unreadable is not None:
        error = unreadable
    else:
        error = refusal = error_replies.read_error(outcome)
        again = (
            again or (fresh and status == 404) or (kind == "poll" and error_replies.has_quota_code(refusal))
        )
    verdict = _read_verdict(error, kind, task_id, again=again)
    return attrs.evolve(verdict, hold=status == 429, edge=sender in _EDGE, too_large=outcome.too_large)


def _read_verdict(error: FoxError, kind: ReadKind, task_id: str | None, *, again: bool) -> Verdict:
    if kind == "poll":
        error.charged = "unknown" if isinstance(error, _errors.NotFoundError) else "yes"
    error.task_id = task_id
    error.retryable = again and error.charged == "no"
    return Verdict(error, again=again)
