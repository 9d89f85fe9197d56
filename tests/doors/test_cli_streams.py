"""A command does its work also if its standard streams are closed, missing or broken.

Its exit status is the usual one, but if standard output could not be written: then it is not 0.
"""

import asyncio
import io
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from shell import point_to

from foxapi_async.cli import _screen, _streams, main
from foxapi_async.emulator import ThreadedEmulator
from foxapi_async.emulator.__main__ import main as emulator_main

CLOSED = "<&- >&- 2>&-"
FULL = "> /dev/full 2> /dev/full"
# Each process takes half a second: the quick suite has all streams closed, and broken ones in its own process below.
STREAMS = [CLOSED, pytest.param(FULL, marks=pytest.mark.thorough)]


@pytest.fixture
def service(monkeypatch, tmp_path):
    """A service with a task and a folder with a batch, an image, and an empty working folder."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FOXAPI_")]:
        monkeypatch.delenv(name)
    Image.new("RGB", (8, 8)).save("fox.png")
    Path("p.jsonl").write_text('{"id": "a", "prompt": "fox"}\n{"id": "b", "prompt": "owl"}\n')
    with ThreadedEmulator(seconds=0.1) as emulator:
        point_to(emulator, monkeypatch)
        yield emulator


def run(words, streams):
    """The exit status of a command with these redirections."""
    program = f'exec "$0" -W error -m foxapi_async "$@" {streams}'
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["sh", "-c", program, sys.executable, *words], env=environment, timeout=60
    ).returncode


def batch_is_whole(folder):
    """Whether a folder has a batch of two images, and nothing that was printed is in its files."""
    lines = [json.loads(line) for line in Path(folder, "manifest.jsonl").read_text().splitlines()]
    connection = sqlite3.connect(Path(folder, "ledger.sqlite"))
    (checked,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return ["done", "done", "ok"] == [line["status"] for line in lines] + [checked]


# Each command: its words, its usual exit status, and whether its work is done.
COMMANDS = {
    "nothing": ([], 2, lambda _: True),
    "help": (["--help"], 0, lambda _: True),
    "help of a command": (["batch", "--help"], 0, lambda _: True),
    "version": (["--version"], 0, lambda _: True),
    "wrong option": (["generate", "--wrong"], 2, lambda _: True),
    "wrong request": (["generate", "a", "-n", "9", "--debug"], 2, lambda _: True),
    "no input": (["batch", "-"], None, lambda service: service.billed == 1),
    "generate": (["generate", "fox", "--out", "x"], 0, lambda _: len(list(Path("x").iterdir())) == 1),
    "generate as json": (["generate", "fox", "--json"], 0, lambda service: service.billed == 2),
    "dry run": (["generate", "fox", "--dry-run"], 0, lambda service: service.billed == 1),
    "batch": (["batch", "p.jsonl", "--out", "b"], 0, lambda _: batch_is_whole("b")),
    "check": (["batch", "p.jsonl", "--check"], 0, lambda service: service.billed == 1),
    "status": (["status", "ID"], 0, lambda service: service.requests[-1].method == "GET"),
    "wait": (["wait", "ID", "--out", "x"], 0, lambda _: len(list(Path("x").iterdir())) == 1),
    "upload": (["upload", "fox.png"], 0, lambda service: "upload" in service.requests[-1].path),
    "models": (["models", "--json"], 0, lambda _: True),
    "credits": (["credits"], 0, lambda service: service.requests[-1].path == "/v1/account/credits"),
    "completion": (["completion", "bash"], 0, lambda _: True),
}
# Of those that print, that are refused and that send, the quick suite has one each.
QUICK = {"help", "wrong request", "batch"}

PRINT_NOTHING = {"nothing", "no input", "batch"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.thorough]) for name in COMMANDS]
)
@pytest.mark.parametrize(
    "streams", [*STREAMS, *(pytest.param(each, marks=pytest.mark.thorough) for each in (">&-", "2>&-"))]
)
def test_a_command_without_its_streams(service, capfd, name, streams):
    """With closed streams, and on a full disk, each command has done its work. Only what cannot be printed changes
    its exit status.
    """
    main(["generate", "fox", "--out", "made"])
    (task_id,) = service.tasks
    words, status, is_done = COMMANDS[name]
    code = run([task_id if word == "ID" else word for word in words], streams)

    # Without standard input a batch is refused; with an empty one it has nothing to do.
    usual = status if status is not None else 2 if "<&-" in streams else 0
    is_cut = streams == FULL and name not in PRINT_NOTHING
    assert code == (usual or 1 if is_cut else usual)
    assert is_done(service)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
@pytest.mark.parametrize(
    "words",
    [
        ["models"],
        ["batch", "p.jsonl", "--json"],
        *(
            pytest.param(words, marks=pytest.mark.thorough)
            for words in (
                ["models", "--json"],
                ["--version"],
                ["batch", "--help"],
            )
        ),
    ],
    ids=" ".join,
)
def test_output_that_is_cut_off_is_an_error(service, words):
    """A script must see that it has not read everything: one line says why, and the exit status is 1."""
    program = 'exec "$0" -W error -m foxapi_async "$@" > /dev/full'
    done = subprocess.run(["sh", "-c", program, sys.executable, *words], stderr=subprocess.PIPE, text=True)

    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "foxapi: standard output: No space left on device; the output there is incomplete",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
@pytest.mark.thorough
def test_a_full_disk_for_remarks_changes_nothing(service):
    """Standard error has no data."""
    assert run(["models"], "2> /dev/full") == 0


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.thorough
def test_the_commands_for_a_folder_without_their_streams(service, capfd, streams):
    """The status and the report of a batch are read and made."""
    main(["batch", "p.jsonl"])

    codes = [run(["status", "out"], streams), run(["report", "out"], streams)]
    assert codes == ([1, 1] if streams == FULL else [0, 0])
    assert "fox" in Path("out/report.html").read_text()
    assert batch_is_whole("out")


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize(("words", "code"), [(["serve", "--emulator"], 143), (["emulator"], 0)])
@pytest.mark.thorough
def test_a_server_without_its_streams(service, words, code, streams):
    """`serve` and `emulator` answer until SIGTERM. The emulator prints its key and its address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    program = f'exec "$0" -W error -m foxapi_async "$@" --port {port} {streams}'
    process = subprocess.Popen(["sh", "-c", program, sys.executable, *words])
    try:
        answers = answers_at(port)
        process.send_signal(signal.SIGTERM)
        assert (True, code or int(streams == FULL)) == (answers, process.wait(20))
    finally:
        process.kill()
        process.wait()


def answers_at(port):
    """Whether a server accepts a connection at the port within 20 seconds."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


# In this process.


class Broken(io.StringIO):
    """A stream on a disk that is full."""

    def write(self, text):
        raise OSError(28, "No space left on device")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    ("make", "done"),
    [(lambda: None, 0), (Broken, 1), (closed, 0)],
    ids=["missing", "full", "closed"],
)
def test_streams_of_a_host_program(service, monkeypatch, make, done):
    """A program that calls `main` may have no streams, or broken ones; it gets them back as they were."""
    out, err = make(), make()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    codes = [
        main(words) for words in (["generate", "fox"], ["--help"], ["--wrong"], ["generate", "a", "-n", "9"])
    ]

    assert [done, done, 2, 2] == codes
    assert 1 == len(list(Path("out").iterdir()))
    assert (out, err) == (sys.stdout, sys.stderr)


@pytest.mark.parametrize("make", [lambda: None, Broken, closed], ids=["missing", "full", "closed"])
def test_the_emulator_alone_without_streams(monkeypatch, make):
    """`python -m foxapi_async.emulator` reports a wrong option by its exit status alone."""
    monkeypatch.setattr(sys, "stderr", make())

    assert 2 == emulator_main(["--seconds", "-1"])


class Unreadable(io.StringIO):
    """A standard input that is a folder."""

    def read(self, *_):
        raise IsADirectoryError(21, "Is a directory")


@pytest.mark.parametrize(
    ("stream", "problem"), [(None, "it is closed"), (Unreadable(), "Is a directory")], ids=["none", "folder"]
)
def test_a_prompt_from_a_standard_input_that_cannot_be_read(service, monkeypatch, capsys, stream, problem):
    """It is refused in one line."""
    monkeypatch.setattr(sys, "stdin", stream)

    assert 2 == main(["generate", "-"])
    assert f"foxapi: PROMPT -: standard input: {problem}\n" == capsys.readouterr().err


def test_a_stream_without_a_descriptor_is_given_up(monkeypatch):
    """A broken stream that is not a file is ignored as well."""
    monkeypatch.setattr(sys, "stdout", Broken())
    _screen.Screen(as_json=True, quiet=True).data({})


def test_a_stream_of_another_encoding():
    """A character that a stream cannot encode is written as an escape."""
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="ascii")
    _streams.put(stream, "狐.jpg\n")

    assert b"\\u72d0.jpg\n" == buffer.getvalue()


@pytest.mark.virtual
async def test_a_terminal_that_goes_away(monkeypatch):
    """If a terminal cannot be drawn on any more, the command continues without bars."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    screen = _screen.Screen(as_json=False, quiet=False)
    drawn = []
    progress = SimpleNamespace(
        redraw_seconds=0.1, bars=list, details=lambda: drawn.append(None) or ["half"], summary=lambda: ""
    )
    async with screen.following(progress):
        await asyncio.sleep(0.15)
        monkeypatch.setattr(terminal, "write", Broken().write)
        await asyncio.sleep(5)
        screen.note("a remark")

    assert (2, False) == (len(drawn), screen.live)
