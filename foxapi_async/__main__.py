"""The program `foxapi`, which is also `python -m foxapi_async`."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run this process's command line and return its exit status; see `foxapi_async.cli.main`.

    While it imports, Ctrl-C ends the process at once: there is nothing to tell of yet, and the interpreter's own way,
    an exception out of whatever runs, is lost where that is a callback of the import system.
    """
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if raises:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from foxapi_async.cli import main as command  # noqa: PLC0415 - half a second, with aiohttp

    if raises:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return command()


if __name__ == "__main__":
    sys.exit(main())
