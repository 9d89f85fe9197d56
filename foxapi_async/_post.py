"""One logical submit: what is known to have been sent, and how long it may go on without its caller."""

from __future__ import annotations

import asyncio
import copy
import secrets

from foxapi_async._errors import ConnectionFailedError, FoxError, UncertainSubmitError
from foxapi_async._events import TaskSnapshot
from foxapi_async._transport import Scope
from foxapi_async._verdicts import Verdict


class Post:
    """One logical submit, as its caller and its child task see it: what was sent, and how long it may go on.

    Args:
        deadline: loop time in seconds at which its caller stops waiting; None for never.
        grace: seconds that an exchange under way may still take once the caller has gone.
    """

    def __init__(self, deadline: float | None, grace: float) -> None:
        self.key = secrets.token_hex(16)
        self.deadline = deadline
        self.task: asyncio.Task[object] | None = None
        self.orphaned = False
        self.tries = 0
        self._grace = grace
        self._loop = asyncio.get_running_loop()
        self._scope: Scope | None = None
        self._tainted = False
        self._refusal: FoxError | None = None

    @property
    def tainted(self) -> bool:
        """Whether an earlier try may have been accepted."""
        return self._tainted

    @property
    def maybe_sent(self) -> bool:
        """Whether the service may have accepted it without our knowing."""
        return self._tainted or (self._scope is not None and self._scope.sent)

    def maybe_uncertain(self, error: Exception) -> bool:
        """Whether `error`, which ended this submit, leaves it open what was billed."""
        return not isinstance(error, FoxError) or error.charged != "no"

    def time_left(self) -> float:
        """Seconds for which another try may be waited for."""
        if self.orphaned:
            return 0.0
        return float("inf") if self.deadline is None else self.deadline - self._loop.time()

    def begin(self, scope: Scope) -> Scope:
        """Start a try."""
        self._scope = scope
        return scope

    def conclude(self, judged: TaskSnapshot | Verdict) -> None:
        """End a try: what it proves is now known."""
        self._scope = None
        self.tries += 1
        if isinstance(judged, Verdict):
            self._refusal = judged.error
            self._tainted = self._tainted or isinstance(judged.error, UncertainSubmitError)

    def orphan(self) -> None:
        """The caller has gone: what is sent may finish within the grace, so that its id is not lost."""
        if self.orphaned:
            return
        self.orphaned = True
        if self._scope is not None and self._scope.sent:
            self._scope.end_by(self._loop.time() + self._grace)
        elif self.task is not None:
            self.task.cancel()

    def given_up(self, why: str) -> FoxError:
        """What the caller gets who stops waiting before there is an id."""
        if self.maybe_sent:
            return UncertainSubmitError(
                f"{why} and the submit has no answer yet: it may have been accepted and billed. If its id still "
                "arrives, it is logged and in FoxSession.unfinished",
                idempotency_key=self.key,
            )
        if self._refusal is not None:
            return copy.copy(self._refusal)
        return ConnectionFailedError(
            f"{why} before the submit could be sent; nothing was sent", retryable=True
        )
