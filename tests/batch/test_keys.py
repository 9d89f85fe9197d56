"""The keys of a batch's items: fingerprints of requests."""

import contextlib
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from foxapi_async import Gemini31FlashImage, GrokImagineImage, LedgerError, RawRequest
from foxapi_async._batch.keys import Numbering, fingerprint
from foxapi_async.models import parse_request

PINNED = {
    "08796f4b9edc369841692920": GrokImagineImage("a red fox"),
    "79e62d347da6673f565428d0": Gemini31FlashImage(
        "狐 🦊", image_urls=["https://a/b", PurePosixPath("in/ü.png")], google_search=True
    ),
    "09cb016f9d71ef9e2fdeecda": RawRequest(
        "new", params={"b": [1, 1.5, None, True], "a": {"y": 0, "x": "é"}}, path="/v1/run/generations"
    ),
}


@pytest.mark.parametrize(("expected", "request_"), PINNED.items())
def test_fingerprints_are_pinned(expected, request_):
    """The fingerprint of a request is the same in every version: a changed one would bill finished batches again."""
    assert expected == fingerprint(request_)


def test_fingerprints_know_no_order():
    """Equal requests have one fingerprint, in any order of their fields; fields that are not sent are left out."""
    one = parse_request({"model": "new", "prompt": "a", "x": 1, "y": {"b": 1, "a": 2}})
    two = parse_request({"y": {"a": 2, "b": 1}, "x": 1, "prompt": "a", "model": "new", "z": None})

    assert one == two
    assert fingerprint(one) == fingerprint(two)
    marks = {fingerprint(GrokImagineImage("a", num_outputs=n)) for n in (None, 1, 2)}
    assert 3 == len(marks)


def test_a_file_is_no_url():
    """A local file counts by its path, in one form on every system, and never as a URL with that text."""
    posix, windows = (
        fingerprint(GrokImagineImage("a", image_urls=[path]))
        for path in (PurePosixPath("b/c"), PureWindowsPath("b\\c"))
    )
    raw = fingerprint(RawRequest("new", params={"image_urls": ["data:,x"]}))

    assert posix == windows
    assert raw != fingerprint(RawRequest("new", params={"image_urls": [Path("data:,x")]}))


def test_other_paths_count_too(tmp_path):
    """Another kind of path, such as an entry of a directory, counts as its text."""
    (tmp_path / "c").touch()
    (entry,) = os.scandir(tmp_path)

    assert fingerprint(GrokImagineImage("a", image_urls=[tmp_path / "c"])) == fingerprint(
        GrokImagineImage("a", image_urls=[entry])
    )


def test_only_json_values_have_a_fingerprint():
    """A value that is neither JSON nor a file is refused, not hashed by its address in memory."""

    class Odd(RawRequest):
        def to_dict(self):
            return {"x": object()}

    with pytest.raises(TypeError, match="object is not a JSON value"):
        fingerprint(Odd("new"))


@pytest.fixture
def numbering():
    with contextlib.closing(Numbering()) as made:
        yield made


def test_equal_texts_are_numbered(numbering):
    """Equal texts count on through calls of any size."""
    values = [f"f{n % 700}" for n in range(2000)]
    numbers = (
        numbering.number(values[:3]) + numbering.number(values[3:1801]) + numbering.number(values[1801:])
    )

    assert [n // 700 + 1 for n in range(2000)] == numbers
    assert [1, 2, 1, 3] == numbering.number([f"{text}!" for text in "aaba"])
    assert [] == numbering.number([])


def test_each_numbering_begins_again():
    """What one run has counted, the next one does not know."""
    for _ in range(2):
        with contextlib.closing(Numbering()) as numbering:
            assert [1, 2] == numbering.number(["a", "a"])


def test_a_numbering_without_room_says_so(numbering):
    """A full disk is a LedgerError that names the way out."""
    numbering._connection.execute("PRAGMA max_page_count=3")
    with pytest.raises(LedgerError, match="free some space where temporary files are"):
        numbering.number([f"text {n}" for n in range(5000)])
