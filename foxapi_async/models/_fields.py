"""The fields of a request: defined once, used to check, send, list and document them.

The values come from the annotation (a `Literal` lists the choices), so an editor, mypy and the check at run
time always agree. `option`, the field's attrs metadata, holds the facts that a type cannot express.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import attrs

from foxapi_async._errors import FieldProblem
from foxapi_async._hints import Hint
from foxapi_async.models._kinds import KINDS, PixelRule, fits
from foxapi_async.models._values import NOT_UTF8, FieldValue, image_fault, image_hint, is_sendable, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

FieldKind = Literal[
    "text", "choice", "integer", "number", "flag", "size", "images", "file", "files", "list", "object", "any"
]
Level = Literal["page", "text", "extract"]

_OPTION = "foxapi_async"
_LIMITS = {"kind", "choices", "values", "minimum", "maximum", "pixels", *attrs.fields_dict(PixelRule)}
_PLAIN_KINDS: dict[Any, FieldKind] = {str: "text", int: "integer", bool: "flag"}


def option(
    meaning: str,
    *,
    minimum: int | None = None,
    maximum: int | None = None,
    default: str | None = None,
    advanced: bool = False,
) -> dict[str, Any]:
    """The metadata of a field: `attrs.field(..., metadata=option("How many images", minimum=1))`.

    Args:
        meaning: one sentence for the command line and the documentation.
        minimum: the least value of an integer.
        maximum: the largest value of an integer, the most characters of a text, or the most images.
        default: the value that the service uses if the field is left out. Documentation only: it is never sent.
        advanced: whether the model's page says not to pass it unless necessary.
    """
    metadata = {
        "help": meaning,
        "minimum": minimum,
        "maximum": maximum,
        "default": default,
        "advanced": advanced,
    }
    return {_OPTION: metadata}


@attrs.frozen(kw_only=True)
class FieldSpec:
    """One field of a model, for the command line and the documentation.

    Attributes:
        name: the field's name, in Python and on the wire.
        kind: "text", "choice" (one of `choices`), "integer", "number", "flag" (a bool), "size" (one of `choices`, or a
            mapping with "width" and "height" in pixels), "images" (a list of input images), "file" (one input file),
            "files" (a list of them), "list", "object" (a mapping) or "any" (the type is not known).
        help: one sentence; empty if the meaning is not known.
        choices: the allowed texts of a "choice" or "size", or of the items of a "list", in the order of the page.
        values: the allowed numbers of an "integer"; empty for all.
        minimum: the least value of a number; None for no limit.
        maximum: the largest value of a number, the most items of a list, the most characters of a "text"; None for no
            limit.
        medium: what an input file holds: "image", "video", "audio", "archive" or "document"; None if not known.
        bytes: the most bytes of one input file; None for no limit.
        formats: the allowed formats of input files; empty for all.
        pixels: the rule for the mappings of a "size"; None if every mapping is allowed.
        default: the value that the service uses if the field is left out; None if undocumented. It is never sent.
        required: whether the field must be given.
        advanced: whether the page says not to pass it unless necessary.
        level: how sure this is: "page" (the service's own page), "text" (a summary of its pages) or "extract" (its
            OpenAPI file alone). A value that an "extract" does not allow is not refused: a doubt is logged.
    """

    name: str
    kind: FieldKind
    help: str = ""
    choices: tuple[str, ...] = ()
    values: tuple[int, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    medium: str | None = None
    bytes: int | None = None
    formats: tuple[str, ...] = ()
    pixels: PixelRule | None = None
    default: str | None = None
    required: bool = False
    advanced: bool = False
    level: Level = "page"

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> FieldSpec:
        """A field, from its entry in the file of the catalogue."""
        items: Mapping[str, FieldValue] = entry
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in items.items()
        }
        if "pixels" in given:
            given["pixels"] = PixelRule(**given["pixels"])
        return cls(**given)

    @property
    def allowed(self) -> str:
        """The allowed values in words, such as "whole numbers from 1 to 4"."""
        local = {"file": " or a local file", "images": " or local files", "files": " or local files"}
        return self.allowed_as_json + local.get(self.kind, "")

    @property
    def allowed_as_json(self) -> str:
        """The same for a request that comes as JSON, which cannot hold a local file."""
        return KINDS[self.kind].words(self)

    def problems(self, value: Any) -> Iterator[str]:
        """One line for each fault of the value; None means that it is not given."""
        if value is None:
            if self.required:
                yield FieldProblem(
                    self.name, f": missing; {self._allowed_values}", type="missing", values=self._limits
                )
        elif self.kind in ("images", "files"):
            files: FieldValue = value
            yield from self._file_problems(tuple(files) if isinstance(files, list) else value)
        elif self.kind == "file":
            yield from self._address_problems("", value)
        elif not KINDS[self.kind].accepts(self, value):
            # A choice that is not known may be one that the service has added since.
            is_newer = self.kind == "choice" and isinstance(value, str) and bool(value.strip())
            yield self._not_allowed(value, Hint.SEND_RAW if is_newer else None)
        elif isinstance(value, str) and not is_sendable(value):
            yield FieldProblem(
                self.name, f"={shown(value)}: {NOT_UTF8}", type="not_utf8", values={"value": shown(value)}
            )

    def _not_allowed(self, value: FieldValue, hint: Hint | None = None) -> FieldProblem:
        values = {**self._limits, "value": shown(value)}
        if self.kind == "text" and isinstance(value, str) and value.strip():
            words = f"={shown(value)}: {len(value)} characters; {self._allowed_values}"
            return FieldProblem(self.name, words, type="too_long", values={**values, "length": len(value)})
        words = f"={shown(value)}: {self._allowed_values}"
        return FieldProblem(self.name, words, type="not_allowed", values=values, hint=hint)

    @property
    def _limits(self) -> dict[str, Any]:
        """The allowed values for a program: the kind of the field, and those of its limits that are set."""
        return attrs.asdict(
            self, filter=lambda attribute, value: attribute.name in _LIMITS and value != attribute.default
        )

    @property
    def _allowed_values(self) -> str:
        return f"allowed values are {self.allowed_as_json}{'' if self.required else ', or leave it out'}"

    def _file_problems(self, value: tuple[object, ...] | str | os.PathLike[str]) -> Iterator[str]:
        if isinstance(value, str | os.PathLike):
            fault = image_fault(value)
            more, hint = (f"; {fault}", image_hint(value)) if fault else ("", None)
            words = f"={shown(value)}: put it in a list, even a single one{more}"
            yield FieldProblem(self.name, words, type="not_a_list", values={"value": shown(value)}, hint=hint)
        elif not isinstance(value, tuple) or not value:
            yield self._not_allowed(value)
        else:
            if not fits(self, len(value)):
                words = f": {len(value)} images given; {self._allowed_values}"
                values = {**self._limits, "count": len(value)}
                yield FieldProblem(self.name, words, type="wrong_count", values=values)
            for place, image in enumerate(value):
                yield from self._address_problems(f"[{place}]", image)

    def _address_problems(self, place: str, value: object) -> Iterator[str]:
        """The fault of one input file, if it has one. `place` leads to it."""
        if fault := image_fault(value):
            words = f"{place}={shown(value)}: {fault}"
            hint = image_hint(value)
            yield FieldProblem(self.name, words, type="not_a_url", values={"value": shown(value)}, hint=hint)


def read_specs(cls: type[attrs.AttrsInstance]) -> tuple[FieldSpec, ...]:
    """The fields of an attrs class, from its annotations and the `option` of each."""
    hints = get_type_hints(cls)
    return tuple(_read_spec(field, hints[field.name]) for field in attrs.fields(cls))


def _read_spec(field: attrs.Attribute[Any], hint: Any) -> FieldSpec:
    bare = next((part for part in get_args(hint) if NoneType in get_args(hint)), hint)  # `X` of `X | None`
    choices = get_args(bare) if get_origin(bare) is Literal else ()
    kind = "choice" if choices else "images" if get_origin(bare) is tuple else _PLAIN_KINDS[bare]
    needed = field.default is attrs.NOTHING
    medium = "image" if kind == "images" else None
    return FieldSpec(
        name=field.name,
        kind=kind,
        choices=choices,
        medium=medium,
        required=needed,
        **field.metadata[_OPTION],
    )
