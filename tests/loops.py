"""Event loops for the tests: one whose clock jumps, the usual one, and uvloop where asked for.

`VirtualLoop` runs an hour of waiting in milliseconds and with exact times. A module asks for it with
`pytestmark = pytest.mark.virtual`; everything else runs on asyncio, or on uvloop with FOXAPI_TEST_LOOP=uvloop
(where virtual tests are skipped: its clock is not ours).
"""

import asyncio
import os
import selectors

import pytest


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jump to the next timer once nothing is ready and no thread works for us."""

    def __init__(self):
        self._now = 0.0
        self._threads = 0
        selector = selectors.DefaultSelector()
        wait = selector.select

        def select(timeout=None):
            if timeout is not None and timeout <= 0:  # callbacks are ready: never block
                return wait(0)
            if timeout is None or self._threads:  # only real I/O can wake us
                return wait(None)
            ready = wait(0)
            if not ready:
                self._now += timeout
            return ready

        selector.select = select
        super().__init__(selector)

    def time(self):
        return self._now

    def run_in_executor(self, executor, func, *args):
        future = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(lambda _: self._thread_done())
        return future

    async def shutdown_default_executor(self, *args):
        self._threads += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._threads -= 1

    def _thread_done(self):
        self._threads -= 1


def pytest_asyncio_loop_factories(config, item):
    """The loop of each test."""
    wants_uvloop = os.environ.get("FOXAPI_TEST_LOOP") == "uvloop"
    if item.get_closest_marker("virtual"):
        if wants_uvloop:
            item.add_marker(pytest.mark.skip(reason="virtual time needs a loop with a clock of its own"))
        return {"virtual": VirtualLoop}
    if wants_uvloop:
        import uvloop

        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
