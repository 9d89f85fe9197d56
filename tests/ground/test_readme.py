"""The examples of the README and of the docs are executed."""

import ast
import asyncio
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pages import APP, BLOCKS, FILES, LINKS, PAGES, ROOT, SNIPPETS

from foxapi_async._handles import state
from foxapi_async.cli._parser import build_parser

APPS = {path.name: path.read_text() for path in (ROOT / "tests/apps").glob("*.py")}
IS_TEST = re.compile(r"^(async )?def test_", re.MULTILINE)
# Pages whose examples need more than the emulator, and what runs them.
RUN_ELSEWHERE = {"cluster.md": "tests/cluster/test_cluster_docs.py"}
SCRIPTS = [
    (name, text)
    for name, text in SNIPPETS
    if name not in RUN_ELSEWHERE and text not in APPS.values() and not IS_TEST.search(text)
]
TESTS = [(name, text) for name, text in SNIPPETS if IS_TEST.search(text)]
(SETTINGS,) = [text for name, kind, text in BLOCKS if (name, kind) == ("testing.md", "toml")]
COMMANDS = [
    (name, line)
    for name, kind, text in BLOCKS
    if kind == "sh"
    for line in text.splitlines()
    if line.startswith("foxapi ")
]
INSTALLS = [
    (name, words)
    for name, page in PAGES.items()
    for words in re.findall(r"pip install (?:-\S+ )*'([^']+)'", page)
]
EXTRAS = re.compile(r"\[([\w,]+)\]")


def test_the_first_block_holds_two_commands():
    """A new user types two lines: the first shows the main job, the second runs the tests."""
    for page in ("README.md", "README.zh.md"):
        kind, text = next((kind, text) for name, kind, text in BLOCKS if name == page)
        lines = text.splitlines()

        assert ("sh", 2) == (kind, len(lines))
        assert "generate" in lines[0]
        assert "pytest" in lines[1]


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_a_new_user_learns_where_to_type_and_how_to_do_without_a_key(page):
    """The folder stands before the first commands, and the emulator before the first script."""
    before_the_commands, *_ = PAGES[page].split("```sh\n")
    before_the_script, *_ = PAGES[page].split("```python\n")

    assert "`cd`" in before_the_commands
    assert "`foxapi emulator`" in before_the_script


def test_the_readme_is_short():
    """The README has at most 220 lines. What is long is in the docs."""
    assert len(PAGES["README.md"].splitlines()) <= 220


def test_the_state_diagram_is_that_of_the_code():
    """The docs have the diagram that the transition table draws."""
    assert [state.mermaid() + "\n"] == [text for _, kind, text in BLOCKS if kind == "mermaid"]


@pytest.mark.thorough
@pytest.mark.parametrize(("page", "script"), SCRIPTS)
def test_a_script_runs(page, script, foxapi_emulator, tmp_path):
    """Each script runs unchanged, against the emulator, and writes only the unfinished tasks to stderr."""
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-W", "error", "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert 0 == done.returncode, done.stderr
    assert done.stdout or list((tmp_path / "out").rglob("*.jpg"))


@pytest.mark.parametrize(("page", "test"), RUN_ELSEWHERE.items())
def test_the_examples_of_a_page_are_run_elsewhere(page, test):
    """The page is there, and the test that runs its examples names it."""
    assert page in PAGES
    assert f'"{page}"' in (ROOT / test).read_text()


@pytest.mark.parametrize("name", ["readme_app.py", "small_app.py", "aiohttp_app.py", "prometheus_hook.py"])
def test_an_app_is_tested(name):
    """An example that is not a script by itself equals a file that other tests run."""
    assert APPS[name] in [text for _, text in SNIPPETS]


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_app_of_its_page_is_started_and_asked_as_the_page_says(
    foxapi_emulator, tmp_path, unused_tcp_port
):
    """The two commands work as they stand, but for the port: the second gets the events of a task."""
    block = next(text for name, kind, text in BLOCKS if (name, kind) == ("fastapi.md", "sh"))
    start, ask = block.replace(":8000", f":{unused_tcp_port}").splitlines()
    (tmp_path / "app.py").write_text(APPS["readme_app.py"])
    places = {
        "cwd": tmp_path,
        "env": {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    }
    with subprocess.Popen(["bash", "-c", f"exec env {start} --port {unused_tcp_port}"], **places) as server:
        try:
            answer = subprocess.run(
                ["bash", "-c", f"{ask} --silent --retry 30 --retry-connrefused --retry-delay 1"],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
                **places,
            )
        finally:
            server.terminate()

    assert "event: final" in answer.stdout
    assert foxapi_emulator.billed == 1


@pytest.mark.parametrize("needs_asyncio", [False, True])
@pytest.mark.thorough
def test_the_examples_of_tests_pass(needs_asyncio, tmp_path):
    """Each example of a test passes in a project as its page describes it: with pytest-asyncio and its settings, or
    without them.
    """
    plugins = [] if needs_asyncio else ["-p", "no:asyncio"]
    texts = [
        text for _, text in TESTS if needs_asyncio == ("async def test_" in text and "anyio" not in text)
    ]
    files = {"pyproject.toml": SETTINGS if needs_asyncio else "", "app.py": APP}
    for name, content in {**files, **{f"test_{n}.py": text for n, text in enumerate(texts)}}.items():
        (tmp_path / name).write_text(content)
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *plugins]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert texts
    assert re.search(rf"= {len(texts)} passed in [\d.]+s =", done.stdout), done.stdout + done.stderr


def test_the_cells_of_the_notebook_run(foxapi_emulator, tmp_path, monkeypatch):
    """The cells run one after the other in one loop, as a notebook runs them."""
    monkeypatch.chdir(tmp_path)
    cells = [text for name, kind, text in BLOCKS if (name, kind) == ("notebook.md", "ipython")]
    names = {}

    async def run_all():
        for cell in cells:
            code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)
            if inspect.iscoroutine(result):
                await result

    asyncio.run(run_all())

    assert len(cells) > 2
    assert list(tmp_path.rglob("*.jpg"))


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_is_one(page, line):
    """Every command line has only options that the command has."""
    words = shlex.split(line, comments=True)[1:]

    assert words[0] == build_parser(words).parse_args(words).command


def test_an_install_line_has_only_extras_that_exist():
    """A wrong extra is only a warning of pip."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for _, words in INSTALLS for group in EXTRAS.findall(words) for extra in group.split(",")}

    assert set() == named - set(known)


@pytest.mark.parametrize(
    "page", ["README.md", "README.zh.md", "batches.md", "cluster.md", "fastapi.md", "notebook.md", "page.md"]
)
def test_a_page_says_what_to_install(page):
    """A newcomer may begin with any of these pages."""
    assert page in {name for name, _ in INSTALLS}


@pytest.mark.parametrize(("page", "target", "heading"), LINKS)
def test_a_link_leads_to_a_file_and_a_heading(page, target, heading):
    """Every link to a file of the project leads to one, and to a heading in it."""
    path = FILES[page].parent / target if target else FILES[page]
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE) if heading else []
    # GitHub keeps letters of any script, digits, `_` and `-`, and writes `-` for a blank.
    anchors = {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}

    assert path.exists()
    assert {heading} - {""} <= anchors


def test_every_public_name_and_setting_of_a_session_is_written_down():
    """The README has every error, and the settings every setting of a session."""
    import foxapi_async

    settings = set(inspect.signature(foxapi_async.FoxSession).parameters)
    errors = {name for name in foxapi_async.__all__ if name.endswith("Error")} - {"TaskError"}

    assert set() == {name for name in settings if name not in PAGES["settings.md"]}
    assert set() == {name for name in errors if name not in PAGES["README.md"]}
