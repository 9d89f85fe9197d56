"""Tables and workbooks on the command line: what goes in, and what `foxapi export` gives back."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import pytest
from shell import PYTHON, point_to
from workbooks import save_book

from foxapi_async.cli import main
from foxapi_async.emulator import ThreadedEmulator


@pytest.fixture(autouse=True)
def clean_place(monkeypatch, tmp_path):
    """An empty working folder, without the settings of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FOXAPI_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def service(monkeypatch):
    """A service with fast tasks; the environment points to it."""
    with ThreadedEmulator(seconds=0.05) as emulator:
        point_to(emulator, monkeypatch)
        yield emulator


@pytest.fixture
def foxapi(capfd):
    """Run a command line: its exit status, standard output and standard error, which never contains Python terms."""

    def run(*words):
        code = main(words)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        assert not PYTHON.search(err.replace("image_urls", ""))  # a column has this name
        return code, out, err

    return run


@pytest.fixture
def feed(monkeypatch):
    """Puts a text on standard input, as a pipe does."""
    with contextlib.ExitStack() as stack:

        def put(text):
            reading, writing = os.pipe()
            os.write(writing, text.encode())
            os.close(writing)
            monkeypatch.setattr(sys, "stdin", stack.enter_context(os.fdopen(reading)))

        yield put


# Input.


def test_a_workbook_is_made(foxapi, service):
    """The same command as for every other input."""
    save_book("products.xlsx", ["id", "prompt", "sku"], ["fox", "a fox", "S-1"], ["owl", "an owl", "S-2"])
    words = ("batch", "products.xlsx", "--extra", "keep")
    code, out, _ = foxapi(*words, "--check")
    assert (0, "products.xlsx: 2 items") == (code, out.splitlines()[0])
    code, _, _ = foxapi(*words)

    assert (0, 2) == (code, service.billed)
    assert {"S-1", "S-2"} == {
        json.loads(line)["extra"]["sku"] for line in Path("out/manifest.jsonl").read_text().splitlines()
    }


@pytest.mark.parametrize("more", [[], ["--check"]])
def test_a_column_that_is_no_field_names_the_option(foxapi, service, more):
    """The one error at line 1 says how to keep the columns."""
    save_book("products.xlsx", ["prompt", "sku", "notes"], ["a fox", "S-1", "x"])
    code, _, err = foxapi("batch", "products.xlsx", *more)

    assert (2, 0) == (code, service.billed)
    (line,) = [line for line in err.splitlines() if "line 1" in line]
    assert [] == [word for word in ("'sku'", "'notes'", "use --extra keep") if word not in line]


def test_a_column_that_is_no_field_in_a_pipe(foxapi, service, feed):
    """The error names the option there too."""
    feed("prompt,sku\na fox,S-1\n")
    code, _, err = foxapi("batch", "-", "--format", "csv")

    assert (1, 0) == (code, service.billed)
    assert "line 1: 'sku': no field of grok-imagine-image" in err
    assert "use --extra keep" in err


@pytest.mark.parametrize("source", ["p.csv", "-"])
@pytest.mark.parametrize("more", [[], ["--check"]])
def test_a_file_without_items(foxapi, service, feed, source, more):
    """There is one line, and the exit status is 0."""
    Path("p.csv").write_text("prompt,id\n")
    feed("")
    code, _, err = foxapi("batch", source, *more)

    name = "standard input" if source == "-" else source
    assert 0 == code
    assert 1 == err.count(f"foxapi: {name} has no items, so there is nothing to do\n")


def test_a_workbook_from_a_pipe(foxapi):
    """It cannot be read."""
    code, _, err = foxapi("batch", "-", "--format", "xlsx", "--emulator")

    assert 2 == code
    assert "standard input: a workbook cannot be read from a pipe; give its file" in err
