"""Names the items of a batch that may have been billed without an answer."""

from __future__ import annotations

from foxapi_async.cluster.database import Database

_KEYS = "SELECT key FROM item WHERE batch_id = %s AND state = 'uncertain' ORDER BY number LIMIT %s"


async def first_uncertain(database: Database, batch: str, count: int) -> tuple[str, ...]:
    """The keys of uncertain items, the first `count`. This reads all rows of the batch.

    Raises:
        LedgerError: the database cannot be reached.
    """
    connection = await database.connect()
    try:
        cursor = await connection.execute(_KEYS, (batch, count))
        return tuple(key for (key,) in await cursor.fetchall())
    finally:
        await connection.close()
