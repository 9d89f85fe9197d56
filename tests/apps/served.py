"""Apps of this folder in processes of their own, under uvicorn."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

PATIENCE = 60.0
TESTS = Path(__file__).parents[1]


class ServerProcess:
    """An app in its own process, on a port that is open from the beginning.

    Args:
        service: the service that it uses.
        app: the name of its file in this folder.
        options: more options of uvicorn.
        port: of the server; 0 for a free one.
        env: more variables of its environment.
    """

    def __init__(self, service, app="live_app", *options, port=0, **env):
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        words = f"apps.{app}:app", "--app-dir", str(TESTS), "--fd", str(self._socket.fileno())
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "uvicorn", "--no-access-log", *options, *words],
            env={**os.environ, "FOXAPI_API_KEY": service.key, "FOXAPI_BASE_URL": service.url, **env},
            pass_fds=[self._socket.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._socket.close()  # the process has it

    def terminate(self):
        self._process.send_signal(signal.SIGTERM)

    def output(self):
        """Wait for the end. Returns what the process has written."""
        return self._process.communicate(timeout=PATIENCE)[0]

    async def ended(self):
        """Wait for the end. Returns the output."""
        output = await asyncio.to_thread(self.output)
        assert "Traceback" not in output, output
        return output

    def kill(self):
        self._process.kill()
        self.output()


@contextlib.asynccontextmanager
async def serving(service, *words, patience=PATIENCE, **env):
    """A started server, for at most so many seconds. At the end it is stopped and waited for, unless it was already."""
    server = ServerProcess(service, *words, **env)
    try:
        async with asyncio.timeout(patience):
            yield server
            if server._process.returncode is None:
                server.terminate()
                await server.ended()
    finally:
        server.kill()
