"""`foxapi status OUT`: how a batch stands, whether or not a run is on; and `foxapi report OUT`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from foxapi_async._ledger.entry import ItemState, LedgerEntry
from foxapi_async.cli import _exits
from foxapi_async.cli._batch_account import Account, read_account
from foxapi_async.cli._screen import Screen


async def show_status(folder: Path, screen: Screen) -> int:
    """Tell how the batch in `folder` stands.

    Raises:
        LedgerError: there is none, or its ledger cannot be read.
    """
    account = await read_account(folder)
    for line in _lines(folder, account):
        screen.line(line)
    screen.data(_object(folder, account))
    return _exits.DONE


def _lines(folder: Path, account: Account) -> list[str]:
    oldest = account.oldest
    lines = [
        f"{folder}: {account.states}",
        f"run: {f'on, in {account.run}' if account.run else 'none'}",
        f"spent: {account.cost or 'not known'}",
    ]
    if oldest is not None:
        lines.append(f"oldest running: {oldest.key}, task {oldest.task_id}, since {_moment(oldest)}")
    if account.unclear:
        lines.append(f"uncertain: {account.uncertain_words}")
    return lines


def _moment(entry: LedgerEntry) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.changed))


def _object(folder: Path, account: Account) -> dict[str, Any]:
    oldest = account.oldest
    return {
        "out": str(folder),
        "run": account.run,
        "expected": account.expected,
        "counts": {state.value: account.counts[state] for state in ItemState},
        "spent": account.spent,
        "oldest": oldest and {"id": oldest.key, "task_id": oldest.task_id, "since": oldest.changed},
        "uncertain": list(account.uncertain),
    }
