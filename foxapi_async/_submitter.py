"""Submits one item of many: what is refused only for now is waited out, and stopping ends what waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from foxapi_async._errors import FoxError
from foxapi_async._post import Post
from foxapi_async._task import TaskHandle
from foxapi_async.models import GenerationRequest

_log = logging.getLogger("foxapi_async")


class Submitter:
    """The submits of a series.

    Args:
        submit: submits one request.
        patience: seconds to wait after an error before the next try, or None to raise it; it is told for how long
            the item has been tried.
    """

    def __init__(
        self,
        submit: Callable[[GenerationRequest, Post], Awaitable[TaskHandle]],
        patience: Callable[[FoxError, float], float | None],
    ) -> None:
        self._submit = submit
        self._patience = patience
        self._stopped = asyncio.Event()
        self._posts: set[Post] = set()

    def stop(self) -> None:
        """Send nothing more: what was sent goes on, what only waited for its turn ends."""
        self._stopped.set()
        for post in list(self._posts):
            post.withdraw()

    async def submit(self, request: GenerationRequest, new_post: Callable[[], Post]) -> TaskHandle:
        """The handle of an accepted request; each try is a post of its own."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        error: FoxError = new_post().given_up("the series was stopped")
        while not self._stopped.is_set():
            post = new_post()
            self._posts.add(post)
            try:
                return await self._submit(request, post)
            except FoxError as refusal:
                seconds = self._patience(refusal, loop.time() - began)
                if seconds is None:
                    raise
                error = refusal
            finally:
                self._posts.discard(post)
            _log.warning("a series is held back for %.1f s: %s", seconds, error)
            await self._stopped_within(seconds)
        raise error

    async def _stopped_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
