"""A refusal that concerns the account: what one submit was told of the key or the balance holds for all.

It acts as a circuit breaker (Nygard, "Release It!", 2007): the others get that refusal without being sent, one passes
every 30 s as a probe, and the first success closes the matter. Answers to what was sent before the last change
prove nothing about it, so each submit knows the epoch in which it began.
"""

from __future__ import annotations

import copy

from foxapi_async._errors import AuthenticationError, FoxError, InsufficientQuotaError

PROBE_SECONDS = 30.0


class Breaker:
    """Whether submits may go. Moments are loop time in seconds."""

    def __init__(self) -> None:
        self._refusal: FoxError | None = None
        self._since = 0.0
        self._next_probe = 0.0
        self._epoch = 0

    def admit(self, now: float) -> int:
        """The epoch in which a submit begins.

        Raises:
            AuthenticationError, InsufficientQuotaError: what another submit was told; this one is not sent.
        """
        if self._refusal is not None:
            if now < self._next_probe:
                raise self._retold(self._refusal, now)
            self._next_probe = now + PROBE_SECONDS
        return self._epoch

    def go_on(self, now: float) -> int:
        """The epoch in which a submit that was admitted and held back is tried again; a probe takes the next slot."""
        if self._refusal is not None:
            self._next_probe = now + PROBE_SECONDS
        return self._epoch

    def refused(self, error: FoxError, epoch: int, now: float) -> bool:
        """Note how a submit ended; whether nothing of it was known, so that those that wait are to be told."""
        if not isinstance(error, AuthenticationError | InsufficientQuotaError) or epoch != self._epoch:
            return False
        news = self._refusal is None
        if news:
            self._epoch += 1
            self._since = now
        self._refusal = copy.copy(error)  # without its traceback, which would keep the submit in memory
        self._next_probe = now + PROBE_SECONDS
        return news

    def accepted(self, epoch: int) -> bool:
        """Note a success; whether it closed the matter."""
        return epoch == self._epoch and self.reset()

    def reset(self) -> bool:
        """Let everything pass again; whether something was held."""
        if self._refusal is None:
            return False
        self._refusal = None
        self._epoch += 1
        return True

    def _retold(self, refusal: FoxError, now: float) -> FoxError:
        told = copy.copy(refusal)
        words = (
            f"not sent: {now - self._since:.0f} s ago the service refused the account: {refusal}. One submit passes "
            f"every {PROBE_SECONDS:g} s as a probe; FoxSession.resume() lets all pass"
        )
        told.args = (words,)
        return told
