"""Runs a batch or a single call at a service, and counts the results."""

from __future__ import annotations

import asyncio
from collections import Counter

import attrs
from helpers import now, posts

from foxapi_async import Batch, FoxError, FoxSession, RawRequest


def small(text="a fox", model="gpt-image-2"):
    """A request for a picture of a few bytes, so that hundreds of them need no time."""
    return RawRequest(model, text, params={"resolution": {"width": 16, "height": 16}})


def smalls(count):
    """This many different requests."""
    return [small(f"fox {n}") for n in range(count)]


@attrs.frozen(kw_only=True)
class Count:
    """The results of one run of a batch.

    Attributes:
        posts: the submits that were sent in this run.
        billed: the submits that the service accepted, in all runs.
        done, failed, uncertain, submitted: the items in each state, including those of earlier runs.
        seconds: how long the run took, on the loop's clock.
        paused: why the run ended early.
        raised: the error of the run.
        errors: the errors of its outcomes.
    """

    posts: int
    billed: int
    done: int
    failed: int
    uncertain: int
    submitted: int
    seconds: float
    paused: str | None
    raised: Exception | None
    errors: list[FoxError]

    @property
    def states(self):
        """The items that are done, failed, uncertain, and submitted."""
        return (self.done, self.failed, self.uncertain, self.submitted)


async def run_batch(emulator, requests, out, *, session=None, begin=None, limit=3600.0, **options):
    """One run of a batch to its end; `begin` is called when the session is open.

    A run that takes longer than `limit` seconds is closed, and raises `TimeoutError`.
    """
    before = len(posts(emulator))
    batch, raised, errors = Batch(requests, out, **{"other_origin": True, **options}), None, []
    settings = {"api_key": emulator.key, "base_url": emulator.url, **(session or {})}
    async with FoxSession(**settings) as fox:
        began = now()
        if begin is not None:
            begin()
        try:
            async with asyncio.timeout(limit):
                async for outcome in batch.run(fox):
                    errors += [] if outcome.error is None else [outcome.error]
        except Exception as error:
            raised = error
        seconds = now() - began
    tally = Counter(batch.tally)
    return Count(
        posts=len(posts(emulator)) - before,
        billed=emulator.billed,
        done=tally["done"],
        failed=tally["failed"],
        uncertain=tally["uncertain"],
        submitted=tally["submitted"],
        seconds=seconds,
        paused=batch.paused,
        raised=raised,
        errors=errors,
    )


async def ended(call):
    """The value of a call, or the error that it raises."""
    try:
        return await call
    except FoxError as error:
        return error
