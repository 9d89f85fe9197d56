"""What the transport says of a failure: words that help, without what aiohttp's exceptions carry along."""

import asyncio
import ssl
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from helpers import now

from foxapi_async import TaskHandle
from foxapi_async._http import client_session, transport
from foxapi_async._http.account import Account
from foxapi_async._http.exchange import Exchange, ExchangeFailed, ExchangeTimeouts
from foxapi_async._http.transport import Transport
from foxapi_async._wire.requests import Reply

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


async def test_an_events_reader_is_its_own_iterator():
    """`aiter` of a handle's reader is that reader, as the protocol asks."""
    reader = aiter(TaskHandle("task-1", lambda _: None))

    assert reader is aiter(reader)


async def test_a_request_that_was_taken_back_is_never_handed_over():
    """After `revoke` no byte goes out, whoever was about to write it; what was sent cannot be taken back."""
    waiting, sent = Exchange(10, 60), Exchange(10, 60)
    async with sent.timeout:
        sent.hand_over()

        assert (True, False) == (waiting.revoke(), sent.revoke())
        with pytest.raises(ExchangeFailed, match="given up"):
            waiting.hand_over()
    assert (False, True) == (waiting.sent, sent.sent)


async def test_nothing_is_handed_over_once_the_exchange_has_ended():
    """What a failure says of sending stays true: a writer that comes late is refused."""
    scope = Exchange(10, 60)
    scope.close()

    with pytest.raises(ExchangeFailed):
        scope.hand_over()
    assert not scope.sent


async def _hang(spans, seconds):
    """An exchange that begins after some seconds and does not end by itself; how long it took."""
    await asyncio.sleep(seconds)
    began, span = now(), spans.begin()
    try:
        async with span.timeout:
            await asyncio.sleep(100)
    except TimeoutError:
        return now() - began
    finally:
        span.close()


@pytest.mark.virtual
async def test_each_of_many_exchanges_ends_after_its_own_time():
    """One timer serves all, and each exchange ends exactly its time after its own beginning."""
    spans = ExchangeTimeouts(15.0)

    assert [15.0] * 4 == await asyncio.gather(*(_hang(spans, seconds) for seconds in (0, 0, 3, 20)))


@pytest.mark.virtual
async def test_exchanges_that_end_in_time_leave_no_timer():
    """The timer goes with the last exchange that is open, in whichever order they end."""
    loop, spans = asyncio.get_running_loop(), ExchangeTimeouts(15.0)
    first, second = spans.begin(), spans.begin()
    first.close()
    assert [15.0] == [timer.when() for timer in loop._scheduled if not timer.cancelled()]
    second.close()
    second.close()

    assert [] == [timer for timer in loop._scheduled if not timer.cancelled()]


@pytest.mark.virtual
async def test_a_cancelled_exchange_stays_cancelled():
    """Cancelling the task of an exchange is no timeout, and disturbs no other exchange."""
    spans = ExchangeTimeouts(15.0)
    first, second = (asyncio.create_task(_hang(spans, 0)) for _ in range(2))
    await asyncio.sleep(1)
    first.cancel()

    assert 15.0 == await second
    assert first.cancelled()


def _transport_with(key):
    return Transport(Account(key, "https://fox.example"), connections=1, http=None)


def test_a_key_in_a_reply_is_blotted_out():
    """Wherever a reply repeats the key, stars stand instead, in its headers too."""
    reply = Reply(401, {"X-Echo": "Bearer sk-secret-1"}, b"no such key: sk-secret-1")
    clean = _transport_with("sk-secret-1")._redacted(reply)

    assert ({"X-Echo": "Bearer ***"}, b"no such key: ***") == (dict(clean.headers), clean.body)
    assert b"***" == _transport_with("sk-secret-1")._redacted(Reply(200, {}, b"sk-secret-1")).body


@pytest.mark.parametrize("whole", [True, False])
async def test_only_a_body_read_to_its_end_leaves_its_connection_open(monkeypatch, whole):
    """A body beyond the limit is given up with its connection; one that ended has given it back before."""
    monkeypatch.setattr(transport, "MAX_JSON_BYTES", 10)
    pieces, closed = [b"x" * 6, b"y" * (4 if whole else 5)], []

    async def readany():
        return pieces.pop(0)

    response = SimpleNamespace(
        status=200,
        headers={},
        closed=whole,
        close=lambda: closed.append(True),
        content=SimpleNamespace(readany=readany, at_eof=lambda: not pieces),
    )
    reply = await transport._read_reply(response)

    assert (whole, [] if whole else [True]) == (reply.whole, closed)
