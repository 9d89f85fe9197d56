"""What the transport makes of a reply: without the key, and read within bounds."""

from types import SimpleNamespace

import pytest

from foxapi_async._http import transport
from foxapi_async._http.account import Account
from foxapi_async._http.transport import Transport
from foxapi_async._wire.requests import Reply


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
