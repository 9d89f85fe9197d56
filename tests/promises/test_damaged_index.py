"""A damaged unique index of the ledger: without it every key looks new. After an unclean end it bills nothing twice."""

import sqlite3
from contextlib import closing

import pytest
from folders import Folder

from foxapi_async.emulator import ThreadedEmulator

SENT = [{"id": f"fox-{n}", "model": "grok-imagine-image", "prompt": f"fox {n}"} for n in range(20)]
NEW = {"id": "fox-20", "model": "grok-imagine-image", "prompt": "fox 20"}


@pytest.fixture
def folder(tmp_path):
    """A folder whose 20 items are done, and whose input has one more."""
    with ThreadedEmulator(seconds=0.01) as service:
        folder = Folder(tmp_path / "batch", service)
        folder.write(SENT)
        folder.command()
        folder.write([*SENT, NEW])
        yield folder


def damage(folder):
    """Exchange the unique index of the items with an empty one. Every row and every page stays whole."""
    with closing(sqlite3.connect(folder.ledger, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE other (key TEXT UNIQUE)")
        roots = dict(connection.execute("SELECT tbl_name, rootpage FROM sqlite_schema WHERE sql IS NULL"))
        connection.execute("PRAGMA writable_schema=ON")
        for table, other in (("item", "other"), ("other", "item")):
            connection.execute(
                "UPDATE sqlite_schema SET rootpage = ? WHERE tbl_name = ? AND sql IS NULL",
                (roots[other], table),
            )
    with closing(sqlite3.connect(folder.ledger)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        assert connection.execute("SELECT count(*) FROM item WHERE key = 'fox-1'").fetchone() == (0,)


def leave_wal(folder):
    """Leave content in the WAL, as a killed run of an older version does."""
    with closing(sqlite3.connect(folder.ledger, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("INSERT INTO meta VALUES ('killed', 'yes')")
        files = {path: path.read_bytes() for path in folder.path.glob("ledger.sqlite*")}
    for path, data in files.items():
        path.write_bytes(data)
    assert (folder.path / "ledger.sqlite-wal").stat().st_size > 0


def leave_reserve(folder):
    """Leave the reserve, as a run does that was killed when its WAL was empty."""
    (folder.path / "ledger.reserve").write_bytes(b"x" * 1000)


@pytest.mark.parametrize("leave", [leave_wal, leave_reserve])
@pytest.mark.thorough
def test_a_damaged_index_bills_nothing_twice(folder, leave):
    """After an unclean end the same command finds the damage, every time: it ends with 3 and sends nothing."""
    damage(folder)
    leave(folder)
    ends = [folder.command() for _ in range(3)]

    assert ([code for code, _ in ends], folder.service.billed) == ([3, 3, 3], 20)
    assert all("is damaged: keep it" in err for _, err in ends)


@pytest.mark.parametrize("leave", [leave_wal, leave_reserve])
@pytest.mark.thorough
def test_a_whole_ledger_continues_after_an_unclean_end(folder, leave):
    """After an unclean end a whole ledger passes the check, and only the new item is sent."""
    leave(folder)
    code, _ = folder.command()

    assert (code, folder.service.billed, (folder.path / "ledger.reserve").exists()) == (0, 21, False)
