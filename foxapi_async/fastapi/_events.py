"""A task's progress as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

The id of an event comes from the task's state and not from a counter. So every replica can tell whether a
returning reader has seen the event.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractContextManager
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from foxapi_async._errors import APIError, ConfigurationError, FoxError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.snapshot import TaskEvent
from foxapi_async.fastapi._answers import error_body
from foxapi_async.fastapi._shapes import ImageProgress
from foxapi_async.fastapi._stopping import stopping_of

# Proxies close silent connections, often after a minute.
HEARTBEAT_SECONDS = 15.0

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def event_response(handle: TaskHandle) -> Response:
    """The progress of a task as server-sent events, for return from a handler of FastAPI or Starlette.

    An event `progress` has the present state of the task, and `final` its last state: completed, failed or
    cancelled. Their `data` is JSON with id, model, status, progress, elapsed, remaining, final, images and error. If a
    handle ends without a final event (timeout, refused, session closed), the stream ends with an event `failed`, whose
    data is the error's body. A browser that returns with Last-Event-ID does not get the same event again. After the end
    it gets 204, and then does not return. A comment every 15 s keeps the connection open. If the client disconnects,
    only its stream ends.

    Do not give the handler `response_class=EventSourceResponse`: FastAPI would then expect the handler to
    yield the events itself.

    Raises:
        ConfigurationError: `handle` is no `TaskHandle`, such as a submit that was not awaited.
    """
    if not isinstance(handle, TaskHandle):
        raise ConfigurationError(
            f"event_response() got a {type(handle).__name__}: give a TaskHandle, as in "
            "event_response(await fox.submit(request))"
        )
    return EventResponse(handle.id, contextlib.nullcontext(handle))


class EventResponse(EventSourceResponse):
    """Streams the events of one task while the client listens.

    Args:
        task_id: the task's id.
        watching: gives a handle of the task, and is exited when the stream ends.
    """

    def __init__(self, task_id: str, watching: AbstractContextManager[TaskHandle]) -> None:
        super().__init__((), headers=_HEADERS)  # the content is known only when the response is called
        self._task_id = task_id
        self._watching = watching

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        seen = Headers(scope=scope).get("last-event-id")
        if seen == final_id(self._task_id):
            await Response(status_code=204)(scope, receive, send)
            return
        with self._watching as handle:
            async with contextlib.aclosing(_chunks(handle, seen, stopping_of(scope))) as chunks:
                self.body_iterator = chunks
                await super().__call__(scope, receive, send)


async def _chunks(
    handle: TaskHandle, seen: str | None, stopping: asyncio.Event
) -> AsyncGenerator[bytes, None]:
    yield KEEPALIVE_COMMENT  # some servers send no headers before there is a body
    async for event in _events(handle, stopping):
        if event is None:
            yield KEEPALIVE_COMMENT
        elif event_id(event) != seen:
            yield encode(event)
        seen = None if event else seen
    if handle.done() and (error := await _failure(handle)) is not None:
        yield error


async def _events(handle: TaskHandle, stopping: asyncio.Event) -> AsyncGenerator[TaskEvent | None, None]:
    """The events of a handle, and None after every `HEARTBEAT_SECONDS` without one, until the handle or the
    server ends.
    """
    events = aiter(handle)
    ended = asyncio.ensure_future(stopping.wait())
    next_event = asyncio.ensure_future(_next(events))
    try:
        while True:
            await asyncio.wait(
                {next_event, ended}, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if next_event.done():
                event = next_event.result()
                if event is None:
                    return
                next_event = asyncio.ensure_future(_next(events))
                yield event
            elif ended.done():
                return
            else:
                yield None
    finally:
        next_event.cancel()
        ended.cancel()


async def _next(events: AsyncIterator[TaskEvent]) -> TaskEvent | None:
    return await anext(events, None)


async def _failure(handle: TaskHandle) -> bytes | None:
    """The event with the reason why the stream ends; None after a final event."""
    if handle.snapshot is not None and handle.snapshot.finished:
        return None
    try:
        await handle
    except FoxError as error:
        # The service would refuse again, so a browser does not need to return.
        over = final_id(handle.id) if isinstance(error, APIError) else None
        return format_sse_event(data_str=_dump(error_body(error)), event="failed", id=over)
    return None  # pragma: no cover - a result comes with a final event


def encode(event: TaskEvent) -> bytes:
    """One event in the format of the stream."""
    return format_sse_event(
        data_str=ImageProgress.of(event).model_dump_json(),
        event="final" if event.final else "progress",
        id=event_id(event),
    )


def event_id(event: TaskEvent) -> str:
    """The id of an event: the same for the same state, at every replica."""
    if event.final:
        return final_id(event.task_id)
    urls = [image.url for image in event.snapshot.images]
    return _digest([event.task_id, event.status, event.progress, *urls])


def final_id(task_id: str) -> str:
    """The id of the last event of a task. It needs only the task's id."""
    return f"final-{_digest([task_id])}"


def _digest(facts: list[Any]) -> str:
    return hashlib.blake2b(_dump(facts).encode(), digest_size=8).hexdigest()


def _dump(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
