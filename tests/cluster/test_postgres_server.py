"""The servers that the tests of the cluster stop, crash, copy and fill do so, and lose nothing that they had promised."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import psycopg
import pytest


def run(dsn, *statements):
    """Run statements, each in a transaction of its own, and return the rows of the last one."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def numbers(dsn):
    """What the table `kept` has."""
    return [number for (number,) in run(dsn, "SELECT n FROM kept ORDER BY n")]


@pytest.fixture
def kept(database):
    """A database with a table that has the number 1."""
    run(database, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
    return database


def test_a_database_is_empty(database):
    """A new database has no tables."""
    assert [] == run(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")


def test_it_listens_on_this_machine_only(own_postgres):
    """It has one address, which other machines do not reach."""
    assert [("127.0.0.1",)] == run(own_postgres.dsn, "SHOW listen_addresses")


def test_it_flushes_what_it_commits(own_postgres):
    """Its settings for safety are PostgreSQL's own."""
    assert [("on", "on")] == run(
        own_postgres.dsn, "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
    )


@pytest.mark.parametrize("immediate", [False, True])
def test_what_was_committed_outlives_a_stop(own_postgres, kept, immediate):
    """After a shutdown, and after a crash, a committed row is there."""
    own_postgres.restart(immediate=immediate)

    assert [1] == numbers(kept)


def test_a_stopped_server_refuses_connections(own_postgres):
    """No program listens on its port while it is stopped."""
    own_postgres.stop()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(own_postgres.dsn).port))


def test_a_stop_ends_connections(own_postgres, kept):
    """A transaction that is open at a stop is lost, and its connection too."""
    with psycopg.connect(kept) as connection:
        connection.execute("INSERT INTO kept VALUES (2)")
        own_postgres.restart()
        with pytest.raises(psycopg.OperationalError):
            connection.commit()

    assert [1] == numbers(kept)


def test_a_copy_brings_the_past_back(own_postgres, kept):
    """A restored server knows what it knew when it was copied, and nothing later."""
    own_postgres.stop()
    copy = own_postgres.copy()
    own_postgres.start()
    run(kept, "INSERT INTO kept VALUES (2)")
    own_postgres.stop()
    own_postgres.restore(copy)
    own_postgres.start()

    assert [1] == numbers(kept)


def test_a_running_server_is_not_copied(own_postgres):
    """Its files are not complete while it runs."""
    with pytest.raises(RuntimeError, match="stop the server before it is copied"):
        own_postgres.copy()


def test_a_full_disk_refuses_a_row_and_takes_it_later(postgres_on_small_disk):
    """Without space for data a statement fails, and the server runs on. With space again the statement succeeds."""
    server = postgres_on_small_disk("data")
    run(server.dsn, "CREATE TABLE kept (n int)")
    server.disk.fill()
    with pytest.raises(psycopg.errors.DiskFull):
        run(server.dsn, "INSERT INTO kept VALUES (1)")
    server.disk.free()
    run(server.dsn, "INSERT INTO kept VALUES (2)")

    assert [2] == numbers(server.dsn)


def test_a_full_disk_of_the_log_breaks_the_server(postgres_on_small_disk):
    """Without space for its log (WAL) the server breaks off all work. With space again it starts, with all that it had
    confirmed.
    """
    server = postgres_on_small_disk("wal")
    run(server.dsn, "CREATE TABLE kept (n int, pad text)", "ALTER TABLE kept ALTER pad SET STORAGE EXTERNAL")
    server.disk.fill()
    confirmed = 0
    with pytest.raises(psycopg.OperationalError), psycopg.connect(server.dsn, autocommit=True) as connection:
        while True:
            connection.execute("INSERT INTO kept VALUES (%s, repeat('x', 100000))", (confirmed,))
            confirmed += 1
    server.disk.free()
    server.restart(immediate=True)

    assert list(range(confirmed)) == numbers(server.dsn)[:confirmed]
