"""One command per intention: `nox -s tests`, `whole`, `uvloop`, `browser`, `schemathesis`, `nginx`, `notebook`, `cluster`, `coverage`, `lint`, `types`, `docs`, `pictures`, `bench`."""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
WHOLE = {"FOXAPI_TEST_WHOLE": "1", "FOXAPI_TEST_LOOP": "uvloop"}
VERSIONS = nox.project.python_versions(PROJECT)  # the classifiers'


def install(session: nox.Session, extras: str = "dev", *groups: str) -> None:
    """Install the package with extras, and dependency groups beyond that."""
    session.install("-e", f".[{extras}]", *nox.project.dependency_groups(PROJECT, *groups))


@nox.session(python=VERSIONS)
def tests(session: nox.Session) -> None:
    """The quick suite, on each Python version that is installed."""
    install(session)
    session.run("pytest", "-q", "-n", "auto", *session.posargs)


@nox.session
def whole(session: nox.Session) -> None:
    """Every test, with every moment, task and example, on uvloop, and the page in the machine's own Chromium."""
    install(session, "dev,speed", "browser")
    session.run("pytest", "-q", "-n", "auto", "-m", "", *session.posargs, env=WHOLE)


@nox.session
def uvloop(session: nox.Session) -> None:
    """The tests of the quick suite that run on a loop of the machine's own, on uvloop."""
    install(session, "dev,speed")
    session.run("pytest", "-q", "-n", "auto", *session.posargs, env={"FOXAPI_TEST_LOOP": "uvloop"})


@nox.session
def coverage(session: nox.Session) -> None:
    """Branch coverage, which must be complete. Tests with more cases in the whole suite reach no line that others do not,
    and take long under measurement.
    """
    install(session, "dev,speed", "coverage")
    session.run("coverage", "erase")
    few = ["-m", "not thorough and not wide"]
    session.run("coverage", "run", "-m", "pytest", "-q", "-n", "auto", *few, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def browser(session: nox.Session) -> None:
    """The page, the report, and what the docs show for a browser, in the machine's own Chromium; no other is fetched."""
    install(session, "dev", "browser")
    files = sorted(map(str, Path("tests/doors").glob("test_*browser*.py")))
    session.run("pytest", "-q", "-n", "auto", "-m", "", *files, *session.posargs)


@nox.session
def schemathesis(session: nox.Session) -> None:
    """The image routes, by requests that schemathesis makes from their OpenAPI document."""
    install(session, "dev", "schemathesis")
    session.run("pytest", "-q", "-n", "2", "tests/doors/test_schemathesis.py", *session.posargs)


@nox.session
def nginx(session: nox.Session) -> None:
    """The streams of the routes behind the machine's own nginx, also over HTTP/2."""
    install(session, "dev", "nginx")
    session.run("pytest", "-q", "tests/doors/test_nginx.py", *session.posargs)


@nox.session
def notebook(session: nox.Session) -> None:
    """The notebook of the docs, in a kernel of Jupyter."""
    install(session, "dev", "notebook")
    session.run("pytest", "-q", "tests/doors/test_notebook.py", *session.posargs)


@nox.session
def cluster(session: nox.Session) -> None:
    """Batches over PostgreSQL, with a server of the tests' own, and with the branch coverage of `foxapi_async/cluster`."""
    install(session, "cluster,dev", "cluster")
    session.run("coverage", "erase")
    # `--omit` takes the place of the configuration's, which leaves these files to this session.
    measured = ["--omit=*/_ours.py"]
    files = "foxapi_async/cluster/*,foxapi_async/cli/_cluster.py,foxapi_async/cli/_cluster_batch.py,foxapi_async/cli/_cluster_worker.py"
    suite = ["-m", "pytest", "-q", "-n", "auto", "tests/cluster", *session.posargs]
    session.run("coverage", "run", *measured, *suite, env={"FOXAPI_TEST_CLUSTER": "1"})
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", f"--include={files}", "--fail-under=100")


@nox.session
def pictures(session: nox.Session) -> None:
    """The pictures of the README, by the page in the machine's own Chromium and a terminal."""
    install(session, "web,cli,emulator", "browser")
    session.run("python", "docs/pictures.py")


@nox.session
def docs(session: nox.Session) -> None:
    """The reference of the public names, into `build/reference`."""
    install(session, "fastapi,otel,cli,emulator", "docs")
    session.run(
        "pdoc",
        "-o",
        "build/reference",
        "foxapi_async",
        "foxapi_async.emulator",
        "foxapi_async.fastapi",
        *session.posargs,
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Rules and format."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types, as mypy and pyright see them."""
    install(session, "dev,speed,cluster")
    session.run("mypy", *session.posargs)
    # Else it takes the interpreter of a `.venv` beside the project.
    session.run("basedpyright", "--pythonpath", f"{session.bin}/python", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Every benchmark, each with its table; figures to read, not to pass. Names as arguments choose."""
    scripts = {script.stem: script for script in sorted(Path("benchmarks").glob("[!_]*.py"))}
    chosen = [name for name in scripts if not session.posargs or name in session.posargs]
    # A group of a benchmark's name holds what it compares with.
    groups = [name for name in chosen if name in PROJECT["dependency-groups"]]
    session.install("-e", ".", *nox.project.dependency_groups(PROJECT, *groups))
    for name in chosen:
        session.run("python", str(scripts[name]))
