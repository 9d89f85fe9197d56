"""`Batch.from_file`: a file in each format as in the shell, with settings and advice in Python's terms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import posts, session_at
from workbooks import save_book

from foxapi_async import Batch, ConfigurationError, InvalidRequestError
from foxapi_async.emulator import Emulator

ROWS = [["id", "prompt"], ["fox", "a fox"], ["owl", "an owl"]]


def write(path):
    """A file with two items, in the format of its ending."""
    objects = [dict(zip(ROWS[0], row, strict=True)) for row in ROWS[1:]]
    match path.suffix:
        case ".xlsx":
            save_book(path, *ROWS)
        case ".json":
            path.write_text(json.dumps(objects))
        case ".jsonl":
            path.write_text("".join(json.dumps(each) + "\n" for each in objects))
        case ".txt":
            path.write_text("".join(f"{row[1]}\n" for row in ROWS[1:]))
        case ending:
            delimiter = "," if ending == ".csv" else "\t"
            path.write_text("".join(f"{delimiter.join(row)}\n" for row in ROWS))
    return path


@pytest.fixture
async def quick():
    """A service with fast tasks."""
    async with Emulator(seconds=0.05) as emulator:
        yield emulator


@pytest.fixture
async def run(quick, tmp_path):
    """Run a batch of a file: its outcomes."""

    async def run(path, **options):
        async with session_at(quick) as fox:
            batch = Batch.from_file(path, tmp_path / "out", **options)
            return [outcome async for outcome in batch.run(fox)]

    return run


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "tsv", "xlsx", "txt"])
async def test_a_file_in_each_format(run, tmp_path, ending):
    """The ending says the format, and the model is that of the command."""
    outcomes = await run(write(tmp_path / f"p.{ending}"))

    assert {"a fox", "an owl"} == {outcome.request.prompt for outcome in outcomes}
    assert {"grok-imagine-image"} == {outcome.request.model for outcome in outcomes}


async def test_a_format_and_a_delimiter(run, tmp_path):
    """They may be given."""
    (tmp_path / "p.data").write_text("id:prompt\nfox:a fox\n")
    (outcome,) = await run(tmp_path / "p.data", format="csv", delimiter=":")

    assert ("fox", "a fox") == (outcome.key, outcome.request.prompt)


async def test_values_for_all_rows(run, tmp_path, monkeypatch):
    """A row without a model has `model`, and the other fields come from `defaults`. A path begins at the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sky.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "p.jsonl").write_text('{"prompt": "a fox"}\n{"prompt": "b", "model": "grok-imagine-image"}\n')
    defaults = {"image_urls": (Path("sky.png"), "https://example.com/a.png")}
    outcomes = await run(
        tmp_path / "p.jsonl", model="gemini-3.1-flash-image-preview", defaults=defaults, max_in_flight=1
    )

    assert ["gemini-3.1-flash-image-preview", "grok-imagine-image"] == [
        each.request.model for each in outcomes
    ]
    assert (tmp_path / "sky.png", "https://example.com/a.png") == outcomes[0].request.image_urls


async def test_kept_columns(run, tmp_path):
    """With `extra="keep"` they are in the manifest."""
    (tmp_path / "p.csv").write_text("prompt,sku\na fox,S-1\n")
    await run(tmp_path / "p.csv", extra="keep")

    assert {"sku": "S-1"} == json.loads((tmp_path / "out/manifest.jsonl").read_text())["extra"]


async def test_settings_of_a_batch(run, tmp_path, quick):
    """They are those of `Batch`."""
    await run(write(tmp_path / "p.csv"), budget=5, price=5)

    assert 1 == quick.billed


async def test_wrong_rows_are_named_before_anything_is_sent(run, tmp_path, quick):
    """The error has a problem for each, with its line."""
    (tmp_path / "p.csv").write_text("prompt,num_outputs\na fox,1\nan owl,9\n,2\n")
    with pytest.raises(InvalidRequestError) as caught:
        await run(tmp_path / "p.csv")

    assert f"{tmp_path / 'p.csv'}: 2 of 3 items are wrong, nothing was sent" == caught.value.headline
    assert ["line 3: num_outputs=9", "line 4: prompt: missing"] == [
        problem.partition("; ")[0].partition(": allowed")[0] for problem in caught.value.problems
    ]
    assert [] == posts(quick)


async def test_a_wrong_header_is_not_an_item(run, tmp_path, quick):
    """The error says what is wrong as a whole, and has the problem of the header."""
    (tmp_path / "p.csv").write_text("promt\na fox\nan owl\n")
    with pytest.raises(InvalidRequestError) as caught:
        await run(tmp_path / "p.csv")

    assert f"{tmp_path / 'p.csv'}: the header is wrong, no item was read, nothing was sent" == (
        caught.value.headline
    )
    assert ["line 1"] == [problem.partition(":")[0] for problem in caught.value.problems]
    assert [] == posts(quick)


@pytest.mark.parametrize("content", ["", "prompt,id\n", "\n"])
async def test_a_file_without_items_is_a_warning(run, tmp_path, caplog, content):
    """It is logged once in each run, and nothing is made."""
    (tmp_path / "p.csv").write_text(content)
    for _ in range(2):
        caplog.clear()
        assert [] == await run(tmp_path / "p.csv")

        assert ["empty_input"] == [getattr(record, "event", None) for record in caplog.records]


async def test_a_wrong_column_is_explained_in_terms_of_python(run, tmp_path):
    """The advice is an argument, and not an option of the command."""
    (tmp_path / "p.csv").write_text("prompt,sku\na fox,S-1\n")
    with pytest.raises(InvalidRequestError) as caught:
        await run(tmp_path / "p.csv")

    assert str(caught.value).endswith('to keep such columns beside the requests, use extra="keep"')
    assert "--" not in str(caught.value)


def test_an_unknown_ending_is_explained_in_terms_of_python(tmp_path):
    """The advice is an argument here too."""
    (tmp_path / "p.data").touch()
    with pytest.raises(InvalidRequestError, match='name it, such as format="jsonl"'):
        Batch.from_file(tmp_path / "p.data", tmp_path / "out")


def test_a_missing_file(tmp_path):
    """It is reported when the batch is made."""
    with pytest.raises(InvalidRequestError, match="No such file"):
        Batch.from_file(tmp_path / "p.csv", tmp_path / "out")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"format": "xml"}, "format='xml': give one of None, 'jsonl', 'json', 'csv', 'tsv', 'xlsx', 'text'"),
        ({"extra": True}, "extra=True: give one of 'refuse', 'keep'"),
        ({"delimiter": "ab"}, "delimiter='ab': give one character"),
        ({"delimiter": 5}, "delimiter=5: give one character"),
        ({"budget": -1}, "budget=-1: give credits"),
    ],
)
def test_a_wrong_setting(tmp_path, setting, words):
    """The error names it with its value."""
    with pytest.raises(ConfigurationError) as caught:
        Batch.from_file(write(tmp_path / "p.csv"), tmp_path / "out", **setting)

    assert str(caught.value).startswith(words)


async def test_default_images_that_are_no_list(run, tmp_path):
    """They are a problem of each row."""
    with pytest.raises(InvalidRequestError, match="put it in a list"):
        await run(write(tmp_path / "p.csv"), defaults={"image_urls": Path("sky.png")})
