"""Requests: a class for some models, the catalogue for the others, `RawRequest` for unknown ones, and the conversion from
and to mappings.
"""

from typing import TYPE_CHECKING

from foxapi_async._display import show_under
from foxapi_async.models._base import GenerationRequest
from foxapi_async.models._catalogue import ModelDefinition
from foxapi_async.models._catalogue_request import CatalogueRequest
from foxapi_async.models._discovery import find_models, model_definition
from foxapi_async.models._fields import FieldSpec
from foxapi_async.models._model import MODELS, ModelRequest
from foxapi_async.models._parse import parse_request
from foxapi_async.models._raw import RawRequest
from foxapi_async.models._sizes import size_fields
from foxapi_async.models._values import ImageInput
from foxapi_async.models.gemini import Gemini3ProImage, Gemini31FlashImage
from foxapi_async.models.grok import GrokImagineImage

if TYPE_CHECKING:
    from foxapi_async.models._generated import (
        ClassicImage,
        GptImage2,
        PatinaMaterial,
        PatinaMaterialExtract,
        PatinaPbrMaps,
        PhotaCreateProfile,
        PhotaImage,
        PhotaImageEdit,
        PhotaImageEnhance,
        Wan27Image,
    )

DEFAULT_MODEL = GrokImagineImage.model
"""The model of a request that names none, on the command line and in a batch's file."""

__all__ = [
    "MODELS",
    "CatalogueRequest",
    "ClassicImage",
    "FieldSpec",
    "Gemini3ProImage",
    "Gemini31FlashImage",
    "GenerationRequest",
    "GptImage2",
    "GrokImagineImage",
    "ImageInput",
    "ModelDefinition",
    "ModelRequest",
    "PatinaMaterial",
    "PatinaMaterialExtract",
    "PatinaPbrMaps",
    "PhotaCreateProfile",
    "PhotaImage",
    "PhotaImageEdit",
    "PhotaImageEnhance",
    "RawRequest",
    "Wan27Image",
    "find_models",
    "model_definition",
    "parse_request",
    "size_fields",
]

show_under(__name__, [globals()[name] for name in __all__ if name in globals()])


def __getattr__(name: str) -> object:
    """A generated class. Its module is imported at the first use."""
    if name in __all__:
        from foxapi_async.models import _generated  # noqa: PLC0415 - rarely needed

        show_under(__name__, [getattr(_generated, name)])
        return getattr(_generated, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
