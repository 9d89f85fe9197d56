"""For FastAPI and Starlette apps: one session, its errors as HTTP answers, server-sent events, and routes.

    app = FastAPI(lifespan=fox_lifespan())
    add_error_handlers(app)
    app.include_router(image_router(dependencies=[Depends(signed_in)]))


    @app.post("/foxes", status_code=202)
    async def draw(fox: Fox, colour: str):
        return {"id": (await fox.submit(GrokImagineImage(f"a {colour} fox"))).id}

Needs the extra `fastapi`.

**Stopping a server.** A server that gets a stop signal waits for its open responses before it ends its
lifespan. The lifespan made here notices the signal. So event streams and waits for a result end at once, and
their clients continue at another replica: they need only the task's id. This works if the server handles
SIGTERM and SIGINT by Python functions in the main thread, as uvicorn does, even as a worker of gunicorn. For
other servers, and for your own handlers that wait long, limit the time that the server waits: `uvicorn
--timeout-graceful-shutdown 5`.
"""

try:
    from fastapi import sse as _sse  # FastAPI has it since 0.135

    del _sse
except ImportError as error:
    raise ImportError(
        "foxapi_async.fastapi needs FastAPI 0.135 or newer: pip install 'foxapi-async[fastapi]'",
        name=error.name,
    ) from None

from foxapi_async._display import show_under
from foxapi_async.fastapi._answers import add_error_handlers
from foxapi_async.fastapi._events import event_response
from foxapi_async.fastapi._lifespan import Fox, fox_lifespan, session_of
from foxapi_async.fastapi._routes import image_router

__all__ = ["Fox", "add_error_handlers", "event_response", "fox_lifespan", "image_router", "session_of"]

show_under(__name__, [add_error_handlers, event_response, fox_lifespan, image_router, session_of])
