"""`foxapi doctor`: each thing that can be wrong is named, with what mends it, and nothing is billed."""

import contextlib
import errno
import http.server
import json
import re
import threading
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
from disks import needs_mounts, read_only, start_with
from shell import PYTHON, point_to

from foxapi_async.cli import main
from foxapi_async.cli._doctor import _LEAST_FREE
from foxapi_async.cli._parser import build_parser
from foxapi_async.emulator import Fault, ThreadedEmulator

ERROR = b'{"error": {"code": "some_code", "message": "some words"}}'


@pytest.fixture
def service(monkeypatch, tmp_path):
    """A service that the environment names, and an empty working folder."""
    monkeypatch.chdir(tmp_path)
    with ThreadedEmulator() as running:
        point_to(running, monkeypatch)
        yield running


def examined(capsys, *words):
    """The exit status and the findings, by name."""
    code = main(["doctor", *words, "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return code, {line["check"]: (line["ok"], line["message"]) for line in lines}


def test_all_is_well(service, capsys):
    """With a right set-up every check passes."""
    code, findings = examined(capsys)

    assert code == 0
    assert list(findings) == [
        "version",
        "key",
        "address",
        "proxy",
        "disk",
        "connection",
        "clock",
        "account",
    ]
    assert all(ok for ok, _ in findings.values())


def test_nothing_is_billed_and_nothing_is_left(service, capsys):
    """It only reads, and makes no folder."""
    examined(capsys)

    assert [request.method for request in service.requests] == ["GET"]
    assert list(Path.cwd().iterdir()) == []


def test_people_get_one_line_a_check(service, capsys):
    """A line begins with the mark and the name of the check."""
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()

    assert "ok   account      the service accepts the key" == lines[-1]


def test_the_key_is_not_shown(service, capsys):
    """The output can be sent to somebody who helps."""
    main(["doctor"])

    assert service.key not in capsys.readouterr().out


def test_a_missing_key_does_not_stop_the_other_checks(service, monkeypatch, capsys):
    """The connection is checked without a key."""
    monkeypatch.delenv("FOXAPI_API_KEY")
    code, findings = examined(capsys)

    assert (code, findings["key"][0], findings["connection"][0]) == (3, False, True)
    assert "set FOXAPI_API_KEY" in findings["key"][1]
    assert "account" not in findings


def test_the_advice_about_a_key_is_a_command_that_exists(service, monkeypatch, capsys):
    """The doctor has no --emulator itself: the advice names a command that has it."""
    monkeypatch.delenv("FOXAPI_API_KEY")
    _, findings = examined(capsys)
    (command,) = re.findall("`foxapi (.*)`", findings["key"][1])

    assert build_parser(command.split()).parse_args(command.split()).emulator


def test_a_refused_key_is_named(service, monkeypatch, capsys):
    """The service's own words are shown."""
    monkeypatch.setenv("FOXAPI_API_KEY", "sk-another-key")
    code, findings = examined(capsys)

    assert (code, findings["account"][0], findings["connection"][0]) == (3, False, True)


def test_a_wrong_address_is_named(service, monkeypatch, capsys):
    """An address that cannot be used is not tried."""
    monkeypatch.setenv("FOXAPI_BASE_URL", "fox.example")
    code, findings = examined(capsys)

    assert (code, findings["address"][0]) == (3, False)
    assert "change FOXAPI_BASE_URL" in findings["address"][1]
    assert "connection" not in findings


def test_the_default_address_is_called_so(monkeypatch, capsys, tmp_path):
    """Without FOXAPI_BASE_URL the address is the default one."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("FOXAPI_API_KEY", "sk-12345678")
    monkeypatch.delenv("FOXAPI_BASE_URL", raising=False)
    code, findings = examined(capsys, "--out", str(tmp_path))

    assert findings["address"] == (True, "https://api.foxapi.cc, the default")
    assert findings["proxy"] == (True, "HTTPS_PROXY=http://127.0.0.1:9")
    assert (
        "cannot connect to the proxy of HTTPS_PROXY=http://127.0.0.1:9 (Connection refused); correct this"
        in findings["connection"][1]
    )
    assert code == 1


def test_a_proxy_that_is_not_used_is_called_so(service, monkeypatch, capsys):
    """This machine is reached directly."""
    monkeypatch.setenv("HTTPS_PROXY", "http://fox:secret-word@proxy.example:3128")

    assert examined(capsys)[1]["proxy"] == (
        True,
        "HTTPS_PROXY=http://***@proxy.example:3128; it is not used for this address",
    )


def test_a_wrong_proxy_is_named(service, monkeypatch, capsys):
    """The advice is in the words of a shell, and the service is not tried."""
    monkeypatch.delenv("FOXAPI_BASE_URL")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    code, findings = examined(capsys)

    assert (code, findings["proxy"][0], "connection" in findings) == (3, False, False)
    assert not PYTHON.search(findings["proxy"][1])


def test_a_wrong_proxy_that_is_not_used_is_called_so(service, monkeypatch, capsys):
    """A session at this address works."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    code, findings = examined(capsys)

    assert (code, findings["proxy"]) == (
        0,
        (
            True,
            "HTTPS_PROXY='socks5://127.0.0.1' is not the address of an HTTP proxy; it is not used for this address",
        ),
    )


def test_a_page_in_front_of_the_service_is_named(service, capsys):
    """It is not the service that answers."""
    service.add_fault(Fault.edge("all", 403, times=None))
    code, findings = examined(capsys)

    assert (code != 0, findings["connection"][0]) == (True, False)
    assert "account" not in findings


@contextlib.contextmanager
def a_service(moment, status=404, kind="application/json", body=ERROR):
    """A service that answers every read with this reply, and whose clock shows this moment."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(status)
            if moment is not None:
                self.send_header("Date", formatdate(moment, usegmt=True))
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        thread.join()


@pytest.mark.parametrize(("late", "words"), [(3600, "ahead of"), (-3600, "behind")])
def test_a_wrong_clock_is_named(monkeypatch, capsys, tmp_path, late, words):
    """A clock that is an hour off is wrong."""
    monkeypatch.setenv("FOXAPI_API_KEY", "sk-12345678")
    with a_service(time() - late) as url:
        monkeypatch.setenv("FOXAPI_BASE_URL", url)
        code, findings = examined(capsys, "--out", str(tmp_path))

    assert (code, findings["clock"][0]) == (1, False)
    assert f"{words} the service's; set it" in findings["clock"][1]


def test_a_service_without_a_clock_is_not_compared(monkeypatch, capsys, tmp_path):
    """Without a Date header there is nothing to say."""
    monkeypatch.setenv("FOXAPI_API_KEY", "sk-12345678")
    with a_service(None) as url:
        monkeypatch.setenv("FOXAPI_BASE_URL", url)
        code, findings = examined(capsys, "--out", str(tmp_path))

    assert (code, "clock" in findings) == (0, False)


def test_a_service_in_trouble_is_named(monkeypatch, capsys, tmp_path):
    """An error of the service is not taken for an accepted key."""
    monkeypatch.setenv("FOXAPI_API_KEY", "sk-12345678")
    with a_service(time(), status=500) as url:
        monkeypatch.setenv("FOXAPI_BASE_URL", url)
        code, findings = examined(capsys, "--out", str(tmp_path))

    assert (code, findings["account"][0]) == (1, False)


@pytest.mark.parametrize(
    ("kind", "body"), [("text/html", b"<html>Sign in</html>"), ("application/json", b"{}")]
)
def test_another_server_is_not_taken_for_the_service(monkeypatch, capsys, tmp_path, kind, body):
    """The sign-in page of a hotel also answers with 200."""
    monkeypatch.setenv("FOXAPI_API_KEY", "sk-12345678")
    with a_service(time(), 200, kind, body) as url:
        monkeypatch.setenv("FOXAPI_BASE_URL", url)
        code, findings = examined(capsys, "--out", str(tmp_path))

    assert (code, findings["connection"][0], "account" in findings) == (1, False, False)


def test_a_small_disk_is_named(service, capsys, monkeypatch):
    """Too little free space is a fault, even if a file can be written."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: FreeSpace(_LEAST_FREE - 1))
    code, findings = examined(capsys)

    assert (code, findings["disk"][0]) == (1, False)
    assert "free some space" in findings["disk"][1]


class FreeSpace:
    """The figures of a disk with so much free space."""

    def __init__(self, free):
        self.free = free


def test_a_folder_that_cannot_be_written_is_named(service, capsys, tmp_path):
    """A file in place of the folder is the plainest case."""
    (tmp_path / "out").write_text("")
    code, findings = examined(capsys)

    assert (code, findings["disk"][0]) == (1, False)
    assert "choose another --out" in findings["disk"][1]


def test_a_folder_that_cannot_be_looked_into_is_named(service, capsys, monkeypatch):
    """The other checks are made."""

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    code, findings = examined(capsys)

    assert (code, findings["disk"][0], findings["account"][0]) == (1, False, True)
    assert "cannot be written to (Permission denied)" in findings["disk"][1]


@needs_mounts
@pytest.mark.thorough
def test_a_disk_that_is_read_only_is_named(service, tmp_path):
    """The system's reason is shown."""
    out = tmp_path / "out"
    out.mkdir()
    process = start_with(read_only(out), "-m", "foxapi_async", "doctor", "--out", out)
    shown, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "cannot be written to (Read-only file system)" in shown
