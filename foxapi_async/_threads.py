"""Threads of our own, for files and large replies: name look-up needs the loop's default executor, which they would fill."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Enough to keep a disk busy; each holds one buffer.
_THREADS = 4


_executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="foxapi-files")


async def in_thread(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `func` in a file thread. When cancelled, wait for it all the same, then be cancelled."""
    call = functools.partial(func, *args, **kwargs)
    return await to_its_end(asyncio.get_running_loop().run_in_executor(_executor, call))


async def to_its_end(future: asyncio.Future[T]) -> T:
    """What a thread gives. When cancelled, wait for it all the same, so that nothing works behind our back."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise
