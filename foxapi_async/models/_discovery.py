"""Finds models: those with a class in Python, and those that only the catalogue has."""

from __future__ import annotations

from collections.abc import Iterator

from foxapi_async._errors import InvalidRequestError
from foxapi_async.models._catalogue import (
    Medium,
    ModelDefinition,
    definition_of,
    definitions,
    is_known,
    names,
)
from foxapi_async.models._model import MODELS, ModelRequest
from foxapi_async.models._values import shown


def find_models(*, returns: Medium | None = None, search: str | None = None) -> tuple[ModelDefinition, ...]:
    """The known models, those with a class first. The service may have more.

    Args:
        returns: only models that make this kind of result, such as "image" or "video".
        search: only models that have all these words in their id or in their fields.
    """
    words = (search or "").casefold().split()
    return tuple(
        definition
        for definition in _all()
        if returns in (None, definition.returns) and all(word in _text_of(definition) for word in words)
    )


def model_definition(model: str) -> ModelDefinition:
    """The definition of a known model.

    Raises:
        InvalidRequestError: no known model has this id.
    """
    if model in MODELS:
        return _of_class(MODELS[model])
    if is_known(model):
        return definition_of(model)
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

    close = get_close_matches(model[:100], [*MODELS, *names()], n=3)
    advice = f"did you mean {' or '.join(close)}?" if close else "`foxapi models` lists the known ones"
    raise InvalidRequestError(f"{shown(model)} is not a known model: {advice}")


def _all() -> Iterator[ModelDefinition]:
    yield from map(_of_class, MODELS.values())
    yield from definitions()


def _of_class(cls: type[ModelRequest]) -> ModelDefinition:
    return ModelDefinition(
        model=str(cls.model),
        path=cls.path,
        returns="image",
        level="page",
        source=f"the service's page, see {cls.__name__}",
        class_name=cls.__name__,
        is_whole=True,
        fields=cls.fields(),
        exclude=cls.exclude,
        needs=cls.needs,
        example={"prompt": "a red fox in the snow"},
    )


def _text_of(definition: ModelDefinition) -> str:
    fields = (f"{spec.name} {spec.help}" for spec in definition.fields)
    return " ".join((definition.model, definition.path, *fields)).casefold()
