"""The fields of a request: defined once, used to check, send, list and document them.

The values come from the annotation (a `Literal` lists the choices), so an editor, mypy and the check at run
time always agree. `option`, the field's attrs metadata, holds the facts that a type cannot express.
"""

from __future__ import annotations

import os
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

import attrs

from foxapi_async._errors import FieldProblem
from foxapi_async._hints import Hint
from foxapi_async.models._values import NOT_UTF8, image_fault, image_hint, is_sendable, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

FieldKind = Literal["text", "choice", "integer", "flag", "images"]

_OPTION = "foxapi_async"
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
        kind: "text", "choice" (one of `choices`), "integer", "flag" (a bool) or "images" (a list).
        help: one sentence.
        choices: the allowed texts of a "choice", in the order of the page; else empty.
        minimum: the least value of an "integer"; None for no limit.
        maximum: the largest value of an "integer", the most items of "images", the most characters of a
            "text"; None for no limit.
        default: the value that the service uses if the field is left out; None if undocumented. It is never sent.
        required: whether the field must be given.
        advanced: whether the page says not to pass it unless necessary.
    """

    name: str
    kind: FieldKind
    help: str = ""
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    default: str | None = None
    required: bool = False
    advanced: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words, such as "whole numbers from 1 to 4"."""
        match self.kind:
            case "text":
                return "non-blank texts" + (f" up to {self.maximum} characters" if self.maximum else "")
            case "choice":
                return ", ".join(map(repr, self.choices))
            case "integer":
                return "whole numbers" + _span(self.minimum, self.maximum)
            case "flag":
                return "True, False"
            case _:
                count = f"1 to {self.maximum}" if self.maximum else "1 or more"
                return f"lists of {count} URLs or local files"

    def problems(self, value: Any) -> Iterator[str]:
        """One line for each fault of the value; None means that it is not given."""
        if value is None:
            if self.required:
                yield FieldProblem(self.name, f": missing; {self._allowed_values}")
        elif self.kind == "images":
            yield from self._image_problems(value)
        elif not self._is_valid(value):
            # A choice that is not known may be one that the service has added since.
            is_newer = self.kind == "choice" and isinstance(value, str) and bool(value.strip())
            hint = Hint.SEND_RAW if is_newer else None
            yield FieldProblem(self.name, f"={shown(value)}: {self._allowed_values}", hint=hint)
        elif isinstance(value, str) and not is_sendable(value):
            yield FieldProblem(self.name, f"={shown(value)}: {NOT_UTF8}")

    @property
    def _allowed_values(self) -> str:
        return f"allowed values are {self.allowed}{'' if self.required else ', or leave it out'}"

    def _is_valid(self, value: object) -> bool:
        match self.kind:
            case "text":
                return isinstance(value, str) and bool(value.strip()) and self._fits(len(value))
            case "choice":
                return isinstance(value, str) and value in self.choices
            case "integer":  # Python counts True as an integer; users do not
                return isinstance(value, int) and not isinstance(value, bool) and self._fits(value)
            case _:
                return isinstance(value, bool)

    def _fits(self, size: int) -> bool:
        too_small = self.minimum is not None and size < self.minimum
        return not too_small and (self.maximum is None or size <= self.maximum)

    def _image_problems(self, value: tuple[object, ...] | str | os.PathLike[str]) -> Iterator[str]:
        if isinstance(value, str | os.PathLike):
            fault = image_fault(value)
            more, hint = (f"; {fault}", image_hint(value)) if fault else ("", None)
            yield FieldProblem(
                self.name, f"={shown(value)}: put it in a list, even a single one{more}", hint=hint
            )
        elif not isinstance(value, tuple) or not value:
            yield FieldProblem(self.name, f"={shown(value)}: {self._allowed_values}")
        else:
            if not self._fits(len(value)):
                yield FieldProblem(self.name, f": {len(value)} images given; {self._allowed_values}")
            for place, image in enumerate(value):
                if fault := image_fault(image):
                    yield FieldProblem(
                        self.name, f"[{place}]={shown(image)}: {fault}", hint=image_hint(image)
                    )


def read_specs(cls: type[attrs.AttrsInstance]) -> tuple[FieldSpec, ...]:
    """The fields of an attrs class, from its annotations and the `option` of each."""
    hints = get_type_hints(cls)
    return tuple(_read_spec(field, hints[field.name]) for field in attrs.fields(cls))


def _read_spec(field: attrs.Attribute[Any], hint: Any) -> FieldSpec:
    bare = next((part for part in get_args(hint) if NoneType in get_args(hint)), hint)  # `X` of `X | None`
    choices = get_args(bare) if get_origin(bare) is Literal else ()
    kind = "choice" if choices else "images" if get_origin(bare) is tuple else _PLAIN_KINDS[bare]
    needed = field.default is attrs.NOTHING
    return FieldSpec(name=field.name, kind=kind, choices=choices, required=needed, **field.metadata[_OPTION])


def _span(minimum: int | None, maximum: int | None) -> str:
    bounds = (("from", minimum), ("to", maximum))
    return "".join(f" {word} {bound}" for word, bound in bounds if bound is not None)
