"""The command's messages about an outage, and its exit status."""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from foxapi_async.cli import main
from foxapi_async.emulator import Fault, ThreadedEmulator


@pytest.fixture(autouse=True)
def clean_place(monkeypatch, tmp_path):
    """An empty working folder with an input of 20 lines, without the settings of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FOXAPI_")]:
        monkeypatch.delenv(name)
    lines = [json.dumps({"id": f"fox-{n}", "prompt": f"fox {n}"}) for n in range(20)]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))


def run(emulator, monkeypatch, capfd):
    monkeypatch.setenv("FOXAPI_API_KEY", emulator.key)
    monkeypatch.setenv("FOXAPI_BASE_URL", emulator.url)
    code = main(["batch", "p.jsonl", "--out", "out"])
    return code, capfd.readouterr().err


@pytest.mark.parametrize("status", [302, 404])
def test_an_edge_that_refuses_everything(status, monkeypatch, capfd):
    """A batch that an edge refuses from the start ends with status 3, and standard error says what to check."""
    monkeypatch.setattr("foxapi_async._policy.brake.GAPS", (0.1, 0.3, 0.9, 2.7))
    with ThreadedEmulator(faults=[Fault.edge("all", status, times=None, location="http://x/")]) as emulator:
        code, err = run(emulator, monkeypatch, capfd)

    assert code == 3
    assert "base URL" in err
    assert emulator.billed == 0


@pytest.mark.parametrize("status", [402, 403])
def test_a_quota_that_is_used_up(status, monkeypatch, capfd):
    """A batch whose quota is used up ends with status 3, and standard error says to top up."""
    with ThreadedEmulator(faults=[Fault.quota(status=status, times=None)]) as emulator:
        code, err = run(emulator, monkeypatch, capfd)

    assert code == 3
    assert "quota is used up" in err
    assert "credits" in err


def first_words(child, pattern, seconds):
    """The child's standard error until it has this text, or for so many seconds."""
    said = []

    def read():
        for line in child.stderr:
            said.append(line)
            if pattern in line:
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(seconds)
    child.kill()
    reader.join()
    return "".join(said)


@pytest.mark.parametrize(
    "words",
    ["cannot connect", "waiting: cannot connect"],
)
@pytest.mark.thorough
def test_a_service_that_cannot_be_reached(words):
    """While a service cannot be reached, standard error says so within seconds."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "foxapi_async", "batch", "p.jsonl", "--out", "out"]
    settings = {"FOXAPI_API_KEY": "sk-0123456789", "FOXAPI_BASE_URL": f"http://127.0.0.1:{port}"}
    with subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.PIPE, text=True) as child:
        said = first_words(child, "cannot connect", 15)

    assert words in said
