"""`foxapi batch`: runs a `Batch` of a file with its progress and a summary, or checks the file (`--check`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
from argparse import Namespace
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path
from typing import Any

from foxapi_async._batch.batch import Batch, states_again
from foxapi_async._batch.budget import Budget
from foxapi_async._batch.expectation import Expectation, Experience, expect, expect_alike, experience_of
from foxapi_async._batch.folder import MANIFEST, BatchFolder
from foxapi_async._batch.input.check import Check, Count
from foxapi_async._batch.input.file import STDIN, InputFile
from foxapi_async._batch.input.lines import InputRow
from foxapi_async._batch.input.validation import checked
from foxapi_async._batch.plan import WorkPlan
from foxapi_async._batch.record import BatchOutcome
from foxapi_async._client.hooks import HookEvent
from foxapi_async._client.session import DEFAULT_IN_FLIGHT
from foxapi_async._errors import FoxError, InvalidRequestError, LedgerError
from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async._hints import with_hint
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.protocol import LedgerView
from foxapi_async._options import Limits
from foxapi_async._wire.texts import counted, duration, elided, grouped, plain, rough_duration
from foxapi_async.cli import _exits
from foxapi_async.cli._batch_progress import BatchProgress
from foxapi_async.cli._batch_status import BatchStatus, read_status
from foxapi_async.cli._messages import SHELL_WORDS, message_of, object_of
from foxapi_async.cli._requests import open_folder, read_defaults
from foxapi_async.cli._running import open_service
from foxapi_async.cli._screen import Screen
from foxapi_async.models import MODELS

SHOWN_FAILURES = 10

_PROMPT_ROOM = 40


def start_batch(args: Namespace, screen: Screen) -> Coroutine[Any, Any, int]:
    """The work of `foxapi batch`. It returns the exit status.

    Raises:
        InvalidRequestError: the input, the output folder or an option is not valid.
        ConfigurationError: there is no usable key or address, and the emulator is not used.
    """
    file = InputFile(
        args.file,
        form=args.format,
        defaults=read_defaults(args),
        delimiter=args.delimiter,
        keeps_extra=args.extra == "keep",
    )
    return _show_check(args, file, screen) if args.check else BatchCommand(args, screen, file).work()


async def _show_check(args: Namespace, file: InputFile, screen: Screen) -> int:
    """Report the errors of a file, and what a run would submit after earlier ones. Send nothing.

    Raises:
        InvalidRequestError: it cannot be read.
        LedgerError: the ledger of the output folder was lost, or cannot be read.
    """
    async with BatchFolder.peek(Path(args.out)) as ledger:
        found = await checked(file, ledger)
        left = (
            found.count
            if ledger is None
            else await _remaining(
                file,
                ledger,
                states_again(retry_failed=args.retry_failed, resubmit_uncertain=_resubmits(args)),
            )
        )
        before = None if ledger is None else await read_status(Path(args.out))
        done = Experience() if ledger is None else await experience_of(ledger)
    _show_problems(found, screen)
    expectation = expect(left.models, done.models, **_limits_of(args))
    _show_count(args, file, found, left, expectation, before, screen)
    return _exits.DONE if found.is_right else _exits.USAGE


def _limits_of(args: Namespace) -> dict[str, Any]:
    """The options on which the expectation depends."""
    return {
        "price": args.price,
        "room": args.max_in_flight or DEFAULT_IN_FLIGHT,
        "submits_per_second": args.submits_per_second,
    }


def _resubmits(args: Namespace) -> bool:
    """Whether items without an answer are sent again. An emulator bills nothing, and its tasks end with its command."""
    return bool(args.resubmit_uncertain or args.emulator)


def expectation_words(expectation: Expectation) -> str:
    """What is expected, in words; empty if nothing is known. Credits of a given price are exact."""
    about = "about " if expectation.images else ""
    source = f" (from {counted(expectation.images, 'earlier image')})" if expectation.images else ""
    parts = [
        *([] if expectation.credits is None else [f"{about}{grouped(expectation.credits)} credits"]),
        *([] if expectation.seconds is None else [f"about {rough_duration(expectation.seconds)}"]),
    ]
    return f"{', '.join(parts)}{source}" if parts else ""


def _show_problems(found: Check, screen: Screen) -> None:
    for row in found.problems:
        _show_row(row, screen)
    if (more := found.wrong - len(found.problems)) > 0:
        screen.error(f"and {more:,} more")
    if found.broken is not None:
        _show_row(found.broken, screen)


def _show_row(row: InputRow, screen: Screen) -> None:
    problems = [with_hint(problem, row.hint, SHELL_WORDS) for problem in row.problems]
    screen.data({"line": row.number, "id": row.id, "problems": problems})
    for problem in problems:
        screen.error(f"line {row.number}: {problem}")


def _show_count(
    args: Namespace,
    file: InputFile,
    found: Check,
    left: Count,
    expectation: Expectation,
    before: BatchStatus | None,
    screen: Screen,
) -> None:
    """Report the items of the file, and what the next run would submit of them."""
    spent = 0.0 if before is None else before.spent
    screen.data(
        {
            "items": found.items,
            "wrong": found.wrong,
            "broken": found.broken and found.broken.part,
            **_left_object(left, expectation),
            "spent": spent,
        }
    )
    if found.broken is not None:  # how many items there are is not known
        screen.line(f"{file.name}: {found.fault}")
        return
    wrong = f", {found.wrong:,} wrong" if found.wrong else ""
    screen.line(f"{file.name}: {counted(found.items, 'item')}{wrong}")
    for model, tally in sorted(found.count.models.items()):
        unknown = "" if model in MODELS else " (not known here: sent unchecked)"
        made = f"{counted(tally.requests, 'submit')}, {counted(tally.images, 'image')}"
        screen.line(f"  {model}: {made}{unknown}")
    if before is not None:
        screen.line(
            f"{args.out}: {before.ended_words}{'' if before.cost is None else f'; {before.cost} spent'}"
        )
    total = f"{counted(left.requests, 'submit')}, {counted(left.images, 'image')}"
    run = "a first run" if before is None else "the next run"
    words = expectation_words(expectation) if left.requests else ""
    screen.line(f"to be submitted in {run}: {', '.join(filter(None, (total, words)))}")


def _left_object(left: Count, expectation: Expectation) -> dict[str, Any]:
    """What is left to submit, as `--json` prints it."""
    tallies = left.models.items()
    return {
        "models": {model: {"submits": tally.requests, "images": tally.images} for model, tally in tallies},
        "submits": left.requests,
        "images": left.images,
        "expected_credits": expectation.credits and round(expectation.credits, 2),
        "expected_seconds": expectation.seconds and round(expectation.seconds, 1),
    }


async def _remaining(file: InputFile, ledger: LedgerView, again: frozenset[ItemState]) -> Count:
    """What a run would submit of this file, which a plan without a limit knows."""
    plan = WorkPlan(file, ledger, Budget(), again, asyncio.Event(), lambda _: None)
    left = Count()
    async with contextlib.aclosing(plan.unstarted()) as items:
        async for item in items:
            if item.request is not None:
                left.add(item.request)
    return left


class BatchCommand:
    """One run of the command.

    Args:
        args: the parsed options.
        screen: where it is shown.
        file: the input.

    Raises:
        ConfigurationError: there is no usable key or address, and the emulator is not used.
        InvalidRequestError: the output folder cannot be used.
    """

    def __init__(self, args: Namespace, screen: Screen, file: InputFile) -> None:
        self._args = args
        self._screen = screen
        self._file = file
        limits = Limits(submits_per_second=args.submits_per_second, polls_per_second=args.polls_per_second)
        timeout = {} if args.timeout is None else {"task_timeout": args.timeout}
        self._session = open_service(args, limits=limits, hooks=[self._on_event], **timeout)
        self._batch = Batch(
            file,
            open_folder(args.out),
            max_in_flight=args.max_in_flight,
            budget=args.budget,
            price=args.price,
            resubmit_uncertain=_resubmits(args),
            retry_failed=args.retry_failed,
            other_origin=args.other_origin,
            rebuild_ledger=args.rebuild_ledger,
        )
        self._batch._emulated = args.emulator  # noqa: SLF001 - emulator runs are kept separate
        self._progress = BatchProgress(self._batch, args.budget)
        self._wrong = 0
        self._codes: Counter[str] = Counter()

    def _on_event(self, event: HookEvent) -> None:
        if isinstance(event, TaskEvent):
            self._progress.take(event)

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
            await self._show_stopped("interrupted")
            raise
        except FoxError as error:
            problem = error
        return await self._conclude(problem, loop.time() - began)

    async def _follow(self) -> None:
        async with (
            self._session as fox,
            fox,
            self._screen.following(self._progress),
            contextlib.aclosing(self._batch.run(fox)) as outcomes,
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
        with contextlib.suppress(LedgerError):  # the run reports it
            left, done = await self._batch._left()  # noqa: SLF001 - an open reader would keep the ledger's WAL
            if left and (words := expectation_words(expect_alike(left, done, **_limits_of(self._args)))):
                self._screen.note(f"expected: {words}")

    async def _print_record(self, key: str) -> None:
        """Print the item's line of the manifest. A running task has none yet."""
        entry = await self._batch._entry(key)  # noqa: SLF001 - an open reader would keep the ledger's WAL
        if entry.state is not ItemState.SUBMITTED and entry.record is not None:
            self._screen.data(json.loads(entry.record))

    def _show_failure(self, outcome: BatchOutcome, error: Exception) -> None:
        assert isinstance(error, FoxError)  # noqa: S101 - as every error of an outcome
        if outcome.key is None:
            self._wrong += 1
            self._screen.error(message_of(error))
            return
        if isinstance(error, (LedgerError, *_exits.REFUSED_ACCOUNT)):
            return  # shown once for all items, as the reason of the pause; an id that is not kept is in the log
        self._codes[getattr(error, "code", None) or type(error).__name__] += 1
        if self._codes.total() <= SHOWN_FAILURES:
            self._screen.error(f"{_label(outcome)}: {message_of(error)}")
        elif self._codes.total() == SHOWN_FAILURES + 1:
            self._screen.error("more failures are not shown here")

    # How it ends.

    async def _conclude(self, error: FoxError | None, seconds: float) -> int:
        if not self._batch.tally:
            assert error is not None  # noqa: S101 - else it would have begun
            return self._show_refusal(error)
        paused = self._batch.paused
        if stopped := paused or error:
            why = message_of(stopped)
            await self._show_stopped(why, None if paused is None else paused.least_budget)
            if paused is not None:
                self._screen.data({"paused": {"reason": paused.reason, "message": why}})
                return _exits.BUDGET if paused.reason == "budget" else _exits.ACCOUNT
            assert error is not None  # noqa: S101 - else there is no reason
            return _exits.status_of(error)
        status = await read_status(self._batch.out)
        self._sum_up(status, seconds)
        all_done = status.counts[ItemState.DONE] == sum(status.counts.values()) and not self._wrong
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
        """Report the state after an early end, and how to continue; after a used budget, with a larger one."""
        self._screen.error(f"stopped: {why}")
        if self._args.emulator:
            self._screen.note(
                "the emulator's tasks end here, nothing was billed; the same command makes them again"
            )
            return
        with contextlib.suppress(LedgerError):  # there is no ledger yet, or its fault stopped the run
            status = await read_status(self._batch.out)
            self._screen.error(self._state_words(status))
            self._show_uncertain(status)
        again = " (with the same input)" if self._args.file == STDIN else ""
        words = list(self._args.words)
        if least_budget is not None:
            place = next(n for n, word in enumerate(words) if word.startswith("--budget"))
            words[place : place + (1 if "=" in words[place] else 2)] = ["--budget", f"{least_budget:.10g}"]
        least = "" if least_budget is None else " a budget of that or more"
        self._screen.error(f"continue{again} with{least}: {shlex.join(['foxapi', *words])}")

    def _sum_up(self, status: BatchStatus, seconds: float) -> None:
        """Report the results and the costs of all runs together."""
        screen, out = self._screen, self._batch.out
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
        return "; ".join(filter(None, [status.states + wrong, status.cost]))

    def _show_uncertain(self, status: BatchStatus) -> None:
        if status.unclear:
            self._screen.error(status.uncertain_words)


def _label(outcome: BatchOutcome) -> str:
    """The item's key. A counted key is shown with its prompt."""
    prompt = getattr(outcome.request, "prompt", None)
    counted_key = "#" in (outcome.key or "") and prompt
    return f'{outcome.key} "{elided(str(prompt), _PROMPT_ROOM)}"' if counted_key else str(outcome.key)
