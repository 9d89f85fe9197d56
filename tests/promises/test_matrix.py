"""Every kind of request under every failure; `matrix.py` has the table of promises."""

from pathlib import Path

import attrs
import pytest
from matrix import CELLS, KINDS, ROWS, TABLE, Cell, Seen, play, problems, run_all, summary

from foxapi_async import AuthenticationError, UncertainSubmitError

pytestmark = pytest.mark.virtual

NETWORK = {
    *("DNS error", "refused", "connect timeout"),
    *("certificate not accepted", "server without TLS", "reset in the TLS handshake", "reset on accept"),
    *("cut before accepting", "cut after accepting", "body cut off"),
    *("hang past the timeout", "slow drip", "keep-alive dropped"),
}
STATUSES = {
    *(
        "400",
        "401",
        "402",
        "402 without a quota code",
        "403",
        "404",
        "409",
        "413",
        "422",
        "429",
        "429 with Retry-After",
    ),
    *("302 to another origin", "307 to another origin"),
    *(f"{status}{word}" for status in (408, 500, 502, 503, 504) for word in ("", ", billed all the same")),
}
BODIES = {
    *("not HTTP", "endless header", "broken chunks", "not gzip", "204"),
    *("HTML", "plain text", "truncated JSON", "an array", "no id, status or url"),
    *("id a list", "status a number", "results a string", "results a number"),
    "results inside the reply",
    *("huge body", "decompression bomb"),
}


def cell_of(cell):
    """The cell as a parameter. An endless failure of a request that costs nothing is left to the whole suite."""
    marks = [pytest.mark.thorough] if cell.endless and cell.kind != "submit" else []
    return pytest.param(cell, marks=marks, id=str(cell))


@pytest.mark.parametrize("cell", [cell_of(cell) for cell in CELLS])
async def test_the_failure_comes_to_what_is_promised(cell):
    """Under each failure, once or endless, a request ends as in the table, with that number of bills and tries."""
    assert [] == problems(cell, await play(cell))


def test_the_docs_have_the_table():
    """The docs have this table in short."""
    assert summary() in (Path(__file__).parents[2] / "docs/guarantees.md").read_text()


def test_every_failure_is_in_the_table():
    """The table has every failure of network, status and body, each with its own name."""
    assert NETWORK | STATUSES | BODIES == ROWS.keys()
    assert sum(len(group.rows) for group in TABLE) == len(ROWS)


def test_every_failure_has_a_cell_for_every_kind_of_request():
    """Each of the five kinds of request meets each failure, once and endlessly."""
    assert {(name, kind, endless) for name in ROWS for kind in KINDS for endless in (False, True)} == {
        (cell.row.name, cell.kind, cell.endless) for cell in CELLS
    }


def test_the_summary_has_a_line_for_every_group():
    """The short form has a line for each group of failures, with the result of each request."""
    lines = summary().splitlines()[2:]

    assert [group.title for group in TABLE] == [line.split("|")[1].strip() for line in lines]
    assert all(4 == sum(bool(words.strip()) for words in line.split("|")[2:]) for line in lines)
    assert "| 408, 5xx | uncertain, never again | again until the deadline | again, 5 tries |" in summary()


CUT = Cell(ROWS["body cut off"], "submit", endless=True)
NAMED = "lost; it names task-1"
GOOD = Seen(error=UncertainSubmitError(NAMED, status=200), requests=1, all_requests=1, struck=1, billed=1)
WRONG = {
    "billed twice": {"billed": 2},
    "2 seen": {"requests": 2},
    "not 3": {"seconds": 3.0},
    "a paid image is lost": {"error": AuthenticationError("no", status=401)},
    'charged == "no" though billed': {"error": AuthenticationError("no", status=401)},
    "no FoxError": {"error": OSError("reset")},
    "expected charged": {"error": UncertainSubmitError(NAMED, status=200, charged="no")},
    "expected the words": {"error": UncertainSubmitError("lost", status=200)},
    "expected status": {"error": UncertainSubmitError(NAMED, status=500)},
    "not None": {"error": None, "value": "a handle"},
    "the key is in the error": {"leaks": True},
    "another origin was asked": {"elsewhere": (False,)},
    "left over": {"left_over": ["a task"]},
    "the failure never struck": {"struck": 0},
}


@pytest.mark.parametrize(("words", "change"), WRONG.items(), ids=WRONG)
def test_what_is_wrong_is_named(words, change):
    """A cell with another result than in the table is reported with the difference."""
    assert [] == problems(CUT, GOOD)
    assert words in " ".join(problems(CUT, attrs.evolve(GOOD, **change)))


def test_the_counts_are_counted():
    """A lost answer costs one request and one failure, billed once and reported; a repeat adds a request."""
    cut, drop = (Cell(ROWS[name], "submit", endless=False) for name in ("cut after accepting", "refused"))

    assert "1 faults, 1 requests, 0 billed twice, 0 lost" == str(run_all([cut]))
    assert "2 faults, 3 requests, 0 billed twice, 0 lost" == str(run_all([cut, drop]))
    assert (2, {}) == (run_all([cut, drop]).cells, run_all([cut, drop]).problems)
