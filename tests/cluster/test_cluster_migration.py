"""The scripts that bring the tables up to date."""

from __future__ import annotations

import pytest
from cluster_parts import run

from foxapi_async import ConfigurationError
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.migration import _queue_files, migrate, scripts
from foxapi_async.cluster.schema import MIGRATIONS, VERSION


async def test_newer_tables_are_left_alone(cluster_dsn):
    """An older package would take them back."""
    database = Database.at(cluster_dsn)
    await run(database, "UPDATE meta SET value = %s WHERE name = 'version'", str(VERSION + 1))
    with pytest.raises(ConfigurationError, match="pip install -U foxapi-async"):
        await migrate(database)

    assert [(str(VERSION + 1),)] == await run(database, "SELECT value FROM meta WHERE name = 'version'")


def test_a_present_queue_gets_the_later_migrations():
    """Each in turn, and not its whole schema."""
    *_, known, last = _queue_files()
    first, path, *queue = scripts(VERSION - 1, known)

    assert MIGRATIONS[-1] == first
    assert "search_path" in path
    assert 1 == len(queue)
    assert len(scripts(VERSION, last)) == 1
