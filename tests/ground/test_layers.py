"""The architecture, read from the imports: they go downward only, and the lower half touches nothing of the world."""

from __future__ import annotations

import ast
import functools
import importlib
from pathlib import Path

import pytest

import foxapi_async

ROOT = Path(foxapi_async.__file__).parent

# From the bottom to the top; a folder stands for all its modules.
LAYERS = {
    "words": "_version _errors _options _state _results _events _notices models",
    "rules": "_settings _schedule _durations _inspection _lifetable _mixture _beliefs _estimates _course _plan _cadence _pace _breaker _keys _lines _entries _job _content _calls _converter _wire _budget _ranges _refusals _verdicts",
    "edges": "_scope _allowance _http _file_client _transport _retry _files _source _estimates_file _lines_file _lines_check _file_lock _hooks _ledger_file _ledger_rows _writer _ledger _manifest",
    "verbs": "_refresh _downloads _post _api _task _alarm _crew _watch _deadlines _given_up _poller _streams _uploads _submits",
    "rooms": "_supply _submitter _series _feed _completed _engine _session _validation _intake _desk _item _under_way _run _outcomes _batch",
    "door": "foxapi_async",
    "optional doors": "__main__ cli pytest_plugin fastapi telemetry report cluster page emulator",
}
RANK = {part: rank for rank, parts in enumerate(LAYERS.values()) for part in parts.split()}
# The doors that open others: the commands hand out the emulator, the report and the page; the page is the routes' front.
BEHIND = {
    "__main__": {"cli"},
    "cli": {"emulator", "report", "page"},
    "pytest_plugin": {"emulator"},
    "page": {"fastapi"},
}
LOWER_HALF = [*LAYERS["words"].split(), *LAYERS["rules"].split()]

MODULES = {
    ".".join(("foxapi_async", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def part_of(module: str) -> str:
    """The file or folder directly below the package; the package itself is the door."""
    return module.split(".")[1] if "." in module else module


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node: ast.AST, *, types: bool = False):
    """Every node, without what stands below `if TYPE_CHECKING` unless `types` are asked for."""
    for child in ast.iter_child_nodes(node):
        if types or not is_for_types_only(child):
            yield child
            yield from walk(child, types=types)


@functools.cache
def imports(module: str, *, types: bool = False) -> set[str]:
    """What a module imports, also inside functions: full names of modules."""
    found: set[str] = set()
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in walk(ast.parse(MODULES[module].read_text()), types=types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else base for name in names}
    return found


OURS = {module: {name for name in imports(module) if name in MODULES} for module in MODULES}


def importers(library: str) -> set[str]:
    """The parts that import a library where it is run, not only where types are checked."""
    return {part_of(m) for m in MODULES if any(name.split(".")[0] == library for name in imports(m))}


def test_every_module_has_a_layer():
    """A new file is given its place in the table above."""
    assert {part_of(module) for module in MODULES} <= set(RANK)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward(module):
    """No module imports one of a higher layer, for types neither; the doors on top are imported by nobody."""
    part = part_of(module)
    names = {name for name in imports(module, types=True) if name in MODULES}
    others = {part_of(name) for name in names} - {part}

    assert all(RANK[other] <= RANK[part] for other in others), others
    doors = {other for other in others if RANK[other] == RANK["emulator"]}
    assert doors <= BEHIND.get(part, set())


def cycles(modules: list[str]) -> set[str]:
    """Every chain of imports that leads back to where it began."""
    done: set[str] = set()
    found: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            found.add(" -> ".join([*trail[trail.index(module) :], module]))
        elif module not in done:
            for name in OURS[module]:
                visit(name, (*trail, module))
            done.add(module)

    for module in modules:
        visit(module, ())
    return found


def test_no_cycles():
    """No chain of imports leads back to where it began, function-level imports included."""
    assert cycles([module for module in MODULES if part_of(module) not in {"emulator", *BEHIND}]) == set()


def test_no_cycles_in_the_emulator():
    """Nor do the emulator's modules import each other in a circle."""
    assert cycles([module for module in MODULES if part_of(module) == "emulator"]) == set()


def test_the_emulator_stands_alone():
    """The emulator is an independent reading of the contract: it imports nothing of ours."""
    names = {name for m in MODULES if part_of(m) == "emulator" for name in imports(m, types=True)}

    assert {part_of(name) for name in names if name in MODULES} <= {"emulator"}


def test_libraries_stay_in_their_places():
    """aiohttp is known to three edge modules and the emulator alone, backoff to the retry module."""
    assert importers("aiohttp") <= {"_http", "_transport", "_file_client", "emulator"}
    assert importers("backoff") == {"_retry"}
    assert importers("cattrs") == {"_converter"}


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) in LOWER_HALF])
def test_the_lower_half_is_pure(module):
    """Words and rules wait for nothing and know no clock and no chance."""
    tree = ast.parse(MODULES[module].read_text())
    waits = [
        n
        for n in walk(tree)
        if isinstance(n, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
    ]

    assert not {"asyncio", "time", "random", "secrets", "socket", "threading"} & imports(module)
    # Named exception: results are saved and read by methods, whose only business is to ask their port.
    if module == "foxapi_async._handles.result":
        return
    assert waits == []


def test_results_only_ask_their_port():
    """Every await of the results module is one of its port's two methods, or of `save` the `download` that asks it."""
    tree = ast.parse(MODULES["foxapi_async._handles.result"].read_text())
    awaited = [ast.unparse(node.value) for node in walk(tree) if isinstance(node, ast.Await)]

    assert awaited
    known = ("._port().save(", "._port().read(", "self.download(")
    assert all(any(words in call for words in known) for call in awaited)


# The records of a batch are read by other processes, on other days.
UNIX_TIMES = {"foxapi_async._batch.item"}


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) != "emulator" and m not in UNIX_TIMES])
def test_nobody_reads_the_wall_clock(module):
    """Moments are the loop's: `time.time`, `time.monotonic`, `datetime.now` and their like stand nowhere else."""
    tree = ast.parse(MODULES[module].read_text())
    clocks = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "now", "utcnow", "today"}
    owners = {"time", "datetime", "date", "dt"}
    calls = [
        ast.unparse(n)
        for n in walk(tree)
        if isinstance(n, ast.Attribute) and n.attr in clocks and ast.unparse(n.value).split(".")[-1] in owners
    ]
    named = [n for n in walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "time"]

    assert calls == []
    assert named == []


@pytest.mark.parametrize(
    "script", sorted((ROOT.parent / "benchmarks").glob("*.py")), ids=lambda path: path.stem
)
def test_benchmarks_find_what_they_import(script):
    """What a benchmark takes from the package is there: they are run too seldom to tell."""
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
