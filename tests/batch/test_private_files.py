"""The files of a batch: who may read them, that no link is followed, and what a clean end leaves."""

import json
import os
import sqlite3
import stat
from contextlib import closing

import pytest
from disks import needs_mounts, read_only, start_with
from folders import Folder

from foxapi_async._files.disk import open_private
from foxapi_async.emulator import ThreadedEmulator

TWO = [{"id": f"fox-{n}", "model": "grok-imagine-image", "prompt": f"fox {n}"} for n in range(2)]
PRIVATE = ["ledger.sqlite", "ledger.sqlite.lock", "manifest.jsonl", "submitted.jsonl", "submitting.jsonl"]
LINKS = [*PRIVATE, "ledger.reserve", ".submitted.jsonl.part", "images", "images/0001"]


@pytest.fixture
def folder(tmp_path):
    """A folder with an input of two items."""
    with ThreadedEmulator(seconds=0.01) as service:
        folder = Folder(tmp_path / "batch", service)
        folder.write(TWO)
        yield folder


def mode(path):
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request):
    """A umask of this process."""
    before = os.umask(request.param)
    yield
    os.umask(before)


# Who may read them.


@pytest.mark.usefixtures("umask")
def test_only_the_owner_reads_the_files(folder):
    """Only their owner can read the files of a run, whatever the umask is."""
    folder.command()

    assert {name: mode(folder.path / name) for name in PRIVATE} == dict.fromkeys(PRIVATE, 0o600)


def connected(folder):
    """A connection to the ledger in WAL mode, with its WAL. Its own transaction is open."""
    connection = sqlite3.connect(folder.ledger, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE item SET changed = changed + 1")
    return connection


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_only_the_owner_reads_what_sqlite_adds(folder, suffix):
    """Beside a private ledger SQLite makes private files."""
    folder.command()
    with closing(connected(folder)):
        assert mode(folder.path / f"ledger.sqlite{suffix}") == 0o600


def test_readable_files_of_an_older_run_keep_working(folder):
    """A folder whose files others may read continues, and their permissions stay as they are."""
    folder.write(TWO[:1])
    folder.command()
    for name in PRIVATE:
        (folder.path / name).chmod(0o644)
    folder.write(TWO)
    code, _ = folder.command()

    assert (code, {mode(folder.path / name) for name in PRIVATE}) == (0, {0o644})
    assert folder.sent() == {"fox 0": 1, "fox 1": 1}


# Links.


def make_link(folder, name, target):
    """Put a link in place of a file or folder of the batch."""
    path = folder.path / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("kind", ["file", "folder", "dangling"])
@pytest.mark.parametrize("name", LINKS)
def test_a_link_in_place_of_a_file_is_refused(folder, tmp_path, name, kind):
    """A link in place of a file or folder of the batch ends the run with 3 before anything is sent. The error
    names the link and what to do.
    """
    target = tmp_path / "other"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("precious")
    make_link(folder, name, target)
    code, err = folder.command()

    assert (code, folder.service.requests) == (3, [])
    assert f"{folder.path / name} is a link" in err
    assert "Remove the link" in err


@pytest.mark.parametrize("name", [*LINKS, ".manifest.jsonl.part"])
def test_no_link_is_followed(folder, tmp_path, name):
    """A link in the folder of a batch changes no byte of its target, and removes nothing there."""
    target = tmp_path / "other"
    (target / "inner").mkdir(parents=True)
    for path in (target / "precious", target / ".x.part", target / "inner" / ".y.part"):
        path.write_text("precious\n")
    make_link(folder, name, target if name.startswith("images") else target / "precious")
    folder.command()

    assert {path.relative_to(target).as_posix(): path.read_text() for path in target.rglob("*.*")} == {
        ".x.part": "precious\n",
        "inner/.y.part": "precious\n",
    }
    assert (target / "precious").read_text() == "precious\n"


@pytest.mark.parametrize("name", LINKS)
def test_a_dangling_link_makes_no_file(folder, tmp_path, name):
    """A link to a missing file is not followed either: nothing appears at its target."""
    make_link(folder, name, tmp_path / "missing")
    folder.command()

    assert not (tmp_path / "missing").exists()


def test_the_output_folder_may_be_a_link(folder, tmp_path):
    """An output folder that is itself a link is the user's own choice."""
    (tmp_path / "big").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "big")
    code, out, _ = folder.foxapi("batch", str(folder.file), "--out", str(tmp_path / "out"))

    assert (code, out, folder.service.billed) == (0, "", 2)
    assert (tmp_path / "big" / "ledger.sqlite").is_file()


def test_a_link_that_comes_after_the_check_is_not_followed(tmp_path):
    """Each file is opened so that a link is an error, also if it appears after the check."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"):
        open_private(tmp_path / "link", os.O_RDWR | os.O_TRUNC)
    assert (tmp_path / "precious").read_text() == "precious"


# What a clean end leaves.


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["text", "json"])
def test_a_clean_end_leaves_one_file_of_the_ledger(folder, words):
    """After a clean end the ledger is one file, with its lock beside it; `status` adds none."""
    folder.foxapi("batch", str(folder.file), "--out", str(folder.path), *words)
    folder.counts()

    assert sorted(path.name for path in folder.path.glob("ledger*")) == [
        "ledger.sqlite",
        "ledger.sqlite.lock",
    ]


def test_an_end_beside_a_reader_leaves_no_content_in_the_wal(folder):
    """A reader that is connected at the end of a run keeps the WAL, but it is empty: the end is a clean one."""
    folder.command()
    with closing(connected(folder)) as connection:
        connection.execute("ROLLBACK")
        folder.write([*TWO, {"model": "grok-imagine-image", "prompt": "fox 2"}])
        folder.command()

        assert (folder.path / "ledger.sqlite-wal").stat().st_size == 0
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (3,)


# A ledger that cannot be written.


def to_wal(folder):
    """Leave the ledger of a run in WAL mode without its other files, as an older version does."""
    folder.command()
    with closing(sqlite3.connect(folder.ledger)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    assert folder.ledger.read_bytes()[18] == 2


def keep_wal(folder):
    """Leave the ledger of a run with content in its WAL, and without `-shm`, as a copy of a killed run has it."""
    folder.command()
    with closing(connected(folder)) as connection:
        connection.execute("UPDATE item SET state = 'failed' WHERE key = 'fox-1'")
        connection.execute("COMMIT")
        files = {path: path.read_bytes() for path in folder.path.glob("ledger.sqlite*")}
    for path, data in files.items():
        path.write_bytes(data)
    (folder.path / "ledger.sqlite-shm").unlink()
    assert (folder.path / "ledger.sqlite-wal").stat().st_size > 0


STATES = {
    "rollback": (Folder.command, {"done": 2}),
    "wal": (to_wal, {"done": 2}),
    "content": (keep_wal, {"done": 1, "failed": 1}),
}


@needs_mounts
@pytest.mark.parametrize(("leave", "counts"), STATES.values(), ids=STATES)
@pytest.mark.thorough
def test_status_reads_a_folder_that_cannot_be_written(folder, leave, counts):
    """`foxapi status` reads the ledger of a folder that cannot be written, also without its `-shm`."""
    leave(folder)
    process = start_with(read_only(folder.path), "-m", "foxapi_async", "status", folder.path, "--json")
    out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, "")
    assert {state: n for state, n in json.loads(out)["counts"].items() if n} == counts


@needs_mounts
@pytest.mark.parametrize("leave", [to_wal, keep_wal])
@pytest.mark.thorough
def test_a_report_of_a_folder_that_cannot_be_written_names_the_page(folder, leave):
    """`foxapi report` reads such a folder; only its page cannot be written there."""
    leave(folder)
    process = start_with(read_only(folder.path), "-m", "foxapi_async", "report", folder.path)
    _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (2, f"foxapi: {folder.path / 'report.html'}: Read-only file system\n")


def test_reading_adds_no_file(folder):
    """`foxapi status` adds no file to the folder of a finished run, and changes no byte of the ledger."""
    to_wal(folder)
    files = {path: path.read_bytes() for path in folder.path.glob("ledger.sqlite*")}
    folder.status()

    assert {path: path.read_bytes() for path in folder.path.glob("ledger.sqlite*")} == files
