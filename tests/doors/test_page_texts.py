"""The texts of the page of `foxapi serve`: one table, in English and in Chinese."""

import json
import re
from typing import get_args

import pytest
from pages import ROOT

from foxapi_async import InvalidRequestError
from foxapi_async._errors import Charged, ProblemType
from foxapi_async._lightbox import read_asset
from foxapi_async.fastapi._shapes import RequestProblem
from foxapi_async.models import find_models, parse_request
from foxapi_async.models._catalogue import MEDIA

PAGE = ROOT / "foxapi_async" / "page"
SCRIPTS = {path.name: path.read_text() for path in sorted(PAGE.glob("*.js"))}
HTML = (PAGE / "page.html").read_text()
TABLES = {"texts.js", "names.js"}
ROW = re.compile(r'^  "?([\w.]+)"?: \["(.+)", "(.+)"\],$', re.MULTILINE)
TEXTS = {key: (english, chinese) for key, english, chinese in ROW.findall(SCRIPTS["texts.js"])}
NAMES = {key: (english, chinese) for key, english, chinese in ROW.findall(SCRIPTS["names.js"])}
CHINESE = re.compile("[\u3400-\u9fff]")
FIELD = re.compile(r"\{(\w+)\}")
# These literals begin like a text, and are names of the browser's interface.
CODE_LITERALS = {"Content-Type", "Enter", "Files", "Idempotency-Key", "TaskCancelledError"}


def table(name, script):
    """The lines of a table that is an object of its own."""
    return re.search(rf"^export const {name} = \{{\n(.*?)^\}};", SCRIPTS[script], re.DOTALL | re.MULTILINE)[1]


@pytest.mark.parametrize(
    ("name", "script", "rows"), [("TEXTS", "texts.js", TEXTS), ("NAMES", "names.js", NAMES)]
)
def test_each_row_has_both_languages(name, script, rows):
    """Each line of a table is a key with an English and a Chinese text, and no key comes twice."""
    lines = [line for line in table(name, script).splitlines() if line]

    assert len(lines) == len(rows)


@pytest.mark.parametrize("key", TEXTS)
def test_both_texts_say_the_same_values(key):
    """The Chinese text has the values of the English one."""
    english, chinese = TEXTS[key]

    assert set(FIELD.findall(english)) == set(FIELD.findall(chinese))


def test_the_languages_are_not_mixed_up():
    """No English text has a Chinese letter, and each Chinese text with words has some."""
    rows = {**TEXTS, **NAMES}
    without_letters = {key for key, (_, chinese) in rows.items() if not CHINESE.search(chinese)}

    assert {key for key, (english, _) in rows.items() if CHINESE.search(english)} == set()
    assert without_letters == {"problem.field"}


def code_of(script):
    """A script without its comments."""
    return re.sub(r"^\s*(//.*|/\*.*\*/)$", "", script, flags=re.MULTILINE)


def test_no_script_has_a_text_of_its_own():
    """Outside the tables no literal begins like a text, and none is Chinese."""
    code = {name: code_of(script) for name, script in SCRIPTS.items() if name not in TABLES}
    literals = [
        literal for each in code.values() for literal in re.findall(r'["`]([A-Z][a-z][^"`\n]*)["`]', each)
    ]

    assert set(literals) == CODE_LITERALS
    assert [name for name, each in code.items() if CHINESE.search(each)] == []


def test_the_document_has_no_text_of_its_own():
    """The document gets its texts from the table, but for its title before that, and for a browser without scripts."""
    body = re.sub(r"<noscript>.*?</noscript>|<title>.*?</title>", "", HTML)

    assert re.findall(r">([^<\n]*\w[^<\n]*)<", body) == []
    assert re.findall(r' (?:aria-label|placeholder|title)="', body) == []


def test_every_text_that_is_used_is_in_the_table():
    """Each key in the document and in a script is in the table."""
    used = set(re.findall(r'data-(?:text|label|placeholder)="([\w.]+)"', HTML))
    for script in SCRIPTS.values():
        used |= set(re.findall(r'\b(?:text|counted)\("([\w.]+)"', script))

    assert used - TEXTS.keys() == set()


def test_every_text_of_the_lightbox_is_in_the_table():
    """The page words each text of the lightbox."""
    named = re.search(r"LIGHTBOX_TEXTS = \{\n(.*?)\n\};", read_asset("lightbox.js"), re.DOTALL)[1]

    assert {f"view.{name}" for name in re.findall(r"^  (\w+):", named, re.MULTILINE)} == {
        key for key in TEXTS if key.startswith("view.")
    }


def test_every_state_of_a_card_has_its_texts():
    """Keys that are put together at run time are in the table: for each medium, state, fault and bill."""
    faults = ("failed", "uncertain", "unsaved", "fault", "refused")
    wanted = {f"{kind}.{fault}" for kind in ("error", "advice") for fault in faults}
    wanted |= {f"medium.{medium}" for medium in MEDIA}
    wanted |= {f"bill.{charged}" for charged in get_args(Charged)}
    wanted |= {
        f"state.{state}"
        for state in ("waiting", "sending", "submitting", "running", "queued", "processing", "saving")
    }
    wanted |= {f"input.{state}" for state in ("failed", "uploading", "ready", "unused")}

    assert wanted - TEXTS.keys() == set()


ADDRESS = "https://example.com/fox.png"
GROK, GPT = {"model": "grok-imagine-image", "prompt": "x"}, {"model": "gpt-image-2", "prompt": "x"}
# A request with each type of problem.
WRONG = {
    "missing": {"model": "grok-imagine-image"},
    "not_allowed": {**GPT, "resolution": {"width": 16, "height": 16}},
    "too_long": {"model": "gemini-3.1-flash-tts", "prompt": "x" * 50_001},
    "wrong_count": {**GROK, "image_urls": [ADDRESS] * 4},
    "not_a_list": {**GROK, "image_urls": ADDRESS},
    "not_a_url": {**GROK, "image_urls": ["fox.png"]},
    "not_utf8": {**GROK, "prompt": "\ud800"},
    "excluded": {**GROK, "image_urls": [ADDRESS], "aspect_ratio": "1:1"},
    "needs": {"model": "gemini-3-pro-image-preview", "prompt": "x", "aspect_ratio": "match_input_image"},
    "at_most": {"model": "wan-2.7-image", "prompt": "x", "image_urls": [ADDRESS], "num_outputs": 5},
    "unknown_field": {**GROK, "seed": 1},
    "unknown_model": {"model": "grok-imagin-image", "prompt": "x"},
}


def test_each_type_of_problem_has_its_words():
    """The page words each type of problem, except the one that only the server's sentence says."""
    worded = {key.removeprefix("problem.") for key in TEXTS if key.startswith("problem.")} - {"field"}

    assert worded == set(get_args(ProblemType)) - {"other"} == set(WRONG)


@pytest.mark.parametrize("type_", WRONG)
def test_each_problem_has_the_values_of_its_words(type_):
    """A problem of a request has each value that the page's words for it need."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(WRONG[type_])
    (problem,) = map(RequestProblem.of, caught.value.problems)

    assert problem.type == type_
    assert set(FIELD.findall(TEXTS[f"problem.{type_}"][0])) <= {*problem.ctx, "field", "allowed"}


def test_the_allowed_values_of_each_field_have_their_words():
    """Each kind of field, with the limits that it has, is worded."""
    specs = [spec for model in find_models() for spec in model.fields if not spec.choices and not spec.values]
    limits = {"from": "minimum", "to": "maximum"}
    wanted = {
        ".".join(
            ["allowed", spec.kind, *(word for word in limits if getattr(spec, limits[word]) is not None)]
        )
        for spec in specs
    }

    assert wanted - TEXTS.keys() == set()


def test_no_text_of_the_table_is_unused():
    """Each key of the table is in the document or in a script, whole, or with an end that is made."""
    code = HTML + "".join(code_of(script) for name, script in SCRIPTS.items() if name not in TABLES)
    code += code_of(SCRIPTS["texts.js"].partition("\n};")[2])
    beginnings = set(re.findall(r"`(\w+)\.\$\{", code))

    assert [key for key in TEXTS if f'"{key}"' not in code and key.partition(".")[0] not in beginnings] == []


def test_the_help_of_every_image_model_is_in_chinese():
    """The help of each field of an image model has a Chinese text, and no other has one."""
    known = {spec.help for model in find_models(returns="image") for spec in model.fields if spec.help}
    rows = dict(re.findall(r'^  ("(?:.+?)"): ("(?:.+)"),$', table("HELP", "names.js"), re.MULTILINE))

    assert {json.loads(english) for english in rows} == known
    assert all(CHINESE.search(chinese) for chinese in rows.values())


def test_no_script_is_longer_than_a_reader_can_hold():
    """A file is one concept, of at most 400 lines."""
    assert {
        name: len(script.splitlines()) for name, script in SCRIPTS.items() if script.count("\n") > 400
    } == {}
