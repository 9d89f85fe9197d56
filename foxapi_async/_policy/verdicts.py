"""What an exchange that did not go well means: is it repeated, and what may it have cost.

A *refusal* proves that nothing was billed; an answer that is
missing or unusable after the request was handed over proves nothing, and is *uncertain*.

===========  ==========================================  =====================================
request      what happened                               verdict
===========  ==========================================  =====================================
submit       nothing was sent                            again; ConnectionFailedError
submit       429                                         again, all submits held; RateLimitError
submit       other 3xx, 4xx                              refused at once
submit       sent, no whole answer; 408, 5xx;            UncertainSubmitError, never again
             409 on a repeat; 2xx without an id          (`resubmit_uncertain` opts in)
poll         network, 408, 429, 5xx, unreadable          again until the deadline
poll         404 in the first seconds                    again (replicas lag behind)
poll         401, 402, 403, 404, other 3xx and 4xx       the handle fails; the task is paid for
fetch,       network, 408, 429, 5xx, unreadable          again, a few times
upload
===========  ==========================================  =====================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import attrs

from foxapi_async import _errors
from foxapi_async._errors import ConnectionFailedError, FoxError, ResponseDecodeError, UncertainSubmitError
from foxapi_async._policy.verdict import Verdict, is_transient
from foxapi_async._wire import error_replies, replies
from foxapi_async._wire.replies import TaskReply
from foxapi_async._wire.requests import Failure, Reply

T = TypeVar("T")
Kind = Literal["fetch", "upload", "poll"]


def judge_submit(
    outcome: Reply | Failure, key: str, *, earlier: int = 0, tainted: bool = False, resubmit: bool = False
) -> TaskReply | Verdict:
    """The accepted task, or the verdict on a submit that was not seen to be accepted.

    Args:
        outcome: what the transport gave.
        key: its idempotency key.
        earlier: how often this submit was tried before.
        tainted: one of these tries was uncertain, so no later refusal proves anything.
        resubmit: `RetryPolicy.resubmit_uncertain`.
    """
    judged = _judge_try(outcome, key, earlier=earlier, resubmit=resubmit)
    if isinstance(judged, TaskReply) or not tainted or isinstance(judged.error, UncertainSubmitError):
        return judged
    return attrs.evolve(judged, error=still_uncertain(judged.error, key), answer=judged.error)


def _judge_try(outcome: Reply | Failure, key: str, *, earlier: int, resubmit: bool) -> TaskReply | Verdict:
    if isinstance(outcome, Failure):
        if not outcome.sent:
            return Verdict(_not_sent(outcome), again=True)
        return Verdict(_uncertain(f"no answer ({outcome.reason})", key), again=resubmit)
    if 200 <= outcome.status < 300:
        return _judge_accepted(outcome, key, resubmit=resubmit)
    error = error_replies.read_error(outcome)
    if outcome.status == 429:
        return Verdict(_free_to_repeat(error), again=True, hold=True)
    # A conflict on a repeated key says that an earlier try did arrive. What is no proper status proves nothing.
    refused = 300 <= outcome.status < 500 and outcome.status != 408
    if not refused or (outcome.status == 409 and earlier):
        return Verdict(_uncertain(str(error), key, outcome.status), again=resubmit, answer=error)
    return Verdict(_free_to_repeat(error) if _clears_by_itself(error) else error)


def _judge_accepted(reply: Reply, key: str, *, resubmit: bool) -> TaskReply | Verdict:
    try:
        return replies.read_task(reply)
    except ResponseDecodeError as error:
        words, task_id = str(error), error.task_id
    uncertain = _uncertain(words, key, reply.status)
    uncertain.task_id = task_id  # one that cannot be asked for, but can be told to the service's support
    return Verdict(uncertain, again=resubmit)


def _clears_by_itself(error: FoxError) -> bool:
    # No channel takes these options, now or later (error-codes, submission stage): leave them out.
    return isinstance(error, _errors.ServiceUnavailableError) and error.code != "unsupported_advanced_options"


def _free_to_repeat(error: FoxError) -> FoxError:
    """A refusal proves that nothing was billed, and this one may be over later."""
    error.retryable = error.charged == "no"
    return error


def still_uncertain(refusal: FoxError, key: str) -> UncertainSubmitError:
    """What a refusal is for a submit of which an earlier try had no answer."""
    words = f"an earlier try had no answer, and the last one gave: {refusal}"
    return _uncertain(words, key, getattr(refusal, "status", None))


def _uncertain(what: str, key: str, status: int | None = None) -> UncertainSubmitError:
    return UncertainSubmitError(
        f"the submit was sent but its outcome is unknown: {what}. It may have been accepted and billed; "
        "it is not sent again (RetryPolicy(resubmit_uncertain=True) would)",
        status=status,
        idempotency_key=key,
    )


def _not_sent(failure: Failure) -> ConnectionFailedError:
    return ConnectionFailedError(
        f"could not reach the service: {failure.reason}; nothing was sent", retryable=True
    )


def judge_read(
    outcome: Reply | Failure,
    read: Callable[[Reply], T],
    kind: Kind,
    task_id: str | None = None,
    *,
    fresh: bool = False,
) -> T | Verdict:
    """What a status read, a fetch or an upload gave, or the verdict on its failure.

    Args:
        outcome: what the transport gave.
        read: makes the value of a 2xx reply, or raises `ResponseDecodeError`: as good as no answer.
        kind: what was asked; a poll's task is paid for, whatever its status read says.
        task_id: the task concerned.
        fresh: the task was submitted a moment ago: a 404 may be a replica that lags behind.
    """
    if isinstance(outcome, Failure):
        lost = ConnectionFailedError(f"could not reach the service: {outcome.reason}")
        return _read_verdict(lost, kind, task_id, again=True)
    if not 200 <= outcome.status < 300:
        again = is_transient(outcome.status) or (fresh and outcome.status == 404)
        return _read_verdict(
            error_replies.read_error(outcome), kind, task_id, again=again, hold=outcome.status == 429
        )
    try:
        return read(outcome)
    except ResponseDecodeError as error:
        unreadable = error
    return _read_verdict(unreadable, kind, task_id, again=True)


def _read_verdict(
    error: FoxError, kind: Kind, task_id: str | None, *, again: bool, hold: bool = False
) -> Verdict:
    if kind == "poll":
        error.charged = "unknown" if isinstance(error, _errors.NotFoundError) else "yes"
    error.task_id = task_id
    error.retryable = again and error.charged == "no"
    return Verdict(error, again=again, hold=hold)
