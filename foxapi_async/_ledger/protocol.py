"""The protocol of a batch's ledger. `SqliteLedger` keeps it in a file. Another class can keep it in a database server.

An implementation makes two promises:

- When `submitting` returns, its record is durable. The POST is sent after that.
- When `submitted` returns, the id is queued. It is written even if the caller does not wait for the future.

`tests/ledger/test_contract.py` checks an implementation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Protocol

import attrs

from foxapi_async._errors import LedgerError
from foxapi_async._ledger.entry import ItemState, LedgerEntry


@attrs.frozen
class Totals:
    """The totals of a ledger.

    Attributes:
        counts: how many items are in each state.
        spent: credits of everything that may be billed: each submit counts with its price, unless it was refused.
        unpriced: how many submits may be billed at an unknown price, which is not in `spent`.
    """

    counts: dict[ItemState, int]
    spent: float
    unpriced: int


class LedgerView(Protocol):
    """A ledger that is only read. Each call raises a LedgerError if the ledger cannot be read."""

    async def look_up(self, keys: Iterable[str]) -> dict[str, LedgerEntry]:
        """The entries of these keys. The result has no unknown key."""
        ...

    def entries(self, *states: ItemState) -> AsyncGenerator[LedgerEntry, None]:
        """The entries in one of these states, in the order of their first submits. Without a state, all entries.

        An entry that changes while you iterate is yielded once, in its old or new state.
        """
        ...

    async def totals(self) -> Totals:
        """How many items are in each state, and the credits that may be billed."""
        ...

    async def meta(self, name: str) -> str | None:
        """The text that `set_meta` kept; None if there is none."""
        ...


class Ledger(LedgerView, Protocol):
    """The ledger of a running batch.

    A change is queued before its call returns, in the order of the calls. Its result comes when the change is
    durable. The change is made even if the caller does not wait for the result. If the item's state does not
    allow a change (`COMES_FROM`), only that change fails, with a LedgerError. If the ledger cannot be written,
    every later change fails. If the disk is full, ids and releases are still written as soon as there is space.
    An id that cannot be written is logged.
    """

    async def submitting(
        self,
        key: str,
        fingerprint: str,
        idempotency_key: str,
        price: float | None = None,
        opening: str | None = None,
    ) -> None:
        """Record that this item is about to be submitted. When this returns, the record is durable.

        If this is cancelled, the record is undone, because then nothing is sent.

        Args:
            key: the item's name.
            fingerprint: the hash of its request.
            idempotency_key: the key of the submit.
            price: the credits that it is expected to cost, if known. They count as spent from now on.
            opening: the facts that another run needs to continue the item; kept until there is a final record.

        Raises:
            LedgerError: the key is known with another fingerprint, or its state does not allow a submit, or
                the ledger cannot be written.
        """
        ...

    def submitted(self, key: str, task_id: str, price: float | None = None) -> Awaitable[None]:
        """Record the id from the service, and the credits that it reserved.

        A failed item may become SUBMITTED again with the same id, so that its task is polled again.
        """
        ...

    def released(self, key: str) -> Awaitable[None]:
        """Record that the submit was refused and nothing was billed. The item returns to its former state.

        The former state is NEW; after a repeated submit it is FAILED or UNCERTAIN. The item keeps the idempotency key.
        """
        ...

    def ended(self, key: str, state: ItemState, record: str, price: float | None = None) -> Awaitable[None]:
        """Record how the item ended: DONE (its files are saved), UNSAVED (its image was made, but not saved), FAILED,
        or UNCERTAIN (it may have been accepted).

        `price` replaces the credits that were recorded for the submit; 0 if it cost nothing, None to keep them.
        """
        ...

    async def written(self) -> LedgerError | None:
        """Wait until no id waits for space on the disk. Returns an error if new items cannot be recorded, else None."""
        ...

    def set_meta(self, name: str, value: str | Callable[[], str]) -> Awaitable[None]:
        """Keep a text under a name. A function that returns the text is called after all earlier changes."""
        ...
