"""The PostgreSQL server of a cluster: its address, its connections, and whether it is still the same server.

The password of the address is never shown: not in an error, not in a `repr`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from foxapi_async._errors import ConfigurationError, LedgerError
from foxapi_async.cluster.schema import SCHEMA, VERSION

if TYPE_CHECKING:
    import psycopg

    Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

VARIABLE = "FOXAPI_DSN"

_MISSING = "batches over PostgreSQL need the extra: pip install 'foxapi-async[cluster]'"

CONNECT_SECONDS = 10

# A dead connection is noticed after about this many milliseconds. By TCP's defaults it would take two hours.
_SILENCE = 20_000

IDLE_SECONDS = 60.0

OLDEST = 15
"""The oldest version of PostgreSQL that is supported."""

_PLACE = """
    SELECT (SELECT system_identifier FROM pg_control_system())::text AS system,
        CASE WHEN pg_is_in_recovery() THEN 'standby'
        ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline,
        (SELECT oid FROM pg_database WHERE datname = current_database())::text AS database
"""
# `xmin` is the transaction that wrote the row. A dump does not have it, so the row gets a new one when a dump is loaded.
_IDENTITY = f"""
    SELECT system, timeline, database, coalesce(meta.xmin::text, ''), meta.value
    FROM ({_PLACE}) AS place LEFT JOIN {SCHEMA}.meta ON name = 'identity'
"""  # noqa: S608 - of constants
NEW_IDENTITY = f"""
    SELECT 'identity', concat_ws('/', system, timeline, database, pg_current_xact_id()::xid) FROM ({_PLACE}) AS place
"""  # noqa: S608 - as above
"""Selects the row of `meta` that gives the tables a new identity. Insert it in a transaction without savepoints, because
after a savepoint `xmin` is another number.
"""


_RIGHTS = (
    f"A worker needs USAGE on the schema {SCHEMA}, and SELECT, INSERT, UPDATE and DELETE on its tables, and USAGE on "
    "its sequences"
)


class OutdatedError(ConfigurationError):
    """The tables have another version than this package knows."""


class OtherDatabaseError(LedgerError):
    """The database is another one than before, or has an older state."""


@attrs.frozen(repr=False)
class Database:
    """A PostgreSQL server with a database for batches.

    Args:
        dsn: its address; default FOXAPI_DSN.

    Raises:
        ConfigurationError: there is no address, or it cannot be read, or the extra is not installed.
    """

    _settings: Mapping[str, Any]

    @classmethod
    def at(cls, dsn: str | None) -> Database:
        """The database at this address."""
        dsn = dsn or os.environ.get(VARIABLE)
        if not dsn:
            raise ConfigurationError(
                f"no database: give its address as dsn= (--dsn), or in {VARIABLE}, such as "
                "postgresql://user:password@host/name"
            )
        try:
            from psycopg import ProgrammingError, conninfo  # noqa: PLC0415 - of an extra
        except ImportError:
            raise ConfigurationError(_MISSING) from None
        try:
            settings = None if _is_ambiguous(dsn) else conninfo.conninfo_to_dict(dsn)
        except ProgrammingError:
            settings = None
        if settings is None:  # the error of psycopg quotes the address, with its password
            raise ConfigurationError(
                "the address of the database cannot be read: give postgresql://user:password@host/name, "
                "with special characters of the password as %XX"
            )
        return cls(settings)

    def __repr__(self) -> str:
        return f"<Database {self}>"

    def __str__(self) -> str:
        given = self._settings
        host, port = given.get("host", "localhost"), given.get("port", "5432")
        return f"{given.get('dbname', given.get('user', 'postgres'))} at {host}:{port}"

    def settings(self, *, worker: int = 0, idle: float = IDLE_SECONDS, lock: float = 0.0) -> dict[str, Any]:
        """The settings of a connection, for `psycopg.connect`; see `connect`."""
        options = (
            f"-c search_path={SCHEMA} -c synchronous_commit=on -c timezone=UTC -c foxapi.worker={worker} "
            f"-c idle_in_transaction_session_timeout={idle * 1000:.0f} -c lock_timeout={lock * 1000:.0f}"
        )
        given = self._settings
        return {
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": _SILENCE,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "application_name": "foxapi_async",
            **given,
            "options": f"{given.get('options', '')} {options}".strip(),
        }

    async def connect(self, *, worker: int = 0, idle: float = IDLE_SECONDS, lock: float = 0.0) -> Connection:
        """A new connection, which commits each statement unless a transaction is begun.

        Args:
            worker: the number under which its changes are counted.
            idle: seconds after which the server ends a transaction of a process that does nothing.
            lock: the most seconds that a statement waits for a lock; 0 for no limit.

        Raises:
            LedgerError: the server cannot be reached, or refuses.
        """
        import psycopg  # noqa: PLC0415 - of an extra

        try:
            connection = await psycopg.AsyncConnection.connect(
                autocommit=True, **self.settings(worker=worker, idle=idle, lock=lock)
            )
        except psycopg.Error as error:
            problem = first_line(error)
        else:
            connection.prepare_threshold = 2
            return connection
        raise LedgerError(f"cannot connect to the database {self}: {problem}")


def _is_ambiguous(dsn: str) -> bool:
    """Whether a part of the password would be read as the name of the server or of the database, and be shown."""
    address = dsn.partition("://")[2].partition("?")[0]
    server, _, name = address.partition("/")
    return server.count("@") > 1 or "@" in name


def check_server(connection: Connection) -> None:
    """Check that the server is new enough.

    Raises:
        ConfigurationError: it is older than `OLDEST`.
    """
    found = connection.info.server_version // 10_000
    if found < OLDEST:
        raise ConfigurationError(f"the database is PostgreSQL {found}: {OLDEST} or newer is needed")


async def check_version(connection: Connection) -> None:
    """Check that the tables are those that this package knows.

    Raises:
        ConfigurationError: the server is too old, there are no tables yet, or they are of another version.
    """
    check_server(connection)
    version = await version_of(connection)
    if version < VERSION:
        state = (
            "has no tables yet"
            if version == 0
            else f"has tables of version {version}, and this package needs {VERSION}"
        )
        raise OutdatedError(f"the database {state}: run `foxapi cluster migrate`")
    if version > VERSION:
        raise OutdatedError(
            f"the tables of the database have version {version}, and this package knows {VERSION}: upgrade with "
            "`pip install -U foxapi-async`"
        )


async def version_of(connection: Connection) -> int:
    """The version of the tables; 0 if there are none.

    Raises:
        ConfigurationError: the user of the database may not read them.
    """
    import psycopg  # noqa: PLC0415 - of an extra

    try:
        cursor = await connection.execute("SELECT to_regclass('foxapi.meta') IS NOT NULL")
        (is_there,) = await cursor.fetchone() or (False,)
        if not is_there:
            return 0
        cursor = await connection.execute("SELECT value FROM foxapi.meta WHERE name = 'version'")
        row = await cursor.fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        problem = problem_of(error)
    else:
        return int(row[0]) if row else 0
    raise ConfigurationError(f"the database refuses: {problem}")


async def identity_of(connection: Connection) -> str:
    """The identity of the tables: it changes when a copy of the server takes over, or a backup or a dump is restored.

    Raises:
        LedgerError: this server is a standby, which cannot be written.
    """
    return (await identities(connection))[0]


async def identities(connection: Connection) -> tuple[str, str | None]:
    """The identity of the tables, and the identity that was noted in them; None if none was noted.

    Raises:
        LedgerError: this server is a standby, which cannot be written.
    """
    cursor = await connection.execute(_IDENTITY.encode())
    *parts, noted = await cursor.fetchone() or ("", None)
    if "standby" in parts:
        raise LedgerError(
            "the database is a standby server, which only reads: give the address of the primary"
        )
    return "/".join(parts), noted


@contextlib.asynccontextmanager
async def closed_on_error(connection: Connection) -> AsyncGenerator[None]:
    """Close a new connection if its first use fails."""
    try:
        yield
    except BaseException:
        await connection.close()
        raise


@contextlib.asynccontextmanager
async def errors_of(database: Database) -> AsyncGenerator[None]:
    """Turn errors of the database into `LedgerError`."""
    import psycopg  # noqa: PLC0415 - of an extra
    from procrastinate.exceptions import ConnectorException  # noqa: PLC0415 - as above

    try:
        yield
    except (psycopg.Error, ConnectorException) as error:
        problem = problem_of(error)
    else:
        return
    raise LedgerError(f"the database {database} cannot be used: {problem}")


def may_pass(error: Exception) -> bool:
    """Whether waiting may help after this error: the server is away, is busy, is full or allows only reads. False means
    that the statement itself is wrong.
    """
    import psycopg  # noqa: PLC0415 - of an extra

    if not isinstance(error, psycopg.Error):
        return True
    kind = (error.sqlstate or "")[:2]
    # Class 25: the server allows only reads, or has ended an idle transaction. Class 54: a text is too long.
    is_of_server = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return kind == "25" or (is_of_server and kind != "54")


def problem_of(error: BaseException) -> str:
    """What went wrong, in words. If a right is missing, all rights of a worker are named.

    An error of the job queue has no useful text. So the text is that of its cause, the error of the database.
    """
    import psycopg  # noqa: PLC0415 - of an extra
    from procrastinate.exceptions import ConnectorException  # noqa: PLC0415 - as above

    cause = (error.__cause__ or error) if isinstance(error, ConnectorException) else error
    problem = first_line(cause)
    return f"{problem}. {_RIGHTS}" if isinstance(cause, psycopg.errors.InsufficientPrivilege) else problem


def first_line(error: BaseException) -> str:
    """The first line of a message of the database, without its full stop."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
