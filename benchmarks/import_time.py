"""What importing the package costs over `import aiohttp`, which it cannot do without.

Each figure is a fresh interpreter. A bare one is measured too and taken off both, so that the ratio is of the
imports alone. All of them read compiled code from one fresh cache, which the round that is thrown away fills: an
installed package is compiled, while a checkout may not be.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import partial

from _table import against, interleave, middle, paired, show, spread

ROUNDS = 21
TARGET = 1.25

# The package loads its names when they are first used, so importing it alone proves little: what a program needs to
# open a session is compared, with aiohttp itself in every case. cattrs is loaded by the first reply.
PROGRAMS = {
    "python alone": "pass",
    "import foxapi_async": "import foxapi_async",
    "import aiohttp": "import aiohttp",
    "FoxSession and a request": "import aiohttp; from foxapi_async import FoxSession, GrokImagineImage",
    "the same, and cattrs": "import aiohttp, cattrs; from foxapi_async import FoxSession, GrokImagineImage",
}


def run(program: str, cache: str) -> tuple[float, float]:
    """CPU (user and system) and wall time of one fresh interpreter, in milliseconds."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = cache
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", program], env=environ)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{program!r} ended with {process.returncode}")
    return 1000 * (usage.ru_utime + usage.ru_stime), 1000 * wall


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        runs = {name: partial(run, program, cache) for name, program in PROGRAMS.items()}
        found = interleave(runs, ROUNDS)
    cpu = {name: [figures[0] for figures in rounds] for name, rounds in found.items()}
    wall = {name: [figures[1] for figures in rounds] for name, rounds in found.items()}
    bare, _, aiohttp, ours, _ = PROGRAMS

    def net(figures: dict[str, list[float]], name: str) -> list[float]:
        return [figure - alone for figure, alone in zip(figures[name], figures[bare], strict=True)]

    show(
        f"Import time: milliseconds, medians of {ROUNDS} interleaved rounds, Python {sys.version.split()[0]}",
        ("", "CPU", "min–max", "CPU net", "wall", "min–max", "wall net"),
        [
            (
                name,
                *(f"{middle(cpu[name]):.1f}", spread(cpu[name]), f"{middle(net(cpu, name)):.1f}"),
                *(f"{middle(wall[name]):.1f}", spread(wall[name]), f"{middle(net(wall, name)):.1f}"),
            )
            for name in PROGRAMS
        ],
        [
            against("ratio of net CPU", paired(net(cpu, ours), net(cpu, aiohttp)), TARGET),
            against("ratio of net wall", paired(net(wall, ours), net(wall, aiohttp)), TARGET),
        ],
    )


if __name__ == "__main__":
    main()
