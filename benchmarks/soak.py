"""Long runs: does everything add up, and does anything grow?

    python benchmarks/soak.py virtual [submits]    a day with 100,000 submits, in virtual time (about three minutes)
    python benchmarks/soak.py real [minutes]       at full speed against an emulator in another process; 3 minutes

Without arguments both. In each a fault strikes 5 % of all requests, and callers do what callers do: wait, have a
deadline, read along, go away in the middle, stop and attach, read a series and leave it halfway (`tests/soak_callers.py`).

In virtual time the service is a made-up one that takes the place of aiohttp's session (`tests/soak_service.py`);
everything above that is real. Every billed task must be known to its caller by its id, or as uncertain by its
idempotency key, or, where the caller had gone, to the log or `FoxSession.unfinished`. The exit status is 1 if anything
is billed twice, lost, or told wrongly, or if anything but the promised ids is left in the session's tables.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from _clients import watch_stalls
from _simulation import VirtualLoop
from _table import p95, show
from memory import resident

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from books import Account, Books
from soak_callers import PROMISED, Callers, grown_collections, tables
from soak_day import kept_by, live_a_day
from soak_service import Bill

from foxapi_async import FoxSession, RetryPolicy, TaskResult
from foxapi_async.emulator import Emulator, Fault

SUBMITS = 100_000
MINUTES = 3.0

# Of the real part.
KEY = "sk-soak-12345"
CALLERS = 300
TASK_SECONDS = 2.0
TASK_TIMEOUT = 20.0
SAMPLE_SECONDS = 3.0
SHARE = 0.05
# 401 and 402 are the virtual part's: here each would shut the session's submits for 30 s. 429 is rare for the same
# reason, since it holds back all requests of its kind.
STRIKES = {
    "submit": [
        (3, Fault.cut_before, {}),
        (3, Fault.cut_after, {}),
        (1, Fault.hang, {}),
        (1, Fault.garbage, {}),
        (1, Fault.html, {}),
        (1, Fault.short_body, {}),
        *((1, Fault.status, {"status": status}) for status in (400, 408, 409, 422, 500, 502, 503, 504)),
        *((0.5, Fault.status, {"status": status, "accepted": True}) for status in (408, 500, 503, 504)),
        (0.02, Fault.status, {"status": 429, "retry_after": 1}),
    ],
    "poll": [
        (4, Fault.cut_after, {}),
        (0.3, Fault.hang, {}),
        (1, Fault.garbage, {}),
        (1, Fault.html, {}),
        (1, Fault.short_body, {}),
        *((1, Fault.status, {"status": status}) for status in (408, 500, 502, 503, 504)),
        (0.05, Fault.status, {"status": 404}),
        (0.01, Fault.status, {"status": 429, "retry_after": 1}),
    ],
    "file": [
        (3, Fault.short_body, {}),
        (1, Fault.cut_after, {}),
        (0.3, Fault.html, {}),
        *((1, Fault.status, {"status": status}) for status in (500, 503)),
        (0.3, Fault.status, {"status": 404}),
    ],
}


def strikes() -> list[Fault]:
    """The script of the emulator: so many of each hundred requests of every kind, and a few fates of tasks."""
    script = [
        Fault.never_finishes(times=None, probability=0.003),
        Fault.fails(times=None, probability=0.03),
        Fault(on="result", kind="altered", put={"results": None}, times=None, probability=0.02),
    ]
    for kind, rows in STRIKES.items():
        whole = sum(weight for weight, _, _ in rows)
        script += [
            make(kind, times=None, probability=SHARE * weight / whole, **more) for weight, make, more in rows
        ]
    return script


# What both parts print.


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_account(title: str, account: Account, notes: Iterable[str]) -> None:
    """The books in a table."""
    rows = [*account.outcomes.items(), ("submitted", account.submitted), ("billed", account.billed)]
    faults = f"{account.twice} billed twice, {account.lost} lost, {account.untrue} told wrongly"
    told = f"{account.only_logged:,} billed tasks of callers who had gone are known to the log or `unfinished` alone"
    show(title, ("", "submits"), [(words, f"{count:,}") for words, count in rows], [faults, told, *notes])


def tell_tables(entries: dict[str, int], grown: dict[str, int]) -> list[str]:
    """What is left in the session's tables, and what of it must not be."""
    filled = {name: count for name, count in entries.items() if count}
    listed = ", ".join(f"{count:,} {name}" for name, count in filled.items() if name in PROMISED)
    return [
        f"left in the session's tables as promised by `unfinished`: {listed or 'nothing'}",
        *(f"LEFT BEHIND: {count:,} {name}" for name, count in filled.items() if name not in PROMISED),
        *(f"GROWN: {count:,} entries in {path}" for path, count in grown.items()),
    ]


def adds_up(
    account: Account, entries: dict[str, int], grown: dict[str, int], pending: int, odd: Iterable[str]
) -> bool:
    """Whether all is well; tells what is not."""
    for error in list(odd)[:5]:
        say(f"unexpected: {error}")
    left = [name for name, count in entries.items() if count and name not in PROMISED]
    return not (account.faults or left or grown or pending)


# In virtual time.


def run_virtual(submits: int) -> bool:
    """A day in virtual time; whether everything adds up."""
    sizes = {"at the start": resident()}
    began = time.monotonic()

    def look(begun: int) -> None:
        for name, share in (("after 10 %", 0.1), ("after 50 %", 0.5), ("at the end", 1.0)):
            if name not in sizes and begun >= share * submits:
                sizes[name] = resident()
                say(f"{begun:,} submits, {time.monotonic() - began:.0f} s")

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        report = runner.run(live_a_day(submits, look=look))
    requests, troubles = report.requests.total(), report.troubles.total()
    kinds = ", ".join(f"{count:,} of kind {kind}" for kind, count in report.requests.most_common())
    print_account(
        f"A day in virtual time ({report.seconds / 3600:.1f} h), {time.monotonic() - began:.0f} s of real time",
        report.account,
        [
            f"{requests:,} requests ({kinds}), {troubles:,} of them struck by {len(report.troubles)} kinds of faults",
            f"{report.fetched:,} files fetched, {report.not_fetched:,} DownloadError",
            "resident set: " + ", ".join(f"{size / 1024:.1f} MiB {when}" for when, size in sizes.items()),
            f"asyncio tasks pending at the end: {report.pending}",
            *tell_tables(report.tables, report.grown),
        ],
    )
    return adds_up(report.account, report.tables, report.grown, report.pending, report.odd)


# In real time.


class Sample(NamedTuple):
    """This process at a moment."""

    begun: int
    resident: float
    descriptors: int


def files_in(folder: str) -> int:
    return len(list(Path(folder).iterdir()))


def open_descriptors() -> int:
    return files_in("/proc/self/fd")


def sample(books: Books) -> Sample:
    return Sample(books.begun, resident(), open_descriptors())


async def live_at_full_speed(url: str, seconds: float) -> dict[str, Any]:
    """Hundreds of callers at a time, each followed by another, for so many seconds."""
    books, chance, late, samples = Books(), random.Random(0), [], []
    before, others = open_descriptors(), asyncio.all_tasks()
    watch = asyncio.create_task(watch_stalls(late))
    retry = RetryPolicy(reply_timeout=10, grace=5)  # at full speed an answer may take a while
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder, kept_by(books):

        async def save(result: TaskResult) -> None:
            for path in await result.save(folder):
                path.unlink()

        async def keep_calling(callers: Callers, later: float) -> None:
            await asyncio.sleep(later)  # else they come in waves
            while time.monotonic() < end:
                await callers.one()

        async with FoxSession(KEY, base_url=url, retry=retry, task_timeout=TASK_TIMEOUT) as fox:
            callers = Callers(fox, books, chance, save, pace=TASK_SECONDS / 15)
            async with asyncio.TaskGroup() as group:
                for number in range(CALLERS):
                    group.create_task(keep_calling(callers, number * TASK_SECONDS / CALLERS))
                while time.monotonic() < end:
                    await asyncio.sleep(SAMPLE_SECONDS)
                    samples.append(sample(books))
                    say(f"{samples[-1]}")
                watch.cancel()
            await asyncio.sleep(TASK_TIMEOUT + 1)
            left, grown = tables(fox), grown_collections(fox)
        books.report(handle.id for handle in fox.unfinished)
        unswept = files_in(folder)
    await asyncio.sleep(0.1)
    return {
        "books": books,
        "callers": callers,
        "samples": samples,
        "late": late,
        "tables": left,
        "grown": grown,
        "pending": len(asyncio.all_tasks() - others - {watch}),
        "descriptors": (before, open_descriptors()),
        "unswept": unswept,
    }


def run_real(minutes: float) -> bool:
    """A few minutes in real time; whether everything adds up."""
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        found = asyncio.run(live_at_full_speed(url, 60 * minutes))
        report = json.loads(process.communicate()[0])
    books, samples, (before, after) = found["books"], found["samples"], found["descriptors"]
    account = books.close_against(Bill(*bill) for bill in report["bills"])
    third = max(1, len(samples) // 3)
    warm, last = samples[third - 1], samples[-1]

    def middle(of: Iterable[Sample], figure: str) -> float:
        return median(getattr(each, figure) for each in of)

    grown = middle(samples[-third:], "resident") - middle(samples[third : 2 * third] or samples, "resident")
    rate = (last.begun - warm.begun) / (60 * minutes - third * SAMPLE_SECONDS)
    print_account(
        f"{minutes:g} minutes at full speed, {CALLERS} callers at a time, tasks of about {TASK_SECONDS:g} s",
        account,
        [
            (
                f"{rate:.0f} submits a second, as many as the CPU allows; loop stall p95 {1000 * p95(found['late']):.1f} ms, worst "
                f"{1000 * max(found['late']):.0f} ms"
            ),
            (
                f"{report['polls']:,} polls answered, {report['faults']:,} faults; {found['callers'].fetched:,} results "
                f"saved, {found['callers'].not_fetched:,} DownloadError, {found['unswept']} files left in the folder"
            ),
            (
                f"resident set: {samples[0].resident / 1024:.1f} MiB at first, {warm.resident / 1024:.1f} MiB after a third, "
                f"{last.resident / 1024:.1f} MiB at the end; the last third against the second: {grown / 1024:+.1f} MiB"
            ),
            (
                f"descriptors: {middle(samples[:third], 'descriptors'):.0f} in the first third, "
                f"{middle(samples[-third:], 'descriptors'):.0f} in the last, at most "
                f"{max(each.descriptors for each in samples)}; {before} before the session, {after} after it"
            ),
            f"asyncio tasks pending at the end: {found['pending']}",
            *tell_tables(found["tables"], found["grown"]),
        ],
    )
    well = adds_up(account, found["tables"], found["grown"], found["pending"], books.odd)
    return well and after <= before and not found["unswept"]


async def serve() -> None:
    """Run the emulator until stdin is closed, then tell what was billed."""
    async with Emulator(seconds=TASK_SECONDS, faults=strikes(), key=KEY) as emulator:
        print(emulator.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        views = list(emulator.tasks.values())
    bills = [(int(task.body["prompt"].rpartition(" ")[2]), task.id, task.idempotency_key) for task in views]
    polls = sum(task.polls for task in views)
    print(json.dumps({"bills": bills, "polls": polls, "faults": emulator.faults_fired}))


def main() -> None:
    part, *amount = sys.argv[1:] or ["both"]
    if part == "serve":
        asyncio.run(serve())
        return
    well = True
    if part in {"virtual", "both"}:
        well = run_virtual(int(amount[0]) if amount else SUBMITS)
    if part in {"real", "both"}:
        well = run_real(float(amount[0]) if amount else MINUTES) and well
    if not well:
        raise SystemExit("IT DOES NOT ADD UP: see above")


if __name__ == "__main__":
    main()
