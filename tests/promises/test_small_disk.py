"""Real small disks that fill at each step of 50 kB under a batch and under the page: each billed id is in the ledger
or on the screen, and with room again nothing is billed twice.

A disk is full because it is small, or because another file takes all the space that is left.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import time

import aiohttp
import attrs
import pytest
from disks import SmallDisk, account_of, needs_mounts

from foxapi_async.emulator import Fault, ThreadedEmulator, _images

pytestmark = [needs_mounts, pytest.mark.kill]

SEARCHES = os.environ.get("FOXAPI_TEST_SEARCH") == "1"
ITEMS = 40
STEP_KB = 50
RESERVE_KB = 64 + 8 * ITEMS
PATIENCE = 60.0
ENOUGH_KB = 20_000


def every(steps):
    """Every third step, because each starts several processes, or with FOXAPI_TEST_SEARCH=1 all of them."""
    return [n for n in steps if SEARCHES or n % 3 == 0]


# Below the first step the reserve does not fit; after the last one a whole run does.
SIZES = every(range(1, 26))
# The other file leaves that much for the run, with its reserve.
TAKEN = every(range(8, 24))


@pytest.fixture
def delays():
    """The service is slow to accept, so that many POSTs are unanswered at once."""
    return [Fault.slow("submit", 0.05, times=None)]


@pytest.fixture
def service(monkeypatch, delays):
    """A service with fast tasks and images of some kilobytes."""
    monkeypatch.setattr(_images, "render", lambda picture: b"\xff\xd8\xff" + picture.prompt.encode() * 500)
    with ThreadedEmulator(seconds=0.05, faults=delays) as running:
        yield running


@attrs.define
class Run:
    """The end of a process: its exit status and its streams."""

    code: int
    out: str
    err: str

    def shows(self, task_id):
        """Whether both streams show the command that waits for a task."""
        command = f"foxapi wait {task_id} "
        return command in self.out and command in self.err


@attrs.define
class Place:
    """The folder of a batch or a page on a small disk, and its service."""

    disk: SmallDisk
    service: ThreadedEmulator
    aside: object

    def start(self, *words):
        return self.disk.start(*words, env=account_of(self.service))

    def batch(self):
        folder = self.aside.parent
        return self.start(
            "batch", folder / "p.jsonl", "--out", self.disk.folder / "out", "--max-in-flight", ITEMS
        )

    def lost(self, run, answered=()):
        """The billed ids that are neither in the ledger nor on the screen."""
        kept = self.disk.ids("out", self.aside)
        return [
            task_id
            for task_id in self.service.tasks
            if task_id not in kept and task_id not in answered and not run.shows(task_id)
        ]

    def billed_twice(self):
        """The prompts that were billed more than once."""
        prompts = [task.body["prompt"] for task in self.service.tasks.values()]
        return sorted({prompt for prompt in prompts if prompts.count(prompt) > 1})


@pytest.fixture
def place(service, tmp_path):
    """Makes a small disk, with the input of a batch beside it."""
    made = []

    def make(kilobytes):
        lines = [json.dumps({"id": f"fox-{n}", "prompt": f"fox {n}"}) + "\n" for n in range(ITEMS)]
        (tmp_path / "p.jsonl").write_text("".join(lines))
        made.append(SmallDisk(tmp_path / "disk", kilobytes))
        return Place(made[-1], service, tmp_path / "aside")

    yield make
    for disk in made:
        disk.remove()


def ended(process, number=None):
    """The end of a process, after a signal if one is given."""
    if number is not None:
        process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err, err
    return Run(process.returncode, out, err)


def ended_soon(process):
    """The end of a process. If it waits for space, it is interrupted."""
    try:
        out, err = process.communicate(timeout=3)
    except subprocess.TimeoutExpired:
        return ended(process, signal.SIGINT)
    assert "Traceback" not in err, err
    return Run(process.returncode, out, err)


# Under a batch.


@pytest.mark.parametrize("step", SIZES)
@pytest.mark.thorough
def test_a_batch_on_a_small_disk(place, step):
    """A batch whose disk is too small keeps every billed id, and sends nothing without its reserve. On a larger
    disk the same command ends, and bills each item once.
    """
    here = place(step * STEP_KB)
    run = ended(here.batch())
    assert here.lost(run) == []
    assert here.service.billed == 0 or step * STEP_KB > RESERVE_KB
    assert run.code == 0 or "space" in run.err

    here.disk.resize(ENOUGH_KB)
    assert (run.code in {0, 3}, ended(here.batch()).code, here.service.billed) == (True, 0, ITEMS)


@pytest.mark.parametrize("step", TAKEN)
@pytest.mark.thorough
def test_a_batch_whose_space_is_taken(place, step):
    """If another file takes all space that is left, also that of the reserve, each billed id is in the ledger or
    on both streams. With space again nothing is billed twice.
    """
    here = place(4000)
    with here.disk.filled_from(step * STEP_KB * 1000):
        run = ended_soon(here.batch())
        assert here.lost(run) == []

    again = ended(here.batch())
    assert (again.code in {0, 1}, here.billed_twice()) == (True, [])
    # An item whose release could not be written is uncertain.
    assert here.service.billed == ITEMS or "sent without an answer" in again.err


# The first answers may find the space of the reserve. When the others come, it is taken.
TWO_WAVES = [Fault.slow("submit", 1.5, times=ITEMS // 2), Fault.slow("submit", 4, times=None)]


@pytest.mark.parametrize("delays", [TWO_WAVES])
def test_an_id_is_written_when_there_is_space_again(place, delays):
    """A batch that has no space for its ids goes on when the other file is removed: all ids are in the ledger."""
    here = place(4000)
    process = here.batch()
    while here.service.billed < ITEMS:
        assert process.poll() is None
        time.sleep(0.01)
    with here.disk.filled_from(0):
        line = ""
        while "keep this id" not in line:
            line = process.stderr.readline()
            assert line
    run = ended(process)

    assert (run.code, here.disk.ids("out", here.aside)) == (3, set(here.service.tasks)), run.err
    assert "is in the ledger now" in run.err


# Under the page.


async def asked(address):
    """The answers to many submits of the page at once: status and body."""

    async def ask(web, n):
        body = {"model": "grok-imagine-image", "prompt": f"fox {n}"}
        async with web.post("/images", json=body) as response:
            return response.status, await response.json()

    async with aiohttp.ClientSession(address) as web:
        return await asyncio.gather(*(ask(web, n) for n in range(ITEMS)))


def serve(here, new_loop):
    """The ends of a page that gets many submits: its answers, and how it ended. No answers if it did not begin."""
    process = here.start("serve", "--out", here.disk.folder / "out", "--port", 0)
    address = process.stdout.readline().strip()
    answers = []
    if address:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            answers = runner.run(asked(address))
    run = ended(process, signal.SIGINT if address else None)
    return answers, run


def check_answers(here, answers, run):
    """Every id that was answered as accepted is in the ledger, and no billed id is only in an answer."""
    accepted = {body["id"] for status, body in answers if status == 202}
    unkept = {body["error"]["id"] for status, body in answers if status == 507}
    assert accepted - here.disk.ids("out", here.aside) == set()
    assert here.lost(run) == []
    assert accepted | unkept == set(here.service.tasks)
    assert {status for status, _ in answers} <= {202, 500, 507}


@pytest.mark.parametrize("step", every(range(14, 34)))
@pytest.mark.thorough
def test_a_page_on_a_small_disk(place, new_loop, step):
    """A page whose disk is too small keeps every id that it answered with 202. The next server continues with
    them, and bills nothing.
    """
    here = place(step * STEP_KB)
    answers, run = serve(here, new_loop)
    check_answers(here, answers, run)
    billed = here.service.billed
    here.disk.resize(ENOUGH_KB)
    process = here.start("serve", "--out", here.disk.folder / "out", "--port", 0)
    assert re.match("http://127", process.stdout.readline())

    assert (ended(process, signal.SIGINT).code, here.service.billed) == (130, billed)


@pytest.mark.parametrize("step", every(range(18, 34)))
@pytest.mark.thorough
def test_a_page_whose_space_is_taken(place, new_loop, step):
    """If another file takes all space that is left, also that of the reserve, each id that was answered with 202
    is in the ledger. Any other billed id is in an answer that says so, and on both streams.
    """
    here = place(4000)
    with here.disk.filled_from(step * STEP_KB * 1000):
        answers, run = serve(here, new_loop)
        check_answers(here, answers, run)
