"""A Chinese page has the code, the order and the facts of its English page."""

import re
from collections import Counter
from itertools import zip_longest

import pytest
from pages import BLOCK, FILES, LINKS, PAGES, TRANSLATIONS

PAIRS = pytest.mark.parametrize(("chinese", "english"), TRANSLATIONS.items())
# A text in quotes, which may have a `#`, or a comment. A comment for a type checker is code.
QUOTED_OR_COMMENT = re.compile(r"""("[^"\n]*"|'[^'\n]*')|(?<!\S)# (?!type: ).*""")


def code_of(block):
    """A block with an empty comment in place of each comment."""
    return QUOTED_OR_COMMENT.sub(lambda found: found[1] or "#", block)


def sections_of(page):
    """The sections of a page, without their blocks. Each begins with its heading."""
    return re.split(r"^(?=#+ )", BLOCK.sub("", page), flags=re.MULTILINE)[1:]


def facts_of(section):
    """The code and the numbers in the text of a section, and how often each is there."""
    return Counter(re.findall(r"`[^`]+`|\d+(?:\.\d+)*", re.sub(r"\]\([^)]*\)", "]", section)))


def linked_by(page):
    """The files that a page links to, and how often."""
    return Counter((FILES[page].parent / target).resolve() for name, target, _ in LINKS if name == page)


@PAIRS
def test_a_chinese_page_has_the_blocks_of_the_english_one(chinese, english):
    """They are the same in the same order, and only the words of comments are Chinese."""
    blocks = zip_longest(BLOCK.findall(PAGES[english]), BLOCK.findall(PAGES[chinese]), fillvalue=("none", ""))
    for number, ((kind, block), (its_kind, its_block)) in enumerate(blocks, 1):
        differs = f"Block {number} of {chinese} is not block {number} of {english} with other comments."
        assert (kind, code_of(block)) == (its_kind, code_of(its_block)), differs


def test_the_chinese_readme_begins_with_the_same_two_commands():
    """The first block is the same in each letter."""
    assert BLOCK.search(PAGES["README.md"])[0] == BLOCK.search(PAGES["README.zh.md"])[0]


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ('draw("a # fox", 2)  # 画', True),
        ('draw("a # hare", 2)  # draws', False),
        ('draw("a # fox", 3)  # draws', False),
        ('draw("a # fox", 2)', False),
        ('draw("a # fox", 2)  # type: ignore[arg-type]', False),
    ],
)
def test_only_the_words_of_a_comment_may_differ(other, is_same):
    """Text in quotes, numbers, the place of a comment and comments for type checkers may not."""
    assert is_same == (code_of('draw("a # fox", 2)  # draws') == code_of(other))


@PAIRS
def test_a_chinese_page_has_the_outline_of_the_english_one(chinese, english):
    """The levels of the headings and the kinds of the blocks are the same, in the same order."""
    part = re.compile(r"^(?:(#+) |```(\w+)\n.*?^```$)", re.DOTALL | re.MULTILINE)

    assert part.findall(PAGES[english]) == part.findall(PAGES[chinese])


@PAIRS
def test_a_chinese_section_has_the_facts_of_the_english_one(chinese, english):
    """The names, the options and the numbers in its sentences and tables are the same, each as often."""
    for section, its_section in zip_longest(
        sections_of(PAGES[english]), sections_of(PAGES[chinese]), fillvalue="none"
    ):
        headings = section.splitlines()[0], its_section.splitlines()[0]
        differs = f"{english}, {headings[0]!r}, and {chinese}, {headings[1]!r}, have other code or numbers."
        assert facts_of(section) == facts_of(its_section), differs


@PAIRS
def test_a_chinese_page_links_to_the_files_of_the_english_one(chinese, english):
    """It links to the Chinese page if there is one. The two pages link to each other."""
    pairs = [(FILES[one], FILES[other]) for one, other in TRANSLATIONS.items()]
    other_language = {**dict(pairs), **{other: one for one, other in pairs}}
    expected = {other_language.get(path, path): count for path, count in linked_by(english).items()}

    assert expected == linked_by(chinese)
    assert FILES[english] in linked_by(chinese)


def test_the_chinese_readme_says_which_pages_are_english():
    """Its table of pages has the Chinese page of the docs first, and all that have no Chinese page as English."""
    rows = re.findall(r"^\| (中文|英文) \| (.*) \|$", PAGES["README.zh.md"], re.MULTILINE)
    pages = [(language, re.findall(r"\]\(docs/([^)]*)\)", links)) for language, links in rows]
    without = sorted(set(PAGES) - set(TRANSLATIONS) - set(TRANSLATIONS.values()))

    assert [("中文", ["zh/quickstart.md"]), ("英文", without)] == [
        (language, sorted(p)) for language, p in pages
    ]
