"""One logical submit: what is known to have been sent, what it waits out, and how it ends without its caller."""

from __future__ import annotations

import asyncio
import copy
import itertools
import secrets
from collections.abc import Callable
from typing import Protocol

from foxapi_async._client.allowance import Allowance
from foxapi_async._errors import ConnectionFailedError, FoxError, UncertainSubmitError
from foxapi_async._http.exchange import Exchange
from foxapi_async._policy.verdict import Verdict
from foxapi_async._wire.replies import TaskReply

# Seconds after which an item of many is tried again in spite of an error, or None to let it end with that; the second
# argument is for how many seconds nothing has been heard of the service.
Tolerance = Callable[[FoxError, float], float | None]

_numbers = itertools.count(1)


class SubmitJournal(Protocol):
    """Whoever keeps account of a submit, so that what was sent is known whatever becomes of this process."""

    async def sending(self) -> None:
        """Called before each try: it leaves once this returns."""
        ...

    def accepted(self, reply: TaskReply) -> None:
        """Called at once, before anything else can happen, also if the caller has gone."""
        ...

    def refused(self) -> None:
        """Called after a try that is not billed and leaves no doubt about that."""
        ...


class Submission:
    """One logical submit, as its caller and its child task see it.

    Args:
        timeout: seconds that its caller waits, and its handle lives; None for no limit.
        grace: seconds that an exchange under way may still take once the caller has gone.
        key: its idempotency key, where an earlier process sent it already; default a new one.
        keeper: keeps account of it.
        tolerance: of one item of many, what is waited out; the time in line does not count then.
    """

    def __init__(
        self,
        timeout: float | None,
        grace: float,
        *,
        key: str | None = None,
        keeper: SubmitJournal | None = None,
        tolerance: Tolerance | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.call = next(_numbers)  # what joins its notices, in this process
        self.key = secrets.token_hex(16) if key is None else key
        self.time = Allowance(timeout, pausing=tolerance is not None)
        self.task: asyncio.Task[object] | None = None
        self.orphaned = False
        self.tries = 0
        self.tainted = False
        self.heard = 0.0  # when the service last answered (loop time)
        self.epoch = 0  # of the account, in which its last try began
        self._grace = grace
        self._tolerance = tolerance
        self._last_try = False
        self._accepted = False
        self._keeper = keeper
        self._scope: Exchange | None = None
        self._refusal: FoxError | None = None
        self._barred: FoxError | None = None

    @property
    def maybe_billed(self) -> bool:
        """Whether the service has accepted it, or may have without our knowing."""
        return self._accepted or self.tainted or (self._scope is not None and self._scope.sent)

    def time_left(self) -> float:
        """Seconds for which another try may be waited for."""
        return 0.0 if self._last_try else self.time.left()

    def wait_after(self, error: FoxError, silence: float) -> float | None:
        """Seconds after which all of it is tried again; None where it ends with this error.

        `silence` is for how many seconds nothing has been heard of the service.
        """
        return None if self._tolerance is None or self._last_try else self._tolerance(error, silence)

    def hold_back(self, error: FoxError) -> None:
        """Its time stands still, and is whole again, while this error is waited out."""
        self._refusal = error
        self.time.refill()

    def last_word(self, error: FoxError) -> FoxError:
        """What it ends with: where it would have waited this out, and nothing more may be sent, the reason of that."""
        return copy.copy(self._barred) if self._barred is not None and self._tolerates(error) else error

    def _tolerates(self, error: FoxError) -> bool:
        return self._tolerance is not None and self._tolerance(error, 0.0) is not None

    async def prepare(self) -> None:
        """Have the try that is about to begin taken down."""
        if self._keeper is not None:
            await self._keeper.sending()

    def begin(self, scope: Exchange) -> Exchange:
        """Start a try."""
        self._scope = scope
        self.time.go_on()
        return scope

    def conclude(self, judged: TaskReply | Verdict) -> None:
        """End a try: what it proves is now known."""
        self._scope = None
        self.tries += 1
        if isinstance(judged, TaskReply):
            self._accepted = True
            if self._keeper is not None:
                self._keeper.accepted(judged)
            return
        if not isinstance(judged.error, ConnectionFailedError):
            self.heard = self._loop.time()
        self._refusal = judged.error
        if self._tolerates(judged.error):
            self.time.refill()
        self.tainted = self.tainted or isinstance(judged.error, UncertainSubmitError)
        if self._keeper is not None and not self.tainted:
            self._keeper.refused()

    def refuse(self, refusal: FoxError) -> None:
        """Send nothing more, for a reason that concerns all submits."""
        self._barred = refusal
        self.withdraw()

    def withdraw(self) -> None:
        """Send nothing more: a try that has gone out may finish, anything before that ends now."""
        self._last_try = True
        if self._scope is not None and not self._scope.revoke():
            return
        if self.task is not None and not self._accepted:
            self.task.cancel()

    def orphan(self) -> None:
        """The caller has gone: what was sent may finish within the grace, so that its id is not lost."""
        if self.orphaned:
            return
        self.orphaned = True
        if self._scope is not None and self._scope.sent:
            self._scope.end_by(self._loop.time() + self._grace)
        self.withdraw()

    def given_up(self, why: str) -> FoxError:
        """What the caller gets who stops waiting before there is an id."""
        if self.maybe_billed:
            return UncertainSubmitError(
                f"{why} and the submit has no answer yet: it may have been accepted and billed. If its id still "
                "arrives, it is logged and in FoxSession.unfinished",
                idempotency_key=self.key,
            )
        if refusal := self._barred or self._refusal:
            return copy.copy(refusal)
        return ConnectionFailedError(
            f"{why} before the submit could be sent; nothing was sent", retryable=True
        )
