"""Runs a command in a session, on the fastest loop that is installed, until it ends or gets a signal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from argparse import Namespace
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from foxapi_async._client.session import FoxSession

if TYPE_CHECKING:
    from foxapi_async.cli._screen import Screen

# The session takes longer than this to close only if a submit still waits for its answer.
_SOON = 0.5
_WAITING = "waiting for the answer to a sent request; Ctrl-C again ends at once"


def run_until_stopped(work: Coroutine[Any, Any, int], stop: Callable[[], None]) -> int:
    """Run `work`, and return its exit status.

    The first signal calls `stop`, and then `work` ends by itself. A second signal ends it at once. Then the status is
    128 plus the signal's number.
    """
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        return runner.run(_until_two_signals(work, stop))


async def _until_two_signals(work: Coroutine[Any, Any, int], stop: Callable[[], None]) -> int:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    received: list[int] = []

    def interrupt(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            stop()
        else:
            task.cancel()

    _handle_signals(loop, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        if len(received) < 2:
            raise
        return 128 + received[-1]


def run(work: Coroutine[Any, Any, int], screen: Screen) -> int:
    """Run `work`, and return its exit status: 128 plus the signal's number, if a signal ended it."""
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        return runner.run(_until_signal(work, screen))


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _until_signal(work: Coroutine[Any, Any, int], screen: Screen) -> int:
    """Cancel `work` at the first signal, so that it can report running tasks. Cancel it again at a second signal."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    received: list[int] = []
    explanation: list[asyncio.TimerHandle] = []

    def interrupt(number: int) -> None:
        if not received:
            explanation.append(loop.call_later(_SOON, screen.error, _WAITING))
        received.append(number)
        task.cancel()

    _handle_signals(loop, interrupt)
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]
    finally:
        for timer in explanation:
            timer.cancel()


def _handle_signals(loop: asyncio.AbstractEventLoop, handle: Callable[[int], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows, and threads other than the first, keep the interpreter's own handling.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, handle, number)


def open_service(args: Namespace, **settings: Any) -> AbstractAsyncContextManager[FoxSession]:
    """Gives a session that is not entered yet, with the service or with an emulator made for this command.

    Args:
        args: the parsed options.
        **settings: of the session, as `FoxSession` takes them.

    Raises:
        ConfigurationError: there is no usable key or address, and the emulator is not used.
    """
    if args.emulator:
        return _emulated(args.emulator_seconds, settings)
    # The session is made before the loop, because it reports a wrong key.
    # Commands that submit nothing and wait for nothing have no option for estimates.
    return contextlib.nullcontext(FoxSession(estimates=getattr(args, "estimates", None), **settings))


@contextlib.asynccontextmanager
async def _emulated(seconds: float, settings: dict[str, Any]) -> AsyncGenerator[FoxSession]:
    from foxapi_async.emulator import Emulator  # noqa: PLC0415 - a web server, rarely needed

    async with Emulator(seconds=seconds) as emulator:
        yield FoxSession(emulator.key, base_url=emulator.url, proxy=None, **settings)
