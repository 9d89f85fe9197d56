"""The command line as a shell sees it: the source of its settings, and a real process on a terminal."""

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
import threading
import time

# Terms for programmers, which a shell user must not see.
PYTHON = re.compile(
    r"=True|=None|pathlib|Limits\(|Batch\(|proxy=|caller|attach\(|RetryPolicy|RawRequest|FoxSession|api_key|base_url|timeout=|task_id=|image_urls|resume\("
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
    """Run a command with standard error on a pseudo-terminal: exit status, standard output, the terminal's
    text.

    When the terminal shows a match of `interrupt_at`, the command is interrupted.
    """
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = start(
        *words, stderr=its_end, stdin=its_end, env={**os.environ, "TERM": "xterm-256color", **env}
    )
    os.close(its_end)
    shown = b""
    with contextlib.suppress(OSError):  # Linux reports EIO if a terminal has no writer
        while select.select([terminal], [], [], 20)[0] and (piece := os.read(terminal, 65536)):
            shown += piece
            if interrupt_at and re.search(interrupt_at, shown.decode(errors="ignore")):
                process.send_signal(signal.SIGINT)
                interrupt_at = None
    os.close(terminal)
    out, _ = process.communicate(timeout=20)
    return process.returncode, out, shown.decode()


def interrupt_when(is_time, *numbers):
    """Send these signals to this process, 0.3 s apart, as soon as `is_time()` is true."""

    def interrupt():
        until = time.monotonic() + 20
        while not is_time() and time.monotonic() < until:
            time.sleep(0.01)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.3)

    threading.Thread(target=interrupt, daemon=True).start()
