"""The command line as a person types it: what a help text imports, and what a shell completes."""

import json
import subprocess
import sys

import pytest

from foxapi_async.cli import main

COMMANDS = (
    "generate",
    "batch",
    "status",
    "report",
    "wait",
    "upload",
    "models",
    "serve",
    "emulator",
    "completion",
)
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


# completion


def completed_by_bash(script, *words):
    """What bash completes the last of the words to."""
    typed = " ".join(f"'{word}'" for word in words)
    program = f"""
{script}
COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}
_shtab_foxapi
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60)
    assert "" == done.stderr
    return [word.strip() for word in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def bash_script():
    """The completion script for bash, as the command prints it."""
    done = subprocess.run(
        [sys.executable, "-m", "foxapi_async", "completion", "bash"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["foxapi", "gen"], ["generate"]),
        (["foxapi", "batch", "--resub"], ["--resubmit-uncertain"]),
        (["foxapi", "generate", "--model", "grok"], ["grok-imagine-image"]),
        (["foxapi", "generate", "--resolution", "4"], ["4K"]),
        (["foxapi", "emulator", "--fault"], ["--fault-rate"]),
        (["foxapi", "completion", "f"], ["fish"]),
        (["foxapi", "upload", "fox"], ["fox.png"]),
        (["foxapi", "generate", "--out", "pi"], ["pictures"]),
    ],
)
def test_bash_completes(bash_script, monkeypatch, tmp_path, words, found):
    """Bash completes commands, options, models, values, files and folders."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fox.png").write_bytes(b"")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pixel.png").write_bytes(b"")

    assert found == completed_by_bash(bash_script, *words)


@pytest.mark.parametrize(("shell", "text"), [("zsh", "#compdef foxapi"), ("fish", "complete -c foxapi")])
def test_other_shells_get_their_script(capsys, shell, text):
    """The script of each shell is for `foxapi`, and knows the options."""
    code = main(["completion", shell])
    out, err = capsys.readouterr()

    assert (0, "") == (code, err)
    assert text in out
    assert "resubmit-uncertain" in out


def test_a_completion_script_as_json(capsys):
    """With --json the script is in one object."""
    main(["completion", "fish", "--json"])
    told = json.loads(capsys.readouterr().out)

    assert "fish" == told["shell"]
    assert "complete -c foxapi" in told["script"]


def test_completion_without_its_extra(capsys, monkeypatch):
    """Without shtab, one line says what to install."""
    monkeypatch.setitem(sys.modules, "shtab", None)
    monkeypatch.delitem(sys.modules, "foxapi_async.cli._completion", raising=False)
    code = main(["completion", "bash"])

    line = "foxapi: foxapi completion needs shtab: pip install 'foxapi-async[cli]'\n"
    assert (3, ("", line)) == (code, tuple(capsys.readouterr()))


def test_a_shell_that_is_not_known(capsys):
    """Another shell is refused in one line."""
    assert 2 == main(["completion", "dash"])
    assert "invalid choice: 'dash'" in capsys.readouterr().err
