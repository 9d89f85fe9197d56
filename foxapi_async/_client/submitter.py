"""Sends the submits of a session. Each runs in a task of its own, because it may bring the id of a task that is paid for.

One after another, a submit passes the breaker (is the account refused?), the brake (may one more be without an answer?)
and the limiter (its turn), is noted in the ledger, and leaves. The caller may go meanwhile. What then becomes of it is
logged, unless it cost nothing.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import copy
import functools
import logging
import random

from foxapi_async._client.api import Api
from foxapi_async._client.hooks import Hooks
from foxapi_async._client.notices import SubmitFailed, Submitted, Submitting
from foxapi_async._client.poller import Poller
from foxapi_async._client.submission import Bar, Submission, SubmitState
from foxapi_async._client.uploads import Uploads
from foxapi_async._errors import ConnectionFailedError, FoxError, RateLimitError, UncertainSubmitError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.snapshot import TaskSnapshot
from foxapi_async._options import RetryPolicy
from foxapi_async._policy.brake import LONGEST_HOLD, Answer, Brake, Hold
from foxapi_async._policy.breaker import PROBE_SECONDS, Breaker
from foxapi_async._policy.verdict import Verdict
from foxapi_async._retry.retry import CAP_SECONDS, RetrySignal, retried, wait_seconds
from foxapi_async._wire.replies import TaskReply
from foxapi_async.models import GenerationRequest

_log = logging.getLogger("foxapi_async")

UNHEARD_SECONDS = 60.0
"""A batch that has never heard the service ends after so many seconds."""

ALONE_SECONDS = 30.0
"""For so long something in front of the service may refuse an item when no other is left."""

HELD_BACK = "submits wait %.1f s: %s"

Answered = TaskHandle | Exception


class Submitter:
    """What is being submitted.

    Args:
        api: sends it.
        uploads: stores its local files first.
        poller: takes its task on.
        retry: the bounds of one exchange.
        left: set once the session is left.
        hooks: hear of each submit; None without a hook.
    """

    def __init__(
        self,
        api: Api,
        uploads: Uploads,
        poller: Poller,
        retry: RetryPolicy,
        left: asyncio.Event,
        hooks: Hooks | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._api = api
        self._uploads = uploads
        self._poller = poller
        self._retry = retry
        self._left = left
        self._hooks = hooks
        self._live: dict[asyncio.Task[Answered], Submission] = {}
        self._breaker = Breaker()
        self._brake = Brake()
        # What waits for the brake: the submission, and the future that lets it go.
        self._queue: collections.deque[tuple[Submission, asyncio.Future[int]]] = collections.deque()
        self._asking: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._closed_by: FoxError | None = None
        self._newest_id: str | None = None

    def open(self, group: asyncio.TaskGroup) -> None:
        """Let submits run in `group`."""
        self._group = group

    async def submit(self, request: GenerationRequest, submission: Submission) -> TaskHandle:
        """The handle of an accepted request, waited for as long as its caller has time.

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
            _leave_to_itself(submission, task)
            raise
        if not task.done():
            submission.lose_caller()
        if not task.done() or task.cancelled():
            ended = "the session was left" if self._left.is_set() else "the waiting was ended"
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
            submission.epochs = self._breaker.admit(request.model, self._loop.time())
        except FoxError as refusal:
            # In a context as its task has one: hooks may change theirs.
            contextvars.copy_context().run(self._notify_unsent, request, submission, refusal)
            raise
        assert self._group is not None  # noqa: S101 - the session is open
        submission.model = request.model
        task = submission.task = self._group.create_task(
            self._deliver(request, submission), name="foxapi submit"
        )
        for live in (self._live, *([] if series is None else [series.live])):
            live[task] = submission
            task.add_done_callback(live.pop)
        return task

    # One submit, in its own task.

    async def _deliver(self, request: GenerationRequest, submission: Submission) -> Answered:
        """Send the request and take its task on. Errors are returned: one must not end its neighbours."""
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
            over = "its grace is over" if submission.maybe_billed else "the waiting was ended"
            lost = submission.error_for_caller(over)
            if submission.maybe_billed:
                _log.warning("%s", lost)
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
        """Let the poller have the task. Hooks hear of it once its id is in safe hands."""
        self._newest_id = reply.id
        self._api.contact.unreachable_since = None
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
        snapshot = TaskSnapshot.of(reply, self._api.downloads)
        deadline = submission.deadline
        handle = self._poller.adopt(snapshot, deadline.when, deadline.timeout, notice)
        if self._breaker.accepted(request.model, submission.epochs):
            _log.info("a submit was accepted: all pass again")
        return handle

    async def _try(self, request: GenerationRequest, submission: Submission) -> TaskReply:
        """Store its files, wait for its turn, send it.

        Raises:
            RetrySignal: it was not accepted.
        """
        judged: TaskReply | Verdict | None = None
        if submission.state is SubmitState.HELD:
            submission.release()
        try:
            if request.local_files():
                request = await self._uploads.replace_in(request, submission.call)
            admitted = await self._admission(request.model, submission)
        except FoxError as error:
            admitted = error
        if isinstance(admitted, FoxError):
            judged = Verdict(admitted)
            submission.conclude(judged)
            raise RetrySignal(judged)
        began = self._loop.time()
        try:
            exchange = await submission.begin(self._retry.connect_timeout, self._retry.reply_timeout)
            judged = await self._api.submit(
                request,
                exchange,
                key=submission.key,
                earlier=submission.tries,
                tainted=submission.maybe_accepted,
            )
            submission.conclude(judged)
        finally:
            if submission.series is not None:
                refusal = judged.error if isinstance(judged, Verdict) else None
                answer = _answer(submission, judged)
                self._brake.end(admitted, submission.call, answer, refusal, began, self._loop.time())
                self._dispatch()
        if isinstance(judged, Verdict):
            raise RetrySignal(judged)
        return judged

    async def _admission(self, model: str, submission: Submission) -> int | FoxError:
        """The epoch of the brake in which it may go, once it may; the refusal that holds it for too long."""
        submission.line_up()
        while True:
            epoch = -1  # a submit by itself passes the brake
            if submission.series is not None:
                turn: asyncio.Future[int] = self._loop.create_future()
                self._queue.append((submission, turn))
                self._dispatch()
                admitted = await self._wait_for_brake(submission, turn)
                if isinstance(admitted, FoxError):
                    return admitted
                epoch = admitted
            try:
                refusal = await self._api.submits.acquire(submission.patience)
            except BaseException:
                self._brake.withdraw(epoch)
                raise
            if refusal is None and (epoch == -1 or self._brake.is_current(epoch)):
                if submission.tries:
                    submission.epochs = self._breaker.readmit(model, self._loop.time())
                return epoch
            self._brake.withdraw(epoch)
            self._dispatch()
            if refusal is not None:
                return refusal

    async def _wait_for_brake(self, submission: Submission, turn: asyncio.Future[int]) -> int | FoxError:
        """Wait for a turn; a hold that lasts longer than an item of `as_completed` waits is what it ends with."""
        hold, began = self._brake.hold, self._loop.time()
        try:
            patience = (
                None if submission.series is None or submission.series.pauses else submission.patience()
            )
            async with asyncio.timeout(patience if hold is not None else None) as limit:
                return await turn
        except TimeoutError:
            if not limit.expired() or hold is None:  # pragma: no cover - a future of ours raises nothing
                raise
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in this very moment
                self._brake.withdraw(turn.result())
            raise
        finally:
            self._queue = collections.deque(entry for entry in self._queue if entry[1] is not turn)
            if hold is not None:
                submission.held += self._loop.time() - began
        return _not_sent(hold, self._loop.time())

    # What a try that was not accepted leads to.

    def _next_wait(self, model: str, submission: Submission, verdict: Verdict, failures: int) -> float | None:
        """Seconds until the next try of a submit that was not accepted; None if it ends with that."""
        now, error, series = self._loop.time(), verdict.error, submission.series
        seconds = wait_seconds(verdict, failures)
        if verdict.hold:  # also after the last try: the others wait all the same
            self._api.submits.hold(now + seconds, verdict.refusal)
        if isinstance(error, ConnectionFailedError):
            self._api.contact.failed(now)
        else:
            self._api.contact.unreachable_since = None
        if not verdict.edge:
            self._refuse_account(error, model, submission)
        wait = self._wait_for(submission, verdict, failures, seconds)
        if wait is not None and submission.barred is not None:
            # It would have waited this out: why it may not is what it ends with.
            submission.ending = submission.barred.error
            return None
        if wait is not None:
            if series is not None and wait > CAP_SECONDS:
                _log.warning(HELD_BACK, wait, error)
            patient = series is not None and series.pauses
            waited_out = isinstance(error, RateLimitError) or verdict.edge or (patient and error.retryable)
            submission.hold(wait, waited_out=waited_out)
        return wait

    def _wait_for(
        self, submission: Submission, verdict: Verdict, failures: int, seconds: float
    ) -> float | None:
        """What the rules for such an error say: the seconds that it waits, or None."""
        error, series = verdict.error, submission.series
        patient = series is not None and series.pauses
        wait: float | None = None
        if series is not None and isinstance(error, RateLimitError):
            wait, submission.pause = (seconds, None) if seconds < submission.longest_hold else (None, "hold")
        elif series is not None and _answer(submission, verdict) is Answer.EDGE:
            wait = None if self._is_its_own(submission) else 0.0  # the brake says when it may go
        elif (
            verdict.again
            and failures < self._retry.tries
            and (patient or seconds < submission.deadline.left())
        ):
            wait = seconds
        elif patient and error.retryable:
            left = self._outage_left()
            wait = min(random.uniform(CAP_SECONDS, 2 * CAP_SECONDS), left + 0.01) if left >= 0 else None  # noqa: S311 - no secret
            submission.pause = "outage" if wait is None else None
        return wait

    def _outage_left(self) -> float:
        """Seconds for which a batch still waits for a network that is down; negative if it waits no more."""
        longest = LONGEST_HOLD if self._api.contact.heard else UNHEARD_SECONDS
        return longest - self._api.contact.silence(self._loop.time())

    def _is_its_own(self, submission: Submission) -> bool:
        """Whether something in front of the service refuses this item and not all of them."""
        if submission.edge_refusals < 2:
            return False
        if self._brake.passed_since(submission.edge_refused_at):
            return True
        # No other item is left to tell: the service is there, and has refused this one for long enough.
        alone = self._brake.ever_accepted and not self._queue
        return alone and self._loop.time() - submission.edge_refused_at > ALONE_SECONDS

    def _keeps_waiting(self, submission: Submission) -> bool:
        """Whether to wait past the deadline: yes, if nothing was sent and the batch waits out network failures."""
        series = submission.series
        if series is None or not series.pauses or submission.barred is not None or submission.maybe_billed:
            return False
        return self._outage_left() >= 0

    # The brake: who may go, and what a closed one does.

    def _dispatch(self) -> None:
        """Let those go that may; while the brake is closed and submits wait, have the service asked."""
        now, hold = self._loop.time(), self._brake.hold
        reason = self._brake.given_up(now)
        if hold is not None and reason is not None:
            bar = Bar(_not_sent(hold, now), reason)
            for submission, _ in list(self._queue):
                if submission.series is not None and submission.series.pauses and submission.barred is None:
                    submission.bar(bar)
        while self._queue and self._brake.admits():
            entry = min(self._queue, key=self._rank)
            self._queue.remove(entry)
            if not entry[1].done():
                entry[1].set_result(self._brake.begin())
        if (
            self._queue
            and hold is not None
            and not hold.probing
            and (self._asking is None or self._asking.done())
        ):
            assert self._group is not None  # noqa: S101 - the session is open
            self._asking = self._group.create_task(self._ask_service(hold), name="foxapi probe")

    def _rank(self, entry: tuple[Submission, asyncio.Future[int]]) -> int:
        """Who goes first: behind a closed brake what may be billed already, and last what the edge has refused."""
        submission = entry[0]
        if self._brake.hold is not None and submission.maybe_accepted:
            return 0
        return 2 if submission.edge_refusals else 1

    async def _ask_service(self, hold: Hold) -> None:
        """At growing gaps, ask by a read whether the service is there, until one more submit may go."""
        while self._queue and self._brake.hold is hold and not hold.probing and not hold.ready:
            seconds = hold.until - self._loop.time()
            if seconds > 0:
                _log.warning(HELD_BACK, seconds, hold.error)
                if self._hooks is not None:
                    self._hooks.on_throttle("submit", seconds, copy.copy(hold.error))
                await asyncio.sleep(seconds)
            is_there = await self._api.is_there(self._newest_id)
            self._brake.note_read(self._loop.time(), is_there=is_there, heard=self._api.contact.heard)
            self._dispatch()

    # What ends many at a time.

    def close(self, reason: FoxError) -> None:
        """Send nothing more: what waits fails with that, and what comes later too."""
        self._closed_by = reason
        for submission in list(self._live.values()):
            submission.bar(Bar(reason))

    def leave(self) -> None:
        """No caller waits any more: what was sent may finish within its grace."""
        for submission in list(self._live.values()):
            submission.lose_caller()
        if self._asking is not None:
            self._asking.cancel()

    def end_grace(self) -> None:
        """Wait for no answer any more."""
        for task in self._live:
            task.cancel()

    def resume(self) -> None:
        """See `FoxSession.resume`."""
        if self._breaker.reset():
            _log.info("submits pass again, as asked for by resume()")

    def _refuse_account(self, error: FoxError, model: str, by: Submission) -> None:
        """Report it to what waits for its turn, if the account was refused: N submits are not to be N refused calls."""
        scope = self._breaker.refused(error, model, by.epochs, self._loop.time())
        if scope is None:
            return
        _log.warning(
            "the service refused the account%s: %s. What waits to be sent fails with that, and one submit passes every "
            "%g s as a probe until one is accepted or resume() is called",
            "" if scope == "account" else f" for {model}",
            error,
            PROBE_SECONDS,
        )
        for submission in list(self._live.values()):
            if submission is not by and (scope == "account" or submission.model == model):
                submission.bar(Bar(error, "account"))

    # What hooks hear.

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


def _answer(submission: Submission, judged: TaskReply | Verdict | None) -> Answer:
    """What the end of a try says about the way to the service."""
    if isinstance(judged, TaskReply):
        return Answer.ACCEPTED
    if judged is None:  # cancelled, or the ledger cannot be written
        return Answer.UNCERTAIN if submission.maybe_billed else Answer.UNSENT
    if isinstance(judged.error, ConnectionFailedError):
        return Answer.UNSENT
    if isinstance(judged.error, UncertainSubmitError):
        return Answer.UNCERTAIN
    # Too large a body concerns its item alone.
    is_edge = judged.edge and getattr(judged.error, "status", None) not in {413, 429}
    return Answer.EDGE if is_edge else Answer.REFUSED


def _not_sent(hold: Hold, now: float) -> FoxError:
    """What a submit ends with that a closed brake has held for too long."""
    if hold.edge:
        return copy.copy(hold.error)
    return ConnectionFailedError(
        f"not sent: for {now - hold.since:.0f} s no submit had a usable answer; the last one: {hold.error}",
        retryable=True,
    )


def _leave_to_itself(submission: Submission, task: asyncio.Task[Answered]) -> None:
    """The caller is cancelled. Its submit may have ended in this very turn: then only the log can say how."""
    if not task.done():
        submission.lose_caller()
    elif not task.cancelled():  # pragma: no branch - cancelled both in one turn: nothing came
        _log_without_caller(submission, task.result())


def _log_without_caller(submission: Submission, outcome: Answered) -> None:
    """Log what became of a submit whose caller has gone, unless it cost nothing."""
    if isinstance(outcome, TaskHandle):
        _log.warning(
            "task %s was accepted and billed after its caller had gone; it is in FoxSession.unfinished",
            outcome.id,
            extra={"task_id": outcome.id},
        )
    elif submission.maybe_billed or not isinstance(outcome, FoxError) or outcome.charged != "no":
        _log.warning("a submit whose caller has gone: %s", outcome)
