"""Sends a result file to a browser while it comes from the service."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from foxapi_async._errors import FoxError
from foxapi_async._files.names import DEFAULT_NAME, image_stem, media_type
from foxapi_async._files.streamed import StreamedFile
from foxapi_async._handles.result import TaskResult, downloads_of, file_of
from foxapi_async.fastapi._answers import NoSuchFileError, error_response

# Seconds in which a client takes a piece. A client that reads nothing would hold a connection for ever.
SLOWEST_CLIENT = 60.0

# A browser may show these on the app's own address. It only saves any other file: a drawing or a document can have
# scripts.
_SHOWN = ("image/", "video/", "audio/")
_DRAWING = "image/svg+xml"

_HEADERS = {
    # The bytes of a file never change.
    "Cache-Control": "private, max-age=86400",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


class FileResponse(Response):
    """The n-th file of a result. The service gets no request before the response is sent.

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
            stream = downloads_of(self._image).stream(file_of(self._image))
            try:
                file, ending = await stack.enter_async_context(stream)
            except FoxError as error:
                await error_response(error)(scope, receive, send)
                return
            await self._pass_on(file, Headers(self._headers_of(ending)), send)

    def _headers_of(self, ending: str) -> dict[str, str]:
        kind = media_type(ending)
        way = "inline" if kind.startswith(_SHOWN) and kind != _DRAWING else "attachment"
        name = f'{way}; filename="{self._stem}{ending}"'
        return {**_HEADERS, "Content-Type": kind, "Content-Disposition": name}

    async def _pass_on(self, file: StreamedFile, headers: Headers, send: Send) -> None:
        """Send the file. If it breaks off, the error reaches the server, which breaks the connection off, too."""
        await send({"type": "http.response.start", "status": 200, "headers": headers.raw})
        async for piece in file.pieces():
            async with asyncio.timeout(SLOWEST_CLIENT):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def client_left(receive: Receive) -> None:
    """Wait until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass
