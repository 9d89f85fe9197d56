"""Which doubts about requests were not said before: a field of a model is doubted once, and not in each request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foxapi_async._errors import parts_of

if TYPE_CHECKING:
    from foxapi_async.models._base import GenerationRequest

_MOST = 20
"""More doubts say only that the requests are of another kind."""


class NewDoubts:
    """Remembers the doubts that were said."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def of(self, request: GenerationRequest) -> list[str]:
        """The doubts of a request about fields that were not doubted before."""
        found: list[str] = []
        for doubt in request.doubts:
            place = request.model, parts_of(doubt)[0] or doubt
            if place not in self._said and len(self._said) < _MOST:
                self._said.add(place)
                found.append(doubt)
        return found
