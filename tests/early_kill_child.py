"""Kills batches early: `python early_kill_child.py PLACE COUNT` runs `foxapi batch` in folders 0 to COUNT - 1
of PLACE.

Each run is a forked process. SIGKILL ends it a little later than the one before it, counted from the moment
when its ledger has a name. The parent runs an empty batch first, so that it has imported everything that a
run needs.
"""

import os
import signal
import sys
import time
from pathlib import Path

from foxapi_async.cli import main

STEP = 0.0004


def run(folder):
    """Become `foxapi batch` of a folder, without output."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os._exit(main(["batch", str(folder / "prompts.jsonl"), "--out", str(folder)]))


def kill(folder, delay):
    """Run the batch and kill it `delay` seconds after its ledger has appeared."""
    child = os.fork()
    if child == 0:
        run(folder)
    ledger = folder / "ledger.sqlite"
    while not ledger.exists():
        pass
    moment = time.perf_counter() + delay
    while time.perf_counter() < moment:
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def run_nothing(folder):
    """Run an empty batch in this process."""
    folder.mkdir()
    (folder / "prompts.jsonl").touch()
    main(["-q", "batch", str(folder / "prompts.jsonl"), "--out", str(folder)])


if __name__ == "__main__":
    run_nothing(Path(sys.argv[1]) / "empty")
    for number in range(int(sys.argv[2])):
        kill(Path(sys.argv[1]) / str(number), number * STEP)
