"""The fields that ask for a size: each model has its own names and values for it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from foxapi_async._errors import InvalidRequestError
from foxapi_async.models._catalogue import ModelDefinition
from foxapi_async.models._discovery import model_definition
from foxapi_async.models._fields import FieldSpec
from foxapi_async.models._values import shown

_RATIO = re.compile(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)")
_PIXELS = re.compile(r"(\d+)x(\d+)")
# In megapixels, as the pages say it: 512 and 0.5K are half as wide and high as 1K; 720p is 1280 by 720.
_TIERS = {
    "512": 0.25, "0.5K": 0.25, "1K": 1.0, "2K": 4.0, "4K": 16.0,
    "480p": 0.41, "540p": 0.52, "720p": 0.92, "1080p": 2.07, "4k": 8.29,
}  # fmt: skip
_STEP = 16
"""Sides in pixels are multiples of this if the model says nothing: image codecs work in blocks of 16."""


def size_fields(model: str, ratio: str, megapixels: float | None = None) -> dict[str, Any]:
    """The fields that ask a model for a size, such as `size_fields("gpt-image-2", "16:9", 2)`.

    The ratio is exact, except that sides in pixels are rounded to what the model takes. The number of pixels is the
    nearest that the model makes.

    Args:
        model: a known model.
        ratio: width to height, such as "16:9".
        megapixels: about how many millions of pixels; None lets the model choose, if it can.

    Raises:
        InvalidRequestError: the model is not known, or cannot make this.
    """
    definition = model_definition(model)
    found = _RATIO.fullmatch(ratio)
    width_part, height_part = map(float, found.groups()) if found else (0.0, 0.0)
    if not width_part or not height_part:
        raise InvalidRequestError(f"ratio={shown(ratio)}: give width to height, such as 16:9")
    if megapixels is not None and not (0 < megapixels < math.inf):
        raise InvalidRequestError(f"megapixels={shown(megapixels)}: give a number above zero")
    wanted = width_part / height_part
    pixels = _pixel_field(definition)
    if pixels is not None:
        return {pixels.name: _in_pixels(definition, pixels, wanted, megapixels)}
    by_ratio = next((spec for spec in definition.fields if _has_ratios(spec)), None)
    if by_ratio is None:
        raise InvalidRequestError(f"{model} has no field for a ratio")
    chosen = [choice for choice in by_ratio.choices if _same(_ratio_of(choice), wanted)]
    if not chosen:
        ratios = ", ".join(choice for choice in by_ratio.choices if _ratio_of(choice))
        raise InvalidRequestError(f"ratio={shown(ratio)}: {model} makes {ratios}")
    return {by_ratio.name: chosen[0], **_tier(definition, megapixels)}


def _pixel_field(definition: ModelDefinition) -> FieldSpec | None:
    """The field that takes a size in pixels."""
    for spec in definition.fields:
        if spec.kind == "size" or (spec.name == "image_size" and spec.kind == "integer"):
            return spec
        if spec.kind == "choice" and spec.choices and all(map(_PIXELS.fullmatch, spec.choices)):
            return spec
    return None


def _has_ratios(spec: FieldSpec) -> bool:
    return spec.name in ("aspect_ratio", "size") and any(map(_ratio_of, spec.choices))


def _ratio_of(text: str) -> float | None:
    found = _RATIO.fullmatch(text) or _PIXELS.fullmatch(text)
    return float(found[1]) / float(found[2]) if found else None


def _same(one: float | None, other: float) -> bool:
    return one is not None and math.isclose(one, other, rel_tol=0.005)


def _nearest(sizes: Iterable[tuple[float, Any]], megapixels: float) -> Any:
    return min(sizes, key=lambda size: abs(math.log(size[0] / megapixels)))[1]


def _tier(definition: ModelDefinition, megapixels: float | None) -> dict[str, Any]:
    """The field for the number of pixels, beside the one for the ratio."""
    if megapixels is None:
        return {}
    for spec in definition.fields:
        tiers = [(_TIERS[choice], choice) for choice in spec.choices if choice in _TIERS]
        if tiers:
            return {spec.name: _nearest(tiers, megapixels)}
    raise InvalidRequestError(
        f"megapixels={shown(megapixels)}: {definition.model} has no field for it; leave it out"
    )


def _in_pixels(definition: ModelDefinition, spec: FieldSpec, ratio: float, megapixels: float | None) -> Any:
    """The value of a field that takes a size in pixels.

    It is a preset of this ratio if the field takes only presets, or if no number of pixels is wanted. Else it is the two
    sides, or the one side of a square.
    """
    amount = 1.0 if megapixels is None else megapixels
    if spec.kind == "integer":
        if not _same(ratio, 1.0):
            raise InvalidRequestError(f"{definition.model} makes squares only: give the ratio 1:1")
        return _stepped(math.sqrt(amount * 1e6), 1)
    presets = [
        (float(found[1]) * float(found[2]) / 1e6, choice)
        for choice in spec.choices
        if (found := _PIXELS.fullmatch(choice)) and _same(_ratio_of(choice), ratio)
    ]
    if presets and (spec.kind == "choice" or megapixels is None):
        return _nearest(presets, amount)
    if spec.kind == "choice":
        raise InvalidRequestError(
            f"{definition.model} makes {', '.join(spec.choices)}, and no size of this ratio"
        )
    return _sides(definition, spec, ratio, amount)


def _sides(definition: ModelDefinition, spec: FieldSpec, ratio: float, megapixels: float) -> dict[str, int]:
    rule = spec.pixels
    step = _STEP if rule is None else rule.multiple
    height = math.sqrt(megapixels * 1e6 / ratio)
    if rule is not None:
        least, most = (math.sqrt(limit / ratio) for limit in rule.area)
        (short, long), longer = rule.sides, max(ratio, 1.0)
        shorter = min(ratio, 1.0)
        height = min(max(height, least, short / shorter), most, long / longer)
    # Rounding may pass a limit by a step, so the sizes next to it are tried too.
    heights = [_stepped(height, step) + shift * step for shift in (0, 1, -1, 2, -2)]
    for side in heights:
        width = _stepped(side * ratio, step)
        if rule is None or rule.allows(width, side):
            return {"width": width, "height": side}
    raise InvalidRequestError(f"{definition.model} does not make this size: {spec.name} takes {spec.pixels}")


def _stepped(side: float, step: int) -> int:
    return max(step, round(side / step) * step)
