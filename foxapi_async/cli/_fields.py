"""The options that are made from the fields of the models: a model that is added brings its options along."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from foxapi_async.models import MODELS, FieldSpec, GrokImagineImage, ModelRequest

DEFAULT_MODEL = GrokImagineImage.model

# Options that are called otherwise than their field; the prompt is no option.
_NAMES = {"num_outputs": ("-n", "--num-outputs"), "image_urls": ("--image",), "params": ("--param",)}
_METAVARS = {"num_outputs": "N", "aspect_ratio": "RATIO", "resolution": "SIZE", "output_format": "FORMAT"}


def fields_by_name() -> dict[str, dict[str, FieldSpec]]:
    """For each field that any known model has: the models that have it, with what each allows."""
    found: dict[str, dict[str, FieldSpec]] = {}
    for model, cls in default_first():
        for spec in cls.fields():
            found.setdefault(spec.name, {})[model] = spec
    return found


def default_first() -> list[tuple[str, type[ModelRequest]]]:
    """The known models, the one that is meant where none is named before the others."""
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
    """The meaning, once where all models agree on it, and what each model that has the field allows."""
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
    """What a field may hold, as it is typed on a command line."""
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
