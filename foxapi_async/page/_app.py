"""The page as an ASGI app: the image routes, the page's own routes, and the guard before both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from foxapi_async.fastapi import add_error_handlers, image_router
from foxapi_async.fastapi._routes import GONE
from foxapi_async.fastapi._stopping import STATE_KEY
from foxapi_async.page._guard import Gate, Guard
from foxapi_async.page._routes import PageRoutes
from foxapi_async.page._service import PageService


class Page:
    """The app of one page.

    Args:
        service: does the work.
        gate: decides who may use the page.
    """

    def __init__(self, service: PageService, gate: Gate) -> None:
        self._service = service
        self._stopping = asyncio.Event()
        self.app: ASGIApp = Guard(self._guarded(), gate)

    def stop(self) -> None:
        """End the streams: a server waits for them before it ends."""
        self._stopping.set()
        self._service.broadcaster.wake()

    def _guarded(self) -> FastAPI:
        app = FastAPI(lifespan=self._lifespan, openapi_url=None)
        add_error_handlers(app)
        app.add_exception_handler(ClientDisconnect, _gone)
        app.include_router(
            PageRoutes(self._service, self._stopping).router()
        )  # first, so that its submit route is used
        app.include_router(image_router(dependencies=[]))  # the guard has checked the client
        return app

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncGenerator[dict[str, Any]]:
        yield {"fox": self._service.fox, STATE_KEY: self._stopping}


async def _gone(_: Request, __: Exception) -> Response:
    return GONE
