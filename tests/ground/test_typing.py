"""The package as type checkers see it, from the outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

USES = Path(__file__).parents[1] / "typing_uses.py"


@pytest.mark.thorough
def test_typical_uses():
    """mypy, in strict mode, finds the documented types in typical uses, and an error in each wrong one."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", str(USES)]
    done = subprocess.run(command, cwd=USES.parents[1], capture_output=True, text=True, check=False)

    assert done.stdout == "Success: no issues found in 1 source file\n", done.stdout + done.stderr


@pytest.mark.thorough
def test_typical_uses_in_pyright():
    """pyright, in strict mode, finds the documented types in typical uses, and an error in each wrong one."""
    pytest.importorskip("basedpyright")
    # The project's configuration sets strict mode.
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, str(USES)]
    done = subprocess.run(command, cwd=USES.parents[1], capture_output=True, text=True, check=False)

    assert done.stdout == "0 errors, 0 warnings, 0 notes\n", done.stdout + done.stderr
