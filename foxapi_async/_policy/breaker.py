"""Stops submits after a refusal of the account: what the service answers to one submit about the key or the balance
is true for all submits. Pure.

It is a circuit breaker (Nygard, "Release It!", 2007). The other submits are not sent, and fail with that refusal.
One submit is sent every 30 s as a probe, and the first success lets all submits pass again. A 403 or 429 with a
quota code stops only its model, until a second model gets the same answer. An answer to a submit that began before
the last change proves nothing about the present. So each submit knows the epoch in which it began.
"""

from __future__ import annotations

import copy
from typing import Literal

from foxapi_async._errors import AuthenticationError, FoxError, InsufficientQuotaError
from foxapi_async._hints import Hint

PROBE_SECONDS = 30.0

Epochs = tuple[int, int]
"""The epoch of the account, and that of one model."""


class Circuit:
    """The refusal of the account or of one model. Moments are loop time in seconds."""

    def __init__(self) -> None:
        self.epoch = 0
        self.refusal: FoxError | None = None
        self._since = 0.0
        self._next_probe = 0.0

    def check(self, now: float) -> None:
        """Let a probe pass when its time has come.

        Raises:
            AuthenticationError, InsufficientQuotaError: the refusal that another submit got; this one is not sent.
        """
        if self.refusal is not None and now < self._next_probe:
            raise self._not_sent(self.refusal, now)

    def take_slot(self, now: float) -> None:
        """Note that a submit is sent. While there is a refusal, this submit is the probe."""
        self._next_probe = now + PROBE_SECONDS

    def open(self, error: FoxError, now: float) -> bool:
        """Note a refusal. Return True if there was no refusal before."""
        is_new = self.refusal is None
        if is_new:
            self.epoch += 1
            self._since = now
        self.refusal = copy.copy(error)  # without its traceback, which would keep the submit in memory
        self._next_probe = now + PROBE_SECONDS
        return is_new

    def close(self) -> bool:
        """Let all submits pass again. Return True if there was a refusal."""
        if self.refusal is None:
            return False
        self.refusal = None
        self.epoch += 1
        return True

    def _not_sent(self, refusal: FoxError, now: float) -> FoxError:
        error = copy.copy(refusal)
        words = (
            f"not sent: {now - self._since:.0f} s ago the service refused the account: {refusal.what_happened}. "
            f"One submit is sent every {PROBE_SECONDS:g} s as a probe"
        )
        error.args, error.hint = (words,), Hint.RESUME_SUBMITS
        return error


class Breaker:
    """Decides whether submits may be sent. Moments are loop time in seconds.

    Attributes:
        refuses: whether the account or a model is refused now.
    """

    def __init__(self) -> None:
        self._account = Circuit()
        self._models: dict[str, Circuit] = {}  # models that were ever refused
        self.refuses = False

    def admit(self, model: str, now: float) -> Epochs:
        """The epochs in which a submit of this model begins.

        Raises:
            AuthenticationError, InsufficientQuotaError: the refusal that another submit got; this one is not sent.
        """
        if self.refuses:
            for circuit in self._circuits(model):
                circuit.check(now)
            self.take_slot(model, now)
        return self._account.epoch, self._models[model].epoch if model in self._models else 0

    def readmit(self, model: str, now: float) -> Epochs:
        """The epochs in which a held submit is tried again. If it is a probe, it takes the next slot."""
        self.take_slot(model, now)
        return self._account.epoch, self._models[model].epoch if model in self._models else 0

    def take_slot(self, model: str, now: float) -> None:
        """Note that a submit of this model is sent. While there is a refusal, this submit is the probe."""
        for circuit in self._circuits(model):
            circuit.take_slot(now)

    def _circuits(self, model: str) -> list[Circuit]:
        return [self._account] + ([self._models[model]] if model in self._models else [])

    def refused(
        self, error: FoxError, model: str, epochs: Epochs, now: float
    ) -> Literal["account", "model"] | None:
        """Note how a submit ended. Return which other submits are affected: all ("account"), those of its
        model, or None.
        """
        if not isinstance(error, AuthenticationError | InsufficientQuotaError):
            return None
        self.refuses = True
        if isinstance(error, InsufficientQuotaError) and error.status != 402:
            circuit = self._models.setdefault(model, Circuit())
            if epochs[1] != circuit.epoch:
                return None
            is_new = circuit.open(error, now)
            others = any(other.refusal is not None for name, other in self._models.items() if name != model)
            if not others:
                return "model" if is_new else None
        if epochs[0] != self._account.epoch:
            return None
        return "account" if self._account.open(error, now) else None

    def accepted(self, model: str, epochs: Epochs) -> bool:
        """Note a success. Return True if it ended a refusal."""
        closed = epochs[0] == self._account.epoch and self._account.close()
        circuit = self._models.get(model)
        if circuit is not None and epochs[1] == circuit.epoch:
            closed = circuit.close() or closed
        self.refuses = any(each.refusal is not None for each in (self._account, *self._models.values()))
        return closed

    def reset(self) -> bool:
        """Let all submits pass again. Return True if something was refused."""
        self.refuses = False
        closed = [circuit.close() for circuit in (self._account, *self._models.values())]
        return any(closed)
