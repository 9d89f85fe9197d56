"""The processes of the tests: a service that answers for its bill, and workers that can be frozen and killed."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter

import pytest
from helpers import fox_request, session_at
from workers import until

from foxapi_async import RateLimitError, RetryPolicy, UncertainSubmitError
from foxapi_async.emulator import Fault

COUNTS = "import itertools, time\nfor n in itertools.count(): print(n, flush=True); time.sleep(0.001)"


@pytest.fixture
def batch(workers, tmp_path):
    """Starts `foxapi batch` for nine items."""
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"prompt": f"fox {n}"}) + "\n" for n in range(9)))

    def start(service):
        words = ["batch", "p.jsonl", "--max-in-flight", 2]
        return workers.start(*words, env=service.environment, cwd=tmp_path)

    return start


@pytest.fixture
def new_counter(workers):
    """Starts a process that prints numbers."""
    return lambda: workers.run([sys.executable, "-c", COUNTS])


@pytest.fixture
def counter(new_counter):
    """A process that prints numbers."""
    return new_counter()


async def test_the_service_outlives_a_killed_worker(batch, make_service):
    """A command continues the batch of one that was killed, and the service bills each item once."""
    service = make_service(seconds=0.1)
    first = batch(service)
    await until(lambda: service.billed > 2, first)
    first.kill()
    second = batch(service)

    # A POST that was on its way at the kill is not sent again: its item is not done.
    assert await second.end() in {0, 1}
    assert {1} == set(service.prompts.values())
    assert {1} == set(service.keys.values())


async def test_a_bill_names_its_submit(make_service):
    """The bill has the task's id and state, its Idempotency-Key and its prompt."""
    service = make_service(seconds=0)
    async with session_at(service) as fox:
        result = await fox.generate(fox_request("a red fox"))
    (bill,) = service.bills

    assert (result.task_id, "a red fox", "completed") == (bill.task_id, bill.prompt, bill.status)
    assert bill.key


async def test_a_refused_submit_is_not_on_the_bill(make_service):
    """Faults are arguments, and the requests are counted."""
    service = make_service(faults=[Fault.status("submit", 429, message="no")])
    async with session_at(service, retry=RetryPolicy(tries=1)) as fox:
        with pytest.raises(RateLimitError):
            await fox.submit(fox_request())

    assert [] == service.bills
    assert Counter({"POST /v1/images/generations": 1}) == service.requests


async def test_a_service_is_away_for_a_while(make_service):
    """An outage can be started: the service takes nothing then."""
    service = make_service()
    service.outage(600)
    async with session_at(service, retry=RetryPolicy(tries=1)) as fox:
        with pytest.raises(UncertainSubmitError):
            await fox.submit(fox_request())

    assert 0 == service.billed


async def test_a_frozen_worker_does_nothing_until_it_thaws(counter, new_counter):
    """A process writes nothing while it is frozen, for as long as another one needs for many lines, and then goes on."""
    await until(lambda: counter.out, counter)
    counter.freeze()
    before = counter.out
    other = new_counter()
    await until(lambda: other.out.count("\n") > 50, other, counter)
    assert before == counter.out
    counter.thaw()

    await until(lambda: len(counter.out) > len(before), counter)


async def test_a_frozen_worker_can_be_killed(counter):
    """Its end is that of any killed process."""
    counter.freeze()
    counter.kill()

    assert -signal.SIGKILL == await counter.end()


async def test_a_worker_that_ends_too_early_fails_the_wait(workers):
    """The error has what the process printed."""
    worker = workers.run([sys.executable, "-c", "import sys; print('on my way'); sys.exit('no such fox')"])
    with pytest.raises(AssertionError, match=r"on my way\nno such fox\n\nended with 1 before .*lambda"):
        await until(lambda: None, worker)


async def test_a_wait_has_an_end(workers):
    """What never comes is named, with what the process printed."""
    worker = workers.run([sys.executable, "-c", "import time; print('fox', flush=True); time.sleep(600)"])
    await until(lambda: worker.out, worker)
    with pytest.raises(TimeoutError) as caught:
        await until(lambda: "owl" in worker.out, worker, seconds=0.01)

    assert "not within 0.01 s: " in str(caught.value)
    assert '"owl" in worker.out' in str(caught.value)
    assert str(caught.value).endswith("\nfox\n")
