"""Where the emulator and the catalogue differ. Each has its own reading of the service's pages."""

from __future__ import annotations

from foxapi_async.emulator import _bodies
from foxapi_async.emulator._refusal import RefusalError
from foxapi_async.models import find_models


def takes(definition, **fields):
    """Whether the emulator accepts the example of a model with these fields more."""
    try:
        _bodies.check(definition.path, {"model": definition.model, **definition.example, **fields})
    except RefusalError:
        return False
    return True


def test_both_know_the_same_image_models():
    """Neither has one more."""
    known = {each.model for each in find_models() if each.path == "/v1/images/generations"}

    assert set(_bodies.IMAGE_MODELS) == known


def test_the_emulator_takes_each_example():
    """At the endpoint that the catalogue names."""
    assert [] == [each.model for each in find_models() if not takes(each)]


def test_the_emulator_refuses_unknown_fields_of_few_models():
    """Only where the service was seen to do so. The catalogue refuses them for every model whose page is known."""
    strict = {each.model for each in find_models() if not takes(each, colours=3)}
    known = {each.model for each in find_models() if each.is_whole}

    assert {*_bodies._STRICT, "gpt-image-2", "gpt-image-2-limit"} == strict
    assert strict < known
