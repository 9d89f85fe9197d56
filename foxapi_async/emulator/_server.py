"""The routes: what each request does, who may send it, and the envelope of every refusal."""

import asyncio
import contextlib
import hmac
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from aiohttp import BodyPartReader, web

from . import _bodies, _uploads
from ._faults import Fault
from ._media import CONTENT_TYPES, FILES
from ._occasions import Request
from ._refusal import RefusalError, envelope
from ._replies import Make, cut, file_reply, http_date, json_reply, play, spoil
from ._script import NOTHING_KNOWN, About
from ._service import RequestRecord, Service
from ._tasks import CREDITS_PER_OUTPUT, Task, submit_reply

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Base64 of the largest file, and some space for the other fields.
_MOST_BODY_BYTES = _uploads.MOST_BYTES * 4 // 3 + 1024 * 1024
_CREDITS = 1_000_000
# Set on a request that the edge passes on. The edge then replaces the answer.
_PASSED_ON = web.RequestKey("passed on", bool)
_OPEN_TO_ALL = ("/files/", "/api/pricing")
_KINDS: dict[str, Request] = {"/v1/tasks/": "poll", "/v1/files/upload/": "upload", "/files/": "file"}


class Routes:
    """The request handlers of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._connections: dict[int, int] = {}
        self._stale: set[int] = set()

    def app(self) -> web.Application:
        """The application with all its routes."""
        app = web.Application(middlewares=[self._guard], client_max_size=_MOST_BODY_BYTES)
        app.on_response_prepare.append(self._add_headers)
        for path in _bodies.MEDIA:
            app.router.add_post(path, self._submit)
        app.router.add_get("/v1/tasks/{id}", self._poll)
        app.router.add_post("/v1/files/upload/stream", self._upload_stream)
        app.router.add_post("/v1/files/upload/base64", self._upload_base64)
        app.router.add_post("/v1/files/upload/url", self._upload_url)
        app.router.add_get("/files/results/{id}/{name}", self._result_file)
        app.router.add_get("/files/uploads/{id}/{name}", self._uploaded_file)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/configs/llm_generations_models", self._llm_models)
        app.router.add_get("/v1/account/credits", self._credits)
        app.router.add_get("/dashboard/billing/subscription", self._subscription)
        app.router.add_get("/dashboard/billing/usage", self._usage)
        app.router.add_get("/api/pricing", self._pricing)
        return app

    def connected(self, protocol: object) -> None:
        """Count a TCP connection and remember its number by its protocol."""
        self._service.connections += 1
        # A new protocol may have the id of an old one. Then this overwrites the old entry.
        self._connections[id(protocol)] = self._service.connections

    async def _add_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        response.headers["Date"] = http_date(self._service.clock.unix())
        response.headers["Server"] = "foxapi-emulator"
        # A page of another origin may read every answer, because it needs the key anyway.
        if "Origin" in request.headers:
            response.headers["Access-Control-Allow-Origin"] = "*"
            response.headers["Access-Control-Expose-Headers"] = "*"

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._record(request)
        if self._number(request) in self._stale:
            return await cut(request)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return _preflight(request)
        try:
            return await self._answer(request, handler)
        except RefusalError as refusal:
            return json_reply(refusal.body, refusal.status)
        except web.HTTPRequestEntityTooLarge as error:
            return json_reply(envelope(413, str(error)), 413)
        except web.HTTPException:  # no such route, or not with this method
            return json_reply(envelope(404, f"invalid URL ({request.method} {request.path})"), 404)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = await self._take_edge_fault(request)
        if fault is not None and fault.kind == "freeze" and fault.until < math.inf:
            await asyncio.sleep(fault.until - self._service.clock.age())
            fault = None
        if fault is None:
            return await self._behind_the_edge(request, handler)
        if not fault.accepted:
            return await self._play(fault, request, web.Response)
        request[_PASSED_ON] = True
        answer: web.StreamResponse = web.Response()
        with contextlib.suppress(RefusalError, web.HTTPException):
            answer = await self._behind_the_edge(request, handler)
        # The service's own faults do not apply here, so the answer is complete.
        return await spoil(fault, request, cast(web.Response, answer))

    async def _behind_the_edge(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(_OPEN_TO_ALL):
            self._check_key(request)
        return await handler(request)

    async def _take_edge_fault(self, request: web.Request) -> Fault | None:
        if not self._service.script.has_an_edge:  # so the body is parsed only once
            return None
        kind, about = _kind(request), NOTHING_KNOWN
        if kind == "submit":
            body = _bodies.peek(await request.read())
            about = About(str(body.get("model")), _bodies.prompt_of(body))
        return self._service.script.take(kind, about, edge=True)

    def _take_fault(self, request: web.Request, on: Request, about: About = NOTHING_KNOWN) -> Fault | None:
        return None if _PASSED_ON in request else self._service.script.take(on, about)

    def _record(self, request: web.Request) -> None:
        record = RequestRecord(
            method=request.method,
            path=request.raw_path,
            headers=tuple(name.lower() for name in request.headers),
            authorized="Authorization" in request.headers,
            connection=self._number(request),
            when=self._service.clock.now(),
        )
        self._service.record(record)

    def _number(self, request: web.Request) -> int:
        return self._connections.get(id(request.protocol), 0)

    async def _play(self, fault: Fault | None, request: web.Request, make: Make) -> web.StreamResponse:
        if fault is not None and fault.kind == "stale":
            self._stale.add(self._number(request))
        return await play(fault, request, make)

    def _check_key(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        given, wanted = (text.encode("utf-8", "surrogateescape") for text in (key, self._service.key))
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, wanted):
            raise RefusalError(401, "the API key is missing, invalid or expired")

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        service = self._service
        body = _bodies.parse(await request.read(), request.content_type)
        _bodies.check(request.path, body, service.options.models)

        def accept() -> web.Response:
            task, replayed = service.accept(request.path, body, request.headers.get("Idempotency-Key"))
            headers = {"idempotency-replayed": "true"} if replayed else None
            return json_reply(submit_reply(task), headers=headers)

        fault = self._take_fault(request, "submit", About(body["model"], _bodies.prompt_of(body)))
        return await self._play(fault, request, accept)

    async def _poll(self, request: web.Request) -> web.StreamResponse:
        # sync_upstream=true asks for a fresh status, and here every status is fresh.
        service, task = self._service, self._task(request)
        fault = self._take_fault(request, "poll", About(task.model, task.prompt))
        if fault is not None and not fault.accepted:
            task.polls += 1  # a refused poll counts too
        return await self._play(fault, request, lambda: json_reply(service.poll(task, _origin(request))))

    def _task(self, request: web.Request) -> Task:
        task = self._service.tasks.get(request.match_info["id"])
        if task is None:
            raise RefusalError(404, "task not found")
        return task

    async def _upload_stream(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "multipart/form-data":
            raise RefusalError(400, "Content-Type must be multipart/form-data")
        data: bytes | None = None
        fields: dict[str, str | None] = {}
        try:
            async for part in await request.multipart():
                if not isinstance(part, BodyPartReader):
                    raise RefusalError(400, "nested multipart is not expected")
                if part.name == "file":
                    data, fields["filename"] = await _read_part(part), part.filename
                else:
                    fields[part.name or ""] = await part.text()
        except ValueError as error:
            raise RefusalError(400, f"invalid multipart body: {error}") from None
        if data is None:
            raise RefusalError(400, "file: field required")
        name = fields.get("file_name") or fields.get("filename")
        return await self._store(request, data, name, fields.get("auto_cleanup") or True)

    async def _upload_base64(self, request: web.Request) -> web.StreamResponse:
        body = _bodies.parse(await request.read(), request.content_type)
        data, media_type = _uploads.decode(body.get("file_data"))
        name = body.get("file_name") or (f"upload.{media_type.rpartition('/')[2]}" if media_type else None)
        return await self._store(request, data, name, body.get("auto_cleanup", True))

    async def _upload_url(self, request: web.Request) -> web.StreamResponse:
        body = _bodies.parse(await request.read(), request.content_type)
        _, found, rest = str(body.get("url")).partition("/files/uploads/")
        known = (
            self._service.uploads.find(rest.partition("/")[0], self._service.clock.now()) if found else None
        )
        if known is None:
            raise RefusalError(400, "url: the emulator fetches only files that were uploaded to it")
        name = body.get("file_name") or known.filename
        return await self._store(request, known.data, name, body.get("auto_cleanup", True))

    async def _store(
        self, request: web.Request, data: bytes, name: Any, auto_cleanup: Any
    ) -> web.StreamResponse:
        service = self._service

        def store() -> web.Response:
            upload = service.uploads.add(
                data,
                str(name) if name else None,
                auto_cleanup=str(auto_cleanup).lower() not in ("false", "0"),
                now=service.clock.now(),
                created=int(service.clock.unix()),
            )
            return json_reply(upload.reply(_origin(request)))

        return await self._play(self._take_fault(request, "upload"), request, store)

    async def _result_file(self, request: web.Request) -> web.StreamResponse:
        service, task = self._service, self._task(request)
        index = service.find_file(task, request.match_info["name"])
        if index is None:
            raise RefusalError(404, "no such file, or it has expired")
        make = FILES.get(task.extension)
        data = await service.gallery.get(service.picture(task, index)) if make is None else make()
        return await self._send(request, data, CONTENT_TYPES[task.extension], task)

    async def _uploaded_file(self, request: web.Request) -> web.StreamResponse:
        upload = self._service.uploads.find(request.match_info["id"], self._service.clock.now())
        if upload is None or upload.filename != request.match_info["name"]:
            raise RefusalError(404, "no such file, or it has expired")
        return await self._send(request, upload.data, _uploads.content_type(upload.data), None)

    async def _send(
        self, request: web.Request, data: bytes, kind: str, task: Task | None
    ) -> web.StreamResponse:
        about = NOTHING_KNOWN if task is None else About(task.model, task.prompt)
        fault = self._take_fault(request, "file", about)
        return await self._play(fault, request, lambda: file_reply(request, data, kind))

    @property
    def _model_ids(self) -> tuple[str, ...]:
        return (*_bodies.IMAGE_MODELS, *self._service.options.models)

    @property
    def _used(self) -> int:
        return self._service.billed_images * CREDITS_PER_OUTPUT

    async def _models(self, request: web.Request) -> web.StreamResponse:
        rows = [
            {"id": name, "owned_by": "emulator", "supported_endpoint_types": ["image"]}
            for name in self._model_ids
        ]
        return await self._other(request, {"object": "list", "data": rows})

    async def _llm_models(self, request: web.Request) -> web.StreamResponse:
        # The page of this route says: if the key's group has no such model, the list is empty, and there is no 404.
        return await self._other(request, {"object": "list", "data": []})

    async def _credits(self, request: web.Request) -> web.StreamResponse:
        # The service has this page, but its fields are not known. These names are the emulator's own.
        left = max(0, _CREDITS - self._used)
        return await self._other(request, {"credits_used": self._used, "credits_remaining": left})

    # The gateway runs the software "New API", which documents the next three paths. The first two have the form of
    # OpenAI's old billing pages. Their "usd" is the unit that the site shows, here credits.

    async def _subscription(self, request: web.Request) -> web.StreamResponse:
        limits = dict.fromkeys(("soft_limit_usd", "hard_limit_usd", "system_hard_limit_usd"), _CREDITS)
        body = {"object": "billing_subscription", "has_payment_method": True, **limits, "access_until": 0}
        return await self._other(request, body)

    async def _usage(self, request: web.Request) -> web.StreamResponse:
        return await self._other(
            request, {"object": "list", "total_usage": self._used * 100}
        )  # in hundredths

    async def _pricing(self, request: web.Request) -> web.StreamResponse:
        row = {"quota_type": 1, "model_price": CREDITS_PER_OUTPUT, "enable_groups": ["default"]}
        rows = [
            {"model_name": name, **row, "supported_endpoint_types": ["image"]} for name in self._model_ids
        ]
        return await self._other(request, {"success": True, "data": rows, "group_ratio": {"default": 1}})

    async def _other(self, request: web.Request, body: Mapping[str, Any]) -> web.StreamResponse:
        return await self._play(self._take_fault(request, "other"), request, lambda: json_reply(body))


def _kind(request: web.Request) -> Request:
    if request.method == "POST" and request.path in _bodies.MEDIA:
        return "submit"
    for start, kind in _KINDS.items():
        if request.path.startswith(start):
            return kind
    return "other"


def _preflight(request: web.Request) -> web.Response:
    """The answer to a browser that asks whether a page of another origin may send this request."""
    asked = request.headers.get("Access-Control-Request-Headers", "")
    methods = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Max-Age": "600"}
    return web.Response(status=204, headers={**methods, "Access-Control-Allow-Headers": asked})


async def _read_part(part: BodyPartReader) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk(64 * 1024):
        data += chunk
        if len(data) > _uploads.MOST_BYTES:
            raise RefusalError(413, f"the file exceeds the limit of {_uploads.MOST_BYTES} bytes")
    return bytes(data)


def _origin(request: web.Request) -> str:
    # The client has reached the server by this name. From a container, it could not reach 127.0.0.1.
    return f"{request.scheme}://{request.host}"
