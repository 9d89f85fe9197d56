"""Makes the options of a request from the fields of the models, including new models."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from foxapi_async.models import DEFAULT_MODEL, MODELS, FieldSpec, model_definition
from foxapi_async.models._catalogue import is_known

# Fields whose option has another name. The prompt is not an option.
_NAMES = {"num_outputs": ("-n", "--num-outputs"), "image_urls": ("--image",), "params": ("--param",)}
_METAVARS = {"num_outputs": "N", "aspect_ratio": "RATIO", "resolution": "SIZE", "output_format": "FORMAT"}
# `--name` sets the name of the saved files. So --param sets the field `name`, which one model has.
_WITHOUT_OPTION = {"name"}
_MODEL_OPTIONS = ("-m", "--model")


def model_in(words: Sequence[str]) -> str:
    """The model that a command line names. The parser needs it first, to make options of its fields."""
    found = DEFAULT_MODEL
    for word, value in itertools.pairwise((*words, "")):
        name, sign, rest = word.partition("=")
        if name in _MODEL_OPTIONS:
            found = rest if sign else value
    return found


def option_fields(model: str) -> dict[str, dict[str, FieldSpec]]:
    """Each field that is an option, or the prompt, with its definition in each model that has it.

    They are the fields of `model`, and those of all models with a class: a batch may have lines of any model.
    """
    others = sorted(MODELS, key=lambda name: name != DEFAULT_MODEL)
    found: dict[str, dict[str, FieldSpec]] = {}
    for each in (*([model] if is_known(model) else []), *others):
        for spec in model_definition(each).fields:
            if spec.name not in _WITHOUT_OPTION:
                found.setdefault(spec.name, {})[each] = spec
    return found


def options_of(name: str) -> tuple[str, ...]:
    """The option that sets a field, short form first; the prompt has none."""
    if name in _WITHOUT_OPTION:
        return (f"--param {name}",)
    return ("PROMPT",) if name == "prompt" else _NAMES.get(name, (f"--{name.replace('_', '-')}",))


def words_of(name: str, text: str) -> list[str]:
    """The words of a command line that set a field to this value."""
    if name == "prompt":
        return [text]
    return ["--param", f"{name}={text}"] if name in _WITHOUT_OPTION else [options_of(name)[-1], text]


def add_field(group: argparse._ArgumentGroup, name: str, specs: dict[str, FieldSpec]) -> None:
    """Add the option of a field."""
    spec = next(iter(specs.values()))
    meaning = "\n".join(_help_lines(specs)).replace("%", "%%")
    metavar = _METAVARS.get(name, name.upper())
    options = options_of(name)
    match spec.kind:
        case "flag":
            group.add_argument(*options, dest=name, action=argparse.BooleanOptionalAction, help=meaning)
        case "images" | "files":
            group.add_argument(*options, dest=name, action="append", metavar="PATH_OR_URL", help=meaning)
        case "file":
            group.add_argument(*options, dest=name, metavar="PATH_OR_URL", help=meaning)
        case "list":
            group.add_argument(
                *options, dest=name, action="append", type=json_or_text, metavar=metavar, help=meaning
            )
        case "integer":
            group.add_argument(*options, dest=name, type=int, metavar=metavar, help=meaning)
        case "number" | "size" | "object" | "any":
            group.add_argument(*options, dest=name, type=json_or_text, metavar=metavar, help=meaning)
        case _:
            group.add_argument(*options, dest=name, metavar=metavar, help=meaning)


def json_or_text(text: str) -> Any:
    """The value of the text as JSON; the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


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
    if spec.kind in ("images", "files", "list"):
        yield "(repeatable)"


def allowed(spec: FieldSpec) -> str:
    """The allowed values of a field, as they are typed on a command line."""
    words = _WORDS[spec.kind](spec)
    return f"{words} (default {spec.default})" if spec.default else words


def _numbers(spec: FieldSpec) -> str:
    if spec.values:
        return ", ".join(map(str, spec.values))
    if spec.minimum is not None and spec.maximum is not None:
        return f"{spec.minimum} to {spec.maximum}"
    kind = "a whole number" if spec.kind == "integer" else "a number"
    return kind if spec.minimum is None else f"{kind}, {spec.minimum} or more"


def _sizes(spec: FieldSpec) -> str:
    rule = "" if spec.pixels is None else f", {spec.pixels}"
    return f'{", ".join(spec.choices)}, or {{"width": W, "height": H}} in pixels{rule}'


def _list(spec: FieldSpec) -> str:
    items = ", ".join(spec.choices) or "values"
    return f"one or more of {items}" + (f", at most {spec.maximum}" if spec.maximum else "")


def _files(spec: FieldSpec) -> str:
    return f"at most {spec.maximum}" if spec.maximum else "any number of them"


_WORDS: dict[str, Callable[[FieldSpec], str]] = {
    "text": lambda spec: f"at most {spec.maximum} characters" if spec.maximum else "any text",
    "choice": lambda spec: ", ".join(spec.choices),
    "integer": _numbers,
    "number": _numbers,
    "flag": lambda _: "yes or no",
    "size": _sizes,
    "list": _list,
    "object": lambda _: "a JSON object",
    "any": lambda _: "not documented",
    "file": lambda _: "a local file or a URL",
    "images": _files,
    "files": _files,
}
