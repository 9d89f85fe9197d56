"""Where the key is, and where it never is: all data that failing runs leave behind is searched for it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from urllib.parse import quote

import aiohttp
import attrs
import pytest
from helpers import Broken, fox_request, settle
from key_finder import KEY, PACKAGE, SEARCHED, SPELLINGS, Evidence, has_key

import foxapi_async
from foxapi_async import FoxSession, RetryPolicy
from foxapi_async.emulator import Emulator, Fault

ONCE = RetryPolicy(tries=1, connect_timeout=5.0, reply_timeout=5.0, grace=0.2)


# The other side.


class Parrot:
    """A server that repeats the received key; the first segment of the path says how. It keeps the requests."""

    def __init__(self, elsewhere="http://127.0.0.1:9"):
        self.received = []
        self.elsewhere = elsewhere
        self.answered = asyncio.Event()
        self._writers = set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        for writer in self._writers:
            writer.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer):
        self._writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.splitlines()
                    if line.lower().startswith(b"content-length")
                ),
                0,
            )
            self.received.append(head + await reader.readexactly(length))
            way = head.split(b" ")[1].decode().split("/")[1]
            reply, hang = self._reply(way, head)
            writer.write(reply)
            await writer.drain()
            self.answered.set()
            if hang:
                await reader.read()
        self._writers.discard(writer)
        writer.close()

    def _reply(self, way, head):
        reported = f"You sent {' '.join(SPELLINGS[:4])} to us"
        page = f"<html><title>{reported}</title><body>{head.decode()}</body></html>".encode()
        made = {
            "id": "task-1",
            "status": "completed",
            "model": KEY,
            "results": [{"url": f"{self.elsewhere}/file"}],
        }
        match way:
            case "html":
                return self._whole("403 Forbidden", page, "text/html"), False
            case "text":
                return self._whole("400 Bad Request", reported.encode(), "text/plain"), False
            case "garbage":
                return self._whole("200 OK", reported.encode(), "application/json"), False
            case "made":
                return self._whole("200 OK", json.dumps(made).encode(), "application/json"), False
            case "failed":
                fate = {"id": "task-1", "status": "failed", "error": {"code": KEY, "message": f"not {KEY}"}}
                return self._whole("200 OK", json.dumps(fate).encode(), "application/json"), False
            case "cut":
                return self._whole("401 Unauthorized", reported.encode(), "text/plain", more=100), False
            case "hang":
                return self._whole("401 Unauthorized", reported.encode(), "text/plain", more=100), True
            case "silent":
                return b"", True
            case "noise":
                return b"SSH-2.0-" + head, False
            case "redirect":
                place = f"Location: {self.elsewhere}{head.split(b' ')[1].decode()}?key={KEY}\r\n"
                return self._whole("307 Temporary Redirect", b"", "text/plain", place), False
            case _:
                said = {"message": f"You sent {KEY} to us", "code": KEY, "type": KEY}
                # Half of all services escape slashes in JSON.
                body = json.dumps({"error": said}).replace("/", "\\/" if int(way) % 2 else "/").encode()
                return self._whole(f"{way} {KEY}", body, "application/json"), False

    def _whole(self, status, body, kind, extra="", *, more=0):
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body) + more}\r\n"
            f"X-Request-Id: {KEY}\r\nX-Echo: Bearer {KEY}\r\nConnection: close\r\n{extra}\r\n"
        )
        return head.encode() + body


@pytest.fixture
def everything_reported(caplog, monkeypatch):
    """All logs at their lowest level, with asyncio's debug mode and its slow-callback log of every callback."""
    monkeypatch.setenv("FOXAPI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    def switch_on():
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 0.0

    return switch_on


STATUSES = ["400", "401", "402", "403", "404", "409", "413", "422", "429", "500", "503"]
WAYS = [*STATUSES, "html", "text", "garbage", "made", "failed", "cut", "noise", "redirect"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_reply_that_repeats_the_key_is_redacted(way, everything_reported, caplog, tmp_path):
    """For every answer with the key in it, no error, value, log record or file of ours has the key."""
    everything_reported()
    evidence = Evidence()
    async with Parrot() as parrot:
        estimates = tmp_path / "estimates.json"
        fox = FoxSession(KEY, base_url=f"{parrot.url}/{way}", retry=ONCE, estimates=estimates)
        async with fox:
            await evidence.of(fox.submit(fox_request()))
            await evidence.of(fox.fetch("task-1"))
            await evidence.of(fox.upload(b"a picture"))
            handle = fox.attach("task-2", timeout=0.5)  # longer than a 429 holds it back
            await evidence.of(handle.wait())
            for result in [value for value in evidence.values if hasattr(value, "save")]:
                await evidence.of(result.save(tmp_path / "out"))
            evidence.values += [fox, handle, handle.snapshot, *fox.unfinished]

    assert [] == evidence.leaks(caplog.records, tmp_path)
    assert len(parrot.received) >= 4
    assert all(KEY.encode() in request for request in parrot.received)


@pytest.mark.parametrize("way", ["hang", "silent"])
async def test_a_cancelled_call_holds_no_key(way, everything_reported, caplog):
    """The local variables of a cancelled exchange's frames, and of a timed out one's, do not show the key."""
    everything_reported()
    evidence = Evidence()
    async with Parrot() as parrot, FoxSession(KEY, base_url=f"{parrot.url}/{way}", retry=ONCE) as fox:
        for call in (
            lambda: fox.fetch("task-1"),
            lambda: fox.upload(b"a picture"),
            lambda: fox.submit(fox_request()),
            lambda: fox.generate(fox_request()),
            lambda: fox.submit(fox_request(), timeout=0.1),
            lambda: fox.attach("task-1").wait(),
        ):
            parrot.answered.clear()
            work = asyncio.create_task(evidence.of(call()))
            answered = asyncio.create_task(parrot.answered.wait())
            # On a busy machine a timeout of a tenth of a second can end before the request arrives.
            await asyncio.wait([work, answered], return_when=asyncio.FIRST_COMPLETED)
            answered.cancel()
            await settle(50)
            work.cancel()
            await work

    assert "CancelledError" in {type(error).__name__ for error in evidence.errors}
    assert [] == evidence.leaks(caplog.records)


async def test_a_cancelled_exchange_shows_our_frames_alone():
    """A cancellation has no frame of aiohttp, whose local variables hold the request and the reply."""
    evidence = Evidence()
    async with Parrot() as parrot, FoxSession(KEY, base_url=f"{parrot.url}/hang", retry=ONCE) as fox:
        work = asyncio.create_task(evidence.of(fox.fetch("task-1")))
        await parrot.answered.wait()
        await settle(50)
        work.cancel()
        await work

    (error,) = evidence.errors
    frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert PACKAGE in Path(frames[-1].co_filename).parents
    assert not any(code.co_filename.startswith(SEARCHED[1]) for code in frames)


async def test_faults_of_ours_hold_no_key(everything_reported, caplog):
    """A bug in the poller, a hook that raises and a session closed with unfinished tasks do not show the key."""
    everything_reported()
    evidence = Evidence()

    def bad_hook(_event):
        raise RuntimeError("a fault of the user's")

    async def run(**options):
        async with FoxSession(emulator.key, base_url=emulator.url, **options) as fox:
            handle = await fox.submit(fox_request())
            evidence.values += [fox, handle, handle.snapshot]
            await evidence.of(handle.wait(timeout=0.1))
            await evidence.of(fox.submit(fox_request()))

    async with Emulator(seconds=20, key=KEY) as emulator:
        await evidence.of(run(cadence=Broken()))
        await evidence.of(run(hooks=[bad_hook]))

    assert {"ZeroDivisionError", "TaskTimeoutError"} <= {type(error).__name__ for error in evidence.errors}
    assert any("a hook raised" in record.getMessage() for record in caplog.records)
    assert [] == evidence.leaks(caplog.records)


async def test_bad_settings_are_refused_without_the_key(everything_reported, monkeypatch):
    """Neither a malformed key, nor one in an address, nor the environment is in the error or in its frames."""
    everything_reported()
    evidence = Evidence()
    keys = [f"{KEY}\nx", f"x {KEY}", f"{KEY}ä", KEY.encode(), [KEY]]
    addresses = [
        f"https://{KEY}@x.test",
        f"https://me:{quote(KEY, safe='')}@x.test",
        f"https://x.test?key={KEY}",
        f"https://x.test#{KEY}",
        "sk-7h3k3y",
    ]
    addresses += ["http://x.test", "https://x.test/v1", "nonsense"]
    for key in keys:
        evidence.of_call(FoxSession, key)
    for address in addresses:
        evidence.of_call(FoxSession, KEY, base_url=address)
        monkeypatch.setenv("FOXAPI_BASE_URL", address)
        evidence.of_call(FoxSession)
    monkeypatch.delenv("FOXAPI_BASE_URL")
    for wrong in ({"task_timeout": -1}, {"estimates": 5}, {"hooks": [5]}):
        evidence.of_call(FoxSession, KEY, **wrong)
    closed = aiohttp.ClientSession()
    await closed.close()
    fox = FoxSession(KEY, http=closed)
    await evidence.of(fox.__aenter__())
    evidence.of_call(FoxSession(KEY).attach, "task-1")

    assert len(keys) + 2 * len(addresses) + 3 + 2 == len(evidence.errors)
    assert all(isinstance(error, foxapi_async.FoxError) for error in evidence.errors)
    assert not any("sk-7h3-12345" in text for _, text in evidence.texts())
    assert [] == evidence.leaks()


async def test_values_and_their_files_hold_no_key(everything_reported, caplog, tmp_path):
    """A successful session leaves results, snapshots, uploads, images and estimates without the key."""
    everything_reported()
    evidence = Evidence()
    async with Emulator(seconds=0.05, key=KEY) as emulator:
        fox = FoxSession(
            KEY, base_url=emulator.url, estimates=tmp_path / "estimates.json", hooks=[evidence.values.append]
        )
        async with fox:
            result = await fox.generate(fox_request())
            stored = await fox.upload(b"a picture")
            handle = await fox.submit(fox_request())
            evidence.values += [fox, result, *result.images, stored, handle, await handle, handle.snapshot]
            evidence.values += await result.save(tmp_path / "out")
        evidence.values += [fox, copied := pickle.loads(pickle.dumps(result))]

    assert result == copied
    assert (tmp_path / "estimates.json").exists()
    assert [] == evidence.leaks(caplog.records, tmp_path)


# Where the key goes.


@pytest.mark.parametrize("kind", ["submit", "fetch", "upload", "poll"])
async def test_no_call_follows_a_redirect(kind):
    """A redirect of an API call is not followed: the other origin gets no request, however often a poll is
    repeated.
    """
    async with (
        Parrot() as elsewhere,
        Parrot(elsewhere.url) as parrot,
        FoxSession(KEY, base_url=f"{parrot.url}/redirect", retry=ONCE) as fox,
    ):
        calls = {
            "submit": lambda: fox.submit(fox_request()),
            "fetch": lambda: fox.fetch("task-1"),
            "upload": lambda: fox.upload(b"a picture"),
            "poll": lambda: fox.attach("task-1", timeout=0.5).wait(),
        }
        with pytest.raises(foxapi_async.FoxError, match="redirected to") as caught:
            await calls[kind]()

    assert [] == elsewhere.received
    assert not has_key(str(caught.value))
    assert (len(parrot.received) > 1) if kind == "poll" else (len(parrot.received) == 1)


async def test_files_are_fetched_without_the_key(tmp_path):
    """Neither the address of a result, nor one that it redirects to, gets the key, on any origin."""
    evidence = Evidence()
    async with Parrot() as last, Parrot(last.url) as elsewhere:
        faults = [Fault.redirect("file", f"{elsewhere.url}/redirect/1.png")]
        async with Emulator(seconds=0.05, key=KEY, faults=faults) as emulator:
            async with FoxSession(KEY, base_url=emulator.url, retry=ONCE) as fox:
                result = await fox.generate(fox_request())
                await evidence.of(result.save(tmp_path))
            await evidence.of(result.images[0].read())
            files = [record for record in emulator.requests if record.path.startswith("/files")]
        async with (
            Parrot(last.url) as parrot,
            FoxSession(KEY, base_url=f"{parrot.url}/made", retry=ONCE) as fox,
        ):
            await evidence.of((await fox.fetch("task-1")).images[0].read())

    assert len(files) >= 2
    assert not any(record.authorized for record in files)
    assert (1, 2) == (len(elsewhere.received), len(last.received))
    assert not any(b"authorization" in request.lower() for request in elsewhere.received + last.received)
    # The address itself is the service's: the test checks only what we add.
    assert ["DownloadError", "DownloadError"] == [type(error).__name__ for error in evidence.errors]


# The command line.


@contextlib.asynccontextmanager
async def command(*words, url, folder):
    """The process of one command line."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FOXAPI_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "foxapi_async",
        *words,
        env={**env, "FOXAPI_API_KEY": KEY, "FOXAPI_BASE_URL": url, "PYTHONASYNCIODEBUG": "1"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("way", ["401", "html", "failed"])
@pytest.mark.thorough
async def test_a_failing_command_prints_no_key(way, tmp_path):
    """Neither stream of a failing command has the key, with any option for more output."""
    async with Parrot() as parrot:
        words = ("--debug", "-v", "--json", "generate", "a fox")
        async with command(*words, url=f"{parrot.url}/{way}", folder=tmp_path) as process:
            out, err = await process.communicate()

    assert process.returncode != 0
    assert not has_key(out.decode() + err.decode())
    assert len(out + err) > 100


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads the process list")
@pytest.mark.thorough
async def test_the_process_list_shows_no_key(tmp_path):
    """While a command runs, its line in the process list has no key, and it starts no other process."""
    async with (
        Parrot() as parrot,
        command("generate", "a fox", url=f"{parrot.url}/silent", folder=tmp_path) as process,
    ):
        await parrot.answered.wait()
        place = Path(f"/proc/{process.pid}")
        line, children = (
            (place / "cmdline").read_bytes(),
            (place / f"task/{process.pid}/children").read_text(),
        )

    assert b"a fox" in line
    assert not has_key(line.decode())
    assert "" == children


# The finder itself.


def planted(place, key=KEY):
    """A function that looks like one of ours and raises with the key in reach."""
    code = f"def ours(hidden):\n    local = {place}\n    raise ValueError('no')"
    names = {}
    exec(compile(code, str(PACKAGE / "_ours.py"), "exec"), names)
    try:
        names["ours"](key)
    except ValueError as error:
        return error


@attrs.define
class Holder:
    """A value with the key in a field that its repr leaves out."""

    key: str = attrs.field(repr=False)


PLANTED = {
    "local": lambda: planted("hidden"),
    "list": lambda: planted("[{'a': hidden}]"),
    "argument": lambda: ValueError({"headers": f"Bearer {KEY}"}),
    "context": lambda: with_("__context__", ValueError(KEY)),
    "cause": lambda: with_("__cause__", ValueError(quote(KEY, safe=""))),
    "note": lambda: with_("__notes__", [KEY]),
    "attribute": lambda: with_("request", Holder(KEY)),
    "group": lambda: ExceptionGroup("some", [ValueError("a"), ValueError(KEY)]),
    "base64": lambda: ValueError(base64.b64encode(f"user:{KEY}x".encode())),
}


def with_(name, value):
    error = ValueError("no")
    setattr(error, name, value)
    return error


@pytest.mark.parametrize("make", PLANTED.values(), ids=PLANTED)
def test_a_planted_key_is_found(make):
    """The search finds a key in each of the places that it covers."""
    evidence = Evidence()
    evidence.errors.append(make())

    assert [] != evidence.leaks()


def test_a_key_in_a_log_record_or_a_file_is_found(tmp_path):
    """The search reads records with their exceptions and extras, and files."""
    plain = logging.LogRecord("n", 10, "p", 1, "a %s", (KEY,), None)
    traced = logging.LogRecord("n", 10, "p", 1, "a", (), (ValueError, planted("hidden"), None))
    (tmp_path / "estimates.json").write_text(KEY)

    for found in ([plain], None), ([traced], None), ([], tmp_path):
        assert [] != Evidence().leaks(*found)


def test_what_has_no_key_passes():
    """The search finds nothing if there is nothing."""
    evidence = Evidence()
    evidence.errors.append(planted("hidden", "harmless"))

    assert [] == evidence.leaks()
