"""The rate of submits that all workers of an account share.

Each worker holds a lease on a part of it. A lease lasts two heartbeats, so that the part of a worker that has
died is free again. The leases together never exceed the limit, because each is granted under a lock.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs

from foxapi_async._retry.protocol import Rate

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

_GRANT = """
    WITH others AS (
        SELECT coalesce(sum(granted), 0) AS granted, count(*) FILTER (WHERE wanted > 0) AS workers FROM rate_lease
        WHERE account = %(account)s AND kind = 'submit' AND worker <> %(worker)s AND until > clock_timestamp()
    )
    INSERT INTO rate_lease
    SELECT %(account)s, 'submit', %(worker)s, %(wanted)s,
        CASE WHEN %(wanted)s > 0
            THEN greatest(0, least(%(limit)s::float8 / (workers + 1), %(limit)s::float8 - granted)) ELSE 0 END,
        clock_timestamp() + make_interval(secs => %(seconds)s)
    FROM others
    ON CONFLICT (account, kind, worker) DO UPDATE SET
        wanted = excluded.wanted, granted = excluded.granted, until = excluded.until
    RETURNING granted
"""


@attrs.define(eq=False)
class LeasedRate:
    """The part of the shared rate that this worker has leased; see `Rate`.

    Args:
        own: the rate of this session, which learns from refusals.
        limit: submits per second of all workers together.
    """

    _own: Rate
    limit: float
    _granted: float = attrs.field(default=0.0, init=False)
    _until: float = attrs.field(default=0.0, init=False)

    def rate(self, now: float) -> float | None:
        """Requests per second that may be sent; 0 if the lease has ended."""
        granted = self._granted if now < self._until else 0.0
        own = self._own.rate(now)
        return granted if own is None else min(granted, own)

    def count(self, now: float) -> None:
        """Note that a request is sent now."""
        self._own.count(now)

    def count_refusal(self, now: float, until: float) -> None:
        """Note that the service refused a request; see `Rate`."""
        self._own.count_refusal(now, until)

    async def renew(
        self, connection: Connection, account: str, worker: int, seconds: float, *, wanted: bool
    ) -> None:
        """Renew the lease for `seconds`. A worker that does not want to send leaves its part to the others."""
        asked = asyncio.get_running_loop().time()
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO account (id) VALUES (%s) ON CONFLICT DO NOTHING", (account,)
            )
            await connection.execute("SELECT FROM account WHERE id = %s FOR UPDATE", (account,))
            cursor = await connection.execute(
                _GRANT,
                {
                    "account": account,
                    "worker": worker,
                    "wanted": float(wanted),
                    "limit": self.limit,
                    "seconds": seconds,
                },
            )
            (granted,) = await cursor.fetchone() or (0.0,)
        self._granted, self._until = granted, asked + seconds
