"""The parts of a cluster, put together by a test: batches in a database, and ledgers of workers."""

from __future__ import annotations

import contextlib

from foxapi_async.cluster.claims import claim
from foxapi_async.cluster.group_commit import RowWriter
from foxapi_async.cluster.ledger import PostgresLedger
from foxapi_async.cluster.registration import register
from foxapi_async.cluster.spool import Spool

LEASE = 30.0


async def run(database, statement, *values):
    """Execute a statement on a connection of its own, and return the rows."""
    connection = await database.connect()
    try:
        cursor = await connection.execute(statement, values or None)
        return await cursor.fetchall() if cursor.description is not None else []
    finally:
        await connection.close()


async def made_batch(database, batch="b", keys=()):
    """Make a batch with items that no worker has."""
    await run(database, "INSERT INTO batch (id, sealed) VALUES (%s, true)", batch)
    for key in keys:
        await run(
            database, "INSERT INTO item (batch_id, key, fingerprint) VALUES (%s, %s, 'fox')", batch, key
        )


@contextlib.asynccontextmanager
async def opened_ledger(database, folder, batch="b", *, lease=LEASE, through=None, **options):
    """The ledger of a new worker for this batch.

    Args:
        database: where it is.
        folder: for the file of ids.
        batch: its name.
        lease: of the worker, in seconds.
        through: another address of the same database, for the writer alone.
        **options: of the writer.
    """
    connection = await database.connect()
    known = await register(connection, lease)
    await connection.close()
    writer = RowWriter(
        through or database, known, Spool(folder / f"unwritten-{known.worker}.jsonl"), **options
    )
    await writer.open()
    try:
        yield PostgresLedger(writer, batch)
    finally:
        await writer.close()


async def entry_of(ledger, key):
    """The entry of one item."""
    return (await ledger.look_up([key]))[key]


async def claimed(database, ledger, room=1):
    """Let the worker of this ledger claim items. Returns their keys."""
    connection = await database.connect()
    answer = await claim(connection, ledger._writer.worker, ledger.batch, room)
    await connection.close()
    for item in answer.items:
        ledger.epochs[item.entry.key] = item.epoch
    return [item.entry.key for item in answer.items]


class LateStep:
    """A database in which something happens just before the first statement with a text.

    Args:
        database: the real one.
        text: a part of the statement.
        step: what happens.
    """

    def __init__(self, database, text, step):
        self._database = database
        self._text = text
        self._step = step
        self.happened = False

    async def connect(self, **options):
        """A connection to the real database."""
        self._connection = await self._database.connect(**options)
        return self

    def __getattr__(self, name):
        return getattr(self._connection, name)

    async def execute(self, statement, *values):
        """Execute a statement, perhaps after the step."""
        text = statement if isinstance(statement, str) else statement.decode()
        if self._text in text and not self.happened:
            self.happened = True
            await self._step()
        return await self._connection.execute(statement, *values)
