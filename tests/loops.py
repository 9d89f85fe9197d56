"""Event loops for the tests: one whose clock jumps, the usual one, and uvloop on request.

`VirtualLoop` runs an hour of waiting in milliseconds and with exact times. A module uses it with `pytestmark
= pytest.mark.virtual`. Everything else runs on asyncio, or on uvloop with FOXAPI_TEST_LOOP=uvloop. Such a run
leaves out virtual tests, because uvloop's clock is not ours, and tests that run no loop, unless it is the whole
suite. A synchronous test that runs its own loop uses the fixture `new_loop`.
"""

import asyncio
import os
import selectors

import pytest
import pytest_asyncio
from helpers import WHOLE


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer when nothing is ready and no thread works for the loop."""

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


def wants_uvloop():
    """Whether this run uses uvloop."""
    return os.environ.get("FOXAPI_TEST_LOOP") == "uvloop"


def make_loop():
    """An ordinary loop, of the kind that this run uses."""
    if not wants_uvloop():
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def pytest_asyncio_loop_factories(config, item):
    """The loop of each test."""
    if item.get_closest_marker("virtual"):
        return {"virtual": VirtualLoop}
    return {"uvloop" if wants_uvloop() else "asyncio": make_loop}


@pytest.hookimpl(tryfirst=True)  # before the tests are chosen by their marks
def pytest_collection_modifyitems(config, items):
    """Put the longest tests first, so that no worker is left with one at the end. A run on uvloop leaves out tests
    that prove nothing about it: virtual time, and tests without a loop. The whole suite leaves out none.
    """
    for item in items:
        if getattr(item.obj, "is_hypothesis_test", False):
            item.add_marker("wide")
        if runs_on_uvloop(item):
            item.add_marker("looped")
    items.sort(key=lambda item: item.get_closest_marker("thorough") is None)
    if wants_uvloop() and not WHOLE:
        config.hook.pytest_deselected(items=[item for item in items if not runs_on_uvloop(item)])
        items[:] = [item for item in items if runs_on_uvloop(item)]


def runs_on_uvloop(item):
    """Whether the test is made of coroutines without virtual time, or uses the fixture `new_loop`."""
    has_a_loop = pytest_asyncio.is_async_test(item) or "new_loop" in item.fixturenames
    return has_a_loop and not item.get_closest_marker("virtual")
