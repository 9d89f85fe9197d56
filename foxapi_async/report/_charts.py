"""Bar charts as inline SVG, with an axis. Colours come from the page's style, by class; sizes are attributes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from foxapi_async._wire.texts import duration
from foxapi_async.report._figures import STATES, Histogram, Timeline
from foxapi_async.report._texts import labelled, said

_WIDTH, _HEIGHT = 480, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 468, 26, 168


def seconds_text(seconds: float) -> str:
    """Seconds as text: "0.25 s", "7 s", "2:05 min", "3:00 h"."""
    return duration(seconds, ".3g")


def moment_text(moment: float) -> str:
    """A Unix time as text, in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def latency_chart(histogram: Histogram) -> str:
    """The histogram, with a line at each percentile."""
    columns: list[_Column] = [
        ((count,), _span(place, histogram.step)) for place, count in enumerate(histogram.counts)
    ]
    end = seconds_text(len(histogram.counts) * histogram.step)
    if histogram.beyond:
        columns.append(((histogram.beyond,), (end,)))
    width = (_RIGHT - _LEFT) / len(columns)
    marks: list[str] = []
    names = (("p50", histogram.p50), ("p95", histogram.p95), ("p99", histogram.p99))
    for row, (name, value) in enumerate(names):
        x = _LEFT + min(value / histogram.step, len(columns)) * width
        side = "end" if x > (_LEFT + _RIGHT) / 2 else "start"
        marks.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_BOTTOM}"/>'
            f'<text class="mark" x="{x + (-4 if side == "end" else 4):.1f}" y="{_TOP + 12 + 15 * row}" '
            f'text-anchor="{side}">{name} {seconds_text(value)}</text>'
        )
    last = said("chart.longer", end) if histogram.beyond else f">{end}"
    return _chart(("chart.latency",), columns, ("latency",), (">0 s", last), "".join(marks))


def timeline_chart(timeline: Timeline) -> str:
    """How many items ended at each time, stacked by status."""
    columns: list[_Column] = [
        (counts, _span(place, timeline.step)) for place, counts in enumerate(timeline.counts)
    ]
    ends = (f">{moment_text(timeline.start)}", f">+{seconds_text(len(columns) * timeline.step)}")
    return _chart(("chart.timeline", seconds_text(timeline.step)), columns, STATES, ends, "")


_Column: TypeAlias = tuple[Sequence[int], tuple[str, ...]]
"""The counts of a column, and the texts of its ends. The last column may have no end."""


def _span(place: int, step: float) -> tuple[str, str]:
    return seconds_text(place * step), seconds_text((place + 1) * step)


def _chart(
    title: tuple[str, ...],
    columns: Sequence[_Column],
    classes: Sequence[str],
    ends: tuple[str, str],
    marks: str,
) -> str:
    highest = max(1, *(sum(counts) for counts, _ in columns))
    width = (_RIGHT - _LEFT) / len(columns)
    bars = "".join(
        _column(_LEFT + n * width, width, column, classes, highest) for n, column in enumerate(columns)
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"{labelled(*title)}>'
        f'<text class="title" x="4" y="14"{said(*title)}</text>'
        f'<text x="{_LEFT - 6}" y="{_TOP + 10}" text-anchor="end">{highest}</text>'
        f'<text x="{_LEFT - 6}" y="{_BOTTOM}" text-anchor="end">0</text>{bars}'
        f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>{marks}'
        f'<text x="{_LEFT}" y="{_BOTTOM + 18}"{ends[0]}</text>'
        f'<text x="{_RIGHT}" y="{_BOTTOM + 18}" text-anchor="end"{ends[1]}</text></svg>'
    )


def _column(left: float, width: float, column: _Column, classes: Sequence[str], highest: int) -> str:
    counts, span = column
    bottom = float(_BOTTOM)
    parts: list[str] = []
    for count, name in zip(counts, classes, strict=True):
        if count:
            # Keeps a single item among thousands visible.
            height = max(count / highest * (_BOTTOM - _TOP), 1.5)
            bottom -= height
            label = said(f"bar.{name}" if len(span) == 2 else "bar.longer", f"{count:,}", *span)
            parts.append(
                f'<rect class="{name}" x="{left + 0.5:.1f}" y="{bottom:.1f}" width="{max(width - 1, 0.5):.1f}" '
                f'height="{height:.1f}"><title{label}</title></rect>'
            )
    return "".join(parts)
