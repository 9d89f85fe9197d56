"""Makes the tables of a cluster, or brings them up to date. These are our tables and those of procrastinate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from foxapi_async._errors import ConfigurationError
from foxapi_async.cluster.database import (
    NEW_IDENTITY,
    Database,
    check_server,
    first_line,
    version_of,
)
from foxapi_async.cluster.schema import LOCK, MIGRATIONS, SCHEMA, VERSION

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

_QUEUE = "queue"


async def migrate(database: Database) -> tuple[int, int]:
    """Bring the tables up to date, in one transaction. Returns their old version and their new one.

    Raises:
        ConfigurationError: the server is too old, the tables are of a newer version, or the user of the database may
            not make tables.
        LedgerError: the database cannot be reached.
    """
    import psycopg  # noqa: PLC0415 - of an extra

    connection = await database.connect()
    try:
        check_server(connection)
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            before = await version_of(connection)
            if before > VERSION:
                raise ConfigurationError(
                    f"the tables have version {before}, and this package knows {VERSION}: upgrade with "
                    "`pip install -U foxapi-async`"
                )
            known = await _queue_migrations(connection) if before else ""
            for script in scripts(before, known):
                await connection.execute(script.encode())
            await _note_versions(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        problem = first_line(error)
    else:
        return before, VERSION
    finally:
        await connection.close()
    raise ConfigurationError(
        f"the database refuses: {problem}. Let its owner run `foxapi cluster migrate --print | psql`"
    )


def scripts(before: int = 0, known: str = "") -> list[str]:
    """The scripts that bring the tables from a version to this one.

    Args:
        before: the version of our tables; 0 if there are none.
        known: the last migration of the queue that was made; "" if there is no queue.
    """
    from procrastinate.schema import SchemaManager  # noqa: PLC0415 - of an extra

    queue = (
        [_queue_text(name) for name in _queue_files() if name > known]
        if known
        else [str(SchemaManager.get_schema())]
    )
    return [*MIGRATIONS[before:], f"SET LOCAL search_path = {SCHEMA};\n", *queue]


def printed() -> str:
    """All scripts as one, for `psql`, which makes the tables in an empty database."""
    meta = f"INSERT INTO meta VALUES ('version', '{VERSION}'), ('{_QUEUE}', '{_queue_files()[-1]}');"  # noqa: S608 - of constants
    identity = f"INSERT INTO meta {NEW_IDENTITY.strip()};"
    return "\n".join(["BEGIN;", *scripts(), meta, identity, "COMMIT;"])


async def _note_versions(connection: Connection) -> None:
    """Note the versions of the tables. New tables also get their identity."""
    await connection.execute(
        "INSERT INTO foxapi.meta VALUES ('version', %s), (%s, %s) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (str(VERSION), _QUEUE, _queue_files()[-1]),
    )
    await connection.execute(f"INSERT INTO foxapi.meta {NEW_IDENTITY} ON CONFLICT DO NOTHING".encode())


async def _queue_migrations(connection: Connection) -> str:
    cursor = await connection.execute("SELECT value FROM foxapi.meta WHERE name = %s", (_QUEUE,))
    row = await cursor.fetchone()
    return str(row[0]) if row else ""


def _queue_files() -> list[str]:
    return sorted(file.name for file in _queue_folder().glob("*.sql"))


def _queue_text(name: str) -> str:
    return (_queue_folder() / name).read_text(encoding="utf-8")


def _queue_folder() -> Path:
    from procrastinate.schema import SchemaManager  # noqa: PLC0415 - of an extra

    return Path(SchemaManager.get_migrations_path())
