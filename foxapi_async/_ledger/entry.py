"""The life of a batch's item as data: what the ledger keeps of it, and which state may follow which.

Rule 1: every move is in the table below; the ledger's statements are made from it. Rule 2: nothing leads back to
SUBMITTING from a state in which the service may still make or has made the image, but for UNCERTAIN and FAILED,
which only their owner sends again.
"""

from __future__ import annotations

import enum

import attrs


class ItemState(enum.StrEnum):
    """Where an item stands."""

    NEW = "new"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    DONE = "done"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


# What may come before: NEW is where a refused submit goes that was never sent before. An item that the ledger does
# not know yet may become SUBMITTING.
COMES_FROM: dict[ItemState, frozenset[ItemState]] = {
    ItemState.NEW: frozenset({ItemState.SUBMITTING}),
    ItemState.SUBMITTING: frozenset({ItemState.NEW, ItemState.FAILED, ItemState.UNCERTAIN}),
    # From FAILED and SUBMITTED only with the id that is known: a failed download, say, goes on without a new bill.
    # From UNCERTAIN with any: the answer came late.
    ItemState.SUBMITTED: frozenset(
        {ItemState.SUBMITTING, ItemState.UNCERTAIN, ItemState.SUBMITTED, ItemState.FAILED}
    ),
    ItemState.DONE: frozenset({ItemState.SUBMITTED}),
    ItemState.FAILED: frozenset({ItemState.SUBMITTING, ItemState.SUBMITTED}),
    # From SUBMITTED if the service does not know the task any more, and it is to be sent anew.
    ItemState.UNCERTAIN: frozenset({ItemState.SUBMITTING, ItemState.SUBMITTED}),
}
KEEPS_ITS_ID = frozenset({ItemState.SUBMITTED, ItemState.FAILED})


@attrs.frozen
class LedgerEntry:
    """What the ledger knows of one item.

    Attributes:
        key: the item's name within the batch.
        fingerprint: of its request; the same key with another one is another request.
        state: where it stands.
        idempotency_key: what its last submit carried.
        task_id: what its last submit was answered with; None before that.
        price: credits of its last submit; None where unknown, and after a refusal.
        record: its last line of the manifest, as JSON; None before there is one.
        changed: when it came into this state, in unix seconds.
        opening: what was kept with its last submit; None once there is a record of that.
    """

    key: str
    fingerprint: str
    state: ItemState
    idempotency_key: str
    task_id: str | None
    price: float | None
    record: str | None
    changed: float
    opening: str | None = None
