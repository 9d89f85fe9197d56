"""The status of a batch from its ledger, also during a run: for `foxapi status OUT` and for the end of a run."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path

import attrs

from foxapi_async._batch.folder import LEDGER, is_page, moved_to
from foxapi_async._batch.input.validation import expected_items
from foxapi_async._ledger.entry import ItemState, LedgerEntry
from foxapi_async._ledger.lock import holder_of
from foxapi_async._ledger.protocol import LedgerView
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async._wire.texts import counted, grouped, plain
from foxapi_async.cli import _exits
from foxapi_async.cli._screen import Screen

SHOWN_KEYS = 20


@attrs.frozen(kw_only=True)
class BatchStatus:
    """The status of a batch.

    Attributes:
        counts: how many items are in each state.
        spent: the credits of all items with a known price.
        uncertain: the keys of the first 20 items whose submit got no answer, so that they may have been billed.
        oldest: the task that has run longest; None if none runs.
        run: the process of the run, in words; None if no run is active.
        expected: how many items its last input file had; None if that is not known.
        page: whether the folder of the batch is used on the page of `foxapi serve`.
        batch: the name of the batch in a database that has the items now; None if the folder has them itself.
    """

    counts: Mapping[ItemState, int]
    spent: float
    uncertain: tuple[str, ...]
    oldest: LedgerEntry | None
    run: str | None
    expected: int | None = None
    page: bool = False
    batch: str | None = None

    @property
    def running(self) -> int:
        """Items that run at the service. During a run, items that are being submitted count too."""
        return self.counts[ItemState.SUBMITTED] + (self.counts[ItemState.SUBMITTING] if self.run else 0)

    @property
    def unclear(self) -> int:
        """Items whose submit got no answer, so that they may have been billed. If no run is active, items that were being
        submitted count too.
        """
        return self.counts[ItemState.UNCERTAIN] + (0 if self.run else self.counts[ItemState.SUBMITTING])

    @property
    def waiting(self) -> int:
        """Items that have not begun, as far as their number is known."""
        known = sum(self.counts.values())
        return max(0, (self.expected or 0) - known) + self.counts[ItemState.NEW]

    @property
    def states(self) -> str:
        """The counts, in words."""
        return ", ".join([self.ended_words, *([f"{self.waiting:,} not begun"] if self.waiting else [])])

    @property
    def ended_words(self) -> str:
        """The counts of the items that have begun, in words."""
        others = (
            (self.counts[ItemState.FAILED], "failed"),
            (self.running, "running at the service (and billed)"),
            (self.counts[ItemState.UNSAVED], "made, not saved (and billed)"),
            (self.unclear, "uncertain"),
        )
        parts = [f"{count:,} {words}" for count, words in others if count]
        return ", ".join([f"{self.counts[ItemState.DONE]:,} done", *parts])

    @property
    def cost(self) -> str | None:
        """The credits in words; None if no price is known."""
        return f"{grouped(self.spent)} credits" if self.spent else None

    @property
    def uncertain_words(self) -> str:
        """The keys of uncertain items in words, and how to send them again."""
        more = self.unclear - len(self.uncertain)
        keys = ", ".join(map(plain, self.uncertain)) + (f" and {more:,} more" if more > 0 else "")
        again = "foxapi batch --resubmit-uncertain sends them again"
        if self.page:
            again = "check your account; the button Use again, on the page, makes a new image"
        return f"{counted(self.unclear, 'item')} sent without an answer, and maybe billed: {keys}  ({again})"


async def read_status(folder: Path) -> BatchStatus:
    """Read the ledger of the batch in `folder`.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    path = folder / LEDGER
    run = holder_of(path)
    unclear = (ItemState.UNCERTAIN,) if run else (ItemState.UNCERTAIN, ItemState.SUBMITTING)
    async with SqliteLedger.peek(path) as ledger:
        totals = await ledger.totals()
        counts = totals.counts
        return BatchStatus(
            counts=counts,
            spent=totals.spent,
            uncertain=await _first_keys(ledger, unclear) if any(counts[state] for state in unclear) else (),
            oldest=await _oldest(ledger) if counts[ItemState.SUBMITTED] else None,
            run=run,
            expected=await expected_items(ledger),
            page=await is_page(ledger),
            batch=await moved_to(ledger),
        )


async def _first_keys(ledger: LedgerView, states: tuple[ItemState, ...]) -> tuple[str, ...]:
    keys: list[str] = []
    async for entry in ledger.entries(*states):
        keys.append(entry.key)
        if len(keys) == SHOWN_KEYS:
            break
    return tuple(keys)


async def _oldest(ledger: LedgerView) -> LedgerEntry | None:
    oldest: LedgerEntry | None = None
    async for entry in ledger.entries(ItemState.SUBMITTED):
        if oldest is None or entry.changed < oldest.changed:
            oldest = entry
    return oldest


async def show_status(folder: Path, screen: Screen) -> int:
    """Print the status of the batch in `folder`.

    Raises:
        LedgerError: there is no ledger, or it cannot be read.
    """
    status = await read_status(folder)
    screen.line(f"{folder}: {status.states}")
    if status.batch is not None:
        present = f"the present states: foxapi status {shlex.quote(status.batch)} --dsn"
        last = f"the states are from the last `foxapi batch --dsn` with this folder; {present}"
        screen.line(f"database: batch {status.batch}; {last}")
    screen.line(f"run: {f'on, in {status.run}' if status.run else 'none'}")
    screen.line(f"spent: {status.cost or 'not known'}")
    oldest = status.oldest
    if oldest is not None:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(oldest.changed))
        screen.line(f"oldest running: {oldest.key}, task {oldest.task_id}, since {since}")
    if status.unclear:
        screen.line(f"uncertain: {status.uncertain_words}")
    screen.data(
        {
            "out": str(folder),
            "run": status.run,
            **({} if status.batch is None else {"batch": status.batch}),
            "expected": status.expected,
            "counts": {state.value: status.counts[state] for state in ItemState},
            "spent": status.spent,
            "oldest": oldest and {"id": oldest.key, "task_id": oldest.task_id, "since": oldest.changed},
            "uncertain": list(status.uncertain),
        }
    )
    return _exits.DONE
