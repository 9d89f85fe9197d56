"""How public objects show themselves: under the path that users import from, with public names only."""

from __future__ import annotations

import copy
import enum
import importlib
import inspect
import pickle
import subprocess
import sys
import traceback
import types
import typing
from pathlib import Path

import cattrs
import pytest

import foxapi_async
from foxapi_async import (
    Batch,
    FoxError,
    FoxSession,
    GeneratedImage,
    GrokImagineImage,
    Limits,
    SavedFile,
    TaskResult,
    UploadedFile,
    parse_request,
)
from foxapi_async.emulator import Emulator

SUBMODULES = ["cluster", "emulator", "fastapi", "models", "report", "telemetry"]


def shown(module: types.ModuleType) -> list[object]:
    """The classes and functions among the public names of a module."""
    values = [getattr(module, name) for name in module.__all__]
    return [value for value in values if isinstance(value, type | types.FunctionType)]


ROOT = shown(foxapi_async)
BELOW = [
    (f"foxapi_async.{name}", value)
    for name in SUBMODULES
    for value in shown(importlib.import_module(f"foxapi_async.{name}"))
    if value not in ROOT
]
CLASSES = [value for value in [*ROOT, *(value for _, value in BELOW)] if isinstance(value, type)]


def name_of(value: object) -> str:
    return getattr(value, "__qualname__", str(value))


@pytest.mark.parametrize("value", ROOT, ids=name_of)
def test_a_name_of_the_package_shows_the_package(value):
    """Each public class and function names `foxapi_async` as its module."""
    assert value.__module__ == "foxapi_async"


@pytest.mark.parametrize(("path", "value"), BELOW, ids=map(name_of, [value for _, value in BELOW]))
def test_a_name_of_a_submodule_shows_the_submodule(path, value):
    """A name that only a submodule exports names the submodule."""
    assert value.__module__ == path


@pytest.mark.thorough
def test_a_class_shows_its_path_before_it_is_taken_itself():
    """A session gives results whose class was never imported by the user. They show the public path, too."""
    program = """
from foxapi_async import FoxSession
import sys
print(sys.modules["foxapi_async._handles.result"].TaskResult)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "<class 'foxapi_async.TaskResult'>\n"


def test_a_traceback_names_an_error_by_its_public_path():
    """The last line of a traceback has the name that an `except` needs."""
    assert traceback.format_exception_only(FoxError("no luck")) == ["foxapi_async.FoxError: no luck\n"]


@pytest.mark.parametrize("cls", [*ROOT, *(value for _, value in BELOW)], ids=name_of)
def test_a_pickle_has_the_public_path(cls):
    """A pickle finds a class or function by its public path, so moving a private module breaks no pickle."""
    pickled = pickle.dumps(cls)

    assert b"._" not in pickled
    assert pickle.loads(pickled) is cls


@pytest.mark.thorough
def test_another_process_reads_a_pickle():
    """A process that has imported nothing reads a pickled result."""
    result = TaskResult(
        task_id="task-1",
        model="m",
        images=(GeneratedImage("https://x.test/a.png"),),
        usage={},
        elapsed=1.0,
        raw={},
    )
    program = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).images[0].url)"
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(result), capture_output=True, check=True
    )

    assert done.stdout.strip() == b"https://x.test/a.png"


def test_values_are_copied():
    """`copy` and `deepcopy` work on requests."""
    request = GrokImagineImage("a fox", num_outputs=2)

    assert (copy.copy(request), copy.deepcopy(request)) == (request, request)


@pytest.mark.parametrize("cls", CLASSES, ids=name_of)
def test_type_hints_are_found(cls):
    """`typing.get_type_hints` finds the types of each class; none is a text."""
    assert [] == [hint for hint in typing.get_type_hints(cls).values() if isinstance(hint, str)]


def test_type_hints_are_the_written_ones():
    """A field's type is the class of that name where it was written."""
    assert typing.get_type_hints(SavedFile) == {"path": Path, "sha256": str, "bytes": int}


def test_methods_have_type_hints():
    """`typing.get_type_hints` finds the types of a method."""
    assert typing.get_type_hints(FoxSession.generate)["return"] is TaskResult


def test_cattrs_structures_public_classes():
    """A user's converter makes public values, and takes them apart."""
    fields = {
        "connections": 7,
        "max_in_flight": None,
        "submits_per_second": 2.0,
        "polls_per_second": None,
    }
    converter = cattrs.Converter()

    assert converter.unstructure(converter.structure(fields, Limits)) == fields


@pytest.mark.parametrize("function", [FoxSession.submit, TaskResult.save, parse_request], ids=name_of)
def test_the_source_of_functions_is_found(function):
    """`inspect.getsource` shows methods and functions. It finds no classes: it reads the file of the path."""
    assert f"def {function.__name__}(" in inspect.getsource(function)


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if not inspect.isabstract(cls)], ids=name_of)
def test_dir_has_no_private_names(cls):
    """`dir()` of an object has public names, and those that Python has for every class."""
    value = next(iter(cls)) if issubclass(cls, enum.Enum) else cls.__new__(cls)

    assert [] == [name for name in dir(value) if name.startswith("_") and not name.startswith("__")]


def offers(value: object) -> set[str]:
    """What `dir()` lists, without the names that Python has for every class."""
    return {name for name in dir(value) if not name.startswith("__")}


IMAGE = {"content_type", "download", "raw", "read", "save", "task_id", "url"}
RESULT = {
    *("credits", "download", "elapsed", "images", "missing", "model"),
    *("raw", "save", "task_id", "texts", "usage", "values"),
}
SNAPSHOT = {
    *(
        "created",
        "error",
        "estimated_time",
        "finished",
        "has_results",
        "has_values",
        "id",
        "images",
        "model",
        "progress",
        "raw",
    ),
    *("status", "type", "usage"),
}
EVENT = {"elapsed", "final", "model", "progress", "remaining", "snapshot", "status", "task_id"}
SESSION = {
    "aclose",
    "open",
    *("as_completed", "attach", "credits", "events", "fetch", "generate", "models", "resume", "submit"),
    *("unfinished", "upload"),
}


async def test_dir_of_a_session_and_its_handles(tmp_path):
    """`dir()` of a session and all that it gives offers exactly what is documented."""
    async with Emulator(seconds=0.05) as emulator, FoxSession(emulator.key, base_url=emulator.url) as fox:
        handle = await fox.submit(GrokImagineImage("a fox"))
        steps = aiter(handle)
        event = await anext(steps)
        result = await handle
        uploaded = await fox.upload(b"abc", filename="a.png")
        found = {
            "session": offers(fox),
            "events": offers(fox.events()) & {"_pending", "aclose"},
            "as_completed": offers(fox.as_completed([])),
            "handle": offers(handle),
            "steps": offers(steps),
            "event": offers(event),
            "snapshot": offers(event.snapshot),
            "result": offers(result),
            "image": offers(result.images[0]),
            "upload": offers(uploaded),
            "credits": offers(await fox.credits()),
        }

    assert isinstance(uploaded, UploadedFile)
    assert found == {
        "session": SESSION,
        "events": {"aclose"},
        "as_completed": {"aclose", "stop"},
        "handle": {"done", "id", "snapshot", "stop", "wait"},
        "steps": set(),
        "event": EVENT,
        "snapshot": SNAPSHOT,
        "result": RESULT,
        "image": IMAGE,
        "upload": {"created", "filename", "id", "raw", "size", "url"},
        "credits": {"raw", "remaining"},
    }


async def test_dir_of_a_batch(tmp_path):
    """`dir()` of a batch, of its run and of an outcome offers exactly what is documented."""
    async with Emulator(seconds=0.05) as emulator, FoxSession(emulator.key, base_url=emulator.url) as fox:
        batch = Batch([GrokImagineImage("a fox")], tmp_path)
        run = batch.run(fox)
        outcomes = [outcome async for outcome in run]

    assert offers(batch) == {"expected", "from_file", "newly_spent", "out", "paused", "run", "spent", "tally"}
    assert offers(run) == {"aclose"}
    assert offers(outcomes[0]) == {"error", "files", "index", "key", "request", "result", "task_id"}
    assert offers(outcomes[0].files[0]) == {"bytes", "path", "sha256"}


def test_dir_of_the_emulator():
    """`dir()` of the emulator has no private names either."""
    assert "_service" not in dir(Emulator())
