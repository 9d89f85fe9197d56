"""Routes for a front end that never sees the key: submit, state, events and result.

Each needs only the task's id and stores nothing. So every replica answers for every id, also after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from foxapi_async._client.session import FoxSession
from foxapi_async._errors import FoxError, InvalidRequestError, TaskTimeoutError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.result import TaskResult
from foxapi_async._wire import requests
from foxapi_async.fastapi._answers import error_response
from foxapi_async.fastapi._body import read_object
from foxapi_async.fastapi._events import EventResponse
from foxapi_async.fastapi._lifespan import Fox
from foxapi_async.fastapi._shapes import ErrorBody, ImageResult, ImageState, SubmittedImage
from foxapi_async.fastapi._stopping import stopping_of
from foxapi_async.models import GenerationRequest, parse_request

# The time for the first poll of a task, even if the client wants to wait less.
FIRST_POLL_SECONDS = 10.0

LONGEST_WAIT = 300.0

GONE = Response(status_code=499)
"""The answer to a client that left. Its number is the one that proxies log."""

_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["model"],
                "properties": {
                    "model": {"type": "string"},
                    "prompt": {"type": "string"},
                    "image_urls": {"type": "array", "items": {"type": "string", "format": "uri"}},
                },
                "additionalProperties": True,
                "example": {"model": "grok-imagine-image", "prompt": "a red fox", "num_outputs": 2},
            }
        }
    },
}

_EVENTS = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "id": {"type": "string"}, "data": {"type": "string"}},
}

_DESCRIPTIONS = {
    404: "The service does not know the id",
    413: "The body is too large",
    422: "The request is wrong; `problems` lists each fault",
    429: "Too many requests; see Retry-After",
    502: "The task failed, or the service gave no usable answer",
    503: "Images cannot be made at the moment",
    504: "Not ready in time; the task continues",
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for the documentation."""
    return {status: {"model": ErrorBody, "description": _DESCRIPTIONS[status]} for status in statuses}


class _ImageRoute(APIRoute):
    """Answers errors in the documented form, with or without `add_error_handlers`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except FoxError as error:
                return error_response(error)
            except ClientDisconnect:  # it left while it sent the body
                return GONE
            except RequestValidationError as error:
                return error_response(InvalidRequestError(problems=_problems(error)))

        return answered


def _problems(error: RequestValidationError) -> tuple[str, ...]:
    return tuple(f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors())


# `async` although it awaits nothing: FastAPI calls a plain function in a thread.
async def task_id_of(task_id: str) -> str:
    """The id in the path, checked before any request to the service.

    Raises:
        InvalidRequestError: see `check_task_id`.
    """
    return requests.check_task_id(task_id)


Submit = Callable[[GenerationRequest], Awaitable[TaskHandle]]

TaskId = Annotated[str, Depends(task_id_of)]


def image_router(*, dependencies: Sequence[params.Depends]) -> APIRouter:
    """Routes to submit a generation and to follow it:
    `app.include_router(image_router(dependencies=[Depends(check)]))`.

    - `POST /images`: a request as JSON, as `parse_request` takes it; 202 with its id
    - `GET /images/{task_id}`: the present state of the task
    - `GET /images/{task_id}/events`: its progress as server-sent events
    - `GET /images/{task_id}/result?wait=30`: its images; waits for them up to this many seconds

    Errors are answered as by `add_error_handlers`. The app needs `fox_lifespan`.

    Args:
        dependencies: decide who may use the routes; checked before anything else. Required, because
            submitting spends money; `[]` allows every client. A client that knows a task's id can read the
            task.
    """
    router = APIRouter(dependencies=list(dependencies), route_class=_ImageRoute, tags=["images"])
    router.post(
        "/images",
        status_code=202,
        summary="Start a generation",
        responses=_errors(413, 422, 429, 502, 503),
        openapi_extra={"requestBody": _BODY},
    )(submit_image)
    router.get(
        "/images/{task_id}", summary="The state of a task", responses=_errors(404, 422, 429, 502, 503)
    )(image_state)
    router.get(
        "/images/{task_id}/events",
        summary="Progress as server-sent events",
        # Not EventSourceResponse: with it FastAPI expects a handler that generates events.
        response_class=Response,
        responses={
            200: {"description": "The events", "content": {"text/event-stream": {"schema": _EVENTS}}},
            204: {"description": "The final event was seen already"},
            **_errors(422),
        },
    )(image_events)
    router.get(
        "/images/{task_id}/result",
        summary="The images, when they are ready",
        responses=_errors(404, 422, 502, 503, 504),
    )(image_result)
    return router


async def submit_image(request: Request, response: Response, fox: Fox) -> SubmittedImage:
    """Send the request: one billed POST. Its task continues, even if no client asks for it."""
    return await submitted_by(fox.submit, request, response)


async def submitted_by(submit: Submit, request: Request, response: Response) -> SubmittedImage:
    """Submit the request with `submit`, and answer with the task's id."""
    handle = await submit(parse_request(await read_object(request)))
    response.headers["Location"] = f"{request.url.path}/{quote(handle.id, safe='')}"
    return SubmittedImage(id=handle.id)


async def image_state(task_id: TaskId, fox: Fox) -> ImageState:
    """Read the task once."""
    return ImageState.of(await fox.fetch(task_id))


async def image_events(task_id: TaskId, fox: Fox) -> Response:
    """Send `progress` events, then one `final`; or one `error` if the SDK cannot learn how the task ended.

    A browser's EventSource reconnects by itself, to any replica, and does not get the same event again.
    """
    return EventResponse(task_id, watching(fox, task_id))


async def image_result(
    request: Request, task_id: TaskId, fox: Fox, wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 30.0
) -> ImageResult:
    """Wait for the task up to `wait` seconds; 504 with its id if it takes longer."""
    with watching(fox, task_id) as handle:
        work = asyncio.ensure_future(_result_within(handle, wait))
        ends = [
            asyncio.ensure_future(end) for end in (stopping_of(request.scope).wait(), _disconnected(request))
        ]
        try:
            await asyncio.wait([work, *ends], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise TaskTimeoutError("the client or the server has gone", task_id=task_id)
            return ImageResult.of(work.result())
        finally:
            for future in (work, *ends):
                future.cancel()


@contextlib.contextmanager
def watching(fox: FoxSession, task_id: str) -> Generator[TaskHandle]:
    """A handle for one reader. All handles of a task share its polls, which end with the last handle."""
    handle = fox._attach_watcher(task_id)  # noqa: SLF001 - a part of the same package
    try:
        yield handle
    finally:
        handle.stop()


async def _result_within(handle: TaskHandle, seconds: float) -> TaskResult:
    """The result, within that time, but at least after the first poll of the task."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(seconds, FIRST_POLL_SECONDS)):
            await anext(aiter(handle), None)
    # If the task is over, this returns at once, even without time left.
    return await handle.wait(max(deadline - loop.time(), 1e-3))


async def _disconnected(request: Request) -> None:
    """Wait until the client disconnects."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
