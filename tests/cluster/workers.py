"""Processes of `foxapi` that a test starts, freezes and kills, and a wait for what they do."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

PATIENCE = 180.0
"""Seconds to wait for anything."""

FOXAPI = [sys.executable, "-W", "error", "-m", "foxapi_async"]
PAUSE = 0.005
SHOWN = 4000
"""How many of the last characters of an output a message shows."""


def text_of(condition: Callable[[], Any]) -> str:
    """The source of a condition, for messages."""
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):  # made at run time, or no function
        return repr(condition)


async def until(
    condition: Callable[[], Any | Awaitable[Any]], *workers: Worker, seconds: float = PATIENCE
) -> Any:
    """Wait until a condition holds, and return what it returned.

    Args:
        condition: asked again and again; a function or a coroutine function. Anything true ends the wait.
        *workers: they must run meanwhile. If one of them ends first, this fails at once, with what it printed.
        seconds: how long to wait at most.
    """
    loop = asyncio.get_running_loop()
    latest = loop.time() + seconds
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        for worker in workers:
            assert worker.running, f"{worker}\nended with {worker.code} before {text_of(condition)}"
        if loop.time() > latest:
            raise TimeoutError(
                "\n".join([f"not within {seconds:g} s: {text_of(condition)}", *map(str, workers)])
            )
        await asyncio.sleep(PAUSE)


class Worker:
    """A process whose output goes to files.

    Args:
        command: its words.
        log: the beginning of the names of its files: `<log>.out` and `<log>.err`.
        env: its environment.
        cwd: its folder.
    """

    def __init__(
        self, command: list[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.command = command
        self._out, self._err = log.with_name(f"{log.name}.out"), log.with_name(f"{log.name}.err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd
            )

    def __str__(self) -> str:
        return f"{' '.join(self.command)}\n{self.out[-SHOWN:]}{self.err[-SHOWN:]}"

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended. A frozen one has not."""
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """Its exit status; negative for a signal, None while it runs."""
        return self._process.poll()

    @property
    def out(self) -> str:
        """What it printed until now."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it wrote to standard error until now."""
        return self._err.read_text()

    async def end(self, seconds: float = PATIENCE) -> int:
        """Wait until it has ended: its exit status."""
        await until(lambda: not self.running, seconds=seconds)
        code = self.code
        assert code is not None
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGTERM or SIGINT."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once (SIGKILL), as a loss of power does. Also a frozen one."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def freeze(self) -> None:
        """Stop its time (SIGSTOP), and wait until it stands still. If it has just ended, nothing happens."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let its time go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)


class Workers:
    """Starts processes of `foxapi`, each with log files of its own. It kills those that still run at the end.

    Args:
        folder: for the log files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[Worker] = []
        """All of them, in order."""

    def start(self, *words: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Worker:
        """Start `foxapi *words`."""
        return self.run([*FOXAPI, *map(str, words)], env=env, cwd=cwd)

    def run(
        self, command: list[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Worker:
        """Start any command."""
        worker = Worker(command, self._folder / f"worker-{len(self.started)}", env, cwd)
        self.started.append(worker)
        return worker

    def kill(self) -> None:
        """Kill all of them."""
        for worker in self.started:
            worker.kill()
