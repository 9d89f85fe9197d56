"""A batch's input: JSON lines, tables and prompts, from files and pipes, become requests or named problems."""

import asyncio
import hashlib
import io
import json
import os
import sys
import threading
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foxapi_async import Gemini31FlashImage, GrokImagineImage, InvalidRequestError, RawRequest
from foxapi_async._batch.input.check import Tally, check
from foxapi_async._batch.input.file import InputFile, TextLines
from foxapi_async._batch.input.lines import InputRow, LineReader
from foxapi_async._batch.input.text import LONGEST_LINE, TextLine
from foxapi_async._batch.keys import fingerprint

GROK = {"model": "grok-imagine-image"}
FLASH = "gemini-3.1-flash-image-preview"
unhurried = settings(deadline=None)


@pytest.fixture
def read(tmp_path):
    """The items of a file with this name and content."""

    async def read(name, content, *, defaults=GROK, size=500, form=None, keeps_extra=False):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        file = InputFile(path, defaults=defaults, form=form, keeps_extra=keeps_extra)
        return [line async for chunk in file.chunks(size) for line in chunk]

    return read


@pytest.fixture
def stdin(monkeypatch):
    """Makes standard input a pipe, and returns its other end."""
    out, into = os.pipe()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=lambda: out))
    with io.FileIO(into, "w") as pipe:
        yield pipe
    os.close(out)


def prompts(lines):
    return [line.request.prompt for line in lines]


# --- forms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "A.JSONL"])
async def test_json_lines_take_every_field(read, name):
    """A JSON line is a request with any of its fields, and may have an id."""
    line = {"id": "cat 1", "model": FLASH, "prompt": "a cat", "resolution": "512", "google_search": False}

    (item,) = await read(name, json.dumps(line))

    request = Gemini31FlashImage("a cat", resolution="512", google_search=False)
    assert InputRow(1, "cat 1", request) == item


async def test_json_lines_send_unknown_models_unchecked(read):
    """An unknown model becomes a raw request, as everywhere."""
    (item,) = await read("a.jsonl", '{"model": "new", "prompt": "x", "seed": 7}')

    assert RawRequest("new", "x", params={"seed": 7}) == item.request


async def test_a_prompt_a_line(read):
    """Each line of a text is a prompt, with the default fields; white space at its ends is removed."""
    items = await read("a.txt", "  a fox \n\n{a: fox}\n#3\n", defaults=GROK | {"num_outputs": 2})

    expected = [(1, "a fox"), (3, "{a: fox}"), (4, "#3")]
    assert [InputRow(n, None, GrokImagineImage(text, num_outputs=2)) for n, text in expected] == items


async def test_a_table_is_typed_by_the_fields(read):
    """A cell becomes the type of its field, and an empty cell counts as missing."""
    table = 'id, prompt ,num_outputs,aspect_ratio,image_urls\n7,"a, ""b""\nc", 2 ,16:9 ,\n,d,,,http://a/1 http://b/2\n,,,,\n'

    items = await read("a.csv", table)

    assert [
        InputRow(2, "7", GrokImagineImage('a, "b"\nc', num_outputs=2, aspect_ratio="16:9")),
        InputRow(4, None, GrokImagineImage("d", image_urls=["http://a/1", "http://b/2"])),
    ] == items


async def test_a_table_with_tabs(read):
    """A .tsv file has tabs between its fields, and each row may name its model."""
    rows = f"prompt\tmodel\tgoogle_search\tresolution\na\t{FLASH}\tYES\t512\nb\t{FLASH}\t0\t\n"

    items = await read("a.tsv", rows)

    assert [
        Gemini31FlashImage("a", google_search=True, resolution="512"),
        Gemini31FlashImage("b", google_search=False),
    ] == [item.request for item in items]


async def test_a_table_of_an_unknown_model(read):
    """Fields of unknown models are JSON if they can be read as JSON. Fields that a known model has keep its type."""
    rows = 'prompt,model,seed,style,resolution,tags,image_urls\n42,new,42,red,512,"[1, ""a""]","[""http://a/b c""]"\n'

    with_blank = await read("a.csv", rows)
    (item,) = await read("a.csv", rows.replace("b c", "b"))

    assert "image_urls" not in with_blank[0].problems
    params = {"seed": 42, "style": "red", "resolution": "512", "tags": [1, "a"], "image_urls": ["http://a/b"]}
    assert RawRequest("new", "42", params=params) == item.request


async def test_a_table_may_name_a_path(read):
    """A row with a path is sent unchecked, even for a known model."""
    (item,) = await read("a.csv", "prompt,path,seed\nx,/v1/run/generations,1\n")

    assert RawRequest(GROK["model"], "x", params={"seed": 1}, path="/v1/run/generations") == item.request


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ("two,", 'num_outputs="two"'),
        ("2.0,", 'num_outputs="2.0"'),
        ("9,", "num_outputs=9"),
        (",[http", 'image_urls="[http"'),
        (",ftp://a/b", 'image_urls[0]="ftp://a/b"'),
    ],
)
async def test_a_cell_of_the_wrong_kind(read, cells, problem):
    """A cell of the wrong kind is named with its text."""
    (item,) = await read("a.csv", f"prompt,num_outputs,image_urls\na fox,{cells}\n")

    assert item.request is None
    assert item.problems[0].startswith(problem)


@pytest.mark.parametrize(
    ("model", "column", "cell", "value"),
    [
        ("gpt-image-2", "Quality", "high", "high"),
        ("gpt-image-2", "prompt", "42", "42"),
        ("wan-2.7-image", "image_size", "square_hd", "square_hd"),
        (
            "wan-2.7-image",
            "image_size",
            '"{""width"": 1280, ""height"": 720}"',
            {"width": 1280, "height": 720},
        ),
        ("patina-material", "maps", "basecolor | height", ["basecolor", "height"]),
        ("patina-material", "maps", '"[""height""]"', ["height"]),
        ("gpt-image-2", "mask_url", " https://a/b ", "https://a/b"),
        ("doubao-seedream-4.5", "seed", "7", 7),
    ],
)
async def test_a_cell_has_the_kind_of_its_field_in_the_catalogue(read, model, column, cell, value):
    """The column of a model without a class by hand is read as its field is defined."""
    cells = {"prompt": "a fox", column: cell}
    (item,) = await read(
        "a.csv", f"{','.join(cells)}\n{','.join(cells.values())}\n", defaults={"model": model}
    )

    assert not item.problems
    assert value == item.request.to_dict()[column.lower()]


async def test_the_columns_of_a_whole_definition_are_checked(read):
    """A column that the model of the catalogue does not have is a problem of the header."""
    (row,) = await read("a.csv", "prompt,colour\na,red\n", defaults={"model": "gpt-image-2"})

    assert "header" == row.part
    assert row.problems[0].startswith('"colour": no field of gpt-image-2; its fields are prompt')


async def test_other_columns_of_a_model_that_is_known_in_part_can_be_kept(read):
    """Kept columns are not sent."""
    (row,) = await read(
        "a.csv", "prompt,colour\na,red\n", defaults={"model": "doubao-seedream-4.5"}, keeps_extra=True
    )

    assert {"colour": "red"} == row.extra
    assert "colour" not in row.request.to_dict()


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("prompt,prompt", 'the header has the field "prompt" twice'),
        ("prompt,,id", "the header has a field without a name"),
    ],
)
async def test_a_wrong_header_ends_a_table(read, header, problem):
    """A wrong header is one problem, not one for each row."""
    assert [InputRow(1, problems=(problem,), part="header")] == await read("a.csv", f"{header}\na,b\nc,d\n")


async def test_a_table_continues_after_a_wrong_record(read):
    """Too few or many cells and bad quotes are problems of their record only."""
    items = await read("a.csv", 'prompt,id\na\nb,1,2\n"c"d,3\ne,5\n')

    assert [2, 3, 4, 5] == [item.number for item in items]
    assert ["has 1 cells, the header has 2", "has 3 cells, the header has 2"] == [
        x.problems[0] for x in items[:2]
    ]
    assert items[2].problems[0].endswith("is a quote not closed?")
    assert GrokImagineImage("e") == items[3].request


@pytest.mark.parametrize(
    "text",
    [
        '"a\n',
        '"' + ("a" * 1000 + "\n") * 1100,
        *(
            pytest.param(text, marks=pytest.mark.thorough)
            for text in ('"' + "a\n" * 100_000, '"' + 'a\n","' * 300_000)
        ),
    ],
)
async def test_a_quote_that_is_not_closed(read, text):
    """An open quote is a problem of the line where its record begins, and only a limited part is read."""
    items = await read("a.csv", "prompt\n" + text)

    assert 2 == items[0].number
    assert "is a quote not closed?" in items[0].problems[0]


async def test_the_format_can_be_given(read):
    """The name's ending decides the form, unless it is named."""
    assert ["a"] == prompts(await read("a.txt", '{"prompt": "a"}', form="jsonl"))
    with pytest.raises(
        InvalidRequestError, match=r"cannot tell the format from the file name; known endings are \.jsonl"
    ):
        await read("a.list", "x")


@pytest.mark.parametrize("path", ["missing.txt", "nu\0ll.txt"])
def test_no_file(path):
    """A file that cannot be opened is refused by name as soon as the input is named."""
    with pytest.raises(InvalidRequestError, match=r"\.txt: "):
        InputFile(path)


async def test_a_file_that_cannot_be_read(tmp_path):
    """A file that has disappeared is an error that names it."""
    path = tmp_path / "a.txt"
    path.write_text("x")
    file = InputFile(path)
    path.unlink()

    with pytest.raises(InvalidRequestError, match=r"a\.txt: No such file"):
        await check(file)
    with pytest.raises(InvalidRequestError, match=r"a\.txt: No such file"):
        await file.read_checksum()


# --- texts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.jsonl", ['{"prompt": "ä"}', "", '{"prompt": "b"}']),
        ("a.csv", ["prompt", "ä", "", "b"]),
        ("a.txt", ["ä", " ", "b"]),
    ],
)
async def test_marks_and_line_ends(read, head, end, name, lines):
    """A byte order mark, CRLF, blank lines and a last line without an end change nothing."""
    whole, cut = head + end.join([*lines, ""]), head + end.join(lines)

    assert ["ä", "b"] == prompts(await read(name, whole)) == prompts(await read(name, cut))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"prompt\nb\xffc\nd\n", (2, "not UTF-8 at byte 2 of the line; save the file as UTF-8")),
        (b"\xfea\n", (1, "not UTF-8 at byte 1 of the line; save the file as UTF-8")),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
async def test_not_utf8(read, name, content, problem):
    """A line that is not UTF-8 is a problem with its own number only."""
    items = await read(name, content)

    assert problem in [(item.number, item.problems[0]) for item in items if item.problems]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
@pytest.mark.parametrize("size", [LONGEST_LINE + 1, 9 * LONGEST_LINE])
@pytest.mark.parametrize("end", [b"", b"\n"])
async def test_a_long_line_is_not_held(read, name, size, end):
    """A line of more than 1 MiB is a problem with its number, and is never in memory as a whole."""
    content = b"prompt\n" + b"x" * size + end
    tracemalloc.start()
    items = await read(name, content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (2, "a line of more than 1048576 bytes") == (items[-1].number, items[-1].problems[0])
    assert peak < 8 * LONGEST_LINE


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# no comment", "not JSON: Expecting value at column 1"),
        ('{"prompt": "a"} x', "not JSON: Extra data at column 17"),
        ('"a"', 'a line is an object such as {"prompt": "a red fox"}, not "a"'),
        ('{"prompt": "a", "prompt": "b"}', 'not usable JSON: the field "prompt" is given twice'),
        ('{"seed": NaN}', "not usable JSON: JSON has no NaN"),
        ("[" * 100_000, "not usable JSON: "),
        ('{"seed": ' + "1" * 5000 + "}", "not usable JSON: "),
        ('{"prompt": " "}', 'prompt=" "'),
        ('{"prompt": "\\ud800"}', "prompt="),
        (
            '{"prompt": "a", "aspct_ratio": "1:1"}',
            '"aspct_ratio": no field of grok-imagine-image; did you mean',
        ),
        ('{"prompt": "a", "image_urls": "cat.png"}', 'image_urls="cat.png": put it in a list'),
        ('{"prompt": "a", "image_urls": [1, " "]}', "image_urls[0]=1"),
    ],
)
async def test_wrong_json_lines(read, text, problem):
    """The problem of a JSON line is described, and the next line is read."""
    wrong, right = await read("a.jsonl", f'{text}\n{{"prompt": "b"}}\n')

    assert (1, None, None) == (wrong.number, wrong.id, wrong.request)
    assert wrong.problems[0].startswith(problem)
    assert "b" == right.request.prompt


async def test_defaults_fill_what_is_not_said(read):
    """Defaults fill the fields that a line lacks; an explicit null leaves the field out."""
    content = (
        '{"prompt": "a"}\n{"prompt": "b", "aspect_ratio": "1:1"}\n{"prompt": "c", "aspect_ratio": null}\n'
    )

    items = await read("a.jsonl", content, defaults=GROK | {"aspect_ratio": "16:9"})

    assert ["16:9", "1:1", None] == [item.request.aspect_ratio for item in items]


async def test_no_model_at_all(read):
    """Without a model in the line or the defaults the problem lists the known models."""
    (item,) = await read("a.csv", "prompt\nx\n", defaults={})

    assert item.problems[0].startswith("model: missing; the known models are ")


async def test_names_without_a_scheme_are_local_files(read, tmp_path):
    """A text in image_urls without a scheme is a file beside the input; a default's text is a URL."""
    (item,) = await read("a.jsonl", '{"prompt": "a", "image_urls": ["in/1.png", "data:,x", "/2.png"]}')
    (other,) = await read("a.txt", "b", defaults=GROK | {"image_urls": ["https://a/b"]})

    assert (tmp_path / "in/1.png", "data:,x", Path("/2.png")) == item.request.image_urls
    assert ("https://a/b",) == other.request.image_urls


async def test_a_line_means_the_same_from_every_folder(tmp_path, monkeypatch):
    """The fingerprint of a line with a local file does not depend on the folder where the command runs."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jsonl").write_text('{"prompt": "a", "image_urls": ["1.png"]}')
    marks = set()
    for folder, name in ((tmp_path, "in/a.jsonl"), (tmp_path / "in", "a.jsonl")):
        monkeypatch.chdir(folder)
        async for chunk in InputFile(name, defaults=GROK).chunks():
            marks |= {fingerprint(line.request) for line in chunk}

    assert 1 == len(marks)


# --- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"), [('"x y"', "x y"), ("7", "7"), ("1.5", "1.5"), ("null", None), ('"猫#2"', "猫#2")]
)
async def test_ids(read, text, expected):
    """An id is a text, or a number taken as its text; null counts as missing."""
    (item,) = await read("a.jsonl", f'{{"prompt": "a", "id": {text}}}')

    assert (expected, ()) == (item.id, item.problems)


@pytest.mark.parametrize(
    "text", ['""', '" a"', '"a\\n"', '"\\ud800"', f'"{"x" * 201}"', "true", "[1]", f'"{"0a" * 12}#12"']
)
async def test_wrong_ids(read, text):
    """An id is a problem if it is blank, too long or unprintable, or could be the key of a line without an id."""
    (item,) = await read("a.jsonl", f'{{"prompt": "a", "id": {text}}}')

    assert (None, None) == (item.id, item.request)
    assert item.problems[0].startswith("id")


# --- files and pipes -------------------------------------------------------------------------------


@unhurried
@given(
    st.lists(st.binary(max_size=12) | st.sampled_from([b"\n", b"\r\n", b"\xef\xbb\xbf", b'"']), max_size=20),
    st.integers(1, 5),
)
def test_lines_do_not_depend_on_blocks(pieces, step):
    """The lines of a stream are the same, however its bytes are divided into blocks."""
    content = b"".join(pieces)
    blocks = [content[at : at + step] for at in range(0, len(content), step)]

    assert list(TextLines(iter([content]))) == list(TextLines(iter(blocks)))


async def test_chunks_are_bounded(read, tmp_path):
    """A chunk has at most the requested size, and together they are the whole file."""
    (tmp_path / "a.txt").write_text("".join(f"fox {n}\n" for n in range(1000)))
    chunks = [chunk async for chunk in InputFile(tmp_path / "a.txt", defaults=GROK).chunks(7)]

    assert max(map(len, chunks)) == 7
    assert [f"fox {n}" for n in range(1000)] == [text for chunk in chunks for text in prompts(chunk)]


@pytest.mark.thorough
async def test_memory_is_flat(tmp_path):
    """Reading a file ten times as long needs no more memory."""
    peaks = []
    for count in (2_000, 20_000):
        (tmp_path / "a.txt").write_text("".join(f"a red fox number {n} in the snow\n" for n in range(count)))
        tracemalloc.start()
        assert (await check(InputFile(tmp_path / "a.txt", defaults=GROK))).good == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] + 3_000_000


async def test_the_checksum_is_that_of_the_file(tmp_path):
    """The checksum is available after the last chunk, and equals that of the file. Before that there is none."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"x\r\n" * 1000)
    file, other = InputFile(path, defaults=GROK), InputFile(path, defaults=GROK | {"num_outputs": 2})
    chunks = file.chunks(10)
    await anext(chunks)
    await chunks.aclose()

    assert (None, None) == (file.checksum, file.validation)
    await check(file)
    await other.read_checksum()
    assert hashlib.sha256(b"x\r\n" * 1000).hexdigest() == file.checksum == other.checksum
    assert file.validation != other.validation
    again = InputFile(path, defaults=GROK)
    await again.read_checksum()
    assert file.validation == again.validation


async def test_lines_of_a_pipe_come_as_they_are_written(stdin):
    """Items from standard input come as they are written, with or without blank lines after them; the form is
    detected.
    """
    file = InputFile("-", defaults=GROK)
    stdin.write(b'\n{"prompt": "a"}\n\n')
    chunks = file.chunks()

    assert ["a"] == prompts(await anext(chunks))
    stdin.write(b'{"prompt": "b"}\n{"prompt"')
    assert ["b"] == prompts(await anext(chunks))
    stdin.write(b': "c"}')
    stdin.close()
    assert [["c"]] == [prompts(chunk) async for chunk in chunks]
    assert (False, "standard input") == (file.is_regular, file.name)
    assert file.checksum


@pytest.mark.parametrize(("content", "expected"), [(b"", []), (b"\n \n", []), (b"a {\n", ["a {"])])
async def test_the_format_of_a_pipe_is_detected(stdin, content, expected):
    """Text that does not begin with a brace is prompts; empty input has no items."""
    stdin.write(content)
    stdin.close()

    assert expected == [
        text async for chunk in InputFile("-", defaults=GROK).chunks() for text in prompts(chunk)
    ]


async def reading(*, thread):
    """Wait until one of our threads reads a pipe, or until it stops: an event would need that thread to set it."""
    while thread != any(one.name == "foxapi-input" for one in threading.enumerate()):  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_waiting_for_a_pipe_can_be_cancelled(stdin):
    """A reader that waits for standard input ends at once when it is cancelled; its thread closes the file later."""
    chunks = InputFile("-", defaults=GROK).chunks()
    waiting = asyncio.ensure_future(anext(chunks))
    await reading(thread=True)
    for _ in range(50):  # the file is open, and being read
        await asyncio.sleep(0.001)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    stdin.write(b"late\n")
    await reading(thread=False)


async def test_a_named_pipe_is_no_regular_file(tmp_path):
    """A named pipe is read like standard input, and relative files are in the current folder."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    file = InputFile(path, defaults=GROK)
    writer = threading.Thread(target=path.write_text, args=('{"prompt": "a", "image_urls": ["b.png"]}\n',))
    writer.start()
    (item,) = [line async for chunk in file.chunks() for line in chunk]
    writer.join()

    assert (Path.cwd() / "b.png",) == item.request.image_urls


async def test_no_standard_input(monkeypatch):
    """A process without standard input gets an error that says so."""
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(InvalidRequestError, match="standard input: it is closed"):
        await check(InputFile("-"))


# --- check -----------------------------------------------------------------------------------------


async def test_check_counts_requests_and_images(tmp_path):
    """The check counts the requests and images that would be submitted, by model."""
    lines = [
        {"prompt": "a", "num_outputs": 3},
        {"prompt": "b"},
        {"prompt": "c", "model": FLASH},
        {"prompt": "d", "model": "new", "num_outputs": 2},
        {"prompt": "e", "model": "new", "num_outputs": "many"},
        {"prompt": ""},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))

    found = await check(InputFile(path, defaults=GROK))

    assert (5, 1, 8) == (found.good, found.wrong, found.count.images)
    assert {GROK["model"]: Tally(2, 4), FLASH: Tally(1, 1), "new": Tally(2, 3)} == found.count.models
    assert [6] == [line.number for line in found.problems]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == found.checksum


async def test_check_looks_for_local_files(tmp_path):
    """A local file that is missing, empty or not a file is a problem of every line that names it. Reading
    lines ignores it.
    """
    (tmp_path / "good.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "empty.png").touch()
    names = ["good.png", "missing.png", "empty.png", ".", "nu\0ll.png", "missing.png"]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": "a", "image_urls": [name]}) for name in names))
    file = InputFile(path, defaults=GROK)

    found = await check(file)

    assert [2, 3, 4, 5, 6] == [line.number for line in found.problems]
    words = ["No such file", "the file is empty", "Is a directory", "null", "No such file"]
    for word, line in zip(words, found.problems, strict=True):
        assert None is line.request
        assert word in line.problems[0]
    assert all([line.request async for chunk in file.chunks() for line in chunk])


async def test_check_says_which_files_lie_elsewhere(tmp_path, caplog):
    """A file below the folder of the input is taken silently; another one is named in the log, because it is sent."""
    folder = tmp_path / "in"
    folder.mkdir()
    for place in (tmp_path, folder):
        (place / "fox.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    names = ["fox.png", "../fox.png", str(tmp_path / "fox.png"), "x/../fox.png"]
    path = folder / "a.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": "a", "image_urls": [name]}) for name in names))
    (folder / "x").mkdir()

    found = await check(InputFile(path, defaults=GROK))

    assert 4 == found.good
    assert [
        f"{path}: 2 items with input files outside the folder of the input, the first on line 2: {folder}/../fox.png"
    ] == [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("name", "is_taken"), [("fox.png", True), ("../fox.png", False), ("/etc/passwd", False)]
)
def test_a_line_from_a_pipe_names_only_files_below_the_folder(tmp_path, name, is_taken):
    """Such a line may come from a stranger, so a path that leaves the folder is a problem."""
    reader = LineReader(form="jsonl", defaults=GROK, folder=tmp_path, is_confined=True)
    (row,) = reader.read([TextLine(1, json.dumps({"prompt": "a", "image_urls": [name]}))])

    assert is_taken == (row.request is not None)
    assert is_taken or "lines from a pipe may only name files below it" in row.problems[0]


async def test_check_keeps_the_first_thousand_problems(tmp_path):
    """If a file is wrong throughout, all lines are counted and a thousand problems kept."""
    path = tmp_path / "a.jsonl"
    path.write_text("x\n" * 2500)

    found = await check(InputFile(path))

    assert (0, 2500) == (found.good, found.wrong)
    assert list(range(1, 1001)) == [line.number for line in found.problems]
