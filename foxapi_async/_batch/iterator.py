"""The iterator over a batch's run. A task of the session's keeps the ledger open, so leaving either closes it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Self

from foxapi_async._batch.record import BatchOutcome
from foxapi_async._batch.run import Run
from foxapi_async._client.engine import Engine
from foxapi_async._errors import ConfigurationError


class BatchIterator:
    """What `Batch.run` gives: an async iterator of `BatchOutcome`, with `aclose()`.

    Args:
        engine: the session's.
        opened: opens the ledger and begins the run.
    """

    def __init__(self, engine: Engine, opened: Callable[[], AbstractAsyncContextManager[Run]]) -> None:
        self._keeper = _Keeper(engine, opened)
        self._dropped = weakref.finalize(self, _leave_soon, engine.loop, self._keeper)
        self._dropped.atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchOutcome:
        run = await self._keeper.begun()
        outcome = None if run is None else await run.feed.next()
        if isinstance(outcome, BatchOutcome):
            return outcome
        await self.aclose()
        if run is not None and run.error is not None:
            error, run.error = run.error, None
            raise error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the run: returns once what was sent has its answers, and the ledger is closed.

        Being cancelled meanwhile ends the waiting for those answers: their items are uncertain then.

        Raises:
            LedgerError: something could not be written.
        """
        self._dropped.detach()
        self._keeper.leave()
        try:
            await self._keeper.ended()
        except asyncio.CancelledError:
            self._keeper.hasten()
            raise


class _Keeper:
    """Keeps the run open until it is left, by its reader or with the session."""

    def __init__(self, engine: Engine, opened: Callable[[], AbstractAsyncContextManager[Run]]) -> None:
        self._engine = engine
        self._opened = opened
        self._run: Run | None = None
        self._news = asyncio.Event()
        self._leaving = False
        self._task: asyncio.Task[None] | None = None
        self._error: Exception | None = None

    async def begun(self) -> Run | None:
        """The run, once it is open; raises, once, what keeps it from that.

        Raises:
            ConfigurationError: the session was left before.
        """
        if self._task is None:
            if self._engine.left.is_set():
                raise ConfigurationError("the session was left before the batch began")
            self._task = self._engine.spawn(self._keep())
        await self._news.wait()
        if self._run is None:
            await self.ended()
        return self._run

    def leave(self) -> None:
        """Nobody reads the outcomes any more."""
        self._leaving = True
        if self._run is not None:
            self._engine.leave_feed(self._run.feed)

    def hasten(self) -> None:
        """Wait for no answer any more."""
        if self._run is not None:
            self._run.hasten()

    async def ended(self) -> None:
        """Wait until everything is closed; raises what went wrong with that, once."""
        if self._task is not None:
            await asyncio.wait([self._task])
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def _keep(self) -> None:
        try:
            async with self._opened() as self._run:
                self._news.set()
                if self._leaving or self._engine.left.is_set():
                    self.leave()
                await self._run.feed.until_left()
                await self._run.wind_up()
        except Exception as error:  # it is raised where the outcomes are read
            self._error = error
        finally:
            self._news.set()


def _leave_soon(loop: asyncio.AbstractEventLoop, keeper: _Keeper) -> None:
    # The garbage collector may run in any thread.
    if not loop.is_closed():
        loop.call_soon_threadsafe(keeper.leave)
