"""The catalogue: all models that have no class of their own, with their fields, as the service's pages describe them.

It is read at its first use, from a file that `docs/catalogue.py` makes.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import attrs

from foxapi_async._errors import FieldProblem
from foxapi_async.models._fields import FieldSpec, Level
from foxapi_async.models._kinds import KINDS
from foxapi_async.models._values import shown

Medium = Literal["image", "video", "audio", "document", "text", "profile", "character", "voice"]
MEDIA: tuple[Medium, ...] = get_args(Medium)
"""What a model may make."""


@attrs.frozen(kw_only=True)
class ModelDefinition:
    """A model: its endpoint, its fields and the rules between them.

    Attributes:
        model: its id.
        path: its endpoint.
        returns: what it makes: "image", "video", "audio", "document", "text", or a "profile", "character" or "voice"
            for later requests.
        level: how sure the facts are: "page", "text" or "extract"; see `FieldSpec.level`.
        source: where the facts are from.
        class_name: its class in Python, of `foxapi_async.models`; None if it has none.
        is_whole: whether it has no other fields than these.
        fields: its fields, the required ones first.
        exclude: pairs of fields of which only one may be given.
        needs: values that need another field: a field, its value, and the other field.
        at_most: limits that hold if another field is given: a field, its maximum, and the other field.
        example: the fields of a request that it accepts.
    """

    model: str
    path: str
    returns: Medium
    level: Level
    source: str
    class_name: str | None = None
    is_whole: bool = False
    fields: tuple[FieldSpec, ...]
    exclude: tuple[tuple[str, str], ...] = ()
    needs: tuple[tuple[str, str, str], ...] = ()
    at_most: tuple[tuple[str, int, str], ...] = ()
    example: Mapping[str, Any]
    _specs: dict[str, FieldSpec] = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(lambda self: {spec.name: spec for spec in self.fields}, takes_self=True),
    )
    _required: frozenset[str] = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(
            lambda self: frozenset(spec.name for spec in self.fields if spec.required), takes_self=True
        ),
    )

    def check(self, given: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """The faults of a request with these fields, and its doubts. A doubt is a fault if a fact that is not sure is true."""
        faults: list[str] = []
        doubts: list[str] = []
        for name in self._required - given.keys():
            spec = self._specs[name]
            (doubts if spec.level == "extract" else faults).extend(spec.problems(None))
        for name, value in given.items():
            known = self._specs.get(name)
            if known is None:
                (faults if self.is_whole else doubts).append(_unknown(self.model, name))
            elif not KINDS[known.kind].accepts(known, value):
                (doubts if known.level == "extract" else faults).extend(known.problems(value))
        faults += self._broken_rules(given)
        return faults, doubts

    def field(self, name: str) -> FieldSpec | None:
        """The field of this name; None if there is none."""
        return self._specs.get(name)

    def _broken_rules(self, given: Mapping[str, Any]) -> Iterator[FieldProblem]:
        for one, other in self.exclude:
            if one in given and other in given:
                parts = (one, ": only allowed without ", other, "; leave out one of the two")
                yield FieldProblem(*parts, type="excluded", values={"other": other})
        for name, maximum, other in self.at_most:
            count = given.get(name)
            if other in given and isinstance(count, int) and count > maximum:
                words = f"={shown(count)}: at most {maximum} with "
                values = {"value": shown(count), "maximum": maximum, "other": other}
                yield FieldProblem(name, words, other, type="at_most", values=values)


# A file may have the same wrong field in each of its lines.
@functools.lru_cache(1024)
def _unknown(model: str, name: str) -> FieldProblem:
    """The problem of a field that a model of the catalogue does not have."""
    from foxapi_async.models._model import unknown_field  # noqa: PLC0415 - only a mistake needs it

    problem = unknown_field(name, [spec.name for spec in definition_of(model).fields], model)
    others = [known.model for known in definitions() if known.level != "extract" and known.field(name)]
    if not others:
        return problem
    more = f", and {len(others) - 3} more" if len(others) > 3 else ""
    return FieldProblem(
        *problem.parts,
        "",
        f"; models that have it: {', '.join(others[:3])}{more}",
        type=problem.type,
        values=problem.values,
        hint=problem.hint,
    )


@functools.cache
def _entries() -> Mapping[str, dict[str, Any]]:
    text = Path(__file__).with_name("_generated.json").read_text("utf-8")
    return MappingProxyType({model: entry for entry in json.loads(text) for model in entry["ids"]})


def names() -> tuple[str, ...]:
    """The ids of all models of the catalogue."""
    return tuple(_entries())


def is_known(model: str) -> bool:
    """Whether the catalogue has a model with this id."""
    return model in _entries()


@functools.cache
def definition_of(model: str) -> ModelDefinition:
    """The definition of a model of the catalogue."""
    entry = _entries()[model]
    rules = entry.get("rules", {})
    return ModelDefinition(
        model=model,
        path=entry["path"],
        returns=entry["returns"],
        level=entry["level"],
        source=entry["source"],
        class_name=entry.get("class"),
        is_whole=entry.get("whole", False),
        fields=tuple(FieldSpec.read(field) for field in entry["fields"]),
        exclude=tuple((one, other) for one, other in rules.get("exclude", ())),
        at_most=tuple((rule["field"], rule["maximum"], rule["with"]) for rule in rules.get("at_most", ())),
        example=entry["example"],
    )


def definitions() -> Iterator[ModelDefinition]:
    """All models of the catalogue."""
    return map(definition_of, _entries())
