"""Notices that the server was told to end, before it says so.

A server waits for its open responses, and only then ends the lifespan. A stream of events is open for minutes, so it has
to learn of the signal itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

# In the state of a lifespan, and so in that of every request.
STATE_KEY = "foxapi_async.stopping"

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, FrameType | None], Any]


@contextlib.contextmanager
def noticed() -> Iterator[asyncio.Event]:
    """An event that is set as soon as this process is told to end, as long as the block lasts.

    Whoever handles the signals goes on to do so. Where nobody does, or beside the main thread, nothing is changed, and the
    event is never set.
    """
    stopping = asyncio.Event()
    with contextlib.ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in _SIGNALS:
                stack.enter_context(_told_first(number, lambda: loop.call_soon_threadsafe(stopping.set)))
        yield stopping


@contextlib.contextmanager
def _told_first(number: signal.Signals, notice: Callable[[], object]) -> Iterator[None]:
    """Call `notice` at a signal, then whatever Python function has handled it up to now."""
    former = signal.getsignal(number)
    if not callable(former):  # ignored, or the death of the process
        yield
        return
    handler = _chain(notice, former)
    signal.signal(number, handler)
    try:
        yield
    finally:
        # Whoever has taken the signal since then keeps it.
        if signal.getsignal(number) is handler:
            signal.signal(number, former)


def _chain(notice: Callable[[], object], former: Handler) -> Handler:
    def handler(number: int, frame: FrameType | None) -> None:
        notice()
        former(number, frame)

    return handler


def stopping_of(scope: Mapping[str, Any]) -> asyncio.Event:
    """The event of the app that a request came to; one that is never set where another lifespan runs."""
    found = scope.get("state", {}).get(STATE_KEY)
    return found if isinstance(found, asyncio.Event) else asyncio.Event()
