import logging
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler

from foxapi_async import FoxError, FoxSession, InvalidRequestError, NotFoundError, parse_request

FOX = web.AppKey("fox", FoxSession)


async def session(app: web.Application) -> AsyncIterator[None]:
    async with FoxSession() as app[FOX]:
        yield


def refusal(status: int, message: str, **more: object) -> web.Response:
    return web.json_response({"error": {"message": message, **more}}, status=status)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except InvalidRequestError as error:
        return refusal(422, "The request is wrong.", problems=error.problems)
    except NotFoundError:
        return refusal(404, "There is no such task.")
    except FoxError as error:  # its text may concern your account, so it is for your log
        logging.getLogger("app").warning("%s", error)
        if error.charged == "no":
            return refusal(503, "Images cannot be made at the moment.")
        return refusal(502, "The request may be billed: check before you repeat it.", id=error.task_id)


async def submit(request: web.Request) -> web.Response:
    try:
        mapping = await request.json()
    except ValueError:
        raise InvalidRequestError("the body is not JSON") from None
    handle = await request.app[FOX].submit(parse_request(mapping))
    return web.json_response({"id": handle.id}, status=202)


async def show(request: web.Request) -> web.Response:
    snapshot = await request.app[FOX].fetch(request.match_info["id"])
    return web.json_response({"status": snapshot.status, "images": [image.url for image in snapshot.images]})


app = web.Application(middlewares=[answer_errors])
app.cleanup_ctx.append(session)
app.add_routes([web.post("/images", submit), web.get("/images/{id}", show)])
