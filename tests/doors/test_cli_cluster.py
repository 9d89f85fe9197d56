"""The commands for batches in a database, as far as they need neither a database nor its libraries."""

import asyncio
import logging
import os
import signal
from types import SimpleNamespace

import pytest

from foxapi_async._listener import about, log
from foxapi_async.cli._messages import logging_to
from foxapi_async.cli._running import run_until_stopped

pytestmark = pytest.mark.usefixtures("clean_place")
NO_ADDRESS = "no database: give its address as dsn= (--dsn), or in FOXAPI_DSN"


@pytest.mark.parametrize(
    "words",
    [
        ["worker"],
        ["worker", "--recover", "unwritten-1.jsonl"],
        ["cluster", "pause", "foxes"],
        ["cluster", "migrate"],
        ["status", "foxes", "--dsn"],
        ["batch", "p.txt", "--dsn"],
    ],
)
def test_an_address_is_needed(foxapi, tmp_path, words):
    """Without an address of a database the exit status is 3, and the error says how to give one."""
    (tmp_path / "p.txt").write_text("a fox\n")
    code, out, err = foxapi(*words)

    assert (3, "") == (code, out)
    assert NO_ADDRESS in err


def test_check_with_a_database_needs_none(foxapi, tmp_path):
    """--check reads only the file and the folder."""
    (tmp_path / "p.txt").write_text("a fox\n")
    code, _, err = foxapi("batch", "p.txt", "--dsn", "--check")

    assert (0, "foxapi: reading p.txt\n") == (code, err)


def test_the_name_of_a_batch_needs_a_database(foxapi, tmp_path):
    """--batch without --dsn is a mistake, and nothing is read."""
    code, _, err = foxapi("batch", "p.txt", "--batch", "foxes")

    assert 2 == code
    assert "--batch foxes: this is for a batch in a database; give --dsn, too" in err


def test_a_file_is_no_address(foxapi):
    """A word after --dsn that is no address is refused. It is not shown, because it could be a secret."""
    code, _, err = foxapi("batch", "--dsn", "secret")

    assert 2 == code
    assert "argument --dsn: must be an address such as postgresql://user@host/name" in err
    assert "secret" not in err


def test_an_action_is_needed(foxapi):
    """`foxapi cluster` alone is a wrong command line."""
    code, _, err = foxapi("cluster")

    assert (
        2,
        "foxapi cluster: the following arguments are required: ACTION (see foxapi cluster --help)\n",
    ) == (
        code,
        err,
    )


# The lines of a worker.


def shown_by(emit, **options):
    """The lines that a command shows of the log."""
    lines = []
    screen = SimpleNamespace(error=lines.append, note=lambda text: lines.append(f"note: {text}"))
    with logging_to(screen, **{"verbose": False, **options}):
        emit()
    return lines


def work():
    """What the package logs of a worker."""
    log.info("working on batch foxes", extra=about("batch_begun"))
    log.info("submits are sent again", extra=about("submits_released"))
    log.warning("the database cannot be written", extra=about("database_lost"))


def test_a_worker_shows_its_batches():
    """Its batches are remarks. Other information is not shown, and warnings are."""
    assert ["note: working on batch foxes", "the database cannot be written"] == shown_by(
        work, shows_work=True
    )


def test_other_commands_show_warnings_only():
    """Without a worker there are only warnings, also if an application shows more."""
    assert ["the database cannot be written"] == shown_by(work)


def test_a_verbose_command_shows_all():
    """With -v everything is shown."""
    lines = shown_by(work, verbose=True, shows_work=True)

    assert [
        "note: working on batch foxes",
        "submits are sent again",
        "the database cannot be written",
    ] == lines
    assert logging.getLogger("foxapi_async").level == logging.NOTSET


# Signals.


async def signalled(stopped, *numbers, ends):
    """Work that gets signals: it ends after `stop` if `ends`, else never."""
    for number in numbers:
        os.kill(os.getpid(), number)
        await asyncio.sleep(0)
    if ends:
        await stopped.wait()
        return 0
    await asyncio.Event().wait()
    raise AssertionError


def test_the_first_signal_stops():
    """It calls `stop`, and the work ends by itself with its own status."""
    stopped = asyncio.Event()

    assert 0 == run_until_stopped(signalled(stopped, signal.SIGTERM, ends=True), stopped.set)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends(number):
    """It cancels the work, which may wait for long."""
    stops = []
    code = run_until_stopped(signalled(None, number, number, ends=False), lambda: stops.append("stopped"))

    assert (128 + number, ["stopped"]) == (code, stops)


def test_work_that_is_cancelled_without_a_signal():
    """A cancellation of something else stays one."""

    async def cancelled():
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_until_stopped(cancelled(), lambda: None)
