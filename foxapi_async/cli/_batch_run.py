"""Shows the run of a batch: its progress, its failures, what it will cost, and how it ends."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import json
import math
import shlex
from argparse import Namespace
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from foxapi_async._batch.expectation import Expectation
from foxapi_async._batch.folder import MANIFEST
from foxapi_async._batch.input.file import STDIN
from foxapi_async._batch.pause import Paused
from foxapi_async._batch.record import BatchOutcome
from foxapi_async._errors import FoxError, InvalidRequestError, LedgerError
from foxapi_async._hints import with_hint
from foxapi_async._ledger.entry import ItemState
from foxapi_async._wire.texts import counted, duration, elided, grouped, plain, rough_duration
from foxapi_async.cli import _exits
from foxapi_async.cli._batch_progress import BatchProgress, MeasuredBatch
from foxapi_async.cli._batch_status import BatchStatus, read_status
from foxapi_async.cli._messages import SHELL_WORDS, message_of, object_of
from foxapi_async.cli._screen import Screen

SHOWN_FAILURES = 10

_PROMPT_CHARACTERS = 40


def expectation_words(expectation: Expectation) -> str:
    """The expected credits and time in words; empty if nothing is known. Credits by a price that the user gave are exact."""
    sources = [
        *([counted(expectation.images, "earlier image")] if expectation.images else []),
        *(["earlier runs"] if expectation.learned else []),
    ]
    about, source = ("about ", f" (from {' and '.join(sources)})") if sources else ("", "")
    parts = [
        *([] if expectation.credits is None else [f"{about}{grouped(expectation.credits)} credits"]),
        *([] if expectation.seconds is None else [f"about {rough_duration(expectation.seconds)}"]),
    ]
    return f"{', '.join(parts)}{source}" if parts else ""


class ShownBatch(MeasuredBatch, Protocol):
    """A batch whose run a command shows."""

    out: Path

    @property
    def newly_spent(self) -> float:
        """Credits that this run may have been billed."""
        ...

    @property
    def paused(self) -> Paused | None:
        """Why the run ended early; None if it did not."""
        ...


class ShownRun(abc.ABC):
    """Shows one run of a batch. `BatchCommand` runs it in this process. `FollowCommand` lets workers run it.

    Args:
        args: the parsed options.
        screen: where it is shown.
        batch: the batch.
    """

    def __init__(self, args: Namespace, screen: Screen, batch: ShownBatch) -> None:
        self._args = args
        self._screen = screen
        self._shown = batch
        self._progress = BatchProgress(batch, args.budget)
        self._wrong = 0
        self._codes: Counter[str] = Counter()

    # The two commands do these differently.

    @abc.abstractmethod
    def _outcomes(self) -> AbstractAsyncContextManager[AsyncIterator[BatchOutcome]]:
        """Begins the run, and gives its outcomes."""

    @abc.abstractmethod
    async def _record_of(self, key: str) -> str | None:
        """The item's line of the manifest; None if it has none yet."""

    @abc.abstractmethod
    async def _expected(self) -> Expectation | None:
        """The expected credits and time of the items that are left; None if they are not known, or if no item is left.
        The run has begun when this returns.
        """

    async def _status(self) -> BatchStatus:
        return await read_status(self._shown.out)

    async def _show_interrupted(self) -> None:
        await self._show_stopped("interrupted")

    @property
    def _words(self) -> list[str]:
        """The words of the same command."""
        return list(self._args.words)

    # The run.

    async def work(self) -> int:
        """Run the batch, and return the exit status.

        Raises:
            FoxError: it could not begin.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        problem: FoxError | None = None
        try:
            await self._follow()
        except asyncio.CancelledError:
            await self._show_interrupted()
            raise
        except FoxError as error:
            problem = error
        return await self._conclude(problem, loop.time() - began)

    async def _follow(self) -> None:
        async with (
            self._screen.following(self._progress),
            self._outcomes() as outcomes,
            self._saying_what_is_expected(),
        ):
            async for outcome in outcomes:
                self._progress.item_ended()
                if outcome.error is not None:
                    self._show_failure(outcome, outcome.error)
                if self._screen.as_json and outcome.key is not None:
                    with contextlib.suppress(LedgerError):  # shown already, as the error of the outcome
                        await self._print_record(outcome.key)

    @contextlib.asynccontextmanager
    async def _saying_what_is_expected(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self._say_what_is_expected())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _say_what_is_expected(self) -> None:
        """Say what the run will cost and how long it will take, once it has begun."""
        expectation = await self._expected()
        if expectation is not None and (words := expectation_words(expectation)):
            self._screen.note(f"expected: {words}")

    async def _print_record(self, key: str) -> None:
        """Print the item's line of the manifest. A running task has none yet."""
        if (record := await self._record_of(key)) is not None:
            self._screen.data(json.loads(record))

    def _show_failure(self, outcome: BatchOutcome, error: Exception) -> None:
        assert isinstance(error, FoxError)  # noqa: S101 - every error of an outcome is one
        if outcome.key is None:
            self._wrong += 1
            self._screen.error(message_of(error))
            return
        if isinstance(error, (LedgerError, *_exits.REFUSED_ACCOUNT)):
            return  # the reason of the pause shows it once for all items; the log shows an id that could not be kept
        self._codes[getattr(error, "code", None) or type(error).__name__] += 1
        if self._codes.total() <= SHOWN_FAILURES:
            self._screen.error(f"{_label(outcome)}: {message_of(error)}")
        elif self._codes.total() == SHOWN_FAILURES + 1:
            self._screen.error("more failures are not shown here")

    # How it ends.

    async def _conclude(self, error: FoxError | None, seconds: float) -> int:
        if not self._shown.tally:
            assert error is not None  # noqa: S101 - a run without an error has begun
            return self._show_refusal(error)
        paused = self._shown.paused
        if stopped := paused or error:
            why = message_of(stopped)
            await self._show_stopped(why, None if paused is None else paused.least_budget)
            if paused is not None:
                self._screen.data({"paused": {"reason": paused.reason, "message": why}})
                return _exits.BUDGET if paused.reason == "budget" else _exits.ACCOUNT
            assert error is not None  # noqa: S101 - without a pause, the error is what stopped it
            return _exits.status_of(error)
        status = await self._status()
        self._sum_up(status, seconds)
        items = sum(status.counts.values())
        if self._wrong and not items:
            return _exits.USAGE  # every line of a new batch is wrong: the same status as for a wrong file
        all_done = status.counts[ItemState.DONE] == items and not self._wrong
        return _exits.DONE if all_done else _exits.FAILED

    def _show_refusal(self, error: FoxError) -> int:
        """Report why the batch did not begin. Nothing was sent."""
        self._screen.data(object_of(error))
        if isinstance(error, InvalidRequestError) and error.headline:
            *others, last = error.problems
            for problem in others:
                self._screen.error(problem)
            self._screen.error(with_hint(last, error.hint, SHELL_WORDS))
            self._screen.error(error.headline)
        else:
            self._screen.error(message_of(error))
        return _exits.status_of(error)

    async def _show_stopped(self, why: str, least_budget: float | None = None) -> None:
        """Report the state after an early end, and the command that continues. If the budget is used up, that command
        has a larger one.
        """
        self._screen.error(f"stopped: {why}")
        if self._args.emulator:
            self._screen.note(
                "the emulator's tasks end here, and nothing was billed; the same command makes them again"
            )
            return
        with contextlib.suppress(LedgerError):  # there is no ledger yet, or its fault stopped the run
            status = await self._status()
            self._screen.error(self._state_words(status))
            self._show_uncertain(status)
        self._show_how_to_continue(least_budget)

    def _show_how_to_continue(self, least_budget: float | None = None) -> None:
        again = " (with the same input)" if self._args.file == STDIN else ""
        words = self._words
        if least_budget is not None:
            # The words may have no budget, because a batch in a database keeps the budget of an earlier command.
            place = next((n for n, word in enumerate(words) if word.startswith("--budget")), len(words))
            width = 1 if any("=" in word for word in words[place : place + 1]) else 2
            words[place : place + width] = ["--budget", f"{least_budget:.10g}"]
        least = "" if least_budget is None else " this budget or a larger one"
        self._screen.error(f"continue{again} with{least}: {shlex.join(['foxapi', *words])}")

    def _sum_up(self, status: BatchStatus, seconds: float) -> None:
        """Report the results and the costs of all runs together."""
        screen, out = self._screen, self._shown.out
        bill = ", made by the emulator: nothing is billed" if self._args.emulator else ""
        screen.note(f"{self._state_words(status)}, in {duration(seconds)}{bill}")
        if self._codes:
            problems = (f"{count:,} {plain(code)}" for code, count in self._codes.most_common())
            screen.note(f"problems in this run: {', '.join(problems)}")
        if status.counts[ItemState.FAILED]:
            screen.note("--retry-failed submits (and pays for) the failed ones again")
        self._show_uncertain(status)
        if status.counts[ItemState.UNSAVED]:
            screen.error(
                "images that were made and not saved are billed: the same command tries to save them, for free"
            )
        if status.counts[ItemState.SUBMITTED]:
            screen.error("running tasks are billed: the same command continues them")
        screen.note(
            f"all results are in {out / MANIFEST}; to make a page of them: {shlex.join(['foxapi', 'report', str(out)])}"
        )

    def _state_words(self, status: BatchStatus) -> str:
        wrong = f", {counted(self._wrong, 'wrong line')}" if self._wrong else ""
        cost, new = status.cost, self._shown.newly_spent
        if cost is not None and not math.isclose(new, status.spent):
            cost = f"{cost} in all, {grouped(new)} in this run"
        return "; ".join(filter(None, [status.states + wrong, cost]))

    def _show_uncertain(self, status: BatchStatus) -> None:
        if status.unclear:
            self._screen.error(status.uncertain_words)


def _label(outcome: BatchOutcome) -> str:
    """The item's key. A key that is made from the request gets the prompt, too."""
    prompt = getattr(outcome.request, "prompt", None)
    counted_key = "#" in (outcome.key or "") and prompt
    return f'{outcome.key} "{elided(str(prompt), _PROMPT_CHARACTERS)}"' if counted_key else str(outcome.key)
