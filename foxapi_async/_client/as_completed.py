"""`FoxSession.as_completed`: submits many requests, and yields their outcomes in the order in which they end.

The iterator refers to the pipeline that does the work. The pipeline does not refer to the iterator. So Python removes
an iterator that is not used any more (after `break`), and the session ends its pipeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Self

from foxapi_async._client.engine import Engine
from foxapi_async._client.pipeline import ItemSource, Pipeline
from foxapi_async._client.submission import Series
from foxapi_async._display import public_dir
from foxapi_async._handles.result import Outcome
from foxapi_async.models import GenerationRequest, parse_request

RequestItem = GenerationRequest | Mapping[str, Any]
RequestItems = Iterable[RequestItem] | AsyncIterable[RequestItem]


class CompletedIterator:
    """The async iterator of `FoxSession.as_completed` over `Outcome`.

    After `stop()`, no more items are submitted, and the outcomes of the submitted items are still yielded. `break` ends
    submitting too; with `contextlib.aclosing` it does so at once. Submitted tasks continue and stay in
    `FoxSession.unfinished`.
    """

    __dir__ = public_dir

    def __init__(self, engine: Engine, items: RequestItems, room: int, timeout: float | None) -> None:
        self._engine = engine
        self._pipeline = pipeline = _pipeline(engine, items, room, timeout)
        self._finalizer = engine.call_when_collected(self, engine.discard, pipeline)
        engine.pipelines.add(pipeline)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        outcome = await self._pipeline.next()
        if outcome is None:
            self._discard()
            raise StopAsyncIteration
        return outcome

    def stop(self) -> None:
        """Submit no more items. Iterating continues until all submitted tasks have ended."""
        self._pipeline.stop()

    async def aclose(self) -> None:
        """Submit no more items, and do not wait for the submitted ones. Returns when the source is closed."""
        self._discard()
        await asyncio.wait([self._pipeline.start()])

    def _discard(self) -> None:
        self._finalizer.detach()
        self._engine.discard(self._pipeline)


def _pipeline(engine: Engine, items: RequestItems, room: int, timeout: float | None) -> Pipeline:
    """A pipeline that submits each item, waits after a 429, and waits for each task at most `timeout` seconds."""
    series = Series(pauses=False)

    async def complete(index: int, item: RequestItem) -> Outcome:
        request: GenerationRequest | None = None
        result = None
        error: Exception | None = None
        try:
            request = item if isinstance(item, GenerationRequest) else parse_request(item)
            submission = engine.new_submission(timeout, series=series)
            pipeline.handles[index] = handle = await engine.submitter.submit(request, submission)
            result = await handle
        except Exception as caught:  # an item's error is in its outcome, and does not concern other items
            error = caught
        known_handle = pipeline.handles.get(index)
        task_id = getattr(error, "task_id", None) if known_handle is None else known_handle.id
        return Outcome(index=index, request=request, task_id=task_id, result=result, error=error)

    pipeline = Pipeline(ItemSource(items), room, complete, series, engine.spawn)
    return pipeline
