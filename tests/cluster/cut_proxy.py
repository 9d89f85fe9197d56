"""A proxy in front of PostgreSQL that cuts connections at chosen moments, also between a commit and its answer.

It reads the messages of PostgreSQL's protocol, version 3: https://www.postgresql.org/docs/current/protocol.html
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Self

import attrs
from postgres_server import reserve_port
from psycopg.conninfo import conninfo_to_dict, make_conninfo

# What a client may ask before anything else, in the place of the protocol's version.
ASKS_FOR_ENCRYPTION = {80877103, 80877104}  # SSLRequest, GSSENCRequest
# After these messages the server says "ready for query".
ENDS_A_SERIES = {b"Q", b"S", b"F"}  # Query, Sync, FunctionCall


@attrs.define(eq=False)
class Cut:
    """A connection that is to be cut at a statement.

    Attributes:
        pattern: what the statement begins with.
        reaches: whether the server gets the statement, and ends it, before the cut.
        passing: how many such statements pass before.
        happened: set when the connection is cut.
        lost: the server's words for the statements whose answers were not passed on, such as "COMMIT".
    """

    pattern: re.Pattern[str]
    reaches: bool
    passing: int
    happened: asyncio.Event = attrs.field(factory=asyncio.Event)
    lost: list[str] = attrs.field(factory=list)

    def takes(self, statement: str) -> bool:
        """Whether it is this statement's turn."""
        if self.happened.is_set() or not self.pattern.match(statement.strip()):
            return False
        self.passing -= 1
        return self.passing < 0


@attrs.define(eq=False)
class Link:
    """One connection of a client, and the proxy's own to the server for it.

    Attributes:
        prepared: the statements that the client has prepared, by name.
        series: how many times the server will have said "ready" when it has answered everything.
        ready: how many times it has said so. The first time is after the login.
        cut: what cuts it, when the server is ready for the `cut_at`-th time.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server_reader: asyncio.StreamReader
    server_writer: asyncio.StreamWriter
    prepared: dict[bytes, str] = attrs.field(factory=dict)
    series: int = 1
    ready: int = 0
    cut: Cut | None = None
    cut_at: int = 0

    def statement(self, kind: bytes, body: bytes) -> str | None:
        """The statement that a client's message executes; None if it executes none."""
        if kind == b"Q":
            return body[:-1].decode()
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self.prepared[name] = text.decode()
        elif kind == b"B":
            return self.prepared.get(body.split(b"\0", 2)[1])
        return None

    def abort(self) -> None:
        """Close both connections at once."""
        self.writer.transport.abort()
        self.server_writer.transport.abort()


class CutProxy:
    """Passes on connections to a PostgreSQL server: `async with CutProxy(dsn) as proxy`. Connect to `proxy.dsn`.

    It runs on the loop of the test, so the test must not block this loop.

    Args:
        dsn: the server's.
    """

    def __init__(self, dsn: str) -> None:
        words = conninfo_to_dict(dsn)
        self._target = str(words.get("host", "127.0.0.1")), int(words.get("port", 5432))
        self._port = reserve_port()
        self._listener: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cuts: list[Cut] = []
        self._flows = asyncio.Event()
        self._flows.set()
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=self._port.getsockname()[1])
        """The same database through the proxy."""
        self.connections = 0
        """How many connections it has accepted."""

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._port.close()

    def cut(self) -> None:
        """Cut all connections now."""
        for link in self._links:
            link.abort()
        for task in self._tasks:  # some have no connection to the server yet
            task.cancel()

    def refuse(self) -> None:
        """Refuse new connections from now on. Open ones go on; `cut` ends them."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def accept(self) -> None:
        """Accept connections again."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, *self._port.getsockname())

    def stall(self) -> None:
        """Pass on nothing more from now on, and keep all connections open, as a network does that loses everything."""
        self._flows.clear()

    def flow(self) -> None:
        """Pass on everything again, and first what came meanwhile."""
        self._flows.set()

    def cut_before(self, pattern: str = "COMMIT", *, passing: int = 0) -> Cut:
        """Cut a connection when its client sends a statement, which the server never gets.

        Args:
            pattern: a regular expression for the beginning of the statement, in any case. Statements that are sent as one text are
                one statement.
            passing: how many such statements pass first, on all connections together.
        """
        return self._plan(pattern, passing, reaches=False)

    def cut_after(self, pattern: str = "COMMIT", *, passing: int = 0) -> Cut:
        """Cut a connection when the server has ended a statement, and before its answer reaches the client.

        If the statement is a transaction of its own, this is committed too. In a pipeline, the answers to all that ends with the
        same "sync" are lost. The arguments are those of `cut_before`.
        """
        return self._plan(pattern, passing, reaches=True)

    def _plan(self, pattern: str, passing: int, *, reaches: bool) -> Cut:
        cut = Cut(re.compile(pattern, re.IGNORECASE | re.DOTALL), reaches, passing)
        self._cuts.append(cut)
        return cut

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            await self._pass_on(Link(reader, writer, *await asyncio.open_connection(*self._target)))
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()  # the server is away, or the client has left before it said anything

    async def _pass_on(self, link: Link) -> None:
        self._links.add(link)
        try:
            await self._pass_on_start(link)
            await asyncio.gather(self._pass_on_statements(link), self._pass_on_answers(link))
        finally:
            self._links.discard(link)
            link.writer.close()
            link.server_writer.close()

    async def _pass_on_start(self, link: Link) -> None:
        """Pass on the first message, which has no kind. A client that asks for encryption hears no: it goes on without."""
        while True:
            size = await link.reader.readexactly(4)
            body = await link.reader.readexactly(int.from_bytes(size) - 4)
            if int.from_bytes(body[:4]) not in ASKS_FOR_ENCRYPTION:
                break
            link.writer.write(b"N")
        await self._flows.wait()
        link.server_writer.write(size + body)

    async def _pass_on_statements(self, link: Link) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                kind, message = await self._read(link.reader)
                statement = link.statement(kind, message[5:])
                if statement is not None and link.cut is None:
                    link.cut = next((cut for cut in self._cuts if cut.takes(statement)), None)
                    link.cut_at = link.series + 1
                    if link.cut is not None and not link.cut.reaches:
                        self._end(link, link.cut)
                        return
                link.series += kind in ENDS_A_SERIES
                link.server_writer.write(message)
                await link.server_writer.drain()
        link.server_writer.close()

    async def _pass_on_answers(self, link: Link) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                kind, message = await self._read(link.server_reader)
                link.ready += kind == b"Z"
                cut = link.cut
                if cut is None or link.ready < link.cut_at - (kind != b"Z"):
                    link.writer.write(message)
                    await link.writer.drain()
                elif kind == b"C":
                    cut.lost.append(message[5:-1].decode())
                elif kind == b"Z":
                    self._end(link, cut)
                    return
        link.writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        """The next message's kind, and the whole message."""
        head = await reader.readexactly(5)
        body = await reader.readexactly(int.from_bytes(head[1:]) - 4)
        await self._flows.wait()
        return head[:1], head + body

    def _end(self, link: Link, cut: Cut) -> None:
        link.abort()
        cut.happened.set()
