"""Grok Imagine: https://docs.foxapi.cc/pages/zh/api-manual/image-series/grok-imagine/grok-imagine-image."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from foxapi_async.models._fields import option
from foxapi_async.models._model import ModelRequest
from foxapi_async.models._values import ImageInput, as_images, short_repr

GrokAspectRatio = Literal[
    "2:1", "20:9", "19.5:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:19.5", "9:20", "1:2"
]
GrokOutputFormat = Literal["jpg", "jpeg", "png", "webp"]


@attrs.frozen
class GrokImagineImage(ModelRequest):
    """`grok-imagine-image`: text to image, and editing of up to three images.

    Args:
        prompt: what to generate, or how to edit the input images.
        num_outputs: how many images, 1 to 4; each is billed. The service makes 1 if it is left out.
        aspect_ratio: width to height, only without `image_urls`; "1:1" if left out.
        output_format: the file format; "jpeg" if left out. The service's page advises against giving it.
        image_urls: 1 to 3 input images, each a URL or a local file as a path. With them, the model edits these images.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    model: ClassVar[str] = "grok-imagine-image"
    # The page says about aspect_ratio: "for text-to-image only".
    exclude: ClassVar[tuple[tuple[str, str], ...]] = (("aspect_ratio", "image_urls"),)

    num_outputs: int | None = attrs.field(
        default=None,
        kw_only=True,
        metadata=option("How many images to make; each is billed.", minimum=1, maximum=4, default="1"),
    )
    aspect_ratio: GrokAspectRatio | None = attrs.field(
        default=None,
        kw_only=True,
        metadata=option("Width to height of the images; only without input images.", default="1:1"),
    )
    output_format: GrokOutputFormat | None = attrs.field(
        default=None,
        kw_only=True,
        metadata=option("The file format.", default="jpeg", advanced=True),
    )
    image_urls: tuple[ImageInput, ...] | None = attrs.field(
        default=None,
        kw_only=True,
        converter=as_images,
        repr=short_repr,
        metadata=option("The images to edit.", maximum=3),
    )
