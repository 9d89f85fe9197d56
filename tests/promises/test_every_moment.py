"""Interrupted at every moment: in every turn of the loop, no paid task is lost and none is reported as free.

One scenario runs again and again on the virtual loop. It is interrupted after its first callback, its second,
and so on until it ends by itself: by cancelling the user's task, or by a clock that jumps past the deadline.
Each run ends without a pending task, an unclosed connection or file, a fault in the loop's handler, or a
swallowed cancellation.

Two interruptions use a coarser grid, because each pair is a run: every fifth or ninth moment for the first,
and a few distances for the second, from the next callback to well after the end. If a scenario repeats
itself, its moments are also taken in steps.
"""

import asyncio
import contextlib
import gc
import logging
import random

import pytest
from helpers import WHOLE, fox_request, now, posts, session_at
from loops import VirtualLoop

from foxapi_async import (
    FoxError,
    GrokImagineImage,
    Limits,
    RetryPolicy,
    TaskTimeoutError,
    UncertainSubmitError,
)
from foxapi_async._http.exchange import PAUSE
from foxapi_async.emulator import Emulator, Fault

# How many moments are between those that are used, times the test's own step.
PACE = 1 if WHOLE else 7

FAULTS = {
    "answered": lambda: (),
    "answered late": lambda: (Fault.slow("submit", 1),),
    "cut after accepting": lambda: (Fault.cut_after("submit"),),
    "refused once": lambda: (Fault.status("submit", 429, retry_after=1),),
    "refused for all tries": lambda: (Fault.status("submit", 429, times=4),),
}


class Interruption:
    """Runs an action after the n-th callback of the loop, and perhaps once more after some others."""

    def __init__(self, monkeypatch):
        self.action = None
        self.left = -1
        self.gaps = []
        run = asyncio.events.Handle._run

        def counted(handle):
            run(handle)
            self.left -= 1
            if self.left == 0:
                self.action()
                self.left = self.gaps.pop(0) if self.gaps else 0

        monkeypatch.setattr(asyncio.events.Handle, "_run", counted)

    def after(self, callbacks, action, *, again=()):
        self.left, self.action, self.gaps = callbacks, action, list(again)
        self.hits = 0
        self.action = lambda: self._hit(action)

    def cancel(self, task, callbacks, **again):
        """Cancel a task then."""
        self.taken = []
        self.after(callbacks, lambda: self.taken.append(task.cancel()), **again)

    def _hit(self, action):
        self.hits += 1
        self.moment = now()
        action()

    def fired(self):
        """Whether the moment has come; no other will."""
        self.left, self.gaps = -1, []
        return self.hits > 0


@pytest.fixture
def interruption(monkeypatch):
    yield Interruption(monkeypatch)
    gc.collect()  # anything left open warns now, which is an error, and not in another test


def run_virtual(scenario):
    """The scenario's value, on a new virtual loop that must end without leftovers."""
    faults = []
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: faults.append(context["message"]))
        value = runner.run(asyncio.wait_for(scenario, 10_000))  # in virtual seconds: nothing hangs unnoticed
        assert asyncio.all_tasks(runner.get_loop()) == set()
    assert faults == []
    return value


def every_moment(scenario, *, least=20, most=1000, step=1):
    """Run `scenario(at)` for one moment after the other until its interruption comes too late."""
    at = 1
    while run_virtual(scenario(at)) and at < most:
        at += step * PACE
    assert least <= at < most


async def interrupted(interruption, at, faults, use, *, how):
    """One interrupted run. Returns whether the interruption was in time, and the faults in the accounts."""
    known = set()
    async with Emulator(seconds=3, faults=faults) as emulator:
        async with session_at(emulator, retry=RetryPolicy(tries=3)) as fox:
            user = asyncio.create_task(use(fox, known))
            if how == "cancel":
                interruption.cancel(user, at)
            else:
                interruption.after(at, jump_ahead)
            await asyncio.wait([user])
            fired = interruption.fired()
            assert how != "cancel" or [user.cancelled()] * fired == interruption.taken
            error = None if user.cancelled() else user.exception()
            await asyncio.sleep(30)
        known |= {handle.id for handle in fox.unfinished} | {getattr(error, "task_id", None)}
        return fired, accounts(emulator, known | {type(error)}, error)


def jump_ahead():
    asyncio.get_running_loop()._now += 5


def accounts(emulator, known, error):
    """The differences between known and billed tasks."""
    problems = []
    if emulator.billed > 1:
        problems.append("billed twice")
    if emulator.billed and isinstance(error, FoxError) and error.charged == "no":
        problems.append(f"{error!r} says that nothing was billed")
    reported = UncertainSubmitError in known or emulator.billed == 0
    return problems, set(emulator.tasks) - known, reported


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
@pytest.mark.wide
def test_no_moment_loses_a_paid_task(interruption, caplog, fault, how, use):
    """Interrupted after any callback: an id is with the caller, in `unfinished`, in an error or in the log."""
    caplog.set_level(logging.WARNING, logger="foxapi_async")
    at = 0
    fired = True
    while fired and at < 400:
        at += PACE
        caplog.clear()
        fired, (problems, missing, reported) = run_virtual(
            interrupted(interruption, at, FAULTS[fault](), use, how=how)
        )
        logged = {task_id for task_id in missing if task_id in caplog.text}
        uncertain = reported or "may have been accepted" in caplog.text

        assert problems == [], f"after callback {at}"
        assert not missing - logged or uncertain, f"after callback {at}"
    assert at > 20


async def entered_and_left(emulator):
    async with session_at(emulator, limits=Limits(connections=2)):
        await asyncio.sleep(1)


@pytest.mark.wide
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


@pytest.mark.wide
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
        at += PACE
        folder = tmp_path / str(at)
        fired = run_virtual(scenario(at, folder))
        names = [path.suffix for path in folder.iterdir()] if folder.exists() else []
        assert names in ([], [".jpg"]), f"after callback {at}"
    assert at > 20


@pytest.mark.parametrize("fault", ["answered", "answered late", "refused once"])
@pytest.mark.wide
def test_no_connect_timeout_bills_twice(interruption, fault):
    """A connect timeout in any turn of the loop, also during the writing, is retried only if nothing was sent."""

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
        at += PACE
    assert at > 20


# No other user is disturbed.


async def last_event(events):
    """The final event of a handle or of the session."""
    async for event in events:
        if event.final:
            return event
    return None


async def iterate(fox, handle):
    await last_event(handle)


async def wait(fox, handle):
    await handle


async def wait_for_a_while(fox, handle):
    await handle.wait(20)


async def read_events(fox, handle):
    await last_event(fox.events())


async def attach(fox, handle):
    await fox.attach(handle.id, timeout=20)


async def attach_and_stop(fox, handle):
    attached = fox.attach(handle.id)
    try:
        with contextlib.suppress(TaskTimeoutError):
            await attached.wait(1)
    finally:
        attached.stop()


async def fetch(fox, handle):
    await fox.fetch(handle.id)


async def upload(fox, handle):
    await fox.upload(b"GIF89a of a fox")


BESIDE = [iterate, wait, wait_for_a_while, read_events, attach, attach_and_stop, fetch, upload]


@pytest.mark.parametrize("use", BESIDE, ids=lambda use: use.__name__)
@pytest.mark.wide
def test_no_moment_of_giving_up_disturbs_a_neighbour(interruption, use):
    """If one user of a task is cancelled, all other waiters and readers still get its end, at the same
    instant.

    And the cancelled call works when it is repeated.
    """
    instants = set()

    async def scenario(at):
        random.seed(7)
        async with Emulator(seconds=3) as emulator, session_at(emulator) as fox:
            handle = await fox.submit(fox_request())
            waiting = asyncio.create_task(handle.wait())
            reading = [asyncio.create_task(last_event(events)) for events in (handle, fox.events())]
            user = asyncio.create_task(use(fox, handle))
            interruption.cancel(user, at)
            result = await waiting
            instants.add(now())
            assert [result.task_id] * 2 == [(await reader).task_id for reader in reading]
            await asyncio.wait([user])
            fired = interruption.fired()
            assert [user.cancelled()] * fired == interruption.taken
            assert () == fox.unfinished or use is attach_and_stop
            if use is not read_events:  # nothing more happens
                await use(fox, handle)
            assert 1 == emulator.billed
            return fired

    every_moment(scenario, step=5)  # each moment comes several times, at each poll
    assert 1 == len(instants)


# Files.


def file_of(folder):
    file = folder / "fox.png"
    file.write_bytes(b"\x89PNG of a fox")
    return GrokImagineImage("a red fox", image_urls=[file])


@pytest.mark.wide
def test_no_moment_of_a_submit_with_a_file_loses_a_task(interruption, tmp_path, caplog):
    """Cancelled while its file is stored or later: a billed task is known, and the same request works afterwards."""
    caplog.set_level(logging.WARNING, logger="foxapi_async")
    request = file_of(tmp_path)

    async def scenario(at):
        caplog.clear()
        async with Emulator(seconds=3) as emulator, session_at(emulator) as fox:
            user = asyncio.create_task(fox.submit(request))
            interruption.cancel(user, at)
            await asyncio.wait([user])
            fired = interruption.fired()
            assert [user.cancelled()] * fired == interruption.taken
            again = await fox.submit(request)
            known = {again.id} | {handle.id for handle in fox.unfinished}
            assert set(emulator.tasks) == known, f"after callback {at}"
            assert not user.cancelled() or all(task_id in caplog.text for task_id in known - {again.id})
            return fired

    every_moment(scenario)


@pytest.mark.wide
def test_no_moment_of_storing_a_file_holds_up_another_request(interruption, tmp_path):
    """Two submits share a file and one is cancelled at any moment: the other has its file and its handle."""
    request = file_of(tmp_path)

    async def scenario(at):
        async with Emulator(seconds=3) as emulator, session_at(emulator) as fox:
            user = asyncio.create_task(fox.submit(request))
            other = asyncio.create_task(fox.submit(request))
            interruption.cancel(user, at)
            handle = await other
            await asyncio.wait([user])
            assert handle.id in emulator.tasks
            stored = [record for record in emulator.requests if record.path.startswith("/v1/files/upload")]
            assert len(stored) <= 2
            return interruption.fired()

    every_moment(scenario)


@pytest.mark.wide
def test_no_moment_of_saving_two_images_leaves_a_part(interruption, tmp_path):
    """A save of several images that is cancelled at any moment leaves whole files under their names, and nothing else."""

    async def scenario(at):
        folder = tmp_path / str(at)
        async with Emulator(seconds=3) as emulator, session_at(emulator) as fox:
            result = await fox.generate(fox_request(num_outputs=2))
            user = asyncio.create_task(result.save(folder))
            interruption.cancel(user, at)
            await asyncio.wait([user])
            fired = interruption.fired()
        names = {f"{result.task_id}-{n}.jpg" for n in (1, 2)}
        files = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
        assert files.keys() <= names, f"after callback {at}"
        assert all((data[:2], data[-2:]) == (b"\xff\xd8", b"\xff\xd9") for data in files.values())
        assert [user.cancelled()] * fired == interruption.taken
        return fired

    every_moment(scenario, step=5)  # two files do the same, side by side


# A series.


@pytest.mark.parametrize("closing", [True, False])
@pytest.mark.wide
def test_no_moment_of_a_series_loses_one_of_its_tasks(interruption, caplog, closing):
    """A cancelled `as_completed` with several in flight: every billed id is yielded, unfinished or logged."""
    caplog.set_level(logging.WARNING, logger="foxapi_async")

    async def read(outcomes, known):
        async with contextlib.aclosing(outcomes) if closing else contextlib.nullcontext():
            async for outcome in outcomes:
                known.add(outcome.task_id)

    async def scenario(at):
        caplog.clear()
        known = set()
        async with Emulator(seconds=2) as emulator:
            async with session_at(emulator) as fox:
                requests = [fox_request(f"fox {n}") for n in range(5)]
                user = asyncio.create_task(read(fox.as_completed(requests, max_in_flight=3), known))
                interruption.cancel(user, at)
                await asyncio.wait([user])
                fired = interruption.fired()
                assert [user.cancelled()] * fired == interruption.taken
                await asyncio.sleep(1)
                billed = emulator.billed
                await asyncio.sleep(20)
                assert billed == emulator.billed or not closing
            known |= {handle.id for handle in fox.unfinished}
        lost = {task_id for task_id in set(emulator.tasks) - known if task_id not in caplog.text}
        assert set() == lost, f"after callback {at}"
        assert emulator.billed == len(posts(emulator)) <= 5
        return fired

    every_moment(scenario, step=7)  # about six hundred moments, in which five items do the same


# Sent submits without a caller, and closing.


PAIRS = (0, 7, 60)


def test_a_submit_whose_caller_is_cancelled_is_kept_and_logged(interruption, caplog):
    """Cancelled once or twice, a submit that was billed ends with its handle in `unfinished` and its id in
    the log.
    """
    caplog.set_level(logging.WARNING, logger="foxapi_async")

    def submit_cancelled(gaps):
        async def scenario(at):
            caplog.clear()
            faults = [Fault.slow("submit", 1), Fault.never_finishes()]
            async with Emulator(seconds=3, faults=faults) as emulator, session_at(emulator) as fox:
                user = asyncio.create_task(fox.submit(fox_request()))
                interruption.cancel(user, at, again=gaps)
                await asyncio.wait([user])
                await asyncio.sleep(5)
                fired = interruption.fired()
                assert user.cancelled() == any(interruption.taken)
                assert list(emulator.tasks) == [handle.id for handle in fox.unfinished]
                reported = [task_id in caplog.text for task_id in emulator.tasks]
                assert [user.cancelled()] * len(reported) == reported
                return fired

        return scenario

    every_moment(submit_cancelled([]))
    for gap in PAIRS:
        every_moment(submit_cancelled([gap + 1]), step=5)


async def idle(fox, emulator):
    """Nothing runs."""
    return []


async def waited_for(fox, emulator):
    """A task runs, with one waiter, one reader of its events, and one reader of all events."""
    handle = await fox.submit(fox_request())
    uses = [handle.wait(), last_event(handle), last_event(fox.events())]
    return [asyncio.create_task(use) for use in uses]


async def polled(fox, emulator):
    """Its poll hangs."""
    emulator.add_fault(Fault.hang("poll", times=None))
    handle = await fox.submit(fox_request())
    return [asyncio.create_task(fox.attach(handle.id).wait())]


async def posted(fox, emulator):
    """A POST is answered late."""
    emulator.add_fault(Fault.slow("submit", 1.5))
    return [asyncio.create_task(fox.submit(fox_request()))]


async def mute(fox, emulator):
    """A POST is never answered."""
    emulator.add_fault(Fault.hang("submit", times=None))
    return [asyncio.create_task(fox.generate(fox_request()))]


async def held_back(fox, emulator):
    """A submit waits for its turn."""
    emulator.add_fault(Fault.status("submit", 429, retry_after=100))
    return [asyncio.create_task(fox.submit(fox_request()))]


async def uploading(fox, emulator):
    """A file is on its way, for a submit and on its own."""
    emulator.add_fault(Fault.hang("upload", times=None))
    return [asyncio.create_task(fox.upload(b"GIF89a"))]


async def in_series(fox, emulator):
    """An `as_completed` is half-way."""

    async def read():
        return [outcome async for outcome in fox.as_completed(fox_request(str(n)) for n in range(4))]

    return [asyncio.create_task(read())]


UNDER_WAY = [idle, waited_for, polled, posted, mute, held_back, uploading, in_series]


def leaving(interruption, caplog, folder, under_way, gaps):
    """A session that is closed while something runs; its exit is cancelled after this many callbacks."""

    async def use(fox, emulator, others, at):
        async with fox:
            others += await under_way(fox, emulator)
            await asyncio.sleep(0.5)
            interruption.cancel(asyncio.current_task(), at, again=gaps)

    async def scenario(at):
        caplog.clear()
        others = []
        async with Emulator(seconds=3) as emulator:
            retry = RetryPolicy(grace=2)
            fox = session_at(emulator, retry=retry, estimates=folder / "estimates.json")
            user = asyncio.create_task(use(fox, emulator, others, at))
            await asyncio.wait([user])
            left, fired = now(), interruption.fired()
            assert user.cancelled() == any(interruption.taken)
            # The grace is over, and then a pause shows that no answer is coming.
            assert left <= (interruption.moment if user.cancelled() else 0.5 + 2 + PAUSE) + 0.01
            if others:  # no user hangs
                _, hanging = await asyncio.wait(others, timeout=0.01)
                assert not (hanging if under_way is not uploading else ())
                for other in hanging:
                    other.cancel()
                await asyncio.gather(*others, return_exceptions=True)
        known = {handle.id for handle in fox.unfinished}
        missing = {task_id for task_id in set(emulator.tasks) - known if task_id not in caplog.text}
        assert not missing or "may have been accepted" in caplog.text, f"after callback {at}"
        return fired

    return scenario


@pytest.mark.parametrize("under_way", UNDER_WAY, ids=lambda state: state.__name__)
@pytest.mark.wide
def test_no_moment_of_closing_loses_or_leaves_anything(interruption, caplog, tmp_path, under_way):
    """A session whose exit is cancelled, once or twice, still closes: nothing hangs, every id is named."""
    caplog.set_level(logging.WARNING, logger="foxapi_async")
    every_moment(leaving(interruption, caplog, tmp_path, under_way, []), least=5)
    for gap in PAIRS:
        every_moment(leaving(interruption, caplog, tmp_path, under_way, [gap + 1]), least=5, step=9)
