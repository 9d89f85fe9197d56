"""What the app's OpenAPI document says about the routes.

The functions that describe two of the routes are never called: the route that works has the same path and comes first.
If FastAPI knew the body, it would read it before it runs the dependencies, and check it a second time. If it knew the
events, it would want to send them itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, params
from fastapi.sse import EventSourceResponse
from starlette.responses import Response

from foxapi_async._wire import requests
from foxapi_async.fastapi._allowed import AllowedModels
from foxapi_async.fastapi._schemas import body_type
from foxapi_async.fastapi._shapes import ErrorBody, ImageProgress, SubmittedImage

# The ids that `check_task_id` accepts.
_ID: dict[str, Any] = {
    "minLength": 1,
    "maxLength": requests.MAX_ID,
    "pattern": r"^(?!\s*\.{0,2}\s*$)[^/\\?#%\x00-\x1f\x7f-\x9f]+$",
}

_RETRY_AFTER = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}}

_PARTS = {
    "Accept-Ranges": {
        "description": "`bytes` if the server of the file sends parts",
        "schema": {"type": "string"},
    }
}
_CONTENT_RANGE = {
    "Content-Range": {
        "description": "The bytes that are sent, and the length of the whole file",
        "schema": {"type": "string"},
        "required": True,
    }
}

_ERRORS: dict[int, dict[str, Any]] = {
    400: {"description": "The service refuses the request; `code` and `message` are its own"},
    404: {"description": "The service does not know the id, or the task has no such file"},
    413: {"description": "The body is too large"},
    416: {"description": "The file has none of the bytes that `Range` asks for", "headers": _CONTENT_RANGE},
    422: {"description": "The request is wrong; `problems` lists each fault"},
    429: {"description": "Too many requests; see Retry-After", "headers": _RETRY_AFTER},
    500: {"description": "The server is not set up for this"},
    502: {"description": "The task failed, or the service gave no usable answer"},
    503: {"description": "Images cannot be made at the moment", "headers": _RETRY_AFTER},
    504: {"description": "Not ready in time; the task continues"},
    507: {"description": "The task is billed, but its id could not be kept: note it"},
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route."""
    return {status: {"model": ErrorBody, **_ERRORS[status]} for status in statuses}


# `async` although it awaits nothing: FastAPI calls a plain function in a thread.
async def task_id_of(task_id: Annotated[str, Path(json_schema_extra=_ID)]) -> str:
    """The id in the path, checked before any request to the service.

    Raises:
        InvalidRequestError: see `check_task_id`.
    """
    return requests.check_task_id(task_id)


STATE: dict[str, Any] = {
    "summary": "The state of a task",
    "responses": _errors(404, 422, 429, 500, 502, 503),
}
RESULT: dict[str, Any] = {
    "summary": "The images, when they are ready",
    "responses": _errors(404, 422, 500, 502, 503, 504),
}
_BYTES = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
FILE: dict[str, Any] = {
    "summary": "One file of the result",
    "response_class": Response,
    "responses": {
        200: {"description": "The file", "content": _BYTES, "headers": _PARTS},
        206: {"description": "The part that `Range` asks for", "content": _BYTES, "headers": _CONTENT_RANGE},
        **_errors(404, 416, 422, 500, 502, 503, 504),
    },
    "openapi_extra": {
        "parameters": [
            {
                "name": "Range",
                "in": "header",
                "required": False,
                "description": "One part of the file, such as `bytes=0-1023`. An invalid range is ignored",
                "schema": {"type": "string"},
            }
        ]
    },
}
_LOCATION = {"Location": {"description": "The path of the task", "schema": {"type": "string"}}}
_EVENT = {"properties": {"event": {"enum": ["progress", "final", "failed"]}}}


class _DocumentedEvents(EventSourceResponse):
    """FastAPI documents the errors of a route under the media type of its response class. Events have their own type."""

    media_type = "application/json"


def add_submit(router: APIRouter, allowed: AllowedModels, submitting: params.Depends) -> None:
    """Describe the route that submits, with the parameters of the dependency that sends."""

    async def submit_image(body: Any) -> SubmittedImage:  # type: ignore[empty-body]
        """Send the request: one billed POST. Its task continues, even if no client asks for it."""

    submit_image.__annotations__["body"] = body_type(allowed)
    router.post(
        "",
        status_code=202,
        summary="Start a generation",
        dependencies=[submitting],
        responses={202: {"headers": _LOCATION}, **_errors(400, 413, 422, 429, 500, 502, 503, 507)},
    )(submit_image)


def add_events(router: APIRouter) -> None:
    """Describe the route of the events."""

    async def image_events(  # pragma: no cover - it is never called
        task_id: Annotated[str, Depends(task_id_of)],  # noqa: ARG001 - for the document
    ) -> AsyncIterable[ImageProgress | ErrorBody]:
        """Send `progress` events, then one `final`; or one `failed` if the SDK cannot learn how the task ended.

        The data of `failed` is an error's body. A browser's EventSource connects again if the connection breaks,
        to any replica, and does not get the same event again. After an answer that is not 200, it does not connect again.
        """
        no_events: tuple[ImageProgress, ...] = ()
        for event in no_events:
            yield event

    router.get(
        "/{task_id}/events",
        summary="Progress as server-sent events",
        response_class=_DocumentedEvents,
        responses={204: {"description": "The final event was seen already"}, **_errors(422, 500)},
        openapi_extra={"responses": {"200": {"content": {"text/event-stream": {"itemSchema": _EVENT}}}}},
    )(image_events)
