"""The classes of image models that are made from the catalogue."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path

import pytest

from foxapi_async import InvalidRequestError, models, parse_request
from foxapi_async.models import (
    ClassicImage,
    GptImage2,
    PhotaImageEnhance,
    Wan27Image,
    _generated,
    model_definition,
)
from foxapi_async.models._catalogue import definitions

URL = "https://example.com/fox.png"
TYPED = [definition for definition in definitions() if definition.class_name]


@pytest.mark.parametrize("definition", TYPED, ids=lambda definition: definition.model)
def test_a_class_makes_the_request_of_its_model(definition):
    """A mapping of this model makes one of the class; both are equal, and so are copies."""
    cls = getattr(_generated, definition.class_name)
    model = {"model": definition.model} if "model" in inspect.signature(cls).parameters else {}
    request = cls(**definition.example, **model)

    assert request == parse_request({"model": definition.model, **definition.example})
    assert request == copy.deepcopy(request) == pickle.loads(pickle.dumps(request))


def test_users_can_import_each_class():
    """Each class of the catalogue is a public name of `foxapi_async.models`."""
    assert set() == {definition.class_name for definition in TYPED} - set(models.__all__)


@pytest.mark.parametrize("definition", TYPED, ids=lambda definition: definition.model)
def test_a_class_takes_the_fields_of_its_model(definition):
    """Those without which no request is made come first, by position."""
    parameters = inspect.signature(getattr(_generated, definition.class_name)).parameters
    by_position = [name for name, each in parameters.items() if each.kind is each.POSITIONAL_OR_KEYWORD]

    assert {spec.name for spec in definition.fields} == parameters.keys() - {"model"}
    assert [spec.name for spec in definition.fields if spec.required] == by_position


def test_a_class_refuses_what_the_catalogue_refuses():
    """All faults at once."""
    with pytest.raises(InvalidRequestError) as caught:
        GptImage2("a fox", quality="best", num_outputs=11)

    assert 2 == len(caught.value.problems)


def test_fields_are_attributes():
    """One that was not set is None."""
    request = GptImage2("a fox", quality="low")

    assert ("a fox", "low", None) == (request.prompt, request.quality, request.mask_url)


def test_other_attributes_are_errors():
    """As of any object."""
    with pytest.raises(AttributeError, match="'GptImage2' object has no attribute 'fur'"):
        GptImage2("a fox").fur  # noqa: B018


def test_a_wrong_argument_names_the_right_one():
    """An argument of another SDK is answered with the field that was meant."""
    with pytest.raises(
        TypeError, match=r'^GptImage2: "n": no field of GptImage2; did you mean num_outputs\?$'
    ):
        GptImage2("a fox", n=2)


def test_a_class_of_several_models_says_which():
    """The first is the default where they differ only in strength."""
    assert "wan-2.7-image" == Wan27Image("a fox").model
    assert "wan-2.7-image-pro" == Wan27Image("a fox", model="wan-2.7-image-pro").model


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (GptImage2("a fox", quality="low"), "GptImage2(prompt='a fox', quality='low')"),
        (ClassicImage("a fox", model="z-image-turbo"), "ClassicImage(model='z-image-turbo', prompt='a fox')"),
    ],
)
def test_a_request_is_shown_as_it_is_made(request_, text):
    """Without the fields that were not set."""
    assert text == repr(request_)


def test_a_request_stays_of_its_class_with_uploaded_files():
    """The new one has the URL."""
    request = PhotaImageEnhance(Path("fox.png")).with_files({Path("fox.png"): URL})

    assert (PhotaImageEnhance, URL) == (type(request), request.image_url)


def test_a_class_is_named_in_the_definition():
    """A model without one has None."""
    assert ("GptImage2", "GrokImagineImage", None) == tuple(
        model_definition(model).class_name for model in ("gpt-image-2", "grok-imagine-image", "sora-2")
    )


def test_an_unfinished_object_has_no_fields():
    """What copies objects may ask one before it has a model. This is an error, and no endless loop."""
    with pytest.raises(AttributeError):
        GptImage2.__new__(GptImage2).quality  # noqa: B018
