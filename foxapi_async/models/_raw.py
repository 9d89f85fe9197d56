"""`RawRequest`: any model on any generation endpoint, with any fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

import attrs

from foxapi_async._errors import FieldProblem, InvalidRequestError
from foxapi_async.models._base import GenerationRequest
from foxapi_async.models._json import copy_checked, copy_fields
from foxapi_async.models._values import NOT_UTF8, is_sendable, short_repr, shown

DEFAULT_PATH = "/v1/images/generations"

# Every documented submit path, from /v1/images/generations to /v1/run/generations. No host, dot, query or
# escape: a path from a database row must not lead to another address.
_PATH = re.compile(r"(/[A-Za-z0-9_-]+)+/generations")
_OWN = ("model", "prompt", "path")


@attrs.frozen
class RawRequest(GenerationRequest):
    """Any model on any generation endpoint. It sends all fields as given, also fields that typed classes do not know.

    Args:
        model: the model id.
        prompt: the prompt; left out for a model that takes no prompt.
        params: the other fields, as JSON values; copied. A None in it is sent as null, because you set it.
            A field such as "image_url", or a list such as "image_urls", may hold local files as paths; they are
            uploaded first.
        path: the endpoint, which ends in "/generations".

    Raises:
        InvalidRequestError: a value cannot be sent. The SDK does not check whether the service knows the fields.
    """

    model: str
    prompt: str | None = None
    params: Mapping[str, Any] = attrs.field(factory=dict[str, Any], kw_only=True, hash=False, repr=short_repr)
    path: str = attrs.field(default=DEFAULT_PATH, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse values that cannot be sent. Keep a copy of `params`, so that later changes by the caller
        have no effect.
        """
        problems: list[str] = []
        if not isinstance(self.model, str) or not self.model.strip() or not self.model.isprintable():
            text = f"={shown(self.model)}: must be a model id without control characters"
            problems.append(FieldProblem("model", text))
        if self.prompt is not None:
            problems += _prompt_problems(self.prompt)
        if not isinstance(self.path, str) or not _PATH.fullmatch(self.path):
            text = f'={shown(self.path)}: must be an endpoint such as "{DEFAULT_PATH}"'
            problems.append(FieldProblem("path", text))
        params = _copy_params(self.params, problems)
        if problems:
            raise InvalidRequestError(problems=problems)
        object.__setattr__(self, "params", params)

    def to_dict(self) -> dict[str, Any]:
        """The request as a mapping. Its key "path" marks it as raw for `parse_request`."""
        prompt = {} if self.prompt is None else {"prompt": self.prompt}
        return {"model": self.model, "path": self.path, **prompt, **copy_checked(self.params)}

    @property
    def expected(self) -> int:
        """How many results the request asks for; 1 if it does not say."""
        counts = (self.params.get(name) for name in ("num_outputs", "n"))
        return next((count for count in counts if isinstance(count, int) and count > 1), 1)

    def _with_fields(self, changes: dict[str, Any]) -> Self:
        return attrs.evolve(self, params={**self.params, **changes})


def _prompt_problems(prompt: object) -> list[str]:
    if not isinstance(prompt, str) or not prompt.strip():
        words = f"={shown(prompt)}: allowed values are non-blank texts, or leave it out"
        values = {"kind": "text", "value": shown(prompt)}
        return [FieldProblem("prompt", words, type="not_allowed", values=values)]
    return [] if is_sendable(prompt) else [FieldProblem("prompt", f"={shown(prompt)}: {NOT_UTF8}")]


def _copy_params(params: Mapping[Any, Any], problems: list[str]) -> dict[str, Any]:
    if not isinstance(params, Mapping):
        problems.append(
            FieldProblem("params", f"={short_repr(params)}: must be a mapping of field names to JSON values")
        )
        return {}
    problems += [
        FieldProblem("params", f"[{shown(key)}]: give it as the argument ", key)
        for key in _OWN
        if key in params
    ]
    return copy_fields(params, problems)
