"""Sends the submits of a session. Each runs in its own asyncio task, because it may bring the id of a paid
task.

A submit is admitted, recorded in the ledger, and sent. Its caller may stop waiting before it ends. Then the log
reports how the submit ended, unless it cost nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import random

from foxapi_async._client.admission import HELD_BACK, Admission, outcome_of
from foxapi_async._client.api import Api
from foxapi_async._client.hooks import Hooks, SubmitFailed, Submitted, Submitting
from foxapi_async._client.poller import Poller
from foxapi_async._client.submission import Barrier, Submission, SubmitState
from foxapi_async._client.uploads import Uploads
from foxapi_async._errors import ConnectionFailedError, FoxError, RateLimitError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.snapshot import snapshot_of
from foxapi_async._listener import about, log
from foxapi_async._options import RetryPolicy
from foxapi_async._policy.brake import LONGEST_HOLD, PostOutcome
from foxapi_async._policy.breaker import PROBE_SECONDS
from foxapi_async._policy.prices import priced_as
from foxapi_async._policy.verdict import Verdict
from foxapi_async._retry.retry import CAP_SECONDS, RetrySignal, retried, wait_seconds
from foxapi_async._wire.replies import TaskReply
from foxapi_async.models import GenerationRequest
from foxapi_async.models._doubts import NewDoubts

LONGEST_SILENCE = 60.0
"""A batch ends after this many seconds if the service has never answered."""

Answered = TaskHandle | Exception


class Submitter:
    """The running submits.

    Args:
        api: sends them.
        uploads: stores their local files first.
        poller: tracks their tasks.
        retry: the tries and the time limits of a submit.
        closed: set when the session is closed.
        hooks: get notices of each submit; None without a hook.
    """

    def __init__(
        self,
        api: Api,
        uploads: Uploads,
        poller: Poller,
        retry: RetryPolicy,
        closed: asyncio.Event,
        hooks: Hooks | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._api = api
        self._uploads = uploads
        self._poller = poller
        self._retry = retry
        self._closed = closed
        self._hooks = hooks
        self._live: dict[asyncio.Task[Answered], Submission] = {}
        self._admission = Admission(api, hooks)
        self._group: asyncio.TaskGroup | None = None
        self._closed_by: FoxError | None = None
        self._new_doubts = NewDoubts()

    @property
    def hold(self) -> FoxError | None:
        """Why submits of series are held back; None if they are not."""
        return self._admission.hold

    def open(self, group: asyncio.TaskGroup) -> None:
        """Let submits run in `group`."""
        self._group = self._admission.group = group

    async def submit(self, request: GenerationRequest, submission: Submission) -> TaskHandle:
        """Submit a request, and wait for its handle until the caller's deadline.

        Raises:
            FoxError: see `FoxSession.submit`.
        """
        task = self._start(request, submission)
        try:
            while not await submission.deadline.wait_for(task) and self._keeps_waiting(submission):
                submission.deadline.reset()
            if not task.done():
                await submission.settle()
        except BaseException:
            _detach_caller(submission, task)
            raise
        if not task.done():
            submission.note_caller_gone()
        if not task.done() or task.cancelled():
            ended = "the session was closed" if self._closed.is_set() else "the wait ended"
            raise submission.error_for_caller(ended)
        outcome = task.result()
        if isinstance(outcome, TaskHandle):
            return outcome
        raise outcome

    def _start(self, request: GenerationRequest, submission: Submission) -> asyncio.Task[Answered]:
        series = submission.series
        if self._closed_by is not None:
            raise copy.copy(self._closed_by)
        if series is not None and series.stopped:
            raise submission.error_for_caller("the series was stopped")
        try:
            submission.epochs = self._admission.breaker.admit(request.model, self._loop.time())
        except FoxError as refusal:
            # Hooks may change the context. So they run in a copy of it, as in the asyncio task of a submit.
            contextvars.copy_context().run(self._notify_unsent, request, submission, refusal)
            raise
        assert self._group is not None  # noqa: S101 - the session is open
        for doubt in self._new_doubts.of(request):
            log.warning("%s: %s; it is sent anyway", request.model, doubt, extra=about("doubtful_field"))
        submission.model = request.model
        task = submission.task = self._group.create_task(
            self._deliver(request, submission), name="foxapi submit"
        )
        for live in (self._live, *([] if series is None else [series.live])):
            live[task] = submission
            task.add_done_callback(live.pop)
        return task

    # One submit, in its own asyncio task.

    async def _deliver(self, request: GenerationRequest, submission: Submission) -> Answered:
        """Send the request and track its task. Errors are returned, because a raised error would end other submits."""
        outcome: Answered
        began = self._loop.time()
        if self._hooks is not None:
            self._hooks(Submitting(call=submission.call, model=request.model, request=request))
        attempt = functools.partial(self._try, request, submission)
        rule = functools.partial(self._next_wait, request.model, submission)
        try:
            reply = await retried(attempt, rule, self._hooks, "submit", call=submission.call)
            outcome = self._adopt(request, submission, reply, began)
        except asyncio.CancelledError:
            submission.withdraw()
            over = "its grace is over" if submission.maybe_billed else "the wait ended"
            lost = submission.error_for_caller(over)
            if submission.maybe_billed:
                log.warning("%s", lost, extra=about("lost_submit"))
            self._notify_failed(request, submission, lost, began)
            raise
        except Exception as error:  # it is raised where `submit` waits
            outcome = submission.final_error(error)
            self._notify_failed(request, submission, outcome, began)
        if submission.caller_gone:
            _log_without_caller(submission, outcome)
        return outcome

    def _adopt(
        self, request: GenerationRequest, submission: Submission, reply: TaskReply, began: float
    ) -> TaskHandle:
        """Give the task to the poller. Hooks get the notice after its id is safe."""
        self._admission.note_accepted(reply.id)
        self._api.reachability.unreachable_since = None
        notice = None
        if self._hooks is not None:
            seconds = self._loop.time() - began
            notice = Submitted(
                task_id=reply.id,
                call=submission.call,
                model=request.model,
                tries=submission.tries,
                seconds=seconds,
            )
        snapshot = snapshot_of(reply, self._api.downloads)
        deadline = submission.deadline
        handle = self._poller.adopt(
            snapshot, deadline.when, deadline.timeout, notice, request.expected, priced_as(request)
        )
        breaker = self._admission.breaker
        if breaker.refuses and breaker.accepted(request.model, submission.epochs):
            log.info("a submit was accepted: all submits are sent again", extra=about("submits_released"))
        return handle

    async def _try(self, request: GenerationRequest, submission: Submission) -> TaskReply:
        """Store the files of a request, wait for its turn, and send it.

        Raises:
            RetrySignal: the request was not accepted.
        """
        judged: TaskReply | Verdict | None = None
        if submission.state is SubmitState.HELD:
            submission.release()
        try:
            if request.local_files():
                request = await self._uploads.replace_in(request, submission.call)
            admitted = await self._admission.admit(submission)
        except FoxError as error:
            admitted = error
        if isinstance(admitted, FoxError):
            judged = Verdict(admitted)
            submission.conclude(judged)
            raise RetrySignal(judged)
        try:
            exchange = await submission.begin(self._retry.connect_timeout, self._retry.reply_timeout)
            judged = await self._api.submit(
                request,
                exchange,
                key=submission.key,
                earlier=submission.tries,
                maybe_accepted=submission.maybe_accepted,
            )
            submission.conclude(judged)
            if isinstance(judged, Verdict):
                raise RetrySignal(judged)
            return judged
        finally:
            if admitted is not None:
                self._admission.note_ended(admitted, submission, judged)

    # After a try that was not accepted.

    def _next_wait(self, model: str, submission: Submission, verdict: Verdict, failures: int) -> float | None:
        """Seconds until the next try of a submit that was not accepted; None if there is no next try."""
        now, error, series = self._loop.time(), verdict.error, submission.series
        seconds = wait_seconds(verdict, failures)
        if verdict.hold:  # also after the last try: the others must wait too
            self._api.submits.hold(now + (seconds if verdict.retry_after else 0.0), verdict.refusal)
        if isinstance(error, ConnectionFailedError):
            self._api.reachability.failed(now)
        else:
            self._api.reachability.unreachable_since = None
        if not verdict.edge:
            self._refuse_account(error, model, submission)
        wait = self._wait_for(submission, verdict, failures, seconds)
        if wait is not None and submission.barred is not None:
            # It would have waited, but it is barred. The bar's error is its final error.
            submission.ending = submission.barred.error
            return None
        if wait is not None:
            if series is not None and wait > CAP_SECONDS:
                log.warning(HELD_BACK, error, wait, extra=about("submits_held"))
            pauses = series is not None and series.pauses
            waited_out = isinstance(error, RateLimitError) or verdict.edge or (pauses and error.retryable)
            submission.hold(wait, waited_out=waited_out)
        return wait

    def _wait_for(
        self, submission: Submission, verdict: Verdict, failures: int, seconds: float
    ) -> float | None:
        """The seconds to wait by the rules for this error; None if there is no next try."""
        error, series = verdict.error, submission.series
        pauses = series is not None and series.pauses
        wait: float | None = None
        if series is not None and isinstance(error, RateLimitError):
            wait, submission.pause_reason = (
                (seconds, None) if seconds < submission.longest_hold else (None, "hold")
            )
        elif series is not None and outcome_of(submission, verdict) is PostOutcome.EDGE:
            wait = self._admission.edge_wait(submission, seconds)
        elif (
            verdict.again
            and failures < self._retry.tries
            and (pauses or seconds < submission.deadline.remaining())
        ):
            wait = seconds
        elif pauses and error.retryable:
            left = self._outage_remaining()
            wait = min(random.uniform(CAP_SECONDS, 2 * CAP_SECONDS), left + 0.01) if left >= 0 else None  # noqa: S311 - no secret
            submission.pause_reason = "outage" if wait is None else None
        return wait

    def _outage_remaining(self) -> float:
        """Seconds for which a batch still waits for a network that is down; negative if it no longer waits."""
        longest = LONGEST_HOLD if self._api.reachability.ever_answered else LONGEST_SILENCE
        return longest - self._api.reachability.silence(self._loop.time())

    def _keeps_waiting(self, submission: Submission) -> bool:
        """Whether to wait after the deadline: yes, if nothing was sent and the batch waits until the network is back."""
        series = submission.series
        if series is None or not series.pauses or submission.barred is not None or submission.maybe_billed:
            return False
        return self._outage_remaining() >= 0

    # Ending many submits at a time.

    def stop(self, reason: FoxError) -> None:
        """Stop sending: waiting submits fail with `reason`, and later ones too."""
        self._closed_by = reason
        for submission in list(self._live.values()):
            submission.bar(Barrier(reason))

    def close(self) -> None:
        """Note that no caller waits any more: sent submits may finish within their grace."""
        for submission in list(self._live.values()):
            submission.note_caller_gone()
        self._admission.close()

    def end_grace(self) -> None:
        """Stop waiting for answers."""
        for task in self._live:
            task.cancel()

    def resume(self) -> None:
        """See `FoxSession.resume`."""
        if self._admission.breaker.reset():
            log.info("submits are sent again, because resume() was called", extra=about("submits_released"))

    def _refuse_account(self, error: FoxError, model: str, by: Submission) -> None:
        """After a refusal of the account, end the waiting submits, because each would be another refused call."""
        scope = self._admission.breaker.refused(error, model, by.epochs, self._loop.time())
        if scope is None:
            return
        log.warning(
            "the service refused the account%s: %s. Waiting submits fail with this error, and one submit is sent every "
            "%g s as a probe until one is accepted or resume() is called",
            "" if scope == "account" else f" for {model}",
            error,
            PROBE_SECONDS,
            extra=about("account_refused"),
        )
        for submission in list(self._live.values()):
            if submission is not by and (scope == "account" or submission.model == model):
                submission.bar(Barrier(error, "account"))

    # The notices for hooks.

    def _notify_unsent(self, request: GenerationRequest, submission: Submission, refusal: FoxError) -> None:
        if self._hooks is not None:
            self._hooks(Submitting(call=submission.call, model=request.model, request=request))
        self._notify_failed(request, submission, refusal, self._loop.time())

    def _notify_failed(
        self, request: GenerationRequest, submission: Submission, error: Exception, began: float
    ) -> None:
        if self._hooks is None:
            return
        notice = SubmitFailed(
            task_id=getattr(error, "task_id", None),
            call=submission.call,
            model=request.model,
            error=copy.copy(error) if isinstance(error, FoxError) else error,
            tries=submission.tries,
            seconds=self._loop.time() - began,
        )
        self._hooks(notice)


def _detach_caller(submission: Submission, task: asyncio.Task[Answered]) -> None:
    """Handle a cancelled caller. If its submit ended in the same turn of the loop, only the log can report its end."""
    if not task.done():
        submission.note_caller_gone()
    elif not task.cancelled():  # pragma: no branch - else both were cancelled in one turn
        _log_without_caller(submission, task.result())


def _log_without_caller(submission: Submission, outcome: Answered) -> None:
    """Log how a submit without a caller ended, unless it cost nothing."""
    if isinstance(outcome, TaskHandle):
        log.warning(
            "task %s was accepted and billed after its caller had gone; it is in FoxSession.unfinished",
            outcome.id,
            extra=about("late_id", task_id=outcome.id),
        )
    elif submission.maybe_billed or not isinstance(outcome, FoxError) or outcome.charged != "no":
        log.warning("a submit ended after its caller had gone: %s", outcome, extra=about("lost_submit"))
