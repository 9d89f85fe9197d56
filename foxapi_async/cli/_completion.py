"""The script that completes commands, options, models and files in a shell, made by shtab from the parser."""

from __future__ import annotations

import argparse

import shtab

from foxapi_async.cli._fields import option_fields
from foxapi_async.cli._parser import COMMANDS, build_parser
from foxapi_async.models import DEFAULT_MODEL, MODELS
from foxapi_async.models._catalogue import names

_PLACES = {
    "FILE": shtab.FILE,
    "PATH_OR_URL": shtab.FILE,
    "DIR": shtab.DIRECTORY,
    "OUT": shtab.DIRECTORY,
    "ID_OR_OUT": shtab.DIRECTORY,
}


def completion_script(shell: str) -> str:
    """The script for a shell that shtab supports."""
    parser = build_parser(tuple(COMMANDS))
    _add_words(parser)
    return shtab.complete(parser, shell)


def _add_words(parser: argparse.ArgumentParser) -> None:
    """Add the words that may follow an option. This parser never reads a command line, so no other word is refused."""
    fields = option_fields(DEFAULT_MODEL)
    for action in parser._actions:  # noqa: SLF001 - shtab reads the parser in the same way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            commands: dict[str, argparse.ArgumentParser] = vars(action)["choices"]
            for command in commands.values():
                _add_words(command)
        elif action.metavar in _PLACES:
            vars(action)["complete"] = _PLACES[action.metavar]
        elif action.dest == "model":
            action.choices = (*MODELS, *names())
        elif specs := fields.get(action.dest):
            choices = dict.fromkeys(choice for spec in specs.values() for choice in spec.choices)
            action.choices = tuple(choices) or None
