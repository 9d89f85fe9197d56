"""`size_fields`: one way to say a size for models that each have their own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxapi_async import InvalidRequestError, parse_request
from foxapi_async.models import size_fields


@pytest.mark.parametrize(
    ("model", "ratio", "megapixels", "fields"),
    [
        ("grok-imagine-image", "16:9", None, {"aspect_ratio": "16:9"}),
        ("grok-imagine-image", "2.0:1", None, {"aspect_ratio": "2:1"}),
        ("gemini-3-pro-image-preview", "16:9", 2, {"aspect_ratio": "16:9", "resolution": "1K"}),
        ("gemini-3-pro-image-preview", "1:1", 16, {"aspect_ratio": "1:1", "resolution": "4K"}),
        ("gemini-3.1-flash-image-preview", "1:1", 0.2, {"aspect_ratio": "1:1", "resolution": "512"}),
        ("z-image-turbo", "3:4", 4, {"size": "3:4", "quality": "2K"}),
        ("phota-image", "9:16", 9, {"aspect_ratio": "9:16", "resolution": "4K"}),
        ("gpt-image-2", "16:9", None, {"resolution": "1920x1080"}),
        ("gpt-image-2", "16:9", 2, {"resolution": {"width": 1872, "height": 1056}}),
        ("gpt-image-2", "3:1", 0.7, {"resolution": {"width": 1440, "height": 480}}),
        ("gpt-image-2", "3:8", 8, {"resolution": {"width": 1440, "height": 3840}}),
        ("gpt-image-2", "1:1", 100, {"resolution": {"width": 2880, "height": 2880}}),
        ("gpt-image-2-limit", "3:2", 2, {"resolution": "1536x1024"}),
        ("wan-2.7-image", "4:3", 1, {"image_size": {"width": 1152, "height": 864}}),
        ("patina-material", "1:1", 4, {"image_size": 2000}),
        ("wan-2.7-text-to-video", "16:9", 2, {"aspect_ratio": "16:9", "resolution": "1080p"}),
    ],
)
def test_a_size_in_the_fields_of_a_model(model, ratio, megapixels, fields):
    """The ratio is that which was asked for, and the number of pixels the nearest."""
    assert fields == size_fields(model, ratio, megapixels)


@pytest.mark.parametrize(
    ("model", "ratio", "megapixels", "why"),
    [
        ("grok-imagine-image", "16:9", 2, "grok-imagine-image has no field for it; leave it out"),
        ("grok-imagine-image", "7:5", None, "grok-imagine-image makes 2:1, 20:9"),
        ("gpt-image-2", "9:1", 1, "gpt-image-2 does not make this size: resolution takes multiples of 16"),
        ("gpt-image-2-limit", "16:9", 2, "and no size of this ratio"),
        ("patina-material", "16:9", 2, "patina-material makes squares only"),
        ("phota-image-enhance", "1:1", None, "has no field for a ratio"),
        ("gpt-image-2", "wide", None, 'ratio="wide": give width to height, such as 16:9'),
        ("gpt-image-2", "1:0", None, 'ratio="1:0"'),
        ("gpt-image-2", "1:1", 0, "megapixels=0: give a number above zero"),
        ("gpt-image-3", "1:1", 1, '"gpt-image-3" is not a known model: did you mean gpt-image-2'),
    ],
)
def test_a_size_that_a_model_cannot_make(model, ratio, megapixels, why):
    """The error says why."""
    with pytest.raises(InvalidRequestError) as caught:
        size_fields(model, ratio, megapixels)

    assert why in str(caught.value)


@settings(deadline=None)
@given(st.floats(0.6, 1.7), st.floats(0.7, 8.2))
def test_the_sides_are_those_that_the_model_takes(ratio, megapixels):
    """The request with them is valid, its ratio is as near as steps of 16 pixels allow, and so is its area."""
    fields = size_fields("gpt-image-2", f"{ratio:.4f}:1", megapixels)
    request = parse_request({"model": "gpt-image-2", "prompt": "a fox", **fields})
    size = request.to_dict()["resolution"]

    assert math.isclose(ratio, size["width"] / size["height"], rel_tol=0.05)
    assert math.isclose(megapixels, size["width"] * size["height"] / 1e6, rel_tol=0.1)
