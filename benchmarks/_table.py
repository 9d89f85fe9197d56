"""What the benchmarks share: rounds that alternate between the variants, medians, and one plain table.

A busy machine slows whatever runs at the moment. So the variants take turns within every round, the order turns
round from one round to the next, and the median of the rounds is quoted, never a single run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeVar

T = TypeVar("T")


def interleave(variants: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each variant returned in each round; a first round is run and thrown away."""
    for run in variants.values():
        run()
    found: dict[str, list[T]] = {name: [] for name in variants}
    for number in range(rounds):
        names = list(variants) if number % 2 == 0 else list(reversed(variants))
        for name in names:
            found[name].append(variants[name]())
    return found


def middle(figures: Sequence[float]) -> float:
    """The median."""
    return median(figures)


def paired(figures: Sequence[float], base: Sequence[float]) -> float:
    """The median of the ratios within each round: what slows a whole round cancels out."""
    return median(figure / other for figure, other in zip(figures, base, strict=True))


def p95(figures: Sequence[float]) -> float:
    """What 95 % of the figures do not exceed: one of them, the nearest rank."""
    return sorted(figures)[math.ceil(0.95 * len(figures)) - 1]


def spread(figures: Sequence[float]) -> str:
    """The least and the largest figure, as a hint how noisy the machine was."""
    return f"{min(figures):.1f}–{max(figures):.1f}"


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> None:
    """Print a table: the first column to the left, figures to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first, *figures = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join([first, *figures]).rstrip()

    print(title, line(head), "  ".join("-" * width for width in widths), *map(line, rows), *notes, sep="\n")


def show_markdown(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> None:
    """Print the same table for a page in Markdown."""
    rule = ["---", *("--:" for _ in head[1:])]
    lines = ["| " + " | ".join(row) + " |" for row in [head, rule, *rows]]
    print(f"{title}\n", *lines, "", *(f"- {note}" for note in notes), sep="\n")


def against(name: str, ratio: float, target: float) -> str:
    """A ratio beside its target, in words. It is shown, never asserted: a busy machine is no defect."""
    return f"{name}: {ratio:.2f} (target at most {target:.2f}: {'met' if ratio <= target else 'MISSED'})"
