"""A relay between a client and a service that passes on every byte, and can let time pass right after an answer."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit


class Relay:
    """Passes on connections to a service on this machine: `async with Relay(emulator) as relay`.

    As soon as the service's answer to the n-th request has been written to the client's socket, the clock of
    the virtual loop jumps: the answer has arrived, and every timer is late.

    Args:
        emulator: the service.
        jumps: seconds to jump after each answer, in order; 0 for no jump. After the last one there are none.
    """

    def __init__(self, emulator, jumps=()):
        self._target = urlsplit(emulator.url)
        self._jumps = list(jumps)
        self.url = ""

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._tasks = set()
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer, answers=True))
        finally:
            for end in (writer, back):
                end.transport.abort()

    async def _pump(self, reader, writer, *, answers=False):
        while data := await reader.read(2**20):
            writer.write(data)  # sent at once: the socket is empty
            if answers and self._jumps:
                asyncio.get_running_loop()._now += self._jumps.pop(0)
        writer.close()
