"""What a ledger refuses, and its errors after a disk failure."""

import asyncio
import contextlib
import functools
import sqlite3

import pytest
from helpers import fox_request, posts, session_at
from ledgers import states

from foxapi_async import Batch, LedgerError, Limits
from foxapi_async.cli import main
from foxapi_async.emulator import Emulator

pytestmark = pytest.mark.virtual


# A ledger of a newer version.


@pytest.fixture
async def newer(tmp_path):
    """A folder of a run, with a ledger that is one version newer than the known one."""
    async with Emulator(seconds=0.1) as emulator, session_at(emulator) as fox:
        _ = [outcome async for outcome in Batch([("a", fox_request())], tmp_path).run(fox)]
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version={version + 1}")
    return tmp_path


async def test_a_run_refuses_a_ledger_one_version_newer(newer):
    """A run does not open a ledger whose version is one higher than its own."""
    async with Emulator(seconds=1) as emulator, session_at(emulator) as fox:
        with pytest.raises(LedgerError, match="newer foxapi-async"):
            await anext(Batch([("a", fox_request())], newer).run(fox))


def test_a_status_refuses_a_ledger_one_version_newer(newer, capfd):
    """`foxapi status OUT` does not read a ledger whose version is one higher than its own."""
    code = main(("status", str(newer)))

    assert (code, "newer foxapi-async" in capfd.readouterr().err) == (3, True)


# A flush that fails.


class Disk:
    """A disk on which one commit fails, when a test sets this. All earlier and later ones succeed."""

    def __init__(self):
        self.fails_next = False

    def before(self, statement):
        """Called before each statement of a connection to a database on it."""
        if self.fails_next and statement.strip().upper().startswith("COMMIT"):
            self.fails_next = False
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error


@pytest.fixture
def disk(monkeypatch):
    """The disk of every database that is opened from now on."""
    disk, connect = Disk(), sqlite3.connect

    class Connection(sqlite3.Connection):
        def execute(self, statement, *values):
            disk.before(statement)
            return super().execute(statement, *values)

    monkeypatch.setattr(sqlite3, "connect", functools.partial(connect, factory=Connection))
    return disk


@pytest.fixture
async def broken_run(disk, tmp_path):
    """The outcomes and the error of a run.

    The task of item "a" runs for some seconds. Meanwhile "b" should be submitted, and the flush of its note fails.
    """
    outcomes, requests = [], [("a", fox_request("one")), ("b", fox_request("two"))]
    options = {"limits": Limits(submits_per_second=1)}
    async with Emulator(seconds=5) as emulator, session_at(emulator, **options) as fox:
        asyncio.get_running_loop().call_later(0.5, setattr, disk, "fails_next", True)
        error = None
        try:
            async for outcome in Batch(requests, tmp_path).run(fox):
                outcomes.append((outcome.key, type(outcome.error)))  # noqa: PERF401 - what came before the error counts
        except LedgerError as fault:
            error = fault
        yield outcomes, error, len(posts(emulator))


async def test_what_is_not_noted_as_submitting_is_not_sent(broken_run):
    """The item whose note could not be flushed is not sent."""
    _, _, sent = broken_run

    assert sent == 1


async def test_after_a_failed_flush_no_item_is_reported_as_done(broken_run):
    """The task of the other item completes after the failed flush. Its outcome is the ledger's error."""
    outcomes, _, _ = broken_run

    assert outcomes == [("a", LedgerError)]


async def test_after_a_failed_flush_the_run_ends_with_its_error(broken_run):
    """The run raises the ledger's error."""
    _, error, _ = broken_run

    assert "disk I/O error" in str(error)


async def test_after_a_failed_flush_the_ledger_is_not_written(broken_run, tmp_path):
    """The ledger still has the other item's state from before the failed flush."""
    assert states(tmp_path) == {"a": "submitted"}


async def test_after_a_failed_flush_the_manifest_is_not_written(broken_run, tmp_path):
    """The manifest has no line of the other item."""
    assert (tmp_path / "manifest.jsonl").read_text() == ""
