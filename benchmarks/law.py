"""Draws `law.svg`, the picture in the docs: when a task is polled, and what that is worth against a fixed interval.

The service is simulated: its estimate is 45 s, and its tasks take that, give or take a quarter. The SDK has learned it
from four hundred tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from _optimum import Mixture, inverse_survival
from _simulation import MODEL, Plan, draw, simulate

from foxapi_async import Cadence, Estimates, PollPlan

ESTIMATE, LATEST = 45.0, 90.0
TASKS = 400
WIDTH, LEFT, RIGHT = 760, 92, 16
PANEL, GAP, TOP = 84, 34, 46

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.small { font-size: 11px; fill: #57606a }
.title { font-size: 14px; font-weight: 600 }
.paper { fill: #fff }
.axis { stroke: #d0d7de }
.law { stroke: #bc4c00; fill: none; stroke-width: 1.6 }
.lawfill { fill: #bc4c00 }
.area { fill: #bc4c00; opacity: .15 }
.fixed { stroke: #57606a; fill: none; stroke-width: 1.2 }
.fixedfill { fill: #57606a }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .paper { fill: #0d1117 } .axis { stroke: #3d444d }
  .law { stroke: #ffa657 } .lawfill, .area { fill: #ffa657 }
  .fixed { stroke: #9198a1 } .fixedfill { fill: #9198a1 }
}
"""


def learned_plan() -> PollPlan:
    """What the cadence makes of a service that it has seen for a while."""
    estimates = Estimates()
    service = Mixture(((1.0, 1.0, 0.25),))
    seconds = [ESTIMATE * inverse_survival(service, share) for share in draw(TASKS, seed=1)]
    simulate(seconds, Plan(estimate=ESTIMATE, cadence=Cadence(), in_flight=10), estimates, seed=1)
    return Cadence().explain(ESTIMATE, estimates=estimates, model=MODEL)


def across(age: float) -> float:
    """Where an age lies on the paper."""
    return LEFT + (WIDTH - LEFT - RIGHT) * min(age, LATEST) / LATEST


def panel(number: int) -> float:
    """The base line of a panel."""
    return TOP + PANEL + number * (PANEL + GAP)


def line(points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line through points on the paper."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{path}"/>'


def label(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    """Words on the paper."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{text}</text>'


def hazard(plan: PollPlan) -> Iterator[str]:
    """The first panel: how likely a running task ends, at each poll."""
    base, seen = panel(0), [poll for poll in plan.polls if poll.age <= LATEST]
    top = max(poll.hazard for poll in seen)
    points = [(across(poll.age), base - PANEL * poll.hazard / top) for poll in seen]
    outline = [(across(0), base), (points[0][0], base), *points, (points[-1][0], base)]
    yield line(outline, "area")
    yield line(points, "law")
    yield label(LEFT - 8, base - PANEL / 2, "hazard", anchor="end")
    yield label(LEFT - 8, base - PANEL / 2 + 15, f"up to {top:.2f}/s", "small", "end")


def ticks(ages: Sequence[float], y: float, kind: str) -> Iterator[str]:
    """One mark for each poll."""
    for age in ages:
        if age <= LATEST:
            yield f'<rect class="{kind}fill" x="{across(age) - 1:.1f}" y="{y:.1f}" width="2" height="22"/>'


def polls(plan: PollPlan, fixed: Sequence[float]) -> Iterator[str]:
    """The second panel: when it is looked at."""
    base = panel(1)
    yield from ticks([poll.age for poll in plan.polls], base - PANEL + 12, "law")
    yield from ticks(fixed, base - 30, "fixed")
    yield label(LEFT - 8, base - PANEL + 27, "this SDK", anchor="end")
    yield label(LEFT - 8, base - 15, "fixed interval", anchor="end")


def teeth(ages: Sequence[float], base: float, top: float) -> list[tuple[float, float]]:
    """The lag of a task that ends at each age: until the next poll."""
    points: list[tuple[float, float]] = []
    for start, end in pairwise([0.0, *ages]):
        if start <= LATEST:
            lag = min(end - start, top)  # what is longer runs along the upper edge until it is not
            points += [(across(age), base - PANEL * lag / top) for age in (start, end - lag)]
            points.append((across(end), base))
    return points


def lags(plan: PollPlan, fixed: Sequence[float]) -> Iterator[str]:
    """The third panel: how long a task that ends then waits to be seen."""
    base, top = panel(2), 2.0 * plan.interval
    yield line(teeth(fixed, base, top), "fixed")
    yield line(teeth([poll.age for poll in plan.polls], base, top), "law")
    yield label(LEFT - 8, base - PANEL / 2, "lag", anchor="end")
    yield label(LEFT - 8, base - PANEL / 2 + 15, f"0 to {top:.1f} s", "small", "end")


def axis() -> Iterator[str]:
    """The base lines, and seconds below the last."""
    for number in range(3):
        y = panel(number)
        yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
    for age in range(0, round(LATEST) + 1, 15):
        yield label(across(age), panel(2) + 18, f"{age} s", "small", "middle")


def draw_picture(plan: PollPlan) -> str:
    """The whole picture."""
    fixed = [plan.interval * (i + 0.5) for i in range(round(LATEST / plan.interval) + 2)]
    words = (
        f"{plan.mean_polls:.1f} polls a task either way: mean lag {plan.mean_lag:.2f} s, "
        f"and {plan.interval_lag:.2f} s with a fixed interval"
    )
    title = f"A service says {ESTIMATE:g} s, and takes that give or take a quarter"
    height = panel(2) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{words}">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="6"/>',
        label(LEFT, 20, title, "title"),
        label(LEFT, 37, words, "small"),
        *axis(),
        *hazard(plan),
        *polls(plan, fixed),
        *lags(plan, fixed),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> None:
    path = Path(__file__).with_suffix(".svg")
    plan = learned_plan()
    path.write_text(draw_picture(plan), encoding="utf-8")
    ratio = plan.interval_lag / plan.mean_lag
    print(
        f"{path.name}: a fixed interval has {ratio:.2f} times the lag at the same {plan.mean_polls:.1f} polls"
    )


if __name__ == "__main__":
    main()
