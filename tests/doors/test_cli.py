"""The command line, run as `main([...])` in this process; as a process if signals or terminals matter."""

import asyncio
import importlib
import io
import json
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from shell import PYTHON, on_a_terminal, point_to, start

from foxapi_async import (
    ConfigurationError,
    ConnectionFailedError,
    DownloadError,
    FoxError,
    FoxSession,
    InsufficientQuotaError,
    InvalidRequestError,
    NotFoundError,
    TaskAbandonedError,
    TaskFailedError,
    TaskTimeoutError,
    UnprocessableError,
    __version__,
)
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot
from foxapi_async._hints import Hint
from foxapi_async._wire import texts
from foxapi_async.cli import _exits, _job, _messages, _progress, _requests, _running, _screen, main
from foxapi_async.cli._parser import EXAMPLES, build_parser
from foxapi_async.cli._progress import ProgressRow
from foxapi_async.emulator import Fault, ThreadedEmulator
from foxapi_async.models import MODELS

pytestmark = pytest.mark.usefixtures("clean_place")
FOX = "a red fox in the snow"
FAST = ("--emulator", "--emulator-seconds", "0.1")
PRO = "gemini-3-pro-image-preview"
FLASH = "gemini-3.1-flash-image-preview"


@pytest.fixture
def slow_service(monkeypatch):
    """A service whose tasks take a minute."""
    with ThreadedEmulator(seconds=60) as emulator:
        point_to(emulator, monkeypatch)
        yield emulator


@pytest.fixture
def no_sending(monkeypatch):
    """Opening a session fails the test: everything must be refused before."""

    async def refuse(_self):
        pytest.fail("a session was opened")

    monkeypatch.setattr(FoxSession, "__aenter__", refuse)


def given(*words):
    """The request that a `generate` command line makes."""
    words = ["generate", *words]
    (request,) = _requests.read_requests(build_parser(words).parse_args(words))
    return request


def event(status="processing", *, progress=None, elapsed=0.0, remaining=None, final=False, task_id="t-1"):
    snapshot = TaskSnapshot(id=task_id, status=status)
    return TaskEvent(
        task_id=task_id,
        model="m",
        status=status,
        progress=progress,
        elapsed=elapsed,
        remaining=remaining,
        final=final,
        snapshot=snapshot,
    )


# generate


def test_generate_saves_real_images_and_prints_their_paths(foxapi):
    """The first command of the README saves two pictures, and standard output has only their paths."""
    code, out, err = foxapi("generate", FOX, *FAST, "-n", "2", "--out", "out")

    paths = [Path(line) for line in out.splitlines()]
    assert code == 0
    assert sorted(Path("out").iterdir()) == sorted(paths)
    assert len(paths) == 2
    for path in paths:
        with Image.open(path) as image:
            assert image.size == (1024, 1024)
    assert "nothing is billed" in err


def test_generate_as_json(foxapi, service):
    """With --json a finished task is one object on one line."""
    code, out, _ = foxapi("generate", FOX, "--json")

    told = json.loads(out)
    (task_id,) = service.tasks
    assert code == 0
    assert {"task_id", "model", "status", "files", "usage", "elapsed", "prompt"} == set(told)
    assert (task_id, "grok-imagine-image", "completed") == (told["task_id"], told["model"], told["status"])
    (file,) = told["files"]
    assert Path(file["path"]).is_file()
    assert file["url"].startswith(service.url)


def test_what_a_task_costs_is_reported(foxapi, service):
    """A real run ends with the credits that the service reserved for it."""
    _, _, err = foxapi("generate", FOX)

    assert re.search(r"1 image in \d+ s, [\d.]+ credits", err)


def test_the_emulator_ignores_the_account(foxapi, monkeypatch):
    """With --emulator the key and the address of the environment are ignored."""
    monkeypatch.setenv("FOXAPI_API_KEY", "broken\nkey")
    monkeypatch.setenv("FOXAPI_BASE_URL", "http://example.com")

    code, _, _ = foxapi("generate", FOX, *FAST)

    assert code == 0


def test_options_become_fields():
    """Options that are given are sent, the others are not."""
    request = given(
        FOX,
        "-m",
        FLASH,
        "--aspect-ratio",
        "21:9",
        "--resolution",
        "2K",
        "--google-search",
        "--no-image-search",
    )

    assert request.to_dict() == {
        "model": FLASH,
        "prompt": FOX,
        "aspect_ratio": "21:9",
        "resolution": "2K",
        "google_search": True,
        "image_search": False,
    }


def test_every_field_of_every_model_has_an_option(foxapi):
    """The options come from the models: none is missing."""
    _, out, _ = foxapi("generate", "--help")

    names = {spec.name for cls in MODELS.values() for spec in cls.fields()}
    for name in names - {"prompt", "image_urls", "num_outputs"}:
        assert f"--{name.replace('_', '-')}" in out
    assert "--image " in out
    assert "-n " in out


def test_images_are_paths_or_urls(tmp_path):
    """A value with a scheme stays a URL, everything else is a local file."""
    file = tmp_path / "fox.png"
    Image.new("RGB", (8, 8)).save(file)

    request = given(FOX, "--image", str(file), "--image", "https://x.example/1.png", "--image", "data:,x")

    assert [file, "https://x.example/1.png", "data:,x"] == request.to_dict()["image_urls"]


def test_several_prompts_run_together(foxapi, service):
    """Each --prompt is a submit; all are sent before the first is polled, and all images are saved."""
    code, out, err = foxapi("generate", "--prompt", "a fox", "--prompt", "a wolf", "-n", "2")

    methods = [record.method for record in service.requests]
    assert (0, ["POST", "POST", "GET"]) == (code, methods[:3])
    assert 4 == len(out.splitlines()) == service.billed_images
    assert sorted(map(str, Path("out").iterdir())) == sorted(out.splitlines())
    for prompt in ("a fox", "a wolf"):
        assert re.search(rf'submitted \S+ to grok-imagine-image: "{prompt}"$', err, re.MULTILINE)


def test_a_bare_prompt_and_another(foxapi, service):
    """--prompt adds a prompt to the one without an option."""
    assert 0 == foxapi("generate", FOX, "--prompt", "a wolf")[0]
    assert 2 == service.billed_images


def test_one_of_several_prompts_is_refused(foxapi, service):
    """A refused submit is named with its prompt, and does not affect the others; it decides the exit status."""
    service.add_fault(Fault.status("submit", 422, message="no"))
    code, out, err = foxapi("generate", "--prompt", "a fox", "--prompt", "a wolf")

    assert (2, 1) == (code, len(out.splitlines()))
    assert re.search(r'^foxapi: "a (fox|wolf)": .*no', err, re.MULTILINE)


def test_the_traceback_of_a_refusal(foxapi, service):
    """With --debug a refused submit shows its traceback."""
    service.add_fault(Fault.status("submit", 422, message="no"))

    assert "Traceback" in foxapi("generate", FOX, "--debug")[2]


def test_a_local_image_is_uploaded(foxapi, service, tmp_path):
    """A local file is stored at the service before the submit."""
    Image.new("RGB", (8, 8)).save(tmp_path / "fox.png")

    code, _, _ = foxapi("generate", FOX, "--image", "fox.png")

    posted = [record.path for record in service.requests if record.method == "POST"]
    assert code == 0
    assert posted == ["/v1/files/upload/stream", "/v1/images/generations"]


def test_a_prompt_from_standard_input(monkeypatch):
    """The prompt - is read from standard input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("a fox\nin two lines\n"))

    assert given("-").prompt == "a fox\nin two lines"


def test_standard_input_that_is_no_text(foxapi, monkeypatch, no_sending):
    """Bytes that are not text are refused in one line."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))

    code, _, err = foxapi("generate", "-", "--emulator")

    assert (code, err.count("\n")) == (2, 1)
    assert "standard input" in err


def test_a_prompt_that_begins_with_a_dash():
    """Everything after -- is the prompt."""
    assert given("-n", "2", "--", "-n fox").prompt == "-n fox"


def test_an_unknown_model_is_sent_as_it_is(foxapi, service):
    """The service knows more models than this package; options and --param become its fields."""
    code, _, _ = foxapi("generate", FOX, "-m", "gpt-image-1[fast]", "-n", "2")

    assert code == 0
    assert service.billed_images == 2


def test_params_are_json_or_text():
    """--param makes a raw request for any model; a value that is not JSON is text."""
    request = given(FOX, "--param", "seed=7", "--param", "style=oil paint", "--param", "a=b=c")

    assert request.params == {"seed": 7, "style": "oil paint", "a": "b=c"}
    assert request.path == "/v1/images/generations"


def test_another_endpoint():
    """--path sends to another endpoint, also without a prompt."""
    request = given("", "-m", "veo-3", "--path", "/v1/videos/generations")

    assert (request.model, request.prompt, request.path) == ("veo-3", None, "/v1/videos/generations")


# refusals


REFUSALS = {
    "no prompt": (["generate"], "PROMPT"),
    "a second bare word": (["generate", "a", "red", "fox"], "a second prompt: 'red'; quote the prompt"),
    "a bare word at the end": (["generate", "a", "-n", "2", "fox"], "quote the prompt"),
    "a bare word for wait": (["wait", "t", "-q", "u"], "unrecognized arguments: u"),
    "an option that is nearly one": (
        ["generate", "fox", "--ratio", "1:1"],
        "foxapi generate: no such option: --ratio; did you mean --aspect-ratio? (see foxapi generate --help)",
    ),
    "an option like no other": (
        ["models", "--xyzzy=1"],
        "no such option: --xyzzy (see foxapi models --help)",
    ),
    "one of several is blank": (["generate", "--prompt", FOX, "--prompt", " "], 'PROMPT=" "'),
    "no number": (["generate", FOX, "-n", "two"], "invalid int value"),
    "no pair": (["generate", FOX, "--param", "x"], "KEY=VALUE"),
    "timeout": (["generate", FOX, "--timeout", "-1"], "must be a number above 0"),
    "endless timeout": (["generate", FOX, "--timeout", "inf"], "must be a number above 0"),
    "timeout text": (["generate", FOX, "--timeout", "soon"], "must be a number above 0"),
    "abbreviation": (["generate", FOX, "--asp", "1:1"], "--asp"),
    "unknown command": (["xyzzy", FOX], "foxapi: no such command: xyzzy (see foxapi --help)\n"),
    "a command that is nearly one": (
        ["genrate", FOX],
        "foxapi: no such command: genrate; did you mean generate? (see foxapi --help)\n",
    ),
    "a choice that is none": (["completion", "zs"], "invalid choice: 'zs'"),
    "blank prompt": (["generate", " "], 'PROMPT=" ": allowed values are non-blank texts'),
    "count": (["generate", FOX, "-n", "9"], "--num-outputs=9: allowed values are whole numbers from 1 to 4"),
    "two problems": (["generate", FOX, "-n", "9", "--aspect-ratio", "7:7"], '--aspect-ratio="7:7"'),
    "no such field": (["generate", FOX, "-m", PRO, "-n", "2"], f"-n: {PRO} has no num_outputs"),
    "field of another": (["generate", FOX, "--resolution", "2K"], "--resolution: grok-imagine-image has no"),
    "a typo": (["generate", FOX, "-m", "grok-imagin-image"], "did you mean grok-imagine-image?"),
    "no image": (["generate", FOX, "--image", "none.png"], "--image none.png: No such file"),
    "a folder": (["generate", FOX, "--image", "."], "--image .: Is a directory"),
    "an empty image": (["generate", FOX, "--image", os.devnull], "not a regular file"),
    "a null byte": (["generate", FOX, "--image", "a\0b"], "a\\x00b: embedded null"),
    "a strange scheme": (["generate", FOX, "--image", "ftp://x/1.png"], "give a local file"),
    "out is a file": (["generate", FOX, "--out", __file__], "a file has that name"),
    "out below a file": (["generate", FOX, "--out", f"{__file__}/x"], "Not a directory"),
    "out with a null": (["generate", FOX, "--out", "a\0b"], "embedded null"),
    "out as an image": (["generate", FOX, "--out", "fox.png"], "give a name without .png"),
    "no data URI": (
        ["generate", FOX, "--image", "data:x"],
        '--image[0]="data:x": neither an http(s) URL nor a data URI',
    ),
    "a ratio without its image": (
        ["generate", FOX, "-m", PRO, "--aspect-ratio", "match_input_image"],
        '--aspect-ratio="match_input_image": only allowed with --image; give --image or another --aspect-ratio',
    ),
    "a raw model": (["generate", FOX, "-m", "", "--param", "a=1"], '--model="": must be a model id'),
    "a raw path": (["generate", FOX, "--path", "x"], '--path="x": must be an endpoint'),
    "a raw number": (["generate", FOX, "--param", "a=NaN"], "--param a=nan: JSON cannot hold this number"),
    "a raw field": (
        ["generate", FOX, "--param", "model=x"],
        '--param["model"]: give it as the argument --model',
    ),
    "a slash in an id": (["wait", "a/b"], "'a/b' is not a task id: an id is one path segment"),
    "a slash in the id": (["status", "../b"], "one path segment"),
    "upload of a url": (["upload", "https://x.example/1.png"], "a URL already"),
    "upload of nothing": (["upload", "none.png"], "FILE none.png: No such file"),
    "upload of a strange scheme": (["upload", "ftp://x/1.png"], "FILE ftp://x/1.png: give a local file"),
}


@pytest.mark.parametrize(("words", "text"), REFUSALS.values(), ids=REFUSALS)
def test_bad_input_is_refused_in_one_line(foxapi, no_sending, words, text):
    """An invalid command exits 2 with one line that says what to do, before anything is sent."""
    emulated = ["--emulator"] if words[0] in {"generate", "wait", "status", "upload"} else []
    code, out, err = foxapi(*words[:1], *emulated, *words[1:])

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert text in err


ACCOUNTS = {
    "no key": ({}, "no API key; set FOXAPI_API_KEY, or use --emulator, which needs no key"),
    "empty": ({"FOXAPI_API_KEY": " "}, "FOXAPI_API_KEY"),
    "line break": ({"FOXAPI_API_KEY": "a\nb"}, "in one piece"),
    "http": (
        {"FOXAPI_API_KEY": "sk-12345", "FOXAPI_BASE_URL": "http://x.example"},
        "the base URL 'http://x.example' would send the key unencrypted",
    ),
    "http and its permission": (
        {"FOXAPI_API_KEY": "sk-12345", "FOXAPI_BASE_URL": "http://x.example"},
        "use https, or allow http with FOXAPI_ALLOW_HTTP=1",
    ),
    "no address": (
        {"FOXAPI_API_KEY": "sk-12345", "FOXAPI_BASE_URL": "x.example"},
        "the base URL 'x.example' is not an address such as https://api.foxapi.cc; change FOXAPI_BASE_URL",
    ),
    "a password": (
        {"FOXAPI_API_KEY": "sk-12345", "FOXAPI_BASE_URL": "https://a:b@x.example"},
        "the base URL has a user name or password in it",
    ),
}


@pytest.mark.parametrize(("settings", "text"), ACCOUNTS.values(), ids=ACCOUNTS)
@pytest.mark.parametrize(
    "words", [("generate", FOX), ("wait", "t-1"), ("status", "task-1"), ("upload", "fox.png"), ("credits",)]
)
def test_an_unusable_account_exits_3(foxapi, monkeypatch, no_sending, settings, text, words):
    """An unusable key or address is reported in one line, and no folder is made."""
    Path("fox.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    code, _, err = foxapi(*words)

    assert (code, err.count("\n")) == (3, 1)
    assert text in err
    assert not Path("out").exists()


def test_a_pipe_is_no_image(foxapi, no_sending):
    """A pipe is refused at once: reading it would wait until another program writes to it."""
    os.mkfifo("pipe")

    assert (2, "foxapi: --image pipe: not a regular file\n") == foxapi("generate", FOX, "--image", "pipe")[
        ::2
    ]


def test_a_text_is_no_image(foxapi, no_sending):
    """A text is refused before anything is sent."""
    Path("notes.png").write_text("mine")
    code, _, err = foxapi("generate", FOX, "--image", "notes.png")

    assert (2, "foxapi: --image notes.png: the file is a text, not an image\n") == (code, err)


def test_an_unwritable_folder(foxapi, monkeypatch, no_sending):
    """An unwritable folder is noticed before anything is billed."""

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_requests.tempfile, "TemporaryFile", refuse)
    code, _, err = foxapi("generate", FOX, "--emulator")

    assert code == 2
    assert "--out out: Permission denied; give a folder that can be written to" in err


def test_a_wish_beyond_the_known_id_is_meant(no_sending):
    """A known id with a vendor before it or a variant after it is not a typo."""
    assert f"google/{PRO}[fast]" == given(FOX, "-m", f"google/{PRO}[fast]").model


# failures


@pytest.mark.parametrize(
    ("status", "code"), [(401, 3), (402, 3), (403, 3), (400, 2), (422, 2), (413, 2), (404, 1), (500, 1)]
)
def test_a_refused_submit(foxapi, service, status, code):
    """The account exits 3, a request that the service refuses 2, everything else 1."""
    service.add_fault(Fault.status("submit", status, message="no\x1b[2J!"))

    got, out, err = foxapi("generate", FOX)

    assert (code, "", 2) == (got, out, err.count("\n"))
    assert err.startswith(f"foxapi: sending to {service.url}\n")
    assert f"HTTP {status}" in err
    assert "\x1b" not in err


def test_a_failed_task_exits_1(foxapi, service):
    """A task that the service fails is reported with its reason, without a command to resume it."""
    service.add_fault(Fault.fails(code="content_policy_violation"))

    code, out, err = foxapi("generate", FOX)

    assert (code, out) == (1, "")
    assert "content_policy_violation" in err
    assert "resume" not in err


def test_a_failure_as_json(foxapi, service):
    """With --json an error is one object on one line, with its effect on the bill."""
    service.add_fault(Fault.fails(code="content_policy_violation"))

    code, out, _ = foxapi("--json", "generate", FOX)

    told = json.loads(out)["error"]
    (task_id,) = service.tasks
    assert code == 1
    assert ("TaskFailedError", task_id, "unknown", False) == (
        told["type"],
        told["task_id"],
        told["charged"],
        told["retryable"],
    )
    assert told["code"] == "content_policy_violation"


def test_invalid_input_as_json(foxapi):
    """A refusal lists its problems."""
    _, out, _ = foxapi("generate", FOX, "-n", "9", "--aspect-ratio", "7:7", "--json")

    told = json.loads(out)["error"]
    assert (told["type"], told["charged"], len(told["problems"])) == ("InvalidRequestError", "no", 2)


def test_a_timeout_reports_how_to_resume(foxapi, slow_service):
    """A task that takes too long continues: the output has its id and the command that waits for it."""
    code, out, err = foxapi("generate", FOX, "--timeout", "0.5", "--out", "my folder")

    (task_id,) = slow_service.tasks
    assert (code, out) == (1, "")
    assert f"task {task_id} has not finished within 0.5 s" in err
    assert f"still running (and billed): {task_id}  resume: foxapi wait {task_id} --out 'my folder'\n" in err


def test_a_timeout_at_the_emulator_has_nothing_to_resume(foxapi):
    """The tasks of --emulator end with the command."""
    code, _, err = foxapi("generate", FOX, "--emulator", "--emulator-seconds", "60", "--timeout", "0.3")

    assert code == 1
    assert "resume" not in err


def test_a_failed_download_can_be_resumed(foxapi, service):
    """Images that could not be fetched are paid for: `wait` with --overwrite fetches all of them."""
    service.add_fault(Fault.status("file", 404))

    code, out, err = foxapi("generate", FOX, "-n", "2")
    (task_id,) = service.tasks
    assert (code, out) == (1, "")
    assert f"finished, but not saved: {task_id}  resume: foxapi wait {task_id} --out out --overwrite" in err

    code, out, _ = foxapi("wait", task_id, "--out", "out", "--overwrite")
    assert (code, len(out.splitlines())) == (0, 2)


def test_an_unreachable_service(foxapi, monkeypatch):
    """An unreachable service gives one line after the first one, and exit 1."""
    monkeypatch.setenv("FOXAPI_API_KEY", "sk-12345")
    monkeypatch.setenv("FOXAPI_BASE_URL", "http://127.0.0.1:9")

    sleep = asyncio.sleep

    async def at_once(_seconds):
        await sleep(0)

    monkeypatch.setattr("backoff._async.asyncio.sleep", at_once)
    code, out, err = foxapi("status", "t-1")

    assert (code, out, err.count("\n")) == (1, "", 2)
    assert err.endswith("; check the network and FOXAPI_BASE_URL\n")


@pytest.mark.parametrize(
    ("words", "hinted"),
    [
        (["-n", "9"], False),
        (["--image", "data:x"], False),
        (["-m", PRO, "--aspect-ratio", "match_input_image"], False),
        (["--aspect-ratio", "7:7"], True),
        (["--resolution", "2K"], True),
    ],
)
def test_param_is_offered_where_the_service_may_know_more(foxapi, no_sending, words, hinted):
    """Only for a field or choice that the SDK does not know may the service have added it."""
    _, _, err = foxapi("generate", FOX, *words)

    assert hinted == ("--param KEY=VALUE" in err)


def test_a_submit_without_an_answer(foxapi, service):
    """For a submit that may have been billed, the advice is in the terms of the command line, also as JSON."""
    service.add_fault(Fault.cut_after("submit"))

    code, out, err = foxapi("generate", FOX, "--json")

    told = json.loads(out)["error"]
    assert (1, "UncertainSubmitError", "unknown") == (code, told["type"], told["charged"])
    assert "check your account before you send it again" in err
    assert not PYTHON.search(told["message"])


def test_an_id_that_arrives_after_the_time_is_named(foxapi, service):
    """A submit that was abandoned may still get its id: the output has the command that continues with it."""
    service.add_fault(Fault.slow("submit", 1.0))

    code, out, err = foxapi("generate", FOX, "--timeout", "0.3")

    (task_id,) = service.tasks
    assert (1, "") == (code, out)
    assert f"still running (and billed): {task_id}  resume: foxapi wait {task_id} --out out\n" in err


def test_a_folder_in_the_way_of_an_image(foxapi, service):
    """A folder with an image's name asks for another output folder."""
    foxapi("generate", FOX, "-q")
    (task_id,) = service.tasks
    Path("else", f"{task_id}-1").mkdir(parents=True)

    code, _, err = foxapi("wait", task_id, "--out", "else")

    assert code == 1
    assert re.search(r"is a directory \(\S+\); choose another --out$", err, re.MULTILINE)


def completed(service, foxapi, **fields):
    """From now on every status read shows a completed task with one image."""
    _, out, _ = foxapi("generate", FOX, "--json")
    url = json.loads(out)["files"][0]["url"]
    body = json.dumps({"status": "completed", "results": [{"url": url}], **fields}).encode()
    service.add_fault(Fault.garbage("poll", body=body, times=None))


@pytest.mark.parametrize(
    ("usage", "cost"), [({}, ""), ({"credits_reserved": [5]}, ""), ({"credits_reserved": 5}, ", 5 credits")]
)
def test_unreadable_usage_is_left_out(foxapi, service, usage, cost):
    """Only a number is shown as a cost."""
    completed(service, foxapi, usage=usage)

    _, _, err = foxapi("generate", FOX)

    assert re.search(rf"1 image in \d+ s{cost}$", err, re.MULTILINE)


@pytest.mark.parametrize("words", [["wait", "--out", "else"], ["status"]])
def test_a_model_that_is_not_named_is_null(foxapi, service, words):
    """With --json a model is a text or null, never an empty text."""
    completed(service, foxapi)

    (task_id,) = service.tasks

    _, out, _ = foxapi(*words, task_id, "--json")

    assert json.loads(out)["model"] is None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            TaskAbandonedError("the session was closed before task t finished", hint=Hint.RESUME_TASK),
            "the session was closed before task t finished",
        ),
        (
            DownloadError("a.png exists already", hint=Hint.OVERWRITE),
            "a.png exists already; choose another --out, or use --overwrite",
        ),
        (FoxError(), "FoxError"),
        (
            InvalidRequestError(problems=["a", "b"], hint=Hint.SEND_RAW),
            "2 problems: a; b; to send a field unchecked, use --param KEY=VALUE with the model's endpoint as --path",
        ),
    ],
)
def test_lines_name_commands(error, line):
    """An error's one line has the advice in the words of a shell, for people and as JSON."""
    assert _messages.object_of(error)["error"]["message"] == line


@pytest.mark.parametrize("hint", Hint)
def test_no_advice_speaks_python(hint):
    """Whatever the hint, the line of an error has nothing in it that only a programmer would type."""
    line = _messages.message_of(FoxError("it broke", hint=hint))

    assert line.startswith("it broke")
    assert not PYTHON.search(line)


@pytest.mark.parametrize(
    ("error", "code", "resumable"),
    [
        (ConfigurationError("x"), 3, False),
        (InsufficientQuotaError("x", status=402, task_id="t"), 3, True),
        (InvalidRequestError("x"), 2, False),
        (UnprocessableError("x", task_id="t"), 1, True),
        (NotFoundError("x", task_id="t"), 1, False),
        (TaskFailedError("x", task_id="t"), 1, False),
        (TaskTimeoutError("x", task_id="t"), 1, True),
        (DownloadError("x", task_id="t"), 1, True),
        (ConnectionFailedError(), 1, False),
    ],
)
def test_each_error_has_its_exit_status_and_command(error, code, resumable):
    """The exit status depends on who must act, and the resume command on whether the task can still give a result."""
    assert (code, resumable) == (_exits.status_of(error), _exits.is_resumable(error))
    assert _messages.message_of(error)


def test_a_bug_is_one_line(foxapi, monkeypatch):
    """A bug of the SDK shows no traceback, and says how to see it."""
    monkeypatch.setattr(_requests, "read_requests", lambda _: 1 / 0)

    code, out, err = foxapi("generate", FOX)
    assert (code, out) == (1, "")
    assert err == "foxapi: internal error: ZeroDivisionError: division by zero (--debug shows where)\n"

    code, _, err = foxapi("--debug", "generate", FOX)
    assert code == 1
    assert "Traceback" in err


# status, wait, upload, models, credits, emulator


def test_status_reads_the_task_once(foxapi, service):
    """`status` reads the task once and prints one line."""
    foxapi("generate", FOX, "-n", "2")
    (task_id,) = service.tasks
    polls = len(service.requests)

    code, out, _ = foxapi("status", task_id)

    assert code == 0
    assert f"{task_id}  completed  2 images  grok-imagine-image\n" == out
    assert len(service.requests) - polls == 1


def test_status_of_a_running_task(foxapi, slow_service):
    """A running task is shown with its progress."""
    foxapi("generate", FOX, "--timeout", "0.3", "-q")
    (task_id,) = slow_service.tasks

    _, out, _ = foxapi("status", task_id)

    assert re.fullmatch(rf"{task_id}  \w+  [\d.]+ %  grok-imagine-image\n", out)


def test_status_as_json(foxapi, service):
    """With --json it is the whole reply, also for a failed task."""
    service.add_fault(Fault.fails(code="c", message="m\x07"))
    foxapi("generate", FOX)
    (task_id,) = service.tasks

    code, out, _ = foxapi("status", task_id, "--json")
    told = json.loads(out)
    assert (0, task_id, "failed", True) == (code, told["task_id"], told["status"], told["finished"])
    assert (told["error"]["code"], told["error"]["message"]) == ("c", "m\x07")

    _, out, _ = foxapi("status", task_id)
    assert "c: m" in out


def test_status_of_an_unknown_task(foxapi, service):
    """An id that the service does not know exits 1."""
    code, out, err = foxapi("status", "task-none")

    assert (code, out, err.count("\n")) == (1, "", 2)
    assert err.startswith(f"foxapi: asking {service.url}\nfoxapi: HTTP 404")


NO_FOLDERS = {
    "an unknown name": (
        "nowhere",
        "there is no folder 'nowhere' here, and the service has no such task: HTTP 404",
    ),
    "a path": (
        "a/b",
        "there is no folder 'a/b' here, and no task can be looked up: 'a/b' is not a task id",
    ),
    "a long name": ("x" * 300, "there is no folder 'xxx"),
    "a file": ("fox.png", "fox.png is a file; give the folder of a batch, or a task id"),
}


@pytest.mark.parametrize(("name", "text"), NO_FOLDERS.values(), ids=NO_FOLDERS)
def test_status_of_neither_a_folder_nor_a_task(foxapi, service, name, text):
    """A mistyped folder is named as that, with exit status 2."""
    Path("fox.png").touch()
    code, out, err = foxapi("status", name)

    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"foxapi: {text}")


@pytest.mark.parametrize(("name", "code"), [("nowhere", 2), ("task-1", 3)])
def test_status_without_a_key(foxapi, name, code):
    """A name that is no folder is no reason to ask for a key alone."""
    got, _, err = foxapi("status", name)

    assert (got, err.count("\n")) == (code, 1)
    assert ("no folder 'nowhere'" in err) == (name == "nowhere")
    assert "no API key; set FOXAPI_API_KEY" in err


def test_wait_saves_several_tasks(foxapi, service):
    """`wait` follows all its tasks at once; a failed one does not affect the others, and decides the exit status."""
    foxapi("generate", FOX, "--out", "first")
    service.add_fault(Fault.fails(code="c"))
    foxapi("generate", FOX)
    good, bad = service.tasks

    code, out, err = foxapi("wait", good, bad, good)

    assert (code, len(out.splitlines())) == (1, 1)
    assert Path(out.strip()).is_file()
    assert bad in err


def test_wait_does_not_overwrite(foxapi, service):
    """An existing file is an error that names the option."""
    foxapi("generate", FOX)
    (task_id,) = service.tasks

    code, _, err = foxapi("wait", task_id)

    assert code == 1
    assert "exists already" in err
    assert f"foxapi wait {task_id} --out out --overwrite" in err


def test_upload_prints_the_url(foxapi, service, tmp_path):
    """`upload` prints the URL, and with --json the whole receipt."""
    Image.new("RGB", (8, 8)).save(tmp_path / "fox.png")

    code, out, _ = foxapi("upload", "fox.png")
    assert code == 0
    assert re.fullmatch(r"http://\S+\n", out)

    _, out, err = foxapi("upload", "fox.png", "--json", "--quiet")
    told = json.loads(out)
    assert (told["filename"], err) == ("fox.png", "")
    assert told["url"].startswith("http")


def test_models_are_listed(foxapi):
    """`models` lists each model with its options, the default one first."""
    code, out, err = foxapi("models")

    heads = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert (code, err) == (0, "")
    assert heads[:3] == ["grok-imagine-image (default)", PRO, FLASH]
    assert "19.5:9" in out


def test_models_as_json(foxapi):
    """With --json each model is one object with its fields."""
    _, out, _ = foxapi("models", "--json")

    told = [json.loads(line) for line in out.splitlines()]
    assert set(MODELS) <= {item["model"] for item in told if item["class"]}
    assert [f["name"] for f in told[0]["fields"] if f["maximum"] == 4] == ["num_outputs"]


def test_credits_are_shown(foxapi, service):
    """`credits` prints what remains, and then each field of the reply."""
    foxapi("generate", FOX)
    code, out, err = foxapi("credits")

    assert (0, f"foxapi: asking {service.url} for the credits of the key\n") == (code, err)
    assert out == "remaining: 999995\ncredits_used: 5\ncredits_remaining: 999995\n"


def test_credits_as_json(foxapi, service):
    """With --json it is one object with the whole reply."""
    code, out, _ = foxapi("credits", "--json")

    reply = {"credits_used": 0, "credits_remaining": 1000000}
    assert (0, {"remaining": 1000000, "raw": reply}) == (code, json.loads(out))


def test_credits_of_the_emulator(foxapi):
    """With --emulator no key is needed."""
    code, out, _ = foxapi("credits", "--emulator")

    assert (0, "remaining: 1000000") == (code, out.splitlines()[0])


CREDIT_LINES = {
    "an unknown number": ({"plan": "free"}, ["plan: free"]),
    "the same name": ({"remaining": 5}, ["remaining: 5"]),
    "the same name with another number": (
        {"remaining": 9, "user": {"balance": 5}},
        ["remaining: 5", "remaining: 9", 'user: {"balance": 5}'],
    ),
    "words of JSON": ({"vip": True, "ends": None, "ids": ["ü"]}, ["vip: true", "ends: null", 'ids: ["ü"]']),
    "control characters": ({"plan": "a\nb\x1b"}, ["plan: a\\nb\\x1b"]),
}


@pytest.mark.parametrize(("reply", "lines"), CREDIT_LINES.values(), ids=CREDIT_LINES)
def test_each_field_of_the_credits_is_one_line(foxapi, service, reply, lines):
    """A text stands as it is, and every other value as JSON."""
    service.add_fault(Fault.status("other", 200, body=json.dumps(reply).encode()))
    code, out, _ = foxapi("credits")

    assert (0, lines) == (code, out.splitlines())


@pytest.mark.parametrize(("status", "code"), [(401, 3), (402, 3), (404, 1), (422, 2)])
def test_credits_that_are_refused(foxapi, service, status, code):
    """The exit status is that of the error, which is one line."""
    service.add_fault(Fault.status("other", status))
    got, out, err = foxapi("credits")

    assert (code, "", 2) == (got, out, err.count("\n"))
    assert f"foxapi: HTTP {status}" in err


def test_no_arguments_print_help(foxapi):
    """Without a command the help goes to standard error, and the exit status is 2."""
    code, out, err = foxapi()

    assert (code, out) == (2, "")
    assert "generate" in err


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["wait", "--help"], ["emulator", "--help"]])
def test_asking_for_words_exits_0(foxapi, words):
    """Version and help go to standard output."""
    code, out, err = foxapi(*words)

    assert (code, err) == (0, "")
    assert __version__ in out or "--json" in out


def test_the_arguments_of_the_process(monkeypatch, capsys):
    """Without arguments, main reads those of the process."""
    monkeypatch.setattr(sys, "argv", ["foxapi", "--version"])

    assert main() == 0
    assert f"foxapi-async {__version__}\n" == capsys.readouterr().out


def test_the_program_is_the_command_line(monkeypatch, capsys):
    """`foxapi_async.__main__` runs this process's command line, and does not change Ctrl-C."""
    monkeypatch.setattr(sys, "argv", ["foxapi", "--version"])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert 0 == importlib.import_module("foxapi_async.__main__").main()
        assert __version__ in capsys.readouterr().out
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_ignored_interrupt_stays_ignored(monkeypatch):
    """A program that is started with Ctrl-C ignored, as shells do in the background, also ignores it while it
    imports.
    """
    monkeypatch.setattr(sys, "argv", ["foxapi", "--version"])
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert 0 == importlib.import_module("foxapi_async.__main__").main()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_while_it_imports():
    """Ctrl-C while the program imports ends it at once, without a traceback, and is never lost."""
    program = """
import foxapi_async.__main__, os, signal, sys

class Interrupting:
    def find_spec(self, name, *rest):
        if name == "foxapi_async.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
foxapi_async.__main__.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (-signal.SIGINT, "", "") == (done.returncode, done.stdout, done.stderr)


def test_the_emulator_command_delegates(foxapi):
    """`foxapi emulator` has the options of the emulator, and its exit status."""
    code, _, err = foxapi("emulator", "--seconds", "-1")

    assert code == 2
    assert "seconds" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["emulator"], 1, "foxapi emulator: "),
        pytest.param(["serve", "--emulator", "--out", "page"], 3, "foxapi: ", id="serve"),
    ],
)
def test_a_port_in_use(foxapi, words, code, said):
    """The message names the port, and the option that takes another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        got, _, err = foxapi(*words, "--port", str(port))

    advice = "give another with --port, or --port 0 for any free one"
    assert (got, err.splitlines()[-1]) == (code, f"{said}port {port} of 127.0.0.1 is in use; {advice}")


@pytest.mark.parametrize("port", ["99999", "100000", "-1", "x"])
def test_an_impossible_port_of_the_emulator(foxapi, port):
    """It is a wrong option."""
    code, _, err = foxapi("emulator", "--port", port)

    assert code == 2
    assert f"must be a port from 0 to 65535; got {port!r}" in err


def test_an_address_of_another_machine(foxapi):
    """The emulator reports an address that is not of this machine, and exits 1."""
    code, _, err = foxapi("emulator", "--host", "192.0.2.1", "--port", "0")

    assert (code, "192.0.2.1" in err) == (1, True)


# streams


def test_nothing_but_errors_when_quiet(foxapi):
    """With --quiet a successful run writes nothing to standard error."""
    code, out, err = foxapi("generate", FOX, *FAST, "--quiet")

    assert (code, err, len(out.splitlines())) == (0, "", 1)


def test_changes_of_status_are_reported_line_by_line(foxapi, service):
    """If standard error is not a terminal, each new status is one line, and no line is rewritten."""
    _, _, err = foxapi("generate", FOX)

    (task_id,) = service.tasks
    assert re.search(rf"^foxapi: submitted {task_id} to grok-imagine-image$", err, re.MULTILINE)
    assert err.count(f"{task_id}: completed after") == 1
    assert "\r" not in err


def test_the_log_is_shown_in_plain_lines(foxapi, monkeypatch):
    """Warnings of the package are single lines without control characters; -v shows more; the logger is restored."""
    log = logging.getLogger("foxapi_async")
    before = (list(log.handlers), log.level)

    def read(_):
        log.info("a detail")
        log.warning("beware\x1b[31m\n%s", "now")
        log.warning("refused: %s", ConfigurationError("no key", hint=Hint.SET_KEY))
        log.warning("%(place)s", {"place": "here"})
        log.warning("ids", extra={"event": "unfinished", "task_ids": ["t"]})
        raise InvalidRequestError("stop")

    monkeypatch.setattr(_requests, "read_requests", read)
    _, _, err = foxapi("generate", FOX)
    assert err.splitlines() == [
        "foxapi: beware\\x1b[31m\\nnow",
        "foxapi: refused: no key; set FOXAPI_API_KEY, or use --emulator, which needs no key",
        "foxapi: here",
        "foxapi: stop",
    ]

    _, _, err = foxapi("-v", "generate", FOX)
    assert "a detail" in err
    assert before == (list(log.handlers), log.level)


@pytest.mark.thorough
def test_a_closed_pipe_is_quiet(service):
    """If the reader of standard output has gone, the images are still saved, without a message."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "foxapi_async", "generate", FOX],
        check=False,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)

    assert done.returncode == 0
    assert "Broken" not in done.stderr
    assert len(list(Path("out").iterdir())) == 1


def test_paths_are_escaped_for_a_terminal_only(monkeypatch):
    """A program gets a path unchanged, a terminal gets it without control characters."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    screen = _screen.Screen(as_json=False, quiet=True)
    screen.line("a\x1b")
    stream.isatty = lambda: True
    screen.line("a\x1b")

    assert stream.getvalue() == "a\x1b\na\\x1b\n"


# texts


def test_plain_text():
    """Escapes, line breaks, direction marks and half characters cannot reach a terminal; other scripts can."""
    assert texts.plain("狐 \x1b[2J\n\u202e\ud800") == "狐 \\x1b[2J\\n\\u202e\\ud800"


def test_elided_text():
    """A long id keeps both ends."""
    assert (texts.elided("short", 8), texts.elided("abcdefghij", 8)) == ("short", "abcd…hij")


def test_durations():
    """Seconds up to a minute, then minutes."""
    assert (texts.duration(7.2), texts.duration(125)) == ("7 s", "2:05 min")


def test_resume_commands_can_be_pasted():
    """Blanks are quoted, and an id like an option is set apart."""
    assert _job.resume_command("t-1", "a b") == "foxapi wait t-1 --out 'a b'"
    assert _job.resume_command("-t", "o", overwrite=True) == "foxapi wait --out o --overwrite -- -t"


# the progress of tasks


def test_a_row_never_goes_back():
    """A later, lower estimate leaves the bar where it is."""
    row = _progress.TaskRow("t", 0.0)
    assert row.bar(0.0) == ProgressRow("t", None, ("", "", "0 s"))

    row.take(event(progress=50, remaining=10.0), 1.0)
    row.bar(6.0)
    row.take(event(progress=60, remaining=10.0), 6.0)

    assert (row.bar(6.0).share, row.bar(6.0).texts[0]) == (0.75, " 75%")


def test_the_clock_of_a_row():
    """It shows the time taken, and what is expected of the rest."""

    def clock(now):
        return row.bar(now).texts[2]

    row = _progress.TaskRow("t", 0.0)
    assert clock(3.0) == "3 s"

    row.take(event(elapsed=3.0), 3.0)
    assert clock(5.0) == "5 s"

    row.take(event(elapsed=5.0, remaining=4.0), 5.0)
    assert clock(6.0) == "6 s, about 3 s left"
    assert clock(9.0) == "9 s, any moment now"


async def test_a_row_for_each_task():
    """A long id is cut in its middle, and what the service says cannot move the cursor."""
    progress = _progress.TaskProgress(None)
    progress.begin("t-1", "x" * 300)
    progress.begin("t-2", "second")
    progress.take(event("in\x1b[Agear", progress=30, task_id="t-2"))

    assert [bar.label for bar in progress.bars()] == ["xxxxxxxxxxxx…xxxxxxxxxxx", "second"]
    assert progress.bars()[1].texts == (" 30%", "in\\x1b[Agear", "0 s")


@pytest.mark.virtual
async def test_new_statuses_are_lines_where_nothing_is_drawn():
    """Each new status of a task is one line, and nothing is repeated while it stays."""
    noted = []
    progress = _progress.TaskProgress(noted.append)
    progress.begin("t-1", "t-1")
    progress.take(event())
    progress.take(event())

    assert noted == ["t-1: processing after 0 s"]
    assert progress.summary() == ""


def a_terminal(monkeypatch):
    """Standard error as a terminal with 100 columns, kept in memory."""
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stream


def is_live(**options):
    return _screen.Screen(as_json=False, quiet=options.get("quiet", False)).live


def test_bars_need_a_terminal_and_rich(monkeypatch):
    """Progress is drawn on a terminal that can rewrite lines, if rich is installed and `--quiet` is not given."""
    terminal = a_terminal(monkeypatch)
    assert is_live()
    assert not is_live(quiet=True)

    monkeypatch.setenv("TERM", "dumb")
    assert not is_live()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "foxapi_async.cli._rich", None)
    assert not is_live()

    monkeypatch.delitem(sys.modules, "foxapi_async.cli._rich")
    terminal.isatty = lambda: False
    assert not is_live()


@pytest.mark.virtual
async def test_a_line_stands_above_the_bars(monkeypatch):
    """Bars are taken off the screen before a line is written, and once the command ends."""
    terminal = a_terminal(monkeypatch)
    screen = _screen.Screen(as_json=False, quiet=False)
    progress = _progress.TaskProgress(None)
    progress.begin("t-1", "first")
    progress.take(event(progress=50))
    async with screen.following(progress):
        await asyncio.sleep(0.25)
        screen.note("a remark")

    shown = terminal.getvalue()
    assert "━" in shown
    assert "50%" in shown
    assert re.search(r"\x1b\[2K(\r)?foxapi: a remark\n", shown)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


@pytest.mark.virtual
async def test_a_log_gets_a_line_now_and_then(capsys):
    """Where nothing is drawn, the progress is one line in ten seconds, if it has something to say."""
    summaries = iter(["", "half of it", "most of it"])
    progress = SimpleNamespace(summary=lambda: next(summaries))
    async with _screen.Screen(as_json=False, quiet=False).following(progress):
        await asyncio.sleep(35)

    assert capsys.readouterr().err == "foxapi: half of it\nfoxapi: most of it\n"


# signals


def interrupting(monkeypatch, name, number=signal.SIGINT):
    """Send this process a signal right after a method of the session."""
    method = getattr(FoxSession, name)

    async def and_interrupt(self, *args, **kwargs):
        result = await method(self, *args, **kwargs)
        os.kill(os.getpid(), number)
        return result

    monkeypatch.setattr(FoxSession, name, and_interrupt)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reports_what_is_still_running(foxapi, slow_service, monkeypatch, number, code):
    """Ctrl-C and SIGTERM end at once, name each running task, and say how to continue with it."""
    interrupting(monkeypatch, "submit", number)

    got, out, err = foxapi("generate", FOX, "--out", "pics")

    (task_id,) = slow_service.tasks
    resume = f"foxapi: still running (and billed): {task_id}  resume: foxapi wait {task_id} --out pics\n"
    assert (code, "") == (got, out)
    assert err.endswith(resume)
    assert err.count("still running") == 1


def test_an_interrupted_wait_names_every_task(foxapi, slow_service, monkeypatch):
    """All tasks of a `wait` are named."""
    foxapi("generate", FOX, "--timeout", "0.2")
    foxapi("generate", FOX, "--timeout", "0.2")
    asked = len(slow_service.requests)

    def interrupt_once_both_are_asked_for():
        while len(slow_service.requests) < asked + 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_once_both_are_asked_for, daemon=True).start()
    code, _, err = foxapi("wait", *slow_service.tasks)

    assert code == 130
    for task_id in slow_service.tasks:
        assert f"still running (and billed): {task_id}" in err


async def test_an_interrupt_in_the_turn_of_the_last_poll(service, capsys):
    """The images are ready, but the command has not read the result yet. It names the task all the same."""
    words = ["generate", FOX]
    args, screen = build_parser(words).parse_args(words), _screen.Screen(as_json=False, quiet=True)

    class Interrupted(_job.TaskCommand):
        def _on_event(self, event):
            super()._on_event(event)
            if event.final:
                running.cancel()

    async def work(command, fox):
        return await command.generate(fox, [MODELS["grok-imagine-image"](FOX)], ["{id}-{n}"])

    running = asyncio.create_task(Interrupted(args, screen, Path()).in_session(work))
    await asyncio.wait([running])

    (task_id,) = service.tasks
    assert running.cancelled()
    assert f"finished, but not saved: {task_id}  resume: foxapi wait {task_id}" in capsys.readouterr().err


def test_an_interrupted_emulator_costs_nothing(foxapi, monkeypatch):
    """With --emulator there is nothing to resume."""
    interrupting(monkeypatch, "submit")

    code, _, err = foxapi("generate", FOX, "--emulator")

    assert code == 130
    assert "nothing was billed" in err


def test_an_interrupted_download_is_named(foxapi, service, monkeypatch):
    """A task whose images were not saved yet is named too."""
    service.add_fault(Fault.hang("file"))
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()

    code, out, err = foxapi("generate", FOX)

    (task_id,) = service.tasks
    assert (code, out) == (130, "")
    assert f"finished, but not saved: {task_id}  resume: foxapi wait {task_id} --out out --overwrite" in err
    assert not list(Path("out").iterdir())


def test_an_id_that_arrives_after_the_signal_is_named(foxapi, slow_service):
    """The command waits for an unanswered submit, and says so, because its id is worth money."""
    slow_service.add_fault(Fault.slow("submit", 1.5))
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()

    code, _, err = foxapi("generate", FOX)

    (task_id,) = slow_service.tasks
    assert code == 130
    assert "Ctrl-C again ends at once" in err
    assert f"still running (and billed): {task_id}" in err


def test_a_second_signal_ends_the_wait_for_an_answer(foxapi, slow_service):
    """A second Ctrl-C ends the wait for the answer; the output says that the submit may be billed."""
    slow_service.add_fault(Fault.hang("submit"))
    timers = [threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)) for delay in (0.4, 0.7)]
    for timer in timers:
        timer.start()
    begun = time.monotonic()

    code, _, err = foxapi("generate", FOX)

    assert code == 130
    assert time.monotonic() - begun < 5
    assert "may have been accepted and billed" in err


def test_an_interrupt_before_the_loop(foxapi, monkeypatch):
    """Ctrl-C while the prompt is typed gives no traceback either."""

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "read", interrupted, raising=False)

    assert foxapi("generate", "-")[0] == 130


def test_a_cancellation_without_a_signal_stays_one():
    """If no handler can be installed, Python's own handling is used."""

    async def cancelled():
        raise _running.asyncio.CancelledError

    with pytest.raises(_running.asyncio.CancelledError):
        _running.run(cancelled(), None)


def test_another_thread_can_run_commands(service):
    """A command also works outside the main thread, without signals."""
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["generate", FOX, "-q", "--json"])))
    thread.start()
    thread.join()

    assert codes == [0]


@pytest.mark.parametrize("uvloop", [None, SimpleNamespace(new_event_loop=asyncio.SelectorEventLoop)])
def test_the_loop_of_uvloop_is_used_where_there_is_one(monkeypatch, foxapi, uvloop):
    """The command runs on uvloop's loop if it is installed, else on that of the standard library."""
    monkeypatch.setitem(sys.modules, "uvloop", uvloop)

    assert foxapi("generate", FOX, *FAST)[0] == 0


# processes and terminals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.thorough
def test_a_killed_process_reports_its_ids(slow_service, number, code):
    """A real process ends as its signal requires, with the id on standard error and no traceback."""
    process = start("generate", FOX, stderr=subprocess.PIPE)
    assert "foxapi: sending to " == process.stderr.readline()[:19]
    assert "foxapi: submitted " == process.stderr.readline()[:18]
    process.send_signal(number)
    out, err = process.communicate(timeout=20)

    (task_id,) = slow_service.tasks
    assert (code, "") == (process.returncode, out)
    assert f"resume: foxapi wait {task_id} --out out" in err
    assert "Traceback" not in err


@pytest.fixture
def no_rich(tmp_path):
    """A folder that hides rich if it is first on the path."""
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide" / "rich.py").write_text("raise ImportError('hidden')")
    return os.pathsep.join([str(tmp_path / "hide"), os.environ.get("PYTHONPATH", "")])


@pytest.mark.thorough
def test_bars_disappear_at_the_end(service):
    """With rich a bar moves on standard error and disappears at the end; standard output has only the paths."""
    service.add_fault(Fault.slow("submit", 0.3))
    code, out, shown = on_a_terminal("generate", FOX, "-n", "2", columns=120)

    assert code == 0
    assert out.splitlines() == sorted(str(path) for path in Path("out").iterdir())
    assert "━" in shown
    assert "\x1b[?25l" in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("━")


@pytest.mark.thorough
def test_a_terminal_without_rich(slow_service, no_rich):
    """Without rich a terminal gets plain lines, and none is rewritten."""
    code, out, shown = on_a_terminal("generate", FOX, interrupt_at=r"\w+ after \d s", PYTHONPATH=no_rich)

    (task_id,) = slow_service.tasks
    assert (code, out) == (130, "")
    assert shown.splitlines()[1] == f"foxapi: submitted {task_id} to grok-imagine-image"
    assert re.search(rf"^foxapi: {task_id}: \w+ after \d s", shown, re.MULTILINE)
    assert not re.search(r"\x1b|\r[^\n]", shown)


@pytest.mark.thorough
def test_colours_can_be_left_out(service):
    """NO_COLOR leaves the bars without colours."""
    _, _, shown = on_a_terminal("generate", FOX, NO_COLOR="1")

    assert "━" in shown
    assert not re.search(r"\x1b\[[\d;]*3\d[\d;]*m", shown)


# --help


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_help_of_a_command_ends_with_two_examples(capsys, name):
    """Each example is a whole line, and the parser takes it."""
    assert 0 == main([name, "--help"])
    shown = capsys.readouterr().out.splitlines()[-3:]
    lines = [f"foxapi {name} {words}".rstrip() for words in EXAMPLES[name]]

    assert ["examples:", *(f"  {line}" for line in lines)] == shown
    for line in lines:
        words = shlex.split(line)[1:]
        assert name == build_parser(words).parse_args(words).command


# --dry-run


def test_a_dry_run_prints_the_request(foxapi, no_sending):
    """It prints the body and a curl command without the key, needs no key, and makes no folder."""
    code, out, err = foxapi("generate", "it's a fox", "-n", "2", "--dry-run")
    *lines, command = out.splitlines()
    body = {"model": "grok-imagine-image", "prompt": "it's a fox", "num_outputs": 2}
    words = shlex.split(command)

    assert (0, "", False) == (code, err, Path("out").exists())
    assert body == json.loads("\n".join(lines)) == json.loads(words[-1])
    assert ["curl", "https://api.foxapi.cc/v1/images/generations"] == words[:2]
    assert "Authorization: Bearer $FOXAPI_API_KEY" in words


def test_a_dry_run_with_a_file_and_another_address(foxapi, no_sending, monkeypatch):
    """A local file is named, and would be uploaded; the address is that of the environment."""
    monkeypatch.setenv("FOXAPI_BASE_URL", "https://fox.example/")
    Path("fox.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    code, out, err = foxapi("generate", FOX, "--image", "fox.png", "--dry-run", "--json")

    assert 0 == code
    assert {
        "url": "https://fox.example/v1/images/generations",
        "body": {"model": "grok-imagine-image", "prompt": FOX, "image_urls": ["fox.png"]},
    } == json.loads(out)
    assert "1 local file would be uploaded first" in err


def test_a_dry_run_of_several_prompts(foxapi, no_sending):
    """Each prompt is a request of its own."""
    _, out, _ = foxapi("generate", "--prompt", "a fox", "--prompt", "a wolf", "--dry-run", "--json")

    assert ["a fox", "a wolf"] == [json.loads(line)["body"]["prompt"] for line in out.splitlines()]


def test_a_dry_run_refuses_what_a_run_refuses(foxapi, no_sending):
    """A wrong request is refused in the same words."""
    assert 2 == foxapi("generate", FOX, "-n", "9", "--dry-run")[0]


def test_a_dry_run_of_another_endpoint(foxapi, no_sending):
    """The path is that of the option."""
    _, out, _ = foxapi(
        "generate", FOX, "-m", "video", "--path", "/v1/videos/generations", "--dry-run", "--json"
    )

    assert "https://api.foxapi.cc/v1/videos/generations" == json.loads(out)["url"]
