"""A request for a model of the catalogue."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Self

import attrs

from foxapi_async._errors import InvalidRequestError
from foxapi_async.models._base import GenerationRequest
from foxapi_async.models._catalogue import definition_of
from foxapi_async.models._fields import FieldSpec
from foxapi_async.models._json import copy_checked, copy_fields
from foxapi_async.models._model import hint_of, suggesting
from foxapi_async.models._values import short_repr


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
    fields: Mapping[str, Any] = attrs.field(hash=False, repr=short_repr)
    doubts: tuple[str, ...] = attrs.field(init=False, eq=False, repr=False, default=())

    def __attrs_post_init__(self) -> None:
        """Check the fields, and keep a copy of them."""
        problems: list[str] = []
        fields = copy_fields(self.fields, problems)
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

    def identity(self) -> dict[str, Any]:
        """The same as that of a `RawRequest` with this path and these fields, because an older version, which does not know
        the model, makes a `RawRequest`.
        """
        return {"path": self.path, **self.to_dict()}

    def field(self, name: str) -> FieldSpec | None:
        """What is known about a field of this request; None if nothing is known."""
        return definition_of(self.model).field(name)

    @classmethod
    def of(cls, model: str, fields: Mapping[str, Any]) -> Self:
        """The request for this model with these fields."""
        request = cls.__new__(cls)
        CatalogueRequest.__init__(request, model, fields)
        return request

    def _with_fields(self, changes: dict[str, Any]) -> Self:
        return self.of(self.model, {**self.fields, **changes})


class TypedRequest(CatalogueRequest):
    """The base of the generated classes: a request whose fields are arguments, and attributes."""

    def __init_subclass__(cls) -> None:
        """Let the error for an unknown argument name the right argument."""
        _, *names = inspect.signature(cls.__init__).parameters
        cls.__init__ = suggesting(cls, cls.__init__, lambda: names, cls.__name__)  # type: ignore[method-assign]

    def __init__(self, model: str, /, **fields: Any) -> None:
        super().__init__(model, {name: value for name, value in fields.items() if value is not None})

    def __getattr__(self, name: str) -> Any:
        """The value of a field; None if it was not set."""
        # An object that is being copied has no model yet.
        if name in ("model", "fields", "doubts") or definition_of(self.model).field(name) is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.fields.get(name)

    def __repr__(self) -> str:
        has_model = "model" in inspect.signature(type(self).__init__).parameters
        given = {**({"model": self.model} if has_model else {}), **self.fields}
        return f"{type(self).__name__}({', '.join(f'{name}={short_repr(value)}' for name, value in given.items())})"
