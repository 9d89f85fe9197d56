"""Which fields of a request are input files. All models of the service use the same names for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from foxapi_async.models._values import FieldValue

_NO_FILE = "callback_url"


def is_file(name: str) -> bool:
    """Whether a field holds one input file, such as "image_url"."""
    return name.endswith("_url") and name != _NO_FILE


def is_file_list(name: str) -> bool:
    """Whether a field holds a list of input files, such as "image_urls"."""
    return name.endswith("_urls")


def map_files(fields: Mapping[str, FieldValue], convert: Callable[[Any], Any]) -> dict[str, Any]:
    """The fields of a request, with `convert` applied to each input file in them. None stays."""
    return {name: _mapped(name, value, convert) for name, value in fields.items()}


def _mapped(name: str, value: FieldValue, convert: Callable[[Any], Any]) -> Any:
    if isinstance(name, str) and value is not None:
        if is_file_list(name) and isinstance(value, list | tuple):
            return [convert(item) for item in value]
        if is_file(name):
            return convert(value)
    return value
