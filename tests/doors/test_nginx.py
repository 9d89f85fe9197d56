"""The streams of the routes behind a real nginx, which buffers answers, over HTTP/1.1 and HTTP/2."""

import asyncio
import contextlib
import os
import shutil
import subprocess

import httpx2
import pytest
import trustme
from apps.asgi import Event
from apps.served import serving
from helpers import let_end

from foxapi_async.emulator import Fault, ThreadedEmulator, _images

pytest.importorskip("h2", reason="h2 is not installed (nox -s nginx)")
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx (apt-get install nginx-light)")

PATIENCE = 60.0
A_FOX = {"model": "grok-imagine-image", "prompt": "a red fox"}
# Buffering is on, as it is by default. An app's answer may ask for none; `ignoring` takes this away from it.
CONFIGURATION = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream replicas {{ {replicas} }}
    server {{
        listen 127.0.0.1:{plain};
        listen 127.0.0.1:{secure} ssl http2;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        proxy_buffering on;
        {ignoring}
        proxy_http_version 1.1;
        location / {{ proxy_pass http://replicas; }}
    }}
}}
"""


@pytest.fixture
def service(monkeypatch):
    """A service whose tasks end only when a test lets them."""
    monkeypatch.setattr(_images, "render", lambda picture: b"\xff\xd8\xff" + picture.prompt.encode())
    with ThreadedEmulator(seconds=1, faults=[Fault.never_finishes(times=None)]) as running:
        yield running


@contextlib.asynccontextmanager
async def nginx(folder, ports, *replicas, ignoring=""):
    """A running nginx before these replicas."""
    plain, secure = ports
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    (folder / "server.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (folder / "server.key").write_bytes(certificate.private_key_pem.bytes())
    authority.cert_pem.write_to_path(folder / "authority.pem")
    servers = " ".join(f"server {replica.url.removeprefix('http://')};" for replica in replicas)
    values = {"folder": folder, "plain": plain, "secure": secure, "replicas": servers, "ignoring": ignoring}
    (folder / "nginx.conf").write_text(CONFIGURATION.format(**values))
    command = [NGINX, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
    process = subprocess.Popen(command)  # noqa: ASYNC220 - it returns at once
    try:
        async with asyncio.timeout(PATIENCE):
            while not await listens(plain):
                assert process.poll() is None, (folder / "error.log").read_text()
            yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


async def listens(port):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        await asyncio.sleep(0.05)
        return False
    writer.close()
    return True


class Reader:
    """A browser's connection to nginx.

    Args:
        folder: of nginx.
        ports: of nginx, without and with TLS.
        version: "HTTP/1.1" or "HTTP/2".
    """

    def __init__(self, folder, ports, version):
        is_two = version == "HTTP/2"
        self.base = f"https://127.0.0.1:{ports[1]}" if is_two else f"http://127.0.0.1:{ports[0]}"
        verify = str(folder / "authority.pem") if is_two else True
        self.http = httpx2.AsyncClient(
            http1=not is_two, http2=is_two, verify=ssl_context(verify), timeout=PATIENCE
        )

    async def submitted(self):
        answer = await self.http.post(f"{self.base}/images", json=A_FOX)
        return f"{self.base}{answer.headers['location']}"

    @contextlib.asynccontextmanager
    async def events(self, path):
        """The events of a task, as they come, and the version of HTTP that they come by."""
        async with self.http.stream("GET", f"{path}/events") as answer:
            yield events_of(answer), answer.http_version


def ssl_context(verify):
    import ssl

    return ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify


async def events_of(answer):
    lines = []
    async for line in answer.aiter_lines():
        if line:
            lines.append(line)
        elif (event := Event.of("\n".join(lines))).kind:
            lines = []
            yield event
        else:
            lines = []


@pytest.fixture
def ports(unused_tcp_port_factory):
    return unused_tcp_port_factory(), unused_tcp_port_factory()


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
async def test_events_arrive_at_once_although_nginx_buffers(service, tmp_path, ports, version):
    """The first event arrives while the task runs: it ends only after the reader has the event."""
    async with serving(service) as server, nginx(tmp_path, ports, server):
        reader = Reader(tmp_path, ports, version)
        async with reader.http, reader.events(await reader.submitted()) as (events, spoken):
            async with asyncio.timeout(PATIENCE):
                first = await anext(events)
                let_end(service)
                rest = [event.kind async for event in events]

    assert version == spoken
    assert ("progress", "final") == (first.kind, rest[-1])


async def test_an_nginx_that_ignores_the_header_holds_events_back(service, tmp_path, ports):
    """The test above can fail: if nginx packs events and ignores `X-Accel-Buffering`, no event arrives while the task runs."""
    ignoring = "proxy_ignore_headers X-Accel-Buffering; gzip on; gzip_types text/event-stream;"
    async with serving(service) as server, nginx(tmp_path, ports, server, ignoring=ignoring):
        reader = Reader(tmp_path, ports, "HTTP/1.1")
        async with reader.http:
            path = await reader.submitted()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3), reader.events(path) as (events, _):
                    await anext(events)


async def test_two_replicas_and_one_restarts(service, tmp_path, ports):
    """If the replica that streams is stopped, the same address continues at the other one, with the same task."""
    async with serving(service) as old, serving(service) as new, nginx(tmp_path, ports, old, new):
        reader = Reader(tmp_path, ports, "HTTP/1.1")
        async with reader.http:
            path = await reader.submitted()
            async with reader.events(path) as (events, _):
                await anext(events)
                old.terminate()
                await old.ended()
                new_only = await reader.http.get(path)
            let_end(service)
            async with reader.events(path) as (events, _):
                kinds = [event.kind async for event in events]

    assert (200, "final", 1) == (new_only.status_code, kinds[-1], service.billed)
