"""`foxapi batch --check`: reads all of an input, tells what is wrong with it and what it would make; sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from foxapi_async._batch.input.check import Check
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.validation import checked
from foxapi_async.cli import _exits
from foxapi_async.cli._screen import Screen
from foxapi_async.cli._text import counted, grouped
from foxapi_async.cli._words import in_shell_words
from foxapi_async.models import MODELS


async def show_check(file: InputFile, price: float | None, screen: Screen) -> int:
    """Tell what `file` holds.

    Raises:
        InvalidRequestError: it cannot be read.
    """
    found = await checked(file)
    for line in found.problems:
        problems = [in_shell_words(problem) for problem in line.problems]
        screen.data({"line": line.number, "id": line.id, "problems": problems})
        for problem in problems:
            screen.complain(f"line {line.number}: {problem}")
    if (untold := found.wrong - len(found.problems)) > 0:
        screen.complain(f"and {untold:,} more")
    for text in _lines(file, found, price):
        screen.line(text)
    screen.data(_object(found, price))
    return _exits.USAGE if found.wrong else _exits.DONE


def _lines(file: InputFile, found: Check, price: float | None) -> Iterator[str]:
    wrong = f", {found.wrong:,} wrong" if found.wrong else ""
    yield f"{file.name}: {counted(found.good + found.wrong, 'item')}{wrong}"
    for model, tally in sorted(found.models.items()):
        unknown = "" if model in MODELS else " (not known here: sent unchecked)"
        yield f"  {model}: {counted(tally.requests, 'submit')}, {counted(tally.images, 'image')}{unknown}"
    cost = "" if price is None else f", {grouped(found.good * price)} credits"
    yield f"to be submitted in a first run: {counted(found.good, 'submit')}, {counted(found.images, 'image')}{cost}"


def _object(found: Check, price: float | None) -> dict[str, Any]:
    models = {
        model: {"submits": tally.requests, "images": tally.images} for model, tally in found.models.items()
    }
    return {
        "items": found.good + found.wrong,
        "wrong": found.wrong,
        "models": models,
        "submits": found.good,
        "images": found.images,
        "credits": None if price is None else found.good * price,
    }
