"""The page's server: uvicorn without its own output, ended by cancellation like every other command."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Generator

import uvicorn

from foxapi_async._errors import ConfigurationError
from foxapi_async._hints import Hint
from foxapi_async.page._app import Page

# The time for unfinished answers when the server should end. A submit may still wait for the service.
_GRACE_SECONDS = 5


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections.

    Raises:
        ConfigurationError: the address is in use, or does not belong to this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except (OSError, UnicodeError) as error:
        problem = getattr(error, "strerror", None) or str(error)
        is_taken = getattr(error, "errno", None) == errno.EADDRINUSE
    if is_taken:
        raise ConfigurationError(f"port {port} of {host} is in use", hint=Hint.OTHER_PORT)
    raise ConfigurationError(f"cannot listen at {host}, port {port}: {problem}")


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to the code that runs the loop."""
        yield


async def serve(page: Page, sock: socket.socket) -> None:
    """Answer until cancelled, then end soon. A second cancellation ends it at once."""
    config = uvicorn.Config(
        page.app,
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        page.stop()
        server.should_exit = True
        await _ended(server, serving)
        raise


async def _ended(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    try:
        await asyncio.wait([serving])
    except asyncio.CancelledError:
        server.force_exit = True
        serving.cancel()  # from Python 3.12 on it would still wait for its connections
        await asyncio.wait([serving])
