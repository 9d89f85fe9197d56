"""The emulator for code without an event loop: the same server in a daemon thread."""

import asyncio
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Self, Unpack

from ._emulator import Emulator, EmulatorOptions, Inspection


class ThreadedEmulator(Inspection):
    """The service on this machine for synchronous code: `with ThreadedEmulator() as emulator`.

    It takes the arguments of `Emulator` and has the same attributes. Use it too if the emulator must not share
    the loop of your code, for example a loop with virtual time.

    Args:
        **options: See `Emulator`.
    """

    def __init__(self, **options: Unpack[EmulatorOptions]) -> None:
        self._emulator = Emulator(**options)
        self._service = self._emulator._service  # noqa: SLF001 (a part of the same package)
        self._thread: threading.Thread | None = None
        self._stop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise RuntimeError("an emulator can be started only once; make another one")
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="foxapi-emulator", daemon=True)
        self._thread.start()
        ready.result()
        self._address = self._emulator.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stop is not None and self._thread is not None:
            loop, stop = self._stop
            loop.call_soon_threadsafe(stop.set)
            self._thread.join()

    def _run(self, ready: "Future[None]") -> None:
        # The class of the loop is named, because the installed policy may make loops with virtual time.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._serve(ready))

    async def _serve(self, ready: "Future[None]") -> None:
        stop = asyncio.Event()
        self._stop = asyncio.get_running_loop(), stop
        try:
            async with self._emulator:
                ready.set_result(None)
                await stop.wait()
        except BaseException as error:
            if ready.done():
                raise
            # If the port is taken, the error belongs to the `with` statement, not to this thread.
            ready.set_exception(error)
