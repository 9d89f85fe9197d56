"""Each known model, from its example to its result, in the SDK and on the command line."""

import io
import json
import wave
import zipfile

import pytest
from helpers import session_at
from PIL import Image

from foxapi_async import Batch, RawRequest, parse_request
from foxapi_async.cli import main
from foxapi_async.emulator import Emulator
from foxapi_async.models import find_models, model_definition

VALUES = {"profile_id": "profile", "character_id": "character", "voice_id": "voice", "text": "text"}


def kind_of_file(path):
    """What a file is, by its ending and by its content, which is read as a whole."""
    data = path.read_bytes()
    match path.suffix:
        case ".png" | ".jpg":
            with Image.open(io.BytesIO(data)) as image:
                image.load()
            return "image"
        case ".mp4":
            assert (b"ftyp", True) == (data[4:8], b"moov" in data)
            return "video"
        case ".wav":
            with wave.open(io.BytesIO(data)) as sound:
                assert sound.getnframes() * sound.getsampwidth() == len(sound.readframes(10**6))
            return "audio"
        case ".zip":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                assert archive.testzip() is None
            return "document"


def kind_of_value(value):
    """What a result without a file is."""
    return next(kind for name, kind in VALUES.items() if value.get(name))


async def kinds_of(outcome, folder):
    """What the results of a task are: of its files, and of its values."""
    if outcome.result is None:
        return repr(outcome.error)
    files = await outcome.result.save(folder)
    return [*map(kind_of_file, files), *map(kind_of_value, outcome.result.values)]


@pytest.mark.thorough
async def test_each_example_gives_a_result_of_its_kind(tmp_path):
    """Files have the ending and the content of what their model makes."""
    models = find_models()
    requests = [parse_request({"model": each.model, **each.example}) for each in models]
    kinds = {}
    async with Emulator(seconds=0.1) as emulator, session_at(emulator) as fox:
        async for outcome in fox.as_completed(requests):
            kinds[models[outcome.index].model] = await kinds_of(outcome, tmp_path)

    assert {each.model: [each.returns] for each in models} == kinds


async def result_of(request):
    """The result of a request."""
    async with Emulator(seconds=0.05) as emulator, session_at(emulator) as fox:
        return await fox.generate(request)


async def test_a_cloned_voice_reads_a_text(tmp_path):
    """The result is the voice, and a file."""
    request = parse_request(
        {"model": "minimax-voice-clone", "audio_url": "https://example.com/fox.wav", "text": "I am a fox."}
    )
    async with Emulator(seconds=0.05) as emulator, session_at(emulator) as fox:
        result = await fox.generate(request)
        [path] = await result.save(tmp_path)

    assert "audio" == kind_of_file(path)
    assert result.values[0]["voice_id"]
    assert "audio/wav" == result.images[0].content_type


async def test_a_cloned_voice_without_a_text_has_no_file():
    """The result is the voice alone."""
    result = await result_of(
        parse_request({"model": "minimax-voice-clone", "audio_url": "https://example.com/fox.wav"})
    )

    assert (True, ()) == (bool(result.values[0]["voice_id"]), result.images)


async def test_a_transcript_is_a_text():
    """A transcript of scribe-v2 also has the time of each word."""
    result = await result_of(
        parse_request({"model": "scribe-v2", "audio_url": "https://example.com/fox.wav"})
    )

    assert ("the fox sleeps",) == result.texts
    assert ["the", "fox", "sleeps"] == [word["text"] for word in result.values[0]["words"]]


async def test_the_manifest_of_a_batch_keeps_a_text(tmp_path):
    """It has no file, and is paid for all the same."""
    request = parse_request({"model": "cohere-transcribe", "audio_url": "https://example.com/fox.wav"})
    async with Emulator(seconds=0.05) as emulator, session_at(emulator) as fox:
        errors = [outcome.error async for outcome in Batch([("fox", request)], tmp_path).run(fox)]
    line = json.loads((tmp_path / "manifest.jsonl").read_text())

    assert [None] == errors
    assert ("done", [], [{"text": "the fox sleeps"}]) == (line["status"], line["files"], line["values"])


async def test_the_answer_of_a_language_model_is_a_text():
    """Its whole completion is the value."""
    result = await result_of(RawRequest("gpt-5", "hello", path="/v1/llm/generations"))

    assert ("An answer to: hello",) == result.texts
    assert "chat.completion" == result.values[0]["object"]


async def test_images_are_no_values():
    """They are files."""
    assert () == (await result_of(RawRequest("gpt-image-2", "a fox"))).values


# The command line.


def words_of(definition):
    """The example of a model as the words of a command line."""
    fields = dict(definition.example)
    prompt = [fields.pop("prompt")] if "prompt" in fields else []
    params = [
        word
        for name, value in fields.items()
        for word in ("--param", f"{name}={value if isinstance(value, str) else json.dumps(value)}")
    ]
    return [
        "generate",
        *prompt,
        "--model",
        definition.model,
        *params,
        "--emulator",
        "--emulator-seconds",
        "0.1",
    ]


@pytest.mark.parametrize(
    ("model", "made"),
    [
        ("gpt-image-2", "1 image in"),
        ("patina-pbr-maps", "1 image in"),
        ("sora-2", "1 video in"),
        ("veo-3.1", "1 video in"),
        ("suno-v4", "1 recording in"),
        ("speech-2.8-hd", "1 recording in"),
        ("doc2x-v3", "1 document in"),
    ],
)
@pytest.mark.thorough
def test_the_command_saves_a_file(model, made, tmp_path, capfd):
    """It prints its path, and says what it is."""
    code = main([*words_of(model_definition(model)), "--out", str(tmp_path)])
    out, err = capfd.readouterr()
    [path] = tmp_path.iterdir()

    assert (0, f"{path}\n") == (code, out)
    assert made in err
    assert model_definition(model).returns == kind_of_file(path)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("phota-create-profile", "profile_id"),
        ("sora-2-character", "character_id"),
        ("kling-video-create-voice", "voice_id"),
    ],
)
def test_the_command_prints_an_id(model, name, tmp_path, capfd):
    """A profile, a character or a voice is one line of JSON; there is no file."""
    code = main([*words_of(model_definition(model)), "--out", str(tmp_path)])
    out, err = capfd.readouterr()

    assert 0 == code
    assert json.loads(out)[name]
    assert "1 result in" in err
    assert [] == list(tmp_path.iterdir())


def test_the_command_prints_a_text(tmp_path, capfd):
    """As it was said."""
    assert 0 == main([*words_of(model_definition("cohere-transcribe")), "--out", str(tmp_path)])
    assert "the fox sleeps\n" == capfd.readouterr().out


def test_the_command_gives_values_as_json(tmp_path, capfd):
    """The line of a task has its values beside its files."""
    assert 0 == main([*words_of(model_definition("scribe-v2")), "--json", "--out", str(tmp_path)])
    told = json.loads(capfd.readouterr().out)

    assert [] == told["files"]
    assert "the fox sleeps" == told["values"][0]["text"]
