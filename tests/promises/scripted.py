"""A service that gives one scripted reply to each submit, for cases that the emulator lacks: a refusal that
comes late.
"""

import asyncio
import contextlib

import attrs
from aiohttp import web

from foxapi_async import FoxSession

# On a loop whose time jumps, any limit on an idle connection passes at once.
NEVER = 1e9


@attrs.frozen(kw_only=True)
class Reply:
    """The reply to one submit, and how many seconds after its arrival it is sent."""

    status: int
    seconds: float = 0.0
    retry_after: float | None = None

    def response(self, number):
        """The reply in the service's own JSON: a task, or an object with `error`."""
        if self.status == 200:
            return web.json_response({"id": f"task-{number}", "status": "pending"})
        headers = {} if self.retry_after is None else {"Retry-After": f"{self.retry_after:g}"}
        body = {"error": {"message": "scripted", "type": "invalid_request_error"}}
        return web.json_response(body, status=self.status, headers=headers)


@attrs.define
class Service:
    """The running service.

    Attributes:
        replies: the replies to the next submits; after the last one, submits are accepted.
        submits: when each submit arrived, in seconds of the loop.
        url: its address.
    """

    replies: list[Reply]
    submits: list[float] = attrs.field(factory=list)
    url: str = ""

    async def answer(self, request):
        """Answer a submit by the script, and a read with a task that still runs."""
        if request.method == "GET":
            return web.json_response({"id": request.path.rpartition("/")[2], "status": "processing"})
        self.submits.append(asyncio.get_running_loop().time())
        reply = self.replies.pop(0) if self.replies else Reply(status=200)
        response = reply.response(len(self.submits))
        await asyncio.sleep(reply.seconds)
        return response

    def session(self, **options):
        """A session that uses it."""
        return FoxSession("sk-test-12345", base_url=self.url, **options)


@contextlib.asynccontextmanager
async def serving(answer):
    """The address of a server that gives every request to `answer`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=NEVER, shutdown_timeout=0.05)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def scripted(*replies):
    """A service with this script."""
    service = Service(list(replies))
    async with serving(service.answer) as service.url:
        yield service
