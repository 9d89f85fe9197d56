"""The life of a batch's item as data: the ledger's entry, and which state may follow which.

Rule 1: every move is in the table below, and the ledger's statements are made from it. Rule 2: if the service
may still make the image, or has made it, no move leads back to SUBMITTING. The exceptions are UNCERTAIN and
FAILED items, which are sent again only if the user asks for it. An UNSAVED item is never sent again: a run only tries
again to save its image.
"""

from __future__ import annotations

import enum

import attrs

from foxapi_async._errors import LedgerError


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


# The states that may come before each state. An item whose first submit was refused becomes NEW again. An item that is
# not in the ledger may become SUBMITTING.
COMES_FROM: dict[ItemState, frozenset[ItemState]] = {
    ItemState.NEW: frozenset({ItemState.SUBMITTING}),
    ItemState.SUBMITTING: frozenset({ItemState.NEW, ItemState.FAILED, ItemState.UNCERTAIN}),
    # From FAILED and SUBMITTED only with the known id, so that its task is polled again without a new bill. From
    # UNCERTAIN with any id, because the answer may come late.
    ItemState.SUBMITTED: frozenset(
        {ItemState.SUBMITTING, ItemState.UNCERTAIN, ItemState.SUBMITTED, ItemState.FAILED}
    ),
    ItemState.DONE: frozenset({ItemState.SUBMITTED, ItemState.UNSAVED}),
    ItemState.UNSAVED: frozenset({ItemState.SUBMITTED, ItemState.UNSAVED}),
    ItemState.FAILED: frozenset({ItemState.SUBMITTING, ItemState.SUBMITTED, ItemState.UNSAVED}),
    # From SUBMITTED if the service does not know the task any more, and the user wants the item sent again.
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
        fingerprint: the hash of its request; if the same key comes with another hash, it is another request.
        state: its state.
        idempotency_key: the key of its last submit.
        task_id: the id from the answer to its last submit; None before that.
        price: credits of its last submit; None if unknown, or after a refusal.
        record: its last line of the manifest, as JSON; None before its first end.
        changed: when it came into this state, in Unix seconds.
        opening: the record of its last submit, for a later run; None if there is a final record.
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


def refused_move(
    key: str, known: LedgerEntry | None, to: ItemState, fingerprint: str | None = None
) -> LedgerError:
    """The error for a move that the table does not allow, or for a key that another request already has.

    Args:
        key: the item's name within the batch.
        known: its entry; None if it has none.
        to: the refused state.
        fingerprint: the hash of the request to submit, if `to` is SUBMITTING.
    """
    if to is ItemState.SUBMITTING and known is not None and known.fingerprint != fingerprint:
        return LedgerError(
            f"item {key!r} is in the ledger with another request: give the changed request its own id"
        )
    state = "not in the ledger" if known is None else f"{known.state.value} in the ledger"
    task = f" as task {known.task_id}" if known is not None and known.task_id else ""
    return LedgerError(f"item {key!r} cannot become {to.value}: it is {state}{task}")
