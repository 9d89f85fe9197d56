"""A parser of command lines. Its errors take one line, and suggest the right word."""

from __future__ import annotations

import argparse
import functools
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from foxapi_async.cli._streams import put

CUT_OFF = 1
"""The exit status if all is done, but standard output could not be written."""

USAGE = 2
"""The exit status of a wrong command line."""


class OneLineParser(argparse.ArgumentParser):
    """Errors take one line. No option can be shortened, because a new option could change the meaning."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Lines, **kwargs)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        # argparse would report unknown words in the top parser. The parser of the command knows the command's options,
        # and its message names the command's help.
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self._refuse(rest, takes_prompts=hasattr(found, "prompts"))
        return found, rest

    def _refuse(self, rest: Sequence[str], *, takes_prompts: bool) -> NoReturn:
        word = rest[0].partition("=")[0]
        if word.startswith("-"):
            self.error(f"no such option: {word}{_meant(word, self._option_string_actions)}")
        if takes_prompts:
            self.error(f"a second prompt: {word!r}; quote the prompt, or give each with --prompt")
        self.error(f"unrecognized arguments: {' '.join(rest)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.dest == "command" and value not in (commands := list(action.choices or ())):
            self.error(f"no such command: {value}{_meant(value, commands)}")
        super()._check_value(action, value)

    def _print_message(self, message: str, file: Any = None) -> None:
        put(file or sys.stderr, message)

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _meant(word: str, known: Iterable[str]) -> str:
    """A suggestion of the known word that is most similar; empty if no word is similar."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


class _Lines(argparse.HelpFormatter):
    """Keeps the line breaks of a help text."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return [
            part
            for line in text.splitlines()
            for part in textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False)
        ]

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        wrap = functools.partial(textwrap.fill, width=width, initial_indent=indent, subsequent_indent=indent)
        lines = text.splitlines()
        return "\n".join(line if line.startswith(" ") else wrap(line) for line in lines)
