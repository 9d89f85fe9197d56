"""The catalogue: the models without a class, what they accept and refuse, and how they are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from foxapi_async import InvalidRequestError, RawRequest, parse_request
from foxapi_async._batch.budget import kind_of
from foxapi_async._batch.keys import fingerprint
from foxapi_async._hints import Hint
from foxapi_async.models import MODELS, CatalogueRequest, find_models, model_definition
from foxapi_async.models._catalogue import definitions
from foxapi_async.models._file_fields import is_file, is_file_list

URL = "https://example.com/fox.png"
EVERY = [pytest.param(definition, id=definition.model) for definition in definitions()]


def made(model, **fields):
    """A request for a model of the catalogue."""
    return parse_request({"model": model, **fields})


def problems(model, **fields):
    """Why a request is refused."""
    with pytest.raises(InvalidRequestError) as caught:
        made(model, **fields)
    return caught.value.problems


@pytest.mark.parametrize("definition", EVERY)
def test_each_example_is_accepted(definition):
    """It has no doubts, and its mapping makes an equal request."""
    request = made(definition.model, **definition.example)

    assert () == request.doubts
    assert request == parse_request(request.to_dict())
    assert definition.path == request.path


@pytest.mark.parametrize("definition", EVERY)
def test_input_files_are_named_alike(definition):
    """An input file's field ends in _url, and a list of them in _urls; no other field does, except callback_url."""
    kinds = {spec.name: spec.kind for spec in definition.fields if spec.kind in ("file", "files", "images")}
    named = {
        name for name in (spec.name for spec in definition.fields) if is_file(name) or is_file_list(name)
    }

    assert kinds.keys() == named
    assert all((kind == "file") == is_file(name) for name, kind in kinds.items())


def test_a_model_with_a_class_is_not_there_twice():
    """Its facts are in its class."""
    assert not MODELS.keys() & {definition.model for definition in definitions()}


def test_each_known_id_is_a_model():
    """The 117 ids of the extract, and those that other pages add."""
    assert len(find_models()) >= 117
    assert {"nano-banana-2-lite", "wan-2.7-image-pro", "sora-2", "doc2x-v3"} <= {
        each.model for each in find_models()
    }


# What is refused.


@pytest.mark.parametrize(
    ("model", "fields", "named"),
    [
        ("gpt-image-2", {"num_outputs": 11}, "num_outputs=11: allowed values are whole numbers from 1 to 10"),
        ("gpt-image-2", {"quality": "best"}, 'quality="best": allowed values are "low", "medium", "high"'),
        ("gpt-image-2", {"resolution": "1K"}, "an object with width and height in pixels (multiples of 16"),
        ("gpt-image-2", {"resolution": {"width": 1000, "height": 1024}}, "resolution="),
        ("gpt-image-2", {"resolution": {"width": 3840, "height": 256}}, "resolution="),
        ("gpt-image-2", {"resolution": {"width": 256, "height": 256}}, "resolution="),
        ("gpt-image-2", {"resolution": {"width": 1024}}, "resolution="),
        (
            "gpt-image-2",
            {"mask_url": URL, "background": "opaque"},
            "mask_url: only allowed without background",
        ),
        ("gpt-image-2", {"mask_url": "mask.png"}, "neither an http(s) URL nor a data URI"),
        ("gpt-image-2", {"image_urls": URL}, "put it in a list"),
        (
            "wan-2.7-image",
            {"num_outputs": 5, "image_urls": [URL]},
            "num_outputs=5: at most 4 with image_urls",
        ),
        ("wan-2.7-image", {"image_urls": [URL] * 5}, "5 images given"),
        ("wan-2.7-image", {"prompt": "x" * 2001}, "up to 2000 characters"),
        ("wan-2.7-image", {"seed": 1.5}, "whole numbers"),
        ("patina-material", {"maps": ["colour"]}, 'non-empty lists of "basecolor"'),
        ("patina-material", {"maps": []}, "maps=[]"),
        ("sora-2", {"duration": 5}, "duration=5: allowed values are 4, 8, 12, 16, 20"),
        (
            "z-image-turbo",
            {"model_params": 3},
            "model_params=3: allowed values are objects with named values",
        ),
        ("z-image-turbo", {"quality": float("nan")}, "JSON cannot hold this number"),
    ],
)
def test_a_wrong_value_is_refused(model, fields, named):
    """The line names the value and what is allowed."""
    given = {"prompt": "a fox", **({"maps": ["height"]} if model == "patina-material" else {}), **fields}

    assert any(named in line for line in problems(model, **given))


@pytest.mark.parametrize("value", [-0.1, 1.1, True, "much"])
def test_a_number_has_limits(value):
    """A bool and a text are no numbers."""
    [line] = problems("phota-image-enhance", image_url=URL, creativity=value)

    assert "numbers from 0 to 1" in line


def test_a_size_within_the_rule_is_accepted():
    """A mapping with a width and a height in pixels."""
    size = {"width": 1024, "height": 1536}

    assert size == made("gpt-image-2", prompt="a fox", resolution=size).to_dict()["resolution"]


def test_a_size_without_a_rule_is_any_mapping_of_two_numbers():
    """wan-2.7-image gives no limits."""
    assert made("wan-2.7-image", prompt="a fox", image_size={"width": 7, "height": 9})


def test_a_missing_field_is_named():
    """A model without a prompt needs none."""
    assert ("image_url: missing; allowed values are a URL",) == problems("phota-image-enhance")


def test_a_field_of_other_models_names_them():
    """A model whose fields are all known refuses another one."""
    [line] = problems("phota-image", prompt="a fox", image_size=1024)

    assert "no field of phota-image" in line
    assert line.endswith(
        "models that have it: patina-material, patina-material-extract, patina-pbr-maps, and 2 more"
    )


def test_a_field_of_no_model_has_no_such_list():
    """The line gives the fields of the model."""
    [line] = problems("phota-image", prompt="a fox", colours=3)

    assert line.endswith("its fields are prompt, num_outputs, resolution, aspect_ratio")


def test_a_refusal_says_how_to_send_it_all_the_same():
    """The service may have added a field."""
    with pytest.raises(InvalidRequestError) as caught:
        made("phota-image", prompt="a fox", colours=3)

    assert Hint.SEND_RAW is caught.value.hint


# What is doubted.


@pytest.mark.parametrize(
    ("fields", "doubt"),
    [
        ({"sed": 5}, '"sed": no field of veo-3.1; did you mean seed?'),
        ({"duration": "long"}, 'duration="long": allowed values are whole numbers, or leave it out'),
    ],
)
def test_what_only_the_extract_says_is_doubted(fields, doubt):
    """The request is made, and says what may be wrong."""
    request = made("veo-3.1", prompt="a fox", **fields)

    assert (doubt,) == request.doubts


def test_a_missing_field_is_doubted_too():
    """The extract says that it is required."""
    assert ("prompt: missing; allowed values are non-blank texts",) == made("veo-3.1").doubts


def test_a_type_that_is_not_known_takes_any_value():
    """The extract gives none."""
    assert () == made("veo-3.1", prompt="a fox", safety_tolerance=["any"]).doubts


def test_other_requests_have_no_doubts():
    """They are checked by a class, or not at all."""
    assert () == RawRequest("flux", "a fox").doubts


# Requests.


def test_local_files_are_found_in_all_fields(tmp_path):
    """Also in a field that holds one."""
    request = made(
        "gpt-image-2", prompt="a fox", mask_url=Path("mask.png"), image_urls=[Path("fox.png"), URL]
    )

    assert (Path("mask.png"), Path("fox.png")) == request.local_files()


def test_uploaded_files_take_the_place_of_local_ones():
    """The wire form has their URLs."""
    request = made("gpt-image-2", prompt="a fox", mask_url=Path("mask.png")).with_files(
        {Path("mask.png"): URL}
    )

    assert {"model": "gpt-image-2", "prompt": "a fox", "mask_url": URL} == request.wire()


def test_the_price_does_not_depend_on_texts_and_addresses():
    """Only the number of input images counts."""
    request = made("gpt-image-2", prompt="a fox", quality="low", image_urls=[URL, URL])

    expected = {"model": "gpt-image-2", "path": "/v1/images/generations", "quality": "low", "image_urls": 2}
    assert expected == request.price_fields()


@pytest.mark.parametrize(("fields", "count"), [({}, 1), ({"num_outputs": 3}, 3)])
def test_a_request_knows_how_many_results_it_asks_for(fields, count):
    """One if it does not say."""
    assert count == made("gpt-image-2", prompt="a fox", **fields).expected


def test_a_model_without_a_prompt_has_none():
    """Its request is shown without one."""
    assert made("phota-create-profile", image_archive_url=URL).prompt is None


def test_a_request_is_the_same_as_a_raw_one():
    """Before the catalogue knew its model, a batch sent it as one: its item must not be billed again."""
    raw = RawRequest("sora-2", "a fox", params={"duration": 8}, path="/v1/videos/generations")
    known = made("sora-2", prompt="a fox", duration=8)

    assert (fingerprint(raw), kind_of(raw)) == (fingerprint(known), kind_of(known))


def test_a_request_keeps_a_copy():
    """Later changes by the caller have no effect."""
    given = {"prompt": "a fox", "model_params": {"steps": 3}}
    request = CatalogueRequest("z-image-turbo", given)
    given["model_params"]["steps"] = 4

    assert 3 == request.to_dict()["model_params"]["steps"]


# Finding models.


def test_models_are_found_by_what_they_make():
    """No other comes."""
    assert {"video"} == {each.returns for each in find_models(returns="video")}


def test_models_are_found_by_words():
    """All words are in the id or in the fields."""
    assert ["gpt-image-2"] == [each.model for each in find_models(search="mask GPT")]


def test_a_model_with_a_class_is_found_too():
    """Its definition has its fields."""
    assert MODELS["grok-imagine-image"].fields() == model_definition("grok-imagine-image").fields


def test_an_unknown_model_has_no_definition():
    """The error suggests a near one."""
    with pytest.raises(InvalidRequestError, match="did you mean sora-2"):
        model_definition("sora2")


def test_a_strange_name_gets_no_suggestion():
    """The error says where the known ones are."""
    with pytest.raises(InvalidRequestError, match="lists the known ones"):
        model_definition("@")


def test_the_types_of_mappings_are_dictionaries_at_run_time():
    """A program may import them, and has no class more for it."""
    from foxapi_async.models.fields import Sora2Fields

    assert {"model": "sora-2"} == Sora2Fields(model="sora-2")


def test_the_module_of_types_has_no_other_names():
    """As any module."""
    with pytest.raises(ImportError, match="Sora2"):
        from foxapi_async.models.fields import Sora2  # noqa: F401


def test_nothing_is_known_about_the_fields_of_a_raw_request():
    """So its input files are not limited."""
    assert RawRequest("flux", params={"image_url": Path("fox.png")}).field("image_url") is None


def test_a_right_input_file_has_no_fault():
    """A URL is one."""
    assert [] == list(model_definition("gpt-image-2").field("mask_url").problems(URL))


def test_a_near_miss_names_the_endpoint_of_the_model_that_was_meant():
    """With it, the model is sent unchecked."""
    [line] = problems("lipsnyc-2", prompt="a fox")

    assert line.endswith(
        'did you mean "lipsync-2"? With "path": "/v1/videos/generations" any model is sent unchecked'
    )
