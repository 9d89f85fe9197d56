"""What a batch's ledger tells, read without disturbing a run: for the end of one, and for `foxapi status`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import attrs

from foxapi_async._batch import LEDGER
from foxapi_async._entries import Entry, State
from foxapi_async._ledger import Ledger, LedgerView
from foxapi_async.cli._text import counted, grouped, plain

SHOWN_KEYS = 20


@attrs.frozen(kw_only=True)
class Account:
    """How a batch stands.

    Attributes:
        counts: how many items are in each state.
        spent: credits, as far as prices are known.
        uncertain: keys of items that may have been billed without an answer, the first 20.
        oldest: the task that has run longest; None if none runs.
        run: whether a run is on, and in which process as far as that is known.
        expected: how many items its last input file had; None if that is not known.
    """

    counts: Mapping[State, int]
    spent: float
    uncertain: tuple[str, ...]
    oldest: Entry | None
    run: str | None
    expected: int | None = None

    @property
    def running(self) -> int:
        """Items under way at the service; during a run those that are just being submitted, too."""
        return self.counts[State.SUBMITTED] + (self.counts[State.SUBMITTING] if self.run else 0)

    @property
    def unclear(self) -> int:
        """Items that may have been billed without an answer: what a run was submitting when it ended is one of them."""
        return self.counts[State.UNCERTAIN] + (0 if self.run else self.counts[State.SUBMITTING])

    @property
    def waiting(self) -> int:
        """Items that are not begun, as far as their number is known."""
        known = sum(self.counts.values())
        return max(0, (self.expected or 0) - known) + self.counts[State.NEW]

    @property
    def states(self) -> str:
        """The counts in words."""
        parts = [
            f"{self.counts[State.DONE]:,} done",
            self.counts[State.FAILED] and f"{self.counts[State.FAILED]:,} failed",
            self.running and f"{self.running:,} running at the service (and billed)",
            self.unclear and f"{self.unclear:,} uncertain",
            self.waiting and f"{self.waiting:,} not begun",
        ]
        return ", ".join(part for part in parts if part)

    @property
    def cost(self) -> str | None:
        """The credits in words; None where no price is known."""
        return f"{grouped(self.spent)} credits" if self.spent else None

    @property
    def uncertain_words(self) -> str:
        """The keys of uncertain items in words."""
        more = self.unclear - len(self.uncertain)
        keys = ", ".join(map(plain, self.uncertain)) + (f" and {more:,} more" if more > 0 else "")
        return (
            f"{counted(self.unclear, 'item')} sent without an answer, and maybe billed: {keys}  "
            "(--resubmit-uncertain sends them again)"
        )


async def read_account(folder: Path) -> Account:
    """Read the ledger of the batch in `folder`.

    Raises:
        LedgerError: there is none, or it cannot be read.
    """
    path = folder / LEDGER
    run = runs_in(path)
    unclear = (State.UNCERTAIN,) if run else (State.UNCERTAIN, State.SUBMITTING)
    async with Ledger.peek(path) as ledger:
        counts = await ledger.counts()
        return Account(
            counts=counts,
            spent=await ledger.spent(),
            uncertain=await _first_keys(ledger, unclear) if any(counts[state] for state in unclear) else (),
            oldest=await _oldest(ledger) if counts[State.SUBMITTED] else None,
            run=run,
            expected=_count_in(await ledger.meta("validated")),
        )


def _count_in(validated: str | None) -> int | None:
    """How many items the validated file had."""
    count = (validated or "").rpartition(" ")[2]
    return int(count) if count.isdigit() else None


async def _first_keys(ledger: LedgerView, states: tuple[State, ...]) -> tuple[str, ...]:
    keys: list[str] = []
    async for entry in ledger.entries(*states):
        keys.append(entry.key)
        if len(keys) == SHOWN_KEYS:
            break
    return tuple(keys)


async def _oldest(ledger: LedgerView) -> Entry | None:
    oldest: Entry | None = None
    async for entry in ledger.entries(State.SUBMITTED):
        if oldest is None or entry.changed < oldest.changed:
            oldest = entry
    return oldest


def runs_in(ledger: Path) -> str | None:
    """The process that has the ledger open for a run, or "another process"; None if there is no run."""
    try:
        file = os.open(ledger.with_name(f"{ledger.name}.lock"), os.O_RDONLY)
    except OSError:
        return None
    try:
        if not _is_locked(file):
            return None
        holder = os.read(file, 20)
        return f"process {holder.decode()}" if holder.isdigit() else "another process"
    finally:
        os.close(file)


if sys.platform == "win32":  # pragma: no cover - Windows
    import msvcrt

    def _is_locked(file: int) -> bool:
        os.lseek(file, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
        except OSError:
            return True
        finally:
            os.lseek(file, 0, os.SEEK_SET)
        return False
else:
    import fcntl

    def _is_locked(file: int) -> bool:
        # Shared and given back at once: two that look do not see each other.
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(file, fcntl.LOCK_UN)
        return False
