"""One logical submit, billed at most once: what is known to have been sent, and what may still happen to it.

Rule 1: every move is in the table below. Rule 2: whether it may still be sent, whether it may be billed, what its caller
gets, and how long it may wait, follow from its state, from `maybe_accepted`, and from what bars it. Nothing else decides.
"""

from __future__ import annotations

import asyncio
import copy
import enum
import itertools
import secrets
from typing import Any, Protocol

import attrs

from foxapi_async._errors import ConnectionFailedError, FoxError, Hint, UncertainSubmitError
from foxapi_async._http.exchange import Exchange
from foxapi_async._policy.brake import LONGEST_HOLD, Reason
from foxapi_async._policy.breaker import Epochs
from foxapi_async._policy.verdict import Verdict
from foxapi_async._policy.verdicts import still_uncertain
from foxapi_async._wire.replies import TaskReply

_numbers = itertools.count(1)


class SubmitState(enum.Enum):
    """Where a submit stands."""

    QUEUED = "queued"
    "Waits for its turn, or for the upload of its files."
    SENDING = "sending"
    "Is noted as sent, and connects."
    SENT = "sent"
    "Bytes of it were handed over: it may be billed from now on."
    ACCEPTED = "accepted"
    REFUSED = "refused"
    "Nothing of it is billed."
    UNCERTAIN = "uncertain"
    "It may be billed."
    HELD = "held"
    "Waits until what refused it may be over."
    WITHDRAWN = "withdrawn"
    "Ended before it was sent."


class SubmitEvent(enum.Enum):
    """What can happen to a submit."""

    BEGIN = "its turn has come"
    HAND_OVER = "bytes go out"
    ACCEPT = "the service gives an id"
    REFUSE = "refused, or not sent"
    LOSE = "no usable answer"
    HOLD = "to be tried again"
    RELEASE = "the wait is over"
    WITHDRAW = "not to be sent any more"


_S, _E = SubmitState, SubmitEvent

TRANSITIONS: dict[SubmitState, dict[SubmitEvent, SubmitState]] = {
    _S.QUEUED: {_E.BEGIN: _S.SENDING, _E.REFUSE: _S.REFUSED, _E.WITHDRAW: _S.WITHDRAWN},
    # An answer proves that it was sent, whatever was noted.
    _S.SENDING: {
        _E.HAND_OVER: _S.SENT,
        _E.ACCEPT: _S.ACCEPTED,
        _E.REFUSE: _S.REFUSED,
        _E.LOSE: _S.UNCERTAIN,
        _E.WITHDRAW: _S.WITHDRAWN,
    },
    _S.SENT: {_E.ACCEPT: _S.ACCEPTED, _E.REFUSE: _S.REFUSED, _E.LOSE: _S.UNCERTAIN},
    _S.REFUSED: {_E.HOLD: _S.HELD},
    # Only on request (`resubmit_uncertain`).
    _S.UNCERTAIN: {_E.HOLD: _S.HELD},
    _S.HELD: {_E.RELEASE: _S.QUEUED, _E.WITHDRAW: _S.WITHDRAWN},
}


class SubmitJournal(Protocol):
    """Keeps account of a submit, so that what was sent is known whatever becomes of this process."""

    async def sending(self) -> None:
        """Called before each try, which leaves once this returns."""
        ...

    def accepted(self, reply: TaskReply) -> None:
        """Called at once, before anything else can happen, also if the caller has gone."""
        ...

    def refused(self) -> None:
        """Called after a try that is not billed and leaves no doubt about that."""
        ...


@attrs.frozen
class Bar:
    """Why nothing more of a submit may be sent.

    Attributes:
        error: what its caller gets if nothing of it is known to be sent; None for the last refusal.
        reason: why a batch pauses; None if it does not.
    """

    error: FoxError | None = None
    reason: Reason | None = None


class Series:
    """The submits of one `as_completed` or of one batch: they wait out refusals, and end together.

    Args:
        pauses: whether a hold that lasts too long ends all of them (a batch, which can be resumed). Else it ends the
            item that was held for as long as a task is waited for.
    """

    def __init__(self, *, pauses: bool) -> None:
        self.pauses = pauses
        self.live: dict[asyncio.Task[Any], Submission] = {}
        self.stopped = False

    def stop(self) -> None:
        """Send nothing more: what was sent goes on, what only waited for its turn ends."""
        self.stopped = True
        for submission in list(self.live.values()):
            submission.bar(Bar())


class PausableDeadline:
    """How long a submit may take, and its caller waits. Moments are loop time in seconds.

    A single submit has so many seconds from its call. One item of many is held up by the others: its time stands still
    while it stands in line, and it has all of it again after a refusal that was waited out.
    """

    def __init__(self, timeout: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.timeout = timeout
        self.when = None if timeout is None else self._loop.time() + timeout
        self._left = timeout
        self._waiting: asyncio.Timeout | None = None

    def left(self) -> float:
        """Seconds until it; while it stands still, and without a timeout, there is no end."""
        return float("inf") if self.when is None else self.when - self._loop.time()

    async def wait_for(self, task: asyncio.Task[Any]) -> bool:
        """Wait for a task as long as there is time; whether it has ended."""
        try:
            async with asyncio.timeout_at(self.when) as self._waiting:
                await asyncio.wait([task])
        except TimeoutError:
            pass
        finally:
            self._waiting = None
        return task.done()

    def pause(self) -> None:
        """Stand still, and keep what is left."""
        if self.when is not None:
            self._left = self.left()
            self._move(None)

    def resume(self) -> None:
        """Run with what is left, if it stands still."""
        if self.when is None and self._left is not None:
            self._move(self._loop.time() + self._left)

    def reset(self) -> None:
        """Have all of the time again; if it stands still, it goes on to do so."""
        self._left = self.timeout
        if self.when is not None and self.timeout is not None:
            self._move(self._loop.time() + self.timeout)

    def _move(self, when: float | None) -> None:
        self.when = when
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(when)


class Submission:
    """One logical submit, as its caller, the task that carries it out and the ledger see it.

    Args:
        timeout: seconds that its caller waits, and its handle lives; None for no limit.
        grace: seconds that an exchange under way may still take once the caller has gone.
        series: what it is an item of; None for a submit by itself.
        key: its idempotency key, if an earlier process sent it already; default a new one.
        journal: keeps account of it.

    Attributes:
        call: its number in this process, which joins its notices.
        tries: how often it was sent, or tried to be.
        maybe_accepted: whether an earlier try may be billed: no later refusal proves anything then.
        refusal: what its last try was told; None before that.
        refused_by_edge: whether something in front of the service told it so.
        barred: why nothing more may be sent; None as long as it may.
        caller_gone: whether its caller waits no more.
        epochs: of the account and its model, in which its last try began.
        edge_refusals: how often something in front of the service refused it.
        edge_refused_at: when that try began which was first refused so (loop time).
        edge_post: the number of that POST, as the brake counts.
        held: seconds for which refusals have held it.
        pause: why the batch that it is an item of pauses with it; None if it does not.
        ending: what it ends with instead of its last refusal; None if with that.
        model: the model asked for.
    """

    def __init__(
        self,
        timeout: float | None,
        grace: float,
        *,
        series: Series | None = None,
        key: str | None = None,
        journal: SubmitJournal | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._grace = grace
        self._state = SubmitState.QUEUED
        self._exchange: Exchange | None = None
        self._journal = journal
        self.call = next(_numbers)
        self.key = secrets.token_hex(16) if key is None else key
        self.series = series
        self.deadline = PausableDeadline(timeout)
        self.task: asyncio.Task[object] | None = None
        self.tries = 0
        self.maybe_accepted = False
        self.refusal: FoxError | None = None
        self.refused_by_edge = False
        self.barred: Bar | None = None
        self.caller_gone = False
        self.epochs: Epochs = (0, 0)
        self.edge_refusals = 0
        self.edge_refused_at = 0.0
        self.edge_post = 0
        self.held = 0.0
        self.pause: Reason | None = None
        self.ending: FoxError | None = None
        self.model = ""
        self._began = 0.0

    @property
    def state(self) -> SubmitState:
        """Where it stands."""
        if self._state is SubmitState.SENDING and self._exchange is not None and self._exchange.sent:
            self._move(SubmitEvent.HAND_OVER)
        return self._state

    @property
    def maybe_billed(self) -> bool:
        """Whether the service has accepted it, or may have without our knowledge."""
        return self.maybe_accepted or self.state in {
            SubmitState.SENT,
            SubmitState.ACCEPTED,
            SubmitState.UNCERTAIN,
        }

    def patience(self) -> float:
        """Seconds for which a refusal may hold it from now on."""
        return self.deadline.left() if self.series is None else self.longest_hold

    @property
    def longest_hold(self) -> float:
        """Seconds for which an item of many may still be held: a batch can be resumed, `as_completed` cannot."""
        if self.series is not None and self.series.pauses:
            return LONGEST_HOLD
        return float("inf") if self.deadline.timeout is None else self.deadline.timeout - self.held

    def _move(self, event: SubmitEvent) -> None:
        try:
            state = TRANSITIONS[self._state][event]
        except KeyError:
            raise RuntimeError(f"a submit that is {self._state.value} cannot be: {event.value}") from None
        ended_unsent = state in {SubmitState.REFUSED, SubmitState.WITHDRAWN}
        self._state = SubmitState.UNCERTAIN if ended_unsent and self.maybe_accepted else state

    # A try, as the task that carries it out reports it.

    def release(self) -> None:
        """Begin another try after it was held."""
        self._move(SubmitEvent.RELEASE)
        if self.series is not None:
            self.deadline.resume()

    def line_up(self) -> None:
        """Wait for its turn; the time of an item of many stands still meanwhile."""
        if self.series is not None:
            self.deadline.pause()

    async def begin(self, connect: float, reply: float) -> Exchange:
        """Have a try noted, then begin it: `connect` and `reply` are the seconds of its exchange."""
        if self._journal is not None:
            await self._journal.sending()
        self._move(SubmitEvent.BEGIN)
        self._exchange = exchange = Exchange(connect, reply)
        self._began = self._loop.time()
        if self.series is not None:
            self.deadline.resume()
        return exchange

    def conclude(self, judged: TaskReply | Verdict) -> None:
        """End a try: what it proves is now known."""
        state = self.state
        self._exchange = None
        self.tries += state is not SubmitState.QUEUED  # else its files could not be stored
        if isinstance(judged, TaskReply):
            self._move(SubmitEvent.ACCEPT)
            if self._journal is not None:
                self._journal.accepted(judged)
            return
        self.refusal, self.refused_by_edge = judged.error, judged.edge
        if isinstance(judged.error, UncertainSubmitError):
            self._move(SubmitEvent.LOSE)
            self.maybe_accepted = True
            return
        self._move(SubmitEvent.REFUSE)
        if judged.edge and not self.edge_refusals:
            self.edge_refused_at = self._began
        self.edge_refusals += judged.edge
        if self._journal is not None and not self.maybe_accepted:
            self._journal.refused()

    def hold(self, seconds: float, *, waited_out: bool) -> None:
        """Wait so long for its next try. A refusal that is waited out gives an item of many all of its time again."""
        self._move(SubmitEvent.HOLD)
        self.held += seconds
        if waited_out and self.series is not None:
            self.deadline.pause()
            self.deadline.reset()

    # What ends it from outside.

    def bar(self, bar: Bar) -> None:
        """Send nothing more: a try that has gone out may finish, anything before that ends now."""
        self.barred = self.barred if self.barred is not None and bar.error is None else bar
        self.pause = bar.reason or self.pause
        if self._exchange is not None and not self._exchange.revoke():
            return
        if self.task is not None and self._state is not SubmitState.ACCEPTED:
            self.task.cancel()

    def lose_caller(self) -> None:
        """The caller has gone: what was sent may finish within the grace, so that its id is not lost."""
        if self.caller_gone:
            return
        self.caller_gone = True
        if self._exchange is not None and self._exchange.sent:
            self._exchange.end_by(self._loop.time() + self._grace)
        self.bar(Bar())

    async def settle(self) -> None:
        """Wait, once its caller's time is over, for an answer that is just coming: it counts."""
        if self._exchange is not None:
            await self._exchange.settle()

    def withdraw(self) -> None:
        """Note that it ended before its try did: nothing more comes of it."""
        if SubmitEvent.WITHDRAW in TRANSITIONS.get(self.state, {}):
            self._move(SubmitEvent.WITHDRAW)

    def final_error(self, error: Exception) -> Exception:
        """What it ends with: an earlier try that may be billed leaves it uncertain, whatever comes after."""
        if self.ending is not None:
            error = copy.copy(self.ending)
        if (
            self.maybe_accepted
            and isinstance(error, FoxError)
            and not isinstance(error, UncertainSubmitError)
        ):
            return still_uncertain(error, self.key)
        return error

    def error_for_caller(self, why: str) -> FoxError:
        """What the caller gets who stops waiting before there is an id."""
        if self.maybe_billed:
            return UncertainSubmitError(
                f"{why} and the submit has no answer yet: it may have been accepted and billed",
                idempotency_key=self.key,
                hint=Hint.EXPECT_ID,
            )
        barred = self.barred.error if self.barred is not None else None
        if refusal := barred or self.refusal:
            return copy.copy(refusal)
        return ConnectionFailedError(
            f"{why} before the submit could be sent; nothing was sent", retryable=True
        )
