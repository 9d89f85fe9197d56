"""A database that cannot be used: its server is too old, or the user lacks a right."""

from __future__ import annotations

import contextlib
import uuid
from types import SimpleNamespace

import pytest
from cluster_parts import run
from helpers import fox_request
from psycopg.conninfo import make_conninfo

from foxapi_async import ConfigurationError, LedgerError
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.migration import migrate


@pytest.fixture
def database(cluster_dsn):
    """A database with the tables."""
    return Database.at(cluster_dsn)


class OlderServer:
    """A database whose server says that it has an older version.

    Args:
        database: the real one.
        version: what it says.
    """

    def __init__(self, database, version):
        self._database = database
        self.info = SimpleNamespace(server_version=version)

    async def connect(self, **options):
        """A connection to the real database."""
        self._connection = await self._database.connect(**options)
        return self

    def __getattr__(self, name):
        return getattr(self._connection, name)


@contextlib.asynccontextmanager
async def limited(database, dsn, rights):
    """The same database for a user who has only these rights."""
    user = f"fox_{uuid.uuid4().hex}"
    grants = ";".join(f"GRANT {right} TO {user}" for right in rights)
    await run(database, f"CREATE ROLE {user} LOGIN PASSWORD 'secret'; {grants}".encode())
    try:
        yield Database.at(make_conninfo(dsn, user=user, password="secret"))
    finally:
        await run(database, f"DROP OWNED BY {user}; DROP ROLE {user}".encode())


@pytest.mark.parametrize("use", [migrate, lambda database: Cluster(database).batches()])
async def test_a_server_that_is_too_old_is_refused(database, use):
    """For the tables as for everything else."""
    with pytest.raises(ConfigurationError, match=r"^the database is PostgreSQL 14: 15 or newer is needed$"):
        await use(OlderServer(database, 140_011))


async def test_a_missing_right_to_the_sequences_is_named(database, cluster_dsn):
    """The queue needs it, and hides the words of the database."""
    rights = [
        "USAGE ON SCHEMA foxapi",
        "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA foxapi",
    ]
    async with limited(database, cluster_dsn, rights) as unfit:
        with pytest.raises(LedgerError, match=r"permission denied for sequence .* USAGE on its sequences"):
            await Cluster(unfit).submit([fox_request("fox")], batch_id="b")
