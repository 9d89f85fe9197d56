"""The bodies of requests in the OpenAPI document: JSON schemas from the models' definitions.

They only describe. `parse_request` checks a body, by the same definitions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Union

from pydantic import BaseModel, Field, GetJsonSchemaHandler, create_model

from foxapi_async.fastapi._allowed import AllowedModels
from foxapi_async.models import FieldSpec, ModelDefinition

Schema = dict[str, Any]

# The words of an id: "sora-2" becomes "Sora2".
_WORD = re.compile(r"[A-Za-z0-9]+")
# A character that is not a space in Python: a text with one is not blank. JSON Schema has the spaces of JavaScript, which
# are fewer.
_SEEN = r"[^\s\x1c-\x1f\x85]"
# The addresses that `image_fault` accepts.
_ADDRESS = (
    rf"^(?:[hH][tT][tT][pP][sS]?://[^\s\x1c-\x1f\x85/?#]{_SEEN}*$"
    rf"|[dD][aA][tT][aA]:[^\s\x1c-\x1f\x85,]{{0,1000}},{_SEEN})"
)


def body_type(allowed: AllowedModels) -> Any:
    """A type for the documentation of a body: one class for each set of fields, chosen by the model's id."""
    classes: dict[str, type[BaseModel]] = {}
    groups: dict[Any, list[ModelDefinition]] = {}
    for definition in allowed.known.values():
        key = (
            definition.fields,
            definition.is_whole,
            definition.exclude,
            definition.needs,
            definition.at_most,
        )
        groups.setdefault(key, []).append(definition)
    for first, *others in groups.values():
        names = (first.class_name or first.model, first.model)
        ids = tuple(definition.model for definition in (first, *others))
        _add(classes, names, ids, _schema_of(first, ids))
    for model, path in allowed.raw.items():
        _add(classes, (model,), (model,), _raw_schema(model, path))
    if len(classes) == 1:
        return next(iter(classes.values()))
    # `A | B | C` of classes that are made at run time.
    either: Any = Union[tuple(classes.values())]  # noqa: UP007
    return Annotated[either, Field(discriminator="model")]


class _Described(BaseModel):
    """A class that stands for a schema in the document."""

    schema_of_body: ClassVar[Schema]

    @classmethod
    def __get_pydantic_json_schema__(cls, _: Any, __: GetJsonSchemaHandler) -> Schema:
        return cls.schema_of_body


def _add(
    classes: dict[str, type[BaseModel]], names: tuple[str, ...], ids: tuple[str, ...], schema: Schema
) -> None:
    """Add a class, under the first of the names that is free, or else with a number."""
    wanted = [
        "".join(word[0].upper() + word[1:] for word in _WORD.findall(name)) or "Model" for name in names
    ]
    numbered = (f"{wanted[-1]}_{number}" for number in itertools.count(2))
    name = next(name for name in itertools.chain(wanted, numbered) if name not in classes)
    # A type checker cannot know a type that is made at run time.
    model: Any = Literal[ids]
    cls = create_model(name, __base__=_Described, model=(model, ...))
    cls.schema_of_body = {"title": name, "type": "object", **schema}
    classes[name] = cls


def _schema_of(definition: ModelDefinition, ids: tuple[str, ...]) -> Schema:
    # Facts that come only from the service's OpenAPI file refuse nothing.
    required = [spec.name for spec in definition.fields if spec.required and spec.level != "extract"]
    schema: Schema = {
        "required": ["model", *required],
        "properties": {
            "model": {"type": "string", "enum": list(ids)},
            **{spec.name: _field_schema(spec) for spec in definition.fields},
        },
        "additionalProperties": not definition.is_whole,
        "example": {"model": definition.model, **definition.example},
    }
    rules = list(_rules_of(definition))
    return {**schema, "allOf": rules} if rules else schema


def _raw_schema(model: str, path: str) -> Schema:
    """The server checks no other field of such a model."""
    return {
        "required": ["model"],
        "properties": {
            "model": {"type": "string", "enum": [model]},
            "prompt": {"type": ["string", "null"], "pattern": _SEEN},
            "path": {"type": ["string", "null"], "enum": [path, None]},
        },
        "additionalProperties": True,
        "example": {"model": model, "prompt": "a red fox in the snow"},
    }


def _given(name: str) -> Schema:
    """The field is given: null counts as left out."""
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _rules_of(definition: ModelDefinition) -> Iterator[Schema]:
    for one, other in definition.exclude:
        yield {"not": {"allOf": [_given(one), _given(other)]}}
    for name, value, other in definition.needs:
        yield {"if": {"required": [name], "properties": {name: {"const": value}}}, "then": _given(other)}
    for name, maximum, other in definition.at_most:
        more = {"required": [name], "properties": {name: {"type": "integer", "exclusiveMinimum": maximum}}}
        yield {"not": {"allOf": [more, _given(other)]}}


def _field_schema(spec: FieldSpec) -> Schema:
    words = (
        spec.help,
        f"Allowed: {spec.allowed_as_json}."
        if spec.kind in ("size", "any") or spec.level == "extract"
        else "",
        f"If left out: {spec.default}." if spec.default else "",
        "Leave it out unless you need it." if spec.advanced else "",
    )
    schema: Schema = {} if spec.level == "extract" else _KINDS[spec.kind](spec)
    if spec.level != "extract" and not spec.required:
        schema = _or_null(schema)
    return {**schema, "description": " ".join(filter(None, words))}


def _or_null(schema: Schema) -> Schema:
    """The schema, with null: it counts as left out."""
    more: Schema = {}
    if "enum" in schema:
        more["enum"] = [*schema["enum"], None]
    if "anyOf" in schema:
        more["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    if "type" in schema:
        more["type"] = [schema["type"], "null"]
    return {**schema, **more}


def _limited(schema: Schema, low: str, high: str, spec: FieldSpec) -> Schema:
    limits = {low: spec.minimum, high: spec.maximum}
    return {**schema, **{name: limit for name, limit in limits.items() if limit is not None}}


def _integer(spec: FieldSpec) -> Schema:
    choices = {"enum": list(spec.values)} if spec.values else {}
    return _limited({"type": "integer", **choices}, "minimum", "maximum", spec)


def _size(spec: FieldSpec) -> Schema:
    """The rule about ratio and area is only in the description, because JSON Schema cannot express it."""
    rule = spec.pixels
    side: Schema = {"type": "integer"}
    if rule is not None:
        side |= {"minimum": rule.sides[0], "maximum": rule.sides[1], "multipleOf": rule.multiple}
    pixels = {
        "type": "object",
        "required": ["width", "height"],
        "properties": {"width": side, "height": side},
        "additionalProperties": False,
    }
    return {"anyOf": [{"type": "string", "enum": list(spec.choices)}, pixels]}


def _list(items: Schema, spec: FieldSpec) -> Schema:
    return _limited({"type": "array", "items": items, "minItems": 1}, "minItems", "maxItems", spec)


def _files(spec: FieldSpec) -> Schema:
    return _list({"type": "string", "pattern": _ADDRESS}, spec)


_KINDS: Mapping[str, Callable[[FieldSpec], Schema]] = {
    "text": lambda spec: _limited({"type": "string", "pattern": _SEEN}, "minLength", "maxLength", spec),
    "choice": lambda spec: {"type": "string", "enum": list(spec.choices)},
    "integer": _integer,
    "number": lambda spec: _limited({"type": "number"}, "minimum", "maximum", spec),
    "flag": lambda _: {"type": "boolean"},
    "size": _size,
    "list": lambda spec: _list({"enum": list(spec.choices)} if spec.choices else {}, spec),
    "object": lambda _: {"type": "object"},
    "any": lambda spec: {"not": {"type": "null"}} if spec.required else {},
    "file": lambda _: {"type": "string", "pattern": _ADDRESS},
    "images": _files,
    "files": _files,
}
