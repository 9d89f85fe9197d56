"""The package as type checkers see it, from the outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, write_snippets

USES = Path(__file__).parents[1] / "typing_uses.py"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The typical uses, and each example of the README and of the docs."""
    return [USES, *write_snippets(tmp_path_factory.mktemp("examples"))]


def check(files, *words):
    """What a type checker says about the files, which it reads in one run."""
    command = [sys.executable, "-m", *words, *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.thorough
def test_uses_and_examples(files):
    """mypy, in strict mode, finds the documented types in typical uses, an error in each wrong one, and none in an example."""
    pytest.importorskip("mypy")

    assert f"Success: no issues found in {len(files)} source files\n" == check(files, "mypy", "--strict")


@pytest.mark.thorough
def test_uses_and_examples_in_pyright(files):
    """pyright, in strict mode, finds the documented types in typical uses, an error in each wrong one, and none in an example."""
    pytest.importorskip("basedpyright")

    # The project's configuration sets strict mode.
    found = check(files, "basedpyright", "--pythonpath", sys.executable)
    assert "0 errors, 0 warnings, 0 notes\n" == found
