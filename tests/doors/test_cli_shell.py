"""The command line as a person types it: what a help text imports, what a shell completes, file names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from shell import point_to

from foxapi_async import FoxSession
from foxapi_async.cli import main
from foxapi_async.emulator import Fault, ThreadedEmulator

COMMANDS = (
    "generate",
    "batch",
    "worker",
    "cluster",
    "status",
    "report",
    "export",
    "wait",
    "upload",
    "models",
    "credits",
    "serve",
    "emulator",
    "doctor",
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
        (["foxapi", "cr"], ["credits"]),
        (["foxapi", "batch", "--resub"], ["--resubmit-uncertain"]),
        (["foxapi", "generate", "--model", "gpt-image-2"], ["gpt-image-2", "gpt-image-2-limit"]),
        (["foxapi", "generate", "--resolution", "4"], ["4K"]),
        (["foxapi", "emulator", "--fault"], ["--fault-rate"]),
        (["foxapi", "completion", "f"], ["fish"]),
        (["foxapi", "upload", "fox"], ["fox.png"]),
        (["foxapi", "generate", "--out", "pi"], ["pictures"]),
    ],
)
@pytest.mark.thorough
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


# --name


@pytest.fixture
def service(monkeypatch, tmp_path):
    """A service with fast tasks, and an empty working folder."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FOXAPI_")]:
        monkeypatch.delenv(name)
    with ThreadedEmulator(seconds=0.1) as emulator:
        point_to(emulator, monkeypatch)
        yield emulator


@pytest.fixture
def foxapi(service, capsys):
    """Run a command line: its exit status and standard error."""

    def run(*words):
        code = main(words)
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def no_sending(monkeypatch):
    """Opening a session fails the test."""

    async def refuse(_self):
        pytest.fail("a session was opened")

    monkeypatch.setattr(FoxSession, "__aenter__", refuse)


def saved(folder="out"):
    """The names of the files in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["a red fox", "--name", "{prompt}"], ["a_red_fox.jpg"]),
        (["a red fox", "-n", "2", "--name", "{prompt}"], ["a_red_fox-1.jpg", "a_red_fox-2.jpg"]),
        (["a red fox", "-n", "2", "--name", "{n} of Ü"], ["1 of Ü.jpg", "2 of Ü.jpg"]),
        (["--prompt", "a", "--prompt", "b", "--name", "{prompt}.{n}"], ["a.1.jpg", "b.1.jpg"]),
        (["../../etc/passwd", "--name", "{prompt}"], ["etc_passwd.jpg"]),
    ],
)
def test_files_are_named_as_told(foxapi, words, names):
    """The fields of --name are filled in, safely; several images are numbered even without {n}."""
    assert 0 == foxapi("generate", *words)[0]
    assert names == saved()


def test_files_are_named_by_their_id(foxapi, service):
    """{id} is the id of the task, for `generate` and for `wait`."""
    foxapi("generate", "a", "--name", "fox {id}")
    (task_id,) = service.tasks
    code, _ = foxapi("wait", task_id, "--name", "{n}_{id}")

    assert 0 == code
    assert [f"1_{task_id}.jpg", f"fox {task_id}.jpg"] == saved()


REFUSED = {
    "unknown field": (
        ["generate", "a", "--name", "{seed}"],
        "{seed} is not a field; the fields are {prompt}, {id}, {n}",
    ),
    "a format": (["generate", "a", "--name", "{n:03}"], "{n:03} is not a field"),
    "an open brace": (["generate", "a", "--name", "{n"], "a name cannot have '{' in it"),
    "a path": (["generate", "a", "--name", "../{n}"], "a name cannot have '/' in it"),
    "a line break": (["generate", "a", "--name", "a\n"], "a name cannot have '\\n' in it"),
    "empty": (["generate", "a", "--name", ""], "cannot be empty"),
    "hidden": (["generate", "a", "--name", ".{n}"], "begin with a dot"),
    "ending": (["generate", "a", "--name", "fox.png"], "give a name without .png"),
    "long": (["generate", "a", "--name", "x" * 121], "a name can have at most 120 bytes"),
    "long with its prompt": (
        ["generate", "a" * 50, "--name", "x" * 80 + "{prompt}"],
        "can have at most 120 bytes",
    ),
    "one name for two prompts": (
        ["generate", "--prompt", "A fox", "--prompt", "a fox!", "--name", "{prompt}"],
        "add {id}",
    ),
    "no id for two tasks": (
        ["wait", "t-1", "t-2", "--name", "{n}"],
        "for several tasks, the name needs {id}",
    ),
    "no prompt for wait": (
        ["wait", "t-1", "--name", "{prompt}"],
        "{prompt} is not a field; the fields are {id}, {n}",
    ),
}


@pytest.mark.parametrize(("words", "text"), REFUSED.values(), ids=REFUSED)
def test_a_name_is_refused_before_anything_is_sent(foxapi, no_sending, words, text):
    """A name that cannot be used is refused in one line."""
    code, err = foxapi(*words)

    assert (2, 1) == (code, err.count("\n"))
    assert text in err


def test_a_name_that_is_taken(foxapi, service):
    """A file that has the name already is found before anything is billed; --overwrite replaces it."""
    foxapi("generate", "a", "--name", "fox")
    code, err = foxapi("generate", "b", "--name", "fox")

    assert (2, 1) == (code, len(service.tasks))
    assert "out/fox.jpg exists already; choose another --name" in err
    assert 0 == foxapi("generate", "b", "--name", "fox", "--overwrite")[0]
    assert ["fox.jpg"] == saved()


def test_a_resumed_task_keeps_its_name(foxapi, service):
    """The command that resumes a task contains the name with its prompt, and saves the same file."""
    service.add_fault(Fault.status("file", 404))
    _, err = foxapi("generate", "a red fox", "--name", "{prompt} {n}")
    (task_id,) = service.tasks

    assert f"resume: foxapi wait {task_id} --out out '--name=a_red_fox {{n}}' --overwrite\n" in err
    assert 0 == foxapi("wait", task_id, "--name=a_red_fox {n}", "--overwrite")[0]
    assert ["a_red_fox 1.jpg"] == saved()


def test_a_late_id_is_resumed_with_its_name(foxapi, service):
    """The id of an abandoned submit is shown with the name that its prompt made."""
    service.add_fault(Fault.slow("submit", 1.0, times=None))
    _, err = foxapi(
        "generate", "--prompt", "a", "--prompt", "b", "--timeout", "0.3", "--name", "{prompt} {id}"
    )

    for task_id, task in service.tasks.items():
        name = f"{task.body['prompt']} {{id}}"
        assert f"resume: foxapi wait {task_id} --out out '--name={name}'\n" in err
    assert 2 == len(service.tasks)


# several prompts as JSON, and a refused account


def told_by(capsys, *words):
    """The exit status of a command, its JSON objects, and its standard error."""
    code = main([*words, "--json"])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def test_results_and_errors_name_their_prompt(service, capsys):
    """With --json a finished task, a failed one and a refused submit have their prompt."""
    service.add_fault(Fault.fails(prompt="b"))
    service.add_fault(Fault.status("submit", 422, prompt="c"))
    prompts = [word for prompt in ("a", "b", "c") for word in ("--prompt", prompt)]
    _, told, _ = told_by(capsys, "generate", *prompts)

    errors = {item["error"]["prompt"]: item["error"]["type"] for item in told if "error" in item}
    assert ["a"] == [item["prompt"] for item in told if "error" not in item]
    assert {"b": "TaskFailedError", "c": "UnprocessableError"} == errors


def test_wait_knows_no_prompt(service, capsys):
    """A task of an earlier run has no prompt."""
    told_by(capsys, "generate", "a")
    (task_id,) = service.tasks

    assert "prompt" not in told_by(capsys, "wait", task_id, "--overwrite")[1][0]


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refused_account_is_reported_once(service, capsys, status):
    """Twenty prompts give one message, and what was not sent yet is not sent. With --json each prompt has its error."""
    service.add_fault(Fault.status("submit", status, times=None))
    prompts = [word for n in range(20) for word in ("--prompt", f"fox {n}")]
    code, told, err = told_by(capsys, "generate", *prompts)

    assert (3, True) == (code, len(service.requests) <= 8)
    assert [1, 3] == [err.count(f"HTTP {status}"), len(err.splitlines())]
    assert "foxapi: not sent: 12 more prompts\n" in err
    assert {f"fox {n}" for n in range(20)} == {item["error"]["prompt"] for item in told}
    assert {"no"} == {item["error"]["charged"] for item in told}


def test_an_account_that_is_refused_while_tasks_run(service, capsys):
    """The refusal is shown once, and each task with the command that resumes it."""
    service.add_fault(Fault.status("poll", 401, times=None))
    code, _, err = told_by(capsys, "generate", "--prompt", "a", "--prompt", "b")

    assert (3, 1, 2) == (code, err.count("HTTP 401"), err.count("resume: foxapi wait"))


# the first words


FIRST_WORDS = {
    "generate": (["generate", "a"], "sending to {}"),
    "generate with a file": (["generate", "a", "--image", "fox.png"], "uploading and sending to {}"),
    "wait": (["wait", "t-1", "t-2"], "waiting for 2 tasks of {}"),
    "status": (["status", "task-1"], "asking {}"),
    "status of another name": (["status", "t-1"], "asking {} for a task: there is no folder 't-1' here"),
    "upload": (["upload", "fox.png"], "uploading fox.png to {}"),
    "credits": (["credits"], "asking {} for the credits of the key"),
    "batch": (["batch", "p.txt"], "reading p.txt, to send its items to {}"),
    "check": (["batch", "p.txt", "--check"], "reading p.txt"),
    "emulator": (["generate", "a", "--emulator"], "sending to an emulator in this command"),
    "serve": (["serve", "--port", "0"], "starting the page, which sends to {}"),
}


@pytest.mark.parametrize(("words", "said"), FIRST_WORDS.values(), ids=FIRST_WORDS)
@pytest.mark.thorough
def test_a_command_says_at_once_what_it_does(service, words, said):
    """Before aiohttp is imported, which may take seconds, and before the service has answered, a line is there."""
    Path("fox.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Path("p.txt").write_text("a fox\n")
    for what in ("submit", "poll", "upload"):
        service.add_fault(Fault.hang(what, times=None))
    program = """
import os, sys

class Finder:
    def find_spec(self, name, *rest):
        if name in {"aiohttp", "fastapi"}:
            os.write(2, b"a slow import\\n")

from foxapi_async.__main__ import main
sys.meta_path.insert(0, Finder())
sys.argv = ["foxapi", *sys.argv[1:]]
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        assert f"foxapi: {said.format(service.url)}\n" == process.stderr.readline()
    finally:
        process.kill()
        process.communicate()


def test_a_quiet_command_says_nothing_first(service, capsys):
    """With --quiet only errors are shown."""
    assert 0 == main(["generate", "a", "--quiet"])
    assert "" == capsys.readouterr().err
