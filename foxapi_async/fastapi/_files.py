"""Sends a result file to a browser while it comes from the service."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from foxapi_async._errors import FoxError
from foxapi_async._files.asked_range import AskedRange, NoSuchPartError
from foxapi_async._files.names import DEFAULT_NAME, image_stem, media_type
from foxapi_async._files.resume import PartialFile
from foxapi_async._files.streamed import StreamedFile
from foxapi_async._handles.result import TaskResult, downloads_of, file_of
from foxapi_async._listener import about, log
from foxapi_async.fastapi._answers import NoSuchFileError, error_response

# A client must take each piece within so many seconds. A client that reads nothing would keep a connection for ever.
SLOWEST_CLIENT = 60.0

# A browser may show these types on the app's own address. It saves all other files and does not show them, because a
# drawing or a document can have scripts.
_SHOWN = ("image/", "video/", "audio/")
_DRAWING = "image/svg+xml"

_HEADERS = {
    # The bytes of a file never change.
    "Cache-Control": "private, max-age=86400",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


class FileResponse(Response):
    """The n-th file of a result, or the part of it that the client asks for. The service gets no request before the
    response is sent.

    Raises:
        NoSuchFileError: there are fewer files.
    """

    def __init__(self, result: TaskResult, n: int) -> None:
        if n > len(result.images):
            count = len(result.images)
            raise NoSuchFileError(
                f"The task has {count} files: there is no file {n}.", task_id=result.task_id
            )
        super().__init__()
        self._image = result.images[n - 1]
        self._stem = image_stem(DEFAULT_NAME, result.task_id, n, len(result.images))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. If the client goes away, the download ends."""
        sending = asyncio.ensure_future(self._send(scope, receive, send))
        leaving = asyncio.ensure_future(client_left(receive))
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.wait([sending, leaving])

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stream = downloads_of(self._image).stream(file_of(self._image), _asked(scope))
            try:
                file, ending = await stack.enter_async_context(stream)
            except FoxError as error:
                answer = error_response(error)
                if isinstance(error, NoSuchPartError):
                    answer.headers["Content-Range"] = f"bytes */{error.total}"
                await answer(scope, receive, send)
                return
            headers = Headers({**self._headers_of(ending), **_headers_of_bytes(file.known)})
            status = 200 if file.known.last is None else 206
            await send({"type": "http.response.start", "status": status, "headers": headers.raw})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body"})
            else:
                await _pass_on(file, send)

    def _headers_of(self, ending: str) -> dict[str, str]:
        kind = media_type(ending)
        use = "inline" if kind.startswith(_SHOWN) and kind != _DRAWING else "attachment"
        disposition = f'{use}; filename="{self._stem}{ending}"'
        return {**_HEADERS, "Content-Type": kind, "Content-Disposition": disposition}


async def _pass_on(file: StreamedFile, send: Send) -> None:
    """Send the file. If it is cut off, or the client does not take it, leave the answer without its end.

    A server then closes the connection early, so that the client sees that the file is not whole. After an exception it does
    the same, but logs a traceback.
    """
    try:
        async for piece in file.pieces():
            async with asyncio.timeout(SLOWEST_CLIENT):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except FoxError as error:
        reason = str(error)
    except TimeoutError:
        reason = f"the client took nothing for {SLOWEST_CLIENT:g} s"
    else:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    words = "an answer with a file was cut off after %d bytes: %s"
    log.warning(words, file.size, reason, extra=about("file_cut_off"))


def _asked(scope: Scope) -> AskedRange | None:
    """The part that the client asks for; None for the whole file."""
    headers = Headers(scope=scope)
    # If-Range names a version of the file. The answers here name none, so such a client gets the whole file.
    if scope["method"] != "GET" or "If-Range" in headers:
        return None
    return AskedRange.read(headers.get("Range"))


def _headers_of_bytes(known: PartialFile) -> dict[str, str]:
    """The headers about the bytes that are sent, as far as the server of the file names them."""
    headers = {} if known.length is None else {"Content-Length": str(known.length)}
    if known.sends_parts:
        headers["Accept-Ranges"] = "bytes"
    if known.last is not None:
        headers["Content-Range"] = f"bytes {known.first}-{known.last}/{known.total}"
    return headers


async def client_left(receive: Receive) -> None:
    """Wait until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass
