"""File names made from untrusted texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxapi_async._batch.keys import counted_key, id_problem
from foxapi_async._files.names import file_stem, image_stem, name_problem, safe_name, with_prompt

unhurried = settings(deadline=None)


@pytest.mark.parametrize(
    ("task_id", "name"),
    [
        ("task-unified-1754380800-ab12cd34", "task-unified-1754380800-ab12cd34"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "task"),
        ("", "task"),
        (".hidden", "hidden"),
        ("a b:c*d\x00e\ud800", "a_b_c_d_e_"),
        ("C:\\x", "C__x"),
        ("ключ", "____"),
    ],
)
def test_safe_names(task_id, name):
    """A documented id stays unchanged; any other loses characters that a file system could misread."""
    assert safe_name(task_id) == name


@given(st.text())
def test_safe_names_are_one_visible_path_part(task_id):
    """No id leads out of its directory, hides its file, or makes a name too long."""
    name = safe_name(task_id)

    assert 1 <= len(name) <= 100
    assert Path(name).name == name
    assert name.isascii()
    assert not name.startswith(".")
    assert not set(name) & set('/\\:*?"<>| \0\n')


@pytest.mark.parametrize("plain", ["cat-1", "0", "a.b_c", "a" * 100])
def test_plain_ids_are_their_own_file_names(plain):
    """A short id of small letters, digits and `-_.` is its own file name."""
    assert plain == file_stem(plain)


def test_counted_keys_are_readable_file_names():
    """The key of a line without an id becomes its fingerprint and number."""
    assert f"{'0a' * 12}~3" == file_stem(counted_key("0a" * 12, 3))


ids = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=200) | st.sampled_from(
    [
        "Cat",
        "cat",
        "CAT",
        "con",
        "nul.txt",
        "..",
        "a/b",
        "a\\b",
        "a_b",
        "a.",
        "-rf",
        "~",
        "é",
        "e\u0301",
        "x" * 101,
    ]
)


@unhurried
@given(st.sets(ids.filter(lambda text: id_problem(text) is None), max_size=20))
def test_file_names_are_safe_and_their_own(items):
    """Different ids have different file names, also if case does not count, and each fits every file system."""
    stems = [file_stem(item) for item in items]

    assert len(items) == len({stem.casefold() for stem in stems})
    for stem in stems:
        assert stem.isascii()
        assert not set(stem) & set('<>:"/\\|?*# ')
        assert stem[0] not in "-.~"
        assert not stem.endswith(".")
        assert len(stem) <= 113
        assert stem.lower().partition(".")[0] not in {"con", "prn", "aux", "nul", "com1", "lpt1"}


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("A red fox, at night!", "A_red_fox_at_night"),
        ("../../etc/passwd", "etc_passwd"),
        ("fox.png", "fox_png"),
        ("ein Füchslein", "ein_F_chslein~c7yu6hxctr7q"),
        ("狐", "prompt~e3iqaqauyfpb"),
        ("", "prompt~4oymiquy7qob"),
        ("x" * 61, f"{'x' * 47}~yueooxze4jo3"),
    ],
)
def test_the_words_of_a_prompt(prompt, words):
    """Words and underscores remain; a prompt that loses more than signs gets its hash."""
    assert with_prompt("{prompt} {n}", prompt) == f"{words} {{n}}"


@unhurried
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_the_words_of_any_prompt_make_a_name(prompt):
    """The words of every prompt are a usable name, and none of their characters starts a field."""
    assert name_problem(with_prompt("{prompt}", prompt), ()) is None


@pytest.mark.parametrize(
    ("name", "count", "stem"),
    [
        ("fox", 1, "fox"),
        ("fox", 3, "fox-2"),
        ("{n}.{id}", 3, "2.a_b"),
        ("con", 1, "_con"),
        ("Aux.{n}", 1, "_Aux.2"),
    ],
)
def test_the_name_of_an_image(name, count, stem):
    """The id is made safe, a device name of Windows is avoided, and several images have different names."""
    assert image_stem(name, "a/b", 2, count) == stem


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("batches.md", f"`my fox` is in `{file_stem('my fox')}-1.jpg`"),
        ("quickstart.md", f'"a red fox" gives `{with_prompt("{prompt}", "a red fox")}`'),
    ],
)
def test_the_documented_names(page, name):
    """The docs show the names that files get."""
    docs = Path(__file__).parents[2] / "docs"

    assert name in (docs / page).read_text()
