"""Interrupted at every moment: whatever the turn of the loop, no paid task is lost and nothing is said to be free.

One scenario is run again and again on the virtual loop, interrupted after its first callback, its second, and so on
until it ends by itself: by cancelling the user's task, or by a clock that jumps past the deadline.
"""

import asyncio
import contextlib
import logging

import pytest
from helpers import fox_request, session_at
from loops import VirtualLoop

from foxapi_async import FoxError, Limits, RetryPolicy, UncertainSubmitError
from foxapi_async.emulator import Emulator, Fault

FAULTS = {
    "answered": lambda: (),
    "answered late": lambda: (Fault.slow("submit", 1),),
    "cut after accepting": lambda: (Fault.cut_after("submit"),),
    "refused once": lambda: (Fault.status("submit", 429, retry_after=1),),
}


class Interruption:
    """Does something after the n-th callback of the loop."""

    def __init__(self, monkeypatch):
        self.action = None
        self.left = -1
        run = asyncio.events.Handle._run

        def counted(handle):
            run(handle)
            self.left -= 1
            if self.left == 0:
                self.action()

        monkeypatch.setattr(asyncio.events.Handle, "_run", counted)

    def after(self, callbacks, action):
        self.left, self.action = callbacks, action

    def fired(self):
        fired, self.left = self.left <= 0, -1
        return fired


@pytest.fixture
def interruption(monkeypatch):
    return Interruption(monkeypatch)


def run_virtual(scenario):
    """The scenario's value, on a fresh virtual loop that must end without leftovers."""
    faults = []
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: faults.append(context["message"]))
        value = runner.run(scenario)
        assert asyncio.all_tasks(runner.get_loop()) == set()
    assert faults == []
    return value


async def interrupted(interruption, at, faults, use, *, how):
    """One run, interrupted: whether it was in time, and what is wrong with the accounts."""
    known = set()
    async with Emulator(seconds=3, faults=faults) as emulator:
        async with session_at(emulator, retry=RetryPolicy(tries=3)) as fox:
            user = asyncio.create_task(use(fox, known))
            interruption.after(at, user.cancel if how == "cancel" else jump_ahead)
            await asyncio.wait([user])
            fired = interruption.fired()
            error = None if user.cancelled() else user.exception()
            await asyncio.sleep(30)
        known |= {handle.id for handle in fox.unfinished} | {getattr(error, "task_id", None)}
        return fired, accounts(emulator, known | {type(error)}, error)


def jump_ahead():
    asyncio.get_running_loop()._now += 5


def accounts(emulator, known, error):
    """The faults in what is known of what was billed."""
    problems = []
    if emulator.billed > 1:
        problems.append("billed twice")
    if emulator.billed and isinstance(error, FoxError) and error.charged == "no":
        problems.append(f"{error!r} says that nothing was billed")
    told = UncertainSubmitError in known or emulator.billed == 0
    return problems, set(emulator.tasks) - known, told


async def submit(fox, known):
    known.add((await fox.submit(fox_request(), timeout=5)).id)


async def generate(fox, known):
    known.add((await fox.generate(fox_request(), timeout=5)).task_id)


async def first_of_two(fox, known):
    requests = [fox_request("one"), {"model": "grok-imagine-image", "prompt": ""}]
    async with contextlib.aclosing(fox.as_completed(requests)) as outcomes:
        async for outcome in outcomes:
            known.add(outcome.task_id or type(outcome.error))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("how", ["cancel", "deadline"])
@pytest.mark.parametrize("use", [submit, generate, first_of_two], ids=lambda use: use.__name__)
def test_no_moment_loses_a_paid_task(interruption, caplog, fault, how, use):
    """Interrupted after any callback: an id is with the caller, in `unfinished`, in an error or in the log."""
    caplog.set_level(logging.WARNING, logger="foxapi_async")
    at = 0
    fired = True
    while fired and at < 400:
        at += 1
        caplog.clear()
        fired, (problems, missing, told) = run_virtual(
            interrupted(interruption, at, FAULTS[fault](), use, how=how)
        )
        logged = {task_id for task_id in missing if task_id in caplog.text}
        uncertain = told or "may have been accepted" in caplog.text

        assert problems == [], f"after callback {at}"
        assert not missing - logged or uncertain, f"after callback {at}"
    assert at > 20


async def entered_and_left(emulator):
    async with session_at(emulator, limits=Limits(connections=2)):
        await asyncio.sleep(1)


def test_no_moment_of_entering_leaves_anything_behind(interruption):
    """A session whose entering is cancelled at any moment leaves no task and no connection."""

    async def scenario(at):
        async with Emulator(seconds=3) as emulator:
            user = asyncio.create_task(entered_and_left(emulator))
            interruption.after(at, user.cancel)
            await asyncio.wait([user])
            return interruption.fired()

    at = 1
    while run_virtual(scenario(at)) and at < 100:
        at += 1
    assert at > 5


def test_no_moment_of_saving_leaves_a_part(interruption, tmp_path):
    """A save that is cancelled at any moment leaves the whole file or nothing, and no open file."""

    async def scenario(at, folder):
        async with Emulator(seconds=3) as emulator, session_at(emulator) as fox:
            result = await fox.generate(fox_request())
            saving = asyncio.create_task(result.save(folder))
            interruption.after(at, saving.cancel)
            await asyncio.wait([saving])
            return interruption.fired()

    at, fired = 0, True
    while fired and at < 300:
        at += 1
        folder = tmp_path / str(at)
        fired = run_virtual(scenario(at, folder))
        names = [path.suffix for path in folder.iterdir()] if folder.exists() else []
        assert names in ([], [".jpg"]), f"after callback {at}"
    assert at > 20


@pytest.mark.parametrize("fault", ["answered", "answered late", "refused once"])
def test_no_connect_timeout_bills_twice(interruption, fault):
    """A connect timeout in any turn of the loop, also in that of the writing, is retried only if nothing went out."""

    async def scenario(at):
        async with Emulator(seconds=3, faults=FAULTS[fault]()) as emulator:
            async with session_at(emulator, retry=RetryPolicy(tries=3, connect_timeout=2)) as fox:
                user = asyncio.create_task(fox.submit(fox_request()))
                interruption.after(at, jump_ahead)
                await asyncio.wait([user])
                fired = interruption.fired()
            error = user.exception()
            assert emulator.billed <= 1, f"after callback {at}"
            assert error is None or emulator.billed == 0 or error.charged != "no", f"after callback {at}"
            return fired

    at = 1
    while run_virtual(scenario(at)) and at < 200:
        at += 1
    assert at > 20
