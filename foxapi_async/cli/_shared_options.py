"""Options that several commands have, and the types of their values."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from typing import Any

DEFAULT_OUT = "out"
ESTIMATES = "FOXAPI_ESTIMATES"


# Each of the two functions makes a reader of an option's text. The error of the reader names the allowed values.


def number_option(wanted: str, fits: Callable[[float], bool]) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not fits(value):
            raise argparse.ArgumentTypeError(f"must be {wanted}; got {text!r}")
        return value

    return read


def whole_number(wanted: str, least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text[:12]) <= most):
            raise argparse.ArgumentTypeError(f"must be {wanted}; got {text!r}")
        return int(text[:12])

    return read


positive = number_option("a number above 0", lambda value: value > 0)
credits_option = number_option("a number of credits, 0 or more", lambda value: value >= 0)
count_option = whole_number("a whole number, 1 or more", 1, 10**9 - 1)
port_option = whole_number("a port from 0 to 65535", 0, 65535)


def pair(text: str) -> tuple[str, str]:
    """The name before the first equals sign, and the text after it."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE; got {text!r}")
    return key, value


def add_common(parser: argparse.ArgumentParser, *, top: bool) -> None:
    """Options that may stand before or after the command. An option given before it stays set."""
    default = False if top else argparse.SUPPRESS
    for names, meaning in (
        (("--json",), "print one JSON object for each line of data"),
        (("-q", "--quiet"), "no progress and no remarks, only warnings and errors"),
        (("-v", "--verbose"), "print more details"),
        (("--debug",), "show the traceback of an error"),
    ):
        parser.add_argument(*names, action="store_true", default=default, help=meaning)


def add_out(
    parser: argparse.ArgumentParser, meaning: str = "folder for the images", default: str = DEFAULT_OUT
) -> None:
    parser.add_argument(
        "-o", "--out", metavar="DIR", default=default, help=f"{meaning} (default: %(default)s)"
    )


def add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive,
        help="stop waiting for a task after this time; the task itself continues (default: 3600)",
    )


def add_estimates(parser: argparse.ArgumentParser, meaning: str) -> None:
    parser.add_argument(
        "--estimates",
        metavar="FILE",
        default=os.environ.get(ESTIMATES) or None,
        help=f"{meaning} (default: the file that {ESTIMATES} names, if it is set)",
    )


def add_dsn(parser: Any, meaning: str) -> None:
    parser.add_argument(
        "--dsn",
        metavar="DSN",
        nargs="?",
        const="",
        type=_address,
        help=f"{meaning}; postgresql://user:password@host/name; without a value, it is read from FOXAPI_DSN",
    )


def _address(text: str) -> str:
    """The address of a database. It may have a password, so no error shows it."""
    if text and "://" not in text and "=" not in text:
        raise argparse.ArgumentTypeError(
            "must be an address such as postgresql://user@host/name; if other words follow --dsn, write --dsn=ADDRESS"
        )
    return text
