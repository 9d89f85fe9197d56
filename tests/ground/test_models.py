"""Requests: what they accept, refuse and send, and the conversion from and to mappings."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foxapi_async import models
from foxapi_async._errors import InvalidRequestError
from foxapi_async._hints import Hint
from foxapi_async.models import (
    MODELS,
    FieldSpec,
    Gemini3ProImage,
    Gemini31FlashImage,
    GenerationRequest,
    GrokImagineImage,
    ModelRequest,
    RawRequest,
    parse_request,
)
from foxapi_async.models._fields import option

URL = "https://example.com/cat.png"
DATA = "data:image/png;base64,iVBORw0KGgo="
# A busy machine must not make a property fail.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TYPED = (GrokImagineImage, Gemini3ProImage, Gemini31FlashImage)

# The three systems, as the two pages list them; in the order of the pages.
GROK_RATIOS = "2:1 20:9 19.5:9 16:9 4:3 3:2 1:1 2:3 3:4 9:16 9:19.5 9:20 1:2"
PRO_RATIOS = "1:1 2:3 3:2 3:4 4:3 4:5 5:4 9:16 16:9 21:9 match_input_image"
FLASH_RATIOS = "1:1 1:4 1:8 2:3 3:2 3:4 4:1 4:3 4:5 5:4 8:1 9:16 16:9 21:9 match_input_image"
PAGES = {
    GrokImagineImage: {
        "prompt": "text",
        "num_outputs": (1, 4),
        "aspect_ratio": GROK_RATIOS,
        "output_format": "jpg jpeg png webp",
        "image_urls": 3,
    },
    Gemini3ProImage: {
        "prompt": "text",
        "aspect_ratio": PRO_RATIOS,
        "resolution": "1K 2K 4K",
        "image_urls": None,
        "output_format": "jpg png webp",
        "google_search": "flag",
    },
    Gemini31FlashImage: {
        "prompt": "text",
        "aspect_ratio": FLASH_RATIOS,
        "resolution": "512 0.5K 1K 2K 4K",
        "image_urls": None,
        "output_format": "jpg png webp",
        "google_search": "flag",
        "image_search": "flag",
    },
}


def problems(make, *args, **kwargs):
    with pytest.raises(InvalidRequestError) as caught:
        make(*args, **kwargs)
    return caught.value.problems


# --- strategies -----------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
PROMPTS = TEXTS.filter(str.strip)
IMAGES = st.one_of(
    st.just(URL), st.just(DATA), st.from_regex(r"https?://[a-z]{1,9}/[a-z?=%0-9]{0,9}", fullmatch=True),
    st.builds(Path, st.sampled_from(["cat.png", "a/b.webp"])),
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
# Also values that no JSON text can hold: a caller may pass anything to parse_request.
ANYTHING = st.recursive(
    JSON
    | st.text()
    | st.floats()
    | st.binary()
    | st.builds(object)
    | st.builds(Path)
    | st.builds(pow, st.just(10), st.just(5000)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=8,
)


def values(spec):
    match spec.kind:
        case "text":
            return PROMPTS
        case "choice":
            return st.sampled_from(spec.choices)
        case "integer":
            return st.integers(spec.minimum, spec.maximum)
        case "flag":
            return st.booleans()
        case "images":
            return st.lists(IMAGES, min_size=1, max_size=spec.maximum or 5)


@st.composite
def choices(draw):
    """A class, and a valid choice of values for some of its fields."""
    cls = draw(st.sampled_from(TYPED))
    specs = [spec for spec in cls.fields() if spec.required or draw(st.booleans())]
    chosen = {spec.name: draw(values(spec)) for spec in specs}
    if cls is GrokImagineImage and "image_urls" in chosen:
        chosen.pop("aspect_ratio", None)
    if chosen.get("aspect_ratio") == "match_input_image":
        chosen.setdefault("image_urls", [URL])
    return cls, chosen


OWN = ("model", "prompt", "path")
RAW = st.builds(
    RawRequest,
    st.sampled_from(["flux", "veo-3.1[4k]", "grok-imagine-image"]),
    st.none() | PROMPTS,
    params=st.dictionaries(
        TEXTS.filter(lambda key: key not in OWN), JSON | st.tuples(JSON, JSON), max_size=4
    ),
    path=st.sampled_from(["/v1/images/generations", "/v1/run/generations"]),
)
RAW_WITH_IMAGES = st.builds(
    lambda images, raw: RawRequest(raw.model, raw.prompt, params={**raw.params, "image_urls": images}),
    st.lists(IMAGES, max_size=3), RAW,
)  # fmt: skip
REQUESTS = choices().map(lambda made: made[0](**made[1])) | RAW | RAW_WITH_IMAGES


# --- the models -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", TYPED)
def test_fields_are_those_of_the_pages(cls):
    """Each class has exactly the fields and values of its page, in its order."""
    described = {}
    for spec in cls.fields():
        bounds = {"integer": (spec.minimum, spec.maximum), "images": spec.maximum}
        described[spec.name] = " ".join(spec.choices) or bounds.get(spec.kind, spec.kind)

    assert PAGES[cls] == described


def test_models_by_id():
    """`MODELS` has each class under its documented model id, and cannot be changed from outside."""
    assert {
        "grok-imagine-image": GrokImagineImage,
        "gemini-3-pro-image-preview": Gemini3ProImage,
        "gemini-3.1-flash-image-preview": Gemini31FlashImage,
    } == dict(MODELS)
    with pytest.raises(TypeError):
        MODELS["x"] = GrokImagineImage


def test_advanced_fields():
    """The fields that the pages advise against passing are marked."""
    marked = {spec.name for cls in TYPED for spec in cls.fields() if spec.advanced}

    assert {"output_format", "google_search", "image_search"} == marked


def test_only_the_prompt_is_required_and_positional():
    """The prompt comes first and is the only field that must be given; no other is positional."""
    assert [[spec.name for spec in cls.fields() if spec.required] for cls in TYPED] == [["prompt"]] * 3
    with pytest.raises(TypeError):
        GrokImagineImage("a fox", 2)
    with pytest.raises(TypeError):
        GrokImagineImage()


@unhurried
@given(choices())
def test_only_what_was_set_is_sent(made):
    """An accepted request sends no null and no default: only the model and the fields that were set."""
    cls, chosen = made
    request = cls(**chosen)

    assert {"model": cls.model, **chosen} == request.to_dict()
    assert request.path == "/v1/images/generations"
    assert isinstance(request, GenerationRequest)


def test_none_is_not_set():
    """An explicit None is the same as a missing field; False is a value."""
    assert GrokImagineImage("a") == GrokImagineImage("a", num_outputs=None, image_urls=None)
    assert {"model": Gemini3ProImage.model, "prompt": "a", "google_search": False} == Gemini3ProImage(
        "a", google_search=False
    ).wire()


def test_frozen():
    """A request cannot be changed, nor given further attributes."""
    request = GrokImagineImage("a")
    for name in ("prompt", "num_outputs", "seed", "model"):
        with pytest.raises(AttributeError):
            setattr(request, name, "b")


def test_abstract():
    """The base classes cannot make requests."""
    for base in (GenerationRequest, ModelRequest):
        with pytest.raises(TypeError, match="abstract"):
            base()


@unhurried
@given(REQUESTS)
def test_value_semantics(request_):
    """A request survives pickle, copy and deepcopy, and equal ones have one hash."""
    for twin in (pickle.loads(pickle.dumps(request_)), copy.copy(request_), copy.deepcopy(request_)):
        assert request_ == twin
        assert hash(request_) == hash(twin)


# --- refusals -------------------------------------------------------------------------------------


def test_all_problems_at_once():
    """One error names every wrong field, its value and what is allowed."""
    found = problems(GrokImagineImage, " ", num_outputs=5, aspect_ratio="5:3", output_format="gif")

    assert (
        'prompt=" ": allowed values are non-blank texts',
        "num_outputs=5: allowed values are whole numbers from 1 to 4, or leave it out",
        f'aspect_ratio="5:3": allowed values are {", ".join(map(json.dumps, GROK_RATIOS.split()))}, or leave it out',
        'output_format="gif": allowed values are "jpg", "jpeg", "png", "webp", or leave it out',
    ) == found


def test_message():
    """The message counts several problems and joins them."""
    with pytest.raises(InvalidRequestError) as one:
        GrokImagineImage("a", num_outputs=0)
    with pytest.raises(ValueError, match=r"^2 problems: prompt=.*; num_outputs=.*") as two:
        GrokImagineImage("", num_outputs=0)

    assert str(one.value).startswith("num_outputs=0: allowed values are whole numbers from 1 to 4")
    assert len(two.value.problems) == 2


@pytest.mark.parametrize(
    ("fields", "advised"),
    [
        ({}, False),  # no prompt
        ({"prompt": " "}, False),
        ({"prompt": "a", "num_outputs": 9}, False),
        ({"prompt": "a", "num_outputs": "2"}, False),
        ({"prompt": "a", "aspect_ratio": 7}, False),
        ({"prompt": "a", "aspect_ratio": ""}, False),
        ({"prompt": "a", "image_urls": "fox.png"}, False),
        ({"prompt": "a", "image_urls": ["fox.png"]}, False),
        ({"prompt": "a", "image_urls": [URL], "aspect_ratio": "1:1"}, False),
        ({"prompt": "a", "aspect_ratio": "7:7"}, True),
        ({"prompt": "a", "output_format": "avif"}, True),
        ({"prompt": "a", "seed": 5}, True),
        ({"seed": 5}, True),
        ({"aspect_ratio": "7:7"}, True),
    ],
)
def test_raw_requests_are_advised_for_what_is_unknown(fields, advised):
    """Only for a field or a choice that the class does not know, `RawRequest` is named: it repairs nothing else."""
    with pytest.raises(InvalidRequestError) as refused:
        parse_request({"model": GrokImagineImage.model, **fields})

    assert advised == ("RawRequest" in str(refused.value))


@pytest.mark.parametrize(
    ("fields", "advised"), [({"num_outputs": 9}, False), ({"aspect_ratio": "7:7"}, True)]
)
def test_a_class_advises_as_a_mapping_does(fields, advised):
    """A request that is made from its class has the advice for the same values."""
    with pytest.raises(InvalidRequestError) as refused:
        GrokImagineImage("a", **fields)

    assert advised == ("RawRequest" in str(refused.value))


@pytest.mark.parametrize("wrong", [True, False, 0, 5, -1, 2.0, "2", [], pytest.param(10**5000, id="huge")])
def test_num_outputs(wrong):
    """num_outputs is a whole number from 1 to 4; a bool is not one."""
    assert len(problems(GrokImagineImage, "a", num_outputs=wrong)) == 1


@pytest.mark.parametrize("wrong", [1, 0, "true", "", [True]])
def test_flags(wrong):
    """A flag is True or False, nothing else."""
    [line] = problems(Gemini31FlashImage, "a", image_search=wrong)

    assert line.endswith("allowed values are true or false, or leave it out")


@pytest.mark.parametrize("wrong", [512, "512 ", "1k", "", ["1K"], {"1K": 1}, b"1K"])
def test_choices(wrong):
    """A choice is one of the listed texts, exactly."""
    [line] = problems(Gemini31FlashImage, "a", resolution=wrong)

    assert 'allowed values are "512", "0.5K", "1K", "2K", "4K"' in line


@pytest.mark.parametrize(
    "make", [GrokImagineImage, Gemini3ProImage, lambda prompt: RawRequest("flux", prompt)]
)
@pytest.mark.parametrize(
    ("wrong", "spelled"),
    [
        ("", '""'),
        (" \n", '" \\n"'),
        (3, "3"),
        (True, "true"),
        (b"a", "b'a'"),
        (["a", None, False], '["a", null, false]'),
        (("a", '"', "\\"), r'["a", "\"", "\\"]'),
        ({"a": {"b": "\u202e\x7f狐"}}, r'{"a": {"b": "\u202e\u007f狐"}}'),
        ("a\ud800", r'"a\ud800"'),
    ],
)
def test_prompt(make, wrong, spelled):
    """A prompt is text, not blank, and can be encoded as UTF-8. A message spells a value as JSON does."""
    [line] = problems(make, wrong)

    assert line.startswith(f"prompt={spelled}: ")


def test_missing_prompt():
    """None for the prompt of a model that needs one is a missing prompt."""
    assert problems(GrokImagineImage, None) == ("prompt: missing; allowed values are non-blank texts",)


def test_differences_of_the_two_geminis():
    """The pro model has neither the extreme ratios, nor the half sizes, nor image_search."""
    for ratio in ("1:4", "4:1", "1:8", "8:1"):
        assert Gemini31FlashImage("a", aspect_ratio=ratio).aspect_ratio == ratio
        assert len(problems(Gemini3ProImage, "a", aspect_ratio=ratio)) == 1
    for size in ("512", "0.5K"):
        assert len(problems(Gemini3ProImage, "a", resolution=size)) == 1
    with pytest.raises(TypeError):
        Gemini3ProImage("a", image_search=True)


def test_grok_ratio_without_images_only():
    """Grok takes aspect_ratio only for text-to-image."""
    [line] = problems(GrokImagineImage, "a", aspect_ratio="1:1", image_urls=[URL])

    assert line.startswith('aspect_ratio="1:1": only allowed without image_urls')


@pytest.mark.parametrize("cls", [Gemini3ProImage, Gemini31FlashImage])
def test_match_input_image_needs_images(cls):
    """match_input_image needs an input image."""
    [line] = problems(cls, "a", aspect_ratio="match_input_image")

    assert "only allowed with image_urls" in line
    assert cls("a", aspect_ratio="match_input_image", image_urls=[URL]).image_urls == (URL,)


def test_long_values_are_shortened():
    """Neither a message nor a repr prints a large value, nor a thousand problems."""
    large = "data:image/png;base64" + "A" * 5_000_000
    with pytest.raises(InvalidRequestError) as caught:
        Gemini3ProImage(large, resolution=large, google_search=10**5000, image_urls=[large] * 1000)

    assert len(str(caught.value)) < 5000
    assert "; and 982 more" in str(caught.value)
    assert len(caught.value.problems) == 1002
    assert len(repr(Gemini3ProImage("a", image_urls=["data:," + large]))) < 300
    assert len(repr(RawRequest("a", params={"image_urls": [large]}))) < 300


# --- images ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [URL, "HTTP://example.com", "http://127.0.0.1:1/a?b#c", DATA, "data:,x"])
def test_image_urls(url):
    """Web addresses and data URIs are sent unchanged, as a list."""
    assert [url] == GrokImagineImage("a", image_urls=(url,)).wire()["image_urls"]


@pytest.mark.parametrize("wrong", ["cat.png", "/etc/passwd", "C:\\a.png", "iVBORw0KGgo="])
def test_text_is_never_a_path(wrong):
    """A text that is no address is refused with the advice to wrap a file in a path, in Python's words alone."""
    with pytest.raises(InvalidRequestError) as caught:
        GrokImagineImage("a", image_urls=[URL, wrong])

    line = f"image_urls[1]={json.dumps(wrong)}: neither an http(s) URL nor a data URI"
    assert (line,) == caught.value.problems
    assert f"{line}; wrap a local file in pathlib.Path" == str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    ["", " ", "file:///etc/passwd", "ftp://a/b", "https://", "https:///x", "http://a b", "data:nothing"],
)
def test_what_is_meant_as_an_address_is_no_file(wrong):
    """A wrong address is refused without advice about files."""
    [line] = problems(GrokImagineImage, "a", image_urls=[URL, wrong])

    assert line == f"image_urls[1]={json.dumps(wrong)}: neither an http(s) URL nor a data URI"


@pytest.mark.parametrize("wrong", [3, None, b"cat.png", [URL], URL + "/\ud800"])
def test_items_that_are_no_images(wrong):
    """Each item that is neither a sendable text nor a path is a separate problem."""
    assert len(problems(GrokImagineImage, "a", image_urls=[wrong, URL, wrong])) == 2


@pytest.mark.parametrize("wrong", [URL, Path("cat.png")])
def test_single_image(wrong):
    """A single image that is not in a list is refused with the advice to make a list."""
    [line] = problems(GrokImagineImage, "a", image_urls=wrong)

    assert line.endswith("put it in a list, even a single one")


def test_single_file_name():
    """A single text that is not a URL gets both pieces of advice."""
    [line] = problems(GrokImagineImage, "a", image_urls="cat.png")

    assert "put it in a list" in line
    assert Hint.WRAP_FILE is line.hint


@pytest.mark.parametrize("wrong", [[], (), {}, {URL: 1}, b"x", 3, True])
def test_no_list_of_images(wrong):
    """image_urls is left out, or a list with at least one item."""
    [line] = problems(GrokImagineImage, "a", image_urls=wrong)

    assert line.endswith("allowed values are lists of 1 to 3 URLs, or leave it out")


def test_number_of_images():
    """Grok takes at most 3 images; the gemini page names no limit, so there is none."""
    [line] = problems(GrokImagineImage, "a", image_urls=[URL] * 4)

    assert line.startswith("image_urls: 4 images given; allowed values are lists of 1 to 3")
    assert len(Gemini3ProImage("a", image_urls=[URL] * 40).image_urls) == 40


def test_any_iterable_of_images():
    """A generator of images is read once and kept."""
    assert GrokImagineImage("a", image_urls=(url for url in [URL, DATA])).image_urls == (URL, DATA)


@pytest.mark.parametrize(
    "make",
    [lambda images: Gemini3ProImage("a", image_urls=images),
     lambda images: RawRequest("flux", "a", params={"image_urls": images, "seed": None})],
)  # fmt: skip
def test_local_files(make):
    """Local files are listed once each, never sent, and replaced by their URLs at the same position."""
    one, two = Path("1.png"), PurePosixPath("2.png")
    request = make([one, URL, two, one])

    assert (one, two) == request.local_files()
    assert [one, URL, two, one] == request.to_dict()["image_urls"]
    with pytest.raises(InvalidRequestError, match=r"^2 problems: .*1.png.*2.png"):
        request.wire()

    half = request.with_files({one: "https://up/1"})
    assert (two,) == half.local_files()

    whole = half.with_files({two: "https://up/2"})
    assert make(["https://up/1", URL, "https://up/2", "https://up/1"]) == whole
    assert whole is whole.with_files({})
    assert whole.wire()["image_urls"] == ["https://up/1", URL, "https://up/2", "https://up/1"]


def test_with_files_checks():
    """The replacement of a file must be a URL."""
    assert len(problems(GrokImagineImage("a", image_urls=[Path("b")]).with_files, {Path("b"): "c"})) == 1


def test_no_local_files():
    """A request without images, or with another kind of value under that name, has no local files."""
    assert GrokImagineImage("a").local_files() == ()
    assert RawRequest("flux", params={"image_urls": "x"}).local_files() == ()


# --- raw requests ---------------------------------------------------------------------------------


def test_raw_is_sent_as_given():
    """A raw request sends its params unchanged, nulls too, and neither the path nor an absent prompt."""
    request = RawRequest("phota", params={"seed": None, "n": (1, {"a": 0.5})})

    assert request.wire() == {"model": "phota", "seed": None, "n": [1, {"a": 0.5}]}
    assert RawRequest("phota", "a").wire() == {"model": "phota", "prompt": "a"}


def test_raw_keeps_a_copy():
    """Later changes by the caller, to the given or the returned mapping, do not change the request."""
    params = {"a": [{"b": 1}]}
    request = RawRequest("flux", params=params)
    twin = RawRequest("flux", params={"a": [{"b": 1}]})
    params["a"][0]["b"] = 2
    request.to_dict()["a"][0]["b"] = 3
    request.wire()["a"].append(4)

    assert twin == request
    assert twin != RawRequest("flux", params=params)
    assert twin != RawRequest("flux", params={"a": [{"b": 1}]}, path="/v1/llm/generations")


@pytest.mark.parametrize(
    "path",
    ["/v1/images/generations", "/v1/videos/generations", "/v1/audio/generations", "/v1/run/generations",
     "/v1/llm/generations"],
)  # fmt: skip
def test_raw_paths(path):
    """Every documented generation endpoint is a path."""
    assert path == RawRequest("m", path=path).path


@pytest.mark.parametrize(
    "path",
    ["", "/", "/generations", "v1/images/generations", "/v1/images/generations/", "/v1/images/generations\n",
     "//evil.example/generations", "https://evil.example/generations", "/v1/../generations", "/v1/%2e/generations",
     "/v1/images/generations?a=b", "/v1/images/generations#a", "/v1/tasks", "/v1/\u00e9/generations", 3, ["/"]],
)  # fmt: skip
def test_raw_paths_refused(path):
    """Only a generation endpoint is a valid path: no host, dot, query or escape."""
    [line] = problems(RawRequest, "m", path=path)

    assert line.startswith("path=")


@pytest.mark.parametrize("model", ["", " ", "a\nb", "a\x00", "a\x7f", "a\u2028b", "a\ud800", None, 3])
def test_raw_models_refused(model):
    """A model id is text without control characters."""
    [line] = problems(RawRequest, model)

    assert line.startswith("model=")


DEEP: list = []
for _ in range(200):
    DEEP = [DEEP]
LOOP: dict = {}
LOOP["a"] = LOOP


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ([("a", 1)], "params=[('a', 1)]"),
        (None, "params=None"),
        ({"model": "x"}, 'params["model"]: give it as the argument model'),
        ({"prompt": "x"}, 'params["prompt"]'),
        ({"path": "x"}, 'params["path"]'),
        ({3: 1}, "the field name 3 must be a text"),
        ({"a\ud800": 1}, "must be a text"),
        ({"a": {"b": {None: 1}}}, 'a["b"]: the field name null'),
        ({"a": float("nan")}, "a=nan: JSON cannot hold this number"),
        ({"a": [1, float("inf")]}, "a[1]=inf"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({"a": {1}}, "a={1}: not a JSON value"),
        ({"a": b"x"}, "not a JSON value"),
        ({"image": Path("x")}, "a local file can only be in a field such as"),
        ({"image_urls": Path("x")}, "a local file can only be in a field such as"),
        ({"image_urls": [[Path("x")]]}, "image_urls[0][0]"),
        ({"image_urls": [3, {1}]}, "image_urls[1]={1}"),
        ({"a": DEEP}, "nested too deeply"),
        (LOOP, "nested too deeply"),
    ],
)
def test_raw_params_refused(params, named):
    """A value that JSON cannot hold, and one that has its own argument, is refused with its position."""
    [line] = problems(RawRequest, "m", params=params)

    assert named in line


def test_raw_problems_at_once():
    """A raw request, too, names all its problems at once; it has no alternative to name."""
    with pytest.raises(InvalidRequestError, match=r"^5 problems: ") as caught:
        RawRequest("", "", params={"a": {1}, "model": "x"}, path="")

    assert "RawRequest" not in str(caught.value)


# --- from and to mappings -------------------------------------------------------------------------


@unhurried
@given(REQUESTS)
def test_round_trip(request_):
    """`parse_request` makes an equal request of the same class from `to_dict`."""
    parsed = parse_request(request_.to_dict())

    assert request_ == parsed
    assert type(request_) is type(parsed)


@unhurried
@given(REQUESTS.filter(lambda made: not made.local_files()))
def test_json_round_trip(request_):
    """Without local files a request, and the body that is sent, survive JSON text."""
    assert request_ == parse_request(json.loads(json.dumps(request_.to_dict(), allow_nan=False)))
    assert request_.wire() == json.loads(json.dumps(request_.wire()))
    assert {"path": request_.path, **request_.wire()} == {"path": request_.path, **request_.to_dict()}


NAMES = st.sampled_from([*OWN, "image_urls", "num_outputs", "aspect_ratio", "resolution", "google_search"])
PLAUSIBLE = {
    "model": st.sampled_from([*MODELS, "flux"]), "prompt": PROMPTS, "image_urls": st.lists(IMAGES | ANYTHING),
    "num_outputs": st.integers(0, 5), "path": st.just("/v1/images/generations"),
}  # fmt: skip


@st.composite
def mappings(draw):
    names = draw(st.sets(NAMES | st.text(max_size=9) | st.integers()))
    return {name: draw(PLAUSIBLE.get(name, ANYTHING) | ANYTHING) for name in names}


@unhurried
@given(mappings() | ANYTHING)
def test_any_input_gives_a_request_or_our_error(mapping):
    """For any input, `parse_request` gives a request that round-trips, or InvalidRequestError."""
    try:
        request = parse_request(mapping)
    except InvalidRequestError as error:
        assert error.problems
        assert len(str(error)) < 20_000
    else:
        assert request == parse_request(request.to_dict())


def test_class_by_model():
    """The model chooses the class, an unknown one and any "path" give a raw request."""
    for cls in TYPED:
        assert cls("a") == parse_request({"model": cls.model, "prompt": "a"})
    assert RawRequest("flux", "a", params={"n": 2}) == parse_request({"model": "flux", "prompt": "a", "n": 2})
    raw = {"model": "grok-imagine-image", "prompt": "a", "n": 9, "path": "/v1/images/generations"}
    assert RawRequest("grok-imagine-image", "a", params={"n": 9}) == parse_request(raw)


def test_null_is_not_set():
    """A null in a mapping is a field that is not set, except in the params of a mapping with a path."""
    row = {"model": "grok-imagine-image", "prompt": "a", "num_outputs": None, "bogus": None, "path": None}
    assert GrokImagineImage("a") == parse_request(row)
    assert RawRequest("flux") == parse_request({"model": "flux", "prompt": None, "n": None})
    path = "/v1/run/generations"
    exact = parse_request({"model": "flux", "prompt": None, "n": None, "path": path})
    assert RawRequest("flux", params={"n": None}, path=path) == exact


@pytest.mark.parametrize("wrong", [None, "grok-imagine-image", b"x", 3, [("model", "flux")], [{}]])
def test_no_mapping(wrong):
    """A value that is not a mapping is refused, and shown."""
    [line] = problems(parse_request, wrong)

    assert line.startswith(f"{wrong!r} is not a request: give ")


def test_the_examples_of_a_request():
    """The advice has a complete request of a class and the same as a mapping."""
    [line] = problems(parse_request, "a fox")
    call, imports, mapping = re.fullmatch(r".*: give (.+) \((.+)\), or .* as (.+)", line).groups()
    names = {}
    exec(imports, names)

    assert eval(call, names) == parse_request(eval(mapping)) == GrokImagineImage("a red fox")


def test_missing_model():
    """A missing model lists the known ids, beside the other problems."""
    [line] = problems(parse_request, {"prompt": "a"})
    assert line.startswith("model: missing; the known models are ")
    assert all(json.dumps(model) in line for model in MODELS)

    assert len(problems(parse_request, {"prompt": 3, "a": {1}})) == 3
    assert len(problems(parse_request, {"model": ["grok-imagine-image"]})) == 1


def test_unknown_fields():
    """Unknown fields are one problem each, with close names, beside the wrong values."""
    found = problems(
        parse_request,
        {"model": "grok-imagine-image", "promt": "a", "zzz": 1, 3: 1, "num_outputs": 9},
    )

    fields = "its fields are prompt, num_outputs, aspect_ratio, output_format, image_urls"
    assert (
        '"promt": no field of grok-imagine-image; did you mean prompt?',
        f'"zzz": no field of grok-imagine-image; {fields}',
        f"3: no field of grok-imagine-image; {fields}",
        "prompt: missing; allowed values are non-blank texts",
        "num_outputs=9: allowed values are whole numbers from 1 to 4, or leave it out",
    ) == found
    assert len(problems(parse_request, {"model": "grok-imagine-image", "prompt": "a", "zzz": 1})) == 1


# --- one definition -------------------------------------------------------------------------------


@pytest.fixture
def wan():
    """A model as a user would add one."""

    @attrs.frozen
    class Wan(ModelRequest):
        model: ClassVar[str] = "wan"
        path: ClassVar[str] = "/v1/videos/generations"

        style: Literal["plain", "oil"] = attrs.field(kw_only=True, metadata=option("The style."))
        negative: str | None = attrs.field(
            default=None, kw_only=True, metadata=option("What to avoid.", maximum=5)
        )
        seed: int | None = attrs.field(
            default=None, kw_only=True, metadata=option("Repeatability.", minimum=0)
        )
        steps: int | None = attrs.field(default=None, kw_only=True, metadata=option("Steps."))

    yield Wan
    from foxapi_async.models import _model

    del _model._models["wan"]


def test_a_model_is_its_definition(wan):
    """Defining a class is enough: it is checked, sent and parsed."""
    request = wan("a", style="oil", seed=10**9, steps=-3)

    assert request == parse_request(request.to_dict())
    assert request.path == "/v1/videos/generations"
    assert problems(
        parse_request, {"model": "wan", "prompt": "a", "negative": "abcdef", "seed": -1, "steps": "1"}
    ) == (
        'style: missing; allowed values are "plain", "oil"',
        'negative="abcdef": 6 characters; allowed values are non-blank texts up to 5 characters, or leave it out',
        "seed=-1: allowed values are whole numbers from 0, or leave it out",
        'steps="1": allowed values are whole numbers, or leave it out',
    )


def test_a_variant_does_not_replace_a_model(wan):
    """A subclass without its own model id does not change `MODELS`."""

    @attrs.frozen
    class Variant(wan):
        pass

    assert MODELS["wan"] is wan


def test_field_spec():
    """A field's description has the facts that a command line needs for its option."""
    spec = GrokImagineImage.fields()[1]

    assert (
        FieldSpec(
            name="num_outputs",
            kind="integer",
            help="How many images to make; each is billed.",
            minimum=1,
            maximum=4,
            default="1",
        )
        == spec
    )
    assert spec.allowed == "whole numbers from 1 to 4"


def test_exports():
    """Every exported name exists, and is listed once."""
    assert len(set(models.__all__)) == len(models.__all__)
    assert all(hasattr(models, name) for name in models.__all__)


def test_import_is_light():
    """The models import neither a converter nor a network library, nor modules that only an error needs."""
    code = "import sys; sys.modules['foxapi_async'] = p = type(sys)('foxapi_async'); p.__path__ = [sys.argv[1]]\n"
    code += "import foxapi_async.models\nprint(*sys.modules)"
    package = str(Path(models.__file__).parent.parent)
    # Coverage in the child process would import its own modules.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-c", code, package]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, env=env)

    assert not {"cattrs", "aiohttp", "asyncio", "difflib", "random"} & set(loaded.stdout.split())


@pytest.mark.parametrize(
    ("request_", "count"),
    [
        (GrokImagineImage("a fox", num_outputs=3), 3),
        (GrokImagineImage("a fox"), 1),
        (RawRequest("m", params={"n": 4}), 4),
        (RawRequest("m", params={"num_outputs": "many"}), 1),
    ],
)
def test_a_request_knows_how_many_results_it_asks_for(request_, count):
    """The count is that of the request, or 1."""
    assert count == request_.expected


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("n", "num_outputs"),
        ("images", "image_urls"),
        ("ratio", "aspect_ratio"),
        ("num_output", "num_outputs"),
    ],
)
def test_a_wrong_argument_names_the_right_one(name, meant):
    """An argument of another SDK, or a typing error, is answered with the field that was meant."""
    with pytest.raises(
        TypeError,
        match=rf'GrokImagineImage: "{name}": no field of grok-imagine-image; did you mean {meant}\?',
    ):
        GrokImagineImage("a fox", **{name: 2})


def test_other_errors_of_a_constructor_stay():
    """A missing prompt is Python's own error."""
    with pytest.raises(TypeError, match="prompt"):
        GrokImagineImage()


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("grok-imagin-image", "grok-imagine-image"),
        ("gemini-3-pro-image", "gemini-3-pro-image-preview"),
        ("gemini-2.5-flash-image-preview", None),
        ("vendor/grok-imagine-image", None),
        ("grok-imagine-image-large", None),
        ("flux", None),
    ],
)
def test_a_near_miss_of_a_model_is_refused(model, meant):
    """A mapping whose model is nearly a known one gets a suggestion, before anything is sent. Another model passes."""
    if meant is None:
        assert model == parse_request({"model": model, "prompt": "a fox"}).model
    else:
        with pytest.raises(InvalidRequestError, match=f'did you mean "{meant}"'):
            parse_request({"model": model, "prompt": "a fox"})


def test_a_path_sends_any_model():
    """With a "path" the model is sent as it is."""
    request = parse_request(
        {"model": "grok-imagin-image", "prompt": "a fox", "path": "/v1/images/generations"}
    )

    assert "grok-imagin-image" == request.model
