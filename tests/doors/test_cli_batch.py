"""The commands for batches, run as `main([...])` in this process; as a process if terminals matter."""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import posts
from PIL import Image
from shell import interrupt_when, on_a_terminal, point_to

from foxapi_async._batch.input.file import InputFile
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.lock import holder_of
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async._wire import texts
from foxapi_async.cli import _batch, _batch_status, main
from foxapi_async.cli._batch_progress import BatchProgress, Figures, figures_of
from foxapi_async.cli._messages import logging_to
from foxapi_async.cli._parser import build_parser
from foxapi_async.cli._progress import ProgressRow
from foxapi_async.cli._requests import read_defaults
from foxapi_async.emulator import Fault, ThreadedEmulator

pytestmark = pytest.mark.usefixtures("clean_place")
FAST = ("--emulator", "--emulator-seconds", "0.1")
PRO = "gemini-3-pro-image-preview"


def write(name="p.jsonl", *lines):
    Path(name).write_text(
        "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    )
    return name


def foxes(count):
    return [{"id": f"fox-{n}", "prompt": f"fox {n}"} for n in range(count)]


def manifest(out="out"):
    return [json.loads(line) for line in Path(out, "manifest.jsonl").read_text().splitlines()]


@pytest.fixture
def feed(monkeypatch):
    """Puts a text on standard input, as a pipe does."""
    with contextlib.ExitStack() as stack:

        def put(text):
            reading, writing = os.pipe()
            os.write(writing, text.encode())
            os.close(writing)
            monkeypatch.setattr(sys, "stdin", stack.enter_context(os.fdopen(reading)))

        yield put


def has_ids(count, out="out"):
    """A function that returns whether the log of a folder has the ids of so many tasks."""
    log = Path(out, "submitted.jsonl")
    return lambda: log.exists() and len(log.read_bytes().splitlines()) >= count


# batch


def test_a_batch_is_made(foxapi):
    """Every line has its image, and standard error ends with the result and the place of the records."""
    code, out, err = foxapi("batch", write("p.jsonl", *foxes(3)), *FAST)

    assert (0, "") == (code, out)
    assert {"fox-0-1.jpg", "fox-1-1.jpg", "fox-2-1.jpg"} == {
        path.name for path in Path("out/images").iterdir()
    }
    assert re.search(r"foxapi: 3 done; 15 credits, in \d s, made by the emulator: nothing is billed\n", err)
    assert err.endswith("out/manifest.jsonl; to make a page of them: foxapi report out\n")


def test_the_same_command_again_does_nothing(foxapi, service):
    """Finished items are not sent again. The summary covers all runs, and says that this one cost nothing."""
    words = ("batch", write("p.jsonl", *foxes(3)))
    foxapi(*words)
    code, _, err = foxapi(*words)

    assert (0, 3) == (code, service.billed)
    assert re.search(r"foxapi: 3 done; 15 credits in all, 0 in this run, in \d s\n", err)


def test_a_run_that_continues_shows_its_own_credits(foxapi, service):
    """Its summary has what it spent, and what was spent in all."""
    name = write("p.jsonl", *foxes(3))
    foxapi("batch", name, "--budget", "10")

    assert "3 done; 15 credits in all, 5 in this run, in " in foxapi("batch", name)[2]


def test_finished_items_as_json(foxapi, service):
    """With --json each finished item is its manifest line on standard output, with nothing else there."""
    service.add_fault(Fault.fails("content_policy_violation"))
    code, out, _ = foxapi("batch", write("p.jsonl", *foxes(3)), "--json")

    told = [json.loads(line) for line in out.splitlines()]
    assert 1 == code
    assert sorted(manifest(), key=str) == sorted(told, key=str)
    assert {"done": 2, "failed": 1} == Counter(line["status"] for line in told)


def test_options_are_defaults_of_every_line(foxapi, service):
    """An option sets a field that a line does not have."""
    lines = [{"prompt": "a"}, {"prompt": "b", "aspect_ratio": "1:1"}]
    code, _, _ = foxapi("batch", write("p.jsonl", *lines), "--aspect-ratio", "16:9")

    assert 0 == code
    assert {("a", "16:9"), ("b", "1:1")} == {
        (task.body["prompt"], task.body["aspect_ratio"]) for task in service.tasks.values()
    }


def test_the_format_can_be_given(foxapi, service):
    """A file without a known ending is read as --format says."""
    assert 0 == foxapi("batch", write("prompts", "a red fox", "an owl"), "--format", "text")[0]
    assert {"a red fox", "an owl"} == {task.body["prompt"] for task in service.tasks.values()}


def test_a_form_that_is_unknown(foxapi, service):
    """Without it the error names the option."""
    code, _, err = foxapi("batch", write("prompts", "a red fox"))

    assert 2 == code
    assert "use --format" in err


def test_wrong_lines_of_a_file_are_all_reported_first(foxapi, service):
    """A file is read to its end before anything is sent: each wrong line is reported with number and reason,
    then exit 2.
    """
    name = write("p.jsonl", {"prompt": "a"}, {"prompt": ""}, "nonsense", {"prompt": "b"})
    code, out, err = foxapi("batch", name)

    assert (2, "", 0) == (code, out, service.billed)
    assert 'foxapi: line 2: prompt=""' in err
    assert "foxapi: line 3: not JSON" in err
    assert err.endswith("foxapi: p.jsonl: 2 of 4 items are wrong, nothing was sent\n")


def test_wrong_lines_of_standard_input_stop_no_run(foxapi, service, feed):
    """From a pipe each wrong line is reported as it comes, the others are made, and the command ends with 1."""
    feed('{"prompt": "a"}\n{"prompt": ""}\n{"prompt": "b"}\n')
    code, out, err = foxapi("batch", "-", "--json")

    assert (1, 2, 2) == (code, service.billed, len(out.splitlines()))
    assert 'foxapi: line 2: prompt=""' in err
    assert "2 done, 1 wrong line; 10 credits" in err


def test_prompts_of_standard_input(foxapi, service, feed):
    """Lines that are not JSON are prompts."""
    feed("a red fox\nan owl\n")

    assert 0 == foxapi("batch", "-")[0]
    assert 2 == service.billed


COMMENTS = ("# my foxes", "a red fox", "#ff0000 background", "## more", "#")


@pytest.mark.parametrize("words", [["--check"], []])
def test_a_comment_in_a_list_of_prompts(foxapi, service, words):
    """Lines that may be comments are counted in one line before anything is sent: each would be billed."""
    _, _, err = foxapi("batch", write("p.txt", *COMMENTS), *words)

    assert err.splitlines()[1] == (
        "foxapi: p.txt: lines that begin with '# ' are prompts, too, and are billed: 3 of them, the first on line 1; "
        "remove those that are comments"
    )
    assert (err.count("comments"), service.billed) == (1, 0 if words else 5)


def test_a_comment_from_a_pipe(foxapi, service, feed):
    """The first ones are reported before they are sent."""
    feed("a red fox\n# an owl\n")
    _, _, err = foxapi("batch", "-")

    assert err.splitlines()[1].endswith("1 of them, the first on line 2; remove those that are comments")


def test_a_colour_is_no_comment(foxapi, service):
    """A prompt may begin with a number sign."""
    assert "comment" not in foxapi("batch", write("p.txt", "#ff0000 background", "#1 fan"), "--check")[2]


def test_a_changed_line_with_the_same_id(foxapi, service):
    """If an id named another request before, its line is wrong; the message says so before anything is sent."""
    foxapi("batch", write("p.jsonl", *foxes(1)))
    code, _, err = foxapi("batch", write("p.jsonl", {"id": "fox-0", "prompt": "changed"}, *foxes(2)[1:]))

    assert (2, 1) == (code, service.billed)
    assert "was used in an earlier run for another request" in err


@pytest.mark.parametrize(
    "words",
    [
        ["--max-in-flight", "0"],
        ["--max-in-flight", "many"],
        ["--submits-per-second", "0"],
        ["--polls-per-second", "nan"],
        ["--budget", "-1"],
        ["--price", "dear"],
        ["--format", "xml"],
        ["--timeout", "0"],
        ["--aspect-ratio", "99:1"],
        ["--model", "grok-imagin-image"],
        ["--out", "here.png"],
        ["--image", "missing.png"],
    ],
)
def test_a_wrong_option_is_reported_at_once(foxapi, service, words):
    """The error names the option and its value, and nothing is sent."""
    code, _, err = foxapi("batch", write("p.jsonl", *foxes(1)), *words)

    assert (2, 0) == (code, service.billed)
    assert words[0] in err
    assert words[1] in err


def test_submits_can_be_rationed(foxapi, service):
    """--submits-per-second spreads the submits; at most a second's worth goes at once."""
    words = ("--submits-per-second", "5", "--polls-per-second", "50", "--max-in-flight", "10")
    code, _, _ = foxapi("batch", write("p.jsonl", *foxes(5)), *words)

    moments = [record.when for record in service.requests if record.method == "POST"]
    assert (0, 5) == (code, len(moments))
    assert moments[-1] - moments[0] > 0.6


def defaults(*words):
    return read_defaults(build_parser(["batch"]).parse_args(["batch", "p.jsonl", *words]))


def test_defaults_may_be_of_another_model():
    """An option of a model that only some lines name is correct."""
    assert {"model": "grok-imagine-image", "resolution": "2K"} == defaults("--resolution", "2K")


async def test_default_images_are_found_from_everywhere(tmp_path):
    """A local image gets an absolute path: the request is the same in every working folder."""
    Image.new("RGB", (8, 8)).save("fox.png")
    (tmp_path / "p.txt").write_text("make it night\n")

    file = InputFile("p.txt", defaults=defaults("--image", "fox.png", "--image", "https://x.example/1.png"))
    ((row,),) = [chunk async for chunk in file.chunks()]
    assert (tmp_path / "fox.png", "https://x.example/1.png") == row.request.image_urls


def test_unchecked_defaults():
    """With --param or --path every line is sent unchecked, as in `generate`; so are other models."""
    path = "/v1/images/generations"
    assert {"model": "grok-imagine-image", "seed": 7, "path": path} == defaults("--param", "seed=7")
    assert {"model": "other"} == defaults("-m", "other")


def test_failures_are_reported_ten_at_most(foxapi, service):
    """The first ten failures have a line each, then one says where the others are; a summary groups them."""
    service.add_fault(Fault.fails("content_policy_violation", times=None))
    code, _, err = foxapi("batch", write("p.txt", *(f"fox {n}" for n in range(12))))

    assert 1 == code
    assert 10 == err.count("was refused by the content policy")
    assert 1 == err.count("more failures are not shown here")
    assert re.search(r'[0-9a-f]{24}#1 "fox \d+": task ', err)
    assert "problems in this run: 12 content_policy_violation" in err
    assert "--retry-failed submits (and pays for)" in err


def test_failed_items_can_be_made_again(foxapi, service):
    """--retry-failed submits only the failed items."""
    service.add_fault(Fault.fails())
    words = ("batch", write("p.jsonl", *foxes(3)))

    assert [1, 1, 0] == [foxapi(*words)[0], foxapi(*words)[0], foxapi(*words, "--retry-failed")[0]]
    assert 4 == service.billed


def test_uncertain_items_are_reported_each_time(foxapi, service):
    """An unanswered submit is named at the end of each run, until it is sent again on request."""
    service.add_fault(Fault.cut_after("submit"))
    words = ("batch", write("p.jsonl", *foxes(2)), "--max-in-flight", "1")
    told = "1 item sent without an answer, and maybe billed: fox-0  (foxapi batch --resubmit-uncertain sends them again)"

    for code, _, err in (foxapi(*words), foxapi(*words, "--quiet")):
        assert 1 == code
        assert told in err
    assert 0 == foxapi(*words, "--resubmit-uncertain")[0]
    assert 3 == service.billed


def test_a_task_that_takes_too_long(foxapi, service):
    """If a task is not waited for any longer, it continues, is paid for, and the same command polls it."""
    service.add_fault(Fault.never_finishes())
    words = ("batch", write("p.jsonl", *foxes(2)), "--timeout", "1", "--json", "--max-in-flight", "1")
    code, out, err = foxapi(*words)

    assert (1, 1) == (code, len(out.splitlines()))
    assert "1 done, 1 running at the service (and billed)" in err
    assert "the same command continues them" in err


def test_a_budget_ends_a_batch_with_4(foxapi, service):
    """The spending never exceeds the budget; the output has the command that makes the rest."""
    code, _, err = foxapi("batch", write("p.jsonl", *foxes(9)), "--budget", "22")

    assert (4, 4) == (code, service.billed)
    why = "the next item would pass the budget of 22 credits: 20 are spent, and it costs 5"
    rest = "the rest (5 images) is expected to cost 25 credits: a budget of 45 covers it"
    assert f"foxapi: stopped: {why}; {rest}\n" in err
    assert "foxapi: 4 done, 5 not begun; 20 credits\n" in err
    assert err.endswith(
        "foxapi: continue with this budget or a larger one: foxapi batch p.jsonl --budget 45\n"
    )


def test_a_budget_below_what_is_spent(foxapi, service):
    """If earlier runs spent more than the budget, the words say so, and the command has a budget that is enough."""
    name = write("p.jsonl", *foxes(9))
    foxapi("batch", name, "--budget", "40")
    code, _, err = foxapi("batch", name, "--budget=32", "--price", "5", "--max-in-flight", "2")

    assert (4, 8) == (code, service.billed)
    assert "foxapi: stopped: the budget of 32 credits is used up: 40 are spent; the rest (1 image)" in err
    assert err.endswith(": foxapi batch p.jsonl --budget 45 --price 5 --max-in-flight 2\n")


@pytest.mark.parametrize(
    ("status", "todo"), [(401, "check FOXAPI_API_KEY"), (402, "top up the account's credits, then repeat")]
)
def test_a_refused_account_ends_a_batch_with_3(foxapi, service, status, todo):
    """A 401 or 402 stops everything, says what to do, and the same command continues."""
    service.add_fault(Fault.status("submit", status, after=2))
    words = ("batch", write("p.jsonl", *foxes(5)), "--max-in-flight", "1")
    code, _, err = foxapi(*words)

    assert 3 == code
    assert f"({todo}); then run the same command again" in err
    assert 1 == err.count(f"HTTP {status}")
    assert "2 done, 3 not begun" in err
    assert 0 == foxapi(*words)[0]
    assert 5 == service.billed


def test_an_account_that_is_refused_while_tasks_run(foxapi, service):
    """The refusal is the reason of the pause, and not shown for each item."""
    service.add_fault(Fault.status("poll", 401, times=None))
    code, _, err = foxapi("batch", write("p.jsonl", *foxes(5)))

    assert (3, 1) == (code, err.count("HTTP 401"))
    assert "0 done, 5 running at the service (and billed)" in err


def test_a_refused_batch_as_json(foxapi, service):
    """With --json a batch that does not begin has its error on standard output."""
    code, out, _ = foxapi("batch", write("p.jsonl", {"prompt": ""}), "--json")

    told = json.loads(out)["error"]
    assert (2, "InvalidRequestError", 1) == (code, told["type"], len(told["problems"]))


@pytest.mark.parametrize("images", [[5], "fox.png"])
def test_a_wrong_image_of_a_line(capfd, images):
    """The advice about local files that Python needs is not for a line."""
    main(["batch", write("p.jsonl", {"prompt": "a", "image_urls": images}), "--check"])
    err = capfd.readouterr().err

    assert "foxapi: line 1: image_urls" in err
    assert "pathlib" not in err


def test_no_account(foxapi):
    """Without a key the error comes before a folder is made."""
    code, _, err = foxapi("batch", write("p.jsonl", *foxes(1)))

    assert (3, False) == (code, Path("out").exists())
    assert "FOXAPI_API_KEY" in err


def test_a_ledger_in_use(foxapi, service):
    """A second command on the same folder names the owner, sends nothing, and ends with 3."""

    async def meanwhile():
        async with SqliteLedger.opened("out/ledger.sqlite"):
            return await asyncio.to_thread(main, ["batch", "p.jsonl"])

    write("p.jsonl", *foxes(1))
    code = asyncio.run(meanwhile())

    assert (3, 0) == (code, service.billed)


def test_a_ledger_of_a_newer_version(foxapi, service):
    """It is not changed; the advice is to upgrade, and the command ends with 3."""
    words = ("batch", write("p.jsonl", *foxes(1)))
    foxapi(*words)
    with contextlib.closing(sqlite3.connect("out/ledger.sqlite")) as connection:
        connection.execute("PRAGMA user_version=99")
    code, _, err = foxapi(*words)

    assert (3, 1) == (code, service.billed)
    assert "newer foxapi-async" in err
    assert "foxapi: continue with" not in err


def test_the_emulator_is_kept_apart(foxapi, service):
    """A folder of the emulator is refused for the service, and the other way round: a trial must not count as
    done.
    """
    name = write("p.jsonl", *foxes(1))
    foxapi("batch", name, *FAST, "--out", "trial")
    foxapi("batch", name, "--out", "real")

    for words, maker in ((("--out", "trial"), "the emulator"), ((*FAST, "--out", "real"), "the service")):
        code, _, err = foxapi("batch", name, *words)
        assert 2 == code
        assert 1 == err.count(f"has a batch of {maker}")
        assert 2 == err.count("\n")
    assert 0 == foxapi("batch", name, *FAST, "--out", "trial")[0]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reports_what_is_left(foxapi, monkeypatch, number, code):
    """Ctrl-C and SIGTERM end a batch with the finished items, the running ones, and the command that continues."""
    with ThreadedEmulator(seconds=60) as emulator:
        point_to(emulator, monkeypatch)
        interrupt_when(has_ids(3, "a b"), number)
        got, _, err = foxapi("batch", write("p.jsonl", *foxes(5)), "--max-in-flight", "3", "--out", "a b")

        assert (code, 3) == (got, emulator.billed)
    assert "foxapi: stopped: interrupted\n" in err
    assert "0 done, 3 running at the service (and billed), 2 not begun" in err
    assert err.endswith("foxapi: continue with: foxapi batch p.jsonl --max-in-flight 3 --out 'a b'\n")


def test_a_second_signal_leaves_at_once(foxapi, service):
    """If the wait for an answer is ended, its submit is uncertain, and named."""
    service.add_fault(Fault.hang("submit", times=None))
    began = time.monotonic()
    interrupt_when(lambda: len(posts(service)) == 3, signal.SIGINT, signal.SIGINT)
    code, _, err = foxapi("batch", write("p.jsonl", *foxes(3)))

    assert 130 == code
    assert time.monotonic() - began < 8  # the answer may take up to 10 s
    assert "0 done, 3 uncertain" in err
    assert "maybe billed: fox-0, fox-1, fox-2" in err
    assert 6 >= len(err.splitlines())


def test_an_interrupted_emulator_run_has_no_resume_command(foxapi):
    """With --emulator no task goes on. The same command makes them again."""
    interrupt_when(has_ids(1), signal.SIGINT)
    code, _, err = foxapi("batch", write("p.jsonl", *foxes(1)), "--emulator", "--emulator-seconds", "60")

    assert 130 == code
    assert err.endswith(
        "foxapi: the emulator's tasks end here, and nothing was billed; the same command makes them again\n"
    )


@pytest.mark.thorough
def test_an_interrupted_emulator_run_is_made_again(foxapi):
    """The tasks ended with the first emulator. The same command says so once, and submits them to its own emulator."""
    words = ("batch", write("p.jsonl", *foxes(5)), "--emulator", "--max-in-flight", "4")
    interrupt_when(has_ids(4), signal.SIGINT)
    stopped, _, _ = foxapi(*words, "--emulator-seconds", "60")
    code, _, err = foxapi(*words, "--emulator-seconds", "0.1")

    assert (130, 0) == (stopped, code)
    assert err.splitlines()[1] == (
        "foxapi: 4 tasks of an earlier run ended with its emulator, and nothing was billed: "
        "they are sent again to the emulator of this run"
    )
    assert "foxapi: 5 done" in err
    assert "not found" not in err
    assert {"done"} == {line["status"] for line in {line["id"]: line for line in manifest()}.values()}


def test_unsaved_images_of_an_ended_emulator(foxapi):
    """They cannot be saved any more: the folder is refused in one line."""
    words = ("batch", write("p.jsonl", *foxes(1)), *FAST)
    foxapi(*words)
    with contextlib.closing(sqlite3.connect("out/ledger.sqlite")) as connection:
        connection.execute("UPDATE item SET state='unsaved'")
        connection.commit()
    code, _, err = foxapi(*words)

    assert 2 == code
    assert err.partition("\n")[2] == (
        "foxapi: out has 1 item that an earlier run made and could not save: its emulator has ended, and the images are lost. "
        "Nothing was billed; choose another --out\n"
    )


def test_an_interrupt_before_there_is_a_ledger(foxapi, service, monkeypatch):
    """Then the output has only the command; input from a pipe is needed again."""

    async def slowly(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(10)

    monkeypatch.setattr(_batch.BatchCommand, "_follow", slowly)
    code, _, err = foxapi("batch", "-")

    assert 130 == code
    assert (
        f"foxapi: reading standard input, to send its items to {service.url}\n"
        "foxapi: stopped: interrupted\nfoxapi: continue (with the same input) with: foxapi batch -\n"
    ) == err


def test_a_closed_standard_input(service):
    """A batch with a closed standard input says so, and ends normally, also on libuv's loop."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "foxapi_async", "batch", "-"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.close(0),
    )

    assert 2 == done.returncode
    assert "foxapi: stopped: standard input: it is closed" == done.stderr.splitlines()[1]


# --check


def test_a_check_sends_nothing(foxapi):
    """A check needs no key, and shows submits and images by model, and credits if a price is given."""
    lines = [*foxes(2), {"prompt": "x", "num_outputs": 3}, {"prompt": "y", "model": "other"}]
    code, out, err = foxapi("batch", write("p.jsonl", *lines), "--check", "--price", "2.5")

    assert (0, "foxapi: reading p.jsonl\n", False) == (code, err, Path("out").exists())
    assert out == (
        "p.jsonl: 4 items\n"
        "  grok-imagine-image: 3 submits, 5 images\n"
        "  other: 1 submit, 1 image (not known here: sent unchecked)\n"
        "to be submitted in a first run: 4 submits, 6 images, 15 credits\n"
    )


def test_a_check_reports_every_wrong_line(foxapi):
    """All wrong lines are reported with number and reason; beyond a thousand they are only counted."""
    lines = [{"prompt": ""}] * 1003
    code, out, err = foxapi("batch", write("p.jsonl", *lines, *foxes(1)), "--check")

    assert 2 == code
    assert out.startswith("p.jsonl: 1,004 items, 1,003 wrong\n")
    assert 'foxapi: line 1000: prompt=""' in err
    assert err.endswith("foxapi: and 3 more\n")


def test_a_check_of_a_wrong_header_counts_no_item(foxapi):
    """A header is not an item. The line names it, and says that nothing below it was read."""
    Path("p.csv").write_text("id,promt\nfox,a fox\nowl,an owl\n")
    code, out, err = foxapi("batch", "p.csv", "--check")

    assert (2, "p.csv: the header is wrong, no item was read\n") == (code, out)
    assert 'line 1: "promt": no field of grok-imagine-image; did you mean prompt?' in err
    assert "has no items" not in err


def test_a_check_of_an_array_that_breaks_off(foxapi):
    """The items before the fault are counted, and the number of the others is not known."""
    Path("p.json").write_text('[{"prompt": "a"}, {"prompt": ""},\n{"prompt": oops}, {"prompt": "c"}]')
    code, out, _ = foxapi("batch", "p.json", "--check")

    assert 2 == code
    assert "p.json: the array is wrong, only 2 items could be read, 1 of them wrong\n" == out


@pytest.mark.parametrize(
    ("name", "text", "part"), [("p.csv", "promt\na\n", "header"), ("p.json", "{}", "array")]
)
def test_a_check_as_json_names_the_part_that_is_wrong(foxapi, name, text, part):
    """A program can tell a file that was not read to its end."""
    Path(name).write_text(text)
    _, out, _ = foxapi("batch", name, "--check", "--json")
    whole = json.loads(out.splitlines()[-1])

    assert (0, 0, part) == (whole["items"], whole["wrong"], whole["broken"])


def test_a_check_finds_an_id_of_two_requests(foxapi):
    """An id of two requests in a file is found before there is a ledger."""
    lines = [{"id": "fox", "prompt": "a"}, {"id": "fox", "prompt": "a"}, {"id": "fox", "prompt": "b"}]
    code, out, err = foxapi("batch", write("p.jsonl", *lines), "--check")

    assert 2 == code
    assert out.startswith("p.jsonl: 3 items, 1 wrong\n")
    assert "foxapi: line 3: " in err
    assert not Path("out").exists()


def test_images_that_were_made_and_not_saved(service, foxapi):
    """The exit status is 1. The words say that they are billed, and that the same command saves them for free."""
    service.add_fault(Fault.status("file", 404))
    words = ("batch", write("p.jsonl", *foxes(2)), "--out", "out", "--max-in-flight", "1")
    code, _, err = foxapi(*words)
    again, _, _ = foxapi(*words)

    assert [1, 0, 2] == [code, again, service.billed]
    assert "1 done, 1 made, not saved (and billed); 10 credits" in err
    assert "the same command tries to save them, for free" in err


def test_a_check_counts_what_a_run_would_submit(foxapi, service):
    """After a run, finished items are left out, and the credits are those of the others."""
    name = write("p.jsonl", *foxes(9))
    foxapi("batch", name, "--budget", "22")
    code, out, _ = foxapi("batch", name, "--check", "--price", "5")
    _, whole, _ = foxapi("batch", name, "--check", "--json")
    facts = json.loads(whole)
    seconds = sorted(line["timings"]["elapsed"] for line in manifest())[2]

    assert 0 == code
    assert out.endswith(
        "out: 4 done; 20 credits spent\nto be submitted in the next run: 5 submits, 5 images, "
        f"about 25 credits, about {max(1, round(seconds))} s (from 4 earlier images)\n"
    )
    assert (25.0, seconds) == (facts["expected_credits"], pytest.approx(facts["expected_seconds"], abs=0.1))
    assert (9, 5, 5, 20.0) == (facts["items"], facts["submits"], facts["images"], facts["spent"])
    assert 4 == service.billed


def test_a_check_counts_failed_items_on_request(foxapi, service):
    """With --retry-failed the failed item counts, as in a run with it."""
    service.add_fault(Fault.fails())
    name = write("p.jsonl", *foxes(3))
    foxapi("batch", name)
    checks = [foxapi("batch", name, "--check", *more)[1] for more in ((), ("--retry-failed",))]

    assert checks[0].endswith(": 0 submits, 0 images\n")
    assert ": 1 submit, 1 image, about 5 credits, about 1 s (from 2 earlier images)\n" in checks[1]


def test_a_check_counts_what_a_killed_run_left(foxapi, service):
    """With --resubmit-uncertain the submits without an answer count, also those that a killed run left as such."""
    service.add_fault(Fault.cut_after("submit", times=2))
    name = write("p.jsonl", *foxes(3))
    foxapi("batch", name)
    with contextlib.closing(sqlite3.connect("out/ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE item SET state = 'submitting' WHERE state = 'uncertain'")
    checks = [foxapi("batch", name, "--check", *more)[1] for more in ((), ("--resubmit-uncertain",))]
    billed = service.billed
    foxapi("batch", name, "--resubmit-uncertain")

    assert checks[0].endswith(": 0 submits, 0 images\n")
    assert ": 2 submits, 2 images, about 10 credits" in checks[1]
    assert 2 == service.billed - billed


def test_a_check_finds_an_id_of_an_earlier_run(foxapi, service):
    """An id that names another request in the ledger is refused, as a run refuses it."""
    foxapi("batch", write("p.jsonl", *foxes(2)))
    name = write("p.jsonl", {"id": "fox-0", "prompt": "changed"}, *foxes(2)[1:])
    code, out, err = foxapi("batch", name, "--check")

    assert 2 == code
    assert "p.jsonl: 2 items, 1 wrong\n" in out
    assert "was used in an earlier run for another request" in err


def test_a_check_of_a_batch_without_its_ledger(foxapi, service):
    """A lost ledger is an error, because a run would refuse it."""
    name = write("p.jsonl", *foxes(2))
    foxapi("batch", name)
    Path("out/ledger.sqlite").unlink()
    code, _, err = foxapi("batch", name, "--check")

    assert 0 != code
    assert "is missing, but its batch has begun" in err


def test_a_check_of_a_new_folder(foxapi):
    """A folder with other files is a new one."""
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")

    assert 0 == foxapi("batch", write("p.jsonl", *foxes(2)), "--check")[0]


def test_a_table_with_its_own_columns(foxapi, service):
    """--extra keep and --delimiter are options of a batch and of its check."""
    Path("p.csv").write_text("prompt:sku\na fox:S-1\n")
    words = ("batch", "p.csv", "--delimiter", ":", "--extra", "keep")
    assert 0 == foxapi(*words, "--check")[0]
    assert 0 == foxapi(*words)[0]

    assert {"sku": "S-1"} == json.loads(Path("out/manifest.jsonl").read_text())["extra"]


@pytest.mark.parametrize(("given", "code"), [("\\t", 0), ("ab", 2), ("", 2)])
def test_a_delimiter_is_one_character(foxapi, given, code):
    """A tab may be written as in a shell."""
    Path("p.csv").write_text("prompt\tid\na\t1\n")

    assert code == foxapi("batch", "p.csv", "--check", "--delimiter", given)[0]


def test_a_check_as_json(foxapi):
    """With --json there is an object for each wrong line, and one for the whole."""
    name = write("p.jsonl", *foxes(1), {"id": "x", "prompt": ""})
    code, out, _ = foxapi("batch", name, "--check", "--json")

    wrong, whole = map(json.loads, out.splitlines())
    assert 2 == code
    assert (2, "x", 1) == (wrong["line"], wrong["id"], len(wrong["problems"]))
    assert {
        "items": 2,
        "wrong": 1,
        "broken": None,
        "models": {"grok-imagine-image": {"submits": 1, "images": 1}},
        "submits": 1,
        "images": 1,
        "expected_credits": None,
        "expected_seconds": None,
        "spent": 0.0,
    } == whole


# what is expected


def expected_in(err):
    return re.findall(r"^foxapi: expected: (.*)$", err, re.MULTILINE)


def test_a_run_says_what_it_will_cost_by_a_price(foxapi, service):
    """The first run of a folder knows only a given price."""
    assert ["15 credits"] == expected_in(foxapi("batch", write("p.jsonl", *foxes(3)), "--price", "5")[2])
    assert [] == expected_in(foxapi("batch", "p.jsonl", "--out", "other")[2])


@pytest.mark.thorough
def test_a_run_says_what_it_will_cost_by_earlier_items(foxapi, service):
    """A run that continues knows the credits and the time of what is left."""
    name = write("p.jsonl", *foxes(9))
    foxapi("batch", name, "--budget", "20")
    (said,) = expected_in(foxapi("batch", name, "--max-in-flight", "1")[2])

    assert re.fullmatch(r"about 25 credits, about \d+ s \(from 4 earlier images\)", said)
    assert [] == expected_in(foxapi("batch", name)[2])


@pytest.mark.thorough
def test_a_run_and_a_check_expect_the_same(foxapi, service):
    """The items that are left may make fewer images than the done ones, and be of another model."""
    lines = [{**line, "num_outputs": 4 if n < 2 else 1} for n, line in enumerate(foxes(5))]
    name = write("p.jsonl", *lines, {"id": "owl", "prompt": "an owl", "model": "other"})
    words = ("batch", name, "--price", "7")
    foxapi("batch", name, "--budget", "40")
    told = "about 22 credits (from 8 earlier images)"

    assert foxapi(*words, "--check")[1].endswith(f"in the next run: 4 submits, 4 images, {told}\n")
    assert [told] == expected_in(foxapi(*words)[2])


@pytest.mark.thorough
def test_a_run_of_another_file_says_nothing(foxapi, service):
    """It is read twice already, to check and to send it. A third time only to say this would take too long."""
    foxapi("batch", write("p.jsonl", *foxes(3)))

    assert [] == expected_in(foxapi("batch", write("q.jsonl", {"prompt": "an owl"}), "--price", "5")[2])


def test_a_check_knows_the_prices_of_earlier_runs(foxapi, service):
    """They come from the file of estimates, and the words say so."""
    foxapi("generate", "an owl", "--estimates", "e.json")
    words = ("batch", write("p.jsonl", *foxes(3)), "--check")

    assert foxapi(*words, "--estimates", "e.json")[1].endswith(
        ": 3 submits, 3 images, about 15 credits (from earlier runs)\n"
    )
    assert foxapi(*words)[1].endswith(": 3 submits, 3 images\n")


def test_the_check_of_a_begun_batch_knows_the_prices_of_earlier_runs(foxapi, service):
    """For a model of which no item is done."""
    foxapi("generate", "an owl", "--estimates", "e.json")
    owl = {"id": "owl", "prompt": "an owl", "model": "gemini-3-pro-image-preview"}
    foxapi("batch", write("p.jsonl", owl, *foxes(2)), "--budget", "1")
    _, out, _ = foxapi("batch", "p.jsonl", "--check", "--estimates", "e.json")

    assert out.endswith(": 2 submits, 2 images, about 10 credits (from earlier runs)\n")


def test_a_check_with_an_emulator_knows_no_earlier_prices(foxapi, service):
    """The emulator bills nothing, and has its own prices."""
    foxapi("generate", "an owl", "--estimates", "e.json")
    words = ("batch", write("p.jsonl", *foxes(3)), "--check", "--emulator")

    assert foxapi(*words, "--estimates", "e.json")[1].endswith(": 3 submits, 3 images\n")


def test_a_check_names_a_broken_file_of_estimates(foxapi):
    """It is an error, as for a run."""
    Path("e.json").write_text("{}")
    code, _, err = foxapi("batch", write("p.jsonl", *foxes(1)), "--check", "--estimates", "e.json")

    assert 3 == code
    assert "e.json" in err


@pytest.mark.thorough
def test_a_run_says_what_it_will_cost_by_the_prices_of_earlier_runs(foxapi, service):
    """Of any folder: also when it continues."""
    foxapi("generate", "an owl", "--estimates", "e.json")
    words = ("batch", write("p.jsonl", *foxes(3)), "--estimates", "e.json")
    service.add_fault(Fault.status("submit", 400, times=3))
    said = expected_in(foxapi(*words)[2]), expected_in(foxapi(*words, "--retry-failed")[2])

    assert (["about 15 credits (from earlier runs)"],) * 2 == said


def test_a_learned_price_does_not_change_the_budget(foxapi, service):
    """While the price is unknown in this folder, one item goes alone, as without the file."""
    foxapi("generate", "an owl", "--estimates", "e.json")
    before = service.billed
    foxapi("batch", write("p.jsonl", *foxes(3)), "--estimates", "e.json", "--budget", "4")

    assert 1 == service.billed - before


def test_a_run_that_cannot_begin_expects_nothing(foxapi, service):
    """Its input is wrong."""
    assert [] == expected_in(foxapi("batch", write("p.jsonl", {"prompt": ""}), "--price", "5")[2])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1, "1 s"), (7.2, "7 s"), (125, "2 min"), (14 * 60, "14 min"), (12_600, "3.5 h")]
)
def test_rough_durations(seconds, text):
    """An expected time has no more digits than are known."""
    assert text == texts.rough_duration(seconds)


# status and report


def test_the_status_of_a_batch(foxapi, service):
    """The state of a folder: counts, cost, the longest running tasks, the uncertain items."""
    service.add_fault(Fault.cut_after("submit"))
    service.add_fault(Fault.never_finishes(prompt="fox 1"))
    words = ("batch", write("p.jsonl", *foxes(4)), "--timeout", "1", "--max-in-flight", "1", "--budget", "15")
    foxapi(*words, "--price", "5")
    code, out, _ = foxapi("status", "out")

    assert 0 == code
    state, run, spent, oldest, uncertain = out.splitlines()
    assert "out: 1 done, 1 running at the service (and billed), 1 uncertain, 1 not begun" == state
    assert ("run: none", "spent: 15 credits") == (run, spent)
    assert re.fullmatch(r"oldest running: fox-1, task task-\S+, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", oldest)
    assert uncertain.startswith("uncertain: 1 item sent without an answer, and maybe billed: fox-0  (")

    code, out, _ = foxapi("status", "out", "--json")
    told = json.loads(out)
    assert (0, 4, None, 15, ["fox-0"]) == (
        code,
        told["expected"],
        told["run"],
        told["spent"],
        told["uncertain"],
    )
    assert {
        "done": 1,
        "submitted": 1,
        "uncertain": 1,
        "new": 0,
        "submitting": 0,
        "failed": 0,
        "unsaved": 0,
    } == told["counts"]
    assert "fox-1" == told["oldest"]["id"]


def test_the_status_while_a_run_is_on(foxapi, capfd):
    """`status` does not disturb a run: it shows the run's process, and a submit in progress as running."""

    async def meanwhile():
        async with SqliteLedger.opened("out/ledger.sqlite") as ledger:
            await ledger.submitting("x", "f" * 24, "key")
            return await asyncio.to_thread(main, ["status", "out"])

    Path("out").mkdir()
    assert 0 == asyncio.run(meanwhile())
    out, _ = capfd.readouterr()

    assert (
        f"out: 0 done, 1 running at the service (and billed)\nrun: on, in process {os.getpid()}\nspent: not known\n"
        == out
    )
    assert "out: 0 done, 1 uncertain" in foxapi("status", "out")[1]


def test_a_folder_without_a_batch(foxapi):
    """A folder without a ledger is not a batch."""
    Path("empty").mkdir()
    code, _, err = foxapi("status", "empty")

    assert (code, err) == (
        2,
        "foxapi: no batch has begun in the folder empty; give the folder of a batch\n",
    )


@pytest.mark.parametrize("command", ["status", "report", "export"])
@pytest.mark.parametrize("name", ["nowhere", "empty", "p.txt"])
def test_a_folder_that_is_none_has_one_exit_status(foxapi, service, command, name):
    """Every command that reads a batch exits 2 without a folder, with an empty one and with a file."""
    Path("empty").mkdir()
    write("p.txt", "a fox")
    code, out, err = foxapi(command, name)

    assert (code, out, name in err.splitlines()[-1]) == (2, "", True)


@pytest.mark.parametrize("command", ["status", "report", "export"])
def test_a_lost_ledger_is_no_wrong_command(foxapi, command):
    """A folder with a manifest had a ledger: it exits 3, but for the report, which needs only the manifest."""
    foxapi("batch", write("p.jsonl", *foxes(1)), *FAST)
    Path("out/ledger.sqlite").unlink()

    assert (0 if command == "report" else 3) == foxapi(command, "out")[0]


def test_only_the_first_uncertain_items_are_named():
    """More than twenty are only counted."""
    status = _batch_status.BatchStatus(
        counts=dict.fromkeys(ItemState, 0) | {ItemState.UNCERTAIN: 23},
        spent=0,
        uncertain=tuple(f"k{n}" for n in range(20)),
        oldest=None,
        run=None,
    )

    assert "k18, k19 and 3 more  (" in status.uncertain_words


async def test_at_most_twenty_uncertain_items_are_read(tmp_path):
    """Of thousands of uncertain items twenty are read; the oldest running task is the one submitted first."""
    async with SqliteLedger.opened(tmp_path / "ledger.sqlite") as ledger:
        for n in range(30):
            await ledger.submitting(f"k{n}", "f" * 24, "key")
            await (
                ledger.ended(f"k{n}", ItemState.UNCERTAIN, "{}")
                if n < 25
                else ledger.submitted(f"k{n}", f"t{n}")
            )
    status = await _batch_status.read_status(tmp_path)

    assert (20, 25, "k25") == (len(status.uncertain), status.unclear, status.oldest.key)


def test_a_lock_that_names_no_process(tmp_path):
    """A run is noticed even if its process is unknown."""
    import fcntl

    with (tmp_path / "ledger.sqlite.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "another process" == holder_of(tmp_path / "ledger.sqlite")
    assert holder_of(tmp_path / "ledger.sqlite") is None


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_a_report(foxapi, json_option):
    """The page of a batch is made in its folder, and its path printed."""
    foxapi("batch", write("p.jsonl", *foxes(2)), *FAST)
    code, out, _ = foxapi("report", "out", *json_option)

    assert 0 == code
    assert "out/report.html" == (json.loads(out)["path"] if json_option else out.strip())
    assert "fox-0" in Path("out/report.html").read_text()


def test_a_report_of_a_relative_folder_reads_its_ledger(foxapi):
    """The sum of credits is that of the ledger."""
    foxapi("batch", write("p.jsonl", *foxes(1)), *FAST)
    foxapi("report", "out")

    assert 'class="remark"' not in Path("out/report.html").read_text()


def test_a_report_of_nothing(foxapi):
    """A folder without a manifest has no page."""
    code, _, err = foxapi("report", "nowhere")

    assert (code, err) == (2, "foxapi: there is no folder nowhere; give the folder of a batch\n")


# the figures and their views


def figures(**given):
    usual = {
        "done": 448,
        "submitted": 99,
        "submitting": 1,
        "failed": 2,
        "uncertain": 1,
        "expected": 1000,
        "rate": 4.5,
        "spent": 2255.0,
        "budget": None,
        "polls": 12.34,
    }
    facts = usual | given
    return figures_of(Counter({state: facts.pop(state.value, 0) for state in ItemState}), **facts)


def test_figures_in_words():
    """How far, at what, how fast, at which cost: each part is in words."""
    assert figures(budget=5000) == Figures(
        share=0.451,
        progress="451 of 1,000",
        states=["448 done", "100 running", "2 failed", "1 uncertain"],
        pace=["4.5 items/s", "about 2:02 min left"],
        traffic=["2,255 of 5,000 credits", "12.3 polls/s"],
    )


def test_what_is_not_known_has_no_words():
    """Each part is left out if nothing is known of it."""
    bare = figures(failed=0, uncertain=0, expected=None, rate=None, spent=0.0, polls=0.0)

    assert bare == Figures(
        share=None, progress="448", states=["448 done", "100 running"], pace=[], traffic=[]
    )


def test_a_slow_batch_is_counted_by_the_minute():
    """Below two items a second the speed is that of a minute."""
    assert figures(expected=None, rate=0.5).pace == ["30.0 items/min"]


def test_a_batch_is_never_more_than_done():
    """More items than were expected are no more than all."""
    assert figures(expected=100).share == 1.0


@pytest.mark.virtual
async def test_a_speed_is_that_of_the_last_minutes():
    """An hour at one item a second, then three minutes at two: the speed is two. After a resume it starts again."""
    tally = Counter(dict.fromkeys(ItemState, 0) | {ItemState.DONE: 5000})
    batch = SimpleNamespace(tally=tally, expected=10_000, spent=0.0)
    progress = BatchProgress(batch, None)
    assert progress.rate() is None
    for _ in range(3600):
        await asyncio.sleep(1)
        progress.item_ended()
        assert progress.rate() in {None, 1.0}
    for _ in range(190):
        await asyncio.sleep(1)
        progress.item_ended()
        progress.item_ended()
        progress.figures()

    assert 2.0 == progress.rate()
    assert progress.figures().pace == ["2.0 items/s", "about 41:40 min left"]


@pytest.mark.virtual
async def test_polls_are_counted_over_ten_seconds():
    """Polls count, the answer to a submit does not, and old ones are dropped."""
    progress = BatchProgress(
        SimpleNamespace(tally=Counter({ItemState.DONE: 1}), expected=None, spent=0.0), None
    )
    for _ in range(30):
        await asyncio.sleep(0.5)
        progress.take(SimpleNamespace(elapsed=3.0))
        progress.take(SimpleNamespace(elapsed=0.0))
    assert 2.0 == pytest.approx(progress.poll_rate(), abs=0.2)
    await asyncio.sleep(60)

    assert 0.0 == progress.poll_rate()


def test_before_a_run_there_are_no_figures(new_loop):
    """While the input is read, there are no figures."""

    async def look():
        return BatchProgress(SimpleNamespace(tally={}, expected=None, spent=0.0), None).figures()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(look()) is None


async def progress_of(*answers):
    """The progress of a batch whose figures are these, one after the other."""
    found = iter(answers)
    progress = BatchProgress(SimpleNamespace(), None)
    progress.figures = lambda: next(found)
    return progress


async def test_lines_for_a_log():
    """For a log the whole state is one line."""
    states = "448 done, 100 running, 2 failed, 1 uncertain"
    progress = await progress_of(None, figures(), figures(rate=None, expected=None, spent=0.0, polls=0.0))

    assert [progress.summary() for _ in range(3)] == [
        "reading the input",
        f"451 of 1,000: {states}; 4.5 items/s, about 2:02 min left; 2,255 credits, 12.3 polls/s",
        f"451: {states}",
    ]


async def test_a_bar_for_all_items():
    """On a terminal there is one bar for all items, without a share if their number is not known."""
    progress = await progress_of(None, figures(), figures(expected=None))

    assert [progress.bars() for _ in range(3)] == [
        [],
        [ProgressRow("", 0.451, ["45%", "451 of 1,000"])],
        [ProgressRow("", None, ["451"])],
    ]


async def test_the_figures_below_the_bar():
    """Below the bar stand the states, then speed and cost."""
    progress = await progress_of(None, figures())

    assert [progress.details() for _ in range(2)] == [
        ["reading the input"],
        [
            "448 done   100 running   2 failed   1 uncertain",
            "4.5 items/s   about 2:02 min left   2,255 credits   12.3 polls/s",
        ],
    ]


@pytest.mark.thorough
def test_a_bar_on_a_terminal(service):
    """With rich a bar and its figures are shown on standard error, and disappear at the end."""
    service.add_fault(Fault.fails("content_policy_violation"))
    code, out, shown = on_a_terminal(
        "batch", write("p.jsonl", *foxes(30)), "--max-in-flight", "3", columns=120
    )

    assert (1, "") == (code, out)
    assert "━" in shown
    assert " of 30" in shown
    assert re.search(r"\d running", shown)
    assert shown.rfind("\x1b[?25h") > shown.rfind("━")


# the log


def test_a_batch_is_calm_about_what_all_items_share(capfd):
    """Hundreds of items held back by one refusal give one line in ten seconds; facts of the final summary
    give none.
    """
    log = logging.getLogger("foxapi_async")
    shown = []
    screen = SimpleNamespace(error=shown.append)
    with logging_to(screen, verbose=False, calm=True):
        for _ in range(100):
            log.warning("waiting: %s (%.0f s)", "HTTP 429", 3.0, extra={"event": "submits_held"})
        log.warning("a submit: %s", "x", extra={"event": "lost_submit"})
        log.warning("something else")

    assert shown == ["waiting: HTTP 429 (3 s)", "something else"]


def test_a_slow_hook_concerns_programs():
    """The command's own hooks are no business of its user."""
    shown = []
    with logging_to(SimpleNamespace(error=shown.append), verbose=False):
        logging.getLogger("foxapi_async").warning("the hook x", extra={"event": "hook_slow"})

    assert [] == shown


def test_what_holds_up_one_task_is_always_shown():
    """Outside of a batch each record of the log is a line."""
    log = logging.getLogger("foxapi_async")
    shown = []
    with logging_to(SimpleNamespace(error=shown.append), verbose=False):
        log.warning("waiting", extra={"event": "submits_held"})
        log.warning("waiting", extra={"event": "submits_held"})
        log.warning("lost", extra={"event": "lost_submit"})

    assert shown == ["waiting", "waiting", "lost"]


def test_small_texts():
    """Hours, grouped numbers, at most two decimals."""
    assert ("3:25 h", "59:59 min") == (texts.duration(12_345), texts.duration(3599))
    assert ("12,345", "0.5", "1,000.25") == tuple(map(texts.grouped, (12_345.0, 0.5, 1000.25)))
