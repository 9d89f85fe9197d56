"""The only place where anything is tried again: back-off, the shared gate, and the deadline.

The loop itself is the `backoff` package's. What it cannot do is added by the wait generator and the gate:

- full jitter (Brooker, "Exponential Backoff and Jitter", 2015) applies to our own waits only. Laid over a
  `Retry-After` it would call before the time the service asked for; there, a little is added instead;
- a wait that does not fit before the deadline is not begun: the refusal is raised at once;
- a 429 holds back every request of the session, not only the one that got it.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar, cast

import attrs
import backoff

from foxapi_async._errors import FoxError
from foxapi_async._notices import Notice, Retried, Throttled, What
from foxapi_async._pace import Pace
from foxapi_async._verdicts import Verdict

T = TypeVar("T")
Tell = Callable[[Notice], None]

BASE_SECONDS = 0.25
CAP_SECONDS = 8.0

# A call without a deadline does not wait longer than this for its next try, whatever the service asks for.
LONGEST_WAIT = 120.0


def backoff_seconds(failures: int) -> float:
    """A full-jitter wait after the given number of failures in a row."""
    return random.uniform(0, min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(failures - 1, 16)))  # noqa: S311 - no secret


def wait_seconds(verdict: Verdict, failures: int) -> float:
    """Seconds until the next try: never less than what the service asked for."""
    asked, own = verdict.retry_after, backoff_seconds(failures)
    if asked is None:
        return own
    # Some services ask for 0 seconds, and would be hammered.
    return max(own, asked + random.uniform(0, 0.1 * asked + 0.05))  # noqa: S311 - no secret


class Gate:
    """Where the requests of one kind queue up: in order, evenly paced, and shut while the service asks for it.

    Args:
        limit: requests a second, without bursts above it; None for no limit of our own.
        what: their kind.
        tell: told when requests are held back; None where nobody listens.
    """

    def __init__(self, limit: float | None = None, what: What = "poll", tell: Tell | None = None) -> None:
        self._pace = Pace(limit)
        self._next = 0.0
        self._what: What = what
        self._tell = tell
        self._told_until = 0.0
        self._refusal: FoxError | None = None
        self._turn = asyncio.Lock()

    def rate(self, now: float) -> float | None:
        """Requests a second that may go; None for as many as one likes."""
        return self._pace.rate(now)

    def hold(self, until: float, refusal: FoxError) -> None:
        """Let nothing through before `until` (loop time), because of `refusal`; from then on go slower."""
        self._pace.cut(asyncio.get_running_loop().time(), until)
        if until > self._next:
            self._next, self._refusal = until, refusal
            self.tell_shut(asyncio.get_running_loop().time())

    def tell_shut(self, since: float) -> None:
        """Tell that it is shut from `since` on while something waits, as far as that was not told before."""
        since = max(since, self._told_until)
        if self._tell is None or since >= self._next:
            return
        self._told_until = self._next
        self._tell(Throttled(what=self._what, seconds=self._next - since, error=copy.copy(self._refusal)))

    def open_at(self, now: float) -> float:
        """When the next request may go; `now` if at once."""
        return max(now, self._next)

    def take(self, now: float) -> None:
        """Note that a request goes now."""
        self._pace.count(now)
        rate = self._pace.rate(now)
        # From its own moment: a request that went within the timer's slack before it brings the next no forward.
        self._next = now if rate is None else max(now, self._next) + 1 / rate
        self._refusal = None

    def refusal_beyond(self, now: float, time_left: float) -> FoxError | None:
        """A copy of the refusal that keeps the gate shut for longer than the time left; else None."""
        if self._refusal is None or self._next - now < time_left:
            return None
        return copy.copy(self._refusal)

    async def passage(self) -> None:
        """Wait for one's turn. The lock is fair, and a hold that begins meanwhile keeps the whole queue back."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            while (now := loop.time()) < self._next:
                self.tell_shut(now)
                await asyncio.sleep(self._next - now)
            self.take(now)


class Again(Exception):  # noqa: N818 - a signal to the loop below
    """Raised by an attempt that may be repeated, after `seconds`."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict
        self.seconds = 0.0


@attrs.frozen
class Patience:
    """How long a call may be tried.

    Attributes:
        time_left: seconds until its deadline; for a call without one, how long it may wait for its next try.
        refuse: what it raises for another request's refusal that keeps the gate shut for longer than that.
        line_up: called before each waiting for one's turn at the gate.
    """

    time_left: Callable[[], float] = lambda: LONGEST_WAIT
    refuse: Callable[[FoxError], FoxError] = lambda refusal: refusal
    line_up: Callable[[], None] = lambda: None


def retelling(
    tell: Tell | None, what: What, *, task_id: str | None = None, call: int | None = None
) -> Callable[[float, FoxError], None] | None:
    """What tells hooks of the further tries of one request; None where nobody listens."""
    if tell is None:
        return None
    return lambda seconds, error: tell(
        Retried(what=what, task_id=task_id, call=call, seconds=seconds, error=error)
    )


async def retried(
    attempt: Callable[[], Awaitable[T]],
    *,
    tries: int,
    gate: Gate,
    patience: Patience = Patience(),
    telling: Callable[[float, FoxError], None] | None = None,
) -> T:
    """What `attempt` returns, tried up to `tries` times while it raises `Again`.

    Args:
        attempt: one try.
        tries: how many at most.
        gate: what each try passes first.
        patience: how long in all.
        telling: told of each wait for a further try, in seconds, and of what went wrong; None where nobody listens.

    Raises:
        FoxError: the last verdict's, when no try or no time is left.
    """
    loop = asyncio.get_running_loop()
    failures = 0

    def waits() -> Generator[float, Again, None]:
        again = yield 0.0  # the first value only starts the generator
        while again.seconds < patience.time_left():
            if telling is not None:
                telling(again.seconds, copy.copy(again.verdict.error))
            again = yield again.seconds

    @backoff.on_exception(
        cast("Callable[..., Generator[float, None, None]]", waits),
        Again,
        max_tries=tries,
        jitter=None,
        logger=None,
    )
    async def run() -> T:
        nonlocal failures
        patience.line_up()
        if refusal := gate.refusal_beyond(loop.time(), patience.time_left()):
            raise patience.refuse(refusal)
        await gate.passage()
        try:
            return await attempt()
        except Again as again:
            failures += 1
            again.seconds = wait_seconds(again.verdict, failures)
            if again.verdict.hold:  # also after the last try: the others are to wait all the same
                gate.hold(loop.time() + again.seconds, again.verdict.refusal)
            raise

    error: FoxError
    try:
        return await run()
    except Again as again:
        error = again.verdict.error
    raise error
