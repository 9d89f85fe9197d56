"""Batches: many requests with a ledger, so that a run can be killed at any moment and resumed without paying
twice.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from foxapi_async._batch.expectation import DoneItems
from foxapi_async._batch.folder import Terms
from foxapi_async._batch.input.check import Count
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.lines import SUFFIXES, Form
from foxapi_async._batch.pause import Paused
from foxapi_async._batch.plan import BatchItems
from foxapi_async._batch.record import BatchOutcome
from foxapi_async._batch.run import Run, RunOptions
from foxapi_async._client.engine import Engine
from foxapi_async._client.session import FoxSession
from foxapi_async._display import public_dir
from foxapi_async._errors import ConfigurationError
from foxapi_async._ledger.entry import ItemState, LedgerEntry
from foxapi_async._options import check_count, is_number
from foxapi_async.models import DEFAULT_MODEL


class Batch:
    """Many requests, each done once, even if the run is killed and started again many times.

    To continue a batch, run it again with the same folder. Finished items are skipped, and submitted ones are waited
    for. An item without an answer may have been billed, so it is reported and not sent again. An item is recognised by
    its `id`. An item without an id is recognised by its request, and equal requests are numbered. So nothing is billed
    again if you insert items or change their order.

    Args:
        requests: an iterable or async iterable of requests, mappings (with an optional "id"), or pairs of an id and one
            of these. The next item is taken only when there is room.
        out: the folder of the batch: it holds `ledger.sqlite`, `submitted.jsonl`, `manifest.jsonl` and `images/`.
        max_in_flight: the most items that are started and not yet yielded; default as in `FoxSession.as_completed`.
        budget: the most credits that all runs together may spend; None for no limit. If the price of a request is not
            known, the request is sent alone. The credits that the service reserves for it become the price of the next
            request of its kind. If a submit costs more than was expected, the run ends.
        price: credits of one image, if you know them. A price from the service replaces them.
        resubmit_uncertain: submit uncertain items again, with the same idempotency key. They may be billed already.
        retry_failed: submit failed items again.
        other_origin: continue although the batch was begun at a service with another address.
        rebuild_ledger: make a lost ledger again from `submitted.jsonl` and `manifest.jsonl`. Then an item
            whose submit had not ended is uncertain. Without `submitted.jsonl`, every item that is not in the
            manifest is uncertain.

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
        self._room = max_in_flight
        self._options = RunOptions(
            given=requests,
            out=self.out,
            budget=math.inf if budget is None else budget,
            price=price,
            again=states_again(retry_failed=retry_failed, resubmit_uncertain=resubmit_uncertain),
        )
        self._terms = {"other_origin": other_origin, "rebuild": rebuild_ledger}
        self._emulated: bool | None = None  # set by the command line, which keeps emulator runs separate
        self._counts_left = False  # set by the command line, which shows what the run will submit
        self._run: Run | None = None

    @property
    def expected(self) -> int | None:
        """How many items there are, if known (`requests` is a file)."""
        return None if self._run is None else self._run.expected

    @property
    def tally(self) -> dict[str, int]:
        """How many items are in each state, including those of earlier runs; empty before the run.

        The states are "new" (not sent), "submitting", "submitted" (running), "done", "unsaved" (made and paid
        for, not saved; the next run tries to save it), "failed" and "uncertain".
        """
        return {} if self._run is None else {state.value: count for state, count in self._run.tally.items()}

    @property
    def spent(self) -> float:
        """Credits that all runs together may have been billed. Items without a known price are not included."""
        return 0.0 if self._run is None else self._run.budget.spent

    @property
    def newly_spent(self) -> float:
        """Credits that the submits of this run may have been billed. Those without a known price are not included."""
        return 0.0 if self._run is None else self._run.budget.newly_spent

    @property
    def paused(self) -> Paused | None:
        """Why the run ended early, and what to do; None if it did not. The whole batch can be resumed.

        It is a text. Its attribute `reason` has the reason in one word: "account", "path", "outage",
        "uncertain", "hold", "disk" or "budget".
        """
        return None if self._run is None else self._run.paused

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        out: str | os.PathLike[str],
        *,
        model: str = DEFAULT_MODEL,
        defaults: Mapping[str, Any] | None = None,
        format: Form | None = None,  # noqa: A002 - as the option of the command
        delimiter: str | None = None,
        extra: Literal["refuse", "keep"] = "refuse",
        max_in_flight: int | None = None,
        budget: float | None = None,
        price: float | None = None,
        resubmit_uncertain: bool = False,
        retry_failed: bool = False,
        other_origin: bool = False,
        rebuild_ledger: bool = False,
    ) -> Self:
        """A batch of the requests in a file, as `foxapi batch` makes it: JSON lines, a JSON array, a table, a
        workbook, or a prompt per line.

        The run checks the whole file before it sends anything.

        Args:
            path: the path of the file, or "-" for standard input.
            out: the folder of the batch.
            model: the model of the rows that name none.
            defaults: values for other fields that a row does not set.
            format: "jsonl", "json", "csv", "tsv", "xlsx" or "text"; if None, the ending of the name decides.
            delimiter: the character between two cells of a table; None to find it.
            extra: what happens to columns of a table that are not fields. "keep" copies them to the manifest,
                "refuse" makes them an error.
            max_in_flight: see `Batch`.
            budget: see `Batch`.
            price: see `Batch`.
            resubmit_uncertain: see `Batch`.
            retry_failed: see `Batch`.
            other_origin: see `Batch`.
            rebuild_ledger: see `Batch`.

        Raises:
            InvalidRequestError: there is no such file, or its format is unknown.
            ConfigurationError: a setting is wrong.
        """
        _check_table(format, delimiter, extra)
        fields = {"model": model, **(defaults or {})}
        keeps_extra = extra == "keep"
        return cls(
            InputFile(path, form=format, defaults=fields, delimiter=delimiter, keeps_extra=keeps_extra),
            out,
            max_in_flight=max_in_flight,
            budget=budget,
            price=price,
            resubmit_uncertain=resubmit_uncertain,
            retry_failed=retry_failed,
            other_origin=other_origin,
            rebuild_ledger=rebuild_ledger,
        )

    async def _entry(self, key: str) -> LedgerEntry:
        """The ledger's entry of an item of the running batch, for the command line."""
        assert self._run is not None  # noqa: S101 - it gave this key
        return (await self._run.ledger.look_up([key]))[key]

    async def _left(self) -> tuple[Count | None, dict[str, DoneItems], dict[str, float]]:
        """Three figures for the command line, when the run begins: what it will submit, the done items of earlier runs,
        and what it will cost by learned prices.
        """
        assert self._run is not None  # noqa: S101 - it is being iterated over
        if not await self._run.begun():
            return None, {}, {}
        return self._run.left, self._run.experience.models, self._run.learned

    def run(self, fox: FoxSession) -> BatchIterator:
        """Run the unfinished items. Returns an async iterator over the outcomes of this run, in the
        order in which they end.

        If you stop early (`break`), the run still waits for the answers to sent submits. With `contextlib.aclosing`,
        the program waits for them when it leaves the block. Without it, closing the session waits for them. The next
        run continues with tasks that still run at the service.

        Args:
            fox: an open session.

        Raises:
            ConfigurationError: the session is not open.
            InvalidRequestError: (when iterating) lines of an input file are wrong; nothing was sent.
            LedgerError: (when iterating) the ledger is in use by another run, was lost, or cannot be read or
                written; or the batch was begun at another service.
            FoxError: (when iterating) the error that ended the run early, after all submitted items have been
                yielded: see `paused`. If the budget is reached, nothing is raised.
        """
        engine, room, timeout = fox._for_series(self._room)  # noqa: SLF001 - a part of the same package
        credentials = fox._credentials  # noqa: SLF001 - as above
        terms = Terms(base_url=credentials.base_url, room=room, emulated=self._emulated, **self._terms)
        self._run = Run(engine, self._options, terms, room, timeout, counts_left=self._counts_left)
        return BatchIterator(engine, self._run)


def _check_table(form: object, delimiter: object, extra: object) -> None:
    for name, value, choices in (
        ("format", form, (None, *dict.fromkeys(SUFFIXES.values()))),
        ("extra", extra, ("refuse", "keep")),
    ):
        if value not in choices:
            raise ConfigurationError(f"{name}={value!r}: give one of {', '.join(map(repr, choices))}")
    if delimiter is not None and not (isinstance(delimiter, str) and len(delimiter) == 1):
        raise ConfigurationError(f"delimiter={delimiter!r}: give one character")


def states_again(*, retry_failed: bool, resubmit_uncertain: bool) -> frozenset[ItemState]:
    """The states of ended items that a run submits again."""
    asked = {ItemState.FAILED: retry_failed, ItemState.UNCERTAIN: resubmit_uncertain}
    return frozenset(state for state, is_asked in asked.items() if is_asked)


class BatchIterator:
    """The async iterator of `Batch.run` over `BatchOutcome`, with `aclose()`."""

    __dir__ = public_dir

    def __init__(self, engine: Engine, run: Run) -> None:
        self._run = run
        self._finalizer = engine.call_when_collected(self, run.discard)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchOutcome:
        outcome = await self._run.next()
        if outcome is None:
            self._finalizer.detach()
            raise StopAsyncIteration
        return outcome

    async def aclose(self) -> None:
        """End the run. Returns when all sent submits have their answers, and the ledger is closed.

        If this is cancelled, it does not wait for those answers, and their items are uncertain.

        Raises:
            LedgerError: a record could not be written.
        """
        self._finalizer.detach()
        await self._run.close()
