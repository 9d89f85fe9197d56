"""An answer that has arrived counts, however late this process reads it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from counted import ended, run_batch, small, smalls
from helpers import now, posts, session_at
from relay import Relay

from foxapi_async import FoxSession, TaskHandle, TaskResult, TaskTimeoutError, UncertainSubmitError
from foxapi_async.emulator import Emulator, Fault, ThreadedEmulator

virtual = pytest.mark.virtual
SLOW = Fault.slow("submit", 5)


# The answer to a submit


@virtual
@pytest.mark.parametrize("jump", [61, 75, 3600])
async def test_an_answer_that_arrived_while_the_loop_was_blocked(jump):
    """After a loop was blocked beyond `reply_timeout`, the submit gets its handle if the answer has arrived."""
    async with (
        Emulator(seconds=20, faults=[SLOW]) as emulator,
        Relay(emulator, [jump]) as relay,
        FoxSession(emulator.key, base_url=relay.url) as fox,
    ):
        handle = await ended(fox.submit(small()))

    assert isinstance(handle, TaskHandle)
    assert [handle.id] == list(emulator.tasks)
    assert (len(posts(emulator)), emulator.billed) == (1, 1)


@virtual
async def test_an_answer_that_arrived_after_the_caller_s_limit():
    """A submit whose own limit passed while the loop was blocked gets the handle if the answer has arrived."""
    async with (
        Emulator(seconds=20, faults=[SLOW]) as emulator,
        Relay(emulator, [40]) as relay,
        FoxSession(emulator.key, base_url=relay.url) as fox,
    ):
        handle = await ended(fox.submit(small(), timeout=30))

    assert isinstance(handle, TaskHandle)
    assert [handle.id] == list(emulator.tasks)


@virtual
async def test_an_answer_that_arrived_in_a_batch(tmp_path):
    """An item of a batch whose answer arrived while the loop was blocked is done."""
    async with Emulator(seconds=20, faults=[SLOW]) as emulator, Relay(emulator, [75]) as relay:
        seen = await run_batch(emulator, smalls(1), tmp_path, session={"base_url": relay.url})

    assert seen.states == (1, 0, 0, 0)
    assert (seen.posts, seen.billed) == (1, 1)


@virtual
async def test_an_answer_that_has_not_arrived():
    """Without an answer a submit is uncertain after `reply_timeout`, and not much later."""
    async with Emulator(faults=[Fault.hang("submit")]) as emulator, session_at(emulator) as fox:
        error = await ended(fox.submit(small()))
        seconds = now()

    assert isinstance(error, UncertainSubmitError)
    assert 60 <= seconds <= 61.1
    assert emulator.billed == 1


@virtual
async def test_an_answer_that_drips_for_ever():
    """An answer whose bytes keep coming is read for one more second at most."""
    drip = Fault.drip("submit", 1200)
    async with Emulator(faults=[drip]) as emulator, session_at(emulator) as fox:
        error = await ended(fox.submit(small()))
        seconds = now()

    assert isinstance(error, UncertainSubmitError)
    assert 60 <= seconds <= 61.1


# A handle whose deadline has passed


@virtual
async def test_a_deadline_that_passed_while_the_loop_was_blocked():
    """A handle whose deadline passed while the loop was blocked polls once more, and has the result."""
    async with Emulator(seconds=30) as emulator, session_at(emulator) as fox:
        handle = await fox.submit(small(), timeout=60)
        asyncio.get_running_loop().call_at(20, jump, 100)
        result = await ended(handle.wait())
        seconds = now()

    assert isinstance(result, TaskResult)
    assert seconds <= 125


@virtual
@pytest.mark.thorough
async def test_many_deadlines_that_passed_while_the_loop_was_blocked():
    """Each of fifty handles whose deadline passed while the loop was blocked has its result."""
    async with Emulator(seconds=30) as emulator, session_at(emulator) as fox:
        handles = [await fox.submit(request, timeout=60) for request in smalls(50)]
        asyncio.get_running_loop().call_at(20, jump, 100)
        results = await asyncio.gather(*(ended(handle.wait()) for handle in handles))

    assert {type(result) for result in results} == {TaskResult}


@virtual
async def test_a_deadline_that_passed_for_a_task_that_is_not_done():
    """A handle whose deadline passed while the loop was blocked ends within 5 s if its task is not done."""
    faults = [Fault.never_finishes()]
    async with Emulator(faults=faults) as emulator, session_at(emulator) as fox:
        handle = await fox.submit(small(), timeout=60)
        asyncio.get_running_loop().call_at(20, jump, 100)
        error = await ended(handle.wait())
        seconds = now()

    assert isinstance(error, TaskTimeoutError)
    assert error.task_id == handle.id
    assert 120 <= seconds <= 125.1


@virtual
async def test_a_last_poll_that_hangs():
    """A last poll without an answer ends after 5 s at most."""
    async with Emulator(seconds=30) as emulator, session_at(emulator) as fox:
        handle = await fox.submit(small(), timeout=60)
        loop = asyncio.get_running_loop()
        loop.call_at(19, emulator.outage, 1000, Fault.hang("poll"))
        loop.call_at(20, jump, 100)
        error = await ended(handle.wait())
        seconds = now()

    assert isinstance(error, TaskTimeoutError)
    assert 120 <= seconds <= 125.1


def jump(seconds):
    """Let time pass in which the loop does nothing."""
    asyncio.get_running_loop()._now += seconds


# A stopped process

STOPPED = """
import asyncio, sys
from foxapi_async import FoxError, FoxSession, GrokImagineImage, RetryPolicy

async def main():
    async with FoxSession(retry=RetryPolicy(reply_timeout=1)) as fox:
        try:
            print((await fox.submit(GrokImagineImage("a fox"))).id)
        except FoxError as error:
            print(type(error).__name__)

asyncio.run(main())
"""


def environment(emulator):
    """The variables that a child process needs to use the service."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOXAPI_")}
    return kept | {"FOXAPI_API_KEY": emulator.key, "FOXAPI_BASE_URL": emulator.url}


@pytest.mark.kill
@pytest.mark.thorough
def test_a_process_that_is_stopped():
    """A process that is stopped beyond `reply_timeout` gets the handle if the answer arrived meanwhile."""
    with ThreadedEmulator(faults=[Fault.slow("submit", 0.3)]) as emulator:
        command = [sys.executable, "-c", STOPPED]
        with subprocess.Popen(command, env=environment(emulator), stdout=subprocess.PIPE, text=True) as child:
            while not emulator.billed:
                time.sleep(0.005)
            child.send_signal(signal.SIGSTOP)
            time.sleep(2.5)
            child.send_signal(signal.SIGCONT)
            said = child.communicate(timeout=30)[0].strip()

    assert [said] == list(emulator.tasks)


# Everything is imported before the session is open

IMPORTS = """
import asyncio, json, sys
from foxapi_async import Batch, FoxSession, GrokImagineImage, RetryPolicy

async def main(folder):
    batch = Batch([GrokImagineImage("a hen")], folder + "/batch")
    async with FoxSession(retry=RetryPolicy()) as fox:
        before = set(sys.modules)
        result = await fox.generate(GrokImagineImage("a fox"))
        await result.save(folder)
        async for outcome in batch.run(fox):
            assert outcome.error is None, outcome.error
        print(json.dumps(sorted(set(sys.modules) - before)))

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.thorough
def test_nothing_is_imported_while_a_session_is_open(tmp_path):
    """`sys.modules` is the same before and after a whole generate, save and batch item."""
    with ThreadedEmulator(seconds=0.1) as emulator:
        child = subprocess.run(
            [sys.executable, "-c", IMPORTS, str(tmp_path)],
            env=environment(emulator),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

    assert len(list(Path(tmp_path).glob("*.jpg"))) == 1
    assert json.loads(child.stdout) == []
