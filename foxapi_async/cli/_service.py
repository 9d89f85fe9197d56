"""Which service a command speaks to: the real one, or an emulator made for it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from foxapi_async._client.session import FoxSession


class Service:
    """The service that the options mean.

    Args:
        args: the parsed options.
        **settings: of the session, as `FoxSession` takes them.

    Raises:
        ConfigurationError: there is no usable key or address, and the emulator is not meant.
    """

    def __init__(self, args: Namespace, **settings: Any) -> None:
        self._args = args
        self._settings = settings
        # Made before anything else happens, since it says what is wrong with the key; it needs no loop.
        self._session = None if args.emulator else FoxSession(**settings)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[FoxSession]:
        """A session that is still to be entered."""
        if self._session is not None:
            yield self._session
            return
        from foxapi_async.emulator import Emulator  # noqa: PLC0415 - a web server, rarely needed

        async with Emulator(seconds=self._args.emulator_seconds) as emulator:
            yield FoxSession(emulator.key, base_url=emulator.url, **self._settings)
