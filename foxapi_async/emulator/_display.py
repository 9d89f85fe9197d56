"""How the emulator's public objects show themselves. The client has the same; the emulator imports nothing of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable


def show_under(path: str, values: tuple[type | Callable[..., object], ...]) -> None:
    """Give classes and functions the module `path`, and objects of the classes a `dir()` of public names."""
    for value in values:
        if isinstance(value, type):
            # Who evaluates annotations looks up their names in the module, and `path` does not have them all.
            value.__annotations__ = inspect.get_annotations(value, eval_str=True)
            value.__dir__ = _public_dir  # type: ignore[assignment]
        value.__module__ = path


def _public_dir(self: object) -> list[str]:
    return [name for name in object.__dir__(self) if not name.startswith("_") or name.startswith("__")]
