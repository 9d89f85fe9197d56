"""The only place where anything is tried again: the back-off, and the loop around it.

The loop itself is the `backoff` package's. Its wait generator asks the caller's rule for the seconds until the next try:

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

import backoff

from foxapi_async._listener import Listener, What
from foxapi_async._policy.verdict import Verdict
from foxapi_async._retry.limiter import LONGEST_WAIT, RateLimiter

T = TypeVar("T")

NextWait = Callable[[Verdict, int], float | None]
"""The seconds until the next try, after so many failures; None where there is none."""

BASE_SECONDS = 0.25
CAP_SECONDS = 8.0


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
    """Raised by an attempt that was not successful."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict


def a_few_tries(tries: int, limiter: RateLimiter | None = None) -> NextWait:
    """The rule of calls that cost nothing: at most `tries`; a 429 holds back all requests of the `limiter`."""

    def next_wait(verdict: Verdict, failures: int) -> float | None:
        seconds = wait_seconds(verdict, failures)
        if (
            verdict.hold and limiter is not None
        ):  # also after the last try: the others are to wait all the same
            limiter.hold(asyncio.get_running_loop().time() + seconds, verdict.refusal)
        return seconds if verdict.again and failures < tries and seconds < LONGEST_WAIT else None

    return next_wait


async def retried(
    attempt: Callable[[], Awaitable[T]],
    next_wait: NextWait,
    listener: Listener | None,
    what: What,
    *,
    task_id: str | None = None,
    call: int | None = None,
) -> T:
    """What `attempt` returns, tried as long as it raises `RetrySignal` and `next_wait` gives the seconds of a wait.

    Args:
        attempt: one try.
        next_wait: the rule.
        listener: hears of each wait for a further try, and of what went wrong.
        what: the kind of request, for the listener.
        task_id: its task, for the listener.
        call: the number of its submit, for the listener.

    Raises:
        FoxError: the last verdict's, when there is no further try.
    """

    def waits() -> Generator[float, RetrySignal, None]:
        failures = 0
        signal = yield 0.0  # the first value only starts the generator
        while True:
            failures += 1
            seconds = next_wait(signal.verdict, failures)
            if seconds is None:
                return
            if listener is not None:
                listener.on_retry(what, seconds, copy.copy(signal.verdict.error), task_id=task_id, call=call)
            signal = yield seconds

    loop = backoff.on_exception(
        cast("Callable[..., Generator[float, None, None]]", waits), RetrySignal, jitter=None, logger=None
    )
    try:
        return await loop(attempt)()
    except RetrySignal as signal:
        error = signal.verdict.error
    raise error
