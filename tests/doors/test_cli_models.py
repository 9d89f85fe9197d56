"""`foxapi models`, and requests for models without a class on the command line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from shell import point_to

from foxapi_async import Estimates
from foxapi_async._cadence.estimates import price_book
from foxapi_async._policy.prices import priced_as
from foxapi_async.cli import _requests
from foxapi_async.cli._parser import build_parser
from foxapi_async.emulator import ThreadedEmulator
from foxapi_async.models import MODELS, find_models, parse_request

pytestmark = pytest.mark.usefixtures("clean_place")
URL = "https://example.com/fox.png"
FAST = ("--emulator", "--emulator-seconds", "0.1")


def given(*words):
    """The requests that these words of `generate` describe."""
    line = ["generate", *words]
    return _requests.read_requests(build_parser(line).parse_args(line))


def test_models_without_a_class_are_listed(foxapi):
    """Each has a line, after those with a class."""
    _, out, _ = foxapi("models")
    lines = [line.split() for line in out.splitlines()]

    assert {definition.model for definition in find_models()} <= {words[0] for words in lines if words}
    assert ["sora-2", "video", "from", "prompt"] in lines


def test_the_list_may_be_of_one_type(foxapi):
    """Only models that make this."""
    _, out, _ = foxapi("models", "--type", "profile", "--json")

    assert ["phota-create-profile"] == [json.loads(line)["model"] for line in out.splitlines()]


def test_the_list_may_be_searched(foxapi):
    """The words are in the id or the fields."""
    _, out, _ = foxapi("models", "--search", "tiling")

    assert [["patina-material", "image", "from", "prompt,", "maps"]] == [
        line.split() for line in out.splitlines()[1:]
    ]


def test_an_empty_list_says_so(foxapi):
    """On standard error, and the exit status is 0."""
    code, out, err = foxapi("models", "--search", "walrus")

    assert (0, "") == (code, out)
    assert "no known model matches" in err


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("gpt-image-2", "--mask-url and --background: only one of the two"),
        ("gpt-image-2", "multiples of 16 from 256 to 3840"),
        ("wan-2.7-image", "-n: at most 4 with --image"),
        ("gemini-3-pro-image-preview", "--aspect-ratio match_input_image: only with --image"),
        ("grok-imagine-image", "--aspect-ratio and --image: only one of the two"),
        ("wan-2.7-image", 'or {"width": W, "height": H} in pixels'),
        ("phota-image", "a whole number, 1 or more (default 1)"),
        ("sora-2", "4, 8, 12, 16, 20"),
        ("sora-2", "one or more of values, at most 2"),
        ("patina-material", "one or more of basecolor, normal, roughness, metalness, height"),
        ("patina-material", "Required."),
        ("veo-3.1", "(not sure)"),
        ("veo-3.1", "known from the service's OpenAPI file alone"),
        ("z-image-turbo", "a JSON object"),
        ("grok-imagine-image", "in Python GrokImagineImage"),
        ("grok-imagine-image", "--aspect-ratio"),
    ],
)
def test_a_model_is_shown(foxapi, model, words):
    """Its fields, their limits, the rules between them, and how sure all this is."""
    code, out, _ = foxapi("models", model)

    assert 0 == code
    assert words in out


def test_the_list_may_be_of_the_models_of_the_key(foxapi, service):
    """The service says which they are."""
    code, out, err = foxapi("models", "--mine", "--type", "image", "--json")
    models = {json.loads(line)["model"] for line in out.splitlines()}

    assert 0 == code
    assert "gpt-image-2" in models
    assert models <= {definition.model for definition in find_models(returns="image")}
    assert "which models the key may call" in err


def test_models_of_the_key_that_are_not_known_are_named(foxapi, monkeypatch):
    """They can be sent, unchecked."""
    with ThreadedEmulator(models=("fox-9",)) as emulator:
        point_to(emulator, monkeypatch)
        _, _, err = foxapi("models", "--mine")

    assert "the key may also call 1 model that this version does not know: fox-9" in err


def test_an_unknown_model_is_no_model(foxapi):
    """The error suggests a near one."""
    code, _, err = foxapi("models", "sora2")

    assert 2 == code
    assert '"sora2" is not a known model: did you mean sora-2 or sora-2-pro?' in err


@pytest.mark.thorough
def test_the_example_of_each_model_runs(foxapi):
    """The command line that `models NAME` shows makes the request of the example, by the options of its fields."""
    made = {}
    for definition in find_models():
        _, out, _ = foxapi("models", definition.model)
        example = next(line for line in out.splitlines() if line.startswith("example: "))
        [request] = given(*shlex.split(example)[3:])
        made[definition.model] = request.to_dict()

    assert {each.model: {"model": each.model, **each.example} for each in find_models()} == made


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (("sora-2", "--duration", "8"), "duration", 8),
        (("gpt-image-2", "--quality", "high"), "quality", "high"),
        (("patina-material", "--maps", "height", "--maps", "normal"), "maps", ["height", "normal"]),
        (
            ("wan-2.7-image", "--image-size", '{"width": 1280, "height": 720}'),
            "image_size",
            {"width": 1280, "height": 720},
        ),
        (("wan-2.7-image", "--image-size", "square_hd"), "image_size", "square_hd"),
        (("veo-3.1", "--generate-audio"), "generate_audio", True),
        (("veo-3.1", "--seed", "7"), "seed", 7),
    ],
)
def test_the_fields_of_a_model_are_options(words, field, value):
    """A model of the catalogue has them where it is named."""
    [request] = given("a fox", "--model", *words)

    assert value == request.to_dict()[field]


@pytest.mark.parametrize("words", [("-m", "sora-2"), ("--model=sora-2",), ("-m", "veo-3.1", "-m", "sora-2")])
def test_the_help_shows_the_options_of_the_named_model(foxapi, words):
    """In each way to name it; the last one counts."""
    _, out, _ = foxapi("generate", *words, "--help")

    assert "sora-2: 4, 8, 12, 16, 20" in out


def test_without_the_model_its_options_are_none(foxapi):
    """The list of all would be too long to read."""
    code, _, err = foxapi("generate", "a fox", "--maps", "height")

    assert 2 == code
    assert "no such option: --maps" in err


@pytest.mark.thorough
def test_each_model_can_be_named():
    """No field has the option of something else: `argparse` refuses the same option twice."""
    for definition in find_models():
        for command in ("generate", "batch"):
            build_parser((command, "-m", definition.model))


def test_a_field_without_an_option_is_a_param(foxapi):
    """`--name` is that of the saved files."""
    _, out, _ = foxapi("models", "sora-2-character")

    assert "--param name" in out


def test_a_local_file_of_an_option_is_uploaded(tmp_path):
    """A field for an input file takes a path."""
    (tmp_path / "fox.png").write_bytes(b"\x89PNG")
    path = str(tmp_path / "fox.png")
    [request] = given("-m", "phota-image-enhance", "--image-url", path)

    assert (tmp_path / "fox.png",) == request.local_files()


def test_params_of_a_known_model_are_checked():
    """A model without a class gets its fields by --param, and its own endpoint."""
    [request] = given("a fox", "-m", "sora-2", "--param", "duration=8")

    assert {"model": "sora-2", "prompt": "a fox", "duration": 8} == request.to_dict()
    assert "/v1/videos/generations" == request.path


def test_a_wrong_param_is_named_as_it_was_given(foxapi):
    """The error has the option."""
    code, _, err = foxapi("generate", "a fox", "-m", "sora-2", "--param", "duration=5")

    assert 2 == code
    assert "--duration=5: allowed values are 4, 8, 12, 16, 20" in err


def test_a_local_file_of_a_param_is_uploaded(tmp_path):
    """A field for input files takes a path."""
    (tmp_path / "fox.png").write_bytes(b"\x89PNG")
    path = str(tmp_path / "fox.png")
    [request] = given("-m", "phota-image-enhance", "--param", f"image_url={path}")

    assert (tmp_path / "fox.png",) == request.local_files()


def test_a_missing_file_of_a_param_is_refused(foxapi):
    """Before anything is sent."""
    code, _, err = foxapi("generate", "-m", "phota-image-enhance", "--param", "image_url=no.png")

    assert 2 == code
    assert "--param image_url no.png: " in err


def test_a_model_with_a_prompt_needs_one(foxapi):
    """As those with a class do."""
    code, _, err = foxapi("generate", "-m", "sora-2")

    assert 2 == code
    assert "give a PROMPT" in err


def test_with_a_path_nothing_is_checked():
    """The request is raw."""
    [request] = given("a fox", "-m", "sora-2", "--param", "duration=5", "--path", "/v1/videos/generations")

    assert "/v1/videos/generations" == request.to_dict()["path"]


def test_a_doubt_is_said_once(foxapi):
    """Two requests with the same wrong field are sent, with one warning."""
    code, _, err = foxapi(
        *("generate", "a fox", "--prompt", "an owl", "-m", "kling-v2-6-video", "--param", "sed=5", *FAST)
    )

    assert 0 == code
    assert 1 == err.count('"sed": no field of kling-v2-6-video')


def test_the_check_of_a_batch_says_a_doubt(foxapi, tmp_path):
    """Once for each field, with the first line, before money is spent."""
    lines = [json.dumps({"model": "veo-3.1", "prompt": f"fox {n}", "sed": n}) for n in range(3)]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    code, _, err = foxapi("batch", str(tmp_path / "p.jsonl"), "--check")

    assert 0 == code
    assert 1 == err.count(
        'line 1: veo-3.1: "sed": no field of veo-3.1; did you mean seed?; it is sent anyway'
    )
    assert "line 2" not in err


def test_not_all_doubts_of_a_batch_are_said(foxapi, tmp_path):
    """Twenty fields are enough to see that the file is of another kind."""
    strange = {f"field_{n}": n for n in range(30)}
    (tmp_path / "p.jsonl").write_text(json.dumps({"model": "kling-v2-6-video", "prompt": "a fox", **strange}))
    _, _, err = foxapi("batch", str(tmp_path / "p.jsonl"), "--check")

    assert 20 == err.count("no field of kling-v2-6-video")


def test_options_of_a_batch_are_fields_of_its_model(foxapi, tmp_path):
    """A model without a class takes those that fit no class, too."""
    (tmp_path / "p.txt").write_text("a fox\n")
    code, out, _ = foxapi(
        *(
            "batch",
            str(tmp_path / "p.txt"),
            "-m",
            "phota-image",
            "--resolution",
            "4K",
            "--param",
            "num_outputs=2",
        ),
        "--check",
    )

    assert 0 == code
    assert "phota-image: 1 submit, 2 images\n" in out


def test_a_batch_of_a_known_model_needs_no_param(foxapi, tmp_path):
    """The check does not call it unknown."""
    (tmp_path / "p.txt").write_text("a fox\n")
    _, out, _ = foxapi("batch", str(tmp_path / "p.txt"), "-m", "phota-image", "--check")

    assert "phota-image: 1 submit, 1 image\n" in out


def test_each_class_is_in_the_list_once():
    """The list has the classes and the catalogue."""
    found = [definition.model for definition in find_models()]

    assert len(found) == len(set(found))
    assert set(MODELS) <= set(found)


# Learned prices.


def prices_of(foxapi, model, *words):
    """The lines about prices that `foxapi models` prints."""
    _, out, _ = foxapi("models", model, *words)
    return [line for line in out.splitlines() if line.startswith("price")]


def save_prices(*learned):
    """A file with the prices of these requests, each with the credits of one result."""
    estimates = Estimates()
    for fields, credits_of_one in learned:
        price_book(estimates).learn(priced_as(parse_request(fields)), credits_of_one)
    Path("e.json").write_text(json.dumps(estimates.to_dict()))


GROK = {"model": "grok-imagine-image", "prompt": "a fox"}
SORA = {"model": "sora-2", "prompt": "a fox", "duration": 8}


def test_a_model_is_shown_with_its_learned_prices(foxapi):
    """Each kind has a line, with how often its price was seen."""
    save_prices((GROK, 5), (GROK | {"num_outputs": 2}, 5), (GROK | {"aspect_ratio": "16:9"}, 6.5))

    assert [
        "price: 5 credits for one image (seen 2 times)",
        "price: 6.5 credits for one image with aspect_ratio 16:9 (seen 1 time)",
    ] == prices_of(foxapi, "grok-imagine-image", "--estimates", "e.json")


def test_the_price_of_a_video(foxapi, monkeypatch):
    """It is named as one. The file may be named in the environment."""
    save_prices((SORA, 1))
    monkeypatch.setenv("FOXAPI_ESTIMATES", "e.json")

    assert ["price: 1 credit for one video with duration 8 (seen 1 time)"] == prices_of(foxapi, "sora-2")


def test_the_price_of_another_result(foxapi):
    """Not everything that a model returns can be counted."""
    save_prices(({"model": "phota-create-profile", "image_archive_url": URL}, 9))
    words = ("phota-create-profile", "--estimates", "e.json")

    assert ["price: 9 credits for one result (seen 1 time)"] == prices_of(foxapi, *words)


@pytest.mark.parametrize("words", [(), ("--estimates", "e.json")])
def test_an_unknown_price_is_not_shown(foxapi, words):
    """Nothing is guessed."""
    assert [] == prices_of(foxapi, "sora-2", *words)


def test_learned_prices_as_json(foxapi):
    """A program gets the fields as values."""
    save_prices((SORA, 40))
    _, out, _ = foxapi("models", "sora-2", "--estimates", "e.json", "--json")

    assert [{"credits": 40, "fields": {"duration": 8}, "seen": 1}] == json.loads(out)["prices"]


def test_a_file_of_other_content_has_no_prices(foxapi):
    """The error names the file."""
    Path("e.json").write_text("{}")
    code, _, err = foxapi("models", "sora-2", "--estimates", "e.json")

    assert 3 == code
    assert "e.json" in err


def test_a_command_learns_prices(foxapi, service):
    """`generate` keeps them for `models`."""
    foxapi("generate", "a fox", "--estimates", "e.json")

    assert ["price: 5 credits for one image (seen 1 time)"] == prices_of(
        foxapi, "grok-imagine-image", "--estimates", "e.json"
    )


def test_an_emulator_teaches_no_price(foxapi):
    """Its prices are not those of the service."""
    code, _, _ = foxapi("generate", "a fox", "--estimates", "e.json", *FAST)

    assert 0 == code
    assert not Path("e.json").exists()
