"""`foxapi models`: the known models and their fields, from the same definition that checks requests."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import attrs

from foxapi_async.cli._fields import DEFAULT_MODEL, allowed, default_first, options_of
from foxapi_async.models import FieldSpec

_WIDTH = 100
_COLUMN = 20


def objects() -> Iterator[dict[str, Any]]:
    """One object for each model."""
    for model, cls in default_first():
        yield {
            "model": model,
            "class": cls.__name__,
            "default": model == DEFAULT_MODEL,
            "fields": [attrs.asdict(spec) for spec in cls.fields()],
        }


def lines() -> Iterator[str]:
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
