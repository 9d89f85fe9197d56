"""The rows of a batch for other programs: in the order of the input, safe in a spreadsheet, and readable again."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import openpyxl
import pytest
from helpers import session_at
from hypothesis import example, given
from hypothesis import strategies as st

from foxapi_async import Batch, GrokImagineImage, InvalidRequestError, LedgerError, RawRequest
from foxapi_async._batch import export_files
from foxapi_async._batch.export import open_table
from foxapi_async._batch.export_files import CUT, LONGEST_CELL, BatchExport
from foxapi_async._batch.input.file import InputFile
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async.emulator import Emulator, Fault

GROK = {"model": "grok-imagine-image"}
FOLDERS = Path(__file__).parents[1] / "fixtures/folders_1bcbcf5"


async def ledger_of(out, *items):
    """A ledger whose items wait for their answers: pairs of a key and what its last submit was."""
    out.mkdir(exist_ok=True)
    async with SqliteLedger.opened(out / "ledger.sqlite") as ledger:
        for key, opening in items:
            await ledger.submitting(key, "f" * 24, "key", None, opening and json.dumps(opening))


def opening(index=0, *, extra=None, **request):
    return {"index": index, "request": {"model": "grok-imagine-image", **request}, "extra": extra or {}}


def rows_of(out):
    """The rows by the names of their columns."""
    with open_table(out) as table:
        return [row.values for row in table]


def written(out, form):
    """The whole file."""
    with open_table(out) as table:
        return b"".join(BatchExport(table).pieces(form))


def table_of(out):
    """The rows of the CSV file, as a program that knows nothing of ours reads them."""
    text = written(out, "csv").decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def cells_of(out):
    """The rows of the workbook, with the types of their cells."""
    book = openpyxl.load_workbook(io.BytesIO(written(out, "xlsx")))
    names = [cell.value for cell in book.active[1]]
    return [dict(zip(names, row, strict=True)) for row in book.active.iter_rows(min_row=2)]


async def run(out, given, *faults):
    """Run a batch to its end."""
    async with Emulator(seconds=0.05) as emulator, session_at(emulator) as fox:
        for fault in faults:
            emulator.add_fault(fault)
        return [outcome async for outcome in Batch(given, out, max_in_flight=1).run(fox)]


# The rows.


async def test_a_row_has_its_request_and_its_result(tmp_path):
    """The state is that of the ledger; files are relative to the folder, and an error is a text."""
    fault = Fault.fails("content_policy_violation")
    await run(
        tmp_path,
        [("fox", GrokImagineImage("a fox", num_outputs=2)), ("owl", GrokImagineImage("an owl"))],
        fault,
    )
    failed, done = rows_of(tmp_path)
    message = failed.pop("error")

    assert {
        "id": "fox",
        "model": "grok-imagine-image",
        "prompt": "a fox",
        "num_outputs": 2,
        "state": "failed",
        "files": [],
        "credits": failed["credits"],
    } == failed
    assert 1 == message.count("content_policy_violation")
    assert {"state": "done", "files": ["images/owl-1.jpg"], "error": None, "credits": 5.0} == {
        name: done[name] for name in ("state", "files", "error", "credits")
    }
    assert (tmp_path / done["files"][0]).is_file()


async def test_rows_are_in_the_order_of_the_input(tmp_path):
    """Not in that of their submits. A row whose place is not known is the last one."""
    await ledger_of(tmp_path, ("c", opening(2)), ("x", None), ("a", opening(0)), ("b", opening(1)))

    assert ["a", "b", "c", "x"] == [row["id"] for row in rows_of(tmp_path)]


async def test_an_item_without_an_id_has_none(tmp_path):
    """The key that counts equal requests is refused in an input."""
    await run(tmp_path, [GrokImagineImage("a fox")])

    assert [None] == [row["id"] for row in rows_of(tmp_path)]


async def test_an_item_that_is_sent_again_has_no_error(tmp_path):
    """The error was that of its last submit but one."""
    items = [("fox", GrokImagineImage("a fox"))]
    await run(tmp_path, items, Fault.fails("content_policy_violation"))
    async with SqliteLedger.opened(tmp_path / "ledger.sqlite") as ledger:
        entry = (await ledger.look_up(["fox"]))["fox"]
        await ledger.submitting("fox", entry.fingerprint, "key", 5.0, json.dumps(opening(prompt="a fox")))
        await ledger.submitted("fox", "task-2")
    (row,) = rows_of(tmp_path)

    assert ("submitted", None, 5.0) == (row["state"], row["error"], row["credits"])


@pytest.mark.parametrize("folder", sorted(path.name for path in FOLDERS.iterdir()))
async def test_folders_of_an_older_version(tmp_path, folder):
    """Every folder that a run may leave can be exported: it has the states of `status`, and is not changed."""
    shutil.copytree(FOLDERS / folder, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    states = Counter(row["state"] for row in rows_of(tmp_path / "out"))
    async with SqliteLedger.peek(tmp_path / "out/ledger.sqlite") as ledger:
        counts = (await ledger.totals()).counts

    assert Counter({state.value: count for state, count in counts.items()}) == states
    assert before == {path: path.read_bytes() for path in before}


async def test_items_that_have_not_begun(tmp_path):
    """The folder does not have them; their number is known from the input."""
    (tmp_path / "p.txt").write_text("a\nb\nc\n")
    file = InputFile(tmp_path / "p.txt", defaults=GROK)
    async with Emulator(seconds=0.05) as emulator, session_at(emulator) as fox:
        async for _ in Batch(file, tmp_path / "out", budget=5, price=5).run(fox):
            pass
    with open_table(tmp_path / "out") as table:
        assert (1, 2) == (len(table), table.unknown)


async def test_a_column_with_a_name_of_ours_gets_another(tmp_path):
    """Also if the input is an export that was made from one."""
    extra = {"state": "NY", "state (input)": "CA", "credits": "7"}
    await ledger_of(tmp_path, ("a", opening(extra=extra, prompt="a fox")))
    (row,) = rows_of(tmp_path)

    assert ("submitting", "NY", "CA", "7") == (
        row["state"],
        row["state (input) (input)"],
        row["state (input)"],
        row["credits (input)"],
    )


async def test_the_columns_are_those_of_all_rows(tmp_path):
    """Ours are the first and the last ones."""
    await ledger_of(
        tmp_path,
        ("a", opening(prompt="a fox", extra={"sku": "1"})),
        ("b", opening(prompt="b", aspect_ratio="1:1")),
    )
    with open_table(tmp_path) as table:
        assert [
            "id",
            "model",
            "prompt",
            "aspect_ratio",
            "sku",
            "state",
            "files",
            "error",
            "credits",
        ] == table.columns


def test_a_folder_without_a_ledger(tmp_path):
    """No run has begun there."""
    with pytest.raises(LedgerError, match="no run has begun there"), open_table(tmp_path):
        pass


async def test_a_damaged_ledger(tmp_path):
    """The error names the file and the fix."""
    await ledger_of(tmp_path, *((f"k{n}", opening(n, prompt="x" * 500)) for n in range(200)))
    path = tmp_path / "ledger.sqlite"
    data = path.read_bytes()
    path.write_bytes(data[:8192] + b"\xff" * (len(data) - 8192))

    with pytest.raises(LedgerError, match="is damaged"):
        rows_of(tmp_path)


# CSV.


async def test_excel_reads_the_table_as_it_is(tmp_path):
    """It begins with a byte order mark, and its lines end with CRLF."""
    await ledger_of(tmp_path, ("a", opening(prompt="ein Füchslein, 狐")))

    assert (
        "\ufeffid,model,prompt,state,files,error,credits\r\n"
        'a,grok-imagine-image,"ein Füchslein, 狐",submitting,,,\r\n'
    ) == written(tmp_path, "csv").decode()


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+cmd",
        "-fox",
        "@SUM(A1)",
        "\tfox",
        "\rfox",
        "\nfox",
        "＝1",
        " =1",
        "\xa0=1",
        "\u3000@a",
        "\x01=1",
    ],
)
async def test_no_text_is_a_formula(tmp_path, text):
    """An apostrophe before it makes it a text, in a header too."""
    await ledger_of(tmp_path, (text.strip(), opening(prompt=text, extra={text: text})))
    (row,) = table_of(tmp_path)

    assert [f"'{text}"] * 2 == [row["prompt"], row[f"'{text}"]]
    assert row["id"] == (text.strip() if text.strip() == "fox" else f"'{text.strip()}")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a fox;=1+1", "a fox;'=1+1"),
        ("a fox;+1;-1;@a", "a fox;'+1;'-1;'@a"),
        ("a fox; \t=1+1;", "a fox; \t'=1+1;"),
        ("a fox\t=1", "a fox\t'=1"),
        ("a fox, red\n=1+1;", "a fox, red\n'=1+1;"),
        ("a fox\r\n=1", "a fox\r\n'=1"),
        ('a fox;"=1+1', "a fox;\"'=1+1"),
        ("=1;=1", "'=1;'=1"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("\n=1", "'\n'=1"),
        ("a fox; red - and blue, a=1", "a fox; red - and blue, a=1"),
    ],
)
async def test_no_part_of_a_text_is_a_formula(tmp_path, text, cell):
    """Where Excel opens a table at its semicolons, a part of a text would be a cell."""
    await ledger_of(tmp_path, ("a", opening(prompt=text)))
    (row,) = table_of(tmp_path)

    assert cell == row["prompt"]


@given(st.lists(st.text(";=+-@＝\"'\t\r\n ,a1"), min_size=1, max_size=4), st.sampled_from(",;\t"))
@example(["x", 'a fox;"=1+1;', "b"], ";")
@example(["x", "a fox, red\n=1+1;", "b"], ";")
@example(["-5", "1*cmd|' /C calc'!A0"], ";")
def test_no_separator_makes_a_formula(texts, separator):
    """No cell of a table is a formula, at whichever separator a spreadsheet opens it. Only numbers keep their sign."""
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\r\n").writerow(
        export_files._harmless(text, is_first=place == 0) for place, text in enumerate(texts)
    )
    file.seek(0)
    cells = [cell for row in csv.reader(file, delimiter=separator) for cell in row]

    assert [] == [cell for cell in cells if re.match(r"\s*[=+\-@＝](?![0-9,]*$)", cell)]


@pytest.mark.parametrize("text", ["-5", "+5", "-0.5", "-1,5", "+4912345", "-1e5"])
async def test_a_number_stays_a_number(tmp_path, text):
    """A sign alone is no formula."""
    await ledger_of(tmp_path, ("a", opening(prompt="x", extra={"change": text})))

    assert text == table_of(tmp_path)[0]["change"]


async def test_lone_surrogates_do_not_stop_a_table(tmp_path):
    """UTF-8 cannot hold them."""
    await ledger_of(tmp_path, ("a", opening(prompt="a\ud800b")))

    assert "a?b" == table_of(tmp_path)[0]["prompt"]


# JSON lines.


async def test_json_lines(tmp_path):
    """Each has the values as they are."""
    await ledger_of(tmp_path, ("a", opening(prompt="=1+1", num_outputs=2, extra={"sku": "007"})))

    assert {
        "id": "a",
        "model": "grok-imagine-image",
        "prompt": "=1+1",
        "num_outputs": 2,
        "sku": "007",
        "state": "submitting",
        "files": [],
        "error": None,
        "credits": None,
    } == json.loads(written(tmp_path, "jsonl"))


# Workbooks.


@pytest.mark.parametrize("text", ["=1+1", "#N/A", "-fox"])
async def test_a_text_in_a_workbook_is_a_text(tmp_path, text):
    """Neither a formula nor an error, and nothing is put before it."""
    await ledger_of(tmp_path, ("a", opening(prompt=text)))
    (row,) = cells_of(tmp_path)

    assert (text, "s") == (row["prompt"].value, row["prompt"].data_type)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-1.5", -1.5),
        ("007", "007"),
        ("1.10", "1.10"),
        ("1" * 16, "1" * 16),
        ("1e5", "1e5"),
        ("-0.0", -0.0),
    ],
)
async def test_a_number_in_a_workbook_is_a_number(tmp_path, text, value):
    """A text whose digits a spreadsheet would change stays one."""
    await ledger_of(tmp_path, ("7", opening(prompt="a", num_outputs=2, extra={"sku": text})))
    (row,) = cells_of(tmp_path)

    assert ("7", 2, value) == (row["id"].value, row["num_outputs"].value, row["sku"].value)


async def test_a_number_with_too_many_digits(tmp_path):
    """A spreadsheet would change it, so it is a text."""
    await ledger_of(tmp_path, ("a", opening(path="/v1/images/generations", seed=10**15, small=-(10**14))))
    (row,) = cells_of(tmp_path)

    assert (str(10**15), -(10**14)) == (row["seed"].value, row["small"].value)


async def test_characters_that_xml_does_not_have(tmp_path):
    """Each is replaced."""
    await ledger_of(tmp_path, ("a", opening(prompt="a\x00b\x1fc\ud800d\uffffe\tf")))

    assert "a\ufffdb\ufffdc\ufffdd\ufffde\tf" == cells_of(tmp_path)[0]["prompt"].value


@pytest.mark.parametrize("character", ["x", "🦊"])
async def test_a_cell_that_is_too_long_is_cut(tmp_path, character):
    """It ends with a mark, and the cells that were cut are counted. Excel counts UTF-16 units."""
    size = len(character.encode("utf-16-le")) // 2
    fits, long = character * (LONGEST_CELL // size), character * (LONGEST_CELL // size + 1)
    await ledger_of(tmp_path, ("a", opening(0, prompt=fits)), ("b", opening(1, prompt=long)))
    with open_table(tmp_path) as table:
        export = BatchExport(table)
        book = openpyxl.load_workbook(io.BytesIO(b"".join(export.pieces("xlsx"))))
    whole, cut = [row[2].value for row in book.active.iter_rows(min_row=2)]

    assert fits == whole
    assert cut == character * ((LONGEST_CELL - len(CUT)) // size) + CUT
    assert 1 == export.cut


async def test_more_rows_than_a_sheet_has(tmp_path, monkeypatch):
    """The error names another format."""
    monkeypatch.setattr(export_files, "MOST_ROWS", 2)
    await ledger_of(tmp_path, ("a", opening(0)), ("b", opening(1)))

    with pytest.raises(
        InvalidRequestError, match="the batch has 2 items, and a sheet has at most 2 rows; write CSV"
    ):
        written(tmp_path, "xlsx")


# And back.

REQUESTS = [
    GrokImagineImage("a fox, in\nsnow", num_outputs=2, aspect_ratio="16:9"),
    GrokImagineImage("make it night", image_urls=["https://example.com/a.png", "https://example.com/b.png"]),
    GrokImagineImage("make it day", image_urls=["data:image/png;base64,iVBO Rw0|KGgo"]),
    RawRequest(
        "other",
        "5",
        params={"seed": 5, "text": "5", "flag": True, "none": None, "tags": [1, {"a": "b"}], "t": "x"},
    ),
    RawRequest("film", path="/v1/videos/generations"),
]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_an_export_is_an_input(tmp_path, form):
    """Its rows are the same requests. The columns of the results are kept beside those of a model that is known."""
    given = [(f"item-{n}", request) for n, request in enumerate(REQUESTS)]
    async with SqliteLedger.opened(tmp_path / "ledger.sqlite") as ledger:
        for index, (key, request) in enumerate(given):
            record = json.dumps({"index": index, "request": request.to_dict()})
            await ledger.submitting(key, "f" * 24, "key", None, record)
    path = tmp_path / f"again.{form}"
    path.write_bytes(written(tmp_path, form))
    file = InputFile(path, defaults=GROK, keeps_extra=True)
    rows = [row async for chunk in file.chunks() for row in chunk]

    assert [()] * len(REQUESTS) == [row.problems for row in rows]
    assert [key for key, _ in given] == [row.id for row in rows]
    assert REQUESTS[:3] == [row.request for row in rows[:3]]
    assert [{"state": "submitting"}] * 3 == [dict(row.extra) for row in rows[:3]]
    # A model that is not known may have every field, also one that is called state.
    assert [dict(request.params) | {"state": "submitting"} for request in REQUESTS[3:]] == [
        dict(row.request.params) for row in rows[3:]
    ]


async def test_an_exported_workbook_of_a_run_can_be_run(tmp_path):
    """The columns of the user are there again."""
    (tmp_path / "p.csv").write_text("id,prompt,sku\nfox,a fox,007\nowl,=an owl,5\n")
    await run(tmp_path / "out", InputFile(tmp_path / "p.csv", defaults=GROK, keeps_extra=True))
    (tmp_path / "again.xlsx").write_bytes(written(tmp_path / "out", "xlsx"))
    await run(tmp_path / "again", InputFile(tmp_path / "again.xlsx", defaults=GROK, keeps_extra=True))

    names = ("id", "prompt", "sku", "state", "state (input)", "files")
    assert [
        ["fox", "a fox", "007", "done", "done", "images/fox-1.jpg"],
        ["owl", "=an owl", 5, "done", "done", "images/owl-1.jpg"],
    ] == [[row[name].value for name in names] for row in cells_of(tmp_path / "again")]


async def test_the_rows_of_many_items(tmp_path):
    """They are read in chunks."""
    async with SqliteLedger.opened(tmp_path / "ledger.sqlite") as ledger:
        for n in range(1200):
            await ledger.submitting(
                f"k{n}", "f" * 24, "key", None, json.dumps(opening(1200 - n, prompt=f"{n}"))
            )

    assert [f"k{n}" for n in reversed(range(1200))] == [row["id"] for row in rows_of(tmp_path)]
