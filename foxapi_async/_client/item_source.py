"""The user's items, one at a time, whichever kind of iterable they come in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Mapping
from typing import Generic, TypeVar

from foxapi_async._errors import InvalidRequestError
from foxapi_async.models import GenerationRequest

T = TypeVar("T")


class ItemSource(Generic[T]):
    """Any iterable or async iterable, pulled and closed by one task alone.

    Raises:
        InvalidRequestError: it is a single request, or nothing that can be iterated over.
    """

    def __init__(self, items: Iterable[T] | AsyncIterable[T]) -> None:
        if isinstance(items, str | bytes | Mapping | GenerationRequest):
            raise InvalidRequestError(
                f"requests is one {type(items).__name__}: give a list, a generator or another iterable of requests"
            )
        if isinstance(items, AsyncIterable):
            self._later: AsyncIterator[T] | None = aiter(items)
        elif isinstance(items, Iterable):
            self._later = None
            self._now = iter(items)
        else:
            raise InvalidRequestError(
                f"requests={items!r} cannot be iterated over: give an iterable of requests"
            )

    async def pull(self) -> T:
        """The next item; raises StopAsyncIteration at the end."""
        if self._later is not None:
            return await anext(self._later)
        for item in self._now:
            return item
        raise StopAsyncIteration

    async def close(self) -> None:
        """Let a generator run its `finally`."""
        if isinstance(self._later, AsyncGenerator):
            await self._later.aclose()
        elif self._later is None and isinstance(self._now, Generator):
            self._now.close()
