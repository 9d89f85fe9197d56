"""The commands for batches in a database, as processes: `foxapi batch --dsn`, `worker`, `status --dsn` and `cluster`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import Counter
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from workers import FOXAPI, PATIENCE, text_of

from foxapi_async.cli import main
from foxapi_async.cli._cluster import command_for, words_of
from foxapi_async.cli._cluster_worker import WorkerCommand
from foxapi_async.cli._parser import build_parser
from foxapi_async.cli._screen import Screen
from foxapi_async.cluster.database import Database, identity_of
from foxapi_async.cluster.migration import migrate, printed
from foxapi_async.cluster.spool import Spool, SpooledId
from foxapi_async.emulator import Fault, ThreadedEmulator, _images

SECRET = "s3cret-and-long"


class Place:
    """A working folder with a service and a database, in which commands run.

    Args:
        folder: the folder.
        workers: starts processes.
        service: the service.
        dsn: the address of the database.
        call: runs a command line in this process.
    """

    def __init__(self, folder, workers, service, dsn, call):
        self.folder = folder
        self.service = service
        self.dsn = dsn
        self._workers = workers
        self._call = call

    @property
    def env(self):
        """What the environment of the commands has of ours: the service and the database."""
        return {
            "FOXAPI_API_KEY": self.service.key,
            "FOXAPI_BASE_URL": self.service.url,
            "FOXAPI_DSN": self.dsn,
        }

    @property
    def prompts(self):
        """How often the service has billed each prompt."""
        return Counter(task.body["prompt"] for task in self.service.tasks.values())

    def write(self, count, name="p.jsonl"):
        """An input of so many items."""
        lines = [json.dumps({"id": f"fox-{n}", "prompt": f"fox {n}"}) for n in range(count)]
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines))
        return name

    def start(self, *words):
        """Start a command in a process of its own, which runs beside the test."""
        return self._workers.start(*words, env={**os.environ, **self.env}, cwd=self.folder)

    def run(self, *words, **env):
        """Run a command to its end: its exit status, standard output and standard error."""
        return self._call([str(word) for word in words], self.env | env)

    def work(self):
        """Let a worker do all that there is: its exit status."""
        return self.run("worker", "--out", "shared", "--until-done")[0]

    def manifest(self, out="out"):
        """The lines of the manifest; none if there is no file."""
        path = self.folder / out / "manifest.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def meta(self, name, out="out"):
        """A text in the ledger of a folder."""
        with closing(sqlite3.connect(self.folder / out / "ledger.sqlite")) as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row and row[0]

    def ask(self, query, *values):
        """The rows that the database answers."""
        with psycopg.connect(self.dsn, autocommit=True, options="-c search_path=foxapi") as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []


def wait_for(condition, *running):
    """Wait until a condition holds. These processes must run meanwhile."""
    latest = time.monotonic() + PATIENCE
    while not condition():
        for process in running:
            assert process.running, f"{process}\nended with {process.code} before {text_of(condition)}"
        assert time.monotonic() < latest, "\n".join([text_of(condition), *map(str, running)])
        time.sleep(0.02)


def end_of(process):
    """The exit status of a process, which ends soon."""
    wait_for(lambda: not process.running)
    return process.code


@pytest.fixture
def make_service():
    """Makes a service that paints no images, which takes long."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(ThreadedEmulator(**options))


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """Runs a command line in the test's folder, with these settings and no others of ours."""
    monkeypatch.setattr(_images, "render", lambda picture: b"\xff\xd8\xff" + picture.prompt.encode())
    for name in [name for name in os.environ if name.startswith("FOXAPI_") and "_TEST_" not in name]:
        monkeypatch.delenv(name)

    def run(words, env):
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            for name, text in env.items():
                patch.setenv(name, text)
            code = main(words)
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def make_place(tmp_path, workers, make_service, database, call):
    """Makes a place with the tables; the options are those of the service."""

    def make(**options):
        asyncio.run(migrate(Database.at(database)))
        return Place(tmp_path, workers, make_service(**options), database, call)

    return make


@pytest.fixture
def place(make_place):
    """A place with a service whose tasks are fast."""
    return make_place(seconds=0.05)


def with_user(dsn, user, password):
    """The same address for another user."""
    host = urlsplit(dsn).netloc.rpartition("@")[2]
    return urlsplit(dsn)._replace(netloc=f"{user}:{password}@{host}").geturl()


# foxapi batch --dsn


def test_a_batch_is_made_by_a_worker(place):
    """The command ends with the batch. Each item is billed once, and has its line in the manifest."""
    place.start("worker", "--out", "shared")
    code, out, err = place.run("batch", place.write(20), "--dsn")

    assert (0, "") == (code, out)
    assert set(place.prompts.values()) == {1}
    assert {("done", 1)} == {(line["status"], len(line["files"])) for line in place.manifest()}
    assert re.search(r"foxapi: 20 done; 100 credits, in \d+ s\n", err)


def test_the_images_are_in_a_folder_of_the_worker(place):
    """Below the folder of the worker, the batch has a folder of its own name, and the records fit it."""
    place.start("worker", "--out", "shared")
    _, _, err = place.run("batch", place.write(2), "--dsn")
    paths = [file["path"] for line in place.manifest() for file in line["files"]]

    assert {path.name for path in (place.folder / "shared/out/images").iterdir()} == {
        Path(path).name for path in paths
    }
    assert "the images are on the workers' machines, in the folder out of each --out folder\n" in err


def test_a_folder_below_that_of_the_worker_has_the_images(place):
    """If the records go to the batch's folder of the worker, the images are where the records say."""
    place.start("worker", "--out", "shared")
    _, _, err = place.run("batch", place.write(2), "--dsn", "--out", "shared/foxes")

    assert all(
        (place.folder / "shared/foxes" / file["path"]).exists()
        for line in place.manifest("shared/foxes")
        for file in line["files"]
    )
    assert "the images are at" not in err


def test_finished_items_as_json(place):
    """With --json each end is its manifest line on standard output."""
    place.start("worker", "--out", "shared")
    _, out, _ = place.run("batch", place.write(3), "--dsn", "--json")
    shown = [json.loads(line) for line in out.splitlines()]

    assert sorted(place.manifest(), key=str) == sorted(shown, key=str)


def test_the_same_command_again_does_nothing(place):
    """Ended items are not sent again, and have one line."""
    place.start("worker", "--out", "shared")
    words = ("batch", place.write(3), "--dsn")
    place.run(*words)
    code, _, err = place.run(*words)

    assert (0, 3) == (code, place.service.billed)
    assert 3 == len(place.manifest())
    assert "3 done; 15 credits in all, 0 in this run, in " in err


def test_a_longer_input_adds_its_new_items(place):
    """The same command with a longer file sends only what is new."""
    place.start("worker", "--out", "shared")
    place.run("batch", place.write(2), "--dsn")
    code, _, _ = place.run("batch", place.write(3), "--dsn")

    assert (0, 3) == (code, place.service.billed)


def test_a_pipe_is_an_input(place):
    """Standard input is read to its end, then the batch begins."""
    place.start("worker", "--out", "shared")
    done = subprocess.run(
        [*FOXAPI, "batch", "-", "--dsn", "--format", "text"],
        input="a fox\na bear\n",
        env={**os.environ, **place.env},
        cwd=place.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )

    assert 0 == done.returncode, done.stderr
    assert {"a fox": 1, "a bear": 1} == place.prompts


def test_wrong_lines_reach_no_database(place):
    """A file with a wrong line is refused as a whole, before the database has anything of it."""
    (place.folder / "p.jsonl").write_text('{"prompt": "a fox"}\n{"prompt": 7}\n')
    code, _, err = place.run("batch", "p.jsonl", "--dsn")

    assert 2 == code
    assert "line 2: prompt" in err
    assert [] == place.ask("SELECT id FROM batch")


def test_a_failed_item_is_shown(make_place):
    """An item that fails is named with its reason, and the exit status is 1."""
    place = make_place(seconds=0.05, faults=[Fault.fails("content_policy_violation", prompt="fox 1")])
    place.start("worker", "--out", "shared")
    code, _, err = place.run("batch", place.write(3), "--dsn")

    assert 1 == code
    assert "foxapi: fox-1: " in err
    assert "problems in this run: 1 content_policy_violation" in err


def test_failed_items_are_sent_again_on_request(make_place):
    """--retry-failed sends them again, and their new ends follow."""
    place = make_place(seconds=0.05, faults=[Fault.fails("content_policy_violation")])
    place.start("worker", "--out", "shared")
    words = ("batch", place.write(2), "--dsn")
    place.run(*words)
    code, _, _ = place.run(*words, "--retry-failed")

    assert (0, 3) == (code, place.service.billed)
    assert {"done": 2, "failed": 1} == Counter(line["status"] for line in place.manifest())


def test_the_budget_is_that_of_the_batch(place):
    """A used budget ends the command with 4, and the next command line has one that is enough."""
    place.start("worker", "--out", "shared")
    code, _, err = place.run("batch", place.write(5), "--dsn", "--budget", "12", "--price", "5")

    assert (4, 2) == (code, place.service.billed)
    assert (
        "the next item would pass the budget of 12 credits: 10 are spent, and it costs 5; a budget of 15 allows"
        in err
    )
    assert "this budget or a larger one: foxapi batch p.jsonl --dsn --budget 15 --price 5\n" in err


def test_the_budget_of_an_earlier_command_counts(place):
    """A command without --budget ends with 4, too, and its next line has the option."""
    place.start("worker", "--out", "shared")
    words = ("batch", place.write(5), "--dsn", "--price", "5")
    place.run(*words, "--budget", "12")
    code, _, err = place.run(*words)

    assert (4, 2) == (code, place.service.billed)
    assert "this budget or a larger one: foxapi batch p.jsonl --dsn --price 5 --budget 15\n" in err


def test_a_larger_budget_continues(place):
    """The same command with a larger budget sends the rest, and shows its own credits."""
    place.start("worker", "--out", "shared")
    words = ("batch", place.write(4), "--dsn", "--price", "5", "--budget")
    place.run(*words, "12")
    code, _, err = place.run(*words, "20")

    assert (0, 4) == (code, place.service.billed)
    assert "4 done; 20 credits in all, 10 in this run, in " in err


def test_a_refused_key_pauses_the_batch(make_place):
    """The exit status is 3, and the reason is the service's."""
    place = make_place(seconds=0.05, faults=[Fault.status("submit", 401, message="no such key", times=None)])
    place.start("worker", "--out", "shared")
    code, _, err = place.run("batch", place.write(3), "--dsn")

    assert (3, 0) == (code, place.service.billed)
    assert "stopped: " in err
    assert "no such key" in err


def test_a_lack_of_workers_is_said_once(place):
    """Without a worker the command says so, and how to start one."""
    following = place.start("batch", place.write(2), "--dsn")
    wait_for(lambda: "no worker is alive" in following.err)
    place.start("worker", "--out", "shared")
    end_of(following)

    assert 0 == following.code
    assert 1 == following.err.count("start one with `foxapi worker --dsn`")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["--emulator"], "--emulator: with --dsn, workers send the items; start `foxapi emulator`"),
        (["--max-in-flight", "5"], "--max-in-flight: with --dsn, workers send the items; give --concurrency"),
        (["--submits-per-second", "5"], "--submits-per-second: with --dsn, workers send the items"),
        (["--polls-per-second", "5"], "--polls-per-second: with --dsn, workers send the items"),
        (["--timeout", "5"], "--timeout: with --dsn, workers send the items"),
        (["--rebuild-ledger"], "--rebuild-ledger: with --dsn, workers send the items; run it once without"),
    ],
)
def test_an_option_of_a_run_in_this_process_is_refused(place, words, advice):
    """The error says where the option belongs."""
    code, _, err = place.run("batch", place.write(1), "--dsn", *words)

    assert 2 == code
    assert advice in err


def test_check_needs_no_database(place):
    """--check with --dsn reads the file and the folder only."""
    code, _, err = place.run("batch", place.write(2), "--dsn", "--check", FOXAPI_DSN="")

    assert (0, 0) == (code, place.service.billed)
    assert "reading p.jsonl\n" in err


# The folder of a followed batch.


@pytest.fixture
def followed(place):
    """A place with a batch of three items that was followed to its end."""
    place.start("worker", "--out", "shared")
    assert 0 == place.run("batch", place.write(3), "--dsn")[0]
    return place


def test_the_status_of_the_folder(followed):
    """It has the states and the credits, and names the batch in the database."""
    code, out, _ = followed.run("status", "out")

    assert 0 == code
    assert out.startswith("out: 3 done\ndatabase: batch out; ")
    assert "spent: 15 credits\n" in out


def test_the_report_of_the_folder(followed):
    """The page has all items."""
    assert 0 == followed.run("report", "out")[0]
    page = (followed.folder / "out/report.html").read_text()

    assert all(f"fox-{n}" in page for n in range(3))


def test_the_export_of_the_folder(followed):
    """Each item has its row with its state and credits."""
    code, out, _ = followed.run("export", "out", "--jsonl")
    rows = [json.loads(line) for line in out.splitlines()]

    assert 0 == code
    assert [(f"fox-{n}", "done", 5.0) for n in range(3)] == [
        (row["id"], row["state"], row["credits"]) for row in rows
    ]


def test_a_local_run_in_the_folder_is_refused(followed):
    """Without --dsn nothing is sent, and the error names the option."""
    code, _, err = followed.run("batch", "p.jsonl")

    assert (3, 3) == (code, followed.service.billed)
    assert "is in a database now, as batch 'out'" in err
    assert "use --dsn" in err


# Interrupted.


def test_an_interrupted_command_leaves_the_batch_running(make_place):
    """Ctrl-C ends the following only. The message says how to see and stop the batch."""
    place = make_place(seconds=600)
    worker = place.start("worker", "--out", "shared")
    following = place.start("batch", place.write(4), "--dsn")
    wait_for(lambda: place.service.billed == 4, worker, following)
    following.signal(signal.SIGINT)

    assert 130 == end_of(following)
    assert worker.running
    assert "the workers continue with batch out\n" in following.err
    assert "foxapi status out --dsn\n" in following.err
    assert "foxapi cluster pause out --dsn\n" in following.err
    assert following.err.endswith("continue with: foxapi batch p.jsonl --dsn\n")


def test_a_command_that_is_interrupted_at_its_begin_names_no_batch(place):
    """The database does not answer, so there is none yet."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE)
        address = f"postgresql://fox@127.0.0.1:{silent.getsockname()[1]}/foxes"
        command = place.start("batch", place.write(1), f"--dsn={address}")
        connection, _ = silent.accept()
        with connection:
            command.signal(signal.SIGINT)
            assert 130 == end_of(command)

    assert "interrupted before the whole input was in the database" in command.err


def test_the_same_command_continues_an_interrupted_one(make_place):
    """Each end has one line, and nothing is billed twice."""
    place = make_place(seconds=0.3)
    place.start("worker", "--out", "shared", "--concurrency", "2")
    following = place.start("batch", place.write(8), "--dsn")
    wait_for(place.manifest, following)
    following.signal(signal.SIGINT)
    assert 130 == end_of(following)
    code, _, _ = place.run("batch", "p.jsonl", "--dsn")

    assert (0, 8) == (code, place.service.billed)
    assert {f"fox-{n}": 1 for n in range(8)} == Counter(line["id"] for line in place.manifest())


def test_the_same_command_continues_a_killed_one(make_place):
    """A killed command loses no end, and its folder opens again."""
    place = make_place(seconds=0.3)
    place.start("worker", "--out", "shared", "--concurrency", "2")
    following = place.start("batch", place.write(8), "--dsn")
    wait_for(place.manifest, following)
    following.kill()
    code, _, err = place.run("batch", "p.jsonl", "--dsn")

    assert (0, 8) == (code, place.service.billed), err
    assert {f"fox-{n}" for n in range(8)} == {line["id"] for line in place.manifest()}


# A local batch that moves.


def test_a_local_batch_moves(make_place):
    """An interrupted local batch goes on at workers, and nothing is billed twice."""
    place = make_place(seconds=1)
    local = place.start("batch", place.write(12), "--max-in-flight", "3")
    wait_for(lambda: place.service.billed >= 5, local)
    local.signal(signal.SIGINT)
    end_of(local)
    place.start("worker", "--out", "shared")
    code, _, err = place.run("batch", "p.jsonl", "--dsn")

    assert 0 == code, err
    assert {f"fox {n}": 1 for n in range(12)} == place.prompts
    assert {f"fox-{n}": 1 for n in range(12)} == Counter(line["id"] for line in place.manifest())
    assert "12 done; 60 credits" in err


def test_a_killed_local_batch_moves(make_place):
    """A submit without an answer is uncertain in the database, and not sent again."""
    place = make_place(seconds=0.1, faults=[Fault.hang("submit", prompt="fox 3", times=None)])
    local = place.start("batch", place.write(6))
    wait_for(
        lambda: (
            place.service.billed == 6
            and (place.folder / "out/manifest.jsonl").exists()
            and len(place.manifest()) == 5
        ),
        local,
    )
    local.kill()
    place.start("worker", "--out", "shared")
    code, _, err = place.run("batch", "p.jsonl", "--dsn")

    assert (1, {1}) == (code, set(place.prompts.values())), err
    assert "5 done, 1 uncertain" in err
    assert [("fox-3", "uncertain")] == place.ask("SELECT key, state FROM item WHERE state <> 'done'")


def test_an_input_file_moves_with_its_item(place):
    """An item that was refused for now keeps its input file, which any worker can upload."""
    (place.folder / "fox.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    line = {"id": "fox", "prompt": "a fox", "image_urls": ["fox.png"]}
    (place.folder / "p.jsonl").write_text(json.dumps(line) + "\n")
    place.service.add_fault(Fault.status("submit", 402, message="no money"))
    assert 3 == place.run("batch", "p.jsonl")[0]
    moving = place.start("batch", "p.jsonl", "--dsn")
    wait_for(lambda: place.ask("SELECT 1 FROM batch WHERE sealed"))
    (place.folder / "fox.png").unlink()
    place.start("worker", "--out", "shared")
    end_of(moving)

    assert (0, 1) == (moving.code, place.service.billed), moving.err


def test_a_folder_of_the_emulator_does_not_move(place):
    """What the emulator made is no batch of the service."""
    place.run("batch", place.write(1), "--emulator", "--emulator-seconds", "0.1")
    code, _, err = place.run("batch", "p.jsonl", "--dsn")

    assert 2 == code
    assert "out has a batch of the emulator; choose another --out" in err


def test_a_moved_batch_belongs_to_its_service(place, make_service):
    """A worker at another service leaves it alone, because only the first one knows its tasks."""
    place.service.add_fault(Fault.fails("bad"))
    place.run("batch", place.write(2))
    (place.folder / "p.jsonl").write_text('{"id": "new", "prompt": "new"}\n')
    following = place.start("batch", "p.jsonl", "--dsn")
    wait_for(lambda: place.ask("SELECT 1 FROM batch WHERE sealed"))
    other = make_service(seconds=0.05)
    place.service, first = other, place.service
    worker = place.start("worker", "--out", "shared")
    wait_for(lambda: "belongs to another key, or to another service" in worker.err)
    place.service = first
    place.start("worker", "--out", "shared")
    end_of(following)

    assert 0 == other.billed
    assert 1 == Counter(task.body["prompt"] for task in first.tasks.values())["new"]


def test_a_moved_batch_may_get_another_service(place):
    """With --other-origin any worker takes it."""
    place.service.add_fault(Fault.fails("bad"))
    place.run("batch", place.write(1))
    following = place.start("batch", "p.jsonl", "--dsn", "--other-origin")

    assert 1 == end_of(following)
    assert [(None,)] == place.ask("SELECT base_url FROM batch")


@pytest.fixture
def unproven(place):
    """A folder whose ledger was made again without its logs: it does not know which items were sent."""
    place.run("batch", place.write(1))
    for name in ("ledger.sqlite", "submitted.jsonl", "submitting.jsonl"):
        (place.folder / "out" / name).unlink()
    (place.folder / "wrong.jsonl").write_text("{}\n")
    assert 2 == place.run("batch", "wrong.jsonl", "--rebuild-ledger")[0]
    place.write(3)
    return place


def test_an_unproven_folder_sends_nothing(unproven):
    """An item that its ledger does not know may have been sent: it is uncertain in the database."""
    code, _, err = unproven.run("batch", "p.jsonl", "--dsn")
    unproven.work()

    assert (1, 1) == (code, unproven.service.billed)
    assert "1 done, 2 uncertain" in err


def test_an_unproven_folder_needs_a_file(unproven, monkeypatch):
    """Items of a pipe cannot be read twice, so nothing is begun."""
    with (unproven.folder / "p.jsonl").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        code, _, err = unproven.run("batch", "-", "--dsn")

    assert 3 == code
    assert "give the input as a file" in err
    assert [] == unproven.ask("SELECT id FROM batch")


def test_a_lost_connection_is_made_again(place):
    """The command goes on when the database can be read again, and says so once."""
    following = place.start("batch", place.write(3), "--dsn")
    wait_for(lambda: "no worker is alive" in following.err, following)

    def is_noticed():
        """A connection that is idle when it is lost may be noticed by the reading of the state, which says nothing."""
        place.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return "the database cannot be read, and is tried again: " in following.err

    wait_for(is_noticed, following)
    place.start("worker", "--out", "shared")

    assert (0, 3) == (end_of(following), place.service.billed)
    assert 1 == following.err.count("tried again")


# Which folder has which batch.


def test_two_folders_of_one_name_are_two_batches(followed):
    """A folder does not join a batch by the chance of its name."""
    (followed.folder / "other").mkdir()
    code, _, err = followed.run("batch", "p.jsonl", "--dsn", "--out", "other/out")

    assert (2, 3) == (code, followed.service.billed)
    assert "the database has a batch 'out' already" in err
    assert "--batch out" in err


def test_a_named_batch_is_joined(followed):
    """With --batch another folder gets all records of a batch."""
    code, _, _ = followed.run("batch", "p.jsonl", "--dsn", "--out", "second", "--batch", "out")

    assert (0, 3) == (code, followed.service.billed)
    assert sorted(followed.manifest(), key=str) == sorted(followed.manifest("second"), key=str)


def test_a_new_name_is_a_new_batch(followed):
    """The name of a batch need not be that of its folder."""
    code, _, _ = followed.run("batch", "p.jsonl", "--dsn", "--out", "second", "--batch", "foxes")

    assert (0, 6) == (code, followed.service.billed)
    assert "foxes" == followed.meta("cluster", "second")


def test_a_folder_keeps_its_batch(followed):
    """A folder follows one batch only."""
    code, _, err = followed.run("batch", "p.jsonl", "--dsn", "--batch", "foxes")

    assert 2 == code
    assert "out is the folder of batch 'out' of a database, not of 'foxes'" in err


def test_a_renamed_folder_keeps_its_batch(followed):
    """The ledger has the name of the batch."""
    (followed.folder / "out").rename(followed.folder / "foxes")
    code, _, _ = followed.run("batch", "p.jsonl", "--dsn", "--out", "foxes")

    assert (0, 3) == (code, followed.service.billed)


def test_a_local_batch_joins_no_other(followed):
    """A folder with items of its own moves only to a new batch."""
    followed.run("batch", followed.write(1, "q.jsonl"), "--out", "local")
    code, _, err = followed.run("batch", "q.jsonl", "--dsn", "--out", "local", "--batch", "out")

    assert (2, 4) == (code, followed.service.billed)
    assert "local has items of its own" in err


def test_another_database_is_refused(followed, postgres):
    """A folder whose batch is in one database does not begin it in another."""
    from postgres_server import fresh_database

    with fresh_database(postgres) as other:
        followed.run("cluster", "migrate", FOXAPI_DSN=other)
        code, _, err = followed.run("batch", "p.jsonl", "--dsn", FOXAPI_DSN=other)

    assert (3, 3) == (code, followed.service.billed)
    assert "the database does not have the batch 'out' of out" in err


def test_a_lost_batch_is_refused(followed):
    """If the database has lost the batch, it is not begun again."""
    followed.ask("DELETE FROM batch")
    code, _, err = followed.run("batch", "p.jsonl", "--dsn")

    assert (3, 3) == (code, followed.service.billed)
    assert "an older copy" in err


@pytest.fixture
def older(followed):
    """The database of a followed batch has an older state again: one item is missing, and two have no task."""
    identity = followed.meta("cluster_cursor").partition(" ")[0]
    # The worker must not send them before the command has brought them back. The command ends the pause.
    followed.ask("UPDATE batch SET state = 'paused', reason = 'user'")
    followed.ask("DELETE FROM item WHERE key = 'fox-2'")
    followed.ask("UPDATE item SET state = 'new', ready = true, task_id = NULL, ended = NULL, record = NULL")
    followed.ask("DELETE FROM tally")
    followed.ask("INSERT INTO tally SELECT batch_id, 0, state, count(*), sum(cost) FROM item GROUP BY 1, 3")

    def read_until(cursor):
        path = followed.folder / "out" / "ledger.sqlite"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE meta SET value = ? WHERE name = 'cluster_cursor'", (cursor,))
        return followed

    return identity, read_until


@pytest.mark.parametrize("cursor", ["{identity} 999999999999-1", "other/00000001 5-1"])
def test_an_older_state_of_the_database_bills_nothing_again(older, cursor):
    """The folder has read ends that this server has not had yet, or those of another one: their tasks are written."""
    identity, read_until = older
    place = read_until(cursor.format(identity=identity))
    code, _, err = place.run("batch", "p.jsonl", "--dsn")

    assert (0, 3) == (code, place.service.billed), err
    assert "has an older state of batch out than out" in err
    assert [("done", 3)] == place.ask("SELECT state, count(*) FROM item GROUP BY state")


def test_an_uncertain_item_stays_so_in_an_older_state(older):
    """It may have been billed, although the database takes it for new."""
    identity, read_until = older
    place = read_until(f"{identity} 999999999999-1")
    with closing(sqlite3.connect(place.folder / "out/ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE item SET state = 'uncertain', task_id = NULL WHERE key = 'fox-0'")
    code, _, _ = place.run("batch", "p.jsonl", "--dsn")

    assert (1, 3) == (code, place.service.billed)
    assert [("fox-0",)] == place.ask("SELECT key FROM item WHERE state = 'uncertain'")


def test_items_that_a_copy_lacks_are_put_in_again(place):
    """The folder has noted that its file is there, but has read no ends yet."""
    command = place.start("batch", place.write(3), "--dsn")
    wait_for(
        lambda: place.ask("SELECT 1 FROM batch WHERE sealed") and place.meta("cluster_enqueued"), command
    )
    command.signal(signal.SIGINT)
    end_of(command)
    place.ask("DELETE FROM item WHERE key = 'fox-2'")
    place.ask("UPDATE tally SET items = 2")
    place.start("worker", "--out", "shared")

    assert 0 == place.run("batch", "p.jsonl", "--dsn")[0]
    assert 3 == place.service.billed


def test_batch_needs_dsn(place):
    """--batch alone is a mistake."""
    code, _, err = place.run("batch", place.write(1), "--batch", "foxes")

    assert 2 == code
    assert "--batch foxes: this is for a batch in a database; give --dsn, too" in err


# foxapi worker


def test_a_worker_stops_in_order(make_place):
    """SIGTERM: the exit status is 0, the tasks are handed back, and another worker continues them."""
    place = make_place(seconds=2)
    worker = place.start("worker", "--out", "shared")
    following = place.start("batch", place.write(4), "--dsn")
    wait_for(lambda: place.service.billed == 4, worker, following)
    wait_for(lambda: place.ask("SELECT 1 FROM item HAVING count(*) FILTER (WHERE task_id IS NULL) = 0"))
    worker.signal(signal.SIGTERM)

    assert 0 == end_of(worker)
    assert [("left",)] == place.ask("SELECT state FROM worker")
    assert 0 == place.work()
    assert (0, 4) == (end_of(following), place.service.billed)


def test_a_worker_waits_for_its_submits(make_place):
    """SIGTERM during a POST: its id is in the database before the worker ends."""
    place = make_place(seconds=0.1, faults=[Fault.slow("submit", 2.0)])
    worker = place.start("worker", "--out", "shared")
    following = place.start("batch", place.write(1), "--dsn")
    wait_for(lambda: place.service.billed == 1, worker, following)
    worker.signal(signal.SIGTERM)

    assert 0 == end_of(worker)
    assert [("submitted", True)] == place.ask("SELECT state, task_id IS NOT NULL FROM item")


def test_a_second_signal_ends_a_worker_at_once(make_place):
    """It does not wait for answers. The submit is not sent again."""
    place = make_place(seconds=0.1, faults=[Fault.hang("submit", times=None)])
    worker = place.start("worker", "--out", "shared", "--lease", "1")
    following = place.start("batch", place.write(1), "--dsn")
    wait_for(lambda: place.service.billed == 1, worker, following)
    worker.signal(signal.SIGTERM)
    wait_for(lambda: "stopping: " in worker.err)
    worker.signal(signal.SIGTERM)

    assert 143 == end_of(worker)
    assert 0 == place.work()
    assert 1 == place.service.billed


def test_a_worker_that_is_stopped_before_it_begins_ends(place, monkeypatch):
    """The signal comes while its session opens."""
    for name, text in place.env.items():
        monkeypatch.setenv(name, text)
    words = ["worker", "--out", str(place.folder / "shared")]
    command = WorkerCommand(build_parser(words).parse_args(words), Screen(as_json=False, quiet=True))
    command.stop()

    assert 0 == asyncio.run(command.work())
    assert [("left",)] == place.ask("SELECT state FROM worker")


def test_a_worker_says_what_it_does(place):
    """Its lines name the service, the database and each batch, and not the password."""
    with_password = place.dsn
    assert urlsplit(with_password).password
    worker = place.start("worker", "--out", "shared")
    place.run("batch", place.write(1), "--dsn")
    wait_for(lambda: "has ended" in worker.err)

    assert f"foxapi: worker 1 works for {place.service.url} on the database " in worker.err
    assert "foxapi: working on batch out\n" in worker.err
    assert urlsplit(with_password).password not in worker.err


def test_a_worker_ends_when_all_is_done(place):
    """--until-done: without work the worker ends with 0."""
    assert 0 == place.work()


def test_a_worker_does_not_wait_for_the_batches_of_others(waiting):
    """--until-done: what belongs to another key is none of its work."""
    waiting.ask("UPDATE batch SET account = 'another'")

    assert 0 == waiting.work()
    assert 0 == waiting.service.billed


def test_a_replaced_worker_ends_with_3(make_place):
    """A worker that was declared dead may send nothing more."""
    place = make_place(seconds=600)
    worker = place.start("worker", "--out", "shared", "--lease", "1")
    wait_for(lambda: place.ask("SELECT 1 FROM worker"), worker)
    place.ask("UPDATE worker SET state = 'dead'")

    assert 3 == end_of(worker)
    assert "was replaced" in worker.err


def test_newer_tables_end_a_worker_with_3(place):
    """A worker does not work on tables that it does not know."""
    place.ask("UPDATE meta SET value = '99' WHERE name = 'version'")
    code, _, err = place.run("worker", "--out", "shared")

    assert 3 == code
    assert "have version 99" in err
    assert "pip install -U foxapi-async" in err


def test_a_worker_needs_a_key(place):
    """Without a key it does not begin."""
    code, _, err = place.run("worker", "--out", "shared", FOXAPI_API_KEY="")

    assert 3 == code
    assert "FOXAPI_API_KEY" in err


# foxapi worker --recover


@pytest.fixture
def uncertain(make_place):
    """A place whose only item was sent, and whose id is unknown."""
    place = make_place(seconds=0.05, faults=[Fault.garbage("submit")])
    place.start("worker", "--out", "shared")
    assert 1 == place.run("batch", place.write(1), "--dsn")[0]
    return place


def spool(place, task_id):
    """A file with this id for the item, as a worker leaves it."""
    path = place.folder / "unwritten-1.jsonl"
    kept = Spool(path)
    kept.keep([SpooledId("out", "fox-0", task_id, 5.0)])
    kept.close()
    return path


def test_ids_are_recovered(uncertain):
    """The item goes on with its task, and nothing is billed again."""
    (task_id,) = uncertain.service.tasks
    code, out, _ = uncertain.run("worker", "--recover", spool(uncertain, task_id))
    again, _, _ = uncertain.run("batch", "p.jsonl", "--dsn")

    assert (0, 0, 1) == (code, again, uncertain.service.billed)
    assert out.endswith("unwritten-1.jsonl: 1 id in the database now\n")


def test_a_second_task_is_named(followed):
    """An item that has another task already was billed twice. Recovery and status name it."""
    code, _, err = followed.run("worker", "--recover", spool(followed, "task-second"))
    _, status, _ = followed.run("status", "out", "--dsn")

    assert 0 == code
    assert "item fox-0 of batch out has another task already: task-second is billed too" in err
    assert "billed twice: fox-0, also as task task-second\n" in status


def test_a_file_without_ids_is_refused(place):
    """A file that no worker has written is named."""
    place.write(1)
    code, _, err = place.run("worker", "--recover", "p.jsonl")

    assert 3 == code
    assert "p.jsonl, line 1: this is not the id of a task" in err


# foxapi status --dsn


def test_the_state_of_a_batch(followed):
    """It has the states, the credits and the workers."""
    code, out, _ = followed.run("status", "out", "--dsn")

    assert 0 == code
    assert out.startswith("out: 3 done\nstate: open\nspent: 15 credits\nworker 1 on ")


def test_the_state_of_a_batch_as_json(followed):
    """--json has the same as an object."""
    _, out, _ = followed.run("status", "out", "--dsn", "--json")
    shown = json.loads(out)

    assert ("out", "open", 3, 15) == (
        shown["batch"],
        shown["state"],
        shown["counts"]["done"],
        shown["spent"],
    )


def test_the_state_names_uncertain_items(uncertain):
    """An item that may be billed without an answer is named, for people and programs."""
    _, out, _ = uncertain.run("status", "out", "--dsn")
    _, shown, _ = uncertain.run("status", "out", "--dsn", "--json")

    assert "\nuncertain: 1 item sent without an answer, and maybe billed: fox-0  (" in out
    assert ["fox-0"] == json.loads(shown)["uncertain"]


def test_an_unknown_batch_has_no_state(place):
    """The error names it."""
    code, _, err = place.run("status", "foxes", "--dsn")

    assert 2 == code
    assert "there is no batch 'foxes' in the database" in err


# foxapi cluster


@pytest.fixture
def waiting(place):
    """A place with a batch of three items, and no worker."""
    following = place.start("batch", place.write(3), "--dsn")
    wait_for(lambda: place.ask("SELECT 1 FROM batch WHERE sealed"))
    following.signal(signal.SIGINT)
    end_of(following)
    return place


def test_a_paused_batch_is_not_sent(waiting):
    """Until it is resumed, no worker takes its items."""
    assert 0 == waiting.run("cluster", "pause", "out")[0]
    waiting.work()

    assert 0 == waiting.service.billed
    assert "state: paused, because a person has paused it\n" in waiting.run("status", "out", "--dsn")[1]


def test_all_batches_are_paused_until_they_are_resumed(waiting):
    """The command of a batch does not resume it: it may have been restored."""
    code, out, _ = waiting.run("cluster", "pause", "--all")
    again, _, _ = waiting.run("batch", "p.jsonl", "--dsn")
    waiting.work()

    assert (0, 3, 0) == (code, again, waiting.service.billed)
    assert "batches paused: 1; each waits until it is resumed\n" == out


def test_a_pause_needs_a_batch_or_all(place):
    """One of them, and not both."""
    for words in [[], ["out", "--all"]]:
        assert 2 == place.run("cluster", "pause", *words)[0]


def test_a_resumed_batch_is_sent(waiting):
    """It goes on where it was, with the new budget."""
    waiting.run("cluster", "pause", "out")
    code, out, _ = waiting.run("cluster", "resume", "out", "--budget", "50")
    waiting.work()

    assert (0, "batch out continues\n", 3) == (code, out, waiting.service.billed)
    assert "spent: 15 credits of 50\n" in waiting.run("status", "out", "--dsn")[1]


def test_a_cancelled_batch_is_over(waiting):
    """Its items are never sent. A command that follows it says so, and ends with 1."""
    code, out, _ = waiting.run("cluster", "cancel", "out")
    waiting.work()

    assert 0 == code
    assert "3 items will not be sent" in out
    assert 0 == waiting.service.billed


def test_a_cancelled_batch_does_not_begin_again(waiting):
    """The same command is refused, because a cancel is final."""
    waiting.run("cluster", "cancel", "out")
    code, _, err = waiting.run("batch", "p.jsonl", "--dsn")

    assert 2 == code
    assert "batch 'out' was cancelled, which is final" in err


def test_a_batch_that_is_cancelled_meanwhile_ends_its_command(place):
    """The command says how many items are not sent, and ends with 1."""
    following = place.start("batch", place.write(3), "--dsn")
    wait_for(lambda: place.ask("SELECT 1 FROM batch WHERE sealed"))
    place.run("cluster", "cancel", "out")
    end_of(following)

    assert 1 == following.code
    assert "the batch was cancelled: 3 items will not be sent\n" in following.err


def test_a_silent_worker_is_forgotten(place):
    """A worker whose process has ended can be declared dead."""
    place.ask("INSERT INTO worker (host, pid, version, seen) VALUES ('vm', 1, '0', now() - interval '1 day')")
    code, out, _ = place.run("cluster", "forget", "1")

    assert 0 == code
    assert out.startswith("worker 1 is declared dead: ")
    assert [("dead",)] == place.ask("SELECT state FROM worker")


def test_a_live_worker_is_not_forgotten(place):
    """Its process must be stopped first."""
    worker = place.start("worker", "--out", "shared")
    wait_for(lambda: place.ask("SELECT 1 FROM worker"), worker)
    code, _, err = place.run("cluster", "forget", "1")

    assert 2 == code
    assert "worker 1 is alive: stop its process first" in err


@pytest.fixture
def bare_place(tmp_path, workers, make_service, database, call):
    """A place without tables."""
    return Place(tmp_path, workers, make_service(seconds=0.05), database, call)


def test_the_tables_are_made_once(bare_place):
    """A second migration changes nothing, and says so."""
    place = bare_place
    first, second = (place.run("cluster", "migrate") for _ in range(2))

    assert first[1].endswith(": the tables have version 1 now\n")
    assert second[1].endswith(": the tables have version 1 already\n")


def test_without_tables_nothing_begins(bare_place):
    """The error names the command that makes them."""
    place = bare_place
    code, _, err = place.run("batch", place.write(1), "--dsn")

    assert 3 == code
    assert "the database has no tables yet: run `foxapi cluster migrate`" in err


@pytest.fixture
def roles(postgres):
    """Two users of the database, its owner and one that may only work; with the password of both."""
    names = [f"fox_{role}_{uuid.uuid4().hex[:8]}" for role in ("owner", "worker")]
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'".encode())
    yield names
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        for name in names:
            connection.execute(f"DROP ROLE IF EXISTS {name}".encode())


GRANTS = """
GRANT USAGE ON SCHEMA foxapi TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA foxapi TO {role};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA foxapi TO {role};
"""


@pytest.fixture
def printed_tables(bare_place, roles):
    """A place whose tables its owner made by `migrate --print | psql`; the commands run as a user without DDL rights."""
    place = bare_place
    owner, role = roles
    database = urlsplit(place.dsn).path.lstrip("/")
    place.ask(f"ALTER DATABASE {database} OWNER TO {owner}")
    code, script, _ = place.run("cluster", "migrate", "--print", FOXAPI_DSN="")
    assert 0 == code
    run_psql(with_user(place.dsn, owner, SECRET), script + GRANTS.format(role=role))
    superuser = place.dsn
    place.dsn = with_user(place.dsn, role, SECRET)
    yield place
    with psycopg.connect(superuser, autocommit=True) as connection:
        for name in roles:
            connection.execute(f"DROP OWNED BY {name} CASCADE".encode())
        connection.execute(f"ALTER DATABASE {database} OWNER TO {urlsplit(superuser).username}".encode())


def run_psql(dsn, script):
    """Run a script as `psql` does, which stops at an error."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(script.encode())


def test_a_printed_script_makes_the_tables(printed_tables):
    """A batch and a worker run on them, as a user who may not make tables."""
    printed_tables.start("worker", "--out", "shared")
    code, _, err = printed_tables.run("batch", printed_tables.write(3), "--dsn")

    assert (0, 3) == (code, printed_tables.service.billed), err


def test_a_printed_script_knows_its_server(printed_tables):
    """The identity of the server is noted as by a migration, so that another server is recognised."""
    printed = printed_tables.ask("SELECT value FROM meta WHERE name = 'identity'")

    assert [(asyncio.run(identity(printed_tables.dsn)),)] == printed


async def identity(dsn):
    """The identity of the server, as a worker asks for it."""
    connection = await Database.at(dsn).connect()
    try:
        return await identity_of(connection)
    finally:
        await connection.close()


def test_a_migration_of_present_tables_needs_no_rights(printed_tables):
    """A start script may run it as the user of the workers."""
    code, out, err = printed_tables.run("cluster", "migrate")

    assert 0 == code, err
    assert "have version 1 already" in out


def test_a_user_without_rights_makes_no_tables(bare_place, roles):
    """The error names the command for the owner."""
    bare_place.dsn = with_user(bare_place.dsn, roles[1], SECRET)
    code, _, err = bare_place.run("cluster", "migrate")

    assert 3 == code
    assert "Let its owner run `foxapi cluster migrate --print | psql`" in err


def test_tables_without_rights_are_an_error(place, roles):
    """A user who may not read the tables gets the rights that a worker needs."""
    place.dsn = with_user(place.dsn, roles[1], SECRET)
    code, _, err = place.run("status", "foxes", "--dsn")

    assert 3 == code
    assert "A worker needs USAGE on the schema foxapi" in err


@pytest.mark.parametrize("words", [["cluster", "migrate", "--print"], ["cluster", "migrate"], ["worker"]])
def test_the_extra_is_named(place, monkeypatch, words):
    """Without its libraries each command names the extra."""
    for name in [*sys.modules]:
        if name.partition(".")[0] in {"procrastinate", "psycopg"}:
            monkeypatch.setitem(sys.modules, name, None)
    code, _, err = place.run(*words)

    assert 3 == code
    assert "pip install 'foxapi-async[cluster]'" in err


def test_a_printed_script_is_data(capsys):
    """--json has the same script as a text."""
    assert 0 == main(["cluster", "migrate", "--print", "--json"])

    assert printed() == json.loads(capsys.readouterr().out)["script"]


# The address of the database.


def test_a_password_is_never_shown(place):
    """A wrong password is an error that shows neither it nor the address."""
    wrong = with_user(place.dsn, "nobody", SECRET)
    code, out, err = place.run("batch", place.write(1), f"--dsn={wrong}", "--debug", "-v")

    assert 3 == code
    assert "cannot connect to the database" in err
    assert SECRET not in out + err


@pytest.mark.parametrize("password", ["quux@zap/bim", "quux@zap", "quux/zap", "quux:zap@bim"])
def test_a_password_with_signs_is_not_shown(place, password):
    """A password that is not escaped would be read as a part of the address. It is refused, not shown."""
    address = f"postgresql://fox:{password}@db.invalid/name"
    code, out, err = place.run("status", "foxes", "--dsn", address)

    assert 3 == code
    assert "with special characters of the password as %XX" in err
    assert not any(part in out + err for part in ("quux", "zap", "bim"))


def test_the_command_to_continue_has_no_password(make_place):
    """An address with a password is left out, and the message says what to do."""
    place = make_place(seconds=600)
    worker = place.start("worker", "--out", "shared")
    following = place.start("batch", place.write(1), "--dsn", place.dsn)
    wait_for(lambda: place.service.billed, worker, following)
    following.signal(signal.SIGINT)
    end_of(following)

    assert "continue with: foxapi batch p.jsonl --dsn\n" in following.err
    assert "put it into FOXAPI_DSN" in following.err
    assert urlsplit(place.dsn).password not in following.err


def test_a_file_is_no_address(place):
    """A word after --dsn that is no address is refused without being shown."""
    code, _, err = place.run("batch", "--dsn", place.write(1))

    assert 2 == code
    assert "must be an address such as postgresql://user@host/name" in err


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["--dsn", "postgresql://fox@db/name"], ["--dsn", "postgresql://fox@db/name"]),
        (["--dsn=postgresql://fox@db/name"], ["--dsn=postgresql://fox@db/name"]),
        (["--dsn"], ["--dsn"]),
        (["--dsn", "postgresql://fox:secret@db/name"], ["--dsn"]),
        (["--dsn=postgresql://fox:secret@db/name"], ["--dsn"]),
        (["--dsn", "host=db password=secret"], ["--dsn"]),
        (["--dsn", "postgresql://fox@db/name?sslpassword=secret"], ["--dsn"]),
    ],
)
def test_a_command_is_shown_without_a_password(given, shown):
    """An address without a password is a part of the command that continues."""
    words = ["batch", "p.jsonl", *given]
    args = build_parser(words).parse_args(words)
    args.words = words

    assert ["batch", "p.jsonl", *shown] == words_of(args)
    assert f"foxapi status foxes {'='.join(shown)}" == shlex.join(
        shlex.split(command_for(args, "status", "foxes"))
    )


def test_a_worker_reads_the_address_from_the_environment(place):
    """FOXAPI_DSN is the database, if --dsn gives none."""
    assert 0 == place.run("worker", "--until-done")[0]
    assert 3 == place.run("worker", "--until-done", FOXAPI_DSN="")[0]
