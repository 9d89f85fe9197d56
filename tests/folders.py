"""Batch folders as users have them: copied from the fixtures or new, run again, and read only by public means."""

import asyncio
import contextlib
import io
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from helpers import posts, session_at

from foxapi_async import Batch
from foxapi_async.cli import main

MADE = Path(__file__).parent / "fixtures" / "folders_1bcbcf5"


class Folder:
    """A batch folder with its input, and its service.

    Args:
        path: the folder; the input is `prompts.jsonl` in it.
        service: a running `ThreadedEmulator`.
    """

    def __init__(self, path, service):
        self.path = path
        self.service = service

    @property
    def file(self):
        """The input."""
        return self.path / "prompts.jsonl"

    @property
    def ledger(self):
        """The file of the ledger."""
        return self.path / "ledger.sqlite"

    def copy_from(self, state):
        """Become a copy of a fixture. The service adopts its tasks."""
        shutil.copytree(MADE / state, self.path)
        for task in self.tasks():
            self.service.adopt(
                task["id"], task["body"], path=task["path"], idempotency_key=task["idempotency_key"]
            )

    def tasks(self):
        """The tasks that the service accepted before, in order; known for a fixture."""
        known = self.path / "service.json"
        return json.loads(known.read_text()) if known.exists() else []

    def lines(self):
        """The items of the input."""
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def write(self, lines):
        """Write another input."""
        self.path.mkdir(exist_ok=True)
        self.file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def manifest(self):
        """The lines of the manifest."""
        return [json.loads(line) for line in (self.path / "manifest.jsonl").read_text().splitlines()]

    def reported(self):
        """The last status of each item in the manifest."""
        return {line["id"]: line["status"] for line in self.manifest()}

    def counts(self):
        """The counts of `foxapi status`, without the zeros."""
        return {state: count for state, count in self.status()["counts"].items() if count}

    def status(self):
        """What `foxapi status` prints as JSON."""
        code, out, err = self.foxapi("status", str(self.path), "--json")
        assert 0 == code, err
        return json.loads(out.splitlines()[-1])

    def command(self, *words):
        """Run `foxapi batch` in it: exit status and standard error."""
        code, _, err = self.foxapi("batch", str(self.file), "--out", str(self.path), *words)
        return code, err

    def foxapi(self, *words):
        """Run a command line: exit status, standard output and standard error."""
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            patch.setenv("FOXAPI_API_KEY", self.service.key)
            patch.setenv("FOXAPI_BASE_URL", self.service.url)
            code = main(words)
        assert "Traceback" not in err.getvalue()
        return code, out.getvalue(), err.getvalue()

    def batch(self, new_loop, items=None, **options):
        """Run `Batch` in it: its outcomes by key."""

        async def run():
            async with session_at(self.service) as fox:
                given = self.lines() if items is None else items
                return [outcome async for outcome in Batch(given, self.path, **options).run(fox)]

        with asyncio.Runner(loop_factory=new_loop) as runner:
            return {outcome.key: outcome for outcome in runner.run(run())}

    def stop_when_running(self, new_loop, prompt, **options):
        """Run `Batch` in it one item at a time, until the task of this prompt is waited for; then cancel it."""

        async def run():
            async with session_at(self.service) as fox:
                async for _ in Batch(self.lines(), self.path, max_in_flight=1, **options).run(fox):
                    pass

        def polls():
            return sum(task.polls for task in self.service.tasks.values() if task.body["prompt"] == prompt)

        async def run_until():
            work = asyncio.create_task(run())
            while polls() == before:
                await asyncio.wait([work], timeout=0.01)
                assert not work.done()
            work.cancel()
            await asyncio.wait([work])

        before = polls()
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(run_until())

    def accepted(self):
        """The tasks that the service accepted since: not the adopted ones."""
        adopted = {task["id"] for task in self.tasks()}
        return [task for task in self.service.tasks.values() if task.id not in adopted]

    def sent(self):
        """How many submits the service got for each prompt."""
        sent = Counter(task.body["prompt"] for task in self.accepted())
        assert sent.total() == len(posts(self.service))  # none was refused or cut
        return dict(sent)

    def polled(self):
        """The ids of the polls that the service got."""
        paths = (record.path.partition("?")[0] for record in self.service.requests)
        return {path.rpartition("/")[2] for path in paths if path.startswith("/v1/tasks/")}
