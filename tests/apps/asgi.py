"""A client that calls an ASGI app on the same loop, so that virtual time holds for both; and a reader of SSE."""

import asyncio
import functools
import json
from urllib.parse import urlsplit

import attrs
from fastapi import FastAPI

from foxapi_async.fastapi import add_error_handlers, fox_lifespan, image_router

# FastAPI takes a while to make the schemas of all models.
default_router = functools.cache(lambda: image_router(dependencies=()))


def make_app(emulator, dependencies=(), models=None, **options):
    """An app with everything from `foxapi_async.fastapi`. Apps with the default routes share their router."""
    app = FastAPI(lifespan=fox_lifespan(api_key=emulator.key, base_url=emulator.url, **options))
    add_error_handlers(app)
    is_default = not dependencies and models is None
    app.include_router(
        default_router() if is_default else image_router(dependencies=dependencies, models=models)
    )
    return app


@attrs.frozen
class Event:
    """One server-sent event; a comment has neither kind nor data."""

    kind: str = ""
    id: str = ""
    data: object = None
    comment: str = ""

    @classmethod
    def of(cls, block):
        lines = [line.partition(":") for line in block.splitlines()]
        found = {name: value.removeprefix(" ") for name, _, value in lines}
        data = json.loads(found["data"]) if "data" in found else None
        return cls(found.get("event", ""), found.get("id", ""), data, found.get("", ""))


def events_in(text):
    """The events of a stream, without its comments."""
    events = [Event.of(block) for block in text.split("\n\n") if block.strip()]
    return [event for event in events if event.kind]


@attrs.define
class Answer:
    """The part of the answer that has come; `chunks` has the moment of each."""

    status: int = 0
    headers: dict = attrs.Factory(dict)
    chunks: list = attrs.Factory(list)
    done: bool = False

    @property
    def text(self):
        return b"".join(chunk for _, chunk in self.chunks).decode()

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def events(self):
        return events_in(self.text)

    @property
    def error(self):
        return self.json["error"]


class Client:
    """A started app, while the block runs.

    Args:
        app: the ASGI app.
        spec: the version that the server claims. From 2.4 on a send to a client that has gone raises.
    """

    def __init__(self, app, spec="2.3"):
        self._app = app
        self._spec = spec
        self.state = {}
        self.read = 0
        self._reported = asyncio.Queue()
        self._steps = asyncio.Queue()
        self._lifespan = None

    async def __aenter__(self):
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state}
        self._lifespan = asyncio.create_task(self._app(scope, self._reported.get, self._steps.put))
        await self._step("startup")
        return self

    async def __aexit__(self, *_):
        await self._step("shutdown")
        await self._lifespan

    async def _step(self, name):
        await self._reported.put({"type": f"lifespan.{name}"})
        answer = await self._steps.get()
        assert answer["type"] == f"lifespan.{name}.complete", answer

    @property
    def fox(self):
        """The session of the app."""
        return self.state["fox"]

    def start(self, method, url, *, pieces=(), headers=(), path=None, send=None):
        """A running request; `path` is one that the server has decoded. `send` gets the answer in place of `answer`."""
        return Request(self, method, url, pieces, headers, path, send)

    async def ask(self, method, url, **options):
        """The whole answer."""
        request = self.start(method, url, **options)
        await request.finished
        return request.answer

    async def get(self, url, **headers):
        pairs = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("GET", url, headers=pairs)

    async def post(self, url, value, **options):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        headers = {"content-type": "application/json", **options.pop("headers", {})}
        return await self.ask("POST", url, pieces=[body], headers=headers, **options)


class Request:
    """One request. Its answer grows while it runs; `leave` means that the client goes away."""

    def __init__(self, client, method, url, pieces, headers, path, send):
        self._client = client
        self._pieces = iter([*pieces] if isinstance(pieces, list) else pieces)
        self._sent = False
        self._gone = asyncio.Event()
        self.answer = Answer()
        parts = urlsplit(url)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": client._spec},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path or parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in dict(headers).items()],
            "server": ("testserver", 80),
            "state": dict(client.state),
        }
        self.finished = asyncio.ensure_future(client._app(scope, self._receive, send or self._send))

    async def _receive(self):
        if not self._sent:
            piece = next(self._pieces, None)
            self._client.read += len(piece or b"")
            self._sent = piece is None
            return {"type": "http.request", "body": piece or b"", "more_body": not self._sent}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if self._gone.is_set() and self._client._spec >= "2.4":
            raise OSError("the client has gone")
        if message["type"] == "http.response.start":
            self.answer.status = message["status"]
            self.answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            moment = asyncio.get_running_loop().time()
            self.answer.chunks.append((moment, message.get("body", b"")))
            self.answer.done = not message.get("more_body", False)

    def leave(self):
        """The client goes away."""
        self._gone.set()

    async def until(self, count):
        """Wait until so many events have come."""
        while len(self.answer.events) < count:
            assert not self.finished.done(), self.answer.text
            await asyncio.sleep(0.1)
        return self.answer.events
