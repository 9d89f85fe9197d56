"""Our own threads, for files and large replies. Those jobs would fill the loop's default executor, which name
look-up needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Enough to keep a disk busy; each holds one buffer.
_THREADS = 4

_executors: list[ThreadPoolExecutor] = []


def _renew() -> None:
    """Make new threads. A forked child has no threads of its parent, and would wait for them forever."""
    _executors[:] = [ThreadPoolExecutor(_THREADS, thread_name_prefix="foxapi-files")]


_renew()
if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows
    os.register_at_fork(after_in_child=_renew)


async def in_thread(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `func` in a file thread and return its result. If cancelled, wait for the thread, then raise the
    cancellation.
    """
    call = functools.partial(func, *args, **kwargs)
    return await to_its_end(asyncio.get_running_loop().run_in_executor(_executors[0], call))


async def to_its_end(future: asyncio.Future[T]) -> T:
    """The future's result. If cancelled, wait for the future first, so that no thread works unnoticed."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        # The caller gets the cancellation. The error of the future is read here, because asyncio logs an unread one.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise
