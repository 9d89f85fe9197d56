"""Image models with a class. Made by docs/catalogue.py, and not changed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from foxapi_async.models._catalogue_request import TypedRequest
from foxapi_async.models._values import ImageInput


class ClassicImage(TypedRequest):
    """`gpt-4o-image`, `gpt-image-1` and others: text to image and image editing, by one of the older models.

    Args:
        prompt: what to generate, or how to edit the input images; at most 2000 tokens.
        model: which of them.
        size: width to height of the image; `auto` if left out.
        quality: the size: 0.5K, 1K, 2K or 4K; `2K` if left out.
        image_urls: reference images, or images to edit.
        model_params: more settings of the model.
        callback_url: the address that the service calls at the end.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    def __init__(
        self,
        prompt: str,
        *,
        model: Literal["gpt-4o-image", "gpt-image-1", "gpt-image-1.5", "gpt-image-1.5-lite", "nanobanana", "nanobanana-pro-beta", "nano-banana-2-lite", "nano-banana-2-beta", "qwen-image-edit", "qwen-image-edit-plus", "doubao-seedream-4.0", "doubao-seedream-4.5", "doubao-seedream-5.0-lite", "wan2.5-image-to-image", "wan2.5-text-to-image", "z-image-turbo"],
        size: Literal["auto", "1:1", "1:4", "4:1", "1:8", "8:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"] | None = None,
        quality: Literal["0.5K", "1K", "2K", "4K"] | None = None,
        image_urls: Sequence[ImageInput] | None = None,
        model_params: Mapping[str, Any] | None = None,
        callback_url: str | None = None,
    ) -> None:
        super().__init__(model, prompt=prompt, size=size, quality=quality, image_urls=image_urls, model_params=model_params, callback_url=callback_url)


class GptImage2(TypedRequest):
    """`gpt-image-2`: text to image and image editing.

    Args:
        prompt: what to generate, or how to edit the input images.
        num_outputs: how many images to make; each is billed; `1` if left out.
        resolution: the size in pixels; `1024x1024` if left out.
        quality: how much work the model puts into the image; `high` if left out.
        output_format: the file format; `png` if left out.
        background: whether the background may be transparent; `auto` if left out.
        mask_url: the part to edit is white; as large as the first input image.
        image_urls: the images to edit.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    def __init__(
        self,
        prompt: str,
        *,
        num_outputs: int | None = None,
        resolution: Literal["1024x768", "768x1024", "1024x1024", "1536x1024", "1024x1536", "1920x1080", "1080x1920", "2560x1440", "1440x2560", "3840x2160", "2160x3840"] | Mapping[str, int] | None = None,
        quality: Literal["low", "medium", "high"] | None = None,
        output_format: Literal["png", "jpeg", "webp"] | None = None,
        background: Literal["auto", "opaque"] | None = None,
        mask_url: ImageInput | None = None,
        image_urls: Sequence[ImageInput] | None = None,
    ) -> None:
        super().__init__("gpt-image-2", prompt=prompt, num_outputs=num_outputs, resolution=resolution, quality=quality, output_format=output_format, background=background, mask_url=mask_url, image_urls=image_urls)


class PatinaMaterial(TypedRequest):
    """`patina-material`: the maps of a material, from a text.

    Args:
        prompt: the material.
        maps: which maps to make.
        image_size: the edge in pixels; `1024` if left out.
        image_url: an image of the material.
        mask_url: the part of the image to use.
        tiling_mode: in which directions the material repeats.
        upscale_factor: how much larger to make the maps; costs more.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    def __init__(
        self,
        prompt: str,
        maps: Sequence[Literal["basecolor", "normal", "roughness", "metalness", "height"]],
        *,
        image_size: int | None = None,
        image_url: ImageInput | None = None,
        mask_url: ImageInput | None = None,
        tiling_mode: Literal["none", "x", "y", "xy"] | None = None,
        upscale_factor: float | None = None,
    ) -> None:
        super().__init__("patina-material", prompt=prompt, maps=maps, image_size=image_size, image_url=image_url, mask_url=mask_url, tiling_mode=tiling_mode, upscale_factor=upscale_factor)


class PatinaMaterialExtract(TypedRequest):
    """`patina-material-extract`: the maps of a material, from an image.

    Args:
        image_url: an image of the material.
        maps: which maps to make.
        mask_url: the part of the image to use.
        image_size: the edge in pixels; `1024` if left out.
        upscale_factor: how much larger to make the maps; costs more.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    def __init__(
        self,
        image_url: ImageInput,
        maps: Sequence[Literal["basecolor", "normal", "roughness", "metalness", "height"]],
        *,
        mask_url: ImageInput | None = None,
        image_size: int | None = None,
        upscale_factor: float | None = None,
    ) -> None:
        super().__init__("patina-material-extract", image_url=image_url, maps=maps, mask_url=mask_url, image_size=image_size, upscale_factor=upscale_factor)


class PatinaPbrMaps(TypedRequest):
    """`patina-pbr-maps`: the maps of an image.

    Args:
        image_url: an image of the material.
        maps: which maps to make.
        image_size: the edge in pixels.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    def __init__(
        self,
        image_url: ImageInput,
        maps: Sequence[Literal["basecolor", "normal", "roughness", "metalness", "height"]],
        *,
        image_size: int | None = None,
    ) -> None:
        super().__init__("patina-pbr-maps", image_url=image_url, maps=maps, image_size=image_size)


class PhotaCreateProfile(TypedRequest):
    """`phota-create-profile`: a profile of a person, for later requests.

    Args:
        image_archive_url: a ZIP file with images of one person.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    def __init__(
        self,
        image_archive_url: ImageInput,
    ) -> None:
        super().__init__("phota-create-profile", image_archive_url=image_archive_url)


class PhotaImage(TypedRequest):
    """`phota-image`: portraits of people with a profile.

    Args:
        prompt: what to generate; [[profile_id]] puts a person in.
        num_outputs: how many images to make; each is billed; `1` if left out.
        resolution: the size; 4K costs twice as much; `1K` if left out.
        aspect_ratio: width to height of the image; `1:1` if left out.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    def __init__(
        self,
        prompt: str,
        *,
        num_outputs: int | None = None,
        resolution: Literal["1K", "4K"] | None = None,
        aspect_ratio: Literal["1:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9"] | None = None,
    ) -> None:
        super().__init__("phota-image", prompt=prompt, num_outputs=num_outputs, resolution=resolution, aspect_ratio=aspect_ratio)


class PhotaImageEdit(TypedRequest):
    """`phota-image-edit`: editing of images with people.

    Args:
        prompt: how to edit the images.
        image_urls: the images to edit.
        num_outputs: how many images to make; each is billed; `1` if left out.
        resolution: the size; 4K costs twice as much; `1K` if left out.
        profile_ids: the people in the images.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    def __init__(
        self,
        prompt: str,
        image_urls: Sequence[ImageInput],
        *,
        num_outputs: int | None = None,
        resolution: Literal["1K", "4K"] | None = None,
        profile_ids: Sequence[str] | None = None,
    ) -> None:
        super().__init__("phota-image-edit", prompt=prompt, image_urls=image_urls, num_outputs=num_outputs, resolution=resolution, profile_ids=profile_ids)


class PhotaImageEnhance(TypedRequest):
    """`phota-image-enhance`: a better version of an image.

    Args:
        image_url: the image to enhance.
        resolution: the size; `4K` if left out.
        creativity: how much the model may add.
        resemblance: how much the result must look like the image.
        profile_ids: the people in the image.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    def __init__(
        self,
        image_url: ImageInput,
        *,
        resolution: Literal["1K", "4K"] | None = None,
        creativity: float | None = None,
        resemblance: float | None = None,
        profile_ids: Sequence[str] | None = None,
    ) -> None:
        super().__init__("phota-image-enhance", image_url=image_url, resolution=resolution, creativity=creativity, resemblance=resemblance, profile_ids=profile_ids)


class Wan27Image(TypedRequest):
    """`wan-2.7-image`, `wan-2.7-image-pro`: text to image and image editing.

    Args:
        prompt: what to generate, or how to edit the input images.
        model: which of them; `wan-2.7-image` if left out.
        num_outputs: how many images to make; each is billed; `1` if left out.
        image_size: the size and form; `square_hd` if left out.
        image_urls: the images to edit. The prompt may call them image 1, image 2.
        negative_prompt: what the image must not show.
        seed: the same seed makes a similar image.
        enable_safety_checker: whether the service checks the image for unsafe content.
        enable_prompt_expansion: whether the service adds to the prompt.

    Raises:
        InvalidRequestError: `.problems` has a line for each wrong field.
    """

    def __init__(
        self,
        prompt: str,
        *,
        model: Literal["wan-2.7-image", "wan-2.7-image-pro"] = "wan-2.7-image",
        num_outputs: int | None = None,
        image_size: Literal["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"] | Mapping[str, int] | None = None,
        image_urls: Sequence[ImageInput] | None = None,
        negative_prompt: str | None = None,
        seed: int | None = None,
        enable_safety_checker: bool | None = None,
        enable_prompt_expansion: bool | None = None,
    ) -> None:
        super().__init__(model, prompt=prompt, num_outputs=num_outputs, image_size=image_size, image_urls=image_urls, negative_prompt=negative_prompt, seed=seed, enable_safety_checker=enable_safety_checker, enable_prompt_expansion=enable_prompt_expansion)
