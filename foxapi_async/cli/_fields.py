"""Makes the options and the list of `foxapi models` from the fields of the models, also of new ones."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from typing import Any

import attrs

from foxapi_async.models import DEFAULT_MODEL, MODELS, FieldSpec, ModelRequest

# Options with another name than their field. The prompt is not an option.
_NAMES = {"num_outputs": ("-n", "--num-outputs"), "image_urls": ("--image",), "params": ("--param",)}
_WIDTH = 100
_COLUMN = 20
_METAVARS = {"num_outputs": "N", "aspect_ratio": "RATIO", "resolution": "SIZE", "output_format": "FORMAT"}


def fields_by_name() -> dict[str, dict[str, FieldSpec]]:
    """Each field of the known models, with its definition in each model that has it."""
    found: dict[str, dict[str, FieldSpec]] = {}
    for model, cls in default_first():
        for spec in cls.fields():
            found.setdefault(spec.name, {})[model] = spec
    return found


def default_first() -> list[tuple[str, type[ModelRequest]]]:
    """The known models, the default one first."""
    return sorted(MODELS.items(), key=lambda item: item[0] != DEFAULT_MODEL)


def options_of(name: str) -> tuple[str, ...]:
    """The option that sets a field, short form first; the prompt has none."""
    return ("PROMPT",) if name == "prompt" else _NAMES.get(name, (f"--{name.replace('_', '-')}",))


def add_field(group: argparse._ArgumentGroup, name: str, specs: dict[str, FieldSpec]) -> None:
    """Add the option of a field."""
    spec = next(iter(specs.values()))
    meaning = "\n".join(_help_lines(specs)).replace("%", "%%")
    metavar = _METAVARS.get(name, name.upper())
    options = options_of(name)
    match spec.kind:
        case "flag":
            group.add_argument(*options, dest=name, action=argparse.BooleanOptionalAction, help=meaning)
        case "images":
            group.add_argument(*options, dest=name, action="append", metavar="PATH_OR_URL", help=meaning)
        case "integer":
            group.add_argument(*options, dest=name, type=int, metavar=metavar, help=meaning)
        case _:
            group.add_argument(*options, dest=name, metavar=metavar, help=meaning)


def _help_lines(specs: dict[str, FieldSpec]) -> Iterator[str]:
    """The meaning (once, if it is the same for all models), and the values that each model allows."""
    spec = next(iter(specs.values()))
    meanings = {each.help for each in specs.values()}
    if len(meanings) == 1:
        yield spec.help
    if spec.kind == "flag":
        yield f"for {', '.join(specs)}"
        return
    for model, each in specs.items():
        yield f"{model}: {allowed(each)}{f'. {each.help}' if len(meanings) > 1 else ''}"
    if spec.kind == "images":
        yield "(repeatable)"


def allowed(spec: FieldSpec) -> str:
    """The allowed values of a field, as they are typed on a command line."""
    match spec.kind:
        case "text":
            words = f"at most {spec.maximum} characters" if spec.maximum else "any text"
        case "choice":
            words = ", ".join(spec.choices)
        case "integer":
            words = f"{spec.minimum} to {spec.maximum}"
        case "flag":
            words = "yes or no"
        case _:
            words = f"at most {spec.maximum}" if spec.maximum else "any number of them"
    return f"{words} (default {spec.default})" if spec.default else words


def model_objects() -> Iterator[dict[str, Any]]:
    """One object for each model."""
    for model, cls in default_first():
        yield {
            "model": model,
            "class": cls.__name__,
            "default": model == DEFAULT_MODEL,
            "fields": [attrs.asdict(spec) for spec in cls.fields()],
        }


def model_lines() -> Iterator[str]:
    """A section for each model, with its options in a column."""
    for place, (model, cls) in enumerate(default_first()):
        default = " (default)" if model == DEFAULT_MODEL else ""
        yield from ["", f"{model}{default}"] if place else [f"{model}{default}"]
        for spec in cls.fields():
            yield from _field_lines(spec)


def _field_lines(spec: FieldSpec) -> Iterator[str]:
    advice = " Best left out." if spec.advanced else ""
    indent = " " * (_COLUMN + 2)
    yield f"  {options_of(spec.name)[0]:<{_COLUMN}}{spec.help}{advice}"
    yield from textwrap.wrap(allowed(spec), _WIDTH, initial_indent=indent, subsequent_indent=indent)
