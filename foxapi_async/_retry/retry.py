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
from foxapi_async._listener import Listener, What
from foxapi_async._policy.verdict import Verdict
from foxapi_async._retry.limiter import RateLimiter

T = TypeVar("T")

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


class RetrySignal(Exception):  # noqa: N818 - a signal to the loop below
    """Raised by an attempt that may be repeated, after `seconds`."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict
        self.seconds = 0.0


@attrs.frozen
class RetryBudget:
    """How long a call may be tried.

    Attributes:
        time_left: seconds until its deadline; for a call without one, how long it may wait for its next try.
        refuse: what it raises for another request's refusal that keeps the gate shut for longer than that.
        line_up: called before each waiting for one's turn at the gate.
    """

    time_left: Callable[[], float] = lambda: LONGEST_WAIT
    refuse: Callable[[FoxError], FoxError] = lambda refusal: refusal
    line_up: Callable[[], None] = lambda: None


def notifier(
    listener: Listener | None, what: What, *, task_id: str | None = None, call: int | None = None
) -> Callable[[float, FoxError], None] | None:
    """What reports the further tries of one request; None without a listener."""
    if listener is None:
        return None
    return lambda seconds, error: listener.on_retry(what, seconds, error, task_id=task_id, call=call)


async def retried(
    attempt: Callable[[], Awaitable[T]],
    *,
    tries: int,
    limiter: RateLimiter,
    budget: RetryBudget = RetryBudget(),
    notify: Callable[[float, FoxError], None] | None = None,
) -> T:
    """What `attempt` returns, tried up to `tries` times while it raises `RetrySignal`.

    Args:
        attempt: one try.
        tries: how many at most.
        limiter: what each try waits for first.
        budget: how long in all.
        notify: called with the seconds until a further try, and with what went wrong.

    Raises:
        FoxError: the last verdict's, when no try or no time is left.
    """
    loop = asyncio.get_running_loop()
    failures = 0

    def waits() -> Generator[float, RetrySignal, None]:
        again = yield 0.0  # the first value only starts the generator
        while again.seconds < budget.time_left():
            if notify is not None:
                notify(again.seconds, copy.copy(again.verdict.error))
            again = yield again.seconds

    @backoff.on_exception(
        cast("Callable[..., Generator[float, None, None]]", waits),
        RetrySignal,
        max_tries=tries,
        jitter=None,
        logger=None,
    )
    async def run() -> T:
        nonlocal failures
        budget.line_up()
        if refusal := limiter.refusal_beyond(loop.time(), budget.time_left()):
            raise budget.refuse(refusal)
        await limiter.acquire()
        try:
            return await attempt()
        except RetrySignal as again:
            failures += 1
            again.seconds = wait_seconds(again.verdict, failures)
            if again.verdict.hold:  # also after the last try: the others are to wait all the same
                limiter.hold(loop.time() + again.seconds, again.verdict.refusal)
            raise

    error: FoxError
    try:
        return await run()
    except RetrySignal as again:
        error = again.verdict.error
    raise error
