"""What the items of one run share: where they are noted, what they may spend, and how they reach the service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

import attrs

from foxapi_async._batch.budget import Budget
from foxapi_async._batch.manifest import Manifest
from foxapi_async._client.engine import Engine
from foxapi_async._client.submission import Series, Submission, SubmitJournal
from foxapi_async._files.downloads import Downloads
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._ledger.sqlite import Ledger
from foxapi_async.models import GenerationRequest

DOWNLOADS_AT_ONCE = 16

Submit = Callable[[GenerationRequest, Submission], Awaitable[TaskHandle]]


@attrs.frozen(kw_only=True)
class RunContext:
    """What all items of a run share; `at` makes one for a session.

    Attributes:
        ledger: knows what was submitted.
        manifest: says what ended.
        budget: what may be spent.
        out: the folder of the run.
        downloads: fetches files; `at_once` is how many items may do so.
        new_submission: makes the record of a submit, with its idempotency key and whoever keeps account of it.
        submit: submits a request.
        attach: goes on with a task.
        settled: called when the budget may give another answer.
    """

    ledger: Ledger
    manifest: Manifest
    budget: Budget
    out: Path
    downloads: Downloads
    at_once: asyncio.Semaphore
    new_submission: Callable[[str, SubmitJournal], Submission]
    submit: Submit
    attach: Callable[[str], TaskHandle]
    settled: Callable[[], None]

    @classmethod
    def at(
        cls,
        engine: Engine,
        *,
        ledger: Ledger,
        manifest: Manifest,
        budget: Budget,
        out: Path,
        timeout: float | None,
        series: Series | None,
        settled: Callable[[], None],
    ) -> Self:
        """The desk of a run at a session's engine.

        `timeout` is the seconds that a task is waited for; `series` is what its submits are items of.
        """
        return cls(
            ledger=ledger,
            manifest=manifest,
            budget=budget,
            out=out,
            downloads=engine.api.downloads,
            at_once=asyncio.Semaphore(DOWNLOADS_AT_ONCE),
            new_submission=lambda key, journal: engine.new_submission(
                timeout, series=series, key=key, journal=journal
            ),
            submit=engine.submitter.submit,
            attach=lambda task_id: engine.poller.attach(task_id, None, timeout, confirmed=True),
            settled=settled,
        )
