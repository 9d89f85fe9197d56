"""The README's examples are executed."""

import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from foxapi_async._handles import state

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
SNIPPETS = [text for kind, text in BLOCKS if kind == "python"]
APPS = {path.name: path.read_text() for path in (Path(__file__).parents[1] / "apps").glob("*.py")}
SCRIPTS = [text for text in SNIPPETS if text not in APPS.values() and "def test_" not in text]


def test_the_first_block_holds_two_commands():
    """A new user types two lines: the first shows the main job, the second runs the tests."""
    kind, text = BLOCKS[0]
    lines = text.splitlines()

    assert ("sh", 2) == (kind, len(lines))
    assert "generate" in lines[0]
    assert "pytest" in lines[1]


def test_the_state_diagram_is_that_of_the_code():
    """The README has the diagram that the transition table draws."""
    assert [state.mermaid() + "\n"] == [text for kind, text in BLOCKS if kind == "mermaid"]


@pytest.mark.thorough
@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_a_script_of_the_readme_runs(script, foxapi_emulator, tmp_path):
    """Each script runs unchanged, against the emulator, and writes only the unfinished tasks to stderr."""
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-W", "error", "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert 0 == done.returncode, done.stderr
    assert done.stdout or list((tmp_path / "out").rglob("*.jpg"))


@pytest.mark.parametrize("name", ["readme_app.py", "aiohttp_app.py", "prometheus_hook.py"])
def test_an_app_of_the_readme_is_tested(name):
    """An example that is not a script by itself equals a file that other tests run."""
    assert APPS[name] in SNIPPETS


def test_the_test_of_the_readme_passes(foxapi_emulator):
    """The README's example of a test with the fixture is a test that passes."""
    (test_text,) = [text for text in SNIPPETS if "def test_" in text]
    names = {}
    exec(test_text, names)
    (test,) = [value for name, value in names.items() if name.startswith("test_")]

    assert inspect.iscoroutinefunction(test)
    asyncio.run(test(foxapi_emulator))


def test_every_public_name_and_setting_of_a_session_is_in_the_readme():
    """The README names every setting of a session and every error."""
    import foxapi_async

    settings = set(inspect.signature(foxapi_async.FoxSession).parameters)
    errors = {name for name in foxapi_async.__all__ if name.endswith("Error")} - {"LedgerError", "TaskError"}

    assert set() == {name for name in settings | errors if name not in README}
