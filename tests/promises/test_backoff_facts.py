"""Waits before another try: random over their whole range, never shorter than requested, never zero."""

import asyncio
import contextlib
import math
from collections import defaultdict

import pytest
from helpers import fox_request, session_at
from unreachable import Unreachable

from foxapi_async import Batch, FoxError, FoxSession, Retried, RetryPolicy
from foxapi_async.emulator import Fault

pytestmark = pytest.mark.virtual

CAP = 8.0
"""The longest wait of our own, in seconds."""

MANY = 100

SEVEN = RetryPolicy(tries=7)

WHOLE = {0, 1, 2, 3, 4}
"""The fifths of a range, all of them."""


class Waits:
    """A hook that records the waits of one kind of request, in order and by how often the same request
    failed.

    Fetches have no number, so all count as the same request.
    """

    def __init__(self, what):
        self._what = what
        self._failures = defaultdict(int)
        self.all = []
        self.after = defaultdict(list)

    def __call__(self, event):
        if isinstance(event, Retried) and event.what == self._what:
            tried = event.call or event.task_id
            self._failures[tried] += 1
            self.after[self._failures[tried]].append(event.seconds)
            self.all.append(event.seconds)


def fifths(waits, low, high):
    """The fifths of a range that contain the waits; -1 and 5 are outside."""
    return {math.floor((wait - low) / (high - low) * 5) for wait in waits}


async def ended(awaitables):
    """Wait for all of them, and ignore their errors."""
    await asyncio.gather(*awaitables, return_exceptions=True)


# Full jitter.


@pytest.mark.thorough
async def test_submits_that_cannot_connect_have_full_jitter():
    """The wait after the n-th failure is anything from 0 to 0.25 s times two to the power n - 1, at most 8 s."""
    waits = Waits("submit")
    retry = RetryPolicy(tries=8)
    async with FoxSession("sk-test-12345", base_url="http://127.0.0.1:9", retry=retry, hooks=[waits]) as fox:
        await ended(fox.submit(fox_request()) for _ in range(MANY))

    ranges = dict(enumerate([0.25, 0.5, 1, 2, 4, CAP, CAP], 1))
    seen = {failures: fifths(waits.after[failures], 0, high) for failures, high in ranges.items()}
    assert seen == dict.fromkeys(ranges, WHOLE)


async def test_reads_that_fail_have_full_jitter(emulator):
    """The wait after the first 503 of a fetch is between 0 and 0.25 s."""
    waits = Waits("fetch")
    async with session_at(emulator, retry=RetryPolicy(tries=2), hooks=[waits]) as fox:
        handle = await fox.submit(fox_request())
        emulator.add_fault(Fault.status("poll", 503, times=None))
        await ended(fox.fetch(handle.id) for _ in range(MANY))

    assert fifths(waits.all, 0, 0.25) == WHOLE


@pytest.mark.thorough
async def test_polls_that_fail_for_long_have_full_jitter(emulator):
    """In an outage of a minute the waits between the polls of one task are between 0 and 8 s."""
    waits = Waits("poll")
    emulator.add_fault(Fault.status("poll", 503, times=None))
    async with session_at(emulator, hooks=[waits]) as fox:
        handles = [await fox.submit(fox_request(), timeout=60) for _ in range(50)]
        await ended(handle.wait() for handle in handles)

    late = [wait for failures, some in waits.after.items() if failures >= 6 for wait in some]
    assert fifths(late, 0, CAP) == WHOLE


# After a `Retry-After`.


@pytest.mark.thorough
async def test_reads_after_a_retry_after_are_spread(emulator):
    """Fetches that get the same `Retry-After` of 10 s wait between this and a tenth more."""
    waits = Waits("fetch")
    async with session_at(emulator, retry=RetryPolicy(tries=2), hooks=[waits]) as fox:
        handle = await fox.submit(fox_request())
        emulator.add_fault(Fault.status("poll", 503, retry_after=10, times=None))
        await ended(fox.fetch(handle.id) for _ in range(MANY))

    assert fifths(waits.all, 10, 11.05) == WHOLE


@pytest.mark.thorough
async def test_submits_after_a_retry_after_are_spread(emulator):
    """Submits that get the same `Retry-After` of 10 s wait between this and a tenth more."""
    waits = Waits("submit")
    emulator.add_fault(Fault.status("submit", 429, retry_after=10, times=None))
    async with session_at(emulator, retry=RetryPolicy(tries=2), hooks=[waits]) as fox:
        await ended([fox.submit(fox_request()) for _ in range(MANY)])

    assert fifths(waits.all, 10, 11.05) == WHOLE


# `Retry-After: 0`.


async def test_a_submit_is_backed_off_in_spite_of_retry_after_0(emulator):
    """A submit that gets a 429 with `Retry-After: 0` six times waits more than a second in total."""
    waits = Waits("submit")
    emulator.add_fault(Fault.status("submit", 429, retry_after=0, times=None))
    async with session_at(emulator, retry=SEVEN, hooks=[waits]) as fox:
        await ended([fox.submit(fox_request())])

    assert sum(waits.all) > 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_fetch_is_backed_off_in_spite_of_retry_after_0(emulator, status):
    """A fetch that gets `Retry-After: 0` six times waits more than a second in total."""
    waits = Waits("fetch")
    async with session_at(emulator, retry=SEVEN, hooks=[waits]) as fox:
        handle = await fox.submit(fox_request())
        emulator.add_fault(Fault.status("poll", status, retry_after=0, times=None))
        await ended([fox.fetch(handle.id)])

    assert sum(waits.all) > 1


@pytest.mark.parametrize("status", [429, 503])
async def test_polls_are_backed_off_in_spite_of_retry_after_0(emulator, status):
    """A task whose polls get `Retry-After: 0` six times waits more than a second in total."""
    waits = Waits("poll")
    emulator.add_fault(Fault.status("poll", status, retry_after=0, times=6))
    async with session_at(emulator, hooks=[waits]) as fox:
        await fox.generate(fox_request())

    assert sum(waits.all) > 1


@pytest.mark.parametrize("status", [429, 503])
async def test_an_upload_is_backed_off_in_spite_of_retry_after_0(emulator, status):
    """An upload that gets `Retry-After: 0` six times waits more than a second in total."""
    waits = Waits("upload")
    emulator.add_fault(Fault.status("upload", status, retry_after=0, times=None))
    async with session_at(emulator, retry=SEVEN, hooks=[waits]) as fox:
        await ended([fox.upload(b"\x89PNG\r\n\x1a\n", filename="fox.png")])

    assert sum(waits.all) > 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_download_is_backed_off_in_spite_of_retry_after_0(emulator, status):
    """A download that gets `Retry-After: 0` six times waits more than a second in total."""
    waits = Waits("download")
    emulator.add_fault(Fault.status("file", status, retry_after=0, times=None))
    async with session_at(emulator, retry=SEVEN, hooks=[waits]) as fox:
        result = await fox.generate(fox_request())
        await ended([result.images[0].read()])

    assert sum(waits.all) > 1


# After an outage.


async def test_items_come_back_one_by_one_after_an_outage(tmp_path):
    """Fifty items of a batch cannot connect at the same moment. Their second tries are spread over seconds."""
    requests = [fox_request(f"fox {n}") for n in range(50)]
    async with Unreachable(silent=False) as service:
        session = FoxSession("sk-test-12345", base_url=service.url, retry=RetryPolicy(tries=1))
        async with session as fox, contextlib.aclosing(Batch(requests, tmp_path).run(fox)) as outcomes:
            with contextlib.suppress(TimeoutError, FoxError):
                async with asyncio.timeout(20):
                    await anext(outcomes)

    second = service.connected[50:100]
    assert max(second) - min(second) > 4
