"""The holds that all workers of an account share: a refusal that holds one worker back holds all of them back."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from foxapi_async._client.hooks import HookEvent, Throttled
from foxapi_async._errors import RateLimitError

if TYPE_CHECKING:
    from foxapi_async._client.engine import Engine
    from foxapi_async._http.credentials import Credentials
    from foxapi_async.cluster.database import Connection

_HOLD = """
    INSERT INTO account (id, held_until, held_by, problem)
    VALUES (%(account)s, now() + make_interval(secs => %(seconds)s), %(worker)s, %(problem)s)
    ON CONFLICT (id) DO UPDATE SET
        held_until = excluded.held_until, held_by = excluded.held_by, problem = excluded.problem
    WHERE account.held_until IS NULL OR account.held_until < excluded.held_until
"""
_HELD = """
    SELECT held_until, extract(epoch FROM held_until - now())::float8, problem FROM account
    WHERE id = %s AND held_by <> %s AND held_until > now()
"""


def account_of(credentials: Credentials) -> str:
    """The name of an account in the database: a hash of its key and of the service's address, which shows neither."""
    parts = urlsplit(credentials.base_url)
    text = f"{parts.scheme}://{parts.netloc}".lower() + f"\n{credentials.key}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class SharedHolds:
    """The holds of one worker, and those of the other workers of its account.

    Args:
        engine: the engine whose submits are held.
        account: the name of its account in the database.
    """

    def __init__(self, engine: Engine, account: str) -> None:
        self._engine = engine
        self._account = account
        self._own: list[tuple[float, str]] = []
        self._obeyed: dt.datetime | None = None

    def take(self, event: HookEvent) -> None:
        """Receive an event of the session. If it says that a 429 holds back its submits, remember this."""
        if isinstance(event, Throttled) and event.what == "submit" and event.error is not None:
            self._own.append((event.seconds, event.error.what_happened))

    async def share(self, connection: Connection, worker: int, seconds: float) -> None:
        """Report the holds of this worker, and obey those of the others.

        While the brake of the session is closed (`_policy/brake.py`), this is reported as a hold of `seconds`.
        """
        if (closed := self._engine.submitter.hold) is not None:
            self._own.append((seconds, closed.what_happened))
        own, self._own = self._own, []
        if own:
            longest, problem = max(own)
            values = {"account": self._account, "seconds": longest, "worker": worker, "problem": problem}
            await connection.execute(_HOLD, values)
        if (held := await self._of_others(connection, worker)) is None:
            return
        until, seconds, problem = held
        if until != self._obeyed:  # the same hold must not be counted as one more refusal
            self._obeyed = until
            refusal = RateLimitError(f"another worker was refused: {problem}", status=429)
            before = len(self._own)
            self._engine.api.submits.hold(self._engine.loop.time() + seconds, refusal)
            del self._own[before:]  # `take` has just added it, but it is not a hold of this worker

    async def is_held(self, connection: Connection, worker: int) -> bool:
        """Whether a hold of another worker holds back the submits of this worker."""
        return await self._of_others(connection, worker) is not None

    async def _of_others(self, connection: Connection, worker: int) -> tuple[dt.datetime, float, str] | None:
        """The end of a hold by the clock of the database, the seconds until then, and the problem."""
        cursor = await connection.execute(_HELD, (self._account, worker))
        return await cursor.fetchone()
