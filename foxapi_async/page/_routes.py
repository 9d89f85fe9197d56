"""The page's own routes: its files, the models, the history, the images, uploads, and one stream of all changes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from importlib.resources import files
from typing import Annotated, Any, BinaryIO, cast

import attrs
from fastapi import APIRouter, Query
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from foxapi_async._client.api import MAX_UPLOAD_BYTES
from foxapi_async._errors import InvalidRequestError
from foxapi_async._files.disk import in_thread
from foxapi_async._files.names import safe_name
from foxapi_async.fastapi._routes import submitted_by
from foxapi_async.fastapi._shapes import SubmittedImage
from foxapi_async.models import MODELS, GrokImagineImage
from foxapi_async.page._broadcast import Change
from foxapi_async.page._guard import UPLOADS
from foxapi_async.page._history import ANY_TYPE, file_of
from foxapi_async.page._service import PageService

# Proxies close silent connections.
HEARTBEAT_SECONDS = 15.0
# A restarted server is available again in a moment.
RECONNECT_MILLISECONDS = 1000

_ASSETS = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/changes.js": ("changes.js", "text/javascript; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/favicon.svg": ("favicon.svg", "image/svg+xml"),
    "/favicon.ico": ("favicon.svg", "image/svg+xml"),
}
# What keeps a file harmless if somebody opens it alone: a drawing runs no script, and anything unknown is only saved.
HEADERS_OF_FILES = {
    "image/svg+xml": {"Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'"},
    ANY_TYPE: {"Content-Disposition": "attachment"},
}
_IN_MEMORY_BYTES = 1024 * 1024


class PageRoutes:
    """The routes of one server.

    Args:
        service: does the work.
        stopping: set when the server should end.
    """

    def __init__(self, service: PageService, stopping: asyncio.Event) -> None:
        self._service = service
        self._stopping = stopping

    def router(self) -> APIRouter:
        """A router with all routes."""
        router = APIRouter()
        for path in _ASSETS:
            router.add_api_route(path, _asset_route(path), methods=["GET", "HEAD"])
        router.post("/images", status_code=202)(self.submit)
        router.get("/models")(models)
        router.get("/history")(self.history)
        router.get("/requests/{key}")(self.request)
        router.get("/changes")(self.changes)
        router.get("/files/{task_id}/{number}")(self.file)
        router.post("/again/{task_id}")(self.again)
        router.post(UPLOADS)(self.upload)
        return router

    async def submit(self, request: Request, response: Response) -> SubmittedImage:
        """Start a generation, like the image routes, but through the ledger."""
        return await submitted_by(self._service.submit, request, response)

    async def history(
        self,
        before: Annotated[int | None, Query(ge=0)] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 30,
    ) -> JSONResponse:
        """The latest items before a place in the ledger, newest first."""
        return JSONResponse(await self._service.history.page(before, limit))

    async def request(self, key: str) -> JSONResponse:
        """The whole request of an item. A card leaves out the data of input images."""
        request = await self._service.history.request(key)
        return _not_found("There is no such request.") if request is None else JSONResponse(request)

    async def changes(self) -> Response:
        """All changes as server-sent events `progress` and `card`, until the server ends.

        The first event is `ready`. A client that requests the history after it misses no change. One stream
        serves all tasks and tabs, because a browser opens at most six connections to a server.
        """
        return StreamingResponse(
            self._encoded_changes(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    async def _encoded_changes(self) -> AsyncIterator[bytes]:
        yield format_sse_event(retry=RECONNECT_MILLISECONDS)
        async with contextlib.aclosing(self._all_changes()) as changes:
            async for change in changes:
                yield KEEPALIVE_COMMENT if change is None else change.encoded

    async def _all_changes(self) -> AsyncGenerator[Change | None, None]:
        """The changes, and None after every `HEARTBEAT_SECONDS` without one."""
        with self._service.broadcaster.subscribed() as subscriber:
            yield Change("ready", "", None)
            for change in self._service.current():
                yield change
            while not self._stopping.is_set():
                changes = await subscriber.changes(HEARTBEAT_SECONDS)
                for change in changes:
                    yield change
                if not changes:
                    yield None

    async def file(self, task_id: str, number: int) -> Response:
        """A saved image. No part of the address is used as a path."""
        entry = await self._service.history.entry(task_id)
        found = entry and file_of(entry, number, self._service.out)
        if not found or not await in_thread(found[0].is_file):
            return _not_found("There is no such image.")
        path, kind = found
        headers = {"Cache-Control": "private, max-age=31536000, immutable", **HEADERS_OF_FILES.get(kind, {})}
        return FileResponse(path, media_type=kind, headers=headers)

    async def again(self, task_id: str) -> JSONResponse:
        """Continue to poll a task for which the server stopped waiting. Nothing is submitted or billed."""
        if not await self._service.resume(task_id):
            return _not_found("This task is not waiting.")
        return JSONResponse({"id": task_id}, 202)

    async def upload(
        self, request: Request, name: Annotated[str, Query(max_length=1000)] = "image"
    ) -> JSONResponse:
        """Store a reference image at the service for 72 hours; its URL goes into `image_urls`."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
            size = 0
            async for piece in request.stream():
                size += len(piece)
                if (
                    size > MAX_UPLOAD_BYTES
                ):  # pragma: no cover - a server lets no body exceed its Content-Length
                    raise InvalidRequestError("the image is larger than 100 MB")
                await in_thread(file.write, piece)
            await in_thread(file.seek, 0)
            stored = await self._service.fox.upload(cast(BinaryIO, file), filename=safe_name(name))
        return JSONResponse({"url": stored.url}, 201)


async def models() -> list[dict[str, Any]]:
    """The known models and the allowed values of their fields, the usual model first."""
    known = sorted(MODELS.items(), key=lambda item: item[0] != GrokImagineImage.model)
    return [{"model": model, "fields": [attrs.asdict(spec) for spec in cls.fields()]} for model, cls in known]


def _not_found(message: str) -> JSONResponse:
    return JSONResponse({"error": {"type": "not_found", "message": message}}, 404)


def _asset_route(path: str) -> Callable[[], Any]:
    name, kind = _ASSETS[path]

    async def asset() -> Response:
        return Response(_asset(name), media_type=kind, headers={"Cache-Control": "no-cache"})

    return asset


@functools.cache
def _asset(name: str) -> bytes:
    return files("foxapi_async.page").joinpath(name).read_bytes()
