"""The life of a batch's item as data: the ledger's entry, and which state may follow which.

Rule 1: every move is in the table below, and the ledger's statements are made from it. Rule 2: if the service
may still make the image, or has made it, no move leads back to SUBMITTING. The exceptions are UNCERTAIN and
FAILED, which only the user sends again. A made image is never made again: an UNSAVED item only tries to save it.
"""

from __future__ import annotations

import enum

import attrs


class ItemState(enum.StrEnum):
    """The state of an item."""

    NEW = "new"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    DONE = "done"
    UNSAVED = "unsaved"
    "The task is completed and paid for, and its results could not be read or fetched."
    FAILED = "failed"
    UNCERTAIN = "uncertain"


# The states that may come before each state. A refused submit that was never sent before becomes NEW. An item
# that is not in the ledger may become SUBMITTING.
COMES_FROM: dict[ItemState, frozenset[ItemState]] = {
    ItemState.NEW: frozenset({ItemState.SUBMITTING}),
    ItemState.SUBMITTING: frozenset({ItemState.NEW, ItemState.FAILED, ItemState.UNCERTAIN}),
    # From FAILED and SUBMITTED only with the known id: for example, a failed download continues without a new
    # bill. From UNCERTAIN with any id: the answer came late.
    ItemState.SUBMITTED: frozenset(
        {ItemState.SUBMITTING, ItemState.UNCERTAIN, ItemState.SUBMITTED, ItemState.FAILED}
    ),
    ItemState.DONE: frozenset({ItemState.SUBMITTED, ItemState.UNSAVED}),
    ItemState.UNSAVED: frozenset({ItemState.SUBMITTED, ItemState.UNSAVED}),
    ItemState.FAILED: frozenset({ItemState.SUBMITTING, ItemState.SUBMITTED, ItemState.UNSAVED}),
    # From SUBMITTED if the service does not know the task any more, and it should be sent again.
    ItemState.UNCERTAIN: frozenset({ItemState.SUBMITTING, ItemState.SUBMITTED}),
}
KEEPS_ITS_ID = frozenset({ItemState.SUBMITTED, ItemState.FAILED})

PAID_TASK = frozenset({ItemState.SUBMITTED, ItemState.UNSAVED})
"""The states in which a run continues with the task that was paid for, and sends nothing."""


@attrs.frozen
class LedgerEntry:
    """The ledger's entry of one item.

    Attributes:
        key: the item's name within the batch.
        fingerprint: the hash of its request; a different one under the same key means another request.
        state: its state.
        idempotency_key: the key of its last submit.
        task_id: the id from the answer to its last submit; None before that.
        price: credits of its last submit; None if unknown, and after a refusal.
        record: its last line of the manifest, as JSON; None before there is one.
        changed: when it came into this state, in Unix seconds.
        opening: the record of its last submit, for a later run; None when there is a final record.
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
