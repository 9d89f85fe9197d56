"""The live panel: at every width of a terminal the bars stay, and the labels go first."""

import io

import attrs
import pytest
from rich.console import Console

from foxapi_async.cli._progress import ProgressRow
from foxapi_async.cli._rich import RichPanel

TASKS = [
    ProgressRow("task-unifie…72-c8e4031h", 0.5, (" 50%", "processing", "12 s, about 30 s left")),
    ProgressRow("uploading and sending", None, ("", "", "3 s")),
]
BATCH = [ProgressRow("", 0.5, ["45%", "451 of 1,000"])]
DETAILS = [
    "448 done   100 running   2 failed   1 uncertain",
    "4.5 items/s   about 2:02 min left   2,255 credits",
]


def drawn(width, rows, details=()):
    """The lines that a panel draws on a terminal of this width."""
    stream = io.StringIO()
    console = Console(width=width, file=stream, force_terminal=True, color_system=None, legacy_windows=False)
    panel = RichPanel(console)
    panel.draw(rows, details)
    lines = stream.getvalue().replace("\x1b[?25l", "").splitlines()
    panel.erase()
    return [line.rstrip() for line in lines]


def bar_of(line):
    return sum(line.count(character) for character in "━╸╺")


@pytest.mark.parametrize(
    ("width", "label", "bar", "end"),
    [
        (40, "", 6, "12 s, abo…"),
        (60, "", 6, "12 s, about 30 s left"),
        (80, "task-unifie…72-c8e4031h", 6, "12 s, about 30 s left"),
        (200, "task-unifie…72-c8e4031h", 15, "12 s, about 30 s left"),
    ],
)
def test_the_label_goes_first(width, label, bar, end):
    """On a narrow terminal the id goes, then words and times are cut off. The bar and the percentage stay."""
    line = drawn(width, TASKS)[0]

    assert (label, bar) == (line.split("━")[0].strip(), bar_of(line))
    assert " 50%  process" in line
    assert line.endswith(end)
    assert width >= len(line)


def test_a_label_is_shortened_before_it_goes():
    """A shortened id has both of its ends."""
    assert "task-un…8e4031h  ━" == drawn(70, TASKS)[0][:18]


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 200])
def test_bars_of_a_width_are_below_each_other(width):
    """Each row has its line, and the bars of all rows begin in one column."""
    # Without a share a bar moves, and its beginning with it.
    lines = drawn(width, [TASKS[0], attrs.evolve(TASKS[1], share=0.5)])

    assert len(TASKS) == len(lines)
    assert 1 == len({line.index("━") for line in lines})


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_batch_on_a_narrow_terminal(width):
    """The bar of a batch has its share and its count. Long details take another line, and nothing is lost."""
    bar, *details = drawn(width, BATCH, DETAILS)

    assert "45%  451 of 1,000" == bar.lstrip("━╸╺ ")
    assert " ".join(DETAILS).split() == " ".join(details).split()
    assert width >= max(map(len, details))
