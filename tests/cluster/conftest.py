"""What the tests of the cluster share. They need PostgreSQL, so they are collected only with FOXAPI_TEST_CLUSTER=1.

Their libraries are imported in the fixtures: without that variable they need not be installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

collect_ignore_glob = [] if os.environ.get("FOXAPI_TEST_CLUSTER") == "1" else ["*"]


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server; each worker of pytest-xdist has its own. `.dsn` is the superuser's."""
    from postgres_server import OwnServer, make_server

    server = make_server()
    yield server
    if isinstance(server, OwnServer):
        server.remove()


@pytest.fixture
def own_postgres(postgres):
    """The same server, for tests that stop it or restore a copy of it. It runs again afterwards."""
    from postgres_server import check_owned

    server = check_owned(postgres)
    yield server
    server.start()


@pytest.fixture
def database(postgres):
    """The DSN of a new, empty database."""
    from postgres_server import fresh_database

    with fresh_database(postgres) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def tables(postgres):
    """The name of a database with the tables of a cluster. It is only copied: each copy gets an identity of its own."""
    from cluster_parts import run
    from postgres_server import fresh_database

    from foxapi_async.cluster.database import Database
    from foxapi_async.cluster.migration import migrate

    with fresh_database(postgres) as dsn:
        asyncio.run(migrate(Database.at(dsn)))
        asyncio.run(run(Database.at(dsn), "DELETE FROM meta WHERE name = 'identity'"))
        yield dsn.rpartition("/")[2]


@pytest.fixture
def cluster_dsn(postgres, tables):
    """The DSN of a new database with the tables of a cluster."""
    from postgres_server import fresh_database

    with fresh_database(postgres, tables) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def shared_dsn(postgres, tables):
    """The DSN of a database with the tables, for tests that each use a batch of their own."""
    from postgres_server import fresh_database

    with fresh_database(postgres, tables) as dsn:
        yield dsn


@pytest.fixture
def postgres_on_small_disk(tmp_path):
    """Makes a server of which a part is on a disk of its own: "data", "wal" or "both". Such a server starts anew in each test.

    `server.disk.fill()` takes all space of the disk, and `server.disk.free()` gives it back. Without space for data, a
    statement that needs more of it fails. Without space for the log (WAL), the whole server breaks off all work.
    """
    from disks import SmallDisk, can_mount
    from postgres_server import OwnServer

    if not can_mount():
        pytest.skip("this machine lets no process of ours mount a small disk")
    made = []

    def make(part="data", kilobytes=96 * 1024):
        disk = SmallDisk(tmp_path / f"disk-{len(made)}", kilobytes)
        made.append(disk.remove)
        server = OwnServer(disk, part)
        made.append(server.remove)
        return server

    yield make
    for remove in reversed(made):
        remove()


@pytest.fixture
def workers(tmp_path):
    """Starts processes of `foxapi`; the test may freeze and kill them, and all are killed at its end."""
    from workers import Workers

    started = Workers(tmp_path)
    yield started
    started.kill()


@pytest.fixture
def make_service():
    """Makes a service in a process of its own: `make_service(seconds=0.2, faults=[...])`."""
    from service import Service

    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(Service(**options))


@pytest.fixture
async def proxy(database):
    """A proxy before the fresh database: `proxy.dsn`. It can cut connections around a commit."""
    from cut_proxy import CutProxy

    async with CutProxy(database) as running:
        yield running
