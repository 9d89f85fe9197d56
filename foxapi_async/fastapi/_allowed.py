"""The models that a router takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from foxapi_async._errors import FieldProblem, InvalidRequestError
from foxapi_async.models import (
    GenerationRequest,
    ModelDefinition,
    RawRequest,
    find_models,
    model_definition,
    parse_request,
)
from foxapi_async.models._values import shown

ModelName = str | tuple[str, str]
"""A known model by its id, or any model by its id and its path."""


@attrs.frozen
class AllowedModels:
    """The models that a router takes.

    Attributes:
        known: by id, the definitions that check requests.
        raw: by id, the paths of the models whose requests are sent unchecked.
    """

    known: Mapping[str, ModelDefinition]
    raw: Mapping[str, str]

    @classmethod
    def of(cls, models: Sequence[ModelName] | None) -> AllowedModels:
        """These models; None for all known image models.

        Raises:
            InvalidRequestError: there is none, or one is named twice, or an id is not known, or a path is wrong.
        """
        if models is None:
            return cls({definition.model: definition for definition in find_models(returns="image")}, {})
        known: dict[str, ModelDefinition] = {}
        raw: dict[str, str] = {}
        for name in models:
            if isinstance(name, str):
                known[name] = model_definition(name)
            else:
                request = RawRequest(name[0], path=name[1])
                raw[request.model] = request.path
        if not models or len({*known, *raw}) < len(models):
            raise InvalidRequestError(f"models={shown(models)}: name one model or more, and each only once")
        return cls(known, raw)

    @property
    def make_images(self) -> bool:
        """Whether each model is known, and makes images."""
        return not self.raw and all(definition.returns == "image" for definition in self.known.values())

    def parse(self, body: Mapping[str, Any]) -> GenerationRequest:
        """The request from a client's JSON object.

        Raises:
            InvalidRequestError: the model is not one of these, the client chooses another path, or the request is
                wrong, as in `parse_request`.
        """
        model, path = body.get("model"), body.get("path")
        if not isinstance(model, str) or model not in {*self.known, *self.raw}:
            raise InvalidRequestError(problems=[self._refusal(model)])
        allowed = self.raw.get(model)
        if path not in (None, allowed):
            words = "leave it out" if allowed is None else f'give "{allowed}", or leave it out'
            raise InvalidRequestError(problems=[FieldProblem("path", f": the server chooses it; {words}")])
        return parse_request({**body, "path": allowed})

    def _refusal(self, model: object) -> FieldProblem:
        names = [*self.known, *self.raw]
        listed = f"the allowed models are {', '.join(names)}"
        if model is None:
            return FieldProblem("model", f": missing; {listed}", type="missing")
        from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

        close = get_close_matches(model[:100], names, n=1) if isinstance(model, str) else []
        meant = "".join(f"did you mean {name}? " for name in close)
        words = f"={shown(model)}: not allowed here; {meant}{listed}"
        values = {"value": shown(model), "meant": close}
        return FieldProblem("model", words, type="unknown_model", values=values)
