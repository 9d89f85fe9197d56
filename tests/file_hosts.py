"""A file host with scripted answers, which is also the service that names its addresses."""

import asyncio

from aiohttp import web

from foxapi_async import GeneratedImage

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000
OTHER = b"GIF89a" + bytes(reversed(range(256))) * 2000
TASK = "task-unified-1"


class Host:
    """A file host with scripted answers, and the service that names its addresses.

    Args:
        answer: returns the reply to a request for a file.
        namings: the paths that each read of the task names; the last one is used for all later reads.
    """

    def __init__(self, answer, *namings):
        self.answer = answer
        self.namings = list(namings)
        self.reads = 0
        self.asked = []

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/v1/tasks/{id}", self._task)
        app.router.add_get("/{path:.*}", self._file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.image = GeneratedImage(f"{self.url}/fox")
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    @property
    def paths(self):
        return [request.path for request in self.asked]

    @property
    def ranges(self):
        return [request.headers.get("Range") for request in self.asked]

    async def _task(self, _request):
        naming = self.namings[min(self.reads, len(self.namings) - 1)]
        self.reads += 1
        if isinstance(naming, int):
            return web.json_response({"error": {"message": "no such task"}}, status=naming)
        results = [{"url": path if path.startswith("data:") else self.url + path} for path in naming]
        return web.json_response({"id": TASK, "status": "completed", "results": results})

    async def _file(self, request):
        self.asked.append(request)
        return await self.answer(request)


def by_path(**answers):
    """Answers that depend only on the path: bytes, or a status; other paths are gone."""

    async def answer(request):
        given = answers.get(request.path.strip("/"), 404)
        return web.Response(status=given) if isinstance(given, int) else web.Response(body=given)

    return answer


async def broken_off(request, piece, etag):
    """A reply that announces the length of the picture, sends `piece` and ends."""
    response = web.StreamResponse(headers={"ETag": etag, "Content-Length": str(len(PICTURE))})
    await response.prepare(request)
    await response.write(piece)
    await asyncio.sleep(1)  # aiohttp drops unread bytes when a connection ends
    request.transport.close()
    return response


def reply(body=PICTURE, status=200, **headers):
    """A reply with all of `body`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(body=body, status=status, headers=named)


def whole(*args, **headers):
    """An answer function with such a reply."""

    async def answer(_request):
        return reply(*args, **headers)

    return answer
