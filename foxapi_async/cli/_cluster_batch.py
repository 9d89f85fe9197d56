"""`foxapi batch --dsn`: workers run the batch, and this command shows it."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any

import attrs

from foxapi_async._batch.expectation import Expectation, expect_alike
from foxapi_async._batch.folder import IMAGES
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.record import BatchOutcome
from foxapi_async._errors import InvalidRequestError
from foxapi_async._ledger.entry import ItemState
from foxapi_async._wire.texts import counted
from foxapi_async.cli._batch import read_input
from foxapi_async.cli._batch_run import ShownRun
from foxapi_async.cli._batch_status import BatchStatus
from foxapi_async.cli._cluster import command_for, database_of, words_of
from foxapi_async.cli._requests import open_folder
from foxapi_async.cli._screen import Screen
from foxapi_async.cluster.followed_batch import FollowedBatch

# Options that only a run in this process takes, and the advice for a run by workers.
_OF_A_WORKER = {
    "max_in_flight": "give --concurrency to the workers",
    "submits_per_second": "give it to the workers",
    "polls_per_second": "give it to the workers",
    "timeout": "give it to the workers",
    "rebuild_ledger": "run it once without --dsn",
    "emulator": "start `foxapi emulator`, and workers with its address",
}


def start_followed_batch(args: Namespace, screen: Screen) -> Coroutine[Any, Any, int]:
    """The work of `foxapi batch --dsn`. It returns the exit status.

    Raises:
        ConfigurationError: there is no address, or it cannot be read, or the extra is not installed.
        InvalidRequestError: the input, the output folder or an option is not valid.
    """
    for name, advice in _OF_A_WORKER.items():
        if getattr(args, name):
            option = name.replace("_", "-")
            raise InvalidRequestError(f"--{option}: with --dsn, workers send the items; {advice}")
    return FollowCommand(args, screen, read_input(args)).work()


class FollowCommand(ShownRun):
    """One run of the command.

    Args:
        args: the parsed options.
        screen: where it is shown.
        file: the input.

    Raises:
        ConfigurationError: there is no address, or it cannot be read, or the extra is not installed.
        InvalidRequestError: the output folder cannot be used.
    """

    def __init__(self, args: Namespace, screen: Screen, file: InputFile) -> None:
        self._batch = FollowedBatch(
            database_of(args),
            file,
            open_folder(args.out),
            batch_id=args.batch,
            budget=args.budget,
            price=args.price,
            retry_failed=args.retry_failed,
            resubmit_uncertain=args.resubmit_uncertain,
            other_origin=args.other_origin,
        )
        super().__init__(args, screen, self._batch)

    @contextlib.asynccontextmanager
    async def _outcomes(self) -> AsyncGenerator[AsyncIterator[BatchOutcome]]:
        async with contextlib.aclosing(self._batch.run()) as outcomes:
            yield outcomes

    async def _record_of(self, key: str) -> str | None:
        return self._batch.record(key)

    async def _expected(self) -> Expectation | None:
        """The credits. The time depends on the workers."""
        left, done = await self._batch.left()
        if not left:
            return None
        found = expect_alike(left, done, price=self._args.price, room=1, submits_per_second=None)
        return attrs.evolve(found, seconds=None)

    async def _status(self) -> BatchStatus:
        """The states and credits of the database, and the uncertain items as the folder names them. Before the batch is
        in the database, all of them come from the folder.
        """
        status = await super()._status()
        if not self._batch.tally:
            return status
        counts = {state: self._batch.tally[state] for state in ItemState}
        return attrs.evolve(status, counts=counts, spent=self._batch.spent, run="its workers")

    def _sum_up(self, status: BatchStatus, seconds: float) -> None:
        super()._sum_up(status, seconds)
        if self._batch.state == "cancelled":
            left = counted(status.counts[ItemState.NEW], "item")
            self._screen.error(f"the batch was cancelled: {left} will not be sent")
        if status.counts[ItemState.DONE] and not (self._batch.out / IMAGES).exists():
            self._screen.note(
                f"the images are on the workers' machines, in the folder {self._batch.batch_id} of each --out folder"
            )

    async def _show_interrupted(self) -> None:
        """Say that the batch continues, and how to see and end it."""
        batch = self._batch.batch_id
        if batch is None or not self._batch.tally:
            await self._show_stopped("interrupted before the whole input was in the database")
            return
        screen, args = self._screen, self._args
        screen.error(f"interrupted: this command ends, and the workers continue with batch {batch}")
        status = await self._status()
        screen.error(self._state_words(status))
        self._show_uncertain(status)
        screen.error(f"its state: {command_for(args, 'status', batch)}")
        screen.error(f"to pause it: {command_for(args, 'cluster', 'pause', batch)}")
        self._show_how_to_continue()

    def _show_how_to_continue(self, least_budget: float | None = None) -> None:
        super()._show_how_to_continue(least_budget)
        if self._words != self._args.words:
            self._screen.error(
                "the address of the database has a password, and is not shown: put it into FOXAPI_DSN"
            )

    @property
    def _words(self) -> list[str]:
        return words_of(self._args)
