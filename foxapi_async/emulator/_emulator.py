"""The public emulator: an asynchronous context manager over a server on this loop."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypedDict

from aiohttp import web

from ._faults import Fault
from ._server import Routes
from ._service import Options, RequestRecord, Service
from ._tasks import Progress, Results, TaskView, view

# The server never closes an idle connection. On a loop whose time jumps, any limit would pass at once.
_NO_LIMIT_SECONDS = 1e9
# The connections are already closed when this wait begins.
_SHUTDOWN_SECONDS = 0.05
_TURNS_TO_ACCEPT = 5


class EmulatorOptions(TypedDict, total=False):
    """The arguments of `Emulator`, for code that passes them on."""

    seconds: float | None
    faults: Iterable[Fault]
    host: str
    port: int
    key: str | None
    seed: int
    progress: Progress
    idempotent: bool
    results: Results
    models: Iterable[str]


class TaskMap(Mapping[str, TaskView]):
    """The tasks by id. Each access gives the state at that moment."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __getitem__(self, task_id: str) -> TaskView:
        service = self._service
        return view(service.tasks[task_id], service.clock.now(), service.options.progress)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._service.tasks))  # a copy: the server may run in another thread

    def __len__(self) -> int:
        return len(self._service.tasks)


class Inspection:
    """The parts of an emulator that a test may read and change, while it runs and afterwards."""

    _service: Service
    _address: str | None = None

    @property
    def url(self) -> str:
        """The emulator's address: the base URL for a client.

        Raises:
            RuntimeError: It was never started.
        """
        if self._address is None:
            raise RuntimeError("the emulator has no address before it is entered with `with`")
        return self._address

    @property
    def key(self) -> str:
        """The API key that every API route requires."""
        return self._service.key

    @property
    def billed(self) -> int:
        """How many submits were accepted and billed."""
        return self._service.billed

    @property
    def billed_images(self) -> int:
        """How many outputs were billed: the sum of `num_outputs`."""
        return self._service.billed_images

    @property
    def tasks(self) -> Mapping[str, TaskView]:
        """Every accepted task by id, in the order of acceptance."""
        return TaskMap(self._service)

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request seen, oldest first. After 200,000 the older half is dropped."""
        return self._service.requests

    @property
    def connections(self) -> int:
        """How many TCP connections were accepted."""
        return self._service.connections

    @property
    def faults_fired(self) -> int:
        """How often a fault of the script was used."""
        return self._service.script.fired

    def add_fault(self, fault: Fault) -> None:
        """Append a fault to the script. This also works while the emulator runs."""
        self._service.script.add(fault)

    def adopt(
        self,
        task_id: str,
        body: Mapping[str, Any],
        *,
        path: str = "/v1/images/generations",
        idempotency_key: str | None = None,
    ) -> None:
        """Add a task that another emulator accepted, as if it had just been accepted here.

        A client that knows the id can continue with it. `billed` does not count it.

        Args:
            task_id: The id of the task.
            body: The request that made it.
            path: The endpoint that took the request.
            idempotency_key: The header of its submit, if it had one.

        Raises:
            RuntimeError: The emulator does not run yet.
            ValueError: The id is in use, or the service would refuse the request.
        """
        if self._address is None:
            raise RuntimeError("enter the emulator with `with` before it adopts tasks")
        self._service.adopt(task_id, path, dict(body), idempotency_key)

    def outage(self, seconds: float, fault: Fault | None = None) -> None:
        """Apply a fault to every matching request from now on, for this many seconds.

        Args:
            seconds: How long it lasts, on the loop's clock.
            fault: The fault; its `times` is ignored. By default every request gets a 503 page from something
                in front of the service.
        """
        now = self._service.clock.age()
        self.add_fault((fault or Fault.edge("all", 503)).during(now, now + seconds))


class Emulator(Inspection):
    """The service on this machine: `async with Emulator() as emulator`.

    Args:
        seconds: The median duration of a task; durations vary around it by about a quarter. With None tasks
            take twelve seconds and announce fifteen, much like the real service.
        faults: The fault script; see `Fault`.
        host: The address to listen on.
        port: The port; 0 takes any free one.
        key: The required API key; a random one by default.
        seed: Decides durations, task ids and random faults.
        progress: How `progress` moves: in small steps, in quarters, or not at all before the end.
        idempotent: Whether a repeated `Idempotency-Key` with the same body gives the same task, the header
            `idempotency-replayed: true` and no second bill. The service does not document this, so it is off.
        results: The form of the results of completed tasks. `objects`, as FoxAPI documents them, have a `url` each.
            `urls`, as the sister gateway EvoLink answers, are a list of addresses, and `usage` also has `credits_used`.
        models: Ids to accept in addition to the documented ones.

    Raises:
        ValueError: `seconds` is negative or not finite, or `progress` or `results` is unknown.
    """

    def __init__(
        self,
        *,
        seconds: float | None = None,
        faults: Iterable[Fault] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        key: str | None = None,
        seed: int = 0,
        progress: Progress = "linear",
        idempotent: bool = False,
        results: Results = "objects",
        models: Iterable[str] = (),
    ) -> None:
        options = Options(
            seconds=seconds,
            faults=tuple(faults),
            key=key,
            seed=seed,
            progress=progress,
            idempotent=idempotent,
            results=results,
            models=tuple(models),
        )
        self._service = Service(options)
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self._accept: Callable[[], asyncio.Protocol] = asyncio.Protocol
        self._listener: asyncio.Server | None = None
        self._exited = False

    async def __aenter__(self) -> Self:
        if self._address is not None:
            raise RuntimeError("an emulator can be started only once; make another one")
        self._service.clock.start(asyncio.get_running_loop().time)
        routes = Routes(self._service)
        self._accept = _counting(await self._set_up(routes), routes)
        try:
            await self._listen()
        except OSError:  # the port is taken, or the host is not of this machine
            await self._stop()
            raise
        self._address = f"http://{_reachable(self._host)}:{self._port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exited = True
        await self._hang_up()
        await self._stop()

    async def refuse(self, seconds: float) -> None:
        """Drop every connection and refuse new ones for this many seconds, as if the process restarted.

        Accepted tasks stay accepted. The same address answers afterwards, unless the emulator's context has ended.
        """
        await self._hang_up()
        try:
            await asyncio.sleep(seconds)
        finally:
            if not self._exited:
                await self._listen()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._accept, self._host, self._port, backlog=1024)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _hang_up(self) -> None:
        # asyncio accepts a connection, and gives it a transport a few turns later. Only the transport can close the
        # connection. If the listener is closed in between, asyncio drops the connection without closing it.
        for _ in range(_TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        if self._listener is not None:
            self._listener.close()
        self._drop_connections()

    async def _set_up(self, routes: Routes) -> web.Server:
        self._runner = web.AppRunner(
            routes.app(),
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=_NO_LIMIT_SECONDS,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await self._runner.setup()
        assert self._runner.server is not None  # noqa: S101 (set by `setup`)
        return self._runner.server

    async def _stop(self) -> None:
        runner = self._runner
        if runner is None or runner.server is None:
            return
        await asyncio.sleep(0)  # the loop reports the loss of a connection in its next turn
        await runner.cleanup()
        self._service.gallery.close()
        self._service.clock.stop()

    def _drop_connections(self) -> None:
        # Do not wait for handlers, because some hang on purpose. The loss of their connection ends them.
        server = self._runner.server if self._runner is not None else None
        for connection in server.connections if server is not None else ():
            if connection.transport is not None:  # pragma: no branch (lost at this very moment)
                connection.transport.abort()


def _counting(server: web.Server, routes: Routes) -> Callable[[], asyncio.Protocol]:
    def accept() -> asyncio.Protocol:
        protocol = server()
        routes.connected(protocol)
        return protocol

    return accept


def _reachable(host: str) -> str:
    if host in ("", "0.0.0.0"):  # noqa: S104 (compared, not bound)
        return "127.0.0.1"
    return f"[{'::1' if host == '::' else host}]" if ":" in host else host
