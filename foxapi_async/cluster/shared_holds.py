"""The holds that all workers of an account share: a refusal that holds one of them back holds back all."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from foxapi_async._http.account import Account
    from foxapi_async.cluster.database import Connection

_HOLD = """
    INSERT INTO account (id, held_until, held_by, problem)
    VALUES (%(account)s, now() + make_interval(secs => %(seconds)s), %(worker)s, %(problem)s)
    ON CONFLICT (id) DO UPDATE SET
        held_until = excluded.held_until, held_by = excluded.held_by, problem = excluded.problem
    WHERE account.held_until IS NULL OR account.held_until < excluded.held_until
"""
_HELD = """
    SELECT extract(epoch FROM held_until - now())::float8, problem FROM account
    WHERE id = %s AND held_by <> %s AND held_until > now()
"""


def account_of(account: Account) -> str:
    """The name of an account in the database: a hash of its key and of the service's address, which shows neither."""
    parts = urlsplit(account.base_url)
    text = f"{parts.scheme}://{parts.netloc}".lower() + f"\n{account.key}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


async def note_hold(connection: Connection, account: str, worker: int, seconds: float, problem: str) -> None:
    """Note that a worker holds its submits back for so many seconds, unless there is a longer hold."""
    values = {"account": account, "seconds": seconds, "worker": worker, "problem": problem}
    await connection.execute(_HOLD, values)


async def hold_of_others(connection: Connection, account: str, worker: int) -> tuple[float, str] | None:
    """The seconds for which another worker holds its submits back, and its problem; None if none does."""
    cursor = await connection.execute(_HELD, (account, worker))
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1])
