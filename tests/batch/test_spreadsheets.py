"""Tables as spreadsheets write them, arrays of JSON, and columns that belong to the user."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest
from helpers import session_at

from foxapi_async import Batch, Hint
from foxapi_async._batch.input.check import check
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.lines import InputRow
from foxapi_async.emulator import Emulator
from foxapi_async.report import write_report

CASES = Path(__file__).parents[1] / "cases/spreadsheets"
GROK = {"model": "grok-imagine-image"}
THREE = ["a red fox, in snow", "a snowy owl", "一只猞猁在雪地里"]


async def rows_of(path, **options):
    """All items of a file."""
    file = InputFile(path, defaults=GROK, **options)
    return [row async for chunk in file.chunks() for row in chunk]


@pytest.fixture
def read(tmp_path):
    """The items of a file with this content."""

    async def read(name, content, **options):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return await rows_of(tmp_path / name, **options)

    return read


def prompts(rows):
    return [row.request.prompt for row in rows]


@pytest.mark.parametrize(
    "name",
    [
        "array.json",
        "capital_header.csv",
        "semicolon_bom_crlf.csv",
        "sep_line.csv",
        "tab_utf16.txt",
        "trailing_empty_columns.csv",
    ],
)
async def test_a_table_of_a_real_program(name):
    """Three items with their ids and prompts, whatever the delimiter, encoding and header are."""
    rows = await rows_of(CASES / name)

    assert THREE == prompts(rows)
    assert ["fox", "owl", "lynx"] == [row.id for row in rows]


async def test_several_images_in_a_cell():
    """A JSON array and a list with `|` give two input images each."""
    rows = await rows_of(CASES / "images_in_a_cell.csv")

    assert [("https://example.com/a.png", "https://example.com/b.png")] * 2 == [
        row.request.image_urls for row in rows
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("extra_columns.csv", ['"sku"', '"notes"']),
        ("no_header.csv", ["names no column such as prompt", ".txt"]),
        ("unknown_column.csv", ['"ratio"', "did you mean aspect_ratio?"]),
    ],
)
async def test_a_header_that_is_wrong_is_one_problem(name, words):
    """The only problem is that of line 1, and it says what to do."""
    (row,) = await rows_of(CASES / name)

    assert (1, None) == (row.number, row.request)
    assert [] == [word for word in words if word not in row.problems[0]]


async def test_kept_columns(tmp_path):
    """With `--extra keep` the columns that are no field are beside the request, in the manifest and in the report."""
    rows = await rows_of(CASES / "extra_columns.csv", keeps_extra=True)
    assert {"sku": "S-0", "notes": "urgent"} == rows[0].extra

    async with Emulator(seconds=0.05) as emulator, session_at(emulator) as fox:
        file = InputFile(CASES / "extra_columns.csv", defaults=GROK, keeps_extra=True)
        assert 3 == len([outcome async for outcome in Batch(file, tmp_path).run(fox)])
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]

    assert {"S-0", "S-1", "S-2"} == {line["extra"]["sku"] for line in lines}
    assert "sku: S-1" in write_report(tmp_path).read_text()


async def test_kept_columns_beside_a_column_of_models(read):
    """What a row's model does not have is kept. A model that is not known may have every field."""
    table = "model,prompt,sku\ngrok-imagine-image,a fox,S-1\nother,an owl,5\n"
    (known, other), (wrong, _) = await read("a.csv", table, keeps_extra=True), await read("a.csv", table)

    assert ({"sku": "S-1"}, {}, {"sku": 5}) == (known.extra, other.extra, dict(other.request.params))
    assert (True, Hint.KEEP_EXTRA) == ('"sku": no field' in wrong.problems[0], wrong.hint)


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
async def test_a_delimiter_is_found_in_the_header(read, delimiter):
    """Each usual delimiter, also where the cells have others."""
    (row,) = await read("a.csv", f'"prompt"{delimiter}id\n"a,b;c|d"{delimiter}x\n')

    assert ("a,b;c|d", "x") == (row.request.prompt, row.id)


async def test_one_column(read):
    """A single column has the delimiter of its format: a comma in a tab-separated prompt is a part of it."""
    assert ["a fox, red", "b"] == prompts(await read("a.tsv", "prompt\na fox, red\nb\n"))
    assert ["a fox; red"] == prompts(await read("a.csv", "prompt\na fox; red\n"))


async def test_a_given_delimiter(read):
    """A delimiter that the caller gives is used, whatever the header looks like."""
    (row,) = await read("a.csv", "prompt:id\na;b:x\n", delimiter=":")

    assert ("a;b", "x") == (row.request.prompt, row.id)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
    ],
    ids=["UTF-16 LE", "UTF-16 BE", "CR", "CRLF"],
)
async def test_encodings_and_line_ends(read, encode):
    """UTF-16 and each kind of line end are read as UTF-8 and LF are."""
    assert ["ein Füchslein", "b"] == prompts(await read("a.csv", encode("prompt,id\nein Füchslein,1\nb,2\n")))


async def test_headers_with_blanks_and_capitals(read):
    """`Aspect Ratio` and `NUM-OUTPUTS` are fields; a column of another model's row keeps its name."""
    (row,) = await read("a.csv", "Prompt, Aspect Ratio ,NUM-OUTPUTS\na,1:1,2\n")
    (other,) = await read("b.csv", "model,prompt,MyField\nother,a,5\n")

    assert ("1:1", 2) == (row.request.aspect_ratio, row.request.num_outputs)
    assert {"MyField": 5} == dict(other.request.params)


async def test_a_long_cell(read):
    """A cell may have up to 1 MiB, as the data of an image does."""
    data = f"data:image/png;base64,{'A' * 900_000}"
    (row,) = await read("a.csv", f'prompt,image_urls\na fox,"{data}"\n')

    assert (data,) == row.request.image_urls


async def test_rows_of_other_lengths(read):
    """Empty cells at the end are left out; a missing or a filled one more is a problem of its row."""
    rows = await read("a.csv", "prompt,id\na,1,,\nb\nc,3,x\n")

    assert [None, "has 1 cells, the header has 2", "has 3 cells, the header has 2"] == [
        row.problems[0] if row.problems else None for row in rows
    ]


async def test_a_list_of_prompts_with_tabs_stays_one(read):
    """A .txt file is a table only if its first line names a column for prompts."""
    assert ["a\tb", "c"] == prompts(await read("a.txt", "a\tb\nc\n"))


@pytest.mark.parametrize("content", ["", "\n\n", "sep=;\n"])
async def test_a_table_without_rows(read, content):
    """An empty table has no items."""
    assert [] == await read("a.csv", content)


async def test_an_array_over_several_lines(read):
    """Each object has the number of the line where it begins, and a wrong one is a problem of its own."""
    rows = await read("a.json", '[\n{"prompt":\n "a"}, {"prompt": "b"},\n{"prompt": ""}, 5\n]\n')

    assert [2, 3, 4, 4] == [row.number for row in rows]
    assert ["a", "b"] == prompts(rows[:2])
    assert [True, True] == [bool(row.problems) for row in rows[2:]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"prompt": "a"}', "a .json file holds one array"),
        ('[{"prompt": "a"}\n{"prompt": oops}]', "not usable JSON"),
        ('[{"prompt": "a", "prompt": "b"}]', "given twice"),
        ('[{"prompt": "a"} {"prompt": "b"}]', "a comma is missing"),
        ('[{"prompt": "a"},\n{"prompt": "b"', "is the file cut off?"),
        ('[{"prompt": "a"}', "is the file cut off?"),
        ('[{"prompt": "a"}] {"prompt": "b"}', "text after its end"),
        ("[", "is the file cut off?"),
        (b'[{"prompt": "\xff"}]', "not UTF-8"),
    ],
)
async def test_an_array_that_cannot_be_read(read, content, words):
    """Reading ends with a problem that says why."""
    rows = await read("a.json", content)

    assert words in rows[-1].problems[0]


@pytest.mark.parametrize("content", ["", "[]", "[\n]\n"])
async def test_an_array_without_objects(read, content):
    """It has no items."""
    assert [] == await read("a.json", content)


async def test_options_that_change_the_items_change_the_validation(tmp_path):
    """A file that was checked with other options is checked again."""
    path = tmp_path / "a.csv"
    path.write_text("prompt\na\n")
    found = []
    for options in ({}, {"keeps_extra": True}, {"delimiter": ";"}):
        file = InputFile(path, defaults=GROK, **options)
        await check(file)
        found.append(file.validation)

    assert 3 == len(set(found))


def test_a_row_has_no_other_columns():
    """By default there are none."""
    assert {} == dict(InputRow(1).extra)
