"""The fixture `foxapi_emulator`: a running emulator of the service, for tests in any project.

pytest imports this module in every run of every project in the environment. So it imports nothing but pytest
until the fixture is used.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .emulator import ThreadedEmulator


@pytest.fixture
def foxapi_emulator(monkeypatch: pytest.MonkeyPatch) -> "Iterator[ThreadedEmulator]":
    """A running emulator whose tasks take about 0.2 seconds, for synchronous and asynchronous tests.

    `FOXAPI_API_KEY` and `FOXAPI_BASE_URL` point to it while the test runs, so the `FoxSession()` of your app uses
    it. It runs in its own thread, so a synchronous test with FastAPI's `TestClient` needs only this fixture.
    Asynchronous tests need a plugin. With pytest-asyncio, set `asyncio_mode = "auto"`, and open sessions on the loop
    of the test. With anyio, add a fixture `anyio_backend` that returns "asyncio", because Trio is not supported.
    """
    from .emulator import ThreadedEmulator  # noqa: PLC0415 (see above)

    with ThreadedEmulator(seconds=0.2) as emulator:
        monkeypatch.setenv("FOXAPI_API_KEY", emulator.key)
        monkeypatch.setenv("FOXAPI_BASE_URL", emulator.url)
        yield emulator
