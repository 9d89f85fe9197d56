"""Texts about failures: helpful words, without the data in aiohttp's exceptions."""

import asyncio
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from foxapi_async._http import client_session
from foxapi_async._http.exchange import ExchangeFailed
from foxapi_async._http.file_client import FileClient
from foxapi_async._http.proxy import Proxy

KEY = ConnectionKey("fox.example", 443, True, True, None, None, None)


def test_a_refused_connection_names_its_host():
    """The error names host, port and the system's reason."""
    error = aiohttp.ClientConnectorError(KEY, OSError(111, "Connection refused"))

    assert "cannot connect to fox.example:443 (Connection refused)" == client_session.describe(error)


def test_a_bad_certificate_is_reported_as_such():
    """The error says that the certificate is not accepted."""
    error = aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("expired"))

    assert "the TLS certificate of fox.example:443 is not accepted" == client_session.describe(error)


def test_an_error_without_words_is_named_by_its_class():
    """An error without words of ours is named by its class, never by its arguments."""
    secret = aiohttp.ClientError("Authorization: Bearer sk-secret")

    assert "ClientError" == client_session.describe(secret)
    assert "the body was cut off" == client_session.describe(aiohttp.ClientPayloadError("sk-secret"))
    assert "Broken pipe" == client_session.describe(OSError(32, "Broken pipe"))


async def answered_by_closing(reader, writer):
    """A server that takes a request and closes the connection."""
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_a_session_of_the_user_repeats_no_download():
    """aiohttp would send the GET again by itself. The middleware raises, so that our own retry decides."""
    server = await asyncio.start_server(answered_by_closing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiohttp.ClientSession() as session:
        client = FileClient(session, Proxy(), (client_session.never_repeat,))
        with pytest.raises(ExchangeFailed, match="the server closed the connection"):
            async with client.get(f"http://127.0.0.1:{port}/fox", {}, 5, 5):
                pass


async def test_a_connection_that_cannot_be_made_is_not_a_repeat():
    """The middleware passes that on as it is: nothing was sent."""
    async with aiohttp.ClientSession() as session:
        client = FileClient(session, Proxy(), (client_session.never_repeat,))
        with pytest.raises(ExchangeFailed, match=r"cannot connect to 127\.0\.0\.1:9"):
            async with client.get("http://127.0.0.1:9/fox", {}, 5, 5):
                pass
