"""`foxapi batch`: a `Batch` of a file, followed on the screen, and told of at its end, whatever ended it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from foxapi_async._batch.batch import Batch
from foxapi_async._batch.folder import LEDGER, MANIFEST
from foxapi_async._batch.input.file import STDIN, InputFile
from foxapi_async._batch.record import BatchOutcome
from foxapi_async._client.hooks import HookEvent
from foxapi_async._client.session import FoxSession
from foxapi_async._errors import FoxError, InvalidRequestError, LedgerError
from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.protocol import LedgerView
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async._options import Limits
from foxapi_async.cli import _exits
from foxapi_async.cli._batch_account import Account, read_account
from foxapi_async.cli._batch_check import show_check
from foxapi_async.cli._batch_figures import Meter
from foxapi_async.cli._batch_view import BatchLineView, BatchLogView, Look
from foxapi_async.cli._inputs import open_folder
from foxapi_async.cli._requests import read_defaults
from foxapi_async.cli._screen import Screen
from foxapi_async.cli._service import Service
from foxapi_async.cli._text import counted, duration, elided, plain
from foxapi_async.cli._view import View, is_watched
from foxapi_async.cli._words import in_shell_words, line_of

# Whoever wants all of them has the manifest.
TOLD_FAILURES = 10

_PROMPT_ROOM = 40


def start_batch(args: Namespace, screen: Screen) -> Coroutine[Any, Any, int]:
    """The work of `foxapi batch`; it gives the exit status.

    Raises:
        InvalidRequestError: the input, the output folder or an option cannot be what it should be.
        ConfigurationError: there is no usable key or address, and the emulator is not meant.
    """
    file = InputFile(args.file, form=args.format, defaults=read_defaults(args))
    return show_check(file, args.price, screen) if args.check else BatchJob(args, screen, file).work()


class BatchJob:
    """One run of the command.

    Args:
        args: the parsed options.
        screen: where to tell of it.
        file: what to make.

    Raises:
        ConfigurationError: there is no usable key or address, and the emulator is not meant.
        InvalidRequestError: the output folder cannot be one.
    """

    def __init__(self, args: Namespace, screen: Screen, file: InputFile) -> None:
        self._args = args
        self._screen = screen
        self._file = file
        limits = Limits(submits_per_second=args.submits_per_second, polls_per_second=args.polls_per_second)
        timeout = {} if args.timeout is None else {"task_timeout": args.timeout}
        self._service = Service(args, limits=limits, hooks=[self._hear], **timeout)
        self._batch = Batch(
            file,
            open_folder(args.out),
            max_in_flight=args.max_in_flight,
            budget=args.budget,
            price=args.price,
            resubmit_uncertain=args.resubmit_uncertain,
            retry_failed=args.retry_failed,
            other_origin=args.other_origin,
            rebuild_ledger=args.rebuild_ledger,
        )
        self._batch._emulated = args.emulator  # noqa: SLF001 - a trial and the service are kept apart
        self._meter = Meter(self._batch, args.budget)
        self._wrong = 0
        self._codes: Counter[str] = Counter()

    def _hear(self, event: HookEvent) -> None:
        if isinstance(event, TaskEvent):
            self._meter.hear(event)

    async def work(self) -> int:
        """Do what is to be done; the exit status.

        Raises:
            FoxError: it could not begin.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._screen.view = make_batch_view(self._meter.figures, self._screen.note, quiet=self._screen.quiet)
        problem: FoxError | None = None
        try:
            await self._follow()
        except asyncio.CancelledError:
            await self._tell_stopped("interrupted")
            raise
        except FoxError as error:
            problem = error
        return await self._conclude(problem, loop.time() - began)

    async def _follow(self) -> None:
        async with self._service.session() as fox, fox, self._screen.view.ticking():
            await self._tell_each(fox)

    async def _tell_each(self, fox: FoxSession) -> None:
        async with (
            contextlib.aclosing(self._batch.run(fox)) as outcomes,
            contextlib.AsyncExitStack() as stack,
        ):
            records: LedgerView | None = None
            async for outcome in outcomes:
                self._meter.item_ended()
                if outcome.error is not None:
                    self._tell_failure(outcome, outcome.error)
                if self._screen.as_json and outcome.key is not None:
                    if records is None:
                        records = await stack.enter_async_context(SqliteLedger.peek(self._batch.out / LEDGER))
                    await self._print_record(records, outcome.key)

    async def _print_record(self, records: LedgerView, key: str) -> None:
        """The item's line of the manifest; a task that goes on has none yet."""
        entry = (await records.look_up([key]))[key]
        if entry.state is not ItemState.SUBMITTED and entry.record is not None:
            self._screen.data(json.loads(entry.record))

    def _tell_failure(self, outcome: BatchOutcome, error: Exception) -> None:
        assert isinstance(error, FoxError)  # noqa: S101 - as every error of an outcome
        if outcome.key is None:
            self._wrong += 1
            self._screen.complain(line_of(error))
            return
        self._codes[getattr(error, "code", None) or type(error).__name__] += 1
        if self._codes.total() <= TOLD_FAILURES:
            self._screen.complain(f"{_label(outcome)}: {line_of(error)}")
        elif self._codes.total() == TOLD_FAILURES + 1:
            self._screen.complain("what else fails is told in the manifest alone")

    # How it ends.

    async def _conclude(self, error: FoxError | None, seconds: float) -> int:
        if not self._batch.tally:
            assert error is not None  # noqa: S101 - else it would have begun
            return self._refuse(error)
        paused = self._batch.paused
        why = paused or (error and line_of(error))
        if why:
            await self._tell_stopped(in_shell_words(why))
            if paused is not None:
                self._screen.data({"paused": {"reason": paused.reason, "message": in_shell_words(paused)}})
                return _exits.BUDGET if paused.reason == "budget" else _exits.ACCOUNT
            assert error is not None  # noqa: S101 - else there is no reason
            return _exits.status_of(error)
        account = await read_account(self._batch.out)
        self._sum_up(account, seconds)
        all_done = account.counts[ItemState.DONE] == sum(account.counts.values()) and not self._wrong
        return _exits.DONE if all_done else _exits.FAILED

    def _refuse(self, error: FoxError) -> int:
        """It did not begin: nothing was sent."""
        problems = error.problems if isinstance(error, InvalidRequestError) else ()
        for problem in problems:
            self._screen.complain(in_shell_words(problem))
        if problems != (str(error),):
            self._screen.complain(line_of(error).removesuffix(f": {problems[0]}" if problems else ""))
        return _exits.status_of(error)

    async def _tell_stopped(self, why: str) -> None:
        """Say what an early end leaves behind, and how to go on."""
        self._screen.complain(f"stopped: {why}")
        if self._args.emulator:
            self._screen.note("the emulator's tasks end here, nothing was billed")
            return
        with contextlib.suppress(LedgerError):  # it was stopped before there is one, or by its fault
            account = await read_account(self._batch.out)
            self._screen.complain(self._state_words(account))
            self._tell_uncertain(account)
        again = " (with the same input)" if self._args.file == STDIN else ""
        self._screen.complain(f"go on{again} with: {shlex.join(['foxapi', *self._args.words])}")

    def _sum_up(self, account: Account, seconds: float) -> None:
        """Say what all runs together have come to."""
        screen, out = self._screen, self._batch.out
        bill = ", made by the emulator: nothing is billed" if self._args.emulator else ""
        screen.note(f"{self._state_words(account)}, in {duration(seconds)}{bill}")
        if self._codes:
            told = (f"{count:,} {plain(code)}" for code, count in self._codes.most_common())
            screen.note(f"problems in this run: {', '.join(told)}")
        if account.counts[ItemState.FAILED]:
            screen.note("--retry-failed submits (and pays for) the failed ones again")
        self._tell_uncertain(account)
        if account.counts[ItemState.SUBMITTED]:
            screen.complain("what still runs is paid for: the same command goes on with it")
        screen.note(
            f"all of it is told in {out / MANIFEST}; a page of it: {shlex.join(['foxapi', 'report', str(out)])}"
        )

    def _state_words(self, account: Account) -> str:
        wrong = f", {counted(self._wrong, 'wrong line')}" if self._wrong else ""
        return "; ".join(filter(None, [account.states + wrong, account.cost]))

    def _tell_uncertain(self, account: Account) -> None:
        if account.unclear:
            self._screen.complain(account.uncertain_words)


def _label(outcome: BatchOutcome) -> str:
    """The item as people know it: a key that was counted says nothing without its prompt."""
    prompt = getattr(outcome.request, "prompt", None)
    counted_key = "#" in (outcome.key or "") and prompt
    return f'{outcome.key} "{elided(str(prompt), _PROMPT_ROOM)}"' if counted_key else str(outcome.key)


def make_batch_view(look: Look, note: Callable[[str], None], *, quiet: bool) -> View:
    """The view for this terminal; `note` writes a line to standard error."""
    if quiet:
        return View()
    if not is_watched():
        return BatchLogView(look, note)
    try:
        from foxapi_async.cli._batch_rich import BatchBarView  # noqa: PLC0415 - slow to import, and optional
    except ImportError:
        return BatchLineView(look)
    return BatchBarView(look)
