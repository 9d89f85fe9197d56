"""Requests through a proxy: a real one, which answers CONNECT, in front of a real TLS service."""

import asyncio
import base64
import contextlib
import os
import ssl
import sys

import aiohttp.connector
import attrs
import pytest
import trustme
from yarl import URL

from foxapi_async import ConfigurationError, ConnectionFailedError, DownloadError, FoxSession, RetryPolicy
from foxapi_async._handles.result import GeneratedImage
from foxapi_async._http.proxy import Proxy, proxy_of, resolve_proxy
from foxapi_async.emulator import Emulator, Fault

REQUEST = {"model": "grok-imagine-image", "prompt": "a red fox"}
SERVICE, FILES = "api.fox.example", "files.fox.example"
AUTHORITY = trustme.CA()
ONE_TRY = RetryPolicy(tries=1)


async def _pass_on(reader, writer):
    """Copy the bytes of one direction until it ends."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def _join(reader, writer, port):
    """Join a connection to another one, to this port."""
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))


@attrs.define
class ConnectProxy:
    """A proxy that knows some hosts, and no others.

    Attributes:
        routes: the port on this machine of each host.
        login: the user name and password that it asks for, if any.
        asked: the targets of all CONNECTs that it has served.
        heads: all that it was sent in clear.
    """

    routes: dict[str, int] = attrs.field(factory=dict)
    login: str | None = None
    port: int = 0
    asked: list[str] = attrs.field(factory=list)
    heads: list[str] = attrs.field(factory=list)

    async def take(self, reader, writer):
        """Serve one connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        method, target, _ = head.split("\r\n")[0].split(" ")
        host = target.rpartition(":")[0]
        login = base64.b64encode((self.login or "").encode()).decode()
        if self.login and f"Proxy-Authorization: Basic {login}\r\n" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        elif method == "CONNECT" and host in self.routes:
            self.asked.append(target)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _join(reader, writer, self.routes[host])
        else:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    @property
    def url(self):
        """Its address, with its login."""
        return f"http://{f'{self.login}@' if self.login else ''}127.0.0.1:{self.port}"


@pytest.fixture
async def proxy(emulator, monkeypatch):
    """A proxy before a service with TLS. No name of it can be resolved: only the proxy knows the way."""
    made = ConnectProxy()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(SERVICE, FILES).configure_cert(context)
    trusting = ssl.create_default_context()
    AUTHORITY.configure_trust(trusting)
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)

    async def unwrap(reader, writer):
        await _join(reader, writer, URL(emulator.url).port)

    tasks = set()

    def held(take):
        def start(reader, writer):
            task = asyncio.get_running_loop().create_task(take(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        return start

    async with contextlib.AsyncExitStack() as stack:
        service = await asyncio.start_server(held(unwrap), "127.0.0.1", 0, ssl=context)
        server = await asyncio.start_server(held(made.take), "127.0.0.1", 0)
        for each in (service, server):
            stack.callback(each.close)
        made.routes = dict.fromkeys((SERVICE, FILES), service.sockets[0].getsockname()[1])
        made.port = server.sockets[0].getsockname()[1]
        yield made
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def emulator():
    """A service whose result files are on another host, over TLS."""
    async with Emulator(seconds=0.3) as running:
        yield running


def _session(emulator, **settings):
    return FoxSession(emulator.key, base_url=f"https://{SERVICE}", retry=ONE_TRY, **settings)


async def test_a_submit_and_its_polls_go_through_the_proxy(emulator, proxy):
    """The generation is made, over one connection for the submit and one kept for the polls."""
    async with _session(emulator, proxy=proxy.url) as fox:
        result = await fox.generate(REQUEST)

    assert (len(result.images), proxy.asked) == (1, [f"{SERVICE}:443"] * 2)


async def test_an_upload_goes_through_the_proxy(emulator, proxy):
    """The file is stored."""
    async with _session(emulator, proxy=proxy.url) as fox:
        stored = await fox.upload(b"\x89PNG\r\n\x1a\n" + bytes(100), filename="fox.png")

    assert (stored.size, proxy.asked) == (108, [f"{SERVICE}:443"])


async def test_a_download_goes_through_the_proxy(emulator, proxy, tmp_path):
    """The file is fetched from its own host, in a tunnel of its own."""
    async with _session(emulator, proxy=proxy.url) as fox:
        result = await fox.generate(REQUEST)
        path = URL(result.images[0].url).path
        image = attrs.evolve(result.images[0], url=f"https://{FILES}{path}")
        await image.save(tmp_path / "fox")

    assert f"{FILES}:443" in proxy.asked


async def test_a_download_after_the_session_uses_the_same_proxy(emulator, proxy):
    """An image remembers the setting of its session."""
    async with _session(emulator, proxy=proxy.url) as fox:
        result = await fox.generate(REQUEST)
    image = attrs.evolve(result.images[0], url=f"https://{FILES}{URL(result.images[0].url).path}")

    assert len(await image.read()) > 0
    assert f"{FILES}:443" in proxy.asked


async def test_a_value_without_a_session_takes_the_proxy_of_the_environment(emulator, proxy, monkeypatch):
    """An image that was unpickled is fetched through HTTPS_PROXY."""
    async with _session(emulator, proxy=proxy.url) as fox:
        result = await fox.generate(REQUEST)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    image = GeneratedImage(url=f"https://{FILES}{URL(result.images[0].url).path}")

    assert len(await image.read()) > 0


async def test_a_value_without_a_session_refuses_a_wrong_proxy(monkeypatch):
    """The error names the variable. The file is not tried again."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"HTTPS_PROXY='socks5://127.* correct it \(http://host:port"):
        await GeneratedImage(url=f"https://{FILES}/fox").read()


async def test_the_environment_names_the_proxy(emulator, proxy, monkeypatch):
    """HTTPS_PROXY needs no setting."""
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
    async with _session(emulator) as fox:
        await fox.generate(REQUEST)

    assert proxy.asked


async def test_the_proxy_gets_its_login_and_never_the_key(emulator, proxy):
    """The login is decoded from the address; the key is only inside the tunnel."""
    proxy.login = "fox:a b"
    async with _session(emulator, proxy=f"http://fox:a%20b@127.0.0.1:{proxy.port}") as fox:
        await fox.generate(REQUEST)

    assert proxy.asked
    assert emulator.key not in "".join(proxy.heads)


async def test_a_proxy_that_refuses_is_named_and_nothing_was_sent(emulator, proxy):
    """The error says what answered, and what to change. It does not show the password."""
    proxy.login = "fox:secret-word"
    async with _session(emulator, proxy=f"http://fox:wrong-word@127.0.0.1:{proxy.port}") as fox:
        with pytest.raises(ConnectionFailedError) as caught:
            await fox.submit(REQUEST)

    assert (caught.value.charged, emulator.billed) == ("no", 0)
    assert str(caught.value) == (
        f"the proxy of proxy=http://***@127.0.0.1:{proxy.port} refuses the connection (HTTP 407); nothing was sent; "
        "correct it (http://host:port or http://user:password@host:port), or give proxy=None"
    )


async def test_a_proxy_that_refuses_a_download_is_named(emulator, proxy):
    """The error of the file has the same hint."""
    async with _session(emulator, proxy=proxy.url) as fox:
        result = await fox.generate(REQUEST)
        image = attrs.evolve(result.images[0], url="https://other.fox.example/fox.png")
        with pytest.raises(
            DownloadError, match=r"the proxy of proxy=http://127.* refuses .* give proxy=None"
        ):
            await image.read()


async def test_a_proxy_that_cannot_be_reached_is_named(emulator, proxy, unused_tcp_port):
    """The error has the argument with its value, the system's reason, and the fix."""
    address = f"http://127.0.0.1:{unused_tcp_port}"
    async with _session(emulator, proxy=address) as fox:
        with pytest.raises(ConnectionFailedError) as caught:
            await fox.submit(REQUEST)

    assert str(caught.value) == (
        f"cannot connect to the proxy of proxy={address} (Connection refused); nothing was sent; "
        "correct it (http://host:port or http://user:password@host:port), or give proxy=None"
    )


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
async def test_the_variable_of_a_proxy_that_cannot_be_reached_is_named(
    emulator, unused_tcp_port, monkeypatch, name
):
    """The error has the variable as it is spelled, with its value but without the user name and password."""
    monkeypatch.setenv(name, f"http://fox:secret-word@127.0.0.1:{unused_tcp_port}")
    async with _session(emulator) as fox:
        with pytest.raises(
            ConnectionFailedError, match=f"the proxy of {name}=http://\\*\\*\\*@127"
        ) as caught:
            await fox.submit(REQUEST)

    assert "secret" not in str(caught.value)


async def test_the_proxy_of_a_session_of_the_user_is_not_given_advice(emulator, unused_tcp_port):
    """The error says that it is the proxy of that session: its address belongs to the user, and proxy= is refused there."""
    async with (
        aiohttp.ClientSession(proxy=f"http://fox:secret@127.0.0.1:{unused_tcp_port}") as http,
        _session(emulator, http=http) as fox,
    ):
        with pytest.raises(ConnectionFailedError) as caught:
            await fox.submit(REQUEST)

    assert str(caught.value) == (
        "cannot connect to the proxy of http= (Connection refused); nothing was sent"
    )


async def test_a_proxy_whose_name_cannot_be_resolved_is_named(emulator, proxy):
    """The hint is about the proxy, not about the service."""
    async with _session(emulator, proxy="http://no-such-proxy.invalid:3128") as fox:
        with pytest.raises(
            ConnectionFailedError, match=r"the proxy of proxy=http://no-such-proxy\.invalid:3128 "
        ):
            await fox.submit(REQUEST)


async def test_requests_to_this_machine_go_directly(emulator, proxy, monkeypatch):
    """Neither the environment nor the setting sends a local service through a proxy."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    async with FoxSession(emulator.key, base_url=emulator.url, proxy=proxy.url) as fox:
        await fox.generate(REQUEST)

    assert proxy.heads == []


async def test_a_session_of_the_user_keeps_its_own_proxy(emulator, proxy, monkeypatch):
    """With `http` the environment is not read: that session has its own settings."""
    monkeypatch.setenv("HTTPS_PROXY", "http://no-such-proxy.invalid:3128")
    async with (
        aiohttp.ClientSession(proxy=proxy.url) as http,
        _session(emulator, http=http) as fox,
    ):
        await fox.generate(REQUEST)

    assert proxy.asked


def _on_the_host_of_files(image):
    """The image at a host that only the proxy knows."""
    return attrs.evolve(image, url=f"https://{FILES}{URL(image.url).path}")


@pytest.mark.parametrize("kind", [str, URL])
async def test_a_late_download_uses_the_proxy_of_the_users_session(emulator, proxy, kind):
    """After both sessions are closed, the file comes through the proxy of the session in `http`, with its login."""
    proxy.login = "fox:secret-word"
    async with aiohttp.ClientSession(proxy=kind(proxy.url)) as http, _session(emulator, http=http) as fox:
        result = await fox.generate(REQUEST)

    assert len(await _on_the_host_of_files(result.images[0]).read()) > 0
    assert proxy.asked[-1] == f"{FILES}:443"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # aiohttp 4 takes it no more
async def test_a_late_download_uses_the_separate_login_of_the_users_session(emulator, proxy):
    """aiohttp takes the login also beside the address."""
    proxy.login = "fox:secret-word"
    login = aiohttp.BasicAuth("fox", "secret-word")
    address = f"http://127.0.0.1:{proxy.port}"
    async with (
        aiohttp.ClientSession(proxy=address, proxy_auth=login) as http,
        _session(emulator, http=http) as fox,
    ):
        result = await fox.generate(REQUEST)

    assert len(await _on_the_host_of_files(result.images[0]).read()) > 0


async def test_a_late_download_of_a_session_without_a_proxy_uses_the_environment(
    emulator, proxy, monkeypatch
):
    """A session in `http` that has no proxy of its own says nothing about a later connection."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    async with (
        aiohttp.ClientSession() as http,
        FoxSession(emulator.key, base_url=emulator.url, http=http) as fox,
    ):
        result = await fox.generate(REQUEST)

    assert len(await _on_the_host_of_files(result.images[0]).read()) > 0
    assert proxy.asked == [f"{FILES}:443"]


async def test_a_late_download_names_a_proxy_of_the_users_session_that_cannot_be_used():
    """aiohttp can use a proxy that is reached by https, and this package cannot."""
    async with aiohttp.ClientSession(proxy="https://fox:secret@proxy.example") as http:
        found = proxy_of(http)

    with pytest.raises(ConfigurationError, match=r"^http\.proxy='https://proxy\.example' is not the address"):
        found.check("https://fox.example")


def test_a_proxy_beside_a_session_of_the_user_is_refused():
    """The error says where the proxy belongs."""
    with pytest.raises(ConfigurationError, match="give the proxy to that session"):
        FoxSession("sk-12345678", http=object(), proxy=None)


@pytest.mark.parametrize(
    "address",
    [
        "socks5://127.0.0.1:1080",
        "https://proxy.example:3128",
        "http://proxy.example:no-port",
        "http://",
        "http://[::1",
        "http://a proxy:3128",
        "http://a%proxy:3128",
        "",
    ],
)
def test_another_address_is_refused(address):
    """The error shows the host and the form."""
    with pytest.raises(ConfigurationError, match=r"proxy=.* correct it \(http://host:port"):
        FoxSession("sk-12345678", proxy=address)


def test_a_wrong_variable_is_named(monkeypatch):
    """HTTPS_PROXY is refused before anything is sent."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY='socks5://127"):
        FoxSession("sk-12345678")


async def test_a_wrong_variable_does_no_harm_where_it_is_not_used(emulator, monkeypatch):
    """This machine is reached directly, so a proxy that cannot be used is not needed."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    async with FoxSession(emulator.key, base_url=emulator.url) as fox:
        result = await fox.generate(REQUEST)
        assert len(await result.images[0].read()) > 0


def test_a_wrong_variable_does_no_harm_for_a_host_in_no_proxy(monkeypatch):
    """The session can be made."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("NO_PROXY", "fox.example")

    assert FoxSession("sk-12345678", base_url="https://api.fox.example")


async def test_a_file_on_a_host_that_needs_a_wrong_proxy(emulator, proxy, monkeypatch):
    """The session works, and the error of the file names the variable."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    async with FoxSession(emulator.key, base_url=emulator.url) as fox:
        result = await fox.generate(REQUEST)
        with pytest.raises(DownloadError, match="HTTPS_PROXY='socks5://127"):
            await _on_the_host_of_files(result.images[0]).read()


@pytest.mark.parametrize("name", ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443", "[2001:DB8::1]"])
def test_no_proxy_has_an_address_with_and_without_brackets(monkeypatch, name):
    """Both spellings of an IPv6 address are in use, and the one with brackets may have a port."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", name)
    found = resolve_proxy("environment")

    assert not found.is_used_for("https://[2001:db8::1]/v1")
    assert found.is_used_for("https://[2001:db8::2]/v1")


def test_no_proxy_has_an_address_with_another_port(monkeypatch):
    """Only that port is reached directly."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "[2001:db8::1]:8443")
    found = resolve_proxy("environment")

    assert [True, False] == [found.is_used_for(f"https://[2001:db8::1]:{port}/v1") for port in (443, 8443)]


@pytest.mark.parametrize(
    "address",
    [
        "socks5://fox:secret@proxy.example:1080",
        "http://fox:secret@a proxy",
        "http://fox:secret",
        "fox:secret",
        "http://fox:1/secret@proxy.example",
        "http://fox:1?secret@proxy.example",
        "http://fox:1#secret@proxy.example",
        "http://fox:[secret@proxy.example",
        "http://fox:1@secret/2@proxy.example",
        "fox:1@secret?2@proxy.example",
        "http://fox:1@secret#2@proxy.example",
        URL("http://fox:secret@proxy.example"),
        b"http://fox:secret@proxy.example",
    ],
    ids=repr,
)
def test_a_refused_address_does_not_show_its_password(address):
    """A password may have any character in it, and the address may be another kind of value."""
    refusal = resolve_proxy(address)

    assert isinstance(refusal, ConfigurationError)
    assert "proxy" in str(refusal)
    assert "secret" not in str(refusal)


def test_a_refused_address_shows_its_host():
    """The host is not secret."""
    assert "proxy='socks5://proxy.example'" in str(resolve_proxy("socks5://fox:secret@proxy.example:1080"))


def test_a_login_is_not_in_a_repr():
    """It is a secret."""
    proxy = resolve_proxy("http://fox:secret-word@proxy.example:3128")

    assert "secret" not in repr(proxy)
    assert base64.b64encode(b"fox:secret-word").decode() not in repr(proxy)


@pytest.mark.parametrize(
    ("url", "direct"),
    [
        ("https://api.fox.example", True),
        ("https://fox.example/v1", True),
        ("https://fox.example:8443/v1", True),
        ("https://redfox.example", False),
        ("https://port.example:9000", True),
        ("https://port.example", False),
        ("https://[2001:db8::1]:443", True),
        ("https://[2001:db8::2]:443", False),
        ("http://other.example", True),
        ("https://localhost:1", True),
        ("https://127.0.0.2", True),
        ("https://[::1]", True),
    ],
)
def test_no_proxy_excepts_hosts(monkeypatch, url, direct):
    """NO_PROXY names hosts, domains and ports. Plain http and this machine never use a proxy."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "fox.example,port.example:9000,2001:db8::1")
    found = resolve_proxy("environment")

    assert (found.options_for(URL(url)) == {}) == direct


def test_no_proxy_is_not_asked_for_a_given_proxy(monkeypatch):
    """A setting in code is for all hosts."""
    monkeypatch.setenv("NO_PROXY", "*")

    assert resolve_proxy("http://proxy.example").options_for(URL("https://fox.example"))


def test_no_variable_means_no_proxy():
    """Without HTTPS_PROXY nothing goes through one."""
    assert resolve_proxy("environment") == Proxy()


@pytest.mark.thorough
async def test_a_command_works_behind_a_proxy_with_its_own_authority(emulator, proxy, tmp_path):
    """A process finds the proxy and the certificates by HTTPS_PROXY and SSL_CERT_FILE alone."""
    # The service behind the TLS calls its own files http.
    found = [{"url": f"https://{FILES}/files/results/{{id}}/0.jpg"}]
    emulator.add_fault(Fault.altered("result", {"results": found}))
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    environment = {
        **os.environ,
        "FOXAPI_API_KEY": emulator.key,
        "FOXAPI_BASE_URL": f"https://{SERVICE}",
        "HTTPS_PROXY": proxy.url,
        "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-m", "foxapi_async", "generate", "a red fox", "--out", str(tmp_path / "out")),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()

    assert (process.returncode, len(list((tmp_path / "out").iterdir()))) == (0, 1), said.decode()
    assert {SERVICE, FILES} == {target.partition(":")[0] for target in proxy.asked}


# What else keeps a connection from being made.


async def test_an_unknown_authority_is_explained(emulator, proxy, monkeypatch):
    """The error names the variable that this package reads, and the one that it does not."""
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", ssl.create_default_context())
    async with _session(emulator, proxy=proxy.url) as fox:
        with pytest.raises(ConnectionFailedError) as caught:
            await fox.submit(REQUEST)

    assert "certificate" in caught.value.what_happened
    assert "set SSL_CERT_FILE to its file (REQUESTS_CA_BUNDLE is not read)" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("https://no-such-host.invalid", "check base_url= or FOXAPI_BASE_URL"),
        (None, "try base_url='https://api.aihubmax.com', the service's newer address"),
    ],
)
async def test_a_name_that_cannot_be_resolved_is_explained(unknown_hosts, address, advice):
    """The hint is about the address; for the default one it names the service's newer one."""
    async with FoxSession("sk-12345678", base_url=address, retry=ONE_TRY, proxy=None) as fox:
        with pytest.raises(ConnectionFailedError, match="cannot connect to") as caught:
            await fox.submit(REQUEST)

    assert advice in str(caught.value)


@pytest.fixture
def unknown_hosts(monkeypatch):
    """A network that knows no name."""

    async def resolve(*_args, **_options):
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(aiohttp.connector.DefaultResolver, "resolve", resolve)
