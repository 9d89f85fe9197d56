"""One name means one thing."""

from __future__ import annotations

import ast
import collections
from pathlib import Path

import foxapi_async

ROOT = Path(foxapi_async.__file__).parent


def test_no_class_name_means_two_things():
    """In the whole package but the emulator, which imports nothing of it, no two modules have a class of one
    name. A leading underscore makes no other name.
    """
    modules: dict[str, list[str]] = collections.defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        if "emulator" not in path.parts:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    modules[node.name.lstrip("_")].append(path.relative_to(ROOT).as_posix())

    assert {name: found for name, found in modules.items() if len(found) > 1} == {}
