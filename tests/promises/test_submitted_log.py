"""`submitted.jsonl`: a second record of accepted tasks, so that a lost ledger bills nothing again.

Each accepted id is a line in it. A run refuses to begin if that file or the manifest knows more than the
ledger; `--rebuild-ledger` makes the ledger again from both.
"""

import json
import shutil
import sqlite3
import threading
import time
from contextlib import closing

import pytest
from folders import MADE, Folder
from helpers import let_end, posts

from foxapi_async import LedgerError
from foxapi_async.emulator import Fault, ThreadedEmulator

LOG = "submitted.jsonl"
PATIENCE = 3.0

FOUR = [{"id": f"fox-{n}", "model": "grok-imagine-image", "prompt": f"fox {n}"} for n in range(4)]
RED = {"model": "grok-imagine-image", "prompt": "a red fox"}


@pytest.fixture
def service():
    """A service with fast tasks."""
    with ThreadedEmulator(seconds=0.01) as emulator:
        yield emulator


@pytest.fixture
def folder(service, tmp_path):
    """An empty folder."""
    return Folder(tmp_path / "batch", service)


@pytest.fixture
def stopped(folder, new_loop):
    """A batch that was cancelled: two items are done, one runs at the service, one did not start."""
    folder.service.add_fault(Fault.never_finishes(prompt="fox 2"))
    folder.write(FOUR)
    folder.stop_when_running(new_loop, "fox 2")
    let_end(folder.service)
    return folder


def log(folder):
    """The lines of `submitted.jsonl`."""
    return [json.loads(line) for line in (folder.path / LOG).read_text().splitlines()]


def lose_ledger(folder):
    """Delete the ledger, with SQLite's other files."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        folder.path.joinpath(f"ledger.sqlite{suffix}").unlink(missing_ok=True)


def keys_of(lines):
    """The keys of the manifest's lines."""
    return {line["id"] for line in lines}


# The content of the file.


def test_each_accepted_id_is_logged(stopped):
    """Every task that the service accepted has one line, in the order of acceptance, done or not."""
    assert list(stopped.service.tasks) == [line["task_id"] for line in log(stopped)]


@pytest.mark.parametrize("name", ["key", "fingerprint", "idempotency_key"])
def test_a_line_names_the_item_of_the_id(stopped, name):
    """A line has the item's key, the fingerprint of its request and the submit's idempotency key, as in the
    ledger.
    """
    with closing(sqlite3.connect(stopped.ledger)) as connection:
        known = dict(connection.execute(f"SELECT task_id, {name} FROM item"))

    assert known == {line["task_id"]: line[name] for line in log(stopped)}


def test_what_was_not_accepted_is_not_logged(folder):
    """A refused submit, and one without an answer, have no line."""
    folder.service.add_fault(Fault.status("submit", 400, prompt="fox 1"))
    folder.service.add_fault(Fault.cut_after("submit", prompt="fox 2"))
    folder.write(FOUR)
    folder.command()

    assert ["fox-0", "fox-3"] == sorted(line["key"] for line in log(folder))


def test_a_second_run_adds_its_lines(stopped):
    """The lines of earlier runs stay when the batch continues, and those of the new run follow."""
    before = [line["key"] for line in log(stopped)]
    stopped.command()

    assert [*before, "fox-3"] == [line["key"] for line in log(stopped)]


def test_an_id_is_logged_before_the_ledger_takes_it(folder, new_loop):
    """While another program blocks the ledger, an id that arrives is already in `submitted.jsonl`."""
    folder.service.add_fault(Fault.slow("submit", 0.5))
    folder.write(FOUR[:1])
    run = threading.Thread(target=folder.batch, args=(new_loop,))
    run.start()
    end = time.monotonic() + PATIENCE
    while not posts(folder.service):
        assert time.monotonic() < end
        run.join(0.005)
    logged = []
    with closing(sqlite3.connect(folder.ledger, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        while not logged and time.monotonic() < end:
            run.join(0.005)
            logged = log(folder) if (folder.path / LOG).exists() else []
        held = connection.execute("SELECT state FROM item").fetchall()
        connection.execute("ROLLBACK")
    run.join()

    assert [("submitting",)] == held
    assert list(folder.service.tasks) == [line["task_id"] for line in logged]


# A lost ledger.


def test_a_lost_ledger_is_noticed(stopped):
    """Without the folder's ledger, the same command ends with 3 and names the option."""
    lose_ledger(stopped)
    code, err = stopped.command()

    assert (3, True) == (code, "--rebuild-ledger" in err)


def test_a_lost_ledger_is_an_error_of_a_batch(stopped, new_loop):
    """A `Batch` without the folder's ledger raises LedgerError."""
    lose_ledger(stopped)
    with pytest.raises(LedgerError, match="rebuild_ledger"):
        stopped.batch(new_loop)


def test_a_lost_ledger_bills_nothing(stopped):
    """Without its ledger a batch sends nothing, not even items that did not start."""
    lose_ledger(stopped)
    billed = stopped.service.billed
    stopped.command()

    assert billed == stopped.service.billed


def test_a_lost_ledger_leaves_the_manifest(stopped):
    """A run that is refused for the lost ledger keeps every line of the manifest."""
    before = (stopped.path / "manifest.jsonl").read_text()
    lose_ledger(stopped)
    stopped.command()

    assert before == (stopped.path / "manifest.jsonl").read_text()


def test_a_lost_ledger_is_refused_every_time(stopped):
    """The refusal leaves no new ledger behind, which the next run could use."""
    lose_ledger(stopped)
    codes = [stopped.command()[0] for _ in range(2)]

    assert [3, 3] == codes


def test_the_log_alone_shows_that_a_ledger_was_lost(stopped):
    """Also without a manifest a lost ledger is noticed: `submitted.jsonl` has the accepted tasks."""
    lose_ledger(stopped)
    (stopped.path / "manifest.jsonl").unlink()

    assert 3 == stopped.command()[0]


@pytest.mark.parametrize("name", ["done", "failed", "counted", "killed"])
def test_the_manifest_alone_shows_that_a_ledger_was_lost(folder, name):
    """In a folder of an older version, which has no `submitted.jsonl`, the manifest shows that the ledger was lost."""
    folder.copy_from(name)
    lose_ledger(folder)

    assert (3, {}) == (folder.command()[0], folder.sent())


@pytest.fixture
def set_back(folder):
    """A batch whose ledger was replaced by a copy from before its second run."""
    folder.write(FOUR[:2])
    folder.command()
    shutil.copyfile(folder.ledger, folder.path / "copy")
    folder.write(FOUR)
    folder.command()
    shutil.copyfile(folder.path / "copy", folder.ledger)
    return folder


def test_an_older_ledger_is_noticed(set_back):
    """With an older copy of its ledger a batch ends with 3 and bills nothing."""
    billed = set_back.service.billed
    code, _ = set_back.command()

    assert (3, billed) == (code, set_back.service.billed)


@pytest.mark.thorough
def test_an_older_ledger_leaves_the_manifest(set_back):
    """A run that is refused for an older ledger keeps every line of the manifest."""
    before = (set_back.path / "manifest.jsonl").read_text()
    set_back.command()

    assert before == (set_back.path / "manifest.jsonl").read_text()


def test_a_failed_item_that_was_sent_again_is_no_loss(folder):
    """If an item has two ids and the ledger the later one, the next run does not end."""
    folder.service.add_fault(Fault.fails(prompt="fox 1"))
    folder.write(FOUR[:2])
    folder.command()
    folder.command("--retry-failed")

    assert 0 == folder.command()[0]


def test_a_kill_before_the_manifest_is_no_loss(folder):
    """A ledger that knows more than the manifest is right: the run continues."""
    folder.copy_from("manifest_behind")

    assert 0 == folder.command()[0]


# A rebuilt ledger.


def test_a_rebuilt_ledger_bills_nothing_again(stopped):
    """`--rebuild-ledger` sends items that did not start, and no item that either file proves."""
    lose_ledger(stopped)
    code, err = stopped.command("--rebuild-ledger")
    assert 0 == code, err

    assert {"fox 0": 1, "fox 1": 1, "fox 2": 1, "fox 3": 1} == stopped.sent()


def test_a_rebuilt_ledger_of_a_batch_bills_nothing_again(stopped, new_loop):
    """`Batch(..., rebuild_ledger=True)` does the same."""
    lose_ledger(stopped)
    stopped.batch(new_loop, rebuild_ledger=True)

    assert {"fox 0": 1, "fox 1": 1, "fox 2": 1, "fox 3": 1} == stopped.sent()


def test_a_rebuilt_ledger_waits_for_what_runs(stopped):
    """A task that is in `submitted.jsonl` and not in the manifest is waited for, by its id."""
    (running,) = [task.id for task in stopped.service.tasks.values() if task.body["prompt"] == "fox 2"]
    lose_ledger(stopped)
    stopped.command("--rebuild-ledger")

    assert {running} == {line["task_id"] for line in stopped.manifest() if line["id"] == "fox-2"}


@pytest.mark.thorough
def test_a_rebuilt_ledger_has_the_old_sums(stopped):
    """Done stays done: only unanswered items and those that did not start are new in the counts."""
    lose_ledger(stopped)
    stopped.command("--rebuild-ledger")

    assert {"done": 4} == stopped.counts()


def test_a_rebuilt_ledger_is_a_ledger(stopped):
    """After a rebuild the same command without the option continues, and sends nothing."""
    lose_ledger(stopped)
    stopped.command("--rebuild-ledger")
    billed = stopped.service.billed

    assert (0, billed) == (stopped.command()[0], stopped.service.billed)


@pytest.mark.thorough
def test_a_whole_ledger_is_rebuilt_to_the_same(stopped):
    """If nothing was lost, `--rebuild-ledger` bills no more than the same command without it."""
    code, _ = stopped.command("--rebuild-ledger")

    assert (0, {"fox 0": 1, "fox 1": 1, "fox 2": 1, "fox 3": 1}) == (code, stopped.sent())


def test_an_older_ledger_is_rebuilt(set_back):
    """An older copy of a ledger gets the missing facts from both files."""
    billed = set_back.service.billed
    code, _ = set_back.command("--rebuild-ledger")

    assert (0, billed) == (code, set_back.service.billed)


def test_the_later_id_of_an_item_counts(folder):
    """For an item that was sent again on request, a rebuilt ledger has the later task, which is done."""
    folder.service.add_fault(Fault.fails(prompt="fox 1"))
    folder.write(FOUR[:2])
    folder.command()
    folder.command("--retry-failed")
    lose_ledger(folder)
    folder.command("--rebuild-ledger")

    assert {"done": 2} == folder.counts()


def test_equal_items_are_rebuilt_by_their_number(folder):
    """Items without an id are proven by their counted keys: none of three equal ones is billed again."""
    folder.write([RED, RED, RED])
    folder.command()
    lose_ledger(folder)
    code, _ = folder.command("--rebuild-ledger")

    assert (0, 3) == (code, folder.service.billed)


def test_a_torn_line_proves_nothing_and_harms_nothing(stopped):
    """A last line of `submitted.jsonl` that a kill has cut is left out; the lines before it count."""
    with (stopped.path / LOG).open("a") as file:
        file.write('{"key": "fox-3", "fingerp')
    lose_ledger(stopped)
    code, _ = stopped.command("--rebuild-ledger")

    assert (0, 1) == (code, stopped.sent()["fox 2"])


@pytest.mark.thorough
def test_a_torn_line_does_not_end_a_run(stopped):
    """After a kill within a line of `submitted.jsonl` the same command continues, and its own lines are whole."""
    assert 3 == len(log(stopped))
    with (stopped.path / LOG).open("a") as file:
        file.write('{"key": "fox-3", "fingerp')
    code, _ = stopped.command()
    lines = (stopped.path / LOG).read_text().splitlines()

    assert (0, "fox-3") == (code, json.loads(lines[-1])["key"])


# Folders of older versions, without this file.


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("new", {"done": 1, "uncertain": 2}),
        ("submitting", {"done": 1, "uncertain": 3}),
        ("submitted", {"done": 1, "uncertain": 3}),
        ("done", {"done": 2, "uncertain": 1}),
        ("failed", {"done": 1, "failed": 2}),
        ("uncertain", {"done": 1, "uncertain": 2}),
        ("finished", {"done": 3}),
        ("killed", {"done": 1, "failed": 1, "uncertain": 5}),
        ("manifest_behind", {"done": 1, "uncertain": 2}),
        ("counted", {"done": 2, "uncertain": 3}),
        ("models", {"done": 2, "uncertain": 2}),
    ],
)
@pytest.mark.thorough
def test_what_the_manifest_does_not_prove_is_uncertain(folder, name, states):
    """Without `submitted.jsonl`, an item without proof in the manifest is uncertain after a rebuild."""
    folder.copy_from(name)
    lose_ledger(folder)
    folder.command("--rebuild-ledger")

    assert states == folder.counts()


@pytest.mark.parametrize("name", sorted(path.name for path in MADE.iterdir()))
def test_what_may_have_been_billed_is_not_sent(folder, name):
    """Without `submitted.jsonl`, a rebuild sends nothing at all."""
    folder.copy_from(name)
    lose_ledger(folder)
    code, _ = folder.command("--rebuild-ledger")

    assert (True, {}) == (code in {0, 1}, folder.sent())


def test_what_is_unproven_is_sent_on_request(folder):
    """After such a rebuild, `--resubmit-uncertain` sends the items without proof in the manifest."""
    folder.copy_from("submitted")
    lose_ledger(folder)
    folder.command("--rebuild-ledger")
    folder.command("--resubmit-uncertain")

    assert {"fox 1": 1, "fox 2": 1, "fox 3": 1} == folder.sent()


# No key ever leaves the manifest.


@pytest.mark.parametrize("name", sorted(path.name for path in MADE.iterdir()))
def test_a_rebuild_keeps_the_lines_of_the_manifest(folder, name):
    """Every line of the manifest is in it after a rebuild, the same bytes."""
    folder.copy_from(name)
    before = (folder.path / "manifest.jsonl").read_text().splitlines()
    lose_ledger(folder)
    code, _ = folder.command("--rebuild-ledger")
    after = (folder.path / "manifest.jsonl").read_text().splitlines()

    assert (True, []) == (code in {0, 1}, [line for line in before if line not in after])


def test_a_key_that_the_input_has_no_more_stays(stopped):
    """An item whose line was removed from the input stays in the manifest after a rebuild."""
    before = keys_of(stopped.manifest())
    stopped.write(FOUR[3:])
    lose_ledger(stopped)
    code, _ = stopped.command("--rebuild-ledger")

    assert (0, before | {"fox-2", "fox-3"}) == (code, keys_of(stopped.manifest()))


def test_a_retried_item_stays_in_the_manifest_while_it_runs(folder, new_loop):
    """A failed item that is sent again, and runs when the batch stops, keeps a line in the manifest."""
    folder.service.add_fault(Fault.fails(prompt="fox 1"))
    folder.service.add_fault(Fault.never_finishes(prompt="fox 1"))
    folder.write(FOUR[:2])
    folder.command()
    folder.stop_when_running(new_loop, "fox 1", retry_failed=True)
    folder.stop_when_running(new_loop, "fox 1")

    assert {"fox-0", "fox-1"} == keys_of(folder.manifest())
