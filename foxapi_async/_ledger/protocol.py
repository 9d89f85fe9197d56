"""The ledger protocol of a batch. `SqliteLedger` is a file; a database server, or a test, can replace it.

An implementation makes two promises:

- When `submitting` returns, its record is durable. Only then the POST is sent.
- When `submitted` returns, the id is queued, and it is written even if the caller does not wait for the future.

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
    """A ledger that is only read. Each call raises a LedgerError if it cannot be read."""

    async def look_up(self, keys: Iterable[str]) -> dict[str, LedgerEntry]:
        """The entries of these keys. Unknown keys are missing."""
        ...

    def entries(self, *states: ItemState) -> AsyncGenerator[LedgerEntry, None]:
        """The entries in one of these states, or all, in the order of their first submits.

        An entry that changes meanwhile is yielded once, in its old or new state.
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

    A change is queued before its call returns, in the order of the calls. It is made even if the caller does
    not wait for its result, which comes when the change is durable. If the item's state does not allow a
    change (`COMES_FROM`), only that change fails, with a LedgerError. If the ledger cannot be written, every
    later change fails. If only space is missing, ids and releases are still written, as soon as there is room.
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
            opening: the facts that another run needs to continue with it; kept until there is a final record.

        Raises:
            LedgerError: the key is known with another fingerprint, or its state does not allow a submit, or
                the ledger cannot be written.
        """
        ...

    def submitted(self, key: str, task_id: str, price: float | None = None) -> Awaitable[None]:
        """Record the id from the service, and the credits that it reserved.

        A failed item may become submitted again with its id, to be polled once more.
        """
        ...

    def released(self, key: str) -> Awaitable[None]:
        """Record that the submit was refused and nothing was billed: the item returns to its former state.

        That is NEW, or for a repeated submit FAILED or UNCERTAIN. The item keeps the idempotency key.
        """
        ...

    def ended(self, key: str, state: ItemState, record: str, price: float | None = None) -> Awaitable[None]:
        """Record how the item ended: DONE (its files are saved), UNSAVED (it was made, and they are not), FAILED,
        or UNCERTAIN (it may have been accepted).

        It counts as spent with the known price, or with `price`; 0 if it cost nothing.
        """
        ...

    async def written(self) -> LedgerError | None:
        """Wait until no id waits for room. Returns why no new item is recorded any more; None if it is."""
        ...

    def set_meta(self, name: str, value: str | Callable[[], str]) -> Awaitable[None]:
        """Keep a text under a name. A function makes its text after all earlier changes."""
        ...
