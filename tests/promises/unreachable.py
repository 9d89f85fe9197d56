"""An address that accepts connections but not TLS, so that nothing can be sent to it."""

import asyncio


class Unreachable:
    """The address.

    Args:
        silent: keep the connections open, so that the handshake does not end; else close each one at once.
    """

    def __init__(self, *, silent):
        self._silent = silent
        self._open = []
        self.connected = []
        """When each connection was accepted, in seconds of the loop."""

    def _accept(self, _reader, writer):
        self.connected.append(asyncio.get_running_loop().time())
        self._open.append(writer)
        if not self._silent:
            writer.transport.abort()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.sleep(0)  # the loop reports the loss of a connection in its next turn
        await self._server.wait_closed()
