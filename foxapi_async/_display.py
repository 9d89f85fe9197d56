"""Shows public objects under the path that users import them from, with public names only.

`inspect.getsource` looks for a class in the file of the class's path. So it does not find a public class. Other
packages that do this (httpx, numpy) have the same limitation. It finds methods and functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import FunctionType


def show_under(path: str, values: Iterable[object]) -> None:
    """Give classes and functions the module `path`, and objects of the classes a `dir()` of public names."""
    for value in values:
        if isinstance(value, type):
            # Annotations are looked up in the class's module, and `path` does not have all their names.
            value.__annotations__ = inspect.get_annotations(value, eval_str=True)
            value.__dir__ = public_dir  # type: ignore[assignment]
        if isinstance(value, type | FunctionType):
            value.__module__ = path


def public_dir(self: object) -> list[str]:
    """A `__dir__` with the names that users may use."""
    return [name for name in object.__dir__(self) if not name.startswith("_") or name.startswith("__")]
