"""Requests: a class for some models, the catalogue for the others, `RawRequest` for unknown ones, and the conversion from
and to mappings.
"""

from foxapi_async._display import show_under
from foxapi_async.models._base import GenerationRequest
from foxapi_async.models._catalogue import ModelDefinition
from foxapi_async.models._catalogue_request import CatalogueRequest
from foxapi_async.models._describe import describe
from foxapi_async.models._discovery import find_models, model_definition
from foxapi_async.models._fields import FieldSpec
from foxapi_async.models._model import MODELS, ModelRequest
from foxapi_async.models._parse import parse_request
from foxapi_async.models._raw import RawRequest
from foxapi_async.models._sizes import size_fields
from foxapi_async.models._values import ImageInput
from foxapi_async.models.gemini import Gemini3ProImage, Gemini31FlashImage
from foxapi_async.models.grok import GrokImagineImage

DEFAULT_MODEL = GrokImagineImage.model
"""The model of a request that names none, on the command line and in a batch's file."""

__all__ = [
    "MODELS",
    "CatalogueRequest",
    "FieldSpec",
    "Gemini3ProImage",
    "Gemini31FlashImage",
    "GenerationRequest",
    "GrokImagineImage",
    "ImageInput",
    "ModelDefinition",
    "ModelRequest",
    "RawRequest",
    "describe",
    "find_models",
    "model_definition",
    "parse_request",
    "size_fields",
]

show_under(__name__, [globals()[name] for name in __all__])
