"""Notices a stop signal before the server reports it.

A server waits for its open responses, and only then ends the lifespan. An event stream is open for minutes,
so it must notice the signal itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from types import FrameType
from typing import Any

# The key in the state of a lifespan. The state of every request has it too.
STATE_KEY = "foxapi_async.stopping"

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, FrameType | None], Any]


@contextlib.contextmanager
def stop_event() -> Generator[asyncio.Event]:
    """An event that is set when this process gets a stop signal, while the block runs.

    The former handlers still run. If there is no Python handler, or outside the main thread, nothing changes
    and the event is never set.
    """
    stopping = asyncio.Event()
    with contextlib.ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in _SIGNALS:
                stack.enter_context(_notified_first(number, lambda: loop.call_soon_threadsafe(stopping.set)))
        yield stopping


@contextlib.contextmanager
def _notified_first(number: signal.Signals, notice: Callable[[], object]) -> Generator[None]:
    """Call `notice` at a signal, then the Python function that handled it before."""
    former = signal.getsignal(number)
    if not callable(former):  # the signal is ignored, or ends the process
        yield
        return
    handler = _chain(notice, former)
    signal.signal(number, handler)
    try:
        yield
    finally:
        # A handler that was set later stays.
        if signal.getsignal(number) is handler:
            signal.signal(number, former)


def _chain(notice: Callable[[], object], former: Handler) -> Handler:
    def handler(number: int, frame: FrameType | None) -> None:
        notice()
        former(number, frame)

    return handler


def stopping_of(scope: Mapping[str, Any]) -> asyncio.Event:
    """The event of the request's app. It is never set if the app has another lifespan."""
    found = scope.get("state", {}).get(STATE_KEY)
    return found if isinstance(found, asyncio.Event) else asyncio.Event()
