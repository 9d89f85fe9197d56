"""A request for a model of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import attrs

from foxapi_async._errors import InvalidRequestError
from foxapi_async.models._base import GenerationRequest
from foxapi_async.models._catalogue import definition_of
from foxapi_async.models._fields import FieldSpec
from foxapi_async.models._json import copy_checked, copy_fields
from foxapi_async.models._model import hint_of
from foxapi_async.models._values import shown


@attrs.frozen
class CatalogueRequest(GenerationRequest):
    """A request for a model that has no class, checked by the catalogue. `parse_request` makes it from a mapping.

    Args:
        model: the model id.
        fields: its fields; copied. A local file is a path.

    Raises:
        InvalidRequestError: `.problems` has a line for each field that is wrong.
    """

    model: str
    fields: Mapping[str, Any] = attrs.field(hash=False, repr=shown)
    doubts: tuple[str, ...] = attrs.field(init=False, eq=False, repr=False, default=())

    def __attrs_post_init__(self) -> None:
        """Check the fields, and keep a copy of them."""
        problems: list[str] = []
        fields = copy_fields(self.fields, "", problems)
        faults, doubts = definition_of(self.model).check(fields)
        problems += faults
        if problems:
            raise InvalidRequestError(problems=problems, hint=hint_of(problems))
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "doubts", tuple(doubts))

    @property
    def path(self) -> str:
        """The endpoint of the model."""
        return definition_of(self.model).path

    @property
    def prompt(self) -> str | None:
        """The prompt; None for a model that takes none."""
        prompt = self.fields.get("prompt")
        return prompt if isinstance(prompt, str) else None

    @property
    def expected(self) -> int:
        """How many results the request asks for; 1 if it does not say."""
        count = self.fields.get("num_outputs")
        return count if isinstance(count, int) and count > 1 else 1

    def to_dict(self) -> dict[str, Any]:
        """The request as a mapping."""
        return {"model": self.model, **copy_checked(self.fields)}

    def field(self, name: str) -> FieldSpec | None:
        """What is known about a field of this request; None if nothing is."""
        return definition_of(self.model).field(name)

    def _with_fields(self, changes: dict[str, Any]) -> Self:
        return attrs.evolve(self, fields={**self.fields, **changes})
