"""Ledger files of batches, read as another program reads them."""

import contextlib
import sqlite3


def states(folder):
    """The state of each item in the ledger of this folder, by the item's key; empty before there is a ledger."""
    path = folder / "ledger.sqlite"
    if not path.exists():
        return {}
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT key, state FROM item ORDER BY id"))
