"""Limits how many billed POSTs of series and batches may be unanswered. Pure.

A POST without an answer may be billed. So a run begins with few of them, and each acceptance allows one more,
as a TCP sender finds the capacity of a link (slow start; Jacobson, 1988). If answers are missing, or
something in front of the service refuses, the brake closes. Then the submits wait, and a free read checks
whether the service is there. If it is, one submit is sent as a probe. The gaps between the probes grow.

An answer to a POST that was sent before the last change proves nothing about the present. So each POST knows
the epoch in which it began.
"""

from __future__ import annotations

import enum
from typing import Literal, NamedTuple

import attrs

from foxapi_async._errors import FoxError

FIRST_UNANSWERED = 8
"""Unanswered POSTs at the start and after each reopening."""

RECENT_SUBMITS = 10
UNCERTAIN_OF_RECENT = 3
"""This many uncertain submits among the recent ones close the brake."""

GAPS = (10.0, 30.0, 90.0, 270.0)
"""Seconds before each probe while the brake is closed."""

LONGEST_HOLD = 600.0
"""Seconds after which a batch stops waiting for a closed brake. The whole batch can be resumed."""

REFUSALS_THAT_PROVE_A_PATH = 3
"""If this many submits were refused in front of the service, and none was ever accepted, the path is wrong."""

Reason = Literal["account", "path", "outage", "uncertain", "hold", "disk", "budget"]
"""Why a run pauses."""


class PostOutcome(enum.Enum):
    """How a POST ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused by the service"
    EDGE = "refused by something in front of the service"
    UNCERTAIN = "without a usable answer"
    UNSENT = "not sent"


class Ticket(NamedTuple):
    """Permission for one POST: the epoch of the brake in which it begins, and its number."""

    epoch: int
    number: int


@attrs.define
class Hold:
    """A closed brake. Moments are loop time in seconds.

    Attributes:
        error: the error that closed it, or the error of the last probe.
        since: when it closed.
        until: when the next probe may be sent.
        edge: True if something in front of the service refused; False if answers were missing.
        probes: how many gaps have begun.
        refusals: how many submits the edge refused. Each was sent after the answer to the submit before it.
        ready: whether the next submit may be sent.
        probing: whether a probe is unanswered.
    """

    error: FoxError
    since: float
    until: float
    edge: bool
    probes: int = 0
    refusals: int = 0
    ready: bool = False
    probing: bool = False


class Brake:
    """The brake of one session. Moments are loop time in seconds."""

    def __init__(self) -> None:
        self.hold: Hold | None = None
        self.ever_accepted = False
        self._epoch = 0
        self._allowed = FIRST_UNANSWERED
        self._unanswered = 0
        self._recent: dict[int, bool] = {}  # number of the submit -> whether it is uncertain
        self._posts = 0
        self._newest_accepted = -1  # the number of the POST

    def admits(self) -> bool:
        """Whether one more POST may be sent now."""
        if self.hold is None:
            # A recent uncertain submit keeps its place. Otherwise two more would be sent before the third
            # closes the brake.
            return self._unanswered + sum(self._recent.values()) < self._allowed
        return self.hold.ready and not self.hold.probing

    def begin(self) -> Ticket:
        """Note that a POST is being sent."""
        if self.hold is not None:
            self.hold.probing, self.hold.ready = True, False
        self._unanswered += 1
        self._posts += 1
        return Ticket(self._epoch, self._posts)

    def is_current(self, ticket: Ticket) -> bool:
        """Whether the brake has neither closed nor opened since that POST was admitted."""
        return ticket.epoch == self._epoch

    def withdraw(self, ticket: Ticket) -> None:
        """Note that a POST that was admitted was not sent."""
        if not self.is_current(ticket):
            return
        self._unanswered -= 1
        if self.hold is not None:
            self.hold.probing, self.hold.ready = False, True

    def end(
        self, ticket: Ticket, submit: int, outcome: PostOutcome, error: FoxError | None, now: float
    ) -> None:
        """Note how a POST ended.

        Args:
            ticket: the value that `begin` gave.
            submit: the number of the submit; its tries count once.
            outcome: how the POST ended.
            error: the error that the submit got; None if it was accepted.
            now: the present.
        """
        if outcome is PostOutcome.ACCEPTED:
            self.ever_accepted = True
            self._newest_accepted = max(self._newest_accepted, ticket.number)
        if not self.is_current(ticket):
            return
        self._unanswered -= 1
        if self.hold is not None:
            self._end_probe(self.hold, outcome, error, now)
        elif outcome is not PostOutcome.UNSENT:
            self._note(submit, uncertain=outcome is PostOutcome.UNCERTAIN)
            if outcome is PostOutcome.ACCEPTED:
                self._allowed += 1
            elif error is not None and self._closes(outcome, ticket):
                self._close(error, now, edge=outcome is PostOutcome.EDGE)

    def _note(self, submit: int, *, uncertain: bool) -> None:
        self._recent.pop(submit, None)
        self._recent[submit] = uncertain
        if len(self._recent) > RECENT_SUBMITS:
            del self._recent[next(iter(self._recent))]

    def _closes(self, outcome: PostOutcome, ticket: Ticket) -> bool:
        if outcome is PostOutcome.EDGE:
            # If a POST that was sent later was accepted, the edge refuses this item and not all of them.
            return not self.has_accepted_since(ticket.number)
        return sum(self._recent.values()) >= UNCERTAIN_OF_RECENT

    def _close(self, error: FoxError, now: float, *, edge: bool) -> None:
        self._change()
        # If others were accepted, the edge may refuse only this item. A probe checks this at once.
        at_once = edge and self.ever_accepted
        until = now if at_once else now + GAPS[0]
        self.hold = Hold(error, now, until, edge, probes=0 if at_once else 1, refusals=int(edge))

    def _change(self) -> None:
        self._epoch += 1
        self._allowed = FIRST_UNANSWERED
        self._unanswered = 0
        self._recent.clear()

    def _end_probe(self, hold: Hold, outcome: PostOutcome, error: FoxError | None, now: float) -> None:
        hold.probing = False
        if outcome in {PostOutcome.ACCEPTED, PostOutcome.REFUSED}:  # the service itself answers
            self.hold = None
            self._change()
            return
        if error is not None:
            hold.error = error
        hold.refusals += outcome is PostOutcome.EDGE
        self._wait_longer(hold, now)

    def has_accepted_since(self, number: int) -> bool:
        """Whether a POST after the one with this number was accepted."""
        return self._newest_accepted > number

    def note_read(self, now: float, *, answered: bool, ever_answered: bool) -> None:
        """Note the result of the free read during a hold.

        Args:
            now: the present.
            answered: whether the service answered with its own JSON.
            ever_answered: whether the service has ever answered this session. If it has not, the path may be wrong.
                Then a submit may be sent although the read failed: on a wrong path it fails too, and bills nothing.
        """
        hold = self.hold
        if hold is None or hold.probing:
            return
        if answered or (hold.edge and not ever_answered):
            hold.ready = True
        else:
            self._wait_longer(hold, now)

    def _wait_longer(self, hold: Hold, now: float) -> None:
        hold.until = now + GAPS[min(hold.probes, len(GAPS) - 1)]
        hold.probes += 1
        last = hold.since + LONGEST_HOLD
        if hold.edge and now < last:
            hold.until = min(hold.until, last)

    def reason_to_pause(self, now: float) -> Reason | None:
        """The reason why a batch stops waiting for this hold; None while it still waits."""
        hold = self.hold
        if hold is None or hold.probing or hold.ready:
            return None
        if hold.edge:
            if not self.ever_accepted and hold.refusals >= REFUSALS_THAT_PROVE_A_PATH:
                return "path"
            over = now >= hold.since + LONGEST_HOLD
        else:
            over = hold.probes > len(GAPS)
        return "outage" if over else None
