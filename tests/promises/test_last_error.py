"""An error at the deadline is precise: which poll failed last, why, and since when."""

import logging
import re

import pytest
from counted import ended, run_batch, small, smalls
from helpers import now, polls, session_at

from foxapi_async import TaskResult, TaskTimeoutError
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual

FOR_EVER = "9" * 20


@pytest.mark.parametrize(
    ("fault", "cause", "timeout"),
    [
        (Fault.status("poll", 500, message="the store is on fire"), "the store is on fire", 3600),
        (Fault.edge("poll", 503), "503", 300),
        (Fault.edge("poll", 200), "maintenance", 300),
        (Fault.status("poll", 429), "429", 300),
        (Fault.hang("poll"), "no answer", 300),
        (Fault.cut_before("poll"), "closed the connection", 300),
        (Fault.garbage("poll"), "not the service's own answer", 300),
    ],
    ids=["500", "503 page", "200 page", "429", "hang", "cut", "garbage"],
)
@pytest.mark.thorough
async def test_polls_that_fail_until_the_deadline(fault, cause, timeout):
    """After minutes or an hour of failed polls the error has the last failure, its cause and since when polls
    have failed.
    """
    async with Emulator(seconds=30) as emulator, session_at(emulator, task_timeout=timeout) as fox:
        handle = await fox.submit(small())
        emulator.outage(4000, fault)
        error = await ended(handle.wait())

    assert isinstance(error, TaskTimeoutError)
    assert cause.lower() in str(error).lower()
    assert re.search(r"\b(since|for) ", str(error))


async def test_connections_that_are_refused_until_the_deadline():
    """If the service was gone until the deadline, the error says that it could not be reached."""
    async with Emulator(seconds=30) as emulator, session_at(emulator, task_timeout=600) as fox:
        handle = await fox.submit(small())
        await emulator.__aexit__(None, None, None)
        error = await ended(handle.wait())

    assert isinstance(error, TaskTimeoutError)
    assert "connect" in str(error)


async def test_polls_that_are_answered_until_the_deadline():
    """A task that is only late ends with its last status, and without a failure."""
    faults = [Fault.never_finishes(), Fault.status("poll", 503)]
    async with Emulator(faults=faults) as emulator, session_at(emulator) as fox:
        error = await ended(fox.generate(small(), timeout=300))

    assert isinstance(error, TaskTimeoutError)
    assert error.charged == "yes"
    assert "last status: processing" in str(error)
    assert "503" not in str(error)


@pytest.mark.parametrize("asked", [FOR_EVER, "86400"])
async def test_a_retry_after_of_ages_is_probed(asked):
    """A poll's `Retry-After` beyond ten minutes is probed after ten minutes."""
    fault = Fault.status("poll", 503, retry_after=asked)
    async with Emulator(seconds=30, faults=[fault]) as emulator, session_at(emulator) as fox:
        result = await ended(fox.generate(small()))
        seconds = now()

    assert isinstance(result, TaskResult)
    assert 500 <= seconds <= 800


async def test_a_retry_after_of_ages_in_a_batch(tmp_path, caplog):
    """In a batch a very long `Retry-After` on polls is reported once and probed every ten minutes."""
    caplog.set_level(logging.WARNING, logger="foxapi_async")
    fault = Fault.status("poll", 429, retry_after=FOR_EVER).during(0, 3000)
    async with Emulator(seconds=30, faults=[fault]) as emulator:
        seen = await run_batch(emulator, smalls(1), tmp_path)
        asked = [record.when for record in polls(emulator) if record.when < 3000]
    said = [record for record in caplog.records if "429" in record.getMessage()]

    assert seen.states == (1, 0, 0, 0)
    assert len(said) == 1
    assert 4 <= len(asked) <= 7


async def test_a_retry_after_on_a_poll_is_obeyed():
    """A 503 with `Retry-After: 30` on a poll is followed by no poll for 30 s."""
    fault = Fault.status("poll", 503, retry_after=30)
    async with Emulator(seconds=5, faults=[fault]) as emulator, session_at(emulator) as fox:
        result = await ended(fox.generate(small()))
    first, second = [record.when for record in polls(emulator)][:2]

    assert isinstance(result, TaskResult)
    assert 30 <= second - first <= 40
