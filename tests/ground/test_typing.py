"""The package as type checkers see it, from the outside."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, write_snippets

USES = Path(__file__).parents[1] / "typing_uses.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the typical uses, and with each example of the README and of the docs."""
    folder = tmp_path_factory.mktemp("examples")
    write_snippets(folder)
    shutil.copy(USES, folder)
    return folder


def said_by(*command):
    """What a type checker says."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.thorough
def test_uses_and_examples(folder):
    """mypy, in strict mode, finds the documented types in typical uses, an error in each wrong one, and none in an example."""
    pytest.importorskip("mypy")
    files = [str(path) for path in folder.glob("*.py")]

    assert f"Success: no issues found in {len(files)} source files\n" == said_by("mypy", "--strict", *files)


@pytest.mark.thorough
def test_uses_and_examples_in_pyright(folder):
    """pyright, in strict mode, finds the documented types in typical uses, an error in each wrong one, and none in an example."""
    pytest.importorskip("basedpyright")
    # The project's configuration sets strict mode.
    settings = {"extends": str(ROOT / "pyproject.toml"), "include": ["."], "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    found = said_by("basedpyright", "--pythonpath", sys.executable, "--project", str(folder))

    assert "0 errors, 0 warnings, 0 notes\n" == found
