"""Why a run ends early: the reason for each error, and its text for users."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

from foxapi_async import _errors
from foxapi_async._batch.budget import Budget, BudgetDecision, Excess, Kind
from foxapi_async._batch.record import ACCOUNT_ERRORS, state_after
from foxapi_async._client.submission import Submission
from foxapi_async._errors import FoxError
from foxapi_async._hints import PYTHON_WORDS, Hint, with_hint
from foxapi_async._ledger.entry import ItemState
from foxapi_async._listener import about, log
from foxapi_async._policy.brake import Reason
from foxapi_async._wire.texts import counted

# The error of a refused account already says what to do.
_ADVICE: dict[Reason, str] = {
    "path": "check the base URL with its path, the key, and any proxy or gateway in front of the service",
    "outage": "wait until the service can be reached",
    "uncertain": "check your account",
    "hold": "wait until the service takes requests again",
    "disk": "free space on the disk",
}


_SET_UP = frozenset({Hint.CHECK_ADDRESS, Hint.CHECK_CERTIFICATES, Hint.SERVICE_MOVED, Hint.SET_PROXY})


class Paused(str):
    """Why a run ended early, and what to do.

    Attributes:
        reason: the same in one word: "account" (the key or the balance), "path" (something in front of the
            service answers, or the service knows none of the tasks), "outage", "uncertain" (too many submits
            have no usable answer), "hold" (the service asks for a long wait), "disk" or "budget".
        what_happened: the text without its last advice. That advice is different on the command line.
        hint: the last advice; None if there is none.
        least_budget: if the budget is used up, the budget that is expected to cover the rest. If the rest or its prices
            are not known, the budget that allows one more item. Otherwise None.
    """

    __slots__ = ("hint", "least_budget", "reason", "what_happened")

    hint: Hint | None
    least_budget: float | None
    reason: Reason
    what_happened: str

    def __new__(
        cls, text: str, reason: Reason, hint: Hint | None = None, least_budget: float | None = None
    ) -> Self:
        paused = super().__new__(cls, with_hint(text, hint, PYTHON_WORDS))
        paused.what_happened, paused.reason, paused.hint = text, reason, hint
        paused.least_budget = least_budget
        return paused

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what_happened, self.reason, self.hint, self.least_budget)

    @classmethod
    def after(cls, reason: Reason, error: FoxError) -> Self:
        """The pause after an error that concerns all items."""
        if error.hint in _SET_UP:  # waiting does not help
            return cls(error.what_happened, reason, error.hint)
        text = "; ".join(filter(None, (error.what_happened, _ADVICE.get(reason))))
        return cls(text, reason, Hint.RUN_AGAIN)

    @classmethod
    def at_budget(cls, budget: Budget, kind: Kind) -> Self:
        """The pause when the budget allows no submit of this kind."""
        limit, spent, price = budget.limit, budget.spent, budget.expected_of(kind)
        if budget.ask(kind) is BudgetDecision.UNPRICED:
            why = f"the service does not report the price of {kind.model}, so the budget cannot be checked"
            return cls(why, "budget", Hint.GIVE_PRICE)
        if price is None or spent >= limit:
            why = f"the budget of {limit:.10g} credits is used up: {spent:.10g} are spent"
        else:
            why = f"the next item would pass the budget of {limit:.10g} credits: {spent:.10g} are spent, and it costs {price:.10g}"
        return cls(why, "budget", None, spent + (price or 1.0))

    @classmethod
    def at_excess(cls, budget: Budget, excess: Excess) -> Self:
        """The pause after a submit that cost more than was expected."""
        kind, limit = excess.kind, budget.limit
        expected = "" if excess.expected is None else f" instead of the expected {excess.expected:.10g}"
        spent = "" if math.isinf(limit) else f": {excess.spent:.10g} of the budget of {limit:.10g} are spent"
        cost = f"{counted(kind.images, 'image')} of {kind.model} cost {excess.credits:.10g} credits"
        least = budget.spent + excess.credits
        return cls(f"{cost}{expected}{spent}", "budget", None, None if budget.allows(least) else least)

    def warn(self) -> None:
        """Log that a submit cost more than was expected. The run does not end because of it."""
        log.warning("%s", self.what_happened, extra=about("price_exceeded"))

    def with_rest(self, budget: Budget, rest: Mapping[Kind, int] | None) -> Self:
        """The pause at a budget, with the expected cost of the rest of the batch. If that is not known, with the cost of
        one more item.

        `rest` is the number of requests of each kind; None if it is not known.
        """
        if self.hint is not None:  # a price is not known, so no budget can be named
            return self
        why, least = self.what_happened, self.least_budget
        cost = None if rest is None else budget.cost_of(rest)
        if rest is None or cost is None:
            more = None if least is None else f"a budget of {least:.10g} allows one more item"
            return type(self)("; ".join(filter(None, (why, more))), "budget", None, least)
        images = counted(sum(kind.images * number for kind, number in rest.items()), "image")
        least = budget.spent + cost
        least = None if budget.allows(least) else least
        covers = "the budget" if least is None else f"a budget of {least:.10g}"
        words = f"{why}; the rest ({images}) is expected to cost {cost:.10g} credits: {covers} covers it"
        return type(self)(words, "budget", None, least)


def pause_reason(error: FoxError, submission: Submission | None) -> Reason | None:
    """The reason for the whole run to pause after an error of one item; None if it continues."""
    if submission is not None and submission.pause_reason is not None:
        return submission.pause_reason
    if isinstance(error, _errors.LedgerError | _errors.DownloadError):
        return "disk" if getattr(error, "local", True) else None
    is_new = state_after(error, submission) is ItemState.NEW
    if isinstance(error, ACCOUNT_ERRORS) and (is_new or error.task_id is not None):
        return "account"
    if type(error) is _errors.APIError and error.task_id is not None:
        return "path"  # the polls of a paid task got only web pages, not the service's replies
    if not is_new:
        return None
    return "hold" if isinstance(error, _errors.RateLimitError) else "outage"
