"""Local files are checked by what their field takes, before anything is uploaded."""

from __future__ import annotations

import os

import pytest
from helpers import fox_request

from foxapi_async import InvalidRequestError
from foxapi_async.cli import main
from foxapi_async.models import parse_request

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
GIF = b"GIF89a" + bytes(100)
VIDEO = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2mp41" + bytes(100)


def edit(model, *files, name="image_urls"):
    """A request with these input files."""
    value = list(files) if name.endswith("s") else files[0]
    return parse_request({"model": model, "prompt": "a fox", name: value})


async def test_a_file_of_another_medium_is_refused(emulator, fox, tmp_path):
    """A video is no input image, whatever its name."""
    (tmp_path / "fox.png").write_bytes(VIDEO)
    with pytest.raises(
        InvalidRequestError, match=r"fox\.png: it is a \.mp4 file, and image_urls takes image files"
    ):
        await fox.submit(fox_request(image_urls=[tmp_path / "fox.png"]))

    assert ([], 0) == (emulator.requests, emulator.billed)


async def test_a_file_of_another_format_is_refused(emulator, fox, tmp_path):
    """The page of the model names its formats."""
    (tmp_path / "fox.gif").write_bytes(GIF)
    with pytest.raises(
        InvalidRequestError, match=r"it is a \.gif file, and image_urls takes jpeg, png, webp"
    ):
        await fox.submit(edit("z-image-turbo", tmp_path / "fox.gif"))

    assert [] == emulator.requests


async def test_a_file_that_is_too_large_is_refused(emulator, fox, tmp_path):
    """The line has both sizes."""
    path = tmp_path / "fox.png"
    path.write_bytes(PNG)
    os.truncate(path, 20 * 1024**2 + 1)
    with pytest.raises(
        InvalidRequestError, match=r"it has 20,971,521 bytes, and image_urls takes at most 20,971,520"
    ):
        await fox.submit(edit("z-image-turbo", path))

    assert [] == emulator.requests


async def test_no_file_is_uploaded_if_a_later_one_is_refused(emulator, fox, tmp_path):
    """All are checked first."""
    (tmp_path / "fox.png").write_bytes(PNG)
    (tmp_path / "fox.gif").write_bytes(GIF)
    with pytest.raises(InvalidRequestError):
        await fox.submit(edit("z-image-turbo", tmp_path / "fox.png", tmp_path / "fox.gif"))

    assert [] == emulator.requests


async def test_a_file_of_a_field_that_is_not_sure_is_uploaded(emulator, fox, tmp_path):
    """By the extract nothing is refused."""
    (tmp_path / "fox.mp4").write_bytes(VIDEO)
    await fox.submit(edit("veo-3.1", tmp_path / "fox.mp4"))

    assert 1 == emulator.billed


@pytest.mark.parametrize("content", [PNG, b"\xff\xd8\xff" + bytes(20), b"\x00\x01\x02"])
async def test_what_fits_or_is_not_known_is_uploaded(emulator, fox, tmp_path, content):
    """An unknown content may be an image."""
    (tmp_path / "fox.jpg").write_bytes(content)
    await fox.submit(edit("z-image-turbo", tmp_path / "fox.jpg"))

    assert 1 == emulator.billed


async def test_a_text_is_no_recording(emulator, fox, tmp_path):
    """The error says what the field takes."""
    (tmp_path / "fox.wav").write_text("a text")
    with pytest.raises(InvalidRequestError, match=r"fox\.wav: the file is a text, not an audio"):
        await fox.submit(parse_request({"model": "scribe-v2", "audio_url": tmp_path / "fox.wav"}))

    assert [] == emulator.requests


def test_the_check_of_a_batch_names_such_files(tmp_path, capsys, monkeypatch):
    """With the line, before anything is sent."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fox.gif").write_bytes(GIF)
    (tmp_path / "p.jsonl").write_text(
        '{"model": "z-image-turbo", "prompt": "a", "image_urls": ["fox.gif"]}\n'
    )
    assert 2 == main(["batch", "p.jsonl", "--check"])

    assert "it is a .gif file, and image_urls takes jpeg, png, webp" in capsys.readouterr().err
