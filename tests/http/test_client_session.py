"""What is said of a failure: words that help, without what aiohttp's exceptions carry along."""

import ssl

import aiohttp
from aiohttp.client_reqrep import ConnectionKey

from foxapi_async._http import client_session

KEY = ConnectionKey("fox.example", 443, True, True, None, None, None)


def test_a_refused_connection_names_its_host():
    """Host, port and the system's reason are named."""
    error = aiohttp.ClientConnectorError(KEY, OSError(111, "Connection refused"))

    assert "cannot connect to fox.example:443 (Connection refused)" == client_session.describe(error)


def test_a_bad_certificate_is_told_as_such():
    """A certificate that is not accepted is told in these words."""
    error = aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("expired"))

    assert "the TLS certificate of fox.example:443 is not accepted" == client_session.describe(error)


def test_an_error_without_words_is_named_by_its_class():
    """What we have no words for is named by its class, never by its arguments."""
    secret = aiohttp.ClientError("Authorization: Bearer sk-secret")

    assert "ClientError" == client_session.describe(secret)
    assert "the body broke off" == client_session.describe(aiohttp.ClientPayloadError("sk-secret"))
    assert "Broken pipe" == client_session.describe(OSError(32, "Broken pipe"))
