"""Workbooks as the input of a batch: the same items as from a table in a text file, and problems that name the cell."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import os
import subprocess
import sys
import tracemalloc
import zipfile

import openpyxl
import pytest
from openpyxl.worksheet.datavalidation import DataValidation
from workbooks import save_book, text, write_book

from foxapi_async import ConfigurationError, InvalidRequestError
from foxapi_async._batch.input import workbook
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.text import LONGEST_LINE

GROK = {"model": "grok-imagine-image"}
HEADER = text("A1", "id") + text("B1", "prompt") + text("C1", "sku")
ROW = text("A2", "fox") + text("B2", "a red fox")


async def rows_of(path, **options):
    """All items of a file."""
    file = InputFile(path, defaults=GROK, **options)
    return [row async for chunk in file.chunks() for row in chunk]


async def problems_of(path, **options):
    """The number and problem of each wrong row."""
    rows = await rows_of(path, **options)
    return [(row.number, problem) for row in rows for problem in row.problems]


@pytest.fixture
def book(tmp_path):
    return tmp_path / "products.xlsx"


async def test_a_sheet_has_the_items_of_a_table(book, tmp_path):
    """The header, the types of the fields, empty cells and several images in a cell are read as from a .csv file."""
    images = "https://example.com/a.png|https://example.com/b.png"
    save_book(
        book,
        ["ID", "Prompt", "Aspect Ratio", "num-outputs", "image_urls"],
        ["fox", "a red fox, in snow", "16:9", 2, None],
        ["owl", "make it night", None, "1", images],
    )
    table = tmp_path / "products.csv"
    table.write_text(
        "ID,Prompt,Aspect Ratio,num-outputs,image_urls\n"
        f'fox,"a red fox, in snow",16:9,2,\nowl,make it night,,1,{images}\n'
    )

    assert await rows_of(table) == await rows_of(book)


async def test_the_number_of_an_item_is_that_of_its_row(book):
    """Blank rows count, and are skipped."""
    save_book(book, [], ["prompt"], [None], ["a fox"], [" "], ["an owl"])

    assert [4, 6] == [row.number for row in await rows_of(book)]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (7, "7"),
        (1.0, "1"),
        (4012345678901.0, "4012345678901"),
        (0.5, "0.5"),
        (0.1 + 0.2, "0.3"),
        (1e21, "1e+21"),
        ("007", "007"),
        (True, "true"),
        (dt.datetime.fromisoformat("2024-05-01"), "2024-05-01"),
        (dt.datetime.fromisoformat("2024-05-01T13:30"), "2024-05-01T13:30:00"),
        (dt.time(16, 9), "16:09:00"),
        (dt.timedelta(hours=32, minutes=9), "32:09:00"),
        ("a\r\nb", "a\nb"),
    ],
)
async def test_the_text_of_a_cell(book, value, shown):
    """Whole numbers have no point, dates are in ISO 8601, and a line ends with LF."""
    save_book(book, ["prompt", "sku"], ["a fox", value])
    (row,) = await rows_of(book, keeps_extra=True)

    assert {"sku": shown} == row.extra


async def test_a_day_that_the_file_states_in_iso_8601(book):
    """A program may store a date as a text."""
    write_book(book, [HEADER, ROW + '<c r="C2" t="d"><v>2024-05-01</v></c>'])
    (row,) = await rows_of(book, keeps_extra=True)

    assert {"sku": "2024-05-01"} == row.extra


async def test_a_percentage_is_its_number(book):
    """The format of a cell does not change its value."""
    save_book(book, ["prompt", "sku"], ["a fox", 0.5])
    made = openpyxl.load_workbook(book)
    made.active["B2"].number_format = "0%"
    made.save(book)
    (row,) = await rows_of(book, keeps_extra=True)

    assert {"sku": "0.5"} == row.extra


async def test_a_whole_number_is_an_integer(book):
    """1.0 in a cell of an integer is 1; 1.5 is a problem."""
    save_book(book, ["prompt", "num_outputs"], ["a fox", 1.0], ["an owl", 1.5])
    good, wrong = await rows_of(book)

    assert 1 == good.request.num_outputs
    assert 'num_outputs="1.5"' in wrong.problems[0]


@pytest.mark.parametrize(
    ("cell", "ratio"),
    [(dt.time(16, 9), "16:9"), (dt.time(1, 1), "1:1"), ("16:9", "16:9"), ("19.5:9", "19.5:9")],
)
async def test_a_ratio_that_became_a_time(book, cell, ratio):
    """A spreadsheet takes 16:9 for a time of day."""
    save_book(book, ["id", "prompt", "aspect_ratio"], ["01:02", "a fox", cell])
    (row,) = await rows_of(book)

    assert ("01:02", ratio) == (row.id, row.request.aspect_ratio)


async def test_a_ratio_that_became_a_time_in_a_text_file(tmp_path):
    """It is read there too."""
    (tmp_path / "a.csv").write_text("prompt,aspect_ratio\na fox,09:16\n")
    (row,) = await rows_of(tmp_path / "a.csv")

    assert "9:16" == row.request.aspect_ratio


async def test_line_ends_as_a_file_stores_them(book):
    """A CR stands as an escape in the file."""
    cell = '<c r="B2" t="s"><v>0</v></c>'
    write_book(book, [HEADER, cell], strings=["a fox_x000D_\nin snow"])
    (row,) = await rows_of(book, keeps_extra=True)

    assert "a fox\nin snow" == row.request.prompt


async def test_a_header_with_blanks_at_its_end(book):
    """Empty columns at the end are left out; a filled cell below one is a problem of its row."""
    save_book(book, ["prompt", None, " "], ["a fox", None, None], ["an owl", "x"])

    assert [(3, "has 2 cells, the header has 1")] == await problems_of(book)


async def test_a_wrong_column_is_one_problem(book):
    """The problem of the header names the field that was meant."""
    save_book(book, ["prompt", "ratio"], ["a fox", "1:1"], ["an owl", "1:1"])
    ((number, problem),) = await problems_of(book)

    assert 1 == number
    assert "did you mean aspect_ratio?" in problem


@pytest.mark.parametrize("rows", [[], [["prompt", "id"]]])
async def test_a_sheet_without_rows(book, rows):
    """It has no items."""
    save_book(book, *rows)

    assert [] == await rows_of(book)


# Formulas, errors and merged cells.


async def test_a_formula_has_its_stored_value(book):
    """A text, a number, and an empty text, which counts as an empty cell."""
    write_book(
        book,
        [
            HEADER,
            text("B2", "a fox") + text("C2", "1"),
            '<c r="A3"><f>1+2</f><v>3</v></c><c r="B3" t="str"><f>A1</f><v>an owl</v></c><c r="C3" t="str"><f>""</f><v/></c>',
            '<c r="A4"><f>1+3</f><v>4</v></c>' + text("B4", "a lynx"),
        ],
    )
    rows = await rows_of(book, keeps_extra=True)

    assert [(None, "a fox"), ("3", "an owl"), ("4", "a lynx")] == [
        (row.id, row.request.prompt) for row in rows
    ]
    assert {} == rows[1].extra


async def test_a_formula_without_a_stored_value(book):
    """It is a problem that names the cell and the fix; the other rows are read."""
    save_book(book, ["id", "prompt"], ["fox", "a fox"], ["owl", '="a"&"b"'])
    ((number, problem),) = await problems_of(book)

    assert 3 == number
    assert "B3 has a formula without a stored value; open the file in a spreadsheet program" in problem


@pytest.mark.parametrize(
    "cell", ['<c r="C2" t="e"><v>#N/A</v></c>', '<c r="C2" t="e"><f>X1</f><v>#N/A</v></c>']
)
async def test_an_error_in_a_cell(book, cell):
    """It is no prompt."""
    write_book(book, [HEADER, ROW + cell])

    assert [(2, "C2 has the error #N/A")] == await problems_of(book, keeps_extra=True)


async def test_a_fault_in_the_header_is_one_problem(book):
    """The next row is not taken for the header."""
    write_book(book, ['<c r="A1" t="e"><v>#REF!</v></c>', text("A2", "a fox"), text("A3", "an owl")])

    assert [(1, "A1 has the error #REF!")] == await problems_of(book)


async def test_cells_that_are_merged_over_rows(book):
    """Only the first row has the value that the sheet shows for all, so the others are wrong."""
    save_book(
        book,
        ["prompt", "aspect_ratio"],
        ["a fox", "16:9"],
        ["an owl", None],
        ["a lynx", None],
        ["a cat", None],
        merged=["B2:B4"],
    )
    problems = await problems_of(book)

    assert [3, 4] == [number for number, _ in problems]
    assert "its cells are merged with those above it (B2:B4); unmerge them" in problems[0][1]


async def test_cells_that_are_merged_in_a_row_or_beside_the_table(book):
    """They hide nothing."""
    save_book(
        book,
        ["prompt", "aspect_ratio"],
        ["a fox", None],
        ["an owl", "1:1"],
        ["a lynx", "1:1"],
        merged=["A2:B2", "AA1:AB9"],
    )

    assert [] == await problems_of(book)


# Sheets.


async def test_the_first_visible_sheet_is_read(book):
    """A hidden one before it is not, and the sheet that was open last does not matter."""
    made = openpyxl.Workbook()
    made.active.append(["notes"])
    made.active.sheet_state = "hidden"
    for name in ("foxes", "owls"):
        sheet = made.create_sheet(name)
        sheet.append(["prompt"])
        sheet.append([name])
    made.active = 2
    made.save(book)

    assert ["foxes"] == [row.request.prompt for row in await rows_of(book)]


async def test_the_sheet_of_the_values_is_that_of_the_formulas(book):
    """The hidden sheet before it does not shift the stored values."""
    made = openpyxl.Workbook()
    made.active.sheet_state = "hidden"
    made.active.append(["x", "y"])
    made.create_sheet().append(["prompt", "=1+1"])
    made.save(book)
    ((number, problem),) = await problems_of(book)

    assert 1 == number
    assert "B1 has a formula" in problem


@pytest.mark.thorough
async def test_a_sheet_that_is_mostly_styles(book):
    """Cells and rows that have only a style are blank, also the last ones that a sheet can have."""
    write_book(
        book,
        [
            text("A1", "prompt") + '<c r="XFD1" s="0"/>',
            text("A2", "a fox") + '<c r="B2"/>',
            '<row r="1048576" ht="30"><c r="A1048576"/></row>',
        ],
        before='<dimension ref="A1:XFD1048576"/>',
    )

    assert [2] == [row.number for row in await rows_of(book)]


async def test_a_size_that_the_file_states_wrongly(book):
    """Some programs state A1 for every sheet."""
    write_book(book, [HEADER, ROW], before='<dimension ref="A1"/>')

    assert ["a red fox"] == [row.request.prompt for row in await rows_of(book, keeps_extra=True)]


async def test_what_openpyxl_warns_of_is_no_fault(book):
    """A list of allowed values that lies in an extension is of no use here."""
    extension = '<extLst><ext uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}"/></extLst>'
    write_book(book, [HEADER, ROW], after=extension)
    made = openpyxl.Workbook()
    made.active.append(["prompt"])
    made.active.append(["a fox"])
    made.active.add_data_validation(DataValidation(type="list", formula1='"a,b"'))
    made.save(other := book.with_name("other.xlsx"))

    assert [] == await problems_of(book, keeps_extra=True) + await problems_of(other)


@pytest.mark.thorough
async def test_many_rows_need_little_memory(book):
    """The rows are read in a stream."""
    made = openpyxl.Workbook(write_only=True)
    sheet = made.create_sheet()
    sheet.append(["id", "prompt"])
    for n in range(4000):
        sheet.append([n, f"{n} {'fox ' * 400}"])
    made.save(book)
    file = InputFile(book, defaults=GROK)
    count = 0
    tracemalloc.start()
    try:
        async for chunk in file.chunks(100):
            count += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert 4000 == count
    # The texts alone have 6.4 MB.
    assert peak < 3.2e6, peak


async def test_the_checksum_is_that_of_the_file(book):
    """As of every other input."""
    save_book(book, ["prompt"], ["a fox"])
    file = InputFile(book, defaults=GROK)
    _ = [chunk async for chunk in file.chunks()]

    assert hashlib.sha256(book.read_bytes()).hexdigest() == file.checksum


async def test_a_long_row(book):
    """A row has at most as many characters as a record of a .csv file."""
    write_book(
        book,
        [
            text("A1", "prompt") + text("B1", "image_urls"),
            text("A2", "a fox") + text("B2", f"data:image/png;base64,{'A' * 900_000}"),
            text("A3", "a fox") + text("B3", "A" * LONGEST_LINE),
        ],
    )

    assert [(3, "a row of more than 1048576 characters")] == await problems_of(book)


# Files that cannot be read.


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,prompt\nfox,a fox\n", "cannot be read as a workbook (File is not a zip file)"),
        (b"", "cannot be read as a workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "this is an .xls workbook, or it has a password"),
    ],
)
async def test_a_file_that_is_no_workbook(book, content, words):
    """The error names the file and the fix."""
    book.write_bytes(content)
    with pytest.raises(InvalidRequestError) as caught:
        await rows_of(book)

    assert str(caught.value).startswith(f"{book}: {words}")
    assert "save it" in str(caught.value)


async def test_a_damaged_workbook(book):
    """Neither a part that is missing nor one that is cut off gives a traceback."""
    save_book(book, ["prompt"], *[[f"fox {n}"] for n in range(2000)])
    whole = zipfile.ZipFile(book)
    parts = {name: whole.read(name) for name in whole.namelist()}
    found = []
    for spoiled in ("[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"):
        for content in (None, parts[spoiled][: len(parts[spoiled]) // 2]):
            with zipfile.ZipFile(book, "w") as archive:
                for name, data in parts.items():
                    if name != spoiled or content is not None:
                        archive.writestr(name, content if name == spoiled else data)
            with pytest.raises(InvalidRequestError) as caught:
                await rows_of(book)
            found.append("open it in a spreadsheet program" in str(caught.value))

    assert [True] * 6 == found


async def test_a_workbook_that_unpacks_to_too_much(book, monkeypatch):
    """It is refused before it fills the memory."""
    save_book(book, ["prompt"], ["fox " * 10_000])
    monkeypatch.setattr(workbook, "_MOST_UNPACKED", 40_000)

    with pytest.raises(InvalidRequestError, match=r"more than 0 MiB when it is unpacked; save it as \.csv"):
        await rows_of(book)


async def test_a_row_with_an_impossible_number(book, monkeypatch):
    """The rows before it are not made one by one."""
    row = f'<row r="99999999999">{text("A99999999999", "a fox")}</row>'
    write_book(book, [text("A1", "prompt"), row])
    monkeypatch.setattr(workbook, "MOST_ROWS", 10)

    with pytest.raises(InvalidRequestError, match="a sheet has at most 10 rows"):
        await rows_of(book)


async def test_a_workbook_without_a_visible_sheet(book):
    """It has nothing to read."""
    save_book(book, ["prompt"], ["a fox"])
    made = openpyxl.load_workbook(book)
    made.create_sheet()
    made.save(book)
    with zipfile.ZipFile(book) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["xl/workbook.xml"] = parts["xl/workbook.xml"].replace(b'state="visible"', b'state="hidden"')
    with zipfile.ZipFile(book, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)

    with pytest.raises(InvalidRequestError, match="it has no visible sheet"):
        await rows_of(book)


@pytest.mark.parametrize("ending", [".xls", ".xlsb", ".ods", ".numbers"])
def test_other_spreadsheets(tmp_path, ending):
    """The error says how to save them."""
    path = tmp_path / f"products{ending}"
    path.touch()
    with pytest.raises(InvalidRequestError, match=rf"cannot read {ending}; save it as .xlsx or .csv"):
        InputFile(path)


def test_a_workbook_from_a_pipe(tmp_path):
    """Neither standard input nor a pipe with a name can be read, because the end of a workbook comes first."""
    os.mkfifo(tmp_path / "products.xlsx")
    for source, options in (("-", {"form": "xlsx"}), (tmp_path / "products.xlsx", {})):
        with pytest.raises(InvalidRequestError, match="a workbook cannot be read from a pipe; give its file"):
            InputFile(source, **options)


def test_a_reader_that_stops_early_closes_the_file_first(book, monkeypatch):
    """So does a batch at Ctrl-C. There is nothing to report."""
    save_book(book, ["prompt"], ["a fox"])
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)
    with io.FileIO(book) as file:
        rows = workbook.sheet_records(file, "book")
        assert (1, ["prompt"], None) == next(rows)
    del rows

    assert [] == reports


async def test_without_openpyxl(book, monkeypatch):
    """The error names the extra."""
    save_book(book, ["prompt"], ["a fox"])
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    with pytest.raises(ConfigurationError, match=r"needs openpyxl: pip install 'foxapi-async\[sheets\]'"):
        await rows_of(book)


def test_a_batch_without_a_workbook_does_not_import_openpyxl():
    """It is slow to import, and optional."""
    program = "import sys, foxapi_async; foxapi_async.Batch; print('openpyxl' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "False\n" == done.stdout
