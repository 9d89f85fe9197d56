"""One submit as a state machine: its table, and its promises in every order of events."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging

import attrs
import pytest
from helpers import WHOLE, fox_request, now

from foxapi_async import (
    ConfigurationError,
    FoxError,
    InsufficientQuotaError,
    RetryPolicy,
    UncertainSubmitError,
)
from foxapi_async._client.submission import (
    TRANSITIONS,
    PausableDeadline,
    Series,
    Submission,
    SubmitEvent,
    SubmitState,
)
from foxapi_async._client.submitter import Submitter
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._http.exchange import ExchangeFailed
from foxapi_async._policy.judge import judge_submit
from foxapi_async._policy.rate import AdaptiveRate
from foxapi_async._policy.reachability import Reachability
from foxapi_async._retry.rate_limiter import PacedLimiter
from foxapi_async._wire.requests import Failure, Reply

pytestmark = pytest.mark.virtual

FINAL = {SubmitState.ACCEPTED, SubmitState.WITHDRAWN}
MAY_BE_BILLED = {SubmitState.SENT, SubmitState.ACCEPTED, SubmitState.UNCERTAIN}


# The table.


def test_every_state_but_the_last_ones_has_a_way_on():
    """Accepted and withdrawn submits stay so; refused or uncertain ones may only be held for another try."""
    assert set(SubmitState) - FINAL == set(TRANSITIONS)
    assert (
        {SubmitEvent.HOLD} == set(TRANSITIONS[SubmitState.REFUSED]) == set(TRANSITIONS[SubmitState.UNCERTAIN])
    )


def test_only_what_was_not_sent_can_be_withdrawn():
    """From a state in which it may be billed no move leads to one that says that it is not."""
    withdrawn = {state for state, moves in TRANSITIONS.items() if SubmitEvent.WITHDRAW in moves}

    assert set() == withdrawn & MAY_BE_BILLED


def test_nothing_is_sent_but_from_the_queue():
    """Bytes are sent only for a submit whose turn has come."""
    begun = {state for state, moves in TRANSITIONS.items() if SubmitEvent.BEGIN in moves}
    handed = {state for state, moves in TRANSITIONS.items() if SubmitEvent.HAND_OVER in moves}

    assert ({SubmitState.QUEUED}, {SubmitState.SENDING}) == (begun, handed)


async def test_a_move_that_is_not_in_the_table_is_a_fault_of_ours():
    """The error names both states, and is raised where it happens."""
    with pytest.raises(RuntimeError, match="a submit that is queued cannot be: to be tried again"):
        Submission(None, 10.0, key="key").hold(1.0, waited_out=True)


# Its time.


async def test_a_deadline_that_stands_still_keeps_what_is_left():
    """Pausing and resuming does not change the seconds that are left."""
    deadline = PausableDeadline(10.0)
    await asyncio.sleep(4)
    deadline.pause()
    await asyncio.sleep(100)
    deadline.resume()

    assert 6.0 == deadline.remaining()


async def test_a_reset_gives_all_of_the_time_again():
    """It still runs if it ran, and is still paused if it was paused."""
    deadline = PausableDeadline(10.0)
    await asyncio.sleep(4)
    deadline.reset()
    running = deadline.remaining()
    deadline.pause()
    await asyncio.sleep(4)
    deadline.reset()
    paused = deadline.remaining()
    deadline.resume()

    assert (10.0, float("inf"), 10.0) == (running, paused, deadline.remaining())


async def test_without_a_timeout_there_is_no_end():
    """A deadline without a timeout never gets an end."""
    deadline = PausableDeadline(None)
    for move in (deadline.pause, deadline.reset, deadline.resume):
        move()

    assert (None, float("inf")) == (deadline.when, deadline.remaining())


# Every order of events.

ACCEPTED = Reply(200, {}, b'{"id": "task-1", "status": "pending"}')
ANSWERS = {
    "accepted": ACCEPTED,
    "accepted, and the answer is lost": Failure(reason="the connection broke", sent=True),
    "maintenance page": Reply(503, {}, b"<html>"),
    "refused": Reply(400, {}, b'{"error": {"message": "no"}}'),
    "too many": Reply(429, {"Retry-After": "1"}, b'{"error": {"message": "slow"}}'),
    "not found, says a page": Reply(404, {}, b"404 page not found"),
    "not sent": Failure(reason="refused", sent=False),
    "never": None,
}
BILLED = {"accepted", "accepted, and the answer is lost", "never"}
AMBIGUOUS = {"accepted, and the answer is lost", "maintenance page", "never"}


class Scene:
    """A submitter whose service answers by a script, and the end of its only submit."""

    def __init__(self, kind, answers, event, moment, *, resubmit):
        self.kind, self.answers, self.event, self.moment = kind, list(answers), event, moment
        self.retry = RetryPolicy(tries=3, grace=5.0, reply_timeout=30.0, resubmit_uncertain=resubmit)
        self.submits, self.reachability, self.downloads = (
            PacedLimiter(AdaptiveRate(), "submit"),
            Reachability(),
            None,
        )
        self.remaining = asyncio.Event()
        self.sent, self.delivered, self.handles = [], [], []
        self.sent_before_the_event = None
        self.submitter = Submitter(self, self, self, self.retry, self.remaining, None)
        self.series = None if kind == "single" else Series(pauses=kind == "batch")
        self.submission = Submission(60.0, self.retry.grace, series=self.series, key="key")
        self.caller = None

    # The interfaces that the submitter needs: the API, the uploads and the poller.

    async def service_answers(self, _task_id):
        return True

    async def replace_in(self, request, _call):
        return request

    def adopt(self, snapshot, _deadline, _timeout, _notice, _expected, _priced):
        handle = TaskHandle(snapshot.id, lambda _: None)
        self.handles.append(handle)
        return handle

    async def submit(self, _request, exchange, *, key, earlier, maybe_accepted):
        name = self.answers.pop(0) if self.answers else "accepted"
        outcome = ANSWERS[name]
        try:
            async with exchange.timeout:
                await self.happen("connecting")
                if name != "not sent":
                    exchange.hand_over()
                    self.sent.append(name)
                    await self.happen("sent")
                if outcome is None:
                    await asyncio.Event().wait()
        except TimeoutError:
            outcome = Failure(reason="no answer in time", sent=exchange.sent)
        except ExchangeFailed as failed:
            outcome = Failure(reason=failed.reason, sent=False)
        finally:
            exchange.close()
        judged = judge_submit(
            outcome,
            key,
            earlier=earlier,
            maybe_accepted=maybe_accepted,
            resubmit=self.retry.resubmit_uncertain,
        )
        if outcome is ACCEPTED:
            self.delivered.append("task-1")
        return judged

    async def happen(self, moment):
        if moment == self.moment:
            self.strike()
        await asyncio.sleep(0.5)

    def strike(self):
        if self.moment is not None:
            self.moment = None
            EVENTS[self.event](self)
            self.sent_before_the_event = len(self.sent)

    async def run(self):
        """The error that the caller got, or None."""
        if self.moment == "held":
            asyncio.get_running_loop().call_later(1.5, self.strike)
        async with asyncio.TaskGroup() as group:
            self.submitter.open(group)
            self.caller = asyncio.create_task(self.submitter.submit(fox_request(), self.submission))
            await asyncio.wait([self.caller])
            await asyncio.sleep(100)
            self.submitter.close()
            self.submitter.end_grace()
        if self.caller.cancelled():
            return asyncio.CancelledError()
        return self.caller.exception()


def bar_account(scene):
    other = Submission(None, 5.0, key="key")
    scene.submitter._refuse_account(
        InsufficientQuotaError("no credits", status=402), "grok-imagine-image", other
    )


def leave(scene):
    scene.remaining.set()
    scene.submitter.close()


def leave_in_a_hurry(scene):
    leave(scene)
    scene.submitter.end_grace()


EVENTS = {
    "nothing": lambda _: None,
    "its caller is cancelled": lambda scene: scene.caller.cancel(),
    "its series is stopped": lambda scene: scene.series and scene.series.stop(),
    "the account is refused": bar_account,
    "a fault of ours": lambda scene: scene.submitter.stop(ConfigurationError("stopped")),
    "the session is left": leave,
    "the session is left in a hurry": leave_in_a_hurry,
}

WALKS = [
    (kind, answers, event, moment, resubmit)
    for kind in ("single", "series", "batch")
    for answers in itertools.product(ANSWERS, repeat=2)
    for event, moment in [
        ("nothing", "sent"),
        *itertools.product(list(EVENTS)[1:], ("connecting", "sent", "held")),
    ]
    for resubmit in (False, True)
]


@attrs.frozen
class Found:
    """The end of a submit."""

    error: BaseException | None
    sent: list[str]
    delivered: list[str]
    handles: int


def walked(step):
    return WALKS[:: 25 * step if WHOLE else step]


@contextlib.asynccontextmanager
async def quiet():
    logging.getLogger("foxapi_async").disabled = True
    try:
        yield
    finally:
        logging.getLogger("foxapi_async").disabled = False


async def assert_all(walks):
    async with quiet():
        for kind, answers, event, moment, resubmit in walks:
            scene = Scene(kind, answers, event, moment, resubmit=resubmit)
            error = await scene.run()
            where = f"{kind}: {answers}, {event} while {moment}, resubmit={resubmit}: {error!r}, sent {scene.sent}"
            after = list(itertools.dropwhile(lambda name: name not in AMBIGUOUS, scene.sent))[1:]
            billed = len(BILLED.intersection(scene.sent))

            concerns = event != "nothing" and not (kind == "single" and event == "its series is stopped")
            struck = concerns and scene.sent_before_the_event is not None

            assert resubmit or not after, where
            assert not struck or len(scene.sent) == scene.sent_before_the_event, where
            assert not (isinstance(error, FoxError) and error.charged == "no") or not billed, where
            assert not scene.delivered or scene.handles, where
            assert error is None or not isinstance(error, RuntimeError), where
            if isinstance(error, UncertainSubmitError):
                assert scene.submission.maybe_billed, where


async def test_after_an_ambiguity_it_is_sent_no_more_and_never_called_free():
    """In every seventh order of answers and events: no second POST, none after a bar, and `charged` is never
    too low.
    """
    await assert_all(walked(7))


@pytest.mark.thorough
async def test_in_every_order_of_answers_and_events_nothing_is_billed_unseen():
    """The same in every order."""
    await assert_all(walked(1))


async def test_a_submit_that_was_withdrawn_says_so():
    """If it ended before it was sent, it is withdrawn: nothing of it may be billed."""
    scene = Scene("single", ["accepted"], "its caller is cancelled", "connecting", resubmit=False)
    await scene.run()

    assert (SubmitState.WITHDRAWN, False) == (scene.submission.state, scene.submission.maybe_billed)
    assert now() < 200
