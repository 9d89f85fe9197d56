"""Shared by all tests."""

from __future__ import annotations

import gc
import inspect
import os
import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import aioresponses.core as aioresponses_core
import pytest
from helpers import WHOLE, session_at
from hypothesis import settings
from loops import (  # hooks of pytest-asyncio and pytest
    make_loop,
    pytest_asyncio_loop_factories,  # noqa: F401
    pytest_collection_modifyitems,  # noqa: F401
)

from foxapi_async.emulator import Emulator

# No test depends on the speed of a machine, or on luck: a passed test passes again. FOXAPI_TEST_SEARCH=1 uses
# new examples.
known = os.environ.get("FOXAPI_TEST_SEARCH") != "1"
settings.register_profile("unhurried", deadline=None, derandomize=known)
settings.register_profile("brief", deadline=None, derandomize=known, max_examples=20)
settings.load_profile("unhurried" if WHOLE else "brief")

# Temporary folders are in memory if there is room: flushing to a disk takes a third of a batch's time, and no test
# cuts the power.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * 1024**3:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# Collecting the tests makes many objects, and no garbage.
gc.disable()

# A proxy of this machine has no part in a test.
for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
    os.environ.pop(name, None)

# aioresponses 0.7.9 does not know aiohttp 3.14: a response needs a stream writer, and a reader's protocol a parser.
if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:

    class MockableResponse(aiohttp.ClientResponse):
        """A response without the request that it answers."""

        def __init__(self, *args: Any, stream_writer: Any = None, **kwargs: Any) -> None:
            writer = stream_writer or SimpleNamespace(output_size=0)
            super().__init__(*args, stream_writer=writer, **kwargs)

    class StillParser:
        """A parser with nothing to parse."""

        def pause_reading(self) -> None:
            """The body is complete."""

        def resume_reading(self) -> None:
            """The body is complete."""

        def feed_data(self, _: bytes) -> tuple[tuple[()], bool, bytes]:
            """No message, no upgrade, nothing left."""
            return (), False, b""

    make_reader = aioresponses_core.stream_reader_factory

    def make_reader_with_parser(loop: Any = None) -> aiohttp.StreamReader:
        """A reader that may hold a large body: pausing asks the protocol's parser."""
        reader = make_reader(loop)
        protocol = reader._protocol
        if getattr(protocol, "_parser", None) is None:
            protocol._parser = StillParser()
        return reader

    aioresponses_core.ClientResponse = MockableResponse
    aioresponses_core.stream_reader_factory = make_reader_with_parser


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """`-n auto` has one worker more than there are cores: many tests wait for a child process or for a clock.
    PYTEST_XDIST_AUTO_NUM_WORKERS gives another number.
    """
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else (os.cpu_count() or 1) + 1


def pytest_collection_finish():
    """What is loaded by now stays to the end, so that no collection of garbage looks at it again."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _same_chances_each_time(request):
    """Jitter and phases are random in each test, but the same in each run of it: a failure can be repeated."""
    random.seed(request.node.nodeid)


@pytest.fixture
def new_loop():
    """Makes an ordinary loop, for a synchronous test that runs one: `asyncio.Runner(loop_factory=new_loop)`."""
    return make_loop


@pytest.fixture
async def emulator():
    """A service whose tasks take about 20 s."""
    async with Emulator(seconds=20) as running:
        yield running


@pytest.fixture
async def fox(emulator):
    """A session at that service."""
    async with session_at(emulator) as session:
        yield session
