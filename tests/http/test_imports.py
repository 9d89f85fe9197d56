"""Nothing is imported while a session works: an import may fail just when a reply has arrived."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, gzip, json, sys, tempfile, pathlib
from foxapi_async import *
from foxapi_async._http.preload import import_everything
from foxapi_async.emulator import Emulator

async def answer(answers):
    async def serve(reader, writer):
        await reader.readuntil(b"\\r\\n\\r\\n")
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()
    return await asyncio.start_server(serve, "127.0.0.1", 0)

def http(body, status=200, *headers):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\\r\\n".join(lines).encode() + body

async def main():
    found, before = {}, set()

    def note(step):
        nonlocal before
        found[step] = sorted(name for name in set(sys.modules) - before if step and not name.startswith("PIL"))
        before = set(sys.modules)

    odd = [http('{"status":"x"}'.encode(name)) for name in ("utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le")]
    odd += [
        http(gzip.compress(b'{"status":"x"}'), 200, "Content-Encoding: gzip"),
        http(b"<html>", 404, "Set-Cookie: a=b", "Date: Tue, 05 Aug 2025 08:00:00 GMT", "Content-Type: text/html; charset=gbk"),
        http(b"", 302, "Location: https://login.example/"),
        http(b'{"status":"x","y":"' + b"a" * 400_000 + b'"}'),
        http(b'{"status":"\\xff","y":NaN}'),
        b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nabc",
    ]
    server = await answer(list(odd))
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "in.png").write_bytes(b"abc")
    async with Emulator(seconds=0.2) as emulator:
        emulator_url = emulator.url.replace("127.0.0.1", "localhost")
        url = f"http://localhost:{server.sockets[0].getsockname()[1]}"
        import_everything()
        retry = RetryPolicy(tries=1)
        async with FoxSession(emulator.key, base_url=emulator_url) as fox, FoxSession("sk-strange", base_url=url, retry=retry) as strange:
            note("")
            result = await fox.generate(GrokImagineImage("a fox"))
            note("generate")
            await result.save(folder / "saved")
            note("save")
            async for outcome in Batch([GrokImagineImage("x")], folder / "batch").run(fox):
                assert outcome.error is None
            note("batch")
            await fox.upload(folder / "in.png")
            note("upload")
            for _ in odd:
                try:
                    await strange.fetch("task-1")
                except FoxError:
                    pass
            note("odd replies")
            try:
                await GeneratedImage(url="http://f\u00fcchse.invalid/a.png", task_id="x").read()
            except DownloadError:
                pass
            note("an odd host")
        note("leaving")
    server.close()
    print(json.dumps(found))

import foxapi_async.emulator._pillow, fractions, decimal
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def found():
    """The imports of each step of a whole session, in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "step", ["generate", "save", "batch", "upload", "odd replies", "an odd host", "leaving"]
)
def test_a_session_at_work_imports_nothing(found, step):
    """All needed modules are imported before it opens."""
    assert found[step] == []
