"""`foxapi batch`: runs a `Batch` of a file with its progress and a summary, or checks the file (`--check`)."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Any

from foxapi_async._batch.batch import Batch, states_again
from foxapi_async._batch.expectation import (
    DoneItems,
    Expectation,
    Experience,
    expect,
    experience_of,
    learned_costs,
)
from foxapi_async._batch.folder import BatchFolder
from foxapi_async._batch.input.check import Check, Count
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.lines import InputRow
from foxapi_async._batch.input.validation import checked
from foxapi_async._batch.plan import left_in
from foxapi_async._batch.record import BatchOutcome
from foxapi_async._cadence.estimates import price_book
from foxapi_async._client.estimates_file import load_estimates
from foxapi_async._client.hooks import HookEvent
from foxapi_async._client.session import DEFAULT_IN_FLIGHT
from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async._hints import with_hint
from foxapi_async._ledger.entry import ItemState
from foxapi_async._options import Limits
from foxapi_async._policy.prices import PriceBook
from foxapi_async._wire.texts import counted
from foxapi_async.cli import _exits
from foxapi_async.cli._batch_run import ShownRun, expectation_words
from foxapi_async.cli._batch_status import BatchStatus, read_status
from foxapi_async.cli._messages import SHELL_WORDS
from foxapi_async.cli._requests import open_folder, read_defaults
from foxapi_async.cli._running import open_service
from foxapi_async.cli._screen import Screen
from foxapi_async.models import MODELS
from foxapi_async.models._catalogue import is_known


def start_batch(args: Namespace, screen: Screen) -> Coroutine[Any, Any, int]:
    """The work of `foxapi batch`. It returns the exit status.

    Raises:
        InvalidRequestError: the input, the output folder or an option is not valid.
        ConfigurationError: there is no usable key or address, and the emulator is not used.
    """
    file = read_input(args)
    return _show_check(args, file, screen) if args.check else BatchCommand(args, screen, file).work()


def read_input(args: Namespace) -> InputFile:
    """The input that the options describe.

    Raises:
        InvalidRequestError: there is no such file, or an option is not valid.
    """
    return InputFile(
        args.file,
        form=args.format,
        defaults=read_defaults(args),
        delimiter=args.delimiter,
        keeps_extra=args.extra == "keep",
    )


async def _show_check(args: Namespace, file: InputFile, screen: Screen) -> int:
    """Report the errors of a file, and how much the next run would submit. Send nothing.

    Raises:
        InvalidRequestError: it cannot be read.
        LedgerError: the ledger of the output folder was lost, or cannot be read.
        ConfigurationError: the file of estimates has other content.
    """
    book = await _learned_prices(args)
    by_kind = len(book) > 0
    async with BatchFolder.peek(Path(args.out)) as ledger:
        found = await checked(file, ledger, by_kind=by_kind)
        left, before, done = found.count, None, Experience()
        if ledger is not None:
            before, done = await read_status(Path(args.out)), await experience_of(ledger)
            again = _again_after(before, args)
            left = Count.of(await left_in(file, ledger, again), by_kind=by_kind)
    _show_problems(found, screen)
    expectation = _expectation(args, left, done.models, learned_costs(left, book))
    _show_count(args, file, found, left, expectation, before, screen)
    return _exits.DONE if found.is_right else _exits.USAGE


def _again_after(before: BatchStatus, args: Namespace) -> frozenset[ItemState]:
    """The states of the items that the next run submits again.

    A killed run may leave items in the state "submitting". The next run makes them uncertain.
    """
    again = states_again(retry_failed=args.retry_failed, resubmit_uncertain=_resubmits(args))
    is_left = before.run is None and ItemState.UNCERTAIN in again
    return again | {ItemState.SUBMITTING} if is_left else again


async def _learned_prices(args: Namespace) -> PriceBook:
    """The prices of earlier runs; an emulator has its own."""
    if args.estimates is None or args.emulator:
        return PriceBook()
    return price_book(await load_estimates(Path(args.estimates)))


def _expectation(
    args: Namespace, left: Count, done: Mapping[str, DoneItems], learned: Mapping[str, float]
) -> Expectation:
    """The expected credits and time of the items that are left.

    Args:
        args: the options.
        left: the items that are left.
        done: the done items of each model.
        learned: the credits of each model by learned prices.
    """
    return expect(
        left.models,
        done,
        price=args.price,
        room=args.max_in_flight or DEFAULT_IN_FLIGHT,
        submits_per_second=args.submits_per_second,
        learned=learned,
    )


def _resubmits(args: Namespace) -> bool:
    """Whether items without an answer are sent again. An emulator bills nothing, and its tasks end with its command."""
    return bool(args.resubmit_uncertain or args.emulator)


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
    if found.broken is not None:  # the number of items is not known
        screen.line(f"{file.name}: {found.fault}")
        return
    wrong = f", {found.wrong:,} wrong" if found.wrong else ""
    screen.line(f"{file.name}: {counted(found.items, 'item')}{wrong}")
    for model, tally in sorted(found.count.models.items()):
        unknown = "" if model in MODELS or is_known(model) else " (not known here: sent unchecked)"
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
    """The items that are left to submit, as `--json` prints them."""
    tallies = left.models.items()
    return {
        "models": {model: {"submits": tally.requests, "images": tally.images} for model, tally in tallies},
        "submits": left.requests,
        "images": left.images,
        "expected_credits": expectation.credits and round(expectation.credits, 2),
        "expected_seconds": expectation.seconds and round(expectation.seconds, 1),
    }


class BatchCommand(ShownRun):
    """One run of the command in this process.

    Args:
        args: the parsed options.
        screen: where it is shown.
        file: the input.

    Raises:
        ConfigurationError: there is no usable key or address, and the emulator is not used.
        InvalidRequestError: the output folder cannot be used.
    """

    def __init__(self, args: Namespace, screen: Screen, file: InputFile) -> None:
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
        self._batch._counts_left = True  # noqa: SLF001 - the command shows this
        super().__init__(args, screen, self._batch)

    def _on_event(self, event: HookEvent) -> None:
        if isinstance(event, TaskEvent):
            self._progress.take(event)

    @contextlib.asynccontextmanager
    async def _outcomes(self) -> AsyncGenerator[AsyncIterator[BatchOutcome]]:
        async with self._session as fox, fox, contextlib.aclosing(self._batch.run(fox)) as outcomes:
            yield outcomes

    # These two ask the batch. A reader of its own would keep the ledger's WAL open.

    async def _record_of(self, key: str) -> str | None:
        entry = await self._batch._entry(key)  # noqa: SLF001 - as above
        return None if entry.state is ItemState.SUBMITTED else entry.record

    async def _expected(self) -> Expectation | None:
        left, done, learned = await self._batch._left()  # noqa: SLF001 - as above
        return _expectation(self._args, left, done, learned) if left is not None and left.requests else None
