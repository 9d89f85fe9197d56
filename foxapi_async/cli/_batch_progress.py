"""The progress of a batch: its share, speed, remaining time and cost. Moments are loop time in seconds."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Mapping
from typing import Protocol

import attrs

from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async._ledger.entry import ItemState
from foxapi_async._wire.texts import duration, grouped
from foxapi_async.cli._progress import ProgressRow

# The speed of the last minutes: long enough to be steady, short enough to notice a service that slows down.
WINDOW_SECONDS = 180.0
_POLLS_SECONDS = 10.0
_SAMPLE_SECONDS = 1.0
# A speed over a shorter time would be a guess.
_FIRST_SECONDS = 2.0
_READING = "reading the input"


@attrs.frozen(kw_only=True)
class Figures:
    """A batch at one moment, in words.

    Attributes:
        share: how much has ended, 0 to 1; None if that is not known.
        progress: how many items have ended, and of how many.
        states: how many items are in each state.
        pace: how fast items end, and how long the rest takes.
        traffic: the credits of the batch, and its polls per second.
    """

    share: float | None
    progress: str
    states: list[str]
    pace: list[str]
    traffic: list[str]


def figures_of(
    tally: Mapping[str, int],
    *,
    expected: int | None,
    rate: float | None,
    spent: float,
    budget: float | None,
    polls: float,
) -> Figures:
    """The figures of a batch.

    Args:
        tally: how many items are in each state, including earlier runs.
        expected: how many items there are; None if that is not known.
        rate: items that end per second; None at the beginning.
        spent: credits.
        budget: credits that may be spent; None for no limit.
        polls: polls of tasks per second.
    """
    done, failed, uncertain = tally[ItemState.DONE], tally[ItemState.FAILED], tally[ItemState.UNCERTAIN]
    unsaved = tally[ItemState.UNSAVED]
    ended = done + failed + uncertain + unsaved
    running = tally[ItemState.SUBMITTED] + tally[ItemState.SUBMITTING]
    pace = [] if not rate else [f"{rate:.1f} items/s" if rate >= 2 else f"{rate * 60:.1f} items/min"]
    if expected is not None and rate:
        pace.append(f"about {duration(max(0, expected - ended) / rate)} left")
    limit = "" if budget is None else f" of {grouped(budget)}"
    return Figures(
        share=min(1.0, ended / expected) if expected else None,
        progress=f"{ended:,}{'' if expected is None else f' of {expected:,}'}",
        states=[
            f"{done:,} done",
            f"{running:,} running",
            *([f"{unsaved:,} made, not saved"] if unsaved else []),
            *([f"{failed:,} failed"] if failed else []),
            *([f"{uncertain:,} uncertain"] if uncertain else []),
        ],
        pace=pace,
        traffic=[
            *([f"{grouped(spent)}{limit} credits"] if spent or limit else []),
            *([f"{polls:.1f} polls/s"] if polls else []),
        ],
    )


class MeasuredBatch(Protocol):
    """A running batch, of this process or of workers."""

    @property
    def tally(self) -> Mapping[str, int]:
        """How many items are in each state, including those of earlier runs; empty before the run."""
        ...

    @property
    def expected(self) -> int | None:
        """How many items there are, if known."""
        ...

    @property
    def spent(self) -> float:
        """Credits that all runs together may have been billed."""
        ...


class BatchProgress:
    """Measures one run, for the screen; see `Progress`.

    Args:
        batch: the running batch.
        budget: credits that may be spent; None for no limit.
    """

    redraw_seconds = 0.5

    def __init__(self, batch: MeasuredBatch, budget: float | None) -> None:
        self._batch = batch
        self._budget = budget
        self._ended = 0
        self._samples: collections.deque[tuple[float, int]] = collections.deque()
        # Only the number of polls in each second, because there may be hundreds.
        self._polls: collections.deque[tuple[int, int]] = collections.deque()

    def bars(self) -> list[ProgressRow]:
        """One bar for all items."""
        found = self.figures()
        if found is None:
            return []
        percent = [] if found.share is None else [f"{found.share:.0%}"]
        return [ProgressRow("", found.share, [*percent, found.progress])]

    def details(self) -> list[str]:
        """The states of the items, and their speed and cost."""
        found = self.figures()
        if found is None:
            return [_READING]
        return ["   ".join(found.states), "   ".join([*found.pace, *found.traffic])]

    def summary(self) -> str:
        """All figures in one line."""
        found = self.figures()
        if found is None:
            return _READING
        parts = filter(None, (", ".join(found.states), ", ".join(found.pace), ", ".join(found.traffic)))
        return f"{found.progress}: {'; '.join(parts)}"

    def item_ended(self) -> None:
        """Note that an item has ended in this run."""
        self._ended += 1

    def take(self, event: TaskEvent) -> None:
        """Note an event of a task."""
        if event.elapsed:  # the answer to its submit is not a poll
            second = int(_now())
            before = self._polls.pop()[1] if self._polls and self._polls[-1][0] == second else 0
            self._polls.append((second, before + 1))

    def figures(self) -> Figures | None:
        """The present figures of the batch; None before it has begun."""
        rate = self.rate()
        if not self._batch.tally:
            return None
        return figures_of(
            self._batch.tally,
            expected=self._batch.expected,
            rate=rate,
            spent=self._batch.spent,
            budget=self._budget,
            polls=self.poll_rate(),
        )

    def rate(self) -> float | None:
        """Items that ended per second, over the last minutes; None at the beginning."""
        now, samples = _now(), self._samples
        if not samples or now - samples[-1][0] >= _SAMPLE_SECONDS:
            samples.append((now, self._ended))
        while len(samples) > 1 and now - samples[0][0] > WINDOW_SECONDS:
            samples.popleft()
        since, before = samples[0]
        return (self._ended - before) / (now - since) if now - since >= _FIRST_SECONDS else None

    def poll_rate(self) -> float:
        """Polls per second, over the last ten seconds."""
        now = _now()
        while self._polls and now - self._polls[0][0] > _POLLS_SECONDS:
            self._polls.popleft()
        span = min(_POLLS_SECONDS, max(1.0, now - self._polls[0][0])) if self._polls else 1.0
        return sum(count for _, count in self._polls) / span


def _now() -> float:
    return asyncio.get_running_loop().time()
