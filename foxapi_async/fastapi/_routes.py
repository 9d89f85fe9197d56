"""Routes for a front end that never sees the key: submit, state, events, result and files.

Each needs only the task's id and stores nothing. So every replica answers for every id, also after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from typing import Annotated, Any, Protocol
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from foxapi_async._client.session import FoxSession
from foxapi_async._errors import (
    ConfigurationError,
    FieldProblem,
    FoxError,
    InvalidRequestError,
    TaskTimeoutError,
)
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.result import TaskResult
from foxapi_async.fastapi import _documents as documents
from foxapi_async.fastapi._allowed import AllowedModels, ModelName
from foxapi_async.fastapi._answers import error_response
from foxapi_async.fastapi._body import read_object
from foxapi_async.fastapi._events import EventResponse
from foxapi_async.fastapi._files import FileResponse, client_left
from foxapi_async.fastapi._lifespan import Fox
from foxapi_async.fastapi._shapes import ImageResult, ImageState, SubmittedImage
from foxapi_async.fastapi._stopping import stopping_of
from foxapi_async.models import GenerationRequest, parse_request

# The time for the first poll of a task, even if the client wants to wait less.
FIRST_POLL_SECONDS = 10.0

LONGEST_WAIT = 300.0

GONE = Response(status_code=499)
"""The answer to a client that left. Proxies log the same number."""


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
    return tuple(FieldProblem(str(fault["loc"][-1]), f": {fault['msg']}") for fault in error.errors())


class HasId(Protocol):
    """A task that was submitted: a `TaskHandle`, or any other object with the task's id."""

    @property
    def id(self) -> str: ...


Submit = Callable[[GenerationRequest], Awaitable[HasId]]
Parse = Callable[[Mapping[str, Any]], GenerationRequest]

TaskId = Annotated[str, Depends(documents.task_id_of)]


# `async` although it awaits nothing: FastAPI calls a plain function in a thread.
async def submit_of(fox: Fox) -> Submit:
    """The function that sends a request by default: `fox.submit`."""
    return fox.submit


def image_router(
    *,
    dependencies: Sequence[params.Depends],
    models: Sequence[ModelName] | None = None,
    submit: params.Depends | None = None,
) -> APIRouter:
    """Routes to submit a generation and to follow it:
    `app.include_router(image_router(dependencies=[Depends(check)]))`.

    - `POST /images`: a request as JSON, as `parse_request` takes it; 202 with its id
    - `GET /images/{task_id}`: the present state of the task
    - `GET /images/{task_id}/events`: its progress as server-sent events
    - `GET /images/{task_id}/result?wait=30`: its images; waits for them up to this many seconds
    - `GET /images/{task_id}/files/{n}`: its n-th file, from 1, or a part of it, streamed from the service

    Errors are answered as by `add_error_handlers`. The app needs `fox_lifespan`. The app's OpenAPI document has a
    schema for each set of fields, from the same definitions that check a request.

    Args:
        dependencies: decide who may use the routes; checked before anything else. Required, because
            submitting spends money; `[]` allows every client. A client that knows a task's id can read the
            task.
        models: the models that a client may use. None allows all known image models (`foxapi models`). An id names
            a known model of any kind. A pair of an id and a path, such as `("new-model", "/v1/images/generations")`,
            names a model that the SDK may not know: its fields are sent unchecked, as by `RawRequest`. If a model in the
            list is such a pair, or does not make images, the routes are at `/generations` instead of `/images`. A
            client that asks for another model gets 422, with the allowed ones.
        submit: sends a request in place of `FoxSession.submit`, for example to record whose task it is, with
            `submit=Depends(recorded)`. The dependency gives a callable. `POST /images` calls it with the checked
            `GenerationRequest`, awaits it, and answers with the `id` of what it returns: a `TaskHandle`, or any other
            object with an `id`. The dependency runs before the request is checked. It may read the path, query,
            headers and cookies, but not the body.

    Raises:
        InvalidRequestError: a name in `models` is not a known model, or a path is wrong, or there is no name.
        ConfigurationError: `submit` is not a `Depends(...)`.
    """
    if submit is not None and not isinstance(submit, params.Depends):
        raise ConfigurationError(f"image_router(submit={submit!r}): give submit=Depends(your_dependency)")
    allowed = AllowedModels.of(models)
    name = "images" if allowed.make_images else "generations"
    router = APIRouter(
        prefix=f"/{name}", dependencies=list(dependencies), route_class=_ImageRoute, tags=[name]
    )

    submitting = Depends(submit_of) if submit is None else submit

    async def submit_image(request: Request, response: Response, send: Any = submitting) -> SubmittedImage:
        return await submitted_by(send, request, response, allowed.parse)

    router.add_api_route("", submit_image, methods=["POST"], status_code=202, include_in_schema=False)
    documents.add_submit(router, allowed, submitting)
    router.get("/{task_id}", **documents.STATE)(image_state)
    router.get("/{task_id}/events", include_in_schema=False)(image_events)
    documents.add_events(router)
    router.get("/{task_id}/result", **documents.RESULT)(image_result)
    router.get("/{task_id}/files/{n}", **documents.FILE)(image_file)
    router.head("/{task_id}/files/{n}", include_in_schema=False)(image_file)
    return router


async def submitted_by(
    submit: Submit, request: Request, response: Response, parse: Parse = parse_request
) -> SubmittedImage:
    """Submit the request with `submit`, and answer with the task's id."""
    task = await submit(parse(await read_object(request)))
    response.headers["Location"] = f"{request.url.path}/{quote(task.id, safe='')}"
    return SubmittedImage(id=task.id)


async def image_state(task_id: TaskId, fox: Fox) -> ImageState:
    """Read the task once."""
    return ImageState.of(await fox.fetch(task_id))


async def image_events(task_id: TaskId, fox: Fox) -> Response:
    """The events of the task."""
    return EventResponse(task_id, watching(fox, task_id))


async def image_result(
    request: Request, task_id: TaskId, fox: Fox, wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 30.0
) -> ImageResult:
    """Wait for the task up to `wait` seconds; 504 with its id if it takes longer.

    `images` has all files, even if they are videos. `values` are results without a file, such as a transcript.
    """
    return ImageResult.of(await _result_of(request, task_id, fox, wait))


async def image_file(
    request: Request, task_id: TaskId, fox: Fox, n: Annotated[int, Path(ge=1, description="From 1.")]
) -> Response:
    """The n-th file of the task, streamed from the service, which keeps it for 24 hours; 504 if the task has not ended.

    A browser shows an image, a video or a sound, and saves any other file. No script in a file runs. `Range` asks for one
    part, so that a reader can jump to a place in a video: 206, or 200 with the whole file if its server sends no parts.
    """
    return FileResponse(await _result_of(request, task_id, fox, 0), n)


async def _result_of(request: Request, task_id: str, fox: FoxSession, wait: float) -> TaskResult:
    """The result, within `wait` seconds. The wait ends early if the client leaves or the server stops.

    Raises:
        TaskTimeoutError: the task has not ended yet, or the client left, or the server stops.
    """
    with watching(fox, task_id) as handle:
        work = asyncio.ensure_future(_result_within(handle, wait))
        ends = [
            asyncio.ensure_future(end)
            for end in (stopping_of(request.scope).wait(), client_left(request.receive))
        ]
        try:
            await asyncio.wait([work, *ends], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise TaskTimeoutError("the client or the server has gone", task_id=task_id)
            return work.result()
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
    # If the task is over, this returns at once, even if no time is left.
    return await handle.wait(max(deadline - loop.time(), 1e-3))
