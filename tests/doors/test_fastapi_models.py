"""Which models a router takes, and what the OpenAPI document says about their fields."""

import json

import pytest
from apps.asgi import Client, make_app
from fastapi import FastAPI
from helpers import posts

from foxapi_async import InvalidRequestError
from foxapi_async.fastapi import fox_lifespan, image_router
from foxapi_async.models import find_models, model_definition

pytestmark = pytest.mark.virtual

A_FOX = {"model": "grok-imagine-image", "prompt": "a red fox"}
RAW = ("new-model", "/v1/run/generations")


@pytest.fixture
async def client(emulator):
    async with Client(make_app(emulator)) as client:
        yield client


def document(**options):
    """The OpenAPI document of an app with one router."""
    app = FastAPI()
    app.include_router(image_router(dependencies=[], **options))
    return app.openapi()


def body_in(found, path="/images"):
    return found["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]


def schema_for(model, **options):
    """The schema of a body for a model."""
    found = document(**options)
    (path,) = [path for path, methods in found["paths"].items() if "post" in methods]
    mapping = body_in(found, path)["discriminator"]["mapping"]
    return found["components"]["schemas"][mapping[model].rpartition("/")[2]]


# Which models.


async def test_every_image_model_is_allowed(client):
    """Without a list, the example of each known image model is accepted."""
    examples = [
        {"model": definition.model, **definition.example} for definition in find_models(returns="image")
    ]
    answers = [await client.post("/images", example) for example in examples]

    assert [202] * len(examples) == [answer.status for answer in answers]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"model": "sora-2", "prompt": "x"}, 'model="sora-2": not allowed here; the allowed models are gemini-3'),
        ({"model": "grok-imagin-image", "prompt": "x"}, "not allowed here; did you mean grok-imagine-image? the allowed"),
        ({"model": 3, "prompt": "x"}, "model=3: not allowed here; the allowed models are"),
        ({"model": "x", "path": "/v1/run/generations"}, 'model="x": not allowed here'),
        ({**A_FOX, "path": "/v1/run/generations"}, "path: the server chooses it; leave it out"),
        ({"prompt": "x"}, "model: missing; the allowed models are gemini-3"),
    ],
)  # fmt: skip
async def test_a_model_that_is_not_allowed(emulator, client, body, words):
    """Another model, and a path of the client's own, is 422 with the allowed ones, and nothing is sent."""
    answer = await client.post("/images", body)

    assert (422, "invalid_request") == (answer.status, answer.error["type"])
    assert answer.error["problems"][0].startswith(words) or words in answer.error["problems"][0]
    assert [] == posts(emulator)


async def test_a_whole_number_with_a_point(emulator, client):
    """In JSON, 2.0 and 2 are one number."""
    answer = await client.post("/images", {**A_FOX, "num_outputs": 2.0})

    assert (202, 2) == (answer.status, emulator.billed_images)


async def test_a_number_that_is_not_whole(client):
    """Any other number is not whole."""
    answer = await client.post("/images", {**A_FOX, "num_outputs": 2.5})

    assert ["num_outputs=2.5: allowed values are whole numbers from 1 to 4, or leave it out"] == answer.error[
        "problems"
    ]


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("num_outputs", True, "num_outputs=true: allowed values are whole numbers"),
        ("output_format", ["png", None], 'output_format=["png", null]: allowed values are "jpg", "jpeg", "png", "webp"'),
        ("image_urls", [{"url": 'a"b'}], r'image_urls[0]={"url": "a\"b"}: an image is a URL as text'),
    ],
)  # fmt: skip
async def test_a_message_spells_a_value_as_json_does(client, field, value, line):
    """A client that knows no Python reads its own value, and the allowed ones."""
    answer = await client.post("/images", {**A_FOX, field: value})

    assert answer.error["problems"][0].startswith(line)


async def test_a_problem_for_programs(client):
    """A front end with words of its own gets the field, what is wrong, and the values."""
    answer = await client.post("/images", {**A_FOX, "num_outputs": 9})

    limits = {"kind": "integer", "minimum": 1, "maximum": 4}
    assert [
        {
            "type": "not_allowed",
            "field": "num_outputs",
            "message": answer.error["problems"][0],
            "ctx": {**limits, "value": "9"},
        }
    ] == answer.error["details"]


async def test_a_size_that_is_too_small(client):
    """The values of a size have its rule, in JSON's own types."""
    answer = await client.post(
        "/images", {"model": "gpt-image-2", "prompt": "x", "resolution": {"width": 16, "height": 16}}
    )
    (problem,) = answer.error["details"]

    assert {"sides": [256, 3840], "multiple": 16, "longest": 3, "area": [655360, 8294400]} == problem["ctx"][
        "pixels"
    ]


async def test_models_that_make_other_things(emulator):
    """A video model has the same routes at `/generations`, from the submit to the file."""
    async with Client(make_app(emulator, models=["sora-2", "grok-imagine-image"])) as client:
        sent = await client.post("/generations", {"model": "sora-2", "prompt": "a fox runs"})
        path = f"/generations/{sent.json['id']}"
        events = (await client.get(f"{path}/events")).events
        state, result = await client.get(path), await client.get(f"{path}/result")
        file = await client.get(f"{path}/files/1")
        refused = await client.post("/generations", {"model": "gpt-image-2", "prompt": "x"})

    assert (202, path) == (sent.status, sent.headers["location"])
    assert "final" == events[-1].kind
    assert (True, 1) == (state.json["finished"], len(result.json["images"]))
    assert "video/mp4" == file.headers["content-type"]
    assert refused.error["problems"][0].endswith("the allowed models are sora-2, grok-imagine-image")


async def test_a_result_that_is_a_text(emulator):
    """What is not a file is in `values`."""
    async with Client(make_app(emulator, models=["scribe-v2"])) as client:
        sent = await client.post(
            "/generations", {"model": "scribe-v2", "audio_url": "https://example.com/a.wav"}
        )
        result = await client.get(f"{sent.headers['location']}/result")

    assert ([], "the fox sleeps") == (result.json["images"], result.json["values"][0]["text"])


async def test_a_model_with_a_path(emulator):
    """A pair lets a client send any fields to this path, and to no other."""
    body = {"model": "new-model", "prompt": "x", "anything": [1]}
    async with Client(make_app(emulator, models=[RAW])) as client:
        await client.post("/generations", body)
        await client.post("/generations", {**body, "path": RAW[1]})
        other = await client.post("/generations", {**body, "path": "/v1/images/generations"})

    assert [RAW[1]] * 2 == [record.path for record in posts(emulator)]
    assert (422, ['path: the server chooses it; give "/v1/run/generations", or leave it out']) == (
        other.status,
        other.error["problems"],
    )


async def test_a_list_of_image_models_keeps_the_path(emulator):
    """If each model of the list makes images, the routes stay at `/images`."""
    async with Client(make_app(emulator, models=["gpt-image-2"])) as client:
        assert 202 == (await client.post("/images", {"model": "gpt-image-2", "prompt": "x"})).status


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (["sora2"], '"sora2" is not a known model: did you mean sora-2'),
        ([], "name one model or more"),
        (["sora-2", "sora-2"], "each only once"),
        ([RAW, "sora-2", ("sora-2", RAW[1])], "each only once"),
        ([("new-model", "https://example.com/generations")], "path="),
        ([("", RAW[1])], "model="),
    ],
)
def test_a_list_with_a_mistake(models, words):
    """A mistake in the list is an error when the router is made."""
    with pytest.raises(InvalidRequestError, match=words):
        image_router(dependencies=[], models=models)


# The schemas.


def test_models_with_the_same_fields_share_a_schema():
    """A body is one of the schemas, chosen by its model; models with the same fields have one schema."""
    found = document()
    body = body_in(found)
    mapping = body["discriminator"]["mapping"]

    assert "model" == body["discriminator"]["propertyName"]
    assert {definition.model for definition in find_models(returns="image")} == set(mapping)
    assert {each["$ref"] for each in body["oneOf"]} == set(mapping.values())
    assert mapping["gpt-image-1"] == mapping["z-image-turbo"]
    assert ["wan-2.7-image", "wan-2.7-image-pro"] == schema_for("wan-2.7-image")["properties"]["model"][
        "enum"
    ]


def test_the_facts_of_a_field():
    """A schema has types, choices, limits and a help text; null counts as left out; an example is a whole request."""
    schema = schema_for("grok-imagine-image")
    fields = schema["properties"]

    assert ["model", "prompt"] == schema["required"]
    assert ("string", r"[^\s\x1c-\x1f\x85]") == (fields["prompt"]["type"], fields["prompt"]["pattern"])
    assert (["integer", "null"], 1, 4) == tuple(
        fields["num_outputs"][name] for name in ("type", "minimum", "maximum")
    )
    assert ["jpg", "jpeg", "png", "webp", None] == fields["output_format"]["enum"]
    assert (
        "The file format. If left out: jpeg. Leave it out unless you need it."
        == fields["output_format"]["description"]
    )
    assert (["array", "null"], 1, 3) == tuple(
        fields["image_urls"][name] for name in ("type", "minItems", "maxItems")
    )
    assert {"model": "grok-imagine-image", "prompt": "a red fox in the snow"} == schema["example"]
    assert schema["additionalProperties"] is False


def test_facts_that_are_not_sure_forbid_nothing():
    """By a fact of the service's OpenAPI file alone, a request is not refused: the schema has it only in words."""
    schema = schema_for("veo-3.1", models=["veo-3.1", "sora-2"])
    unsure = [spec for spec in model_definition("veo-3.1").fields if spec.level == "extract"]

    assert unsure
    assert all({"description"} == set(schema["properties"][spec.name]) for spec in unsure)
    assert not set(schema["required"]) & {spec.name for spec in unsure}
    assert schema["additionalProperties"] is True


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        ("grok-imagine-image", '"not": {"allOf": [{"properties": {"aspect_ratio"'),
        ("gemini-3-pro-image-preview", '"if": {"properties": {"aspect_ratio": {"const": "match_input_image"}}'),
        ("wan-2.7-image", '"exclusiveMinimum": 4'),
        ("gpt-image-2", '"multipleOf": 16'),
        ("gpt-image-2", "655,360 to 8,294,400 in all"),
    ],
)  # fmt: skip
def test_the_rules_of_a_model(model, rule):
    """Rules between fields, and about sizes in pixels, are in the schema, or at least in its words."""
    assert rule in json.dumps(schema_for(model))


def test_a_model_that_is_sent_unchecked():
    """Only its id, its path and its prompt are described."""
    schema = schema_for("new-model", models=[RAW, "sora-2"])

    assert {"model", "prompt", "path"} == set(schema["properties"])
    assert ([RAW[1], None], True) == (schema["properties"]["path"]["enum"], schema["additionalProperties"])


def test_one_set_of_fields_needs_no_choice():
    """The schema of a router for one model is that of the model."""
    assert {"$ref": "#/components/schemas/GptImage2"} == body_in(document(models=["gpt-image-2"]))


def test_two_routers_in_one_app():
    """The schemas of two routers with other models do not meet."""
    app = FastAPI(lifespan=fox_lifespan())
    app.include_router(image_router(dependencies=[]))
    app.include_router(image_router(dependencies=[], models=["gpt-image-1", RAW]), prefix="/more")
    found = app.openapi()
    mapping = body_in(found, "/more/generations")["discriminator"]["mapping"]
    schema = found["components"]["schemas"][mapping["gpt-image-1"].rpartition("/")[2]]

    assert ["gpt-image-1"] == schema["properties"]["model"]["enum"]
    assert mapping["gpt-image-1"] != body_in(found)["discriminator"]["mapping"]["gpt-image-1"]


def test_two_sets_of_fields_with_one_class():
    """If models of one class have other fields, each set has a name of its own."""
    mapping = body_in(document())["discriminator"]["mapping"]

    assert ("GptImage2", "GptImage2Limit") == tuple(
        mapping[model].rpartition("/")[2] for model in ("gpt-image-2", "gpt-image-2-limit")
    )


def test_ids_with_equal_words():
    """Each id has a schema of its own, also if its words are another's, or if it has none."""
    ids = ["模型", "型号", "sora-2", "Sora 2"]
    mapping = body_in(document(models=[(name, RAW[1]) for name in ids]), "/generations")["discriminator"][
        "mapping"
    ]

    assert ["Model", "Model_2", "Sora2", "Sora2_2"] == [mapping[name].rpartition("/")[2] for name in ids]
