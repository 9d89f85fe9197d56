"""Batches: many requests with a ledger, so that a run can be killed at any moment and resumed without paying twice."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from foxapi_async._batch.budget import Budget
from foxapi_async._batch.folder import BatchFolder, Terms
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.validation import is_finished, note_finished, validated
from foxapi_async._batch.iterator import BatchIterator
from foxapi_async._batch.plan import BatchItems, Wanted, WorkPlan
from foxapi_async._batch.run import Run
from foxapi_async._client.session import FoxSession
from foxapi_async._errors import ConfigurationError
from foxapi_async._ledger.sqlite import Ledger
from foxapi_async._options import check_count, is_number


class Batch:
    """Many requests, done once each, however often the run is killed and begun again.

    Running the same batch with the same folder goes on: what is done is skipped, what was submitted is waited for, and
    what may have been billed without an answer is shown and not sent again. Items are known by their `id`, or by
    what they ask for: equal ones are counted, so that inserting or reordering others bills nothing again.

    Args:
        requests: requests, mappings (with an optional "id"), or pairs of an id and one of these; any iterable or async
            iterable. It is pulled only as far as there is room.
        out: the folder of the batch: `ledger.sqlite`, `submitted.jsonl`, `manifest.jsonl` and `images/` are kept there.
        max_in_flight: items begun and not yet handed out, at most; default as in `FoxSession.as_completed`.
        budget: credits that are never passed, those of earlier runs counted; None for no limit. A request of a kind
            whose price is not known goes alone, and what the service reserves for it is the price of the next.
        price: credits of one submit, if you know it and the service does not say.
        resubmit_uncertain: send again what may have been accepted and billed, with the same idempotency key.
        retry_failed: submit failed items again.
        other_origin: go on although the batch was begun at a service with another address.
        rebuild_ledger: make a ledger again that was lost, from `submitted.jsonl` and `manifest.jsonl`. What was being
            submitted is uncertain then. Without `submitted.jsonl`, so is every item that the manifest does not have.

    Raises:
        ConfigurationError: a setting is wrong.
    """

    def __init__(
        self,
        requests: BatchItems | InputFile,
        out: str | os.PathLike[str],
        *,
        max_in_flight: int | None = None,
        budget: float | None = None,
        price: float | None = None,
        resubmit_uncertain: bool = False,
        retry_failed: bool = False,
        other_origin: bool = False,
        rebuild_ledger: bool = False,
    ) -> None:
        if max_in_flight is not None:
            check_count("max_in_flight", max_in_flight, ConfigurationError)
        for name, value in (("budget", budget), ("price", price)):
            if value is not None and not (is_number(value) and value >= 0):
                raise ConfigurationError(f"{name}={value!r}: give credits as a number, zero or more")
        self.out = Path(out)
        self.expected: int | None = None
        """How many items there are, where that is known (`requests` is a file)."""
        self._requests = requests
        self._room = max_in_flight
        self._limit, self._price = budget, price
        self._wanted = Wanted(failed=retry_failed, uncertain=resubmit_uncertain)
        self._terms = {"other_origin": other_origin, "rebuild": rebuild_ledger}
        self._emulated: bool | None = None  # set by the command line, which keeps its trials apart
        self._run: Run | None = None

    @property
    def tally(self) -> dict[str, int]:
        """How many items are in each state, those of earlier runs among them; empty before the run.

        The states are "new" (not sent), "submitting", "submitted" (under way), "done", "failed" and "uncertain".
        """
        return {} if self._run is None else {state.value: count for state, count in self._run.tally.items()}

    @property
    def spent(self) -> float:
        """Credits that all runs together may have been billed, as far as their prices are known."""
        return 0.0 if self._run is None else self._run.budget.spent

    @property
    def paused(self) -> str | None:
        """Why the run ended before its time, and what to do; None if it did not. All of it can be resumed."""
        return None if self._run is None else self._run.paused

    def run(self, fox: FoxSession) -> BatchIterator:
        """Do what is not done yet: an async iterator of the outcomes of this run, each as it ends.

        Leaving early (`break`, at once under `contextlib.aclosing`, at session exit at the latest) waits for the answers
        to what was sent; what runs on at the service is gone on with by the next run.

        Args:
            fox: an open session.

        Raises:
            ConfigurationError: the session is not open.
            InvalidRequestError: (when iterating) lines of an input file are wrong; nothing was sent.
            LedgerError: (when iterating) the ledger is in use by another run, was lost, or cannot be read or written; or
                the batch was begun at another service.
            AuthenticationError, InsufficientQuotaError, ConnectionFailedError: (when iterating) what ended the run early,
                once everything submitted has been handed out. A budget that is reached raises nothing: see `paused`.
        """
        engine, room, timeout = fox._for_series(self._room)  # noqa: SLF001 - the other half of one idea
        terms = Terms(base_url=fox._account.base_url, emulated=self._emulated, **self._terms)  # noqa: SLF001 - as above

        @asynccontextmanager
        async def opened() -> AsyncIterator[Run]:
            async with BatchFolder.opened(self.out, terms) as folder:
                ledger, manifest = folder.ledger, folder.manifest
                items = await self._items(ledger)
                budget = Budget(
                    self._limit,
                    spent=await ledger.spent(),
                    price=self._price,
                    unpriced=await ledger.unpriced(),
                )
                self._run = run = Run(engine, ledger, manifest, budget, self.out, timeout)
                intake = WorkPlan(items, ledger, budget, self._wanted, run.exhausted)
                if folder.is_unproven:
                    intake.mark_unproven = folder.mark_unproven
                await run.begin(intake, room)
                yield run
                if intake.ended and folder.is_unproven:
                    await folder.note_all_proven()
                if intake.ended and isinstance(self._requests, InputFile):
                    await note_finished(self._requests, ledger)

        return BatchIterator(engine, opened)

    async def _items(self, ledger: Ledger) -> BatchItems | InputFile:
        """What is to be gone through: of a file, nothing before all of it is known to be right."""
        file = self._requests
        if not isinstance(file, InputFile) or not file.is_regular:
            return file
        self.expected = await validated(file, ledger)
        return [] if await is_finished(file, ledger, *self._wanted.states) else file
