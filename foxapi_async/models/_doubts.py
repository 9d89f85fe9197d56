"""Finds the new doubts about requests. A doubt about a field of a model is reported once, and not for each request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foxapi_async._errors import parts_of

if TYPE_CHECKING:
    from foxapi_async.models._base import GenerationRequest

_MOST = 20
"""No more doubts than this are reported. So many doubts mean that the known facts do not fit these requests."""


class NewDoubts:
    """Remembers the doubts that were reported."""

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
