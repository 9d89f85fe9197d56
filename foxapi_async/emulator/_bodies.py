"""The requests that the service accepts: the fields of the three image models, and the ids of all others.

The strict part follows two pages:

- https://docs.foxapi.cc/pages/zh/api-manual/image-series/grok-imagine/grok-imagine-image
- https://docs.foxapi.cc/pages/en/api-manual/image-series/gemini/gemini-3-pro-image-preview

On these pages, a field of type "string" refuses null, and a field of type "string | null" accepts it. gpt-image-2
refuses every field that its page does not have, with 400. For all other models only the prompt and `num_outputs` are
checked.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

import attrs

from ._refusal import RefusalError

Json = dict[str, Any] | list[Any] | str | float | bool | None
Check = Callable[[str, Any], None]


@attrs.frozen
class Media:
    """The kind of result that one generation endpoint makes."""

    type: str
    "The reply's `type`; its `object` is `<type>.generation.task`."
    prefixes: tuple[str, ...]
    "The beginnings of the ids of its models."


_GROK = "grok-imagine-image"
_PRO = "gemini-3-pro-image-preview"
_FLASH = "gemini-3.1-flash-image-preview"

IMAGE_MODELS = (
    *(_GROK, _PRO, _FLASH, f"{_FLASH}-dev"),
    *("wan-2.7-image", "wan-2.7-image-pro", "gpt-image-2", "gpt-image-2-limit"),
    *("phota-image", "phota-image-edit", "phota-image-enhance", "phota-create-profile"),
    *("patina-material", "patina-material-extract", "patina-pbr-maps"),
    *("gpt-4o-image", "gpt-image-1", "gpt-image-1.5", "gpt-image-1.5-lite"),
    *("nanobanana", "nanobanana-pro-beta", "nano-banana-2-lite", "nano-banana-2-beta"),
    *("qwen-image-edit", "qwen-image-edit-plus", "z-image-turbo"),
    *("doubao-seedream-4.0", "doubao-seedream-4.5", "doubao-seedream-5.0-lite"),
    *("wan2.5-image-to-image", "wan2.5-text-to-image"),
)
_PROMPTLESS = frozenset(
    {"phota-image-enhance", "phota-create-profile", "patina-material-extract", "patina-pbr-maps"}
)
# https://docs.foxapi.cc/pages/zh/api-manual/image-series/gpt-image-2/gpt-image-2. The service's own clients say
# that this model refuses every other field, such as OpenAI's `n` and `size`, and does so with 400.
_LIMIT_FIELDS = frozenset({"model", "prompt", "image_urls", "num_outputs", "resolution"})
_CLOSED = {
    "gpt-image-2": _LIMIT_FIELDS | {"quality", "output_format", "background", "mask_url"},
    "gpt-image-2-limit": _LIMIT_FIELDS,
}
_AUDIO = Media("audio", ("speech-", "gemini-", "lyria-", "minimax-", "scribe-", "cohere-", "paraformer-"))
MEDIA = {
    "/v1/images/generations": Media("image", IMAGE_MODELS),
    "/v1/videos/generations": Media(
        "video",
        (
            *(
                "sora-2",
                "veo-3",
                "veo3",
                "kling-",
                "wan",
                "seedance-",
                "vidu-",
                "pixverse-",
                "MiniMax-Hailuo",
            ),
            *("grok-imagine-", "happyhorse-", "heygen-", "topaz-", "veed-", "lipsync-", "omnihuman-"),
            *("live-avatar", "fabric-", "creatify-"),
        ),
    ),
    "/v1/audios/generations": attrs.evolve(_AUDIO, prefixes=(*_AUDIO.prefixes, "voice-clone")),
    "/v1/audio/generations": Media("audio", ("suno-",)),
    "/v1/run/generations": Media("document", ("doc2x-",)),
    "/v1/llm/generations": Media(
        "llm",
        ("gpt-", "claude-", "gemini-", "deepseek", "qwen", "glm-", "kimi-", "grok-", "doubao-", "MiniMax-"),
    ),
}


def parse(raw: bytes, content_type: str) -> dict[str, Any]:
    """The parsed request body.

    Raises:
        RefusalError: 400 if it is not JSON, 422 if it is JSON but not an object.
    """
    if content_type != "application/json":
        raise RefusalError(400, f"Content-Type must be application/json, not {content_type}")
    try:
        body: Json = json.loads(raw, parse_constant=_not_json)
    except (ValueError, RecursionError) as error:
        raise RefusalError(400, f"invalid JSON body: {error}") from None
    if not isinstance(body, dict):
        raise RefusalError(422, "the body must be a JSON object")
    return body


def peek(raw: bytes) -> dict[str, Any]:
    """A request body for an edge, which checks nothing: empty if it is not a JSON object."""
    try:
        return parse(raw, "application/json")
    except RefusalError:
        return {}


def check(path: str, body: Mapping[str, Any], extra_models: Collection[str] = ()) -> Media:
    """Check a request body. Returns the kind of result that the endpoint makes from it.

    Args:
        path: The endpoint.
        body: The parsed request.
        extra_models: Ids that every endpoint accepts in addition to the documented ones.

    Raises:
        RefusalError: 422, naming the field; 400 for an unknown field of gpt-image-2.
    """
    media, model = MEDIA[path], body.get("model")
    if not isinstance(model, str) or not model:
        raise RefusalError(422, "model: a non-empty string is required")
    if model in _STRICT:
        _check_strictly(body, _STRICT[model] if media.type == "image" else _refuse_model(model))
    elif model in extra_models or _is_known(model, media):
        _check_leniently(body, bare_name(model), media)
    else:
        _refuse_model(model)
    return media


def outputs(body: Mapping[str, Any]) -> int:
    """How many results the request pays for."""
    count = body.get("num_outputs", 1)
    return count if isinstance(count, int) else 1


def prompt_of(body: Mapping[str, Any]) -> str:
    """The prompt, or an empty text if the model needs no prompt."""
    prompt = body.get("prompt", "")
    return prompt if isinstance(prompt, str) else ""


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_model(model: str) -> NoReturn:
    raise RefusalError(
        422, f"model {model!r} does not exist or is not enabled for this key", "model_not_found"
    )


def bare_name(model: str) -> str:
    """The name in a model's id. Live ids may have a vendor before it and a variant after it: google/veo-3.1[fast]."""
    return re.sub(r"^[\w.-]+/|\[[^]]*\]$", "", model)


def _is_known(model: str, media: Media) -> bool:
    name = bare_name(model)
    return name in IMAGE_MODELS if media.type == "image" else name.startswith(media.prefixes)


def _check_strictly(body: Mapping[str, Any], fields: Mapping[str, Check]) -> None:
    for name, value in body.items():
        if name not in fields:
            _refuse_field(body["model"], name)
        fields[name](name, value)
    if "prompt" not in body:
        raise RefusalError(422, "prompt: field required")
    if body["model"] == _GROK and body.get("aspect_ratio") is not None and body.get("image_urls"):
        raise RefusalError(422, "aspect_ratio: only for text-to-image, not together with image_urls")


def _refuse_field(model: str, name: str) -> NoReturn:
    # This option exists for other models. Any other name is unknown.
    code = "unsupported_advanced_options" if (model, name) == (_PRO, "image_search") else None
    raise RefusalError(422, f"{name}: not a parameter of {model}", code)


def _check_leniently(body: Mapping[str, Any], model: str, media: Media) -> None:
    if stray := body.keys() - _CLOSED.get(model, body.keys()):
        raise RefusalError(400, f"{min(stray)}: extra fields are not permitted")
    if media.type == "image" and model not in _PROMPTLESS:
        _text("prompt", body.get("prompt"))
    if "num_outputs" in body:
        _whole(1, 10)("num_outputs", body["num_outputs"])


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise RefusalError(422, f"{name}: a string is required")
    if not value.strip():
        raise RefusalError(422, f"{name}: must not be empty")


def _whole(low: int, high: int) -> Check:
    def check_whole(name: str, value: Any) -> None:
        # bool is an int in Python, not in JSON.
        if type(value) is not int or not low <= value <= high:
            raise RefusalError(422, f"{name}: an integer from {low} to {high} is required")

    return check_whole


def _one_of(*allowed: str) -> Check:
    def check_member(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in allowed:
            raise RefusalError(422, f"{name}: must be one of {', '.join(allowed)}")

    return check_member


def _flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise RefusalError(422, f"{name}: true or false is required")


def _urls(most: int | None) -> Check:
    def check_urls(name: str, value: Json) -> None:
        if not isinstance(value, list) or not all(isinstance(url, str) for url in value):
            raise RefusalError(422, f"{name}: a list of strings is required")
        if most is not None and len(value) > most:
            raise RefusalError(422, f"{name}: at most {most} images")
        if not all(url.lower().startswith(("http://", "https://", "data:")) for url in value):
            raise RefusalError(422, f"{name}: not a URL that can be fetched", "invalid_image_url")

    return check_urls


def _or_null(check_value: Check) -> Check:
    def check_nullable(name: str, value: Any) -> None:
        if value is not None:
            check_value(name, value)

    return check_nullable


_FORMATS = ("jpg", "jpeg", "png", "webp")
_GEMINI_RATIOS = (
    "1:1",
    "2:3",
    "3:2",
    "3:4",
    "4:3",
    "4:5",
    "5:4",
    "9:16",
    "16:9",
    "21:9",
    "match_input_image",
)
_ANY: dict[str, Check] = {"model": _text, "prompt": _text, "output_format": _or_null(_one_of(*_FORMATS))}
_PRO_FIELDS: dict[str, Check] = {
    **_ANY,
    "aspect_ratio": _one_of(*_GEMINI_RATIOS),
    "resolution": _one_of("1K", "2K", "4K"),
    "image_urls": _or_null(_urls(None)),
    "google_search": _or_null(_flag),
}
_STRICT: dict[str, dict[str, Check]] = {
    _GROK: {
        **_ANY,
        "num_outputs": _whole(1, 4),
        "aspect_ratio": _or_null(
            _one_of(
                *("2:1", "20:9", "19.5:9", "16:9", "4:3", "3:2", "1:1"),
                *("2:3", "3:4", "9:16", "9:19.5", "9:20", "1:2"),
            )
        ),
        "image_urls": _or_null(_urls(3)),
    },
    _PRO: _PRO_FIELDS,
    _FLASH: {
        **_PRO_FIELDS,
        "aspect_ratio": _one_of("1:4", "1:8", "4:1", "8:1", *_GEMINI_RATIOS),
        "resolution": _one_of("512", "0.5K", "1K", "2K", "4K"),
        "image_search": _or_null(_flag),
    },
}
