"""Folders of commit 1bcbcf5, each in another state, continue: nothing is lost and nothing is paid twice.

`tests/fixtures/make_folders.py` says how they were made. Every fact holds for `Batch` and for the command line.
"""

import contextlib
import hashlib
import json
import sqlite3
from pathlib import Path

import pytest
from folders import MADE, Folder

from foxapi_async.emulator import Fault, ThreadedEmulator

# How each folder was left: the state of each item in its ledger.
LEFT = {
    "new": {"fox-0": "done", "fox-1": "new"},
    "submitting": {"fox-0": "done", "fox-1": "submitting", "fox-2": "submitting"},
    "submitted": {"fox-0": "done", "fox-1": "submitted", "fox-2": "submitted"},
    "done": {"fox-0": "done", "fox-1": "done"},
    "failed": {"fox-0": "done", "fox-1": "failed", "fox-2": "failed"},
    "uncertain": {"fox-0": "done", "fox-1": "uncertain", "fox-2": "uncertain"},
    "finished": {"fox-0": "done", "fox-1": "done", "fox-2": "done"},
    "killed": {
        "fox-0": "done",
        "fox-1": "new",
        "fox-2": "uncertain",
        "fox-3": "failed",
        "fox-4": "submitted",
        "fox-5": "submitting",
    },
    "manifest_behind": {"fox-0": "done", "fox-1": "done"},
    "counted": {
        "fox-0": "done",
        "08796f4b9edc369841692920#1": "done",
        "08796f4b9edc369841692920#2": "submitted",
    },
    "models": {"grok": "done", "pro": "done", "flash": "submitted", "raw": "submitting"},
}
# The prompts that are in the input and not in the ledger, with how often each must still be sent.
NOT_BEGUN = {
    "new": {"fox 2": 1},
    "submitting": {"fox 3": 1},
    "submitted": {"fox 3": 1},
    "done": {"fox 2": 1},
    "killed": {"fox 6": 1},
    "manifest_behind": {"fox 2": 1},
    "counted": {"a grey fox": 1, "a red fox": 1},
}
# The amount that a ledger counts as spent: the reserved credits; for an unanswered submit the expected cost.
SPENT = {
    "new": 5,
    "submitting": 10,
    "submitted": 15,
    "done": 10,
    "failed": 10,
    "uncertain": 15,
    "finished": 15,
    "killed": 15,
    "manifest_behind": 10,
    "counted": 15,
    "models": 20,
}
# The state of an item after the same command ran again without any option.
BECOMES = {
    "new": "done",
    "submitting": "uncertain",
    "submitted": "done",
    "done": "done",
    "failed": "failed",
    "uncertain": "uncertain",
}


def with_state(state):
    """The folders that have an item in this state."""
    return [name for name, items in LEFT.items() if state in items.values()]


def keys_in(name, state):
    """The items of a folder in this state."""
    return [key for key, found in LEFT[name].items() if found == state]


def sums(states):
    """How often each state occurs."""
    found = list(states)
    return {state: found.count(state) for state in set(found)}


def prompt_of(key):
    """The prompt of an item with an id."""
    return key.replace("-", " ")


def states_after(name):
    """The later states of the items in a folder's ledger."""
    return {key: BECOMES[state] for key, state in LEFT[name].items()}


@pytest.fixture
def service():
    """A service with fast tasks."""
    with ThreadedEmulator(seconds=0.01) as emulator:
        yield emulator


@pytest.fixture
def folder(service, tmp_path):
    """A folder; `copy_from` makes it a copy of a fixture."""
    return Folder(tmp_path / "batch", service)


@pytest.fixture(params=["batch", "command"])
def resume(request, new_loop):
    """Runs the batch of a folder again, by `Batch` or by the command line."""

    def by_batch(folder, **options):
        folder.batch(new_loop, **options)

    def by_command(folder, **options):
        code, err = folder.command(*(f"--{name.replace('_', '-')}" for name in options))
        assert code in {0, 1}, err

    return by_batch if request.param == "batch" else by_command


@pytest.fixture(scope="module")
def kept():
    """The folders that were resumed already, by fixture, way and options; many facts are about one run."""
    with contextlib.ExitStack() as stack:
        yield stack, {}


@pytest.fixture
def resumed(request, resume, kept, tmp_path_factory):
    """Gives a copy of a fixture after the next run of its batch. Tests only read it."""
    stack, folders = kept
    way = request.node.callspec.params["resume"]

    def give(name, **options):
        mark = (name, way, *options)
        if mark not in folders:
            service = stack.enter_context(ThreadedEmulator(seconds=0.01))
            folder = Folder(tmp_path_factory.mktemp("old") / "batch", service)
            folder.copy_from(name)
            resume(folder, **options)
            folders[mark] = folder
        return folders[mark]

    return give


@pytest.mark.parametrize("name", LEFT)
def test_the_sums_of_an_old_folder_are_read(folder, name):
    """`foxapi status` counts the items of an old folder by their states."""
    folder.copy_from(name)

    assert sums(LEFT[name].values()) == folder.counts()


@pytest.mark.parametrize("name", LEFT)
def test_the_cost_of_an_old_folder_is_read(folder, name):
    """`foxapi status` shows the spending of an old folder."""
    folder.copy_from(name)

    assert SPENT[name] == folder.status()["spent"]


@pytest.mark.parametrize("name", LEFT)
def test_reading_an_old_folder_changes_no_file(folder, name):
    """`foxapi status` does not change the ledger, its WAL or the manifest."""
    folder.copy_from(name)
    folder.status()
    names = ("ledger.sqlite", "ledger.sqlite-wal", "manifest.jsonl")
    kept = {n: (MADE / name / n).read_bytes() for n in names if (MADE / name / n).exists()}

    assert kept == {n: (folder.path / n).read_bytes() for n in kept}


@pytest.mark.parametrize("name", with_state("done"))
def test_a_done_item_is_not_polled_again(resumed, name):
    """The task of a done item is not polled again."""
    folder = resumed(name)
    before = map(json.loads, (MADE / name / "manifest.jsonl").read_text().splitlines())

    assert set() == {line["task_id"] for line in before if line["status"] == "done"} & folder.polled()


@pytest.mark.parametrize("name", with_state("done"))
def test_the_images_of_what_is_done_are_not_touched(resumed, name):
    """The saved images of an earlier run are the same bytes afterwards."""
    folder = resumed(name)
    saved = {path.name: path.read_bytes() for path in (MADE / name / "images").iterdir()}

    assert saved == {name: (folder.path / "images" / name).read_bytes() for name in saved}


@pytest.mark.parametrize("name", LEFT)
def test_only_what_was_never_sent_is_sent(resumed, name):
    """New items and those that did not start are sent once each; no other item is."""
    folder = resumed(name)
    wanted = NOT_BEGUN.get(name, {}) | {prompt_of(key): 1 for key in keys_in(name, "new")}

    assert wanted == folder.sent()


@pytest.mark.parametrize("name", with_state("submitted"))
def test_what_was_submitted_is_waited_for(resumed, name):
    """A task that runs at the service is polled by its id until it is done."""
    folder = resumed(name)
    done = {line["task_id"] for line in folder.manifest() if line["status"] == "done"}
    waited = {line["task_id"] for line in folder.manifest() if line["id"] in keys_in(name, "submitted")}

    assert len(keys_in(name, "submitted")) == len(waited & done & folder.polled())


@pytest.mark.parametrize("name", with_state("submitted"))
def test_what_was_submitted_needs_no_input(folder, new_loop, name):
    """Without its input, a running task is still waited for, with the request that made it."""
    folder.copy_from(name)
    folder.batch(new_loop, items=[])
    bodies = {task["id"]: task["body"] for task in folder.tasks()}
    waited = [line for line in folder.manifest() if line["id"] in keys_in(name, "submitted")]

    assert [bodies[line["task_id"]] for line in waited] == [line["request"] for line in waited]


@pytest.mark.parametrize("name", with_state("submitting"))
def test_what_was_being_submitted_is_uncertain(resumed, name):
    """An item that was recorded and not answered when the run was killed is reported as uncertain."""
    folder = resumed(name)
    keys = keys_in(name, "submitting")

    assert dict.fromkeys(keys, "uncertain") == {key: folder.reported()[key] for key in keys}


@pytest.mark.parametrize("name", with_state("uncertain"))
def test_what_is_uncertain_stays_uncertain(resumed, name):
    """An uncertain item is still reported as uncertain after another run."""
    folder = resumed(name)
    keys = keys_in(name, "uncertain")

    assert dict.fromkeys(keys, "uncertain") == {key: folder.reported()[key] for key in keys}


@pytest.mark.parametrize("name", sorted({*with_state("uncertain"), *with_state("submitting")}))
def test_what_is_uncertain_is_sent_again_on_request(resumed, name):
    """With `resubmit_uncertain`, uncertain items and those with an unanswered submit are done afterwards."""
    folder = resumed(name, resubmit_uncertain=True)
    keys = [*keys_in(name, "uncertain"), *keys_in(name, "submitting")]

    assert dict.fromkeys(keys, "done") == {key: folder.reported()[key] for key in keys}


@pytest.mark.parametrize("name", sorted({*with_state("uncertain"), *with_state("submitting")}))
def test_what_is_sent_again_carries_the_same_key(resumed, name):
    """A repeated submit has the idempotency key of the first one, from before the kill."""
    folder = resumed(name, resubmit_uncertain=True)
    before = {json.dumps(task["body"]): task["idempotency_key"] for task in folder.tasks()}
    again = {json.dumps(task.body): task.idempotency_key for task in folder.accepted()}
    keys = {body: key for body, key in again.items() if body in before}

    assert {body: before[body] for body in keys} == keys
    assert {} != keys


@pytest.mark.parametrize("name", with_state("failed"))
def test_what_failed_is_sent_again_on_request(resumed, name):
    """With `retry_failed`, failed items are sent once more and are done; no uncertain one is sent."""
    folder = resumed(name, retry_failed=True)
    keys = [*keys_in(name, "failed"), *keys_in(name, "new")]

    assert NOT_BEGUN.get(name, {}) | {prompt_of(key): 1 for key in keys} == folder.sent()


@pytest.mark.parametrize("name", with_state("failed"))
def test_what_failed_is_new_work(resumed, name):
    """A failed item that is sent again on request has a new idempotency key: it is another bill."""
    folder = resumed(name, retry_failed=True)
    used = {task["idempotency_key"] for task in folder.tasks()}
    failed = {prompt_of(key) for key in keys_in(name, "failed")}
    again = {task.idempotency_key for task in folder.accepted() if task.body["prompt"] in failed}

    assert set() == used & again


@pytest.mark.parametrize("name", LEFT)
def test_the_sums_after_the_next_run(resumed, name):
    """After the next run `foxapi status` counts every item in its new state."""
    folder = resumed(name)
    begun_now = ["done"] * sum(NOT_BEGUN.get(name, {}).values())

    assert sums([*states_after(name).values(), *begun_now]) == folder.counts()


@pytest.mark.parametrize("name", LEFT)
def test_the_manifest_after_the_next_run(resumed, name):
    """After the next run the manifest has the new state of each item in the ledger."""
    reported = resumed(name).reported()

    assert states_after(name) == {key: reported[key] for key in LEFT[name]}


@pytest.mark.parametrize("name", LEFT)
def test_the_manifest_has_a_line_for_each_item(resumed, name):
    """After the next run the manifest has as many lines as the input has items, and no item twice."""
    folder = resumed(name)

    assert len(folder.lines()) == len(folder.manifest()) == len(folder.reported())


@pytest.mark.parametrize("name", LEFT)
def test_lines_of_the_manifest_are_kept(resumed, name):
    """Every line of the manifest is in it afterwards, the same bytes."""
    folder = resumed(name)
    before = (MADE / name / "manifest.jsonl").read_text().splitlines()
    after = (folder.path / "manifest.jsonl").read_text().splitlines()

    assert [] == [line for line in before if line not in after]


def test_a_manifest_that_is_a_line_behind_is_made_whole(folder, new_loop):
    """The next run writes the line that a killed run could not write, even if it has nothing else to do."""
    folder.copy_from("manifest_behind")
    folder.batch(new_loop, items=[])

    assert {"fox-0": "done", "fox-1": "done"} == folder.reported()


@pytest.mark.parametrize("name", LEFT)
def test_a_third_run_sends_nothing(resumed, resume, name):
    """After the next run of an old folder the same command sends nothing more."""
    folder = resumed(name)
    billed = folder.service.billed
    resume(folder)

    assert billed == folder.service.billed


def test_lines_in_front_of_equal_ones_bill_nothing_again(folder, resume):
    """Items without an id are recognised by their request: others before them do not matter."""
    folder.copy_from("counted")
    folder.write(
        [{"id": "first", "model": "grok-imagine-image", "prompt": "a blue fox"}, *reversed(folder.lines())]
    )
    resume(folder)

    assert {"a blue fox": 1, "a grey fox": 1, "a red fox": 1} == folder.sent()


def test_a_refused_item_keeps_its_key(folder, resume):
    """An item that was refused and is new again is sent with the idempotency key in its ledger."""
    folder.copy_from("new")
    with contextlib.closing(sqlite3.connect(folder.ledger)) as connection:
        (key,) = connection.execute("SELECT idempotency_key FROM item WHERE key = 'fox-1'").fetchone()
    resume(folder)
    (sent,) = [task for task in folder.service.tasks.values() if task.body["prompt"] == "fox 1"]

    assert key == sent.idempotency_key


def lie_here(folder, defaults=(("model", "grok-imagine-image"),)):
    """Note the input's present path in the ledger: it was moved since its checksum was noted."""
    checksum = hashlib.sha256(folder.file.read_bytes()).hexdigest()
    facts = [checksum, "jsonl", str(folder.path), [list(pair) for pair in defaults]]
    mark = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    with contextlib.closing(sqlite3.connect(folder.ledger, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'finished'", (mark,))
        connection.execute("UPDATE meta SET value = ? || ' 3' WHERE name = 'validated'", (mark,))


def test_a_finished_file_is_not_gone_through_again(folder):
    """A file with the checksum of a finished one is not read for items: a line that is wrong now is not found."""
    folder.copy_from("finished")
    folder.file.write_text(folder.file.read_text() + '{"id": "fox-3", "num_outputs": "nine"}\n')
    lie_here(folder)

    assert 0 == folder.command()[0]


def test_a_finished_file_asks_the_service_for_nothing(folder):
    """If everything is done the same command makes no request at all."""
    folder.copy_from("finished")
    lie_here(folder)
    folder.command()

    assert [] == folder.service.requests


def test_a_finished_file_is_counted(folder):
    """`foxapi status` shows how many items the file of an old folder has."""
    folder.copy_from("finished")

    assert 3 == folder.status()["expected"]


def test_each_task_that_continues_keeps_its_model(folder, resume):
    """The line of the manifest names its own task's model if a batch has several."""
    folder.copy_from("models")
    resume(folder)

    assert {
        "grok": "grok-imagine-image",
        "pro": "gemini-3-pro-image-preview",
        "flash": "gemini-3.1-flash-image-preview",
        "raw": "z-image-turbo",
    } == {line["id"]: line["model"] for line in folder.manifest()}


def test_a_task_that_failed_meanwhile(folder, resume):
    """A task that was submitted by an old run and has failed since is reported as failed."""
    folder.service.add_fault(Fault.fails(prompt="fox 1"))
    folder.copy_from("submitted")
    resume(folder)

    assert "failed" == folder.reported()["fox-1"]


def test_a_lost_connection_while_an_old_task_is_waited_for(folder, resume):
    """Polls that fail for a while change nothing: the task of an old run is done at the end."""
    folder.service.add_fault(Fault.cut_before("poll", times=2))
    folder.copy_from("submitted")
    resume(folder)

    assert "done" == folder.reported()["fox-1"]


def test_every_fixture_is_tried():
    """Every folder among the fixtures is tested."""
    assert sorted(LEFT) == sorted(path.name for path in Path(MADE).iterdir())
