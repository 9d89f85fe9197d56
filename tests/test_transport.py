"""What the transport says of a failure: words that help, without what aiohttp's exceptions carry along."""

import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from foxapi_async import TaskHandle, _http
from foxapi_async._scope import Broken, Scope

KEY = ConnectionKey("fox.example", 443, True, True, None, None, None)


def test_a_refused_connection_names_its_host():
    """Host, port and the system's reason are named."""
    error = aiohttp.ClientConnectorError(KEY, OSError(111, "Connection refused"))

    assert "cannot connect to fox.example:443 (Connection refused)" == _http.describe(error)


def test_a_bad_certificate_is_told_as_such():
    """A certificate that is not accepted is told in these words."""
    error = aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("expired"))

    assert "the TLS certificate of fox.example:443 is not accepted" == _http.describe(error)


def test_an_error_without_words_is_named_by_its_class():
    """What we have no words for is named by its class, never by its arguments."""
    secret = aiohttp.ClientError("Authorization: Bearer sk-secret")

    assert "ClientError" == _http.describe(secret)
    assert "the body broke off" == _http.describe(aiohttp.ClientPayloadError("sk-secret"))
    assert "Broken pipe" == _http.describe(OSError(32, "Broken pipe"))


async def test_an_events_reader_is_its_own_iterator():
    """`aiter` of a handle's reader is that reader, as the protocol asks."""
    reader = aiter(TaskHandle("task-1", lambda _: None))

    assert reader is aiter(reader)


async def test_a_request_that_was_taken_back_is_never_handed_over():
    """After `revoke` no byte goes out, whoever was about to write it; what was sent cannot be taken back."""
    waiting, sent = Scope(10, 60), Scope(10, 60)
    async with sent.timeout:
        sent.hand_over()

        assert (True, False) == (waiting.revoke(), sent.revoke())
        with pytest.raises(Broken, match="given up"):
            waiting.hand_over()
    assert (False, True) == (waiting.sent, sent.sent)


async def test_nothing_is_handed_over_once_the_exchange_has_ended():
    """What a failure says of sending stays true: a writer that comes late is refused."""
    scope = Scope(10, 60)
    scope.close()

    with pytest.raises(Broken):
        scope.hand_over()
    assert not scope.sent
