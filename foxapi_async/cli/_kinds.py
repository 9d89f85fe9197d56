"""What an option may hold: each reads its text, or says what is wrong with it."""

from __future__ import annotations

import argparse
import math


def seconds(text: str) -> float:
    """A positive number of seconds."""
    if (value := _number(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number of seconds")
    return value


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not (text.isascii() and text.isdigit() and 1 <= (count := int(text[:12])) < 10**9):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return count


def port(text: str) -> int:
    """A port, 0 for any."""
    if not (text.isascii() and text.isdigit() and (port := int(text[:6])) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return port


def rate(text: str) -> float:
    """A positive number a second."""
    if (value := _number(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return value


def amount(text: str) -> float:
    """Credits, zero or more."""
    if (value := _number(text)) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of credits, zero or more")
    return value


def _number(text: str) -> float:
    """The number, or one below zero where it is none."""
    try:
        value = float(text)
    except ValueError:
        return -1.0
    return value if math.isfinite(value) else -1.0


def pair(text: str) -> tuple[str, str]:
    """A name and a text, which stand on both sides of the first equals sign."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value
