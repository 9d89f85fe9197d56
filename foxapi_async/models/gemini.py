"""Nano Banana: https://docs.foxapi.cc/pages/en/api-manual/image-series/gemini/gemini-3-pro-image-preview.

One page describes two models, which differ in ratios, resolutions and `image_search`. It gives no maximum
number of input images, so the SDK enforces none. The limit of 14 in some clients is their own.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs

from foxapi_async.models._fields import option
from foxapi_async.models._model import ModelRequest
from foxapi_async.models._values import ImageInput, as_images, short_repr

Gemini3ProAspectRatio = Literal[
    "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9", "match_input_image"
]
Gemini3ProResolution = Literal["1K", "2K", "4K"]
Gemini31FlashAspectRatio = Literal[
    "1:1",
    "1:4",
    "1:8",
    "2:3",
    "3:2",
    "3:4",
    "4:1",
    "4:3",
    "4:5",
    "5:4",
    "8:1",
    "9:16",
    "16:9",
    "21:9",
    "match_input_image",
]
Gemini31FlashResolution = Literal["512", "0.5K", "1K", "2K", "4K"]
# The page calls these the common values. It names no others.
GeminiOutputFormat = Literal["jpg", "png", "webp"]

# The page says: "the output will try to match the input image's aspect ratio". So an input image is needed.
_MATCH_NEEDS_IMAGES = (("aspect_ratio", "match_input_image", "image_urls"),)

_RATIO = option(
    "Width to height of the image; match_input_image uses the ratio of the input image.", default="1:1"
)
_RESOLUTION = option("The size: 1K is about 1 megapixel, 2K 4, 4K 16.", default="1K")
_SMALL_RESOLUTION = option(
    "The size: 512 and 0.5K are half-size, 1K about 1 megapixel, 2K 4, 4K 16.", default="1K"
)
_IMAGES = option("Reference images, or images to edit.")
_FORMAT = option("The file format.", advanced=True)
_GOOGLE_SEARCH = option("Search the web for current facts.", advanced=True)
_IMAGE_SEARCH = option("Search for images as an aid.", advanced=True)


@attrs.frozen
class Gemini3ProImage(ModelRequest):
    """`gemini-3-pro-image-preview` (Nano Banana Pro): text to image and image editing, one image each.

    Args:
        prompt: what to generate, or how to edit the input images.
        aspect_ratio: width to height; "1:1" if left out. "match_input_image" needs `image_urls`.
        resolution: about 1, 4 or 16 megapixels as "1K", "2K" or "4K"; "1K" if left out.
        image_urls: input images, each a URL or a local file as a path. With them, the model edits these images.
        output_format: the file format. The page advises against passing it.
        google_search: search the web for current facts. The page advises against passing it.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    model: ClassVar[str] = "gemini-3-pro-image-preview"
    needs: ClassVar[tuple[tuple[str, str, str], ...]] = _MATCH_NEEDS_IMAGES

    aspect_ratio: Gemini3ProAspectRatio | None = attrs.field(default=None, kw_only=True, metadata=_RATIO)
    resolution: Gemini3ProResolution | None = attrs.field(default=None, kw_only=True, metadata=_RESOLUTION)
    image_urls: tuple[ImageInput, ...] | None = attrs.field(
        default=None, kw_only=True, converter=as_images, repr=short_repr, metadata=_IMAGES
    )
    output_format: GeminiOutputFormat | None = attrs.field(default=None, kw_only=True, metadata=_FORMAT)
    google_search: bool | None = attrs.field(default=None, kw_only=True, metadata=_GOOGLE_SEARCH)


@attrs.frozen
class Gemini31FlashImage(ModelRequest):
    """`gemini-3.1-flash-image-preview` (Nano Banana 2): text to image and image editing, one image each.

    Args:
        prompt: what to generate, or how to edit the input images.
        aspect_ratio: width to height; "1:1" if left out. "match_input_image" needs `image_urls`.
        resolution: "512" and "0.5K" are half-size, "1K", "2K" and "4K" about 1, 4 and 16 megapixels; "1K" if
            left out.
        image_urls: input images, each a URL or a local file as a path. With them, the model edits these images.
        output_format: the file format. The page advises against passing it.
        google_search: search the web for current facts. The page advises against passing it.
        image_search: search for images as an aid. The page advises against passing it.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    model: ClassVar[str] = "gemini-3.1-flash-image-preview"
    needs: ClassVar[tuple[tuple[str, str, str], ...]] = _MATCH_NEEDS_IMAGES

    aspect_ratio: Gemini31FlashAspectRatio | None = attrs.field(default=None, kw_only=True, metadata=_RATIO)
    resolution: Gemini31FlashResolution | None = attrs.field(
        default=None, kw_only=True, metadata=_SMALL_RESOLUTION
    )
    image_urls: tuple[ImageInput, ...] | None = attrs.field(
        default=None, kw_only=True, converter=as_images, repr=short_repr, metadata=_IMAGES
    )
    output_format: GeminiOutputFormat | None = attrs.field(default=None, kw_only=True, metadata=_FORMAT)
    google_search: bool | None = attrs.field(default=None, kw_only=True, metadata=_GOOGLE_SEARCH)
    image_search: bool | None = attrs.field(default=None, kw_only=True, metadata=_IMAGE_SEARCH)
