"""The books of a long run: the end of every submit, as its caller sees it, compared with the bills.

They are compact, because their data must not look like a leak of the session's: a byte and a hash for each submit.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections import Counter
from collections.abc import Iterable

import attrs
from soak_service import Bill

from foxapi_async import FoxError, TaskCancelledError, TaskFailedError, TaskResult, UncertainSubmitError

OPEN, SUCCEEDED, FAILED, REFUSED, UNCERTAIN, UNFINISHED, GONE, UNREAD, ODD = range(9)
WORDS = {
    OPEN: "never ended",
    SUCCEEDED: "succeeded",
    FAILED: "failed at the service",
    REFUSED: "not accepted (charged: no)",
    UNCERTAIN: "reported as uncertain",
    UNFINISHED: "reported as not finished, with the id",
    GONE: "cancelled by their caller",
    UNREAD: "left unread in a series",
    ODD: "something else",
}


@attrs.frozen(kw_only=True)
class Account:
    """The result of the comparison.

    Attributes:
        outcomes: how many submits ended in which way, in words.
        submitted: how many there were.
        billed: how many submits the service accepted.
        twice: prompts that were billed more than once.
        lost: billed tasks without a report to a caller: neither an id, nor an uncertain submit with the
            idempotency key.
        untrue: wrong reports: a billed submit reported as free, or an unbilled one as successful.
        only_logged: billed tasks that only the log reports: their callers had gone, or never read them.
    """

    outcomes: dict[str, int]
    submitted: int
    billed: int
    twice: int
    lost: int
    untrue: int
    only_logged: int

    @property
    def faults(self) -> int:
        """The number of differences: 0 if all is right."""
        ended = sum(self.outcomes.values()) - self.outcomes[WORDS[OPEN]] - self.outcomes[WORDS[ODD]]
        return self.twice + self.lost + self.untrue + (self.submitted - ended)


class Books(logging.Handler):
    """Records the reports to callers. As a handler of the package's logger, it also records reports that only
    the log has.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._outcomes = bytearray()
        self._ids = array("q")
        self._logged_ids: set[int] = set()
        self._keys: set[str] = set()
        self._logged_keys: set[str] = set()
        self.odd: list[str] = []
        self.logged = 0

    def begin(self) -> int:
        """The number of the next submit."""
        self._outcomes.append(OPEN)
        self._ids.append(0)
        return len(self._outcomes) - 1

    @property
    def begun(self) -> int:
        """How many submits there were so far."""
        return len(self._outcomes)

    def know(self, number: int, task_id: str | None) -> None:
        """Note that the caller holds the id."""
        if task_id is not None:
            self._ids[number] = hash(task_id)

    def end(self, number: int, outcome: TaskResult | BaseException) -> None:
        """Note the caller's final outcome."""
        self._outcomes[number] = kind = _kind_of(outcome)
        self.know(number, getattr(outcome, "task_id", None))
        if isinstance(outcome, UncertainSubmitError):
            self._keys.add(outcome.idempotency_key or "")
        if kind == ODD:
            self.odd.append(repr(outcome))

    def leave_unread(self, number: int) -> None:
        """Note that no caller reads the end of this item of a series."""
        if self._outcomes[number] == OPEN:
            self._outcomes[number] = UNREAD

    def report(self, task_ids: Iterable[str]) -> None:
        """Note ids that the session reports by itself, such as `FoxSession.unfinished`."""
        self._logged_ids.update(map(hash, task_ids))

    def emit(self, record: logging.LogRecord) -> None:
        """Note a record of the log."""
        self.logged += 1
        self.report([*getattr(record, "task_ids", ()), *filter(None, [getattr(record, "task_id", None)])])
        for argument in record.args if isinstance(record.args, tuple) else ():
            if isinstance(argument, UncertainSubmitError):
                self._logged_keys.add(argument.idempotency_key or "")

    def close_against(self, bills: Iterable[Bill]) -> Account:
        """Compare the books with the bills."""
        counts = bytearray(len(self._outcomes))
        lost = only_logged = untrue = billed = 0
        for bill in bills:
            billed += 1
            counts[bill.number] += 1
            reported = self._ids[bill.number] == hash(bill.task_id) or bill.key in self._keys
            logged = hash(bill.task_id) in self._logged_ids or bill.key in self._logged_keys
            only_logged += logged and not reported
            lost += not logged and not reported
            untrue += self._outcomes[bill.number] == REFUSED
        kinds = Counter(self._outcomes)
        known = (SUCCEEDED, FAILED, UNFINISHED)
        untrue += sum(kind in known and not count for kind, count in zip(self._outcomes, counts, strict=True))
        return Account(
            outcomes={words: kinds[kind] for kind, words in WORDS.items()},
            submitted=len(self._outcomes),
            billed=billed,
            twice=sum(count > 1 for count in counts),
            lost=lost,
            untrue=untrue,
            only_logged=only_logged,
        )


def _kind_of(outcome: TaskResult | BaseException) -> int:
    if isinstance(outcome, TaskResult):
        return SUCCEEDED
    if isinstance(outcome, TaskFailedError | TaskCancelledError):
        return FAILED
    if isinstance(outcome, UncertainSubmitError):
        return UNCERTAIN
    if isinstance(outcome, asyncio.CancelledError):
        return GONE
    if isinstance(outcome, FoxError):
        return UNFINISHED if outcome.task_id else REFUSED if outcome.charged == "no" else ODD
    return ODD
