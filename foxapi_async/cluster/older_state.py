"""Writes what a folder knows about its batch into a database that has an older state.

A database has an older state after a failover, or after a backup was restored. There, items may be new although they
were sent. The folder knows the items that have ended, and their task ids. So these items are not sent again.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from foxapi_async._batch.folder import BatchFolder
from foxapi_async._ledger.entry import ItemState
from foxapi_async._listener import about, log
from foxapi_async.cluster.enqueue import import_ledger, in_chunks
from foxapi_async.cluster.results import is_ahead
from foxapi_async.cluster.spool import SpooledId
from foxapi_async.cluster.statements import keep_ids

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

_UNCERTAIN = """
    UPDATE item SET state = 'uncertain', ready = false, record = given.record, changed = clock_timestamp(),
        ended = pg_current_xact_id()
    FROM unnest(%(keys)s::text[], %(records)s::text[]) AS given(key, record)
    WHERE batch_id = %(batch)s AND item.key = given.key AND state = 'new' AND owner IS NULL
"""


async def is_older(connection: Connection, identity: str, cursor: str | None) -> bool:
    """Whether the database has an older state than a folder has read.

    Args:
        connection: the connection to the database.
        identity: the identity of the database.
        cursor: the identity of the database from which the folder has read, a blank, and the cursor of the last end
            that it has read; None if it has read nothing.
    """
    server, _, place = (cursor or "").partition(" ")
    if not place:
        return False
    if server != identity:
        return True
    return await is_ahead(connection, place.partition("-")[0])


async def bring_back(connection: Connection, batch: str, folder: BatchFolder) -> None:
    """Write the entries of a folder's ledger into its batch, in one transaction, with a warning.

    An item that the database does not have is put in as it is in the ledger. An item that the database has without a
    task gets the task of the ledger. The images of this task are saved again, which costs nothing.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    log.warning(
        "the database has an older state of batch %s than %s: the tasks that the folder knows are written again",
        batch,
        folder.out,
        extra=about("database_changed"),
    )
    async with connection.transaction():
        await import_ledger(connection, batch, folder.ledger)
        async with contextlib.aclosing(in_chunks(folder.ledger.entries())) as chunks:
            async for chunk in chunks:
                ids = [
                    SpooledId(batch, entry.key, entry.task_id, entry.price)
                    for entry in chunk
                    if entry.task_id
                ]
                await keep_ids(connection, ids)
                uncertain = [entry for entry in chunk if entry.state is ItemState.UNCERTAIN]
                values = {
                    "batch": batch,
                    "keys": [entry.key for entry in uncertain],
                    "records": [entry.record for entry in uncertain],
                }
                await connection.execute(_UNCERTAIN, values)
