"""How many pixels a request asks for."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

# 1K, 2K and 4K are about 1, 4 and 16 megapixels, and 512 is half the edge of 1K (the Gemini page). These
# powers of two make a square of 1K exactly 1024 x 1024.
_EDGES = {"512": 512, "0.5K": 512, "1K": 1024, "2K": 2048, "4K": 4096}
_NAMED = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
_LARGEST_EDGE = 4096
_STEP = 8
# A limit for the memory. The steepest documented ratio is 8:1.
_STEEPEST = 20

Measure = Callable[[str], tuple[int, int] | None]


def pixel_size(aspect_ratio: str = "1:1", resolution: str = "1K") -> tuple[int, int]:
    """Width and height in pixels of a picture of this ratio and resolution.

    Both are multiples of 8. Of all pairs within eight percent of the nominal area, the one with the closest
    ratio is chosen.

    Args:
        aspect_ratio: Two numbers with a colon, such as "16:9" or "19.5:9".
        resolution: "512", "0.5K", "1K", "2K" or "4K".

    Raises:
        ValueError: One of them is not of that form, or the ratio is steeper than 20:1.
    """
    if resolution not in _EDGES:
        raise ValueError(f"resolution={resolution!r} is none of {', '.join(_EDGES)}")
    ratio = _parse_ratio(aspect_ratio)
    ideal = _EDGES[resolution] / math.sqrt(ratio)
    low, high = math.ceil(ideal * 0.96 / _STEP), math.floor(ideal * 1.04 / _STEP)
    heights = [step * _STEP for step in range(low, high + 1)] or [_STEP]

    def badness(height: int) -> tuple[float, float]:
        return abs(_on_grid(height * ratio) / height / ratio - 1), abs(height - ideal)

    height = min(heights, key=badness)
    return _on_grid(height * ratio), height


def asked_size(body: Mapping[str, Any], measure: Measure) -> tuple[int, int]:
    """The size that a request body asks for, in any form that the service accepts.

    Args:
        body: The request.
        measure: Returns the size of a reference picture by its URL, or None if the emulator does not have it.
    """
    for field in ("resolution", "image_size"):
        if (explicit := _explicit(body.get(field))) is not None:
            return explicit
    tiers = (body.get(field) for field in ("resolution", "quality"))
    resolution = next((tier for tier in tiers if isinstance(tier, str) and tier in _EDGES), "1K")
    ratio = body.get("aspect_ratio") or body.get("size")
    if ratio == "match_input_image":
        ratio = _matching(body.get("image_urls"), measure)
    try:
        return pixel_size(str(ratio), resolution)
    except ValueError:  # "auto", absent, or an unknown form
        return pixel_size("1:1", resolution)


def _matching(urls: Any, measure: Measure) -> str:
    size = measure(urls[0]) if urls else None
    if size is None:
        return "1:1"
    # No documented ratio is steeper than 8:1, so a copied ratio is limited to 8:1, too.
    width, height = size
    return f"{min(max(width / height, 1 / 8), 8):.6f}:1"


def _parse_ratio(text: str) -> float:
    match = re.fullmatch(r"(\d{1,5}(?:\.\d+)?):(\d{1,5}(?:\.\d+)?)", text)
    if match is None or not (width := float(match[1])) or not (height := float(match[2])):
        raise ValueError(f"aspect_ratio={text!r} is not two numbers with a colon, such as 16:9")
    if not 1 / _STEEPEST <= width / height <= _STEEPEST:
        raise ValueError(f"aspect_ratio={text!r} is steeper than {_STEEPEST}:1")
    return width / height


def _explicit(value: Mapping[str, Any] | int | str | None) -> tuple[int, int] | None:
    if isinstance(value, Mapping):
        return _bounded(value.get("width"), value.get("height"))
    if isinstance(value, int):
        return _bounded(value, value)
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{2,4})x(\d{2,4})", value)):
        return _bounded(int(match[1]), int(match[2]))
    return _NAMED.get(value) if isinstance(value, str) else None


def _bounded(width: Any, height: Any) -> tuple[int, int] | None:
    sane = all(isinstance(edge, int) and _STEP <= edge <= _LARGEST_EDGE for edge in (width, height))
    return (width, height) if sane else None


def _on_grid(length: float) -> int:
    return max(_STEP, round(length / _STEP) * _STEP)
