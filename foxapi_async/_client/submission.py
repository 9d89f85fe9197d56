"""One logical submit, billed at most once: its state, and the moves that are still possible.

Rule 1: every move is in the table below. Rule 2: only its state, `maybe_accepted` and `barred` decide four things:
whether it may still be sent, whether it may be billed, what its caller gets, and how long it may wait.
"""

from __future__ import annotations

import asyncio
import copy
import enum
import functools
import itertools
from collections.abc import Callable
from typing import Any, Protocol

import attrs

from foxapi_async._errors import ConnectionFailedError, FoxError, UncertainSubmitError
from foxapi_async._hints import Hint
from foxapi_async._http.exchange import Exchange
from foxapi_async._policy.brake import LONGEST_HOLD, Reason
from foxapi_async._policy.breaker import Epochs
from foxapi_async._policy.judge import still_uncertain
from foxapi_async._policy.verdict import Verdict
from foxapi_async._wire.replies import TaskReply

_numbers = itertools.count(1)


class SubmitState(enum.Enum):
    """The state of a submit."""

    QUEUED = "queued"
    "Waits for its turn, or for the upload of its files."
    SENDING = "sending"
    "Is recorded as being sent, and connects."
    SENT = "sent"
    "Bytes of it were handed over: it may be billed from now on."
    ACCEPTED = "accepted"
    REFUSED = "refused"
    "It is not billed."
    UNCERTAIN = "uncertain"
    "It may be billed."
    HELD = "held"
    "Waits until the reason of its refusal may be over."
    WITHDRAWN = "withdrawn"
    "Ended before it was sent."


class SubmitEvent(enum.Enum):
    """The events of a submit."""

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
    # An answer proves that it was sent, even if the hand-over was not noted.
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
    """Records a submit. If this process ends, a later one reads there that the submit may have been sent."""

    async def sending(self) -> None:
        """Called before each try. The try is sent after this returns."""
        ...

    def accepted(self, reply: TaskReply) -> None:
        """Called as soon as the id is known, before anything else can happen, even if the caller has gone."""
        ...

    def refused(self) -> None:
        """Called after a try that is certainly not billed."""
        ...


@attrs.frozen
class Barrier:
    """Why a submit may not be sent any more.

    Attributes:
        error: the error for the caller of a submit that is not billed. If it is None, the caller gets the submit's last
            refusal.
        reason: why a batch pauses; None if it does not.
    """

    error: FoxError | None = None
    reason: Reason | None = None


@attrs.define(eq=False)
class Series:
    """The submits of one `as_completed` or of one batch: they wait after refusals, and end together.

    Args:
        pauses: True for a batch: a hold that lasts too long ends all of them, because a batch can be resumed. False for
            `as_completed`: only items that were held for longer than their timeout end.
        may_send: called before the first bytes of a request are sent; returns whether they may be sent. None if they
            always may.
    """

    pauses: bool = attrs.field(kw_only=True)
    may_send: Callable[[], bool] | None = attrs.field(default=None, kw_only=True)
    live: dict[asyncio.Task[Any], Submission] = attrs.field(
        factory=dict[asyncio.Task[Any], "Submission"], init=False
    )
    stopped: bool = attrs.field(default=False, init=False)

    def stop(self) -> None:
        """Stop sending. Sent submits continue. Submits that still wait for their turn are given up."""
        self.stopped = True
        for submission in list(self.live.values()):
            submission.bar(Barrier())


class PausableDeadline:
    """The time that a submit may take, and that its caller waits. Moments are loop time in seconds.

    The time of a single submit counts from the call. An item of a series may wait for other items, so its time is
    paused while it waits for its turn. After it has waited out a refusal, it has the whole time again.
    """

    def __init__(self, timeout: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.timeout = timeout
        self.when = None if timeout is None else self._loop.time() + timeout
        self._remaining = timeout
        self._waiting: asyncio.Timeout | None = None

    def remaining(self) -> float:
        """Seconds until the deadline; infinite if paused or without a timeout."""
        return float("inf") if self.when is None else self.when - self._loop.time()

    async def wait_for(self, task: asyncio.Task[Any]) -> bool:
        """Wait for a task until the deadline. Return whether it has ended."""
        try:
            async with asyncio.timeout_at(self.when) as self._waiting:
                await asyncio.wait([task])
        except TimeoutError:
            pass
        finally:
            self._waiting = None
        return task.done()

    def pause(self) -> None:
        """Pause, and keep the seconds that are left."""
        if self.when is not None:
            self._remaining = self.when - self._loop.time()
            self._move(None)

    def resume(self) -> None:
        """If paused, continue with the seconds that are left."""
        if self.when is None and self._remaining is not None:
            self._move(self._loop.time() + self._remaining)

    def reset(self) -> None:
        """Give the submit its whole time again. If paused, it stays paused."""
        self._remaining = self.timeout
        if self.when is not None and self.timeout is not None:
            self._move(self._loop.time() + self.timeout)

    def _move(self, when: float | None) -> None:
        self.when = when
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(when)


@attrs.define(eq=False)
class Submission:
    """One logical submit, shared by its caller, the asyncio task that runs it and the ledger.

    Args:
        timeout: seconds that its caller waits, and its handle lives; None for no limit.
        grace: seconds that a running exchange may still take after the caller has gone.
        series: the series of which it is an item; None for a single submit.
        key: its idempotency key.
        journal: records its progress.

    Attributes:
        call: its number in this process. All its notices have this number.
        tries: how many tries were made to send it.
        maybe_accepted: whether an earlier try may be billed. A later refusal does not prove that it is not.
        refusal: the error of its last try; None before that.
        refused_by_edge: whether that error came from something in front of the service.
        barred: why nothing more may be sent; None if it may.
        caller_gone: whether its caller has stopped waiting.
        epochs: the breaker's epochs of the account and of its model when its last try began.
        edge_refusals: how often something in front of the service refused it.
        edge_refused_at: when the first of these tries began (loop time).
        refused_post: the number that the brake gave to the POST of that try.
        held: seconds for which refusals have held it.
        pause_reason: the reason for which its batch pauses; None if it does not.
        ending: the final error that replaces its last refusal; None if the last refusal is the final error.
        model: the requested model.
        task: the asyncio task that runs it; None before it is started.
    """

    deadline: PausableDeadline = attrs.field(converter=PausableDeadline, alias="timeout")
    _grace: float
    series: Series | None = attrs.field(default=None, kw_only=True)
    key: str = attrs.field(kw_only=True)
    _journal: SubmitJournal | None = attrs.field(alias="journal", default=None, kw_only=True)
    call: int = attrs.field(factory=functools.partial(next, _numbers), init=False)
    tries: int = attrs.field(default=0, init=False)
    maybe_accepted: bool = attrs.field(default=False, init=False)
    refusal: FoxError | None = attrs.field(default=None, init=False)
    refused_by_edge: bool = attrs.field(default=False, init=False)
    barred: Barrier | None = attrs.field(default=None, init=False)
    caller_gone: bool = attrs.field(default=False, init=False)
    epochs: Epochs = attrs.field(default=(0, 0), init=False)
    edge_refusals: int = attrs.field(default=0, init=False)
    edge_refused_at: float = attrs.field(default=0.0, init=False)
    refused_post: int = attrs.field(default=0, init=False)
    held: float = attrs.field(default=0.0, init=False)
    pause_reason: Reason | None = attrs.field(default=None, init=False)
    ending: FoxError | None = attrs.field(default=None, init=False)
    model: str = attrs.field(default="", init=False)
    task: asyncio.Task[object] | None = attrs.field(default=None, init=False)
    _state: SubmitState = attrs.field(default=SubmitState.QUEUED, init=False)
    _exchange: Exchange | None = attrs.field(default=None, init=False)
    _began: float = attrs.field(default=0.0, init=False)
    _loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop, init=False)

    @property
    def state(self) -> SubmitState:
        """The state of the submit."""
        if self._state is SubmitState.SENDING and self._exchange is not None and self._exchange.sent:
            self._move(SubmitEvent.HAND_OVER)
        return self._state

    @property
    def maybe_billed(self) -> bool:
        """Whether the service has accepted it, or may have accepted it although no answer came."""
        return self.maybe_accepted or self.state in {
            SubmitState.SENT,
            SubmitState.ACCEPTED,
            SubmitState.UNCERTAIN,
        }

    def max_wait(self) -> float:
        """Seconds for which a refusal may hold it from now on."""
        return self.deadline.remaining() if self.series is None else self.longest_hold

    @property
    def longest_hold(self) -> float:
        """Seconds for which an item of a series may still be held: for `as_completed`, what is left of its timeout. A
        batch has a fixed time instead, because it can be resumed.
        """
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

    # A try, as reported by the asyncio task that runs it.

    def release(self) -> None:
        """Begin another try after a hold."""
        self._move(SubmitEvent.RELEASE)
        if self.series is not None:
            self.deadline.resume()

    async def begin(self, connect: float, reply: float) -> Exchange:
        """Record a try, then begin it. `connect` and `reply` are the time limits of its exchange in seconds."""
        if self._journal is not None:
            await self._journal.sending()
        self._move(SubmitEvent.BEGIN)
        may_send = None if self.series is None else self.series.may_send
        self._exchange = exchange = Exchange(connect, reply, may_send)
        self._began = self._loop.time()
        if self.series is not None:
            self.deadline.resume()
        return exchange

    def conclude(self, judged: TaskReply | Verdict) -> None:
        """End a try with its result."""
        state = self.state
        self._exchange = None
        # A QUEUED submit was not sent: its files could not be stored, or it was not admitted.
        self.tries += state is not SubmitState.QUEUED
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
        """Hold it for `seconds` before its next try. If `waited_out`, an item of a series has its whole time again."""
        self._move(SubmitEvent.HOLD)
        self.held += seconds
        if waited_out and self.series is not None:
            self.deadline.pause()
            self.deadline.reset()

    # Events from outside.

    def bar(self, bar: Barrier) -> None:
        """Stop sending. A try that has been sent may finish. A submit that has not been sent ends now."""
        self.barred = self.barred if self.barred is not None and bar.error is None else bar
        self.pause_reason = bar.reason or self.pause_reason
        if self._exchange is not None and not self._exchange.cancel():
            return
        if self.task is not None and self._state is not SubmitState.ACCEPTED:
            self.task.cancel()

    def note_caller_gone(self) -> None:
        """Note that the caller has gone. A sent try may finish within the grace, so that its id is not lost."""
        if self.caller_gone:
            return
        self.caller_gone = True
        if self._exchange is not None and self._exchange.sent:
            self._exchange.end_by(self._loop.time() + self._grace)
        self.bar(Barrier())

    async def settle(self) -> None:
        """After the caller's deadline, wait for an answer that is already arriving. Such an answer still counts."""
        if self._exchange is not None:
            await self._exchange.settle()

    def withdraw(self) -> None:
        """Note that the asyncio task that runs it was cancelled. If it was not sent, it is withdrawn."""
        if SubmitEvent.WITHDRAW in TRANSITIONS.get(self.state, {}):
            self._move(SubmitEvent.WITHDRAW)

    def final_error(self, error: Exception) -> Exception:
        """The error to raise at the end. If an earlier try may be billed, the submit stays uncertain after any later
        error.
        """
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
        """The error for a caller that stops waiting before there is an id."""
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
