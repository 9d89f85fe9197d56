"""How a broken download is continued: which marks prove that its bytes fit, and that no replies mix versions."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foxapi_async._files.resume import PartialFile, RangeReply

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000
OTHER = b"GIF89a" + bytes(reversed(range(256))) * 2000


def digest(data):
    return hashlib.sha256(data).hexdigest()


DATE = "Sat, 01 Aug 2026 12:00:00 GMT"
EARLIER = "Sat, 01 Aug 2026 11:59:59 GMT"


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"one"'}, '"one"'),
        ({"ETag": '"one"', "Last-Modified": EARLIER, "Date": DATE}, '"one"'),
        ({"ETag": 'W/"one"'}, None),
        ({"ETag": 'W/"one"', "Last-Modified": EARLIER, "Date": DATE}, None),
        ({"ETag": '"o\x80ne"'}, None),
        ({"ETag": "one"}, None),
        ({"ETag": ""}, None),
        ({"Last-Modified": EARLIER, "Date": DATE}, EARLIER),
        ({"Last-Modified": DATE, "Date": DATE}, None),
        ({"Last-Modified": DATE, "Date": EARLIER}, None),
        ({"Last-Modified": EARLIER}, None),
        ({"Last-Modified": "yesterday", "Date": DATE}, None),
        ({"Date": DATE}, None),
        ({"ETag": '"one"', "Content-Encoding": "gzip"}, None),
        ({"ETag": '"one"', "Content-Encoding": "Identity"}, '"one"'),
    ],
)
def test_only_what_vouches_for_each_byte_is_a_validator(headers, validator):
    """A strong ETag, or without any ETag a date older than the reply: RFC 9110 sections 8.8 and 13.1.5."""
    known = PartialFile()

    assert RangeReply.BEGIN is known.take(200, headers, 0)
    assert validator == known.validator
    expected = {} if validator is None else {"Range": "bytes=5-", "If-Range": validator}
    assert expected == known.resume_headers(5)
    assert {} == known.resume_headers(0)


def test_each_beginning_is_known_for_itself():
    """When another version begins, the mark of the earlier one is dropped."""
    known = PartialFile()
    known.take(200, {"ETag": '"one"', "Content-Length": "10", "Content-Type": "image/png"}, 0)
    known.take(200, {"ETag": '"two"', "Content-Length": "5", "Content-Encoding": "gzip"}, 0)

    assert PartialFile() == known


def test_a_date_vouches_for_the_same_date_alone():
    """A part with another Last-Modified is of another version."""
    known = PartialFile(validator=EARLIER, total=10)
    part = {"Content-Range": "bytes 5-9/10"}

    assert RangeReply.CONTINUE is known.take(206, {**part, "Last-Modified": EARLIER}, 5)
    assert RangeReply.RESTART is known.take(206, {**part, "Last-Modified": DATE}, 5)
    assert ({}, True) == (known.resume_headers(5), known.is_whole(5))


@pytest.mark.parametrize(
    ("length", "total"),
    [(None, None), ("10", 10), ("0", 0), ("-1", None), ("1e3", None), ("9" * 5000, None), ("٣", None)],
)
def test_lengths_are_plain_numbers(length, total):
    """A value that is not a plain number, with as many digits as a file may have, is not a length."""
    known = PartialFile()
    known.take(200, {} if length is None else {"Content-Length": length}, 0)

    assert total == known.total
    assert RangeReply.RESTART is known.take(206, {"Content-Range": f"bytes 5-9/{length}"}, 5)


VERSIONS = st.sampled_from([PICTURE[:1000], OTHER[:1200], PICTURE[:1200], OTHER[:1000]])


@given(st.lists(st.tuples(VERSIONS, st.integers(0, 1200), st.booleans()), min_size=1, max_size=8))
def test_no_history_mixes_two_versions(history):
    """For any version at each try and any break, a complete file is of one version, if the server is honest."""
    known, got = PartialFile(), b""
    for version, length, fits in history:
        etag, total = f'"{digest(version)[:8]}"', len(version)
        asked = known.resume_headers(len(got))
        part = bool(asked) and asked["If-Range"] == etag and len(got) < total
        headers = {"ETag": etag} | ({"Content-Length": str(total)} if fits and not part else {})
        if part:
            headers["Content-Range"] = f"bytes {len(got)}-{total - 1}/{total if fits else '*'}"
        if known.take(206 if part else 200, headers, len(got)) is RangeReply.BEGIN:
            got = b""
        got += version[len(got) : len(got) + length]

        assert version.startswith(got)
        assert (not fits and known.total is None) or known.is_whole(len(got)) == (got == version)


@given(st.lists(st.tuples(VERSIONS, st.integers(0, 600), st.booleans()), min_size=1, max_size=8))
def test_no_history_mixes_two_versions_in_a_part(history):
    """For any version at each try and any break, the bytes of a part are those of one version."""
    known, got = PartialFile(100, 699), b""
    for version, length, marked in history:
        asked = known.resume_headers(len(got))
        etag = f'"{digest(version)[:8]}"'
        start = int(asked["Range"].removeprefix("bytes=").partition("-")[0])
        part = asked.get("If-Range", etag) == etag and start < 700
        headers = ({"ETag": etag} if marked else {}) | {"Content-Length": str(len(version))}
        if part:
            headers["Content-Range"] = f"bytes {start}-699/{len(version)}"
        step = known.take(206 if part else 200, headers, len(got))
        if step is RangeReply.BEGIN:
            got, start = b"", start if part else 0
        if step in (RangeReply.BEGIN, RangeReply.CONTINUE):
            got += version[start : min(start + length, 700)]

        assert any(each[100:700].startswith(got) for each in (PICTURE, OTHER))
