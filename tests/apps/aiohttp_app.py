from collections.abc import AsyncIterator

from aiohttp import web

from foxapi_async import FoxSession, parse_request

FOX = web.AppKey("fox", FoxSession)


async def session(app: web.Application) -> AsyncIterator[None]:
    async with FoxSession() as app[FOX]:
        yield


async def submit(request: web.Request) -> web.Response:
    handle = await request.app[FOX].submit(parse_request(await request.json()))
    return web.json_response({"id": handle.id}, status=202)


async def show(request: web.Request) -> web.Response:
    snapshot = await request.app[FOX].fetch(request.match_info["id"])
    return web.json_response({"status": snapshot.status, "images": [image.url for image in snapshot.images]})


app = web.Application()
app.cleanup_ctx.append(session)
app.add_routes([web.post("/images", submit), web.get("/images/{id}", show)])
