"""What a batch needs of its ledger. `SqliteLedger` keeps it in a file; a database server, or a test, can take its place.

An implementation makes two promises:

- When `submitting` returns, that is durable. Only then the POST leaves.
- When `submitted` returns, the id is queued, and it is written even if the caller does not wait for the future.

`tests/ledger/test_contract.py` checks an implementation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Protocol

import attrs

from foxapi_async._ledger.entry import ItemState, LedgerEntry


@attrs.frozen
class Totals:
    """A ledger in figures.

    Attributes:
        counts: how many items are in each state.
        spent: credits of everything that may be billed: each submit counts with its price, unless it was refused.
        unpriced: how many submits may be billed at a price that is not known, and is not in `spent`.
    """

    counts: dict[ItemState, int]
    spent: float
    unpriced: int


class LedgerView(Protocol):
    """A ledger that is only read. Each call raises a LedgerError if it cannot be read."""

    async def look_up(self, keys: Iterable[str]) -> dict[str, LedgerEntry]:
        """The entries of these keys. Keys that are not known are missing."""
        ...

    def entries(self, *states: ItemState) -> AsyncGenerator[LedgerEntry, None]:
        """The entries in one of these states, or all, in the order in which they were first submitted.

        An entry that changes meanwhile is given once, as it was or as it is.
        """
        ...

    async def totals(self) -> Totals:
        """How many items are in each state, and the credits that may be billed."""
        ...

    async def meta(self, name: str) -> str | None:
        """The text that `set_meta` kept; None if there is none."""
        ...


class Ledger(LedgerView, Protocol):
    """The ledger of the batch that runs.

    A change is queued before its call returns, in the order of the calls, and is made even if its result is not waited
    for. Its result comes once the change is durable. A change that may not follow on the item's state
    (`COMES_FROM`) fails alone, with a LedgerError. If the ledger cannot be written, every later change fails.
    """

    async def submitting(
        self,
        key: str,
        fingerprint: str,
        idempotency_key: str,
        price: float | None = None,
        opening: str | None = None,
    ) -> None:
        """Note that this item is about to be submitted. When this returns, that is durable.

        If this is cancelled, the note is taken back, because then nothing is sent.

        Args:
            key: the item's name.
            fingerprint: of its request.
            idempotency_key: what the submit will carry.
            price: the credits that it is expected to cost, if known. They count as spent from now on.
            opening: what another run needs to know to continue with it; kept until there is a record.

        Raises:
            LedgerError: the key is known with another fingerprint, or its state does not allow a submit, or it
                cannot be written.
        """
        ...

    def submitted(self, key: str, task_id: str, price: float | None = None) -> Awaitable[None]:
        """Note the id that the service gave, and the credits that it reserved.

        An item that failed may come back with the id it had, to be looked at once more.
        """
        ...

    def released(self, key: str) -> Awaitable[None]:
        """Note that the submit was refused and nothing was billed: the item is again what it was before.

        That is NEW, or for a repeated one FAILED or UNCERTAIN. It keeps the idempotency key.
        """
        ...

    def ended(self, key: str, state: ItemState, record: str, price: float | None = None) -> Awaitable[None]:
        """Note how the item ended: DONE (its files are there), FAILED, or UNCERTAIN (it may have been accepted).

        It counts as spent with what was known, or with `price`; 0 if it cost nothing.
        """
        ...

    def set_meta(self, name: str, value: str | Callable[[], str]) -> Awaitable[None]:
        """Keep a text under a name. A function makes its text after all earlier changes."""
        ...
