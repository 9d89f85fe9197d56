"""Tables and workbooks on the command line: what goes in, and what `foxapi export` gives back."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import sys
from pathlib import Path

import openpyxl
import pytest
from shell import start
from workbooks import save_book

from foxapi_async._batch.export import open_table
from foxapi_async._batch.export_files import BatchExport
from foxapi_async._errors import InvalidRequestError
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async.cli import _export, _screen, main

pytestmark = pytest.mark.usefixtures("clean_place")


@pytest.fixture
def named_columns():
    """A table has a column of this name."""
    return ("image_urls",)


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
    assert [] == [word for word in ('"sku"', '"notes"', "use --extra keep") if word not in line]


def test_a_column_that_is_no_field_in_a_pipe(foxapi, service, feed):
    """The error names the option there too, and the exit status is that of a file."""
    feed("prompt,sku\na fox,S-1\n")
    code, _, err = foxapi("batch", "-", "--format", "csv")

    assert (2, 0) == (code, service.billed)
    assert 'line 1: "sku": no field of grok-imagine-image' in err
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


# Export.

ROW = {
    "id": "fox",
    "model": "grok-imagine-image",
    "prompt": "a fox",
    "sku": "S-1",
    "state": "submitting",
    "files": [],
    "error": None,
    "credits": 5.0,
}
TABLE = "\ufeffid,model,prompt,sku,state,files,error,credits\r\nfox,grok-imagine-image,a fox,S-1,submitting,,,5.0\r\n"


def record(prompt="a fox"):
    request = {"model": "grok-imagine-image", "prompt": prompt}
    return json.dumps({"index": 0, "request": request, "extra": {"sku": "S-1"}})


def make_folder(**options):
    """The folder `out` of a batch with one item."""

    async def make():
        async with SqliteLedger.opened("out/ledger.sqlite") as ledger:
            await ledger.submitting("fox", "f" * 24, "key", 5.0, record(**options))

    asyncio.run(make())


@pytest.fixture
def out():
    """The folder of a batch with one item."""
    Path("out").mkdir()
    make_folder()
    return Path("out")


@pytest.mark.parametrize("words", [[], ["--csv"]])
@pytest.mark.thorough
def test_a_table_on_standard_output(out, words):
    """It is the same as in a file, with its byte order mark and line ends."""
    with start("export", "out", *words) as process:
        shown = process.stdout.buffer.read()

    assert (0, TABLE.encode()) == (process.returncode, shown)


@pytest.mark.parametrize("words", [["--jsonl"], ["--json"], ["--json", "--jsonl"]])
def test_json_lines_on_standard_output(foxapi, out, words):
    """--json prints them too."""
    code, shown, err = foxapi("export", "out", *words)

    assert (0, ROW, "") == (code, json.loads(shown), err)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("r.csv", []),
        ("r.CSV", ["--csv"]),
        ("data", []),
        ("r.data", ["--csv"]),
        ("r.jsonl", []),
        ("r.ndjson", []),
        ("r.data", ["--jsonl"]),
    ],
)
def test_a_file_has_the_format_of_its_ending(foxapi, out, name, words):
    """Unless an option says another. The path is printed."""
    code, shown, err = foxapi("export", "out", "--to", name, *words)

    is_table = "jsonl" not in f"{name} {words}" and not name.endswith(".ndjson")
    assert (0, f"{name}\n", "") == (code, shown, err)
    assert (TABLE if is_table else json.dumps(ROW) + "\n") == Path(name).read_bytes().decode()


@pytest.mark.parametrize("words", [["--to", "r.xlsx"], ["--xlsx", "--to", "r.data"]])
def test_a_workbook(foxapi, out, words):
    """With --json its path and the number of its rows are an object."""
    code, shown, err = foxapi("export", "out", *words, "--json")

    assert (0, {"path": words[-1], "rows": 1}, "") == (code, json.loads(shown), err)
    book = openpyxl.load_workbook(io.BytesIO(Path(words[-1]).read_bytes()))
    assert [tuple(ROW), ("fox", "grok-imagine-image", "a fox", "S-1", "submitting", None, None, 5)] == list(
        book.active.values
    )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--xlsx"], "--xlsx writes a file: give its name with --to"),
        (["--csv", "--json"], "--csv prints no JSON: leave out --json, or give a file with --to"),
        (
            ["--to", "r.xls"],
            "--to r.xls: no format has the ending .xls; use .csv, .jsonl or .xlsx, or name the format",
        ),
        (["--csv", "--to", "r.xlsx"], "--to r.xlsx: its ending is not that of --csv"),
        (["--to", "nowhere/r.csv"], "--to nowhere/r.csv: there is no folder nowhere"),
        (
            ["--to", "old.csv"],
            "--to old.csv: the file exists already; choose another name, or use --overwrite",
        ),
        (["--to", "out", "--overwrite"], "--to out: Is a directory"),
    ],
)
def test_an_export_that_is_refused(foxapi, out, words, problem):
    """Nothing is written."""
    Path("old.csv").write_text("old")
    before = sorted(Path().rglob("*"))
    code, _, err = foxapi("export", "out", *words)

    assert (2, f"foxapi: {problem}\n") == (code, err)
    assert ("old", before) == (Path("old.csv").read_text(), sorted(Path().rglob("*")))


def test_two_formats(foxapi, out):
    """They exclude each other."""
    assert 2 == foxapi("export", "out", "--csv", "--jsonl")[0]


def test_a_file_is_replaced_on_request(foxapi, out):
    """--overwrite gives the name to the new file."""
    Path("old.csv").write_text("old")

    assert 0 == foxapi("export", "out", "--to", "old.csv", "--overwrite")[0]
    assert TABLE == Path("old.csv").read_bytes().decode()


@pytest.mark.parametrize(
    "name", ["ledger.sqlite", "Manifest.jsonl", "submitted.jsonl", "ledger.sqlite-journal"]
)
def test_no_file_of_the_batch_is_replaced(foxapi, out, name):
    """Without them the next run would bill everything again."""
    before = {path: path.read_bytes() for path in out.iterdir()}
    code, _, err = foxapi("export", "out", "--jsonl", "--to", f"out/{name}", "--overwrite")

    assert (2, f"foxapi: --to out/{name}: a batch needs this file; choose another name\n") == (code, err)
    assert before == {path: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize("kind", ["pipe", "link", "link to nothing"])
def test_only_a_file_is_replaced(foxapi, out, kind):
    """A file in the place of `/dev/stdout`, which is a link, would break other programs."""
    path, target = Path("there"), Path("target")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(target)
        if kind == "link":
            target.write_text("old")
    before = path.lstat().st_ino
    code, _, err = foxapi("export", "out", "--csv", "--to", "there", "--overwrite")

    problem = "this is a link, a device or a pipe; give the name of a file"
    assert (2, f"foxapi: --to there: {problem}\n", before) == (code, err, path.lstat().st_ino)


def test_a_file_that_appears_meanwhile_is_not_replaced(out, monkeypatch):
    """The last step does not replace a file either."""
    made = BatchExport.pieces

    def pieces(self, form):
        yield from made(self, form)
        Path("r.csv").write_text("other")

    monkeypatch.setattr(BatchExport, "pieces", pieces)
    with open_table(out) as table, pytest.raises(InvalidRequestError, match="the file exists already"):
        asyncio.run(_export._write(BatchExport(table), "csv", Path("r.csv"), overwrite=False))

    assert ["other", ["out", "r.csv"]] == [Path("r.csv").read_text(), sorted(map(str, Path().iterdir()))]


@pytest.mark.parametrize("to", [[], ["--to", "r.csv"], ["--to", "r.xlsx"]])
def test_an_interrupt_ends_an_export_soon(foxapi, out, monkeypatch, to):
    """Not after the last row, which may take minutes. No file is left."""
    made, numbers = BatchExport._rows, []

    def interrupted(self):
        header, row = made(self)
        yield header
        os.kill(os.getpid(), signal.SIGINT)
        for number in range(1000):
            numbers.append(number)
            yield row

    monkeypatch.setattr(BatchExport, "_rows", interrupted)
    code, _, err = foxapi("export", "out", *to)

    assert (130, True, "") == (code, len(numbers) < 10, err)
    assert ["out"] == [path.name for path in Path().iterdir()]


def test_an_export_during_a_run(foxapi):
    """It does not disturb the run, and changes nothing in the folder."""

    async def meanwhile():
        async with SqliteLedger.opened("out/ledger.sqlite") as ledger:
            await ledger.submitting("fox", "f" * 24, "key", 5.0, record())
            code = await asyncio.to_thread(main, ["export", "out", "--to", "r.jsonl"])
            await ledger.submitted("fox", "task-1")
            return code

    Path("out").mkdir()
    assert 0 == asyncio.run(meanwhile())
    assert ROW == json.loads(Path("r.jsonl").read_text())


def test_an_export_of_a_folder_that_cannot_be_written(foxapi, out):
    """Only the ledger is read."""
    before = sorted(out.iterdir())
    out.chmod(0o555)
    try:
        assert 0 == foxapi("export", "out")[0]
        assert before == sorted(out.iterdir())
    finally:
        out.chmod(0o755)


def test_an_export_of_nothing(foxapi):
    """The error names the folder."""
    code, _, err = foxapi("export", "nowhere")

    assert (2, "foxapi: there is no folder nowhere; give the folder of a batch\n") == (code, err)


def test_cells_that_were_cut(foxapi):
    """They are counted in one line."""
    Path("out").mkdir()
    make_folder(prompt="x" * 40_000)
    code, _, err = foxapi("export", "out", "--to", "r.xlsx", "-q")

    assert 0 == code
    assert (
        'foxapi: 1 cell had more than 32,767 characters, the limit of a workbook: such a cell ends with "… [cut]"\n'
        == err
    )


def test_items_that_have_not_begun_are_counted(foxapi, service):
    """They are not in the folder, so they are not in the rows."""
    Path("p.txt").write_text("a\nb\nc\n")
    assert 4 == foxapi("batch", "p.txt", "--budget", "5", "--price", "5")[0]
    _, shown, err = foxapi("export", "out", "--jsonl")

    assert (1, "done") == (len(shown.splitlines()), json.loads(shown)["state"])
    assert "foxapi: 2 items of the input have not begun, and are not in these rows\n" == err


def test_a_workbook_without_openpyxl(foxapi, out, monkeypatch):
    """The error names the extra, and no file is left."""
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    code, _, err = foxapi("export", "out", "--to", "r.xlsx")

    assert (3, "foxapi: a workbook needs openpyxl: pip install 'foxapi-async[sheets]'\n") == (code, err)
    assert ["out"] == [path.name for path in Path().iterdir()]


def test_a_terminal_does_not_obey_a_cell(monkeypatch):
    """On a terminal, control characters become escapes, and there is no byte order mark."""
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", stream)
    pieces = [b"\xef\xbb\xbf", "狐\x1b[2J\r\nb\r\n".encode()]
    asyncio.run(_screen.Screen(as_json=False, quiet=True).content(pieces))

    assert "狐\\x1b[2J\nb\n" == stream.getvalue()


def test_a_stream_for_texts(out):
    """A program that calls the command may collect its output."""
    with contextlib.redirect_stdout(io.StringIO(newline="")) as stream:
        assert 0 == main(["export", "out"])

    assert TABLE == stream.getvalue()


def test_output_that_is_not_read_any_more(out):
    """A closed pipe is no error."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream, contextlib.redirect_stdout(stream):
        assert 0 == main(["export", "out"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_output_on_a_full_disk(out, capfd):
    """A table that is cut off must not look whole."""
    with Path("/dev/full").open("w") as stream, contextlib.redirect_stdout(stream):
        assert 1 == main(["export", "out"])

    assert capfd.readouterr().err == (
        "foxapi: standard output: No space left on device; the output there is incomplete\n"
    )
