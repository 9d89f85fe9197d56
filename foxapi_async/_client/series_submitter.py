"""The submits of many items, which can be ended together: stopping ends what waits, and sends nothing more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from foxapi_async._client.submission import Submission
from foxapi_async._handles.handle import TaskHandle
from foxapi_async.models import GenerationRequest


class Submitter:
    """The submits of a series.

    Args:
        submit: submits one request.
    """

    def __init__(self, submit: Callable[[GenerationRequest, Submission], Awaitable[TaskHandle]]) -> None:
        self._submit = submit
        self._stopped = False
        self._posts: set[Submission] = set()

    def stop(self) -> None:
        """Send nothing more: what was sent goes on, what only waited for its turn ends."""
        self._stopped = True
        for post in list(self._posts):
            post.withdraw()

    async def submit(self, request: GenerationRequest, post: Submission) -> TaskHandle:
        """The handle of an accepted request.

        Raises:
            FoxError: see `FoxSession.submit`.
        """
        if self._stopped:
            raise post.given_up("the series was stopped")
        self._posts.add(post)
        try:
            return await self._submit(request, post)
        finally:
            self._posts.discard(post)
