"""`parse_request` makes a request from a mapping: the reverse of `GenerationRequest.to_dict`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from foxapi_async._errors import FieldProblem, InvalidRequestError
from foxapi_async.models._base import GenerationRequest
from foxapi_async.models._catalogue import definition_of, is_known, names
from foxapi_async.models._catalogue_request import CatalogueRequest, TypedRequest
from foxapi_async.models._model import MODELS
from foxapi_async.models._raw import DEFAULT_PATH, RawRequest
from foxapi_async.models._values import listed, short_repr, shown

_CLOSE = 0.75
_NUMBERS = re.compile(r"\d+")

_EXAMPLES = (
    'give GrokImagineImage("a red fox") (from foxapi_async import GrokImagineImage), or a mapping such as '
    '{"model": "grok-imagine-image", "prompt": "a red fox"}'
)


def parse_request(mapping: Mapping[str, Any]) -> GenerationRequest:
    """The request from a JSON line, an HTTP body or a database row.

    `model` chooses the class. The catalogue checks a model without a class (see `foxapi models`). A model that is not
    in the catalogue gives a `RawRequest`, and so does any mapping with a "path". None means not set. In a mapping with
    a "path", None in other fields is sent as null, as with `RawRequest.params`. A string in "image_urls" is a URL, never
    a path. If a client sends the mapping, it decides the cost: first check its "model", and refuse a "path".

    Raises:
        InvalidRequestError: `.problems` has a line for each field that is wrong, missing or unknown.
    """
    if isinstance(mapping, type) and issubclass(mapping, GenerationRequest):
        raise InvalidRequestError(
            f'{mapping.__name__} is a class: make a request of it, {mapping.__name__}("a red fox")'
        )
    if not isinstance(mapping, Mapping):
        raise InvalidRequestError(f"{short_repr(mapping)} is not a request: {_EXAMPLES}")
    given = dict(mapping)
    model, path = given.pop("model", None), given.pop("path", None)
    if path is not None:
        return _make_raw(model, path, given)
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(model, str):
        if model in MODELS:
            return MODELS[model].from_fields(given)
        if is_known(model):
            return _of_catalogue(model, given)
    if isinstance(model, str) and (meant := near_miss(model)):
        path = DEFAULT_PATH if meant in MODELS else definition_of(meant).path
        words = (
            f'={shown(model)}: did you mean {shown(meant)}? With "path": "{path}" any model is sent unchecked'
        )
        values = {"value": shown(model), "meant": [meant]}
        problem = FieldProblem("model", words, type="unknown_model", values=values)
        raise InvalidRequestError(problems=[problem])
    return _make_raw(model, DEFAULT_PATH, given)


def _of_catalogue(model: str, given: Mapping[str, Any]) -> CatalogueRequest:
    """The request for a model of the catalogue: of its own class, if it has one."""
    name = definition_of(model).class_name
    if name is None:
        return CatalogueRequest(model, given)
    from foxapi_async.models import _generated  # noqa: PLC0415 - rarely needed

    cls: type[TypedRequest] = getattr(_generated, name)
    return cls.of(model, given)


@functools.lru_cache(256)
def near_miss(model: str) -> str | None:
    """The known model that was probably meant; None if there is none.

    An id that contains a known one (with a vendor before it, or a variant after it), or has other numbers, is
    another model.
    """
    import difflib  # noqa: PLC0415 - only an unknown model needs it

    known = [*MODELS, *names()]
    if any(name in model for name in known):
        return None
    numbers = _NUMBERS.findall(model)
    close = difflib.get_close_matches(model[:100], known, n=3, cutoff=_CLOSE)
    return next((name for name in close if _NUMBERS.findall(name) == numbers), None)


def _make_raw(model: Any, path: Any, given: dict[Any, Any]) -> RawRequest:
    prompt = given.pop("prompt", None)
    if model is not None:
        return RawRequest(model, prompt, params=given, path=path)
    problems: list[str] = [
        FieldProblem("model", f": missing; the known models are {listed(MODELS)}", type="missing")
    ]
    try:
        RawRequest("unknown", prompt, params=given, path=path)
    except InvalidRequestError as error:
        problems += error.problems
    raise InvalidRequestError(problems=problems)
