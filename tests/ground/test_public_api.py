"""The public package: its names, their documentation, and the cost of its import.

How its objects show themselves is in `test_display.py`.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import foxapi_async
from foxapi_async import UNSET, Cadence, FoxSession, GenerationRequest, Limits, RetryPolicy, TaskHandle
from foxapi_async.models import MODELS

NAMES = [
    "FoxSession",
    "GrokImagineImage",
    "Gemini3ProImage",
    "Gemini31FlashImage",
    "RawRequest",
    "parse_request",
    "GenerationRequest",
    "Cadence",
    "Estimates",
    "PollPlan",
    "PlannedPoll",
    "Limits",
    "RetryPolicy",
    "UNSET",
    "TaskHandle",
    "TaskEvent",
    "Notice",
    "Attached",
    "Left",
    "Polled",
    "Polling",
    "Retried",
    "Saved",
    "SubmitFailed",
    "Submitted",
    "Submitting",
    "Throttled",
    "TaskSnapshot",
    "TaskResult",
    "GeneratedImage",
    "SavedFile",
    "Batch",
    "BatchOutcome",
    "Outcome",
    "UploadedFile",
    "AccountCredits",
    "FoxError",
    "InvalidRequestError",
    "ConfigurationError",
    "APIError",
    "BadRequestError",
    "AuthenticationError",
    "InsufficientQuotaError",
    "PermissionDeniedError",
    "NotFoundError",
    "PayloadTooLargeError",
    "UnprocessableError",
    "RateLimitError",
    "ServiceUnavailableError",
    "ServerError",
    "ConnectionFailedError",
    "UncertainSubmitError",
    "ResponseDecodeError",
    "TaskError",
    "TaskFailedError",
    "TaskCancelledError",
    "TaskTimeoutError",
    "TaskAbandonedError",
    "DownloadError",
    "LedgerError",
    "__version__",
]
PUBLIC = Path(foxapi_async.__file__).parent / "_public"


def test_the_list_is_sorted():
    """`__all__` is in alphabetical order."""
    assert sorted(foxapi_async.__all__) == foxapi_async.__all__


def test_each_name_is_written_once():
    """The modules of `_public` import each public name once, and nothing else."""
    written = [
        alias.name
        for path in sorted(PUBLIC.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]

    assert sorted([*written, "__version__"]) == foxapi_async.__all__


@pytest.mark.parametrize("name", NAMES)
def test_documented_names_exist(name):
    """Every name of the documentation can be imported from the package."""
    assert name in foxapi_async.__all__
    assert getattr(foxapi_async, name) is not None


def test_dir_offers_what_is_public():
    """`dir()` lists exactly `__all__`, and nothing else in the package is public except its submodules."""
    public = {
        name
        for name, value in vars(foxapi_async).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }

    assert sorted(foxapi_async.__all__) == dir(foxapi_async)
    assert public - {"TYPE_CHECKING"} <= set(foxapi_async.__all__)


def test_star_import():
    """`from foxapi_async import *` gives every public name."""
    namespace: dict[str, object] = {}
    exec("from foxapi_async import *", namespace)

    assert set(foxapi_async.__all__) <= set(namespace)


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name fails with the usual error."""
    with pytest.raises(AttributeError, match="'foxapi_async' has no attribute 'FoxSesion'"):
        foxapi_async.FoxSesion  # noqa: B018


def test_a_name_stays_the_same_object():
    """A name that was taken twice is one object, and later it is found without a search."""
    assert foxapi_async.FoxSession is vars(foxapi_async)["FoxSession"]


@pytest.mark.parametrize("name", [name for name in foxapi_async.__all__ if name != "__version__"])
def test_everything_is_documented(name):
    """Every public name has its own docstring, and so has every public method and property of a class."""
    value = getattr(foxapi_async, name)

    assert (value.__doc__ or "").strip()
    if inspect.isclass(value):
        assert value.__doc__ != next((base.__doc__ for base in value.__mro__[1:] if base.__doc__), None)
        for method, member in vars(value).items():
            if not method.startswith("_") and (callable(member) or isinstance(member, property)):
                assert inspect.getdoc(getattr(value, method)), method


def test_the_version_is_one():
    """`__version__` is the text that the distribution has."""
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", foxapi_async.__version__)


NO_DEFAULT = inspect.Parameter.empty
SIGNATURES = {
    FoxSession: (
        ["api_key"],
        {
            "api_key": None,
            "base_url": None,
            "cadence": Cadence(),
            "retry": RetryPolicy(),
            "limits": Limits(),
            "estimates": None,
            "task_timeout": 3600.0,
            "http": None,
            "hooks": (),
            "allow_http": False,
            "proxy": "environment",
        },
    ),
    FoxSession.submit: (["self", "request"], {"timeout": UNSET, "idempotency_key": None}),
    FoxSession.generate: (["self", "request"], {"timeout": UNSET}),
    FoxSession.attach: (["self", "task_id"], {"estimated_time": None, "timeout": UNSET}),
    FoxSession.fetch: (["self", "task_id"], {}),
    FoxSession.as_completed: (["self", "requests"], {"max_in_flight": None}),
    FoxSession.events: (["self"], {}),
    FoxSession.upload: (["self", "file"], {"filename": None}),
    FoxSession.credits: (["self"], {}),
    FoxSession.models: (["self"], {}),
    TaskHandle.wait: (["self", "timeout"], {"timeout": None}),
    TaskHandle.stop: (["self"], {}),
    TaskHandle.done: (["self"], {}),
    foxapi_async.GeneratedImage.save: (["self", "path"], {"overwrite": False}),
    foxapi_async.GeneratedImage.download: (["self", "path"], {"overwrite": False}),
    foxapi_async.GeneratedImage.read: (["self"], {}),
    foxapi_async.TaskResult.save: (["self", "directory"], {"overwrite": False}),
    foxapi_async.TaskResult.download: (["self", "directory"], {"overwrite": False}),
    foxapi_async.Batch: (
        ["requests", "out"],
        {
            "max_in_flight": None,
            "budget": None,
            "price": None,
            "resubmit_uncertain": False,
            "retry_failed": False,
            "other_origin": False,
            "rebuild_ledger": False,
        },
    ),
    foxapi_async.Batch.from_file: (
        ["path", "out"],
        {
            "model": "grok-imagine-image",
            "defaults": None,
            "format": None,
            "delimiter": None,
            "extra": "refuse",
            "max_in_flight": None,
            "budget": None,
            "price": None,
            "resubmit_uncertain": False,
            "retry_failed": False,
            "other_origin": False,
            "rebuild_ledger": False,
        },
    ),
    foxapi_async.SavedFile: (["path", "sha256", "bytes"], {}),
    foxapi_async.RawRequest: (
        ["model", "prompt"],
        {"prompt": None, "params": NO_DEFAULT, "path": "/v1/images/generations"},
    ),
    Limits: (
        [],
        {"connections": 100, "max_in_flight": None, "submits_per_second": None, "polls_per_second": None},
    ),
    RetryPolicy: (
        [],
        {
            "tries": 5,
            "connect_timeout": 10.0,
            "reply_timeout": 60.0,
            "grace": 10.0,
            "resubmit_uncertain": False,
        },
    ),
    foxapi_async.parse_request: (["mapping"], {}),
}


@pytest.mark.parametrize(
    ("function", "positional", "defaults"),
    [(function, *expected) for function, expected in SIGNATURES.items()],
    ids=[function.__qualname__ for function in SIGNATURES],
)
def test_signatures(function, positional, defaults):
    """Names, order and defaults are the documented ones; a name that is not listed as positional is keyword-only."""
    parameters = inspect.signature(function).parameters
    keywords = {p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY}
    given = {p.name: p.default for p in parameters.values() if p.default is not NO_DEFAULT}

    assert positional == [name for name in parameters if name not in keywords]
    assert set(defaults) | set(positional) == set(parameters)
    for name, default in defaults.items():
        assert default is NO_DEFAULT or default == given[name], name


def test_waiting_verbs_are_coroutines():
    """Calls that use the network are awaited; calls that only begin something are not."""
    waiting = [FoxSession.submit, FoxSession.generate, FoxSession.fetch, FoxSession.upload, TaskHandle.wait]
    plain = [FoxSession.attach, FoxSession.as_completed, FoxSession.events, TaskHandle.stop, TaskHandle.done]

    assert all(map(inspect.iscoroutinefunction, waiting))
    assert not any(map(inspect.iscoroutinefunction, plain))
    assert isinstance(FoxSession.unfinished, property)
    assert isinstance(TaskHandle.snapshot, property)


@pytest.mark.parametrize("cls", MODELS.values(), ids=MODELS)
def test_models_take_the_prompt_by_position(cls):
    """Every model's prompt may be positional; every other field is keyword-only."""
    parameters = list(inspect.signature(cls).parameters.values())

    assert parameters[0].name == "prompt"
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[1:])
    assert issubclass(cls, GenerationRequest)


OPTIONAL = [
    "cattrs",
    "rich",
    "PIL",
    "uvloop",
    "uvicorn",
    "opentelemetry",
    "sqlite3",
    "fastapi",
    "foxapi_async.emulator",
    "foxapi_async.cli",
    "foxapi_async.fastapi",
    "foxapi_async.page",
    "foxapi_async.report",
    "foxapi_async.telemetry",
]


def loaded(code: str) -> set[str]:
    """The modules that a new process has after running `code`."""
    script = f"{code}\nimport sys; print(*sys.modules)"
    # A coverage run measures subprocesses, too, and imports its own modules.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)
    return set(done.stdout.split())


def test_opening_the_door_is_cheap():
    """Importing everything public leaves out what only some users need; the bare package imports no aiohttp
    either.
    """
    everything = loaded("from foxapi_async import *")
    session = loaded("from foxapi_async import FoxSession, GrokImagineImage")
    bare = loaded("import foxapi_async")

    assert set(OPTIONAL) & everything <= {"sqlite3"}  # for batches
    assert set(OPTIONAL) & session == set()
    assert "aiohttp" in everything
    assert not {"aiohttp", "attrs", "attr", "asyncio"} & bare


def test_errors_and_requests_need_no_network():
    """A program that only makes requests or handles errors loads neither aiohttp nor sessions."""
    found = loaded("from foxapi_async import FoxError, RawRequest, parse_request")

    assert {"aiohttp", "foxapi_async._client", "foxapi_async._batch"} & found == set()
