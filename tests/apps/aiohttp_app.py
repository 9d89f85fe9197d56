import logging
import os
import secrets
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from foxapi_async import (
    BadRequestError,
    FoxError,
    FoxSession,
    InvalidRequestError,
    NotFoundError,
    UnprocessableError,
    parse_request,
)

FOX = web.AppKey("fox", FoxSession)
MODELS = ("grok-imagine-image", "gpt-image-2")


async def session(app: web.Application) -> AsyncIterator[None]:
    async with FoxSession() as app[FOX]:
        yield


def refusal(status: int, message: str, **more: object) -> web.Response:
    return web.json_response({"error": {"message": message, **more}}, status=status)


@web.middleware
async def signed_in(request: web.Request, handler: Handler) -> web.StreamResponse:
    given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
    if not secrets.compare_digest(given, f"Bearer {os.environ['APP_TOKEN']}".encode()):
        return refusal(401, "Who are you?")
    return await handler(request)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except InvalidRequestError as error:
        return refusal(422, "The request is wrong.", problems=error.problems)
    except FoxError as error:  # its text may concern your account, so it is for your log
        logging.getLogger("app").warning("%s", error)
        if isinstance(error, NotFoundError) and error.task_id:
            return refusal(404, "There is no such task.")
        if error.charged != "no":
            return refusal(502, "The request may be billed: check before you repeat it.", id=error.task_id)
        if isinstance(error, (BadRequestError, NotFoundError, UnprocessableError)):
            return refusal(422, "The service refuses this request.")
        return refusal(503, "Images cannot be made at the moment.")


async def submit(request: web.Request) -> web.Response:
    try:
        mapping: dict[str, Any] = await request.json()
    except ValueError:
        raise InvalidRequestError("the body is not JSON") from None
    # The model and the path decide the cost.
    if not isinstance(mapping, dict) or mapping.get("model") not in MODELS or "path" in mapping:
        raise InvalidRequestError(f"give one of the models {', '.join(MODELS)}, and no path")
    handle = await request.app[FOX].submit(parse_request(mapping))
    return web.json_response({"id": handle.id}, status=202)


async def show(request: web.Request) -> web.Response:
    snapshot = await request.app[FOX].fetch(request.match_info["id"])
    return web.json_response({"status": snapshot.status, "images": [image.url for image in snapshot.images]})


# A photo as a data: URL is larger than the 1 MiB that aiohttp allows.
app = web.Application(client_max_size=8 * 2**20, middlewares=[signed_in, answer_errors])
app.cleanup_ctx.append(session)
app.add_routes([web.post("/images", submit), web.get("/images/{id}", show)])
