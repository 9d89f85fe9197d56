"""The type of a file by its first bytes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from foxapi_async._files.names import ENDINGS, ending, has_ending, is_words

SAMPLES = {
    ".png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    ".jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    ".webp": b"RIFF\x24\0\0\0WEBPVP8 ",
    ".gif": b"GIF89a",
    ".avif": b"\0\0\0\x20ftypavif",
    ".heic": b"\0\0\0\x18ftypheic",
    ".bmp": b"BM\x36\0\0\0",
    ".tiff": b"II*\x00\x08\0\0\0",
    ".mp4": b"\0\0\0\x18ftypisom",
    ".webm": b"\x1aE\xdf\xa3\x01",
    ".zip": b"PK\x03\x04\x14",
    ".pdf": b"%PDF-1.7",
    ".mp3": b"ID3\x04",
    ".wav": b"RIFF\x24\0\0\0WAVEfmt ",
    ".ogg": b"OggS\0",
    ".flac": b"fLaC\0",
}
DECLARED = [None, "", "application/octet-stream", "text/html", "image/png", "application/json; charset=utf-8"]


@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize("name", SAMPLES)
def test_the_signature_gives_the_ending(name, declared):
    """A known signature gives the ending, for any declared type."""
    assert ending(SAMPLES[name], declared) == name


@pytest.mark.parametrize(
    ("kind", "name"), [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp"), ("GIF", ".gif")]
)
def test_real_images(kind, name):
    """Files of an image library are recognised."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "orange").save(buffer, kind)

    assert ending(buffer.getvalue()[:512], None) == name


@pytest.mark.parametrize(
    ("head", "declared", "name"),
    [
        (b"\x01\x02\x03", "image/png", ".png"),
        (b"\x01\x02\x03", "IMAGE/JPEG; q=1", ".jpg"),
        (b"\x01\x02\x03", "video/mp4", ".mp4"),
        (b"\x01\x02\x03", None, ".bin"),
        (b"\x01\x02\x03", "application/octet-stream", ".bin"),
        (b"<svg xmlns=", "image/svg+xml", ".svg"),
        (b"MM\x00*", None, ".tiff"),
        (b"\xff\xfb\x90", None, ".mp3"),
    ],
)
def test_the_declared_type_is_asked_second(head, declared, name):
    """If the bytes are unknown the declared type gives the ending, and `.bin` is used if both are unknown."""
    assert ending(head, declared) == name


@pytest.mark.parametrize(
    "declared", [None, "", "image/png", "application/octet-stream", "text/html; charset=utf-8"]
)
@pytest.mark.parametrize(
    "head",
    [b"<!doctype html>", b"  \n<html>", b'{"error": 1}', b"[]", b"", b" \n ", b"<?xml version='1.0'?>"],
)
def test_pages_are_no_images(head, declared):
    """A web page, a JSON text or an empty body is not a file to save, even if declared as an image."""
    assert ending(head, declared) is None


@pytest.mark.parametrize("declared", ["text/plain", "TEXT/HTML", "application/json", "application/xml"])
def test_texts_are_no_images(declared):
    """Unknown bytes declared as a text are not a file to save."""
    assert ending(b"error code: 1010", declared) is None


@given(st.binary(max_size=64), st.none() | st.text())
def test_only_known_endings_come_out(head, declared):
    """For all bytes and types, the ending is one of the list or None: only the SDK makes names."""
    assert ending(head, declared) in {None, *ENDINGS}


def test_the_list_has_every_ending():
    """The list of endings has each of the samples, and `.bin`."""
    assert {*SAMPLES, ".bin", ".svg"} <= set(ENDINGS)
    assert sorted(set(ENDINGS)) == list(ENDINGS)


def media(*brands: bytes) -> bytes:
    """The first box of an ISO media file with these brands, the main one first."""
    main, *others = brands
    body = b"ftyp" + main + b"\0\0\0\0" + b"".join(others)
    return (4 + len(body)).to_bytes(4) + body + b"\0\0\0\x10meta"


@pytest.mark.parametrize(
    ("brands", "declared", "name"),
    [
        ((b"avis",), None, ".avif"),
        ((b"heix",), None, ".heic"),
        ((b"mif1", b"miaf", b"avif"), None, ".avif"),
        ((b"msf1", b"hevc"), "image/avif", ".heic"),
        ((b"mif1",), None, ".heic"),
        ((b"mif1",), "image/avif", ".avif"),
        ((b"isom", b"mp42"), "image/png", ".mp4"),
    ],
)
def test_all_brands_of_a_media_file_count(brands, declared, name):
    """The compatible brands name the codec if the main brand does not, and then the declared type."""
    assert name == ending(media(*brands), declared)


@pytest.mark.parametrize("text", [b"BMW is a maker of cars", b"ID3 is a tag"])
def test_a_text_is_not_a_file_because_of_its_first_letters(text):
    """A short signature counts only before bytes that no text has."""
    assert ending(text, "text/plain") is None
    assert ending(text, "image/png") is None


@pytest.mark.parametrize("head", [b"{\x00\x01", b"<\x00\xff"])
def test_unknown_bytes_are_never_dropped(head):
    """Bytes that no text has are a file, even if they begin like markup or are declared as a text."""
    assert ".bin" == ending(head, "text/html")


@pytest.mark.parametrize("declared", [None, "text/xml", "image/svg+xml"])
def test_a_drawing_is_an_image(declared):
    """SVG is recognised by its root element."""
    assert ".svg" == ending(b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'>", declared)


@pytest.mark.parametrize(
    "head",
    [
        b"<svg/>",
        b"<SVG xmlns='http://www.w3.org/2000/svg'>",
        b"<!-- a fox --> <!-- drawn --><svg:svg xmlns:svg='http://www.w3.org/2000/svg'>",
        b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' [<!ENTITY a 'b'>]>",
    ],
)
def test_the_roots_of_drawings(head):
    """A declaration, comments and a document type may come before the root element, which may have a prefix."""
    assert ".svg" == ending(head, None)
    assert not is_words(head)


def test_a_damaged_png_is_no_text():
    """It has no byte that a text in Latin-1 could not have, but no text begins like this."""
    assert not is_words(b"\x89PNG of a fox")


@pytest.mark.parametrize(
    "head",
    [
        b"<config><svg>secret</svg></config>",
        b"<svgz>",
        b"<!-- <svg> --><config>",
        b"<!---->" * 70,
        "M\u00fcller: secret".encode("latin-1"),
        "BM\u00fcller: secret".encode("latin-1"),
        "a secret".encode("utf-16"),
    ],
)
def test_texts_in_any_encoding_are_words(head):
    """Markup with another root element, and a text that is not UTF-8, are no images."""
    assert is_words(head)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("fox.png", True), ("fox.JPEG", True), ("portrait of Dr. Fox", False), ("v1.5", False), ("fox", False)],
)
def test_only_known_endings_count(name, expected):
    """A dot in a name is not the ending of a file type."""
    assert expected is has_ending(Path(name))
