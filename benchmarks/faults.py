"""What a submit costs when it fails: the POSTs that each client sends for one of them, and what it says afterwards.

Every POST that a service has read may be billed, whatever became of the answer. Each client is run with its defaults, but
waits for an answer for 2 s only, and all faults strike beside each other. The service
(`_dialects.py`) reads the submit and then resets the connection, says nothing, or answers with a status; 502 to 504 carry
the page of a proxy, which is where they come from, and 429 no Retry-After. Where `tests/matrix.py` is there, the whole
matrix of this package's faults is run before, in virtual time.

    python benchmarks/faults.py [client ...]
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _clients import CLIENTS, Generate
from _table import show_markdown

FAULTS = {
    "reset": "answer lost (reset)",
    "hang": "hangs past the timeout",
    **{str(status): str(status) for status in (500, 502, 503, 504, 429, 408, 409)},
}
COMPARED = ("ours", "fal", "replicate", "runway", "openai", "genai")
REPLY_SECONDS = 2.0
PATIENCE = 45.0
"""Seconds after which a client that still tries is stopped."""

UNKNOWN_IN_WORDS = ("unknown", "uncertain", "may have been", "might have been")
HERE = Path(__file__).parent


async def submit_once(generate: Generate, fault: str) -> dict[str, Any]:
    """One submit that fails: how long the client tried, and what it says of it."""
    error: Exception | None = None
    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE) as limit:
            await generate(f"fault {fault}")
    except Exception as caught:  # the client's own, whatever it raises; or ours, if it still tries
        error = caught
    words = f"{error} {getattr(error, 'charged', '')}".lower()
    return {
        "seconds": time.monotonic() - began,
        "ended": not limit.expired(),
        "error": type(error).__name__,
        "unknown": any(each in words for each in UNKNOWN_IN_WORDS),
    }


async def suffer(name: str, url: str) -> dict[str, Any]:
    """All faults, beside each other."""
    async with CLIENTS[name].opening(url, reply_seconds=REPLY_SECONDS) as generate:
        await generate("rehearsal 0.1")  # what is loaded and compiled at the first use is no fault's time
        found = await asyncio.gather(*(submit_once(generate, fault) for fault in FAULTS))
    return dict(zip(FAULTS, found, strict=True))


def run(name: str) -> dict[str, dict[str, Any]]:
    """What one client did under each fault, in a process of its own, with a service of its own."""
    service = [sys.executable, str(HERE / "_dialects.py"), "--seed=0", "--tasks=0"]
    caller = [sys.executable, "-W", "ignore::DeprecationWarning", __file__, "client", name]
    with subprocess.Popen(service, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        said = subprocess.run([*caller, url], stdout=subprocess.PIPE, text=True, check=False)
        struck = json.loads(process.communicate()[0])["struck"]
    if said.returncode:
        raise SystemExit(
            f"{CLIENTS[name].label} ended with {said.returncode}; the peers are the group `faults`"
        )
    found: dict[str, dict[str, Any]] = json.loads(said.stdout.splitlines()[-1])
    for fault, cell in found.items():
        cell["posts"] = struck.get(fault, 0)
        print(f"{CLIENTS[name].label}: {fault}: {cell}", file=sys.stderr, flush=True)
    return found


def write_cell(cell: dict[str, Any]) -> str:
    """The POSTs, the time, and whether the client says that it does not know."""
    tried = f"{cell['seconds']:.1f} s" if cell["ended"] else f"still trying after {PATIENCE:.0f} s"
    return f"{cell['posts']} ({tried}){' says unknown' if cell['unknown'] else ''}"


def print_matrix() -> None:
    """The counts of the matrix of faults that the tests run."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    try:
        run_all = importlib.import_module("matrix").run_all
    except (ImportError, AttributeError) as missing:
        print(f"The matrix of faults is not run: {missing}\n")
        return
    logging.getLogger("foxapi_async").addHandler(
        logging.NullHandler()
    )  # tasks left behind are the plan there
    totals = run_all()
    print(f"The matrix of this package's faults, in virtual time: {totals}\n")
    for cell, problems in totals.problems.items():
        print(f"{cell}: {'; '.join(problems)}", file=sys.stderr)


def main(names: Sequence[str]) -> None:
    print_matrix()
    rows = []
    for name in names or COMPARED:
        found = run(name)
        rows.append([CLIENTS[name].label, *(write_cell(found[fault]) for fault in FAULTS)])
    show_markdown(
        "POSTs that a service reads for one submit that fails (seconds until the client gave up)",
        ("", *FAULTS.values()),
        rows,
        [
            f"an answer is waited for {REPLY_SECONDS:g} s; else each client's defaults",
            "429 is a refusal: trying again costs nothing. All others may have been accepted and billed, 409 by an earlier try",
        ],
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        logging.disable(logging.CRITICAL)
        print(json.dumps(asyncio.run(suffer(*sys.argv[2:]))))
    else:
        main(sys.argv[1:])
