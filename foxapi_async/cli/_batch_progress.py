"""The progress of a batch: how far it is, how fast, how much longer, at which cost. Moments are loop time in seconds."""

from __future__ import annotations

import asyncio
import collections

import attrs

from foxapi_async._batch.batch import Batch
from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async._ledger.entry import ItemState
from foxapi_async._wire.texts import duration, grouped
from foxapi_async.cli._progress import Bar

# The speed of the last minutes: long enough to be calm, short enough to notice a service that slows down.
WINDOW_SECONDS = 180.0
_POLLS_SECONDS = 10.0
_SAMPLE_SECONDS = 1.0
# Before that a speed would be a guess.
_FIRST_SECONDS = 2.0
_READING = "reading the input"


@attrs.frozen(kw_only=True)
class Figures:
    """A batch at one moment.

    Attributes:
        done: items that are done, as `running`, `failed` and `uncertain`, earlier runs among them.
        expected: how many items there are; None if that is not known.
        rate: items that end in a second; None at the beginning.
        spent: credits; `budget` is what may be spent, None for no limit.
        polls: of tasks, a second.
    """

    done: int
    running: int
    failed: int
    uncertain: int
    expected: int | None
    rate: float | None
    spent: float
    budget: float | None
    polls: float

    @property
    def ended(self) -> int:
        """Items that have ended."""
        return self.done + self.failed + self.uncertain

    @property
    def share(self) -> float | None:
        """How much is done, 0 to 1; None if that is not known."""
        return None if not self.expected else min(1.0, self.ended / self.expected)

    @property
    def left(self) -> float | None:
        """Seconds still to go; None if that is not known."""
        if self.expected is None or not self.rate:
            return None
        return max(0, self.expected - self.ended) / self.rate

    @property
    def progress(self) -> str:
        """How many items have ended, and of how many."""
        of = f" of {self.expected:,}" if self.expected is not None else ""
        return f"{self.ended:,}{of}"

    @property
    def states(self) -> list[str]:
        """What the items are at."""
        counts = (
            ("done", self.done),
            ("running", self.running),
            ("failed", self.failed),
            ("uncertain", self.uncertain),
        )
        return [f"{count:,} {name}" for name, count in counts if count or name in {"done", "running"}]

    @property
    def pace(self) -> list[str]:
        """How fast it goes, and for how long."""
        left = None if self.left is None else f"about {duration(self.left)} left"
        return [part for part in (_speed(self.rate), left) if part]

    @property
    def traffic(self) -> list[str]:
        """What it costs, and how often the service is asked."""
        of = f" of {grouped(self.budget)}" if self.budget is not None else ""
        cost = f"{grouped(self.spent)}{of} credits" if self.spent or of else None
        polls = f"{self.polls:.1f} polls/s" if self.polls else None
        return [part for part in (cost, polls) if part]


def _speed(rate: float | None) -> str | None:
    if not rate:
        return None
    return f"{rate:.1f} items/s" if rate >= 2 else f"{rate * 60:.1f} items/min"


class BatchProgress:
    """Measures one run, for the screen; see `Progress`.

    Args:
        batch: what runs.
        budget: credits that may be spent; None for no limit.
    """

    redraw_seconds = 0.5

    def __init__(self, batch: Batch, budget: float | None) -> None:
        self._batch = batch
        self._budget = budget
        self._ended = 0
        self._samples: collections.deque[tuple[float, int]] = collections.deque()
        # Of the polls only how many there were in each second: there may be hundreds.
        self._polls: collections.deque[tuple[int, int]] = collections.deque()

    def bars(self) -> list[Bar]:
        """One bar for all items."""
        found = self.figures()
        if found is None:
            return []
        percent = [] if found.share is None else [f"{found.share:.0%}"]
        return [Bar("", found.share, [*percent, found.progress])]

    def details(self) -> list[str]:
        """What the items are at; how fast, and at which cost."""
        found = self.figures()
        if found is None:
            return [_READING]
        return ["   ".join(found.states), "   ".join([*found.pace, *found.traffic])]

    def summary(self) -> str:
        """All of it in one line."""
        found = self.figures()
        if found is None:
            return _READING
        parts = filter(None, (", ".join(found.states), ", ".join(found.pace), ", ".join(found.traffic)))
        return f"{found.progress}: {'; '.join(parts)}"

    def item_ended(self) -> None:
        """Note that an item has ended in this run."""
        self._ended += 1

    def take(self, event: TaskEvent) -> None:
        """Note a reading of a task."""
        if event.elapsed:  # the answer to its submit is none
            second = int(_now())
            before = self._polls.pop()[1] if self._polls and self._polls[-1][0] == second else 0
            self._polls.append((second, before + 1))

    def figures(self) -> Figures | None:
        """How the batch stands; None before it has begun."""
        rate, tally = self._rate(), self._batch.tally
        if not tally:
            return None
        return Figures(
            done=tally[ItemState.DONE],
            running=tally[ItemState.SUBMITTED] + tally[ItemState.SUBMITTING],
            failed=tally[ItemState.FAILED],
            uncertain=tally[ItemState.UNCERTAIN],
            expected=self._batch.expected,
            rate=rate,
            spent=self._batch.spent,
            budget=self._budget,
            polls=self._poll_rate(),
        )

    def _rate(self) -> float | None:
        now, samples = _now(), self._samples
        if not samples or now - samples[-1][0] >= _SAMPLE_SECONDS:
            samples.append((now, self._ended))
        while len(samples) > 1 and now - samples[0][0] > WINDOW_SECONDS:
            samples.popleft()
        since, before = samples[0]
        return (self._ended - before) / (now - since) if now - since >= _FIRST_SECONDS else None

    def _poll_rate(self) -> float:
        now = _now()
        while self._polls and now - self._polls[0][0] > _POLLS_SECONDS:
            self._polls.popleft()
        span = min(_POLLS_SECONDS, max(1.0, now - self._polls[0][0])) if self._polls else 1.0
        return sum(count for _, count in self._polls) / span


def _now() -> float:
    return asyncio.get_running_loop().time()
