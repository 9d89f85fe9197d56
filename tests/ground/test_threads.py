"""The file threads: they work in a forked child too."""

import subprocess
import sys

import pytest

FORKED = """
import asyncio, os, sys, warnings
from foxapi_async._threads import in_thread

warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what this is about
asyncio.run(in_thread(os.getpid))
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
assert asyncio.run(in_thread(os.getpid)) == os.getpid()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_has_threads_of_its_own():
    """A process that was forked after its parent used the file threads can use them as well."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED], timeout=30, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
