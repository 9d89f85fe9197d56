"""The composition of a picture, without pixels. Only the prompt decides it."""

import colorsys
import hashlib
import random
from typing import Literal

import attrs

Format = Literal["png", "jpg", "webp"]

Colour = tuple[int, int, int]


@attrs.frozen(kw_only=True)
class Picture:
    """Everything that decides the look of a picture."""

    prompt: str
    caption: str
    index: int
    width: int
    height: int
    format: Format
    edited: bool = False


@attrs.frozen
class Blob:
    """A disc: centre and radius as shares of width, height and the longer edge."""

    x: float
    y: float
    radius: float
    colour: Colour


@attrs.frozen
class Scene:
    """A composition without pixels, the same for every painter."""

    top: Colour
    bottom: Colour
    blobs: tuple[Blob, ...]


def compose(picture: Picture) -> Scene:
    """The composition for a prompt and an output index: always the same one."""
    digest = hashlib.sha256(picture.prompt.encode("utf-8", "surrogatepass")).digest()
    # Reproducible random numbers from the prompt. They protect no secret.
    chance = random.Random(digest + bytes([picture.index % 256]))  # noqa: S311
    # The golden angle keeps the hues of neighbouring outputs apart. An edited picture gets the opposite hue.
    hue = digest[0] / 256 + picture.index * 0.381966 + (0.5 if picture.edited else 0.0)
    blobs = (
        Blob(
            chance.random(),
            chance.uniform(0.05, 0.75),
            chance.uniform(0.05, 0.24),
            _colour(hue + chance.uniform(-0.09, 0.13), chance.uniform(0.3, 0.65), chance.uniform(0.7, 1.0)),
        )
        for _ in range(7)
    )
    return Scene(_colour(hue, 0.45, 0.92), _colour(hue + 0.12, 0.72, 0.42), tuple(blobs))


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)
