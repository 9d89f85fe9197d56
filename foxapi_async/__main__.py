"""The program `foxapi`, also `python -m foxapi_async`."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run this process's command line and return its exit status; see `foxapi_async.cli.main`.

    During the import, Ctrl-C ends the process at once, because there is nothing to report yet. Python's own
    handler raises an exception in the running code. If that is a callback of the import system, the exception is lost.
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_default:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from foxapi_async.cli import main as command  # noqa: PLC0415 - half a second, with aiohttp

    if is_default:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return command()


if __name__ == "__main__":
    sys.exit(main())
