"""The command: `python -m foxapi_async.emulator`."""

import argparse
import asyncio
import contextlib
import errno
import signal
import sys
from typing import TextIO

from ._emulator import Emulator
from ._faults import Fault
from ._tasks import CREDITS_PER_OUTPUT

# Always the same, so that the key that a shell has exported is still right after a restart.
_KEY = "sk-emulator-on-this-machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the emulator's options to a parser, so that another command can offer them too."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=_port, default=8765, help="port, 0 for any free one (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, help="median duration of a task (default: about 12)")
    parser.add_argument("--key", default=_KEY, help="the required API key (default: %(default)s)")
    parser.add_argument(
        "--idempotent", action="store_true", help="answer a repeated Idempotency-Key with the same task"
    )
    parser.add_argument(
        "--results",
        choices=("objects", "urls"),
        default="objects",
        help="form of the results: objects as FoxAPI, or urls as its sister gateway (default: %(default)s)",
    )
    parser.add_argument(
        "--fault-rate",
        type=float,
        default=0.0,
        metavar="P",
        help="share of requests, 0 to 1, to refuse: polls and files with 503, submits and uploads with 429",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM.

    Args:
        args: The parsed options of `add_arguments`.

    Returns:
        The exit status: 0 after a signal, 1 if it cannot listen on the address, 2 for invalid options.
    """
    try:
        emulator = Emulator(
            host=args.host,
            port=args.port,
            seconds=args.seconds,
            key=args.key,
            idempotent=args.idempotent,
            results=args.results,
            faults=_faults(args.fault_rate),
        )
    except ValueError as error:
        return _report_error(error, 2)
    try:
        with contextlib.suppress(KeyboardInterrupt):  # on systems where a loop takes no signal handlers
            asyncio.run(_serve(emulator))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return _report_error(error, 1)
    else:
        return 0
    taken = (
        f"port {args.port} of {args.host} is in use; give another with --port, or --port 0 for any free one"
    )
    return _report_error(taken, 1)


def main(argv: list[str] | None = None) -> int:
    """Parse a command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m foxapi_async.emulator",
        description="An emulator of the FoxAPI service on this machine.",
    )
    add_arguments(parser)
    return run(parser.parse_args(argv))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"must be a port from 0 to 65535; got {text!r}")
    return int(text)


def _faults(rate: float) -> tuple[Fault, ...]:
    if not rate:
        return ()
    reads = (Fault.rate("poll", rate), Fault.rate("file", rate))
    return (*reads, Fault.rate("submit", rate, status=429), Fault.rate("upload", rate, status=429))


def _report_error(error: Exception | str, status: int) -> int:
    _write(sys.stderr, f"foxapi emulator: {error}\n")
    return status


def _write(stream: TextIO | None, text: str) -> None:
    """Write a text. If the stream is missing or fails, the emulator works without it."""
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):  # a closed stream is a ValueError
            stream.write(text)
            stream.flush()


async def _serve(emulator: Emulator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stop.set)
    async with emulator:
        _write(
            sys.stdout,
            f"The emulator listens on {emulator.url}; stop it with Ctrl-C.\n"
            f"export FOXAPI_API_KEY={emulator.key}\n"
            f"export FOXAPI_BASE_URL={emulator.url}\n",
        )
        try:
            await stop.wait()
        finally:
            spent = emulator.billed_images * CREDITS_PER_OUTPUT
            _write(
                sys.stdout,
                f"Submits: {emulator.billed}, results: {emulator.billed_images}, at the emulator's price {spent} credits.\n",
            )


if __name__ == "__main__":
    sys.exit(main())
