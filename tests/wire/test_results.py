"""Where the results of a task are, in each form that gateways use."""

import base64

import pytest

from foxapi_async._wire.replies import credits_of, read_status
from foxapi_async._wire.requests import Reply
from foxapi_async._wire.results import decode, is_inside, texts_in, values_in

URL = "https://files.example.com/a.png"
ORIGIN = "https://api.test"


def read(body: str, origin: str = ORIGIN):
    """Our reading of a completed task with these fields."""
    text = f'{{"id":"t","status":"completed",{body}}}'
    return read_status(Reply(200, {}, text.encode(), origin=origin), "t")


def urls(body: str, origin: str = ORIGIN) -> list[str]:
    """The addresses of its files."""
    return [file.url for file in read(body, origin).files]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f'"results":["{URL}"]', [URL]),
        (f'"results":"{URL}"', [URL]),
        (f'"results":[{{"url":" {URL}\\n"}}]', [URL]),
        (f'"results":[{{"image_url":"{URL}"}}]', [URL]),
        (f'"results":[{{"url":["{URL}","{URL}?2"]}}]', [URL, f"{URL}?2"]),
        (f'"results":[["{URL}"],{{"url":{{"url":"{URL}?2"}}}}]', [URL, f"{URL}?2"]),
        (f'"results":[[{{"url":"{URL}"}}]]', [URL]),
        (f'"results":[],"result_data":[{{"image_url":"{URL}"}}]', [URL]),
        (f'"results":[{{"ok":true}}],"result_data":[{{"image_url":"{URL}"}}]', [URL]),
        (f'"results":["file:///etc/passwd"],"output":{{"url":"{URL}"}}', [URL]),
        ('"results":[{"ok":true}],"result_data":[{"ok":false}]', []),
        (f'"output":{{"url":"{URL}","urls":null}}', [URL]),
        (f'"output":{{"url":"","urls":["{URL}"]}}', [URL]),
        (f'"output":"{URL}"', [URL]),
        ('"results":[{"url":"/results/a.png"}]', [f"{ORIGIN}/results/a.png"]),
        ('"results":[{"url":"results/a.png"}]', [f"{ORIGIN}/results/a.png"]),
        ('"results":[{"url":"files.example.com/a.png"}]', [URL]),
        ('"results":[{"url":"files.example.com:8443/a.png"}]', ["https://files.example.com:8443/a.png"]),
        ('"results":[{"url":"//files.example.com/a.png"}]', [URL]),
        ('"results":[{"b64_json":"AAAA"}]', ["data:;base64,AAAA"]),
        ('"results":[{"b64_json":"data:image/png;base64,AAAA"}]', ["data:image/png;base64,AAAA"]),
        ('"results":[{"url":"file:///etc/passwd","b64_json":"AAAA"}]', ["data:;base64,AAAA"]),
        ('"results":[{"url":"data:image/png;base64,AAAA"}]', ["data:image/png;base64,AAAA"]),
        ('"results":[{"url":"file:///etc/passwd"},{"url":"ftp://x/a.png"},{"url":"a b"},{"b64_json":5}]', []),
    ],
)
def test_addresses_in_every_form(body, found):
    """Each form of a result gives its address; an address with another scheme gives none."""
    assert found == urls(body)


@pytest.mark.parametrize(
    "text", ["A" * 300_000, "data:" + "A" * 300_000, "data:;" + "a;" * 150_000, "a." * 150_000]
)
def test_a_long_text_is_not_an_address(text):
    """A text of many characters without a readable form gives no address."""
    assert [] == urls(f'"results":["{text}"]')


def test_a_list_inside_a_result_is_limited_too():
    """However many addresses one result has, only the first thousand become files."""
    listed = ",".join([f'"{URL}"'] * 3000)
    assert 1000 == len(urls(f'"results":[{{"url":[{listed}]}}]'))


def test_a_relative_address_needs_the_origin_of_the_api():
    """Without a known origin, an address without a host cannot be used."""
    assert [] == urls('"results":["/a.png"]', origin="")


@pytest.mark.parametrize(
    ("results", "kind", "expected"),
    [
        ([{"voice_id": "v"}], None, True),
        ([{"result_type": "profile", "profile_id": "p"}], "image", True),
        ([{"character_id": "c", "name": "Fox"}], "video", True),
        ([{"text": ""}], None, False),
        (["some words"], "text", True),
        (["some words"], "image", False),
        ([], "llm", False),
    ],
)
def test_values_are_results_of_their_own_kind(results, kind, expected):
    """A voice, a profile, a character or a text is a result without a file."""
    assert expected is bool(values_in(results, kind))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["some words"], ["some words"]),
        ([{"text": "the fox"}, {"text": "sleeps"}], ["the fox", "sleeps"]),
        ([{"choices": [{"message": {"content": "one"}}, {"message": {"content": "two"}}]}], ["one", "two"]),
        ([{"choices": [{"message": {"content": [{"type": "text"}]}}, {"message": None}, "x"]}], []),
        ([{"choices": "x"}, {"voice_id": "v"}, 3], []),
    ],
)
def test_texts_are_the_words_of_values(values, expected):
    """Those of transcripts and answers; a value of another form has none."""
    assert expected == list(texts_in(values))


@pytest.mark.parametrize(
    ("url", "data", "kind"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("DATA:;base64,iVBO Rw0K\nGgo", b"\x89PNG\r\n\x1a\n", None),
        ("data:image/gif;base64,-_8=", b"\xfb\xff", "image/gif"),
        ("data:image/svg+xml,%3Csvg/%3E", b"<svg/>", "image/svg+xml"),
    ],
)
def test_a_data_address_holds_its_bytes(url, data, kind):
    """Bytes are read from base64 with and without padding, in both alphabets, and from percent-encoded text."""
    assert is_inside(url)
    assert (data, kind) == decode(url)


def test_broken_data_is_refused():
    """Text that is not base64 raises an error instead of giving wrong bytes."""
    with pytest.raises(ValueError, match="base64"):
        decode("data:image/png;base64,a*b")


def test_data_addresses_keep_all_bytes():
    """A file inside the reply comes out whole."""
    data = bytes(range(256)) * 40
    assert data == decode(f"data:;base64,{base64.b64encode(data).decode()}")[0]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({}, None),
        ({"credits_reserved": 8.7}, 8.7),
        ({"credits_reserved": 8.7, "credits_used": 1.783}, 1.783),
        ({"credits_reserved": 8.7, "credits_used": 0}, 0.0),
        ({"credits_reserved": 8.7, "cost": {"credits": 2}}, 2.0),
        ({"credits_reserved": 8.7, "cost": "2", "credits_used": -1}, 8.7),
    ],
)
def test_the_cost_of_a_task(usage, expected):
    """The credits that were used count before the reserved ones."""
    assert expected == credits_of(usage)
