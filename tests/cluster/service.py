"""The service of the tests in a process of its own, which outlives the workers that a test kills, and answers for the bill."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Self

from foxapi_async.emulator import Fault, ThreadedEmulator, _images

# It starts from nothing: a fork would take the threads and the locks of the test along.
PROCESSES = multiprocessing.get_context("spawn")
PATIENCE = 60.0


class Bill(NamedTuple):
    """One accepted submit."""

    task_id: str
    key: str | None
    """Its Idempotency-Key."""
    prompt: str
    status: str
    """Of its task: pending, processing, completed or failed."""


class Answers:
    """What the process answers; each method is a question of `Service`."""

    def __init__(self, emulator: ThreadedEmulator) -> None:
        self._emulator = emulator

    def bills(self) -> list[Bill]:
        return [
            Bill(task.id, task.idempotency_key, str(task.body["prompt"]), task.status)
            for task in self._emulator.tasks.values()
        ]

    def requests(self) -> Counter[str]:
        return Counter(f"{request.method} {request.path}" for request in self._emulator.requests)

    def add_fault(self, fault: Fault) -> None:
        self._emulator.add_fault(fault)

    def outage(self, seconds: float, fault: Fault | None) -> None:
        self._emulator.outage(seconds, fault)


def serve(connection: Connection, options: dict[str, Any]) -> None:
    """Run an emulator until the other end of the connection is closed, also because its process was killed."""
    _images.render = lambda picture: b"\xff\xd8\xff" + picture.prompt.encode()  # painting takes long
    with ThreadedEmulator(**options) as emulator:
        connection.send((emulator.url, emulator.key))
        answers = Answers(emulator)
        while True:
            try:
                name, arguments = connection.recv()
            except EOFError:
                return
            connection.send(getattr(answers, name)(*arguments))


class Service:
    """An emulator in its own process: `with Service(seconds=0.2, faults=[...]) as service`.

    Args:
        **options: those of `Emulator`.

    Attributes:
        base_url: its address; `url` is the same, as an emulator has it.
        key: the API key that it takes.
    """

    def __init__(self, **options: Any) -> None:
        self._connection, its_end = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=serve, args=(its_end, options), daemon=True)
        self._process.start()
        its_end.close()
        self.url, self.key = self._receive()
        self.base_url = self.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.join(PATIENCE)
        self._process.close()  # raises if it still runs

    @property
    def bills(self) -> list[Bill]:
        """Every accepted submit, in the order of acceptance."""
        return self._ask("bills")

    @property
    def billed(self) -> int:
        """How many submits were accepted."""
        return len(self.bills)

    @property
    def prompts(self) -> Counter[str]:
        """How often each prompt was accepted."""
        return Counter(bill.prompt for bill in self.bills)

    @property
    def keys(self) -> Counter[str | None]:
        """How often each Idempotency-Key was accepted."""
        return Counter(bill.key for bill in self.bills)

    @property
    def requests(self) -> Counter[str]:
        """How many requests came, by method and path: `POST /v1/images/generations`."""
        return self._ask("requests")

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this process, in which `foxapi` uses this service."""
        return {**os.environ, "FOXAPI_API_KEY": self.key, "FOXAPI_BASE_URL": self.base_url}

    def add_fault(self, fault: Fault) -> None:
        """Append a fault to the script."""
        self._ask("add_fault", fault)

    def outage(self, seconds: float, fault: Fault | None = None) -> None:
        """Apply a fault to every matching request from now on, for this many seconds; see `Emulator.outage`."""
        self._ask("outage", seconds, fault)

    def _ask(self, name: str, *arguments: object) -> Any:
        self._connection.send((name, arguments))
        return self._receive()

    def _receive(self) -> Any:
        if not self._connection.poll(PATIENCE):
            raise TimeoutError(f"the service did not answer within {PATIENCE:g} s")
        return self._connection.recv()
