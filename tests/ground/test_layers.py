"""The architecture, read from the imports: they go down one ordered list of packages, and never in a circle."""

from __future__ import annotations

import ast
import functools
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import foxapi_async

ROOT = Path(foxapi_async.__file__).parent

# The only list, from top to bottom. A package imports from those further down. `.` is the root itself.
DOORS = ["__main__", "cli", "pytest_plugin", "cluster", "page", "report", "fastapi", "telemetry", "_lightbox"]
CORE = [
    ".",
    "_public",
    "_batch",
    "_client",
    "_ledger",
    "_handles",
    "_files",
    "_retry",
    "_http",
    "_cadence",
    "_policy",
    "_wire",
    "models",
]
GROUND = ["_listener", "_options", "_errors", "_hints", "_display", "_threads", "_version"]
PACKAGES = [*DOORS, *CORE, *GROUND, "emulator"]
PURE = ["_cadence", "_policy", "_wire", "models", *(set(GROUND) - {"_threads"})]

# Doors are optional, so each is listed with the doors that it opens: `page` builds on the routes.
OPENS = {
    "__main__": {"cli"},
    "cli": {"cluster", "page", "report", "emulator"},
    "pytest_plugin": {"emulator"},
    "page": {"fastapi", "_lightbox"},
    "report": {"_lightbox"},
}
# Where each library is imported at run time. attrs is everywhere.
LIBRARIES = {
    "IPython": {"_handles"},
    "PIL": {"emulator"},
    "aiohttp": {"_http", "emulator"},
    "backoff": {"_retry"},
    "cattrs": {"_wire"},
    "fastapi": {"fastapi", "page"},
    "multidict": {"_http"},
    "openpyxl": {"_batch"},
    "opentelemetry": {"telemetry"},
    "procrastinate": {"cluster"},
    "psycopg": {"cluster"},
    "pydantic": {"fastapi"},
    "pytest": {"pytest_plugin"},
    "rich": {"cli"},
    "shtab": {"cli"},
    "starlette": {"fastapi", "page"},
    "uvicorn": {"page"},
    "uvloop": {"cli"},
    "yarl": {"_http"},
}
IMPURE = {"asyncio", "time", "random", "secrets", "socket", "threading"}
# Other processes read a batch's records, on other days. The doctor compares this machine's clock with the service's.
# A lease counts while the machine sleeps.
UNIX_TIMES = {"foxapi_async._batch.item", "foxapi_async.cli._doctor", "foxapi_async.cluster.lease"}
# The public names are imported when they are first used. Pillow is optional.
BY_NAME = {"foxapi_async", "foxapi_async.emulator._images"}

MODULES = {
    ".".join(("foxapi_async", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def package_of(module: str) -> str:
    """The file or folder directly below the root; `.` for the root itself."""
    return module.split(".")[1] if "." in module else "."


def walk(node: ast.AST, *, types: bool) -> Iterator[ast.AST]:
    """Every node. Without `types`, nodes below `if TYPE_CHECKING` are left out."""
    for child in ast.iter_child_nodes(node):
        if types or not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield child
            yield from walk(child, types=types)


@functools.cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


@functools.cache
def imports(module: str, *, types: bool = True) -> set[str]:
    """The full names of the modules that a module imports, also inside its functions."""
    found: set[str] = set()
    parent = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in walk(tree_of(module), types=types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = parent.split(".")[: len(parent.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else base for name in names}
    return found


def ours(module: str) -> set[str]:
    """The modules of this package that a module imports, also for types."""
    return imports(module) & set(MODULES)


def opened(package: str) -> set[str]:
    """The other packages that a package imports."""
    modules = [module for module in MODULES if package_of(module) == package]
    return {package_of(name) for module in modules for name in ours(module)} - {package}


def circles(modules: list[str]) -> set[str]:
    """Every chain of imports that leads back to its beginning."""
    done: set[str] = set()
    found: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            found.add(" -> ".join([*trail[trail.index(module) :], module]))
        elif module not in done:
            for name in ours(module):
                visit(name, (*trail, module))
            done.add(module)

    for module in modules:
        visit(module, ())
    return found


def test_the_list_names_every_package():
    """The list equals the packages on the disk: it is complete, and has no old names."""
    assert sorted(PACKAGES) == sorted({package_of(module) for module in MODULES})


def test_few_modules_lie_flat():
    """At most ten modules are directly in the package's folder."""
    assert len(list(ROOT.glob("*.py"))) <= 10


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_down_the_list(package):
    """A package imports only from packages further down, also for types and inside functions."""
    above = PACKAGES[: PACKAGES.index(package)]

    assert set() == opened(package) & set(above)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_door_is_opened_by_few(package):
    """Only the packages that should open a door, or the emulator, import it."""
    assert OPENS.get(package, set()) == opened(package) & {*DOORS, "emulator"}


def test_there_is_no_circle():
    """No chain of imports leads back to its beginning, in any package; imports inside functions count."""
    assert set() == circles(list(MODULES))


def test_the_emulator_imports_nothing_of_ours():
    """The emulator is an independent reading of the contract."""
    assert set() == opened("emulator")


def test_no_import_is_hidden():
    """No import by a text escapes these tests: only the root's public names and Pillow are imported so."""
    ways = {"importlib", "pkgutil", "runpy", "imp"}
    calls = {"__import__", "exec", "eval"}
    found = {
        module
        for module in MODULES
        if ways & imports(module)
        or calls & {node.id for node in walk(tree_of(module), types=True) if isinstance(node, ast.Name)}
    }

    assert BY_NAME == found


def test_libraries_stay_in_their_packages():
    """Exactly the packages that are listed for a library import it."""
    known = {*sys.stdlib_module_names, "foxapi_async", "attr", "attrs"}
    found: dict[str, set[str]] = {}
    for module in MODULES:
        for name in {name.split(".")[0] for name in imports(module, types=False)} - known:
            found.setdefault(name, set()).add(package_of(module))

    assert LIBRARIES == found


@pytest.mark.parametrize("module", [module for module in MODULES if package_of(module) in PURE])
def test_a_pure_module_imports_no_clock_and_no_chance(module):
    """Wire, rules, cadence, models and ground use no loop, clock, random source, socket or thread."""
    assert set() == IMPURE & {name.split(".")[0] for name in imports(module)}


@pytest.mark.parametrize("module", [module for module in MODULES if package_of(module) in PURE])
def test_a_pure_module_waits_for_nothing(module):
    """Wire, rules, cadence, models and ground have no `async` and no `await`."""
    kinds = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith

    assert [] == [ast.unparse(node) for node in walk(tree_of(module), types=True) if isinstance(node, kinds)]


def reads_a_wall_clock(module: str) -> bool:
    """Whether a module names a clock that is not the loop's."""
    clocks = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "now", "utcnow", "today"}
    owners = {"time", "datetime", "date", "dt"}
    return any(
        (isinstance(node, ast.ImportFrom) and node.module == "time")
        or (
            isinstance(node, ast.Attribute)
            and node.attr in clocks
            and ast.unparse(node.value).split(".")[-1] in owners
        )
        for node in walk(tree_of(module), types=True)
    )


def test_moments_are_the_loops():
    """Only these modules use `time.time`, `time.monotonic`, `datetime.now` and the like; the emulator has its own."""
    found = {module for module in MODULES if package_of(module) != "emulator" and reads_a_wall_clock(module)}

    assert UNIX_TIMES == found


@pytest.mark.parametrize(
    "script", sorted((ROOT.parent / "benchmarks").glob("*.py")), ids=lambda path: path.stem
)
def test_benchmarks_find_what_they_import(script):
    """The names that a benchmark imports from the package exist: benchmarks run too seldom to show this."""
    taken = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "foxapi_async"
        for alias in node.names
    ]
    missing = [
        f"{module}.{name}"
        for module, name in taken
        if f"{module}.{name}" not in MODULES and not hasattr(importlib.import_module(module), name)
    ]

    assert [] == missing
