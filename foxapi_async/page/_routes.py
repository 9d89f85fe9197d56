"""The page's own routes: its files, the models, the history, the results, uploads, and one stream of all changes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import re
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

import attrs
from fastapi import APIRouter, Header, Query
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from foxapi_async._client.api import MAX_UPLOAD_BYTES
from foxapi_async._errors import InvalidRequestError
from foxapi_async._files.names import safe_name
from foxapi_async._lightbox import read_asset
from foxapi_async._threads import in_thread
from foxapi_async.fastapi._body import read_object
from foxapi_async.fastapi._routes import submitted_by
from foxapi_async.fastapi._shapes import RequestProblem, SubmittedImage
from foxapi_async.models import DEFAULT_MODEL, ModelDefinition, find_models, parse_request
from foxapi_async.page._archive import archive_of
from foxapi_async.page._broadcast import Change
from foxapi_async.page._guard import UPLOADS
from foxapi_async.page._history import ANY_TYPE, file_of, files_of
from foxapi_async.page._service import PageService

# Proxies close silent connections.
HEARTBEAT_SECONDS = 15.0
# A restarted server is available again in a moment.
RECONNECT_MILLISECONDS = 1000
# The keys of all archived items must fit into one address.
MOST_ARCHIVED = 300

_SCRIPTS = (
    *("page.js", "texts.js", "names.js", "dom.js", "server.js", "changes.js"),
    *("form.js", "fields.js", "inputs.js", "problems.js", "chooser.js", "sending.js", "queue.js"),
    *("cards.js", "card.js", "filter.js", "view.js"),
)
_SHARED = ("lightbox.css", "lightbox.js")
_ASSETS = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/lightbox.css": ("lightbox.css", "text/css; charset=utf-8"),
    "/lightbox.js": ("lightbox.js", "text/javascript; charset=utf-8"),
    **{f"/{name}": (name, "text/javascript; charset=utf-8") for name in _SCRIPTS},
    "/favicon.svg": ("favicon.svg", "image/svg+xml"),
    "/favicon.ico": ("favicon.svg", "image/svg+xml"),
}
# These keep a file harmless if it is opened alone: an SVG runs no script, and a file of unknown type is only saved.
HEADERS_OF_FILES = {
    "image/svg+xml": {"Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'"},
    ANY_TYPE: {"Content-Disposition": "attachment"},
}
_IN_MEMORY_BYTES = 1024 * 1024
# A page makes such a key for each press. It becomes the key of the item.
_PRESS = re.compile(r"[0-9a-f]{16,32}")


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
        router.post("/check")(self.check)
        router.get("/models")(models)
        router.get("/history")(self.history)
        router.get("/requests/{key}")(self.request)
        router.get("/changes")(self.changes)
        router.get("/files/{task_id}/{number}")(self.file)
        router.get("/archive")(self.archive)
        router.post("/again/{task_id}")(self.again)
        router.post("/references/{task_id}/{number}")(self.reference)
        router.post(UPLOADS)(self.upload)
        return router

    async def submit(
        self,
        request: Request,
        response: Response,
        press: Annotated[str | None, Header(alias="Idempotency-Key")] = None,
    ) -> SubmittedImage:
        """Start a generation, like the image routes, but through the ledger. A press is sent once, even if it comes several times."""
        if press is not None and not _PRESS.fullmatch(press):
            raise InvalidRequestError("Idempotency-Key: send 16 to 32 hexadecimal digits")
        if press is not None and (sent := await self._service.sent_before(press)) is not None:
            return SubmittedImage(id=sent)
        return await submitted_by(functools.partial(self._service.submit, press=press), request, response)

    async def check(self, request: Request) -> dict[str, Any]:
        """What a request would cost, if that is known, and what may be wrong with it. Nothing is sent."""
        try:
            checked = parse_request(await read_object(request))
        except InvalidRequestError as error:
            problems = [RequestProblem.of(problem) for problem in error.problems]
            return {"credits": None, "problems": problems, "doubts": []}
        doubts = [RequestProblem.of(doubt) for doubt in checked.doubts]
        return {"credits": self._service.price_of(checked), "problems": [], "doubts": doubts}

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
        """All changes as server-sent events `progress`, `card` and `spending`, until the server ends.

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
        """A saved file. No part of the address is used as a path."""
        found = await self._found(task_id, number)
        if found is None:
            return _not_found("There is no such file.")
        path, kind = found
        headers = {"Cache-Control": "private, max-age=31536000, immutable", **HEADERS_OF_FILES.get(kind, {})}
        return FileResponse(path, media_type=kind, headers=headers)

    async def archive(self, key: Annotated[list[str], Query(max_length=MOST_ARCHIVED)]) -> Response:
        """All files of the items with these keys, as one archive."""
        entries = await self._service.history.entries(key)
        paths = [path for entry in entries for path in files_of(entry, self._service.out)]
        headers = {"Content-Disposition": 'attachment; filename="foxapi.zip"'}
        return StreamingResponse(archive_of(paths), media_type="application/zip", headers=headers)

    async def again(self, task_id: str) -> JSONResponse:
        """Continue to poll a task for which the server stopped waiting. Nothing is submitted or billed."""
        if not await self._service.resume(task_id):
            return _not_found("This task is not waiting.")
        return JSONResponse({"id": task_id}, 202)

    async def reference(self, task_id: str, number: int) -> JSONResponse:
        """Store a saved file at the service for 72 hours, as an input file of the next request."""
        found = await self._found(task_id, number)
        if found is None:
            return _not_found("There is no such file.")
        return JSONResponse({"url": (await self._service.fox.upload(found[0])).url}, 201)

    async def _found(self, task_id: str, number: int) -> tuple[Path, str] | None:
        """The path and the MIME type of a saved file; None if there is no such file."""
        entry = await self._service.history.entry(task_id)
        found = None if entry is None else file_of(entry, number, self._service.out)
        return None if found is None or not await in_thread(found[0].is_file) else found

    async def upload(
        self, request: Request, name: Annotated[str, Query(max_length=1000)] = "image"
    ) -> JSONResponse:
        """Store an input file at the service for 72 hours; its URL goes into a field of a request."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
            size = 0
            async for piece in request.stream():
                size += len(piece)
                if (
                    size > MAX_UPLOAD_BYTES
                ):  # pragma: no cover - a server lets no body exceed its Content-Length
                    raise InvalidRequestError("the file is larger than 100 MB")
                await in_thread(file.write, piece)
            await in_thread(file.seek, 0)
            stored = await self._service.fox.upload(cast(BinaryIO, file), filename=safe_name(name))
        return JSONResponse({"url": stored.url}, 201)


async def models() -> Response:
    """The known models and their fields, the usual model first."""
    return Response(await in_thread(_known_models), media_type="application/json")


@functools.cache
def _known_models() -> bytes:
    """All definitions. A page reads 122 of them, so an attribute with its default value is left out."""
    known = sorted(find_models(), key=lambda definition: definition.model != DEFAULT_MODEL)
    return json.dumps([_shown(definition) for definition in known]).encode()


def _shown(definition: ModelDefinition) -> dict[str, Any]:
    return {
        "model": definition.model,
        "returns": definition.returns,
        "fields": [
            attrs.asdict(spec, filter=lambda attribute, value: value != attribute.default)
            for spec in definition.fields
        ],
    }


def _not_found(message: str) -> JSONResponse:
    return JSONResponse({"error": {"type": "not_found", "message": message}}, 404)


def _asset_route(path: str) -> Callable[[], Any]:
    name, kind = _ASSETS[path]

    async def asset() -> Response:
        return Response(_asset(name), media_type=kind, headers={"Cache-Control": "no-cache"})

    return asset


@functools.cache
def _asset(name: str) -> bytes:
    if name in _SHARED:
        return read_asset(name).encode()
    return files("foxapi_async.page").joinpath(name).read_bytes()
