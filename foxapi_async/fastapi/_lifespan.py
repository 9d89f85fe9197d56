"""The session of an app: it opens and closes with the app, and every handler can find it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any

import attrs
from fastapi import Depends
from starlette.requests import HTTPConnection

from foxapi_async._client.session import FoxSession
from foxapi_async._errors import ConfigurationError
from foxapi_async.fastapi._stopping import STATE_KEY, stop_event

_NO_SESSION = (
    "no session is open for this app, because no fox_lifespan() has run. Give it to the outermost app: "
    "FastAPI(lifespan=fox_lifespan()); the lifespan of a mounted app does not run. In a test, use the client in a `with` "
    "block: `with TestClient(app) as client`"
)

State = dict[str, Any]
Lifespan = Callable[[Any], AbstractAsyncContextManager[State]]


@attrs.frozen(repr=False)
class _Hidden:
    """Hides options, which may hold the key, from tracebacks with local variables."""

    options: dict[str, Any]


@attrs.frozen
class _Maker:
    """Makes a session at each start of an app."""

    _hidden: _Hidden

    def session(self) -> FoxSession:
        return FoxSession(**self._hidden.options)


def fox_lifespan(**session_options: Any) -> Lifespan:
    """A lifespan that owns one session: `FastAPI(lifespan=fox_lifespan())`, or
    `Starlette(lifespan=fox_lifespan())`.

    The session is `request.state.fox`, and in FastAPI the dependency `Fox`. Tasks belong to the session, not
    to the request that submitted them. If you have your own lifespan, enter this one in it, and yield its state too::

        @asynccontextmanager
        async def lifespan(app):
            async with fox_lifespan()(app) as state, open_database() as database:
                yield {**state, "database": database}

    Args:
        session_options: the arguments of `FoxSession`. The session is made when the app starts.

    Raises:
        ConfigurationError: when the app starts: no key, or an invalid option.
    """
    maker = _Maker(_Hidden(session_options))

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncGenerator[State]:
        with stop_event() as stopping:
            async with maker.session() as fox:
                yield {"fox": fox, STATE_KEY: stopping}

    return lifespan


# `async` although it awaits nothing: FastAPI calls a plain function in a thread.
async def session_of(connection: HTTPConnection) -> FoxSession:
    """The session of the app, for a request or a websocket. `Fox` depends on it.

    A test can replace it: `app.dependency_overrides[session_of] = lambda: fake`.

    Raises:
        ConfigurationError: no session is open for this app.
    """
    fox = getattr(connection.state, "fox", None)
    if not isinstance(fox, FoxSession):
        raise ConfigurationError(_NO_SESSION)
    return fox


Fox = Annotated[FoxSession, Depends(session_of)]
"""The app's session in a handler: `async def draw(fox: Fox)`."""
