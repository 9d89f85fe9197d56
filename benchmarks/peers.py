"""This package against its peers, live: the same tasks, on the same local service, in one run.

Every client is run as its users run it, with its defaults: all tasks at once, each submitted and waited for. The
clients take turns, each in a process of its own (`_clients.py`), at a service in another one that speaks its dialect
(`_dialects.py`). Tasks take seconds of real time (lognormal, median 10 s, from 5 to 20 s), so a full run takes about
ten minutes.

Lag is what lies between the moment the service had a task complete and the return of its await. Requests and CPU are
divided by the finished tasks, so that a client that fails has no better figures for it. Connections are those that
carried a request about a task of the run.

    python benchmarks/peers.py --n 50 --clients fal,ours
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from _clients import CLIENTS
from _table import against, middle, p95, show, show_markdown

TASKS = [50, 500]
SEEDS = [7]
HERE = Path(__file__).parent


class Figures(NamedTuple):
    """What one run of one client took.

    Attributes:
        failed: tasks that raised, or were not finished in time.
        requests: requests for each finished task.
        lag, lag_p95: seconds from completion to the return of the await.
        cpu: milliseconds of the client's process (user and system) for each finished task, without what the probe
            for stalls takes.
        connections: TCP connections.
        stall_p95: milliseconds by which a sleep of 10 ms ended late.
        stall_most: the worst of these.
    """

    failed: float
    requests: float
    lag: float
    lag_p95: float
    cpu: float
    connections: float
    stall_p95: float
    stall_most: float


@dataclass(frozen=True)
class Column:
    """A column of the table: its head, the figure in it, and how that is written."""

    head: str
    figure: str
    form: str


COLUMNS = (
    Column("requests/task", "requests", ".1f"),
    Column("lag mean s", "lag", ".2f"),
    Column("lag p95 s", "lag_p95", ".2f"),
    Column("CPU ms/task", "cpu", ".1f"),
    Column("connections", "connections", ".0f"),
    Column("loop stall p95 ms", "stall_p95", ".1f"),
)


@dataclass(frozen=True)
class Target:
    """What a client of ours is to reach with 500 tasks."""

    client: str
    figure: str
    words: str
    at_most: float


TARGET_TASKS = 500
OURS = {
    "ours": (8.0, 0.5),
    "ours-warm": (8.0, 0.5),
    "ours-linear": (4.0, 0.2),
    "ours-warm-linear": (4.0, 0.2),
}
TARGETS = tuple(
    Target(client, figure, words, at_most)
    for client, (requests, lag) in OURS.items()
    for figure, words, at_most in (
        ("requests", "requests/task", requests),
        ("lag", "mean lag, s", lag),
        ("cpu", "CPU, ms/task", 3.0),
        ("failed", "tasks failed", 0.0),
        ("stall_p95", "loop stall p95, ms", 10.0),
    )
)


def run(name: str, tasks: int, seed: int) -> Figures:
    """Run one client against a service of its own."""
    began = time.monotonic()
    client = CLIENTS[name]
    service = [sys.executable, str(HERE / "_dialects.py"), f"--seed={seed}", f"--tasks={tasks}"]
    if client.linear:
        service.append("--linear")
    # Some peers announce, at every call, the end of an interface.
    caller = [sys.executable, "-W", "ignore::DeprecationWarning", str(HERE / "_clients.py"), name]
    with subprocess.Popen(service, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        said = subprocess.run([*caller, url, str(tasks)], stdout=subprocess.PIPE, text=True, check=False)
        report = process.communicate()[0]
    if said.returncode:
        raise SystemExit(
            f"{client.label} ended with {said.returncode}; the peers are the dependency group `peers`"
        )
    result = json.loads(said.stdout)
    figures = evaluate(tasks, result, json.loads(report))
    tell(f"{client.label}, {tasks} tasks, seed {seed}", figures, result["failures"], time.monotonic() - began)
    return figures


def evaluate(tasks: int, result: dict[str, Any], report: dict[str, Any]) -> Figures:
    """The figures of a run, from what the client and the service noted."""
    returned, late = result["returned"], result["late"]
    finished = len(returned)
    lags = [moment - report["finishes"][number] for number, moment in returned.items()] or [math.nan]

    def each(total: float) -> float:
        return total / finished if finished else math.nan

    return Figures(
        failed=tasks - finished,
        requests=each(report["requests"]),
        lag=mean(lags),
        lag_p95=p95(lags),
        cpu=1000 * each(result["cpu"] - result["probe"]),
        connections=report["connections"],
        stall_p95=1000 * p95(late),
        stall_most=1000 * max(late),
    )


def tell(what: str, figures: Figures, failures: dict[str, int], seconds: float) -> None:
    """A line on stderr for each run, with what has no place in the table."""
    failed = "".join(f", {count} × {error}" for error, count in failures.items())
    told = f"{what}: {seconds:.0f} s, {figures.failed:.0f} failed{failed}"
    print(f"{told}, loop stalled {figures.stall_most:.0f} ms at most", file=sys.stderr, flush=True)


def compare(names: Sequence[str], tasks: int, seeds: Sequence[int]) -> dict[str, list[Figures]]:
    """What each client took with each seed; they take turns, and the order turns round from one seed to the next."""
    found: dict[str, list[Figures]] = {name: [] for name in names}
    for turn, seed in enumerate(seeds):
        for name in names if turn % 2 == 0 else reversed(names):
            found[name].append(run(name, tasks, seed))
    return found


def medians(runs: Sequence[Figures]) -> Figures:
    """The medians over the seeds, but the sum of the failures: none of them is to be lost."""
    return Figures(*map(middle, zip(*runs, strict=True)))._replace(
        failed=sum(figures.failed for figures in runs)
    )


def write_row(name: str, figures: Figures, tasks: int) -> list[str]:
    """A client's row; `tasks` are those of all seeds."""
    cells = (format(getattr(figures, column.figure), column.form) for column in COLUMNS)
    return [CLIENTS[name].label, f"{tasks - figures.failed:.0f}/{tasks}", *cells]


def judge(found: dict[str, Figures], tasks: int) -> list[str]:
    """Our figures beside their targets."""
    return [
        against(
            f"{CLIENTS[target.client].label}: {target.words}",
            getattr(found[target.client], target.figure),
            target.at_most,
        )
        for target in TARGETS
        if tasks == TARGET_TASKS and target.client in found
    ]


def whole_numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def client_names(text: str) -> list[str]:
    if unknown := set(text.split(",")) - set(CLIENTS):
        raise argparse.ArgumentTypeError(f"no client {', '.join(unknown)}: there are {', '.join(CLIENTS)}")
    return text.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--n", type=whole_numbers, default=TASKS, help="how many tasks at once; default 50,500"
    )
    parser.add_argument(
        "--clients", type=client_names, default=list(CLIENTS), help=f"of {', '.join(CLIENTS)}"
    )
    parser.add_argument(
        "--seeds", type=whole_numbers, default=SEEDS, help="what the durations are drawn from; default 7"
    )
    parser.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    given = parser.parse_args()
    present = show_markdown if given.markdown else show
    seeds = ", ".join(map(str, given.seeds))
    for tasks in given.n:
        found = {name: medians(runs) for name, runs in compare(given.clients, tasks, given.seeds).items()}
        present(
            f"{tasks} tasks at once, seeds {seeds} (medians), Python {sys.version.split()[0]}",
            ("", "ok", *(column.head for column in COLUMNS)),
            [write_row(name, figures, tasks * len(given.seeds)) for name, figures in found.items()],
            judge(found, tasks),
        )


if __name__ == "__main__":
    main()
