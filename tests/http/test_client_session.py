"""Texts about failures: helpful words, without the data in aiohttp's exceptions."""

import ssl

import aiohttp
from aiohttp.client_reqrep import ConnectionKey

from foxapi_async._http import client_session

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
    assert "the body broke off" == client_session.describe(aiohttp.ClientPayloadError("sk-secret"))
    assert "Broken pipe" == client_session.describe(OSError(32, "Broken pipe"))
