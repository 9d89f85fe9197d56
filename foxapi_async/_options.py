"""The settings of a session, as frozen values. An invalid setting raises an error."""

from __future__ import annotations

import enum
import math
import re
import sys
from typing import Final, Literal, TypeGuard

import attrs

from foxapi_async._errors import ConfigurationError, FoxError, InvalidRequestError


class Unset(enum.Enum):
    """The type of `UNSET`: the caller gave no value, and None already has another meaning."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final[Literal[Unset.UNSET]] = Unset.UNSET

Timeout = float | None | Literal[Unset.UNSET]
"""Seconds, None for no limit, or UNSET for the session's `task_timeout`."""


def check_timeout(seconds: float | None) -> float | None:
    """The timeout in seconds; None for no limit.

    Raises:
        InvalidRequestError: it is zero, negative, NaN or not a number.
    """
    if seconds is None:
        return None
    if seconds == math.inf:
        return None
    if not is_number(seconds) or seconds <= 0:
        raise InvalidRequestError(f"timeout={seconds!r}: give positive seconds, or None for no limit")
    return float(seconds)


def check_idempotency_key(key: str) -> str:
    """The key as it was given. It goes into a header. EvoLink, a gateway with the same API, allows these lengths.

    Raises:
        InvalidRequestError: it has other characters or another length.
    """
    if not (isinstance(key, str) and re.fullmatch(r"[A-Za-z0-9._-]{16,96}", key)):
        raise InvalidRequestError(f"idempotency_key={key!r}: use 16 to 96 of these: A-Z a-z 0-9 . _ -")
    return key


def _need(condition: bool, text: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not condition:
        raise ConfigurationError(text)


def check_count(name: str, count: object, error: type[FoxError] = ConfigurationError) -> None:
    """Raise `error`, with the name, if the count is not a whole number, 1 or more."""
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise error(f"{name}={count!r}: give a whole number of at least 1")


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number. A bool is not one, and an integer beyond the range of floats is not one."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return -sys.float_info.max <= value <= sys.float_info.max


def _check_rate(name: str, rate: float | None) -> None:
    text = f"Limits.{name}={rate!r}: give a positive number per second, or None for no limit"
    _need(rate is None or (is_number(rate) and rate > 0), text)


@attrs.frozen(kw_only=True)
class Limits:
    """The limits of one session; None means unlimited.

    Attributes:
        connections: status reads that run at the same time, each on a kept connection.
        max_in_flight: default of `FoxSession.as_completed(max_in_flight=)`.
        submits_per_second: rate of submits, without bursts above it.
        polls_per_second: rate of status reads, without bursts above it.

    Raises:
        ConfigurationError: a limit is zero, negative or not a number.
    """

    connections: int = 100
    max_in_flight: int | None = None
    submits_per_second: float | None = None
    polls_per_second: float | None = None

    def __attrs_post_init__(self) -> None:
        check_count("Limits.connections", self.connections)
        if self.max_in_flight is not None:
            check_count("Limits.max_in_flight", self.max_in_flight)
        _check_rate("submits_per_second", self.submits_per_second)
        _check_rate("polls_per_second", self.polls_per_second)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """The bounds of one exchange with the service. Times are in seconds.

    Attributes:
        tries: how often one submit, fetch, upload or download is tried at most. Polls have no such count:
            they repeat until the task's deadline.
        connect_timeout: until the connection is open and the request is sent.
        reply_timeout: from then until the whole answer has arrived.
        grace: how long a POST may still finish after its caller has gone, so that its task id is not lost.
        resubmit_uncertain: send a submit again although the first one may have been accepted and billed.

    Raises:
        ConfigurationError: a bound is not positive.
    """

    tries: int = 5
    connect_timeout: float = 10.0
    reply_timeout: float = 60.0
    grace: float = 10.0
    resubmit_uncertain: bool = False

    def __attrs_post_init__(self) -> None:
        check_count("RetryPolicy.tries", self.tries)
        for name in ("connect_timeout", "reply_timeout", "grace"):
            value = getattr(self, name)
            _need(is_number(value) and value > 0, f"RetryPolicy.{name}={value!r}: give positive seconds")
