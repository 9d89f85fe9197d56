"""Killed batches: SIGKILL ends a real process at any moment, another continues, and the bill is checked."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import attrs
import pytest
from helpers import WHOLE

from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async.emulator import Fault, ThreadedEmulator, _images

pytestmark = [pytest.mark.kill, pytest.mark.thorough]

ITEMS = 40
ROUNDS = 5 if WHOLE else 1
KILLS_A_ROUND = 10 if WHOLE else 5
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def quick_painting(monkeypatch):
    """The service answers with few bytes: painting would take more time than all else here."""
    monkeypatch.setattr(_images, "render", lambda picture: b"\xff\xd8\xff" + picture.prompt.encode() * 1000)


@attrs.define
class Command:
    """`foxapi batch` of one folder, in its own processes."""

    folder: Path
    service: ThreadedEmulator

    @classmethod
    def of(cls, folder, service, items=ITEMS):
        lines = [json.dumps({"id": f"fox-{n}", "prompt": f"fox {n}"}) + "\n" for n in range(items)]
        (folder / "p.jsonl").write_text("".join(lines))
        return cls(folder, service)

    def start(self, *words, **options):
        account = {"FOXAPI_API_KEY": self.service.key, "FOXAPI_BASE_URL": self.service.url}
        return subprocess.Popen(
            [
                sys.executable,
                "-W",
                "error",
                "-m",
                "foxapi_async",
                "batch",
                "p.jsonl",
                "--max-in-flight",
                "4",
                *words,
            ],
            cwd=self.folder,
            env={**os.environ, **account},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *words, **options):
        """Let it end: exit status and standard error."""
        process = self.start(*words, **options)
        _, err = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in err
        return process.returncode, err

    def until_working(self, process, count):
        """Wait until the service got `count` more requests; False if the process has ended before."""
        wanted = len(self.service.requests) + count
        while len(self.service.requests) < wanted:
            if process.poll() is not None:
                return False
            time.sleep(0.001)
        return True

    def entries(self):
        """The ledger as it is on the disk."""

        async def read():
            async with SqliteLedger.peek(self.folder / "out" / "ledger.sqlite") as ledger:
                return [entry async for entry in ledger.entries()]

        return asyncio.run(read()) if (self.folder / "out" / "ledger.sqlite").exists() else []

    def manifest(self):
        return [
            json.loads(line) for line in (self.folder / "out" / "manifest.jsonl").read_text().splitlines()
        ]


def kill(process):
    process.kill()
    process.communicate(timeout=PATIENCE)


def check_account(command, in_their_window, unwritten=()):
    """Every bill is in the ledger, and every entry of the ledger is right.

    The images of `unwritten` may exist, although the ledger could not record them.
    """
    service, entries = command.service, {entry.key: entry for entry in command.entries()}
    states = Counter(entry.state for entry in entries.values())
    assert {f"fox-{n}" for n in range(ITEMS)} == set(entries)
    assert ITEMS == states[ItemState.DONE] + states[ItemState.FAILED] + states[ItemState.UNCERTAIN]

    keys_billed = Counter(task.idempotency_key for task in service.tasks.values())
    assert {1} == set(keys_billed.values())
    assert service.billed == len(keys_billed)
    by_id = {entry.task_id: entry for entry in entries.values() if entry.task_id}
    uncertain = {e.idempotency_key: e for e in entries.values() if e.state is ItemState.UNCERTAIN}
    for task_id, task in service.tasks.items():
        assert task_id in by_id or task.idempotency_key in uncertain
    assert set(uncertain) <= in_their_window

    for entry in entries.values():
        if entry.state is ItemState.DONE:
            assert service.tasks[entry.task_id].body["prompt"] == f"fox {entry.key.partition('-')[2]}"
    # A killed download leaves its part file, whose name does not look like an image.
    images = {path.name for path in (command.folder / "out" / "images").rglob("[!.]*.jpg")}
    done = {f"{key}-1.jpg" for key, entry in entries.items() if entry.state is ItemState.DONE}
    assert done <= images <= done | {f"{key}-1.jpg" for key in unwritten}
    reported = {line["id"]: line for line in command.manifest()}
    assert {key: entry.state.value for key, entry in entries.items()} == {
        key: line["status"] for key, line in reported.items()
    }


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_nothing_is_lost_or_paid_twice_however_often_it_is_killed(tmp_path, seed):
    """Ten kills at random moments, then an end: every item is done, failed or really uncertain, and billed at
    most once.
    """
    chance = random.Random(seed)
    faults = [
        # Both sides of the moment of acceptance are wide enough for a kill.
        Fault.slow("submit", 0.05, probability=0.2, times=None),
        Fault.status("submit", 429, retry_after=0.1, probability=0.05, times=None),
        Fault.rate("poll", 0.1),
        Fault.fails(probability=0.05, times=None),
        Fault.slow("file", 0.05, probability=0.3, times=None),
    ]
    with ThreadedEmulator(seconds=0.2, faults=faults, seed=seed) as service:
        command = Command.of(tmp_path, service)
        in_their_window = set()
        for _ in range(KILLS_A_ROUND):
            process = command.start()
            command.until_working(process, chance.randint(0, 40))
            time.sleep(chance.uniform(0, 0.05))
            kill(process)
            in_their_window |= {
                e.idempotency_key for e in command.entries() if e.state is ItemState.SUBMITTING
            }
        code, _ = command.run()

        check_account(command, in_their_window)
        everything_done = all(entry.state is ItemState.DONE for entry in command.entries())
        assert (0 if everything_done else 1) == code
        billed = service.billed
        assert code == command.run()[0]
        assert billed == service.billed


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_that_can_be_continued(tmp_path, number, code):
    """A process that gets a signal prints the unfinished ids and the command that continues; that pays for
    nothing twice.
    """
    with ThreadedEmulator(seconds=0.2) as service:
        command = Command.of(tmp_path, service)
        process = command.start()
        assert command.until_working(process, 20)
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)

        assert code == process.returncode
        assert "foxapi: stopped: interrupted\n" in err
        assert "running at the service (and billed)" in err
        assert err.endswith("foxapi: continue with: foxapi batch p.jsonl --max-in-flight 4\n")
        assert "uncertain" not in err
        assert 0 == command.run()[0]
        assert ITEMS == service.billed
        check_account(command, set())


def test_two_runs_of_one_folder(tmp_path):
    """The second one names the first one's process, and sends nothing; the lock is free when the first is killed."""
    with ThreadedEmulator(seconds=30) as service:
        command = Command.of(tmp_path, service)
        first = command.start()
        assert command.until_working(first, 4)
        billed = service.billed
        code, err = command.run()
        assert 3 == code
        assert f"is in use by process {first.pid}" in err
        assert billed <= service.billed <= 8
        kill(first)
        second = command.start()
        assert command.until_working(second, 4)
        kill(second)


def test_a_full_disk(tmp_path):
    """A ledger whose file may not grow ends the run with 3 and the reason. An id that it cannot take is tried
    again until it may grow. With room again the run continues, and pays for nothing twice.
    """
    import resource

    hard = resource.RLIM_INFINITY

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))

    with ThreadedEmulator(seconds=0.2) as service:
        command = Command.of(tmp_path, service)
        process = command.start(preexec_fn=limit)
        err = ""
        for line in process.stderr:
            err += line
            if "keep this id" in line:
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        process.communicate(timeout=PATIENCE)
        assert 3 == process.returncode
        assert "stopped: the ledger " in err
        assert "foxapi: continue with: foxapi batch p.jsonl" in err
        billed = service.billed
        assert 0 < billed < ITEMS
        window = [entry for entry in command.entries() if entry.state is ItemState.SUBMITTING]
        assert command.run()[0] in {0, 1}
        keys = [entry.key for entry in window]
        check_account(command, {entry.idempotency_key for entry in window}, unwritten=keys)
