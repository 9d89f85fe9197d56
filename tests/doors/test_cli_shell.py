"""The command line as a person types it: what a help text imports."""

import json
import subprocess
import sys

import pytest

COMMANDS = ("generate", "batch", "status", "report", "wait", "upload", "models", "serve", "emulator")
NETWORK = {"aiohttp", "asyncio", "backoff"}


def imported_by(*words):
    """The names of the modules that a command line imports, at the top level."""
    program = (
        "import json, sys; from foxapi_async.__main__ import main; "
        f"sys.argv = {['foxapi', *words]!r}; main(); "
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--help"], ["--version"], []], ids=["help", "version", "nothing"])
def test_the_list_of_commands_imports_no_library(words):
    """The list of commands and the version are made from the standard library alone."""
    assert set() == imported_by(*words) & {*NETWORK, "attrs", "attr", "cattrs", "rich"}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "emulator"])
def test_the_help_of_a_command_imports_no_network(command):
    """The help of a command imports no network and no event loop."""
    assert set() == imported_by(command, "--help") & NETWORK


def test_a_wrong_option_imports_no_network():
    """A refused option is answered as fast as a help text."""
    assert set() == imported_by("generate", "--wrong") & NETWORK
