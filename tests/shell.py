"""The command line as a shell sees it: where its settings come from, and what a real process does on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios

# What a programmer would type, and nobody in a shell.
PYTHON = re.compile(
    r"=True|=None|pathlib|attach\(|RetryPolicy|RawRequest|FoxSession|api_key|base_url|timeout=|task_id=|image_urls|resume\("
)


def point_to(emulator, monkeypatch):
    monkeypatch.setenv("FOXAPI_API_KEY", emulator.key)
    monkeypatch.setenv("FOXAPI_BASE_URL", emulator.url)


def start(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "foxapi_async", *words],
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def on_a_terminal(*words, columns=100, interrupt_at=None, **env):
    """Run a command with standard error on a pseudo-terminal: exit status, standard output, what the terminal got.

    Once the terminal shows what `interrupt_at` matches, the command is interrupted.
    """
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = start(
        *words, stderr=its_end, stdin=its_end, env={**os.environ, "TERM": "xterm-256color", **env}
    )
    os.close(its_end)
    shown = b""
    with contextlib.suppress(OSError):  # Linux ends a terminal that nobody writes to with EIO
        while select.select([terminal], [], [], 20)[0] and (piece := os.read(terminal, 65536)):
            shown += piece
            if interrupt_at and re.search(interrupt_at, shown.decode(errors="ignore")):
                process.send_signal(signal.SIGINT)
                interrupt_at = None
    os.close(terminal)
    out, _ = process.communicate(timeout=20)
    return process.returncode, out, shown.decode()
