"""`docs/catalogue.py`: the extract from OpenAPI files, and the merger of its facts with those by hand."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from foxapi_async import parse_request
from foxapi_async.cli import main
from foxapi_async.models import _catalogue

ROOT = Path(__file__).parents[2]
SPEC = {
    "paths": {
        "/v1/images/generations": {
            "post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/schemas/Fox"}}}}}
        },
        "/v1/tasks/{id}": {"get": {}},
    },
    "schemas": {
        "Fox": {
            "required": ["model", "prompt"],
            "properties": {
                "model": {"type": "string", "default": "fox-1"},
                "prompt": {"type": "string"},
                "fur": {"type": "string", "enum": ["red", "white"], "default": "red"},
                "image_urls": {"type": "array", "items": {"type": "string"}},
                "seed": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            },
        }
    },
}
FACTS = {
    "level": "page",
    "source": "https://example.com/fox-1",
    "example": {"prompt": "a fox", "fur": "white"},
    "fields": {"fur": {"help": "The colour."}},
}


@pytest.fixture(scope="module")
def script():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("catalogue_script", ROOT / "docs" / "catalogue.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def merged(script):
    """Merges the small OpenAPI file with facts about its model."""

    def merge(**facts):
        models = {"fox-1": {**FACTS, **facts}} if facts is not None else {}
        return script.merge(script.extract([("fox.json", SPEC)]), {"models": models})

    return merge


def test_the_extract_has_the_fields_of_each_model(script):
    """The required ones first. A type that is one of several is left out."""
    [entry] = script.extract([("fox.json", SPEC)])["entries"]

    assert ("/v1/images/generations", ["fox-1"], "fox.json") == (
        entry["path"],
        entry["models"],
        entry["source"],
    )
    assert entry["fields"] == [
        {"name": "model", "type": "string", "required": True, "default": "fox-1"},
        {"name": "prompt", "type": "string", "required": True},
        {"name": "fur", "type": "string", "required": False, "default": "red", "enum": ["red", "white"]},
        {"name": "image_urls", "type": "array", "required": False, "items": "string"},
        {"name": "seed", "required": False},
    ]


def test_facts_by_hand_are_added(merged):
    """A field has the level of the source that says more about it."""
    [entry] = merged()
    levels = {field["name"]: field["level"] for field in entry["fields"]}

    assert {"prompt": "extract", "fur": "page", "image_urls": "extract", "seed": "extract"} == levels
    assert "The colour." == next(field["help"] for field in entry["fields"] if field["name"] == "fur")


@pytest.mark.parametrize(
    "fields",
    [
        {"fur": {"choices": ["red"]}},
        {"fur": {"default": "white"}},
        {"prompt": {"kind": "integer"}},
    ],
)
def test_a_disagreement_of_the_sources_is_an_error(script, merged, fields):
    """Somebody must look which one is right."""
    with pytest.raises(script.DisagreementError, match="in the extract"):
        merged(fields=fields)


def test_a_whole_model_names_all_fields_of_the_extract(script, merged):
    """Else the extract has a field that the page does not have."""
    with pytest.raises(script.DisagreementError, match="the extract also has image_urls, prompt, seed"):
        merged(whole=True)


def test_a_field_may_be_left_out(merged):
    """A page may say that the model has it not."""
    [entry] = merged(omit=["seed"])

    assert "seed" not in {field["name"] for field in entry["fields"]}


def test_a_field_needs_a_kind(script, merged):
    """A field that the extract does not have gets it from the facts."""
    with pytest.raises(script.DisagreementError, match="no source gives its kind"):
        merged(fields={"tail": {"help": "How long."}})


def test_the_catalogue_is_made_from_its_sources(script):
    """The committed files are what the script makes now."""
    entries = script.merge(*script.read_sources())

    assert script.text_of(entries) == script.CATALOGUE.read_text("utf-8")
    assert script.types_of(entries) == script.TYPES.read_text("utf-8")
    assert script.page_of([*script.rows_of_classes(), *script.rows_of(entries)]) == script.PAGE.read_text(
        "utf-8"
    )


@pytest.fixture
def with_fox(merged, monkeypatch):
    """The catalogue with one more entry."""
    known = dict(_catalogue._entries())
    known["fox-1"] = merged()[0]
    _catalogue.definition_of.cache_clear()
    monkeypatch.setattr(_catalogue, "_entries", lambda: known)
    yield
    _catalogue.definition_of.cache_clear()


@pytest.mark.usefixtures("with_fox")
def test_a_new_entry_is_a_new_model(capsys):
    """Its requests are checked, and the command line shows it."""
    assert "white" == parse_request({"model": "fox-1", "prompt": "a fox", "fur": "white"}).to_dict()["fur"]
    assert 0 == main(["models", "fox-1", "--json"])
    assert "fox-1" == json.loads(capsys.readouterr().out)["model"]
