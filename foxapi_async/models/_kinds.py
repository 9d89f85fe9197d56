"""The values that each kind of field accepts, and the words for them in a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeGuard

import attrs

from foxapi_async.models._values import FieldValue, image_fault, listed


class FieldLimits(Protocol):
    """What a field allows; see `FieldSpec`."""

    @property
    def choices(self) -> tuple[str, ...]: ...
    @property
    def values(self) -> tuple[int, ...]: ...
    @property
    def minimum(self) -> float | None: ...
    @property
    def maximum(self) -> float | None: ...
    @property
    def pixels(self) -> PixelRule | None: ...


def _pair(limits: Sequence[int]) -> tuple[int, int]:
    least, most = limits
    return least, most


@attrs.frozen(kw_only=True)
class PixelRule:
    """Which sizes in pixels a model makes.

    Attributes:
        sides: the shortest and the longest side.
        multiple: each side is a multiple of this.
        longest: the longer side is at most so many times the shorter one.
        area: the fewest and the most pixels in all.
    """

    sides: tuple[int, int] = attrs.field(converter=_pair)
    multiple: int
    longest: float
    area: tuple[int, int] = attrs.field(converter=_pair)

    def __str__(self) -> str:
        return (
            f"multiples of {self.multiple} from {self.sides[0]} to {self.sides[1]}, at most {self.longest:g}:1, "
            f"{self.area[0]:,} to {self.area[1]:,} in all"
        )

    def allows(self, width: int, height: int) -> bool:
        """Whether the model makes this size."""
        short, long = sorted((width, height))
        is_stepped = short % self.multiple == 0 and long % self.multiple == 0
        is_within = self.sides[0] <= short and long <= self.sides[1] and long <= self.longest * short
        return is_stepped and is_within and self.area[0] <= width * height <= self.area[1]


@attrs.frozen
class KindRule:
    """A kind of field.

    Attributes:
        words: the allowed values in words.
        accepts: whether a value is allowed. The value is never None.
    """

    words: Callable[[FieldLimits], str]
    accepts: Callable[[FieldLimits, FieldValue], bool]


def fits(spec: FieldLimits, size: float) -> bool:
    """Whether a number, or a length, is within the limits of a field."""
    return (spec.minimum is None or size >= spec.minimum) and (spec.maximum is None or size <= spec.maximum)


def _span(spec: FieldLimits) -> str:
    bounds = (("from", spec.minimum), ("to", spec.maximum))
    return "".join(f" {word} {bound}" for word, bound in bounds if bound is not None)


def _is_whole(value: object) -> TypeGuard[int]:
    """Python counts True as an integer; users do not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_size(spec: FieldLimits, value: FieldValue) -> bool:
    if not isinstance(value, Mapping):
        return isinstance(value, str) and value in spec.choices
    width, height = value.get("width"), value.get("height")
    if len(value) != 2 or not _is_whole(width) or not _is_whole(height):
        return False
    return spec.pixels is None or spec.pixels.allows(width, height)


def _is_list(spec: FieldLimits, value: FieldValue) -> bool:
    if not isinstance(value, list | tuple) or not value or not fits(spec, len(value)):
        return False
    return not spec.choices or all(item in spec.choices for item in value)


def _are_files(spec: FieldLimits, value: FieldValue) -> bool:
    if not isinstance(value, list | tuple) or not value or not fits(spec, len(value)):
        return False
    return not any(map(image_fault, value))


def _text_words(spec: FieldLimits) -> str:
    return "non-blank texts" + (f" up to {spec.maximum} characters" if spec.maximum else "")


def _size_words(spec: FieldLimits) -> str:
    rule = "" if spec.pixels is None else f" ({spec.pixels})"
    return f"{listed(spec.choices)}, an object with width and height in pixels{rule}"


def _list_words(spec: FieldLimits) -> str:
    items = f" of {listed(spec.choices)}" if spec.choices else ""
    return f"non-empty lists{items}" + (f", up to {spec.maximum} items" if spec.maximum else "")


def _files_words(spec: FieldLimits) -> str:
    return f"lists of {f'1 to {spec.maximum}' if spec.maximum else '1 or more'} URLs"


KINDS: Mapping[str, KindRule] = {
    "text": KindRule(
        _text_words,
        lambda spec, value: isinstance(value, str) and bool(value.strip()) and fits(spec, len(value)),
    ),
    "choice": KindRule(
        lambda spec: listed(spec.choices),
        lambda spec, value: isinstance(value, str) and value in spec.choices,
    ),
    "integer": KindRule(
        lambda spec: ", ".join(map(str, spec.values)) or f"whole numbers{_span(spec)}",
        lambda spec, value: (
            _is_whole(value) and fits(spec, value) and (not spec.values or value in spec.values)
        ),
    ),
    "number": KindRule(
        lambda spec: f"numbers{_span(spec)}",
        lambda spec, value: (isinstance(value, float) or _is_whole(value)) and fits(spec, value),
    ),
    "flag": KindRule(lambda _: "true or false", lambda _, value: isinstance(value, bool)),
    "size": KindRule(_size_words, _is_size),
    "list": KindRule(_list_words, _is_list),
    "object": KindRule(lambda _: "objects with named values", lambda _, value: isinstance(value, Mapping)),
    "any": KindRule(lambda _: "any values", lambda _, value: True),  # noqa: ARG005 - as the others
    "file": KindRule(lambda _: "a URL", lambda _, value: image_fault(value) is None),
    "images": KindRule(_files_words, _are_files),
    "files": KindRule(_files_words, _are_files),
}
