"""What `as_completed` does with each item: submit it, waiting out every 429, and wait for its task."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Any

from foxapi_async._client.series_submitter import Submitter
from foxapi_async._client.submission import Submission, Tolerance
from foxapi_async._errors import FoxError, RateLimitError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.result import Outcome
from foxapi_async._retry.retry import CAP_SECONDS
from foxapi_async.models import GenerationRequest, parse_request

Item = GenerationRequest | Mapping[str, Any]
Items = Iterable[Item] | AsyncIterable[Item]


class Series:
    """The items of one `as_completed`.

    Args:
        new_post: makes the record of a submit to come, which waits out what it tolerates.
        submit: submits one request.
    """

    def __init__(
        self,
        new_post: Callable[[Tolerance], Submission],
        submit: Callable[[GenerationRequest, Submission], Awaitable[TaskHandle]],
    ) -> None:
        self._new_post = new_post
        self._submitter = Submitter(submit)
        self.handles: dict[int, TaskHandle] = {}

    def stop(self) -> None:
        """Send nothing more: what was sent goes on, what only waited for its turn ends."""
        self._submitter.stop()

    async def run(self, index: int, item: Item) -> Outcome:
        """How one item ends."""
        request: GenerationRequest | None = None
        result = None
        error: Exception | None = None
        try:
            request = item if isinstance(item, GenerationRequest) else parse_request(item)
            self.handles[index] = handle = await self._submitter.submit(request, self._new_post(_tolerance))
            result = await handle
        except Exception as caught:  # an item's error is in its outcome, never its neighbours' problem
            error = caught
        task_id = self.handles[index].id if index in self.handles else getattr(error, "task_id", None)
        return Outcome(index=index, request=request, task_id=task_id, result=result, error=error)


def _tolerance(error: FoxError, _silence: float) -> float | None:
    """A 429 slows a series down, it does not fail it."""
    return (error.retry_after or CAP_SECONDS) if isinstance(error, RateLimitError) else None
