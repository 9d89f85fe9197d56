"""Shows public objects under their public path. This is a copy of the client's module, which the emulator must not import."""

from __future__ import annotations

import inspect
from collections.abc import Callable


def show_under(path: str, values: tuple[type | Callable[..., object], ...]) -> None:
    """Give classes and functions the module `path`, and objects of the classes a `dir()` of public names."""
    for value in values:
        if isinstance(value, type):
            # Annotations are looked up in the class's module, and `path` does not have all their names.
            value.__annotations__ = inspect.get_annotations(value, eval_str=True)
            value.__dir__ = _public_dir  # type: ignore[assignment]
        value.__module__ = path


def _public_dir(self: object) -> list[str]:
    return [name for name in object.__dir__(self) if not name.startswith("_") or name.startswith("__")]
