"""The examples of docs/cluster.md, each tried as it stands, but for the names of the server, its users and its databases."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
import uuid
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from pages import BLOCKS, PAGES, ROOT
from postgres_server import with_database
from workers import until

from foxapi_async import RetryPolicy
from foxapi_async.cli._parser import build_parser
from foxapi_async.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.group_commit import CLOSING_SECONDS
from foxapi_async.cluster.migration import migrate
from foxapi_async.cluster.spool import Spool, SpooledId

PAGE = "cluster.md"
ALL = [(kind, text) for name, kind, text in BLOCKS if name == PAGE]
TRIED = []


def block(kind, part):
    """The only block of this kind with this part."""
    (found,) = [text for its, text in ALL if its == kind and part in text]
    TRIED.append((kind, found))
    return found


MAKE_DATABASE = block("sql", "CREATE DATABASE")
SET_UP = block("sh", "foxapi cluster migrate")
ACT = block("sh", "foxapi cluster cancel")
SCRIPT = block("python", "Cluster.open")
MOVE = block("sh", "shared/owls")
GRANTS = block("sql", "GRANT")
UNIT = block("ini", "ExecStart")
IMAGE = block("dockerfile", "ENTRYPOINT")
WATCH = block("sql", "second_task")
REPAIR = block("sh", "foxapi cluster forget")
RESTORE = block("sh", "foxapi worker --out shared\nfoxapi cluster resume")

STOP_SECONDS = RetryPolicy().grace + 2 * CLOSING_SECONDS
"""The longest end of a worker: its submits have a grace, and then it tries to write to a database that is away."""


class Shell:
    """Types lines into a shell, in a folder with a service and a database.

    Args:
        folder: where they are typed.
        workers: starts processes.
        service: the service.
    """

    def __init__(self, folder, workers, service):
        self.folder = folder
        self.service = service
        self._workers = workers
        command = folder / "bin" / "foxapi"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -W error -m foxapi_async "$@"\n')
        command.chmod(0o755)
        self.env = {**service.environment, "PATH": f"{command.parent}:{os.environ['PATH']}"}

    def write(self, count):
        """The input of so many items."""
        lines = [json.dumps({"id": f"fox-{n}", "prompt": f"a red fox {n}"}) for n in range(count)]
        (self.folder / "prompts.jsonl").write_text("".join(f"{line}\n" for line in lines))

    def start(self, line):
        """Type a line whose command goes on beside the test."""
        return self._workers.run(["bash", "-c", f"exec {line}"], env=self.env, cwd=self.folder)

    async def type(self, line, *codes):
        """Type a line. Returns what it printed. Its exit status must be one of `codes`, or 0."""
        process = self.start(line)
        assert await process.end() in (codes or (0,)), process
        return process.out

    async def generate(self, prompt):
        """Make an image outside any batch. Returns the id of its task."""
        await self.type(f"foxapi generate {shlex.quote(prompt)} --out {uuid.uuid4().hex}")
        return self.service.bills[-1].task_id

    async def work(self):
        """Start a worker as the page does, and wait until it works."""
        worker = self.start(line_of(SET_UP, "foxapi worker"))
        await until(lambda: "works for" in worker.err, worker)
        return worker


def line_of(text, part):
    """The only line of a block with this part."""
    (found,) = [line for line in text.splitlines() if part in line]
    return found


def statements(text):
    """The statements of a block, without the comments."""
    return [statement for statement in re.sub(r"--.*", "", text).split(";\n") if statement.strip()]


def execute(dsn, text):
    """Execute each statement of a block: the rows of each."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursors = [connection.execute(statement.encode()) for statement in statements(text)]
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors]


@pytest.fixture
def shell(tmp_path, workers, make_service):
    """A shell whose service makes an image in no time, and no database yet."""
    return Shell(tmp_path, workers, make_service(seconds=0.05))


@pytest.fixture
async def ready(shell, database):
    """The same with a database that has the tables."""
    await migrate(Database.at(database))
    shell.env["FOXAPI_DSN"] = database
    return shell


@pytest.fixture
def renamed(postgres):
    """Gives the users and the database of the page names of their own, and removes them at the end."""
    name = f"fox_{uuid.uuid4().hex}"
    yield lambda text: re.sub(r"\bfox(?=_worker\b|\b)", name, text)
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        connection.execute(f"DROP ROLE IF EXISTS {name}, {name}_worker".encode())


@pytest.fixture
def owner(renamed, postgres):
    """The address that the page exports, after its first step."""
    execute(postgres.dsn, renamed(MAKE_DATABASE))
    _, _, address = line_of(SET_UP, "export").partition("FOXAPI_DSN=")
    user, _, name = address.partition("@db.example/")
    return f"{renamed(user)}@{urlsplit(postgres.dsn).netloc.rpartition('@')[2]}/{renamed(name)}"


@pytest.fixture
async def followed(ready):
    """A batch of three items that are done, with its folder, and its worker."""
    ready.write(3)
    worker = await ready.work()
    await ready.type(line_of(SET_UP, "foxapi batch"))
    return ready, worker


async def test_the_five_commands(owner, shell):
    """They lead to a report with the images. `pip` only has to know the extras: the package is installed here."""
    shell.write(3)
    shell.env["FOXAPI_DSN"] = owner
    install, export, make, _, batch = SET_UP.splitlines()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    await shell.type(make)
    await shell.work()
    await shell.type(batch)

    assert set(re.findall(r"\w+", shlex.split(install, comments=True)[2])) <= set(extras)
    assert export.startswith("export FOXAPI_DSN=postgresql://")
    assert 3 == shell.service.billed
    assert 3 == len(list((shell.folder / "shared/foxes/images").iterdir()))
    assert "report.html" in await shell.type("foxapi report shared/foxes")


async def test_the_commands_for_a_batch(ready):
    """Each does what its remark says."""
    ready.write(3)
    show, pause, resume, cancel, remove = ACT.splitlines()
    async with Cluster.open(ready.env["FOXAPI_DSN"]) as cluster:
        await cluster.submit([{"prompt": "a fox", "model": "grok-imagine-image"}], batch_id="foxes")
        assert "foxes: 0 done, 1 not begun" in await ready.type(show)
        await ready.type(pause)
        assert "paused" == (await cluster.status("foxes")).state
        await ready.type(resume)
        assert ("open", 9000) == (
            (await cluster.status("foxes")).state,
            (await cluster.status("foxes")).budget,
        )
        await ready.type(cancel)
        assert "cancelled" == (await cluster.status("foxes")).state
        await ready.type(remove)
        assert [] == await cluster.batches()


async def test_the_script(ready):
    """It shows the ends of all items, and nothing is left to cancel."""
    await ready.work()
    (ready.folder / "script.py").write_text(SCRIPT)
    printed = await ready.type(f"{sys.executable} -W error script.py")

    assert 20 == ready.service.billed
    assert 20 == len(re.findall(r"^fox-\d+ done \[\{'path'", printed, re.MULTILINE))
    assert printed.endswith("\n0 items are never sent\n")


async def test_a_batch_moves(ready, make_service):
    """The items of the run here are not billed again by the workers."""
    ready.write(300)
    here, there = MOVE.splitlines()
    run = ready.start(here)
    await until(lambda: ready.service.billed > 2, run)
    run.signal(signal.SIGINT)
    await run.end()
    before = ready.service.billed
    await ready.work()
    await ready.type(there)

    assert before < 300
    assert {1} == set(ready.service.prompts.values())
    assert 300 == ready.service.billed


async def test_a_worker_needs_no_more_than_these_rights(owner, renamed, postgres, shell):
    """A user with them puts a batch in and works on it, also in tables of later versions, and makes no tables."""
    await migrate(Database.at(owner))
    name = owner.rpartition("/")[2]
    execute(with_database(postgres.dsn, name), renamed(GRANTS))
    execute(owner, "CREATE TABLE foxapi.later (id serial)")
    user, _, place = owner.partition("@")
    dsn = f"{user.replace(':secret', '_worker:other')}@{place}"
    shell.write(3)
    shell.env["FOXAPI_DSN"] = dsn
    await shell.work()
    await shell.type(line_of(SET_UP, "foxapi batch"))
    execute(dsn, "INSERT INTO foxapi.later DEFAULT VALUES")

    assert 3 == shell.service.billed
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(dsn, "CREATE TABLE foxapi.own (id integer)")


def test_the_unit_starts_a_worker_and_lets_it_end():
    """Its command line is one, and it is killed only after the longest end."""
    unit = configparser.ConfigParser()
    unit.optionxform = str
    unit.read_string(UNIT)
    _, *words = shlex.split(unit["Service"]["ExecStart"])

    assert "worker" == build_parser(words).parse_args(words).command
    assert float(unit["Service"]["TimeoutStopSec"]) > STOP_SECONDS


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_accepts_the_unit(tmp_path):
    """It has no remark, if the command is there."""
    unit = tmp_path / "foxapi.service"
    unit.write_text(UNIT.replace("/opt/foxapi/bin/foxapi", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)

    assert (0, []) == (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line])


def test_the_image_starts_a_worker_and_lets_it_end():
    """There is no engine to build it: its lines are instructions, its command line is one, and its extras exist."""
    run, *lines = IMAGE.splitlines()
    parts = {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}
    words = [*json.loads(parts["ENTRYPOINT"]), *json.loads(parts["CMD"])][1:]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert ["FROM", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"] == list(parts)
    assert "worker" == build_parser(words).parse_args(words).command
    assert set(re.findall(r"\[(\w+)\]", parts["RUN"])) <= set(extras)
    assert int(re.findall(r"--stop-timeout (\d+)", run)[0]) > STOP_SECONDS


async def test_what_to_watch(ready):
    """Each query finds what it is for."""
    execute(
        ready.env["FOXAPI_DSN"],
        "INSERT INTO foxapi.batch (id, state, reason) VALUES ('foxes', 'paused', 'database');\n"
        "INSERT INTO foxapi.worker (host, pid, version, seen) VALUES ('gone', 9, '1', now() - interval '1 hour');\n"
        "INSERT INTO foxapi.second_task VALUES ('foxes', 'fox-0', 'task-2')",
    )
    paused, silent, seconds = execute(ready.env["FOXAPI_DSN"], WATCH)

    assert [("foxes", "database", None)] == paused
    assert [("gone", 9)] == [row[1:3] for row in silent]
    assert [("foxes", "fox-0", "task-2")] == seconds


@pytest.mark.parametrize("words", re.findall(r"^\| ([^|]+) \| [^|]+ \|$", PAGES[PAGE], re.MULTILINE)[1:])
def test_a_worker_writes_what_the_table_has(words):
    """The words are those of a message."""
    texts = "".join(path.read_text() for path in (ROOT / "foxapi_async/cluster").glob("*.py"))
    pattern = ".*".join(re.escape(part.replace("worker 7", "worker %d")) for part in words.split("…"))

    assert re.search(pattern, texts)


async def test_unwritten_ids_and_uncertain_items(followed):
    """The id in the file is written, and only the item without one is sent again after its worker is forgotten."""
    shell, _ = followed
    dsn = shell.env["FOXAPI_DSN"]
    task_of = {bill.prompt: bill.task_id for bill in shell.service.bills}
    execute(
        dsn,
        "INSERT INTO foxapi.worker (id, host, pid, version, state) OVERRIDING SYSTEM VALUE "
        "VALUES (7, 'gone', 9, '1', 'lost');\n"
        "UPDATE foxapi.item SET state = 'uncertain', sender = 7, task_id = NULL, ended = NULL "
        "WHERE key IN ('fox-0', 'fox-1')",
    )
    Spool(shell.folder / "shared/unwritten-7-3f9a1c0e.jsonl").keep(
        [SpooledId("foxes", "fox-1", task_of["a red fox 1"])]
    )
    for line in REPAIR.splitlines():
        await shell.type(line)

    assert {"a red fox 0": 2, "a red fox 1": 1, "a red fox 2": 1} == Counter(shell.service.prompts)
    assert [("done", 3)] == execute(dsn, "SELECT state, count(*) FROM foxapi.item GROUP BY state")[0]


async def test_a_restored_copy(own_postgres, followed):
    """What was sent after the copy is not billed again: the folder has it, or the file of a worker."""
    shell, worker = followed
    worker.signal(signal.SIGTERM)
    await worker.end()
    own_postgres.stop()
    copy = own_postgres.copy()
    own_postgres.start()
    shell.write(6)
    worker = await shell.work()
    await shell.type(line_of(SET_UP, "foxapi batch"))
    worker.signal(signal.SIGTERM)
    await worker.end()
    own_postgres.stop()
    own_postgres.restore(copy)
    own_postgres.start()
    shell.write(7)
    task_id = await shell.generate("a red fox 6")
    Spool(shell.folder / "shared/unwritten-7-3f9a1c0e.jsonl").keep([SpooledId("foxes", "fox-6", task_id)])

    pause, put_in, write_ids, work, resume = RESTORE.splitlines()
    await shell.type(pause)
    command = shell.start(put_in)
    assert 3 == await command.end()
    await shell.type(write_ids)
    shell.start(work)
    await shell.type(resume)
    await shell.type(line_of(SET_UP, "foxapi batch"))

    assert 7 == shell.service.billed
    dsn = shell.env["FOXAPI_DSN"]
    assert [("done", 7)] == execute(dsn, "SELECT state, count(*) FROM foxapi.item GROUP BY state")[0]


def test_every_block_is_tried():
    """Each block of the page is one of those above."""
    assert Counter(TRIED) == Counter(ALL)
    assert ROOT / "docs" / PAGE == next(Path(ROOT / "docs").glob(PAGE))
