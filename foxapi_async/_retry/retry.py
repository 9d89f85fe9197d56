"""The only place that repeats requests: the loop, and the waits between its tries.

The `backoff` package runs the loop. Its wait generator asks the caller's rule for the seconds until the next try:

- Full jitter (Brooker, "Exponential Backoff and Jitter", 2015) applies only to our own waits. It could make a
  wait shorter than a `Retry-After`. So a little time is added to a `Retry-After` instead.
- A wait that would end after the deadline does not start: the refusal is raised at once.
- A 429 with `Retry-After` holds back every request of its kind, not only the one that got it.
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
from foxapi_async._retry.protocol import RateLimiter
from foxapi_async._retry.rate_limiter import LONGEST_WAIT

T = TypeVar("T")

NextWait = Callable[[Verdict, int], float | None]
"""The seconds until the next try, after the given number of failures; None if there is no next try."""

BASE_SECONDS = 0.25
CAP_SECONDS = 8.0


def backoff_seconds(failures: int) -> float:
    """A full-jitter wait in seconds, after the given number of failures in a row."""
    return random.uniform(0, min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(failures - 1, 16)))  # noqa: S311 - no secret


def wait_seconds(verdict: Verdict, failures: int) -> float:
    """Seconds until the next try: never less than the service asked for."""
    asked, own = verdict.retry_after, backoff_seconds(failures)
    if asked is None:
        return own
    # Some services ask for 0 seconds. Without our own wait, they would get too many requests.
    return max(own, asked + random.uniform(0, 0.1 * asked + 0.05))  # noqa: S311 - no secret


class RetrySignal(Exception):  # noqa: N818 - a signal to the loop below
    """Raised by an attempt that failed."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__()
        self.verdict = verdict


def a_few_tries(tries: int, limiter: RateLimiter | None = None) -> NextWait:
    """The rule for calls that cost nothing: at most `tries`. The `limiter` gets every 429."""

    def next_wait(verdict: Verdict, failures: int) -> float | None:
        seconds = wait_seconds(verdict, failures)
        # Even after the last try, the other requests must wait.
        if verdict.hold and limiter is not None:
            pause = seconds if verdict.retry_after else 0.0
            limiter.hold(asyncio.get_running_loop().time() + pause, verdict.refusal)
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
    """The result of `attempt`, repeated while it raises `RetrySignal` and `next_wait` returns seconds.

    Args:
        attempt: makes one try.
        next_wait: the rule for waits.
        listener: gets a report of each wait before another try, with its error.
        what: the kind of request, for the listener.
        task_id: its task, for the listener.
        call: the number of its submit, for the listener.

    Raises:
        FoxError: the error of the last verdict, if there is no next try.
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
