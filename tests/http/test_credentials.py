"""Which key goes where, and where it never goes."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import PAGES

from foxapi_async._errors import ConfigurationError
from foxapi_async._http.credentials import DEFAULT_BASE_URL, Redactor, is_loopback, resolve_credentials

KEY = "sk-0123456789abcdef"


def account(api_key=KEY, base_url=None, *, allow_http=False, **environ):
    """The account, or its error raised, as a session does it."""
    made = resolve_credentials(api_key, base_url, allow_http=allow_http, environ=environ)
    if isinstance(made, ConfigurationError):
        raise made
    return made


def test_arguments_come_before_the_environment():
    """Arguments come before the variables, and these before the documented host."""
    environ = {"FOXAPI_API_KEY": "sk-environ", "FOXAPI_BASE_URL": "https://env.test"}

    assert (account().key, account().base_url) == (KEY, DEFAULT_BASE_URL)
    assert account(None, **environ).key == "sk-environ"
    assert account(None, **environ).base_url == "https://env.test"
    assert account(base_url="https://arg.test", **environ).key == KEY
    assert account(base_url="https://arg.test", **environ).base_url == "https://arg.test"


@pytest.mark.parametrize("key", [f" {KEY}", f"{KEY}\n", f"\t{KEY}\r\n"])
def test_white_space_round_a_key_is_stripped(key):
    """A key that was read from a file with its line end is valid."""
    assert account(key).key == KEY
    assert account(None, FOXAPI_API_KEY=key).key == KEY


@pytest.mark.parametrize("key", ["'sk-quoted-1'", '"sk-quoted-1"', ' "sk-quoted-1"\n'])
def test_quotes_round_a_key_are_removed(key):
    """Env files of containers keep the quotes that a shell removes."""
    assert "sk-quoted-1" == account(key).key


@pytest.mark.parametrize(
    "key",
    ["sk-a b", "sk-a\nb", "sk-a\tb", "sk-a\r\nX-Evil: 1", "sk-a\x00b", "sk-ä", "sk-\u200bab", "sk-\ud800"],
)
def test_a_key_that_could_not_travel_in_a_header_is_refused(key):
    """White space, control and non-ASCII characters inside a key are refused, without showing it."""
    with pytest.raises(ConfigurationError) as caught:
        account(key)

    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(("key", "environ"), [(None, {}), ("", {"FOXAPI_API_KEY": KEY}), (" \n", {})])
def test_a_missing_key_names_both_ways_out(key, environ):
    """Without a key the error names the variable and --emulator; an empty argument does not use the variable."""
    with pytest.raises(ConfigurationError, match=r"FOXAPI_API_KEY.*--emulator"):
        account(key, **environ)


@pytest.mark.parametrize("key", [b"sk-x-12345", 5, ["sk-x-12345"]])
def test_a_key_is_text(key):
    """A key of another type is refused without showing it."""
    with pytest.raises(ConfigurationError, match=r"the API key is a \w+, not a text"):
        account(key)


def test_a_base_url_is_text():
    """A URL object is refused with a clear error instead of failing somewhere."""
    with pytest.raises(ConfigurationError, match="the base URL is a object, not a text; change base_url="):
        account(base_url=object())


@pytest.mark.parametrize(
    ("given_url", "url"),
    [
        ("https://api.test/", "https://api.test"),
        (" https://api.test/prefix// ", "https://api.test/prefix"),
        ("HTTPS://API.test", "HTTPS://API.test"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:1/x", "http://localhost:1/x"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://127.9.9.9", "http://127.9.9.9"),
    ],
)
def test_good_urls(given_url, url):
    """An https address, or plain http to this machine, with an optional prefix and no slash at the end."""
    assert account(base_url=given_url).base_url == url
    assert account(base_url=given_url).plain is False


@pytest.mark.parametrize(
    "url",
    [
        "api.foxapi.cc",
        "//api.test",
        "ftp://api.test",
        "file:///etc/passwd",
        "https://",
        "http://:80",
        "https://api.test:port",
        "https://api.test:99999",
        "https://[::1",
        "https://api.test?x=1",
        "https://api.test?",
        "https://api.test#part",
        "https://api.test#",
        "https://api .test",
        "https://api.test/a\nb",
        "https://api.test/\x7f",
        "https://api.test/v1",
        "https://api.test/v1/",
    ],
)
def test_bad_urls(url):
    """An address to which no path can be added is refused, with an example of a good one or the remedy."""
    with pytest.raises(
        ConfigurationError, match=r"is not an address such as https://|ends in /v1: leave that out"
    ):
        account(base_url=url)


@pytest.mark.parametrize(
    "host", ["api.test", "10.0.0.5", "0.0.0.0", "127.0.0.1.evil.test", "localhost.evil.test"]
)
def test_plain_http_beyond_this_machine_needs_permission(host):
    """The key never travels unencrypted to another machine without permission, by argument or variable."""
    url = f"http://{host}:8080"
    with pytest.raises(ConfigurationError, match="unencrypted"):
        account(base_url=url)
    with pytest.raises(ConfigurationError, match="unencrypted"):
        account(base_url=url, FOXAPI_ALLOW_HTTP="0")

    assert account(base_url=url, allow_http=True).plain is True
    assert account(base_url=url, FOXAPI_ALLOW_HTTP="1").plain is True
    assert account(base_url=f"https://{host}", allow_http=True).plain is False


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@api.test",
        "https://hunter2@api.test",
        "ftp://user:hunter2@api.test",
        "ftp://user:hunt#hunter2@api.test",
        "https://user:hunter2@[::1",
        "https://api.test?token=hunter2",
        "https://api.test#hunter2",
        "hunter2",
        "sk-hunter2",
    ],
)
def test_secrets_in_a_url_are_refused_and_not_shown(url):
    """A password in the address is refused, and so is a key in place of an address; no error repeats it."""
    with pytest.raises(ConfigurationError) as caught:
        account(base_url=url)

    assert "hunter2" not in str(caught.value)


def test_what_is_wrong_with_an_address_is_shown():
    """An address without a secret in it is repeated in the error, so that its mistake can be found."""
    with pytest.raises(ConfigurationError, match=r"the base URL 'api\.foxapi\.cc' is not an address"):
        account(base_url="api.foxapi.cc")


def test_the_key_is_never_shown():
    """An account's repr hides the key, and so does that of any value that holds it, also after a pickle."""
    copied = pickle.loads(pickle.dumps(account()))

    assert "'***'" == repr(copied.key)
    assert KEY not in f"{copied!r} {[copied.key]} { {'Authorization': copied.key} }"
    assert KEY == copied.key


def test_what_is_wrong_is_returned():
    """A bad setting is returned as an error, and raised in a frame that holds neither the key nor the environment."""
    made = resolve_credentials("sk-a b", None, allow_http=False, environ={})

    assert isinstance(made, ConfigurationError)
    assert made.__traceback__ is None


@pytest.mark.parametrize(
    "echo",
    ["sk-a/b+c&d", "sk-a\\/b+c&d", "sk-a/b+c&amp;d", "sk-a%2Fb%2Bc%26d"],
    ids=["plain", "JSON", "HTML", "URL"],
)
def test_the_key_is_blotted_out_as_others_spell_it(echo):
    """The key is replaced by stars in every text, in its own form or escaped for JSON, HTML or a URL."""
    blotter = Redactor("sk-a/b+c&d")

    assert "key=***." == blotter.text(f"key={echo}.")
    assert b"key=***." == blotter.data(f"key={echo}.".encode())


def test_a_text_without_the_key_stays_the_same_object():
    """A text without the key is not copied."""
    data = b'{"id": "task-1"}'

    assert Redactor(KEY).data(data) is data


@given(st.text() | st.just("0"), st.none() | st.text(), st.booleans())
def test_anything_gives_an_account_or_a_configuration_error(rest, url, allow_http):
    """Every key and address gives an account, or a ConfigurationError that hides the key."""
    try:
        made = account(f"sk-secret-{rest}", url, allow_http=allow_http)
    except ConfigurationError as error:
        assert "sk-secret" not in str(error)
    else:
        assert made.key.isascii()
        assert made.base_url.lower().startswith(("https://", "http://"))


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("fox", False),
        ("", False),
    ],
)
def test_loopback(host, is_ours):
    """This machine is recognised by name or address."""
    assert is_ours is is_loopback(host)


@pytest.mark.parametrize("text", ["sk-...", " sk-…", "'YOUR_API_KEY'"])
def test_a_placeholder_is_named_as_one(text):
    """It was copied from the documentation. That it is short, or has an odd character, is not its fault."""
    with pytest.raises(
        ConfigurationError, match=r"this is the placeholder of the documentation, not a key; set FOXAPI"
    ):
        account(None, FOXAPI_API_KEY=text)


def test_the_key_of_the_readme_is_known_as_a_placeholder():
    """The README's line, copied unchanged, gets the message above."""
    (text,) = re.findall(r"FOXAPI_API_KEY=(\S+)", PAGES["README.md"])

    assert repr(text) in str(resolve_credentials(text, None, allow_http=False, environ={}))


def test_a_short_key_is_refused():
    """A key of fewer than eight characters occurs in ids and file names, where it would be hidden."""
    with pytest.raises(ConfigurationError, match="only 7 characters"):
        account("sk-1234")
