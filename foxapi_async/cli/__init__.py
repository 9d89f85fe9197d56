"""The command `foxapi`: data goes to standard output, text for people to standard error."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

from foxapi_async.cli._one_line_parser import CUT_OFF, USAGE
from foxapi_async.cli._parser import build_parser
from foxapi_async.cli._streams import put, standard_streams

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status. It never raises. `--debug` shows a traceback.

    Args:
        argv: the words after the program's name; by default, those that this process got.

    Returns:
        0 all done, 1 some task failed or standard output could not be written, 2 a wrong command line or request,
        3 a wrong configuration or a refused account, 4 the budget of a batch reached, 130 interrupted (Ctrl-C),
        143 terminated.
    """
    with standard_streams() as faults:
        status = _main(list(sys.argv[1:] if argv is None else argv))
    if not faults:
        return status
    put(sys.stderr, f"foxapi: standard output: {faults[0]}; the output there is incomplete\n")
    return status or CUT_OFF


def _main(words: list[str]) -> int:
    parser = build_parser(words)
    try:
        args = parser.parse_args(words)
    except SystemExit as stop:  # argparse has said why
        return stop.code if isinstance(stop.code, int) else USAGE
    if args.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    args.words = words
    return _run(args)


def _run(args: Namespace) -> int:
    # These modules import aiohttp. A help text does not need them.
    from foxapi_async._errors import FoxError  # noqa: PLC0415 - as above
    from foxapi_async.cli import _commands, _exits  # noqa: PLC0415 - as above
    from foxapi_async.cli._messages import logging_to, report  # noqa: PLC0415 - as above
    from foxapi_async.cli._screen import Screen  # noqa: PLC0415 - as above

    screen = Screen(as_json=args.json, quiet=args.quiet)
    of_worker = args.command == "worker"
    with logging_to(
        screen, verbose=args.verbose, calm=args.command in {"batch", "worker"}, shows_work=of_worker
    ):
        try:
            return _commands.COMMANDS[args.command](args, screen)
        except FoxError as error:
            return report(error, screen, debug=args.debug)
        except KeyboardInterrupt:
            return _exits.INTERRUPTED
        except Exception as error:  # a bug of ours: the user gets one line
            if args.debug:
                screen.trace(error)
            hint = "please report it" if args.debug else "--debug shows where"
            screen.error(f"internal error: {type(error).__name__}: {error} ({hint})")
            return _exits.FAILED
