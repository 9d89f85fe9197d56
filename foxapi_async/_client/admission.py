"""Decides which submit may be sent now.

Three objects have the rules, and this module asks them in this order:

- The breaker refuses submits while the service refuses the account.
- The brake limits how many submits may be unanswered. It holds submits back if answers are missing or an edge refuses.
- The limiter keeps the rate, and waits after a 429.

Submits that are held back wait here.
"""

from __future__ import annotations

import asyncio
import copy

import attrs

from foxapi_async._client.api import Api
from foxapi_async._client.hooks import Hooks
from foxapi_async._client.submission import Barrier, Submission
from foxapi_async._errors import ConnectionFailedError, FoxError, UncertainSubmitError
from foxapi_async._listener import about, log
from foxapi_async._policy.brake import Brake, Hold, PostOutcome, Ticket
from foxapi_async._policy.breaker import Breaker
from foxapi_async._policy.verdict import Verdict
from foxapi_async._wire.replies import TaskReply

ALONE_SECONDS = 30.0
"""The edge may refuse the last item of a batch for this long. After that the item fails."""

HELD_BACK = "waiting: %s (the next try is in %.0f s)"


@attrs.define(eq=False)
class _Waiting:
    """A submit that waits for the brake: the future that admits it, and the time limit of its hold."""

    submission: Submission
    turn: asyncio.Future[Ticket]
    limit: asyncio.Timeout
    since: float


class Admission:
    """Decides who may send, for all submits of a session.

    Args:
        api: has the limiter, and checks whether the service is there.
        hooks: get reports of holds; None without a hook.

    Attributes:
        breaker: holds submits back while the account is refused.
    """

    def __init__(self, api: Api, hooks: Hooks | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._api = api
        self._hooks = hooks
        self._brake = Brake()
        self._queue: list[_Waiting] = []
        self._last_hold: Hold | None = None
        self._probe_task: asyncio.Task[None] | None = None
        self.breaker = Breaker()
        self._newest_id: str | None = None
        self.group: asyncio.TaskGroup | None = None

    async def admit(self, submission: Submission) -> Ticket | FoxError | None:
        """Wait until a submit may be sent.

        Returns:
            The ticket for `note_ended`; None for a single submit, because it does not wait for the brake. If the
            submit was held for too long, the error.
        """
        if submission.series is not None:  # its time limit is paused while it waits for its turn
            submission.deadline.pause()
        while True:
            ticket = None
            if submission.series is not None:
                admitted = await self._pass_brake(submission)
                if isinstance(admitted, FoxError):
                    return admitted
                ticket = admitted
            try:
                refusal = await self._api.submits.acquire(submission.max_wait)
            except BaseException:
                self._withdraw(ticket)
                raise
            if refusal is None and (ticket is None or self._brake.is_current(ticket)):
                if submission.tries:
                    submission.epochs = self.breaker.readmit(submission.model, self._loop.time())
                return ticket
            self._withdraw(ticket)
            if refusal is not None:
                return refusal

    def _withdraw(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            self._brake.withdraw(ticket)
            self._dispatch()

    @property
    def hold(self) -> FoxError | None:
        """The error that closed the brake; None if it is open."""
        return None if self._brake.hold is None else self._brake.hold.error

    async def _pass_brake(self, submission: Submission) -> Ticket | FoxError:
        """Wait until the brake admits the submit. Return its ticket, or the error if an item of `as_completed` was held
        for too long.
        """
        turn: asyncio.Future[Ticket] = self._loop.create_future()
        now = self._loop.time()
        try:
            async with asyncio.timeout(None) as limit:
                waiting = _Waiting(submission, turn, limit, now)
                self._queue.append(waiting)
                if self._brake.hold is not None:
                    self._limit(waiting, self._brake.hold)
                self._dispatch()
                return await turn
        except TimeoutError:
            if turn.done() and not turn.cancelled():  # pragma: no cover - its turn came at this very moment
                return turn.result()
            hold = self._brake.hold or self._last_hold
            assert hold is not None  # noqa: S101 - only a hold sets a limit
            return _not_sent(hold, self._loop.time())
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came at this very moment
                self._withdraw(turn.result())
            raise
        finally:
            if not turn.done() or turn.cancelled():
                self._queue = [each for each in self._queue if each.turn is not turn]
            if self._last_hold is not None:
                submission.held += max(0.0, self._loop.time() - max(now, self._last_hold.since))

    def note_ended(self, ticket: Ticket, submission: Submission, judged: TaskReply | Verdict | None) -> None:
        """Note how a try ended. `judged` is None if it was cancelled, or could not be recorded in the ledger."""
        error = judged.error if isinstance(judged, Verdict) else None
        answer = outcome_of(submission, judged)
        if answer is PostOutcome.EDGE and submission.edge_refusals == 1:
            submission.refused_post = ticket.number
        self._brake.end(ticket, submission.call, answer, error, self._loop.time())
        self._dispatch()

    def note_accepted(self, task_id: str) -> None:
        """Note that the service accepted a submit. Single submits count, too."""
        self._newest_id = task_id
        self._brake.ever_accepted = True

    def edge_wait(self, submission: Submission, seconds: float) -> float | None:
        """Seconds until the next try of a submit that the edge refused; None if there is no next try.

        While the brake is closed, the result is 0, because the brake decides when the next try begins. Otherwise it is
        `seconds`.
        """
        if self._refuses_alone(submission):
            return None
        return seconds if self._brake.hold is None else 0.0

    def _refuses_alone(self, submission: Submission) -> bool:
        """Whether the edge refuses only this item and not all of them."""
        if submission.edge_refusals < 2:
            return False
        if self._brake.has_accepted_since(submission.refused_post):
            return True
        # No other item waits that could show whether the edge refuses all. Items were accepted before, and the edge has
        # refused this one for a long time.
        pauses = submission.series is not None and submission.series.pauses
        alone = pauses and self._brake.ever_accepted and not self._queue
        return alone and self._loop.time() - submission.edge_refused_at > ALONE_SECONDS

    def close(self) -> None:
        """Stop checking whether the service is there."""
        if self._probe_task is not None:
            self._probe_task.cancel()

    def _dispatch(self) -> None:
        """Admit submits that may be sent now. While the brake is closed and submits wait, check whether the
        service is there.
        """
        now, hold = self._loop.time(), self._brake.hold
        if hold is not self._last_hold:
            for waiting in self._queue:
                self._limit(waiting, hold)
            self._last_hold = hold
        reason = self._brake.reason_to_pause(now)
        if hold is not None and reason is not None:
            for waiting in list(self._queue):
                series = waiting.submission.series
                if series is not None and series.pauses and waiting.submission.barred is None:
                    waiting.submission.bar(Barrier(_not_sent(hold, now), reason))
        while self._queue and self._brake.admits():
            waiting = self._queue[0]
            if hold is not None or waiting.submission.edge_refusals:
                waiting = min(self._queue, key=self._rank)
            self._queue.remove(waiting)
            if not waiting.turn.done():  # pragma: no branch - else it is cancelled at this very moment
                waiting.turn.set_result(self._brake.begin())
        is_probing = self._probe_task is not None and not self._probe_task.done()
        if self._queue and hold is not None and not hold.probing and not is_probing:
            assert self.group is not None  # noqa: S101 - the session is open
            self._probe_task = self.group.create_task(self._probe_service(hold), name="foxapi probe")

    def _limit(self, waiting: _Waiting, hold: Hold | None) -> None:
        """Set the time at which a hold ends an item of `as_completed`. A batch pauses instead."""
        submission = waiting.submission
        if hold is None or submission.series is None or submission.series.pauses:
            waiting.limit.reschedule(None)
        elif submission.longest_hold < float("inf"):
            waiting.limit.reschedule(max(waiting.since, hold.since) + submission.longest_hold)

    def _rank(self, waiting: _Waiting) -> int:
        """The place of a submit in the order. While the brake is closed, submits that may be billed already are first.
        Submits that the edge refused are last.
        """
        if self._brake.hold is not None and waiting.submission.maybe_accepted:
            return 0
        return 2 if waiting.submission.edge_refusals else 1

    async def _probe_service(self, hold: Hold) -> None:
        """Check with reads whether the service is there, with longer and longer gaps, until one submit may be sent."""
        while self._queue and self._brake.hold is hold and not hold.probing and not hold.ready:
            seconds = hold.until - self._loop.time()
            if seconds > 0:
                log.warning(HELD_BACK, hold.error, seconds, extra=about("submits_held"))
                if self._hooks is not None:
                    self._hooks.on_throttle("submit", seconds, copy.copy(hold.error))
                await asyncio.sleep(seconds)
            answered = await self._api.service_answers(self._newest_id)
            self._brake.note_read(
                self._loop.time(), answered=answered, ever_answered=self._api.reachability.ever_answered
            )
            self._dispatch()


def outcome_of(submission: Submission, judged: TaskReply | Verdict | None) -> PostOutcome:
    """How a try ended, for the brake."""
    if isinstance(judged, TaskReply):
        return PostOutcome.ACCEPTED
    if judged is None:  # cancelled, or the ledger cannot be written
        return PostOutcome.UNCERTAIN if submission.maybe_billed else PostOutcome.UNSENT
    if isinstance(judged.error, ConnectionFailedError):
        return PostOutcome.UNSENT
    if isinstance(judged.error, UncertainSubmitError):
        return PostOutcome.UNCERTAIN
    # A refused body size (413) concerns only its item, and the limiter handles a 429.
    is_edge = judged.edge and getattr(judged.error, "status", None) not in {413, 429}
    return PostOutcome.EDGE if is_edge else PostOutcome.REFUSED


def _not_sent(hold: Hold, now: float) -> FoxError:
    """The error for a submit that a closed brake has held for too long."""
    if hold.edge:
        return copy.copy(hold.error)
    return ConnectionFailedError(
        f"not sent: for {now - hold.since:.0f} s no submit had a usable answer; the last one: "
        f"{hold.error.what_happened}",
        retryable=True,
        hint=hold.error.hint,
    )
