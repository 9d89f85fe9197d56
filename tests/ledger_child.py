"""Separate runs for the tests of the ledger: `python ledger_child.py WHAT PATH`."""

import asyncio
import json
import os
import resource
import signal
import sys
import warnings

from foxapi_async import LedgerError
from foxapi_async._ledger.sqlite import SqliteLedger

ROUNDS = 24
WRITERS = 8


def say(words):
    """Print a line for the test."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


async def write(ledger, number, report):
    """Take items through their lives forever, and report each step when it is durable."""
    step = 0
    while True:
        key = f"{os.getpid()}-{number}-{step}"
        await ledger.submitting(key, "fox", f"key of {key}")
        report(key, "submitting")
        await ledger.submitted(key, f"task of {key}", 1.0)
        report(key, "submitted")
        if step % 3 == 0:
            await (ledger.done if step % 2 else ledger.failed)(key, json.dumps({"id": key}))
            report(key, "ended")
        step += 1


async def write_for_ever(path, pipe):
    """Eight writers at once."""

    def report(*words):
        os.write(pipe, (json.dumps(words) + "\n").encode())

    async with SqliteLedger.opened(path) as ledger, asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(write(ledger, number, report))


def kill(path):
    """Fork writers and kill each after another number of steps. Print the steps that the killed one had confirmed."""
    for turn in range(ROUNDS):
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ours)
            asyncio.run(write_for_ever(path, theirs))
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            reported = [pipe.readline() for _ in range(turn * turn % 41)]
            os.kill(child, signal.SIGKILL)
            reported += pipe.readlines()
        os.waitpid(child, 0)
        say(json.dumps([json.loads(line) for line in reported if line]))
        input()


async def hold_open(path):
    """Hold the ledger until the input ends."""
    async with SqliteLedger.opened(path) as ledger:
        await ledger.submitting("held", "fox", "key")
        say("open")
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def fill(path):
    """Write until the file may not grow any more. Report the durable steps and the errors."""
    durable, errors = 0, []
    try:
        async with SqliteLedger.opened(path) as ledger:
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
            try:
                while True:
                    await ledger.submitting(f"item {durable}", "fox", "x" * 1000)
                    durable += 1
            except LedgerError as error:
                errors.append(str(error))
    except LedgerError as error:
        errors.append(str(error))
    say(json.dumps([durable, errors]))


async def fork(path):
    """Fork inside a run. Report the child's errors, and whether it keeps the lock when its parent is gone."""
    async with SqliteLedger.opened(path) as ledger:
        await ledger.submitting("before", "fox", "key")
        child = os.fork()
        if child:
            os.waitpid(child, 0)  # noqa: ASYNC222 - nothing else runs here
            await ledger.submitting("after", "fox", "key")
            if not os.fork():
                say(f"orphan {os.getpid()}")
                sys.stdin.read()  # until the test is over
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            await ledger.submitting("forked", "fox", "key")
        except LedgerError as error:
            say(error)
    os._exit(0)  # the parent uses the loop too: closing it would break the parent's


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # the test is about forking with threads
    what, where = sys.argv[1:]
    if what == "kill":
        kill(where)
    else:
        asyncio.run({"hold": hold_open, "fill": fill, "fork": fork}[what](where))
