"""Heartbeats, and which workers can be forgotten."""

from __future__ import annotations

import pytest

from foxapi_async import InvalidRequestError, LedgerError
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.registration import register, send_heartbeat


@pytest.fixture
def database(shared_dsn):
    """A database with the tables."""
    return Database.at(shared_dsn)


@pytest.fixture
async def connection(database):
    """A connection to it."""
    opened = await database.connect()
    yield opened
    await opened.close()


async def test_a_gap_in_the_heartbeats_is_an_older_database(connection):
    """The last ones were answered, and are not there."""
    known = await register(connection, 30)
    await send_heartbeat(connection, known.worker, 1)
    with pytest.raises(LedgerError, match="older state than before"):
        await send_heartbeat(connection, known.worker, 4)


async def test_a_database_without_the_worker_is_an_older_one(connection):
    """It was registered after the copy was made."""
    with pytest.raises(LedgerError, match="older state than before"):
        await send_heartbeat(connection, 999_999, 1)


async def test_an_unknown_worker_cannot_be_forgotten(database):
    """The message names the command that shows the numbers."""
    with pytest.raises(InvalidRequestError, match="there is no worker 999999: see `foxapi status`"):
        await Cluster(database).forget(999_999)
