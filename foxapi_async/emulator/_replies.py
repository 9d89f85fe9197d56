"""Makes answers: JSON, a file, or an answer changed by a fault."""

import asyncio
import email.utils
import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from ._faults import Fault
from ._refusal import envelope

Make = Callable[[], web.Response]

_PIECES = 20


def json_reply(
    body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON body. A lone surrogate that came with the request is escaped in it."""
    return web.Response(body=_dumps(body), status=status, headers=headers, content_type="application/json")


def http_date(unix: float) -> str:
    """A moment in the format of the `Date` header."""
    return email.utils.formatdate(unix, usegmt=True)


def file_reply(request: web.Request, data: bytes, content_type: str) -> web.Response:
    """The whole file, or the requested range if it is still the same file."""
    etag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
    headers = {"Accept-Ranges": "bytes", "ETag": etag}
    wanted = _range(request, etag, len(data))
    if wanted is None:
        return web.Response(body=data, headers=headers, content_type=content_type)
    start, stop = wanted
    if start >= stop:
        return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return web.Response(body=data[start:stop], status=206, headers=headers, content_type=content_type)


def _range(request: web.Request, etag: str, length: int) -> tuple[int, int] | None:
    if "Range" not in request.headers or request.headers.get("If-Range", etag) != etag:
        return None
    try:
        start, stop, _ = request.http_range.indices(length)
    except ValueError:  # RFC 9110: an invalid range is ignored
        return None
    return start, stop


async def play(fault: Fault | None, request: web.Request, make: Make) -> web.StreamResponse:
    """Answer a request. A fault changes the answer.

    Args:
        fault: The fault of this request, or None.
        request: The request; its body has been read.
        make: Does the work and returns the normal answer. It is not called if the fault refuses the work.
    """
    if fault is None:
        return make()
    return await spoil(fault, request, make() if fault.accepted else web.Response())


async def spoil(fault: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    """The normal answer, changed by a fault."""
    return await _PLAYERS[fault.kind](fault, request, answer)


async def _status(fault: Fault, _request: web.Request, _answer: web.Response) -> web.Response:
    headers = {} if fault.retry_after is None else {"Retry-After": _seconds(fault.retry_after)}
    if fault.location:
        headers["Location"] = fault.location
    if fault.body is not None:
        return _scripted(fault, headers)
    body = envelope(fault.http_status, fault.message, fault.code, fault.error_type)
    return json_reply(body, fault.http_status, headers)


def _scripted(fault: Fault, headers: Mapping[str, str]) -> web.Response:
    headers = {**headers, "Content-Type": fault.content_type}
    return web.Response(body=fault.body, status=fault.http_status, headers=headers)


def _seconds(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


async def _redirect(fault: Fault, _request: web.Request, _answer: web.Response) -> web.Response:
    return web.Response(status=fault.http_status, headers={"Location": fault.location})


async def _cut(_fault: Fault, request: web.Request, _answer: web.Response) -> web.StreamResponse:
    return await cut(request)


async def cut(request: web.Request) -> web.StreamResponse:
    """Close the connection of a request instead of answering it."""
    if request.transport is not None:  # pragma: no branch (the client may close it at this very moment)
        request.transport.abort()
    return await _never_answer()


async def _hang(_fault: Fault, _request: web.Request, _answer: web.Response) -> web.StreamResponse:
    return await _never_answer()


async def _never_answer() -> web.StreamResponse:
    # The server cancels the handler of a lost connection, and every handler when it stops.
    endless: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
    return await endless


async def _unchanged(_fault: Fault, _request: web.Request, answer: web.Response) -> web.Response:
    return answer  # the routes drop the stale connection later


async def _slow(fault: Fault, _request: web.Request, answer: web.Response) -> web.Response:
    await asyncio.sleep(fault.seconds)
    return answer


async def _garbage(fault: Fault, _request: web.Request, _answer: web.Response) -> web.Response:
    return _scripted(fault, {})


async def _huge(fault: Fault, _request: web.Request, answer: web.Response) -> web.Response:
    return _repacked(answer, _padded(fault, answer), {})


async def _bomb(fault: Fault, _request: web.Request, answer: web.Response) -> web.Response:
    packed = await asyncio.to_thread(gzip.compress, _padded(fault, answer), 9)
    return _repacked(answer, packed, {"Content-Encoding": "gzip"})


def _padded(fault: Fault, answer: web.Response) -> bytes:
    return _bytes_of(answer) + b" " * fault.size


def _repacked(answer: web.Response, body: bytes, headers: Mapping[str, str]) -> web.Response:
    kept = {name: value for name, value in answer.headers.items() if name != "Content-Length"}
    return web.Response(body=body, status=answer.status, headers={**kept, **headers})


async def _altered(fault: Fault, _request: web.Request, answer: web.Response) -> web.Response:
    reply = json.loads(_bytes_of(answer))
    return json_reply(fault.apply_to(reply, {"{id}": str(reply.get("id"))}), fault.http_status)


def _dumps(body: Mapping[str, Any]) -> bytes:
    raw: list[bytes] = []

    def stand_in(value: bytes) -> str:  # JSON cannot hold bytes: insert them afterwards
        raw.append(value)
        return f"\0{len(raw) - 1}\0"

    text = json.dumps(body, default=stand_in).encode()
    for number, value in enumerate(raw):
        text = text.replace(f"\\u0000{number}\\u0000".encode(), value)
    return text


async def _headers(fault: Fault, _request: web.Request, answer: web.Response) -> web.Response:
    answer.headers.update(fault.headers)
    return answer


async def _short(_fault: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    data, stream = await _open(request, answer)
    await stream.write(data[: len(data) // 2])
    if request.transport is not None:  # pragma: no branch (the client may close it at this very moment)
        request.transport.close()  # unlike abort, this first sends the half
    return await _never_answer()


async def _drip(fault: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    data, stream = await _open(request, answer)
    size = fault.size or -(-len(data) // _PIECES) or 1
    pause = fault.seconds if fault.size else fault.seconds / _PIECES
    for start in range(0, len(data), size):
        await asyncio.sleep(pause)
        await stream.write(data[start : start + size])
    return stream


async def _open(request: web.Request, answer: web.Response) -> tuple[bytes, web.StreamResponse]:
    data = _bytes_of(answer)
    stream = web.StreamResponse(status=answer.status, headers=answer.headers)
    stream.content_length = len(data)
    await stream.prepare(request)
    return data, stream


def _bytes_of(answer: web.Response) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else b""


_PLAYERS: dict[str, Callable[[Fault, web.Request, web.Response], Awaitable[web.StreamResponse]]] = {
    "status": _status,
    "redirect": _redirect,
    "cut": _cut,
    "stale": _unchanged,
    "hang": _hang,
    "freeze": _hang,
    "slow": _slow,
    "garbage": _garbage,
    "short": _short,
    "huge": _huge,
    "bomb": _bomb,
    "drip": _drip,
    "altered": _altered,
    "headers": _headers,
}
