"""What the tests of the command line share."""

import os

import pytest
from shell import PYTHON, point_to

from foxapi_async.cli import main
from foxapi_async.emulator import ThreadedEmulator


@pytest.fixture
def clean_place(monkeypatch, tmp_path):
    """An empty working folder, without the settings of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FOXAPI_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def service(monkeypatch):
    """A service with fast tasks; the environment points to it."""
    with ThreadedEmulator(seconds=0.1) as emulator:
        point_to(emulator, monkeypatch)
        yield emulator


@pytest.fixture
def named_columns():
    """The columns of a table that have the name of a Python term."""
    return ()


@pytest.fixture
def foxapi(capfd, named_columns):
    """Run a command line: its exit status, standard output and standard error, which never contains Python terms."""

    def run(*words):
        code = main(words)
        out, err = capfd.readouterr()
        shown = err
        for name in named_columns:
            shown = shown.replace(name, "")
        if "--debug" not in words:
            assert "Traceback" not in err
            assert not PYTHON.search(shown)
        return code, out, err

    return run
