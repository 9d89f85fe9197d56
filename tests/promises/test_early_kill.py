"""Folders of runs that were killed, or stopped by a full disk, while their ledger was being made.

Such a run has sent nothing yet. The same command continues with the folder, and a file that is not a ledger
is not changed.
"""

import os
import signal
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from folders import MADE, Folder

from foxapi_async import LedgerError
from foxapi_async.emulator import ThreadedEmulator

KILLS = 40
PAGE = 4096
# One frame of a WAL: its header and a page.
FRAME = 24 + PAGE
# The migration of 1bcbcf5 is five frames, of which the last one commits.
MIGRATION = 32 + 5 * FRAME

TWO = [{"id": f"fox-{n}", "model": "grok-imagine-image", "prompt": f"fox {n}"} for n in range(2)]
ONCE_EACH = {"fox 0": 1, "fox 1": 1}


@pytest.fixture
def folder(tmp_path):
    """A folder with an input of two items, and no ledger yet."""
    with ThreadedEmulator(seconds=0.01) as service:
        folder = Folder(tmp_path / "batch", service)
        folder.write(TWO)
        yield folder


def run_by_batch(folder, new_loop):
    """Run it by `Batch`: 3 if the ledger is refused, else 0."""
    try:
        folder.batch(new_loop)
    except LedgerError:
        return 3
    return 0


def run_by_command(folder, _):
    """Run it by the command line: the exit status."""
    return folder.command()[0]


WAYS = {"batch": run_by_batch, "command": run_by_command}


# Killed after some time.


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Forty folders of early killed runs, each with the exit status of the same command after the kill."""
    place = tmp_path_factory.mktemp("killed")
    with ThreadedEmulator(seconds=0.01) as service:
        folders = [Folder(place / str(n), service) for n in range(KILLS)]
        for n, folder in enumerate(folders):
            folder.write([{"id": "fox", "model": "grok-imagine-image", "prompt": f"fox {n}"}])
        child = Path(__file__).parent.parent / "early_kill_child.py"
        account = {"FOXAPI_API_KEY": service.key, "FOXAPI_BASE_URL": service.url}
        subprocess.run(
            [sys.executable, child, place, str(KILLS)], env={**os.environ, **account}, check=True, timeout=120
        )
        yield [(folder, folder.command()[0]) for folder in folders]


@pytest.mark.kill
@pytest.mark.thorough
def test_a_run_that_was_killed_at_once_continues(killed):
    """However early a run is killed, the same command continues with its folder."""
    assert [] == [folder.path.name for folder, code in killed if code not in {0, 1}]


@pytest.mark.kill
@pytest.mark.thorough
def test_a_run_that_was_killed_at_once_bills_nothing_twice(killed):
    """However early a run is killed, its item is billed at most once after the same command ran again."""
    service = killed[0][0].service
    prompts = [task.body["prompt"] for task in service.tasks.values()]

    assert sorted(set(prompts)) == sorted(prompts)


# Single states that a kill leaves between the first byte and the first item.


def journal(pages):
    """A hot rollback journal without pages, of a file that had this many pages before: 512 bytes, as SQLite
    begins one.
    """
    magic = bytes.fromhex("d9d505f920a163d7")
    return magic + struct.pack(">IIIII", 0, 0xFB47F4F2, pages, 512, PAGE) + bytes(512 - 28)


def made(name="ledger.sqlite"):
    """The file of a ledger that was killed before its first checkpoint: one page; the rest is in its WAL."""
    return (MADE / "submitting" / name).read_bytes()


def wal(size):
    """The beginning of such a WAL."""
    return made("ledger.sqlite-wal")[:size]


# The file, its WAL and its journal; None if missing.
EARLY = {
    "an empty file": (b"", None, None),
    "an empty file and its journal": (b"", None, journal(0)),
    "an empty file and the header of a WAL": (b"", wal(32), None),
    "an empty file and an empty WAL": (b"", b"", None),
    "half a page and its journal": (made()[: PAGE // 2], None, journal(0)),
    "a page and its journal": (made(), None, journal(0)),
    "a page": (made(), None, None),
    "a page and an empty WAL": (made(), b"", None),
    "a page and half the header of a WAL": (made(), wal(16), None),
    "a page and the header of a WAL": (made(), wal(32), None),
    "a page and half a frame": (made(), wal(32 + FRAME // 2), None),
    "a page and a frame": (made(), wal(32 + FRAME), None),
    "a page and all frames but the last": (made(), wal(MIGRATION - FRAME), None),
    "a page and a last frame that is not whole": (made(), wal(MIGRATION - 1), None),
    "a page and the migration": (made(), wal(MIGRATION), None),
}


def put(folder, main, wal_bytes, journal_bytes):
    """Write these files into the folder."""
    for suffix, data in (("", main), ("-wal", wal_bytes), ("-journal", journal_bytes)):
        if data is not None:
            folder.path.joinpath(f"ledger.sqlite{suffix}").write_bytes(data)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("files", EARLY)
def test_a_ledger_that_was_being_made_is_made(folder, new_loop, files, way):
    """For all that a kill leaves of a ledger that was being made, the same command does every item once."""
    put(folder, *EARLY[files])
    code = WAYS[way](folder, new_loop)

    assert (0, ONCE_EACH) == (code, folder.sent())


def mid_commit(folder):
    """Turn a fixture into a ledger with a rollback journal, killed in a commit that has written some pages."""
    with closing(sqlite3.connect(folder.ledger, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA cache_size=1")
        connection.execute("PRAGMA cache_spill=1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM record")
        connection.execute("UPDATE item SET state = 'new', task_id = NULL")
        connection.execute("CREATE TABLE filler (text)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 3000,)] * 60)
        files = {p.name: p.read_bytes() for p in folder.path.glob("ledger.sqlite*")}
        connection.execute("ROLLBACK")
    for name, data in files.items():
        (folder.path / name).write_bytes(data)
    assert {"ledger.sqlite", "ledger.sqlite-journal"} == set(files)


@pytest.mark.parametrize("way", WAYS)
def test_a_commit_that_was_killed_is_undone(folder, new_loop, way):
    """Without a WAL, a commit that was killed half-way is undone: finished items stay finished."""
    for path in folder.path.iterdir():
        path.unlink()
    folder.path.rmdir()
    folder.copy_from("finished")
    mid_commit(folder)
    code = WAYS[way](folder, new_loop)

    assert (0, {}) == (code, folder.sent())


# A full disk.


def run_limited(folder, limit):
    """The same command in a process whose files may not grow beyond `limit` bytes."""
    import resource

    def set_limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    account = {"FOXAPI_API_KEY": folder.service.key, "FOXAPI_BASE_URL": folder.service.url}
    words = ["-m", "foxapi_async", "batch", str(folder.file), "--out", str(folder.path)]
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, **account},
        capture_output=True,
        text=True,
        preexec_fn=set_limit,
        timeout=60,
    )
    assert 3 == done.returncode, done.stderr


@pytest.mark.parametrize("limit", [0, 100, 512, 3000, 4096, 5000, 9000, 20000])
@pytest.mark.thorough
def test_a_full_disk_that_was_enlarged(folder, limit):
    """A disk that was full while the ledger was made now has room: the same command does every item once."""
    run_limited(folder, limit)
    code, _ = folder.command()

    assert (0, ONCE_EACH) == (code, folder.sent())


# Files that are not our ledger.


def foreign(folder, *, mode="DELETE", closed=True):
    """Another program's database in place of the ledger; without `closed`: as a killed program leaves it."""
    with closing(sqlite3.connect(folder.ledger, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute("CREATE TABLE bookmarks (url)")
        files = {p.name: p.read_bytes() for p in folder.path.glob("ledger.sqlite*") if p.suffix != ".lock"}
    if not closed:
        for name, data in files.items():
            (folder.path / name).write_bytes(data)
        folder.path.joinpath("ledger.sqlite-shm").unlink(missing_ok=True)


def foreign_mid_commit(folder):
    """Another program's database, killed in a commit."""
    with closing(sqlite3.connect(folder.ledger, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    with closing(sqlite3.connect(folder.ledger, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO bookmarks VALUES (?)", [("x" * 3000,)] * 60)
        files = {p.name: p.read_bytes() for p in folder.path.glob("ledger.sqlite*")}
        connection.execute("ROLLBACK")
    for name, data in files.items():
        (folder.path / name).write_bytes(data)
    assert {"ledger.sqlite", "ledger.sqlite-journal"} == set(files)


def newer(folder, *, in_wal=False):
    """A ledger of a future version; with `in_wal` only its WAL has the version, as a kill leaves it."""
    for suffix in ("", "-wal") if in_wal else ("",):
        name = f"ledger.sqlite{suffix}"
        source = MADE / ("submitting" if in_wal else "finished") / name
        (folder.path / name).write_bytes(source.read_bytes())
    with closing(sqlite3.connect(folder.ledger, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 99")
        files = {p.name: p.read_bytes() for p in folder.path.glob("ledger.sqlite*")}
    if in_wal:
        for name, data in files.items():
            (folder.path / name).write_bytes(data)
        folder.path.joinpath("ledger.sqlite-shm").unlink()


REFUSED = {
    "a text": lambda folder: folder.ledger.write_text("prompt\n" * 1000),
    "a short text": lambda folder: folder.ledger.write_text("prompt\n"),
    "another database": foreign,
    "another database with its WAL": lambda folder: foreign(folder, mode="WAL", closed=False),
    "another database killed in a commit": foreign_mid_commit,
    "a newer version": newer,
    "a newer version with its WAL": lambda folder: newer(folder, in_wal=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_ledger_is_refused(folder, new_loop, what, way):
    """Another program's file, and a ledger of a newer version, end the run with 3 before anything is sent."""
    REFUSED[what](folder)
    code = WAYS[way](folder, new_loop)

    assert (3, []) == (code, folder.service.requests)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_ledger_is_left_untouched(folder, new_loop, what, way):
    """The refusal changes no byte of another program's file, nor of its WAL or journal."""
    REFUSED[what](folder)
    before = {path.name: path.read_bytes() for path in folder.path.glob("ledger.sqlite*")}
    WAYS[way](folder, new_loop)
    after = {path.name: path.read_bytes() for path in folder.path.glob("ledger.sqlite*")}

    assert before == {name: after.get(name) for name in before}


def test_an_emulator_run_that_was_killed_early_continues(folder):
    """With --emulator a ledger without items has no owner: a trial that was killed before its mark continues."""
    put(folder, *EARLY["a page and the migration"])

    assert 0 == folder.command("--emulator", "--emulator-seconds", "0.01")[0]
