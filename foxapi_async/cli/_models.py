"""`foxapi models`: the known models, or the fields of one."""

from __future__ import annotations

import json
import shlex
import textwrap
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from foxapi_async._policy.prices import Price
from foxapi_async._wire.texts import counted, plain
from foxapi_async.cli import _exits
from foxapi_async.cli._fields import allowed, options_of, words_of
from foxapi_async.cli._screen import Screen
from foxapi_async.models import DEFAULT_MODEL, MODELS, ModelDefinition, find_models, model_definition

_WIDTH = 100
_COLUMN = 20
_ID_COLUMN = 38
_Prices = list[tuple[dict[str, Any], Price]]
_SOURCES = {
    "page": "the service's own page. A value that the page does not allow is refused, and nothing is sent",
    "text": "a summary of the service's pages. A value that it does not allow is refused, and nothing is sent",
    "extract": "the service's OpenAPI file alone. A value that the file does not allow is sent, with a warning",
}


def show_models(args: Namespace, screen: Screen, mine: Sequence[str] | None = None) -> int:
    """The work of `foxapi models`. Returns the exit status.

    Args:
        args: the parsed options.
        screen: where it is shown.
        mine: the models that the key may call; None to show all that are known.

    Raises:
        InvalidRequestError: no known model has this name.
        ConfigurationError: the file of learned prices has other content.
    """
    if args.name is not None:
        definition = model_definition(args.name)
        prices = _prices_of(definition.model, args.estimates)
        screen.data(_object_of(definition) | {"prices": [_price_object(*each) for each in prices]})
        for line in (*_page_of(definition), *(_price_words(definition, *each) for each in prices)):
            screen.line(line)
        return _exits.DONE
    known = find_models(returns=args.type, search=args.search)
    found = [definition for definition in known if mine is None or definition.model in mine]
    found.sort(key=lambda definition: definition.model != DEFAULT_MODEL)
    for definition in found:
        screen.data(_object_of(definition))
    for line in _list_of(found):
        screen.line(line)
    if not found:
        screen.note("no known model matches")
    all_known = {definition.model for definition in find_models()}
    if others := [model for model in mine or () if model not in all_known]:
        count = counted(len(others), "model")
        screen.note(f"the key may also call {count} that this version does not know: {', '.join(others)}")
    return _exits.DONE


def _object_of(definition: ModelDefinition) -> dict[str, Any]:
    return {
        "model": definition.model,
        "class": definition.class_name,
        "default": definition.model == DEFAULT_MODEL,
        "path": definition.path,
        "returns": definition.returns,
        "level": definition.level,
        "source": definition.source,
        "fields": [attrs.asdict(spec) for spec in definition.fields],
        "example": {"model": definition.model, **definition.example},
    }


def _prices_of(model: str, file: str | None) -> _Prices:
    """The learned prices of a model, the oldest first; empty if no file is given."""
    if file is None:
        return []
    from foxapi_async._cadence.estimates import price_book  # noqa: PLC0415 - rarely needed
    from foxapi_async._client.estimates_file import read_estimates  # noqa: PLC0415 - as above

    return list(price_book(read_estimates(Path(file))).of_model(model))


def _price_object(fields: dict[str, Any], price: Price) -> dict[str, Any]:
    return {"credits": price.credits, "fields": fields, "seen": price.seen}


def _price_words(definition: ModelDefinition, fields: dict[str, Any], price: Price) -> str:
    """A price with the fields that decide it: "price: 5 credits for one image with resolution 2K (seen 12 times)"."""
    result = definition.returns if definition.returns in ("image", "video") else "result"
    values = ", ".join(
        f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in fields.items()
    )
    amount = counted(price.credits, "credit")
    of_kind = f" with {values}" if values else ""
    return plain(f"price: {amount} for one {result}{of_kind} (seen {counted(price.seen, 'time')})")


def _list_of(found: Iterable[ModelDefinition]) -> Iterator[str]:
    """The models with a class, each with its fields, then a line for each other model."""
    others: list[ModelDefinition] = []
    for definition in found:
        if definition.model not in MODELS:
            others.append(definition)
            continue
        default = " (default)" if definition.model == DEFAULT_MODEL else ""
        yield f"{definition.model}{default}"
        yield from _fields_of(definition)
        yield ""
    if others:
        yield "other models; `foxapi models NAME` shows the fields of one"
    for definition in others:
        needed = ", ".join(spec.name for spec in definition.fields if spec.required)
        yield f"  {definition.model:<{_ID_COLUMN}}{definition.returns:<11}{f'from {needed}' if needed else ''}".rstrip()


def _page_of(definition: ModelDefinition) -> Iterator[str]:
    """All that is known about a model."""
    name = definition.class_name
    yield f"{definition.model}: makes {definition.returns}" + (f"; in Python {name}" if name else "")
    yield f"known from {_SOURCES[definition.level]}."
    yield f"source: {definition.source}"
    yield from _fields_of(definition)
    shown = {spec.name: options_of(spec.name)[0] for spec in definition.fields}
    for one, other in definition.exclude:
        yield f"  {shown[one]} and {shown[other]}: only one of the two"
    for field, value, other in definition.needs:
        yield f"  {shown[field]} {value}: only with {shown[other]}"
    for field, maximum, other in definition.at_most:
        yield f"  {shown[field]}: at most {maximum} with {shown[other]}"
    yield f"example: {_command_of(definition)}"
    yield f"in a batch: {json.dumps({'model': definition.model, **definition.example})}"


def _fields_of(definition: ModelDefinition) -> Iterator[str]:
    """The fields in a column, by their options."""
    indent = " " * (_COLUMN + 2)
    for spec in definition.fields:
        words = (
            spec.help,
            "Leave it out unless you need it." if spec.advanced else "",
            "Required." if spec.required else "",
            "(not sure)" if spec.level == "extract" else "",
        )
        yield f"  {options_of(spec.name)[0]:<{_COLUMN}}{' '.join(filter(None, words))}".rstrip()
        yield from textwrap.wrap(allowed(spec), _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _command_of(definition: ModelDefinition) -> str:
    """A command line that makes the example."""
    words = ["foxapi", "generate", "--model", definition.model]
    for name, value in definition.example.items():
        spec = definition.field(name)
        is_repeated = spec is not None and spec.kind in ("images", "files", "list")
        for each in value if is_repeated else [value]:
            words += words_of(name, each if isinstance(each, str) else json.dumps(each))
    return shlex.join(words)
