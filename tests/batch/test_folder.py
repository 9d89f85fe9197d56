"""The folder of a batch: at which service it continues, its logs, and how a lost ledger is made again."""

import asyncio
import errno
import json
import os
import sqlite3
import stat
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from folders import Folder
from helpers import fox_request, let_end

from foxapi_async import Batch, LedgerError, parse_request
from foxapi_async._batch.folder import BatchFolder, Terms, begun_at
from foxapi_async._batch.keys import fingerprint
from foxapi_async._batch.manifest import proven_ends
from foxapi_async._ledger import schema
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.lock import FileLock
from foxapi_async._ledger.recovery import Proof
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async._ledger.submitted_log import SubmittedLog, known_part, mark_of
from foxapi_async.emulator import Fault, ThreadedEmulator

TWO = [{"id": f"fox-{n}", "model": "grok-imagine-image", "prompt": f"fox {n}"} for n in range(2)]


@pytest.fixture
def folder(tmp_path):
    """A folder with an input of two items."""
    with ThreadedEmulator(seconds=0.01) as service:
        folder = Folder(tmp_path / "batch", service)
        folder.write(TWO)
        yield folder


@pytest.fixture
def moved(folder):
    """The folder after a run in which one of two items was accepted, at another address of the service."""
    folder.service.add_fault(Fault.never_finishes(prompt="fox 1"))
    folder.write(TWO[:1])
    folder.command()
    with ThreadedEmulator(seconds=0.01) as other:
        folder.service = other
        folder.write(TWO)
        yield folder


def test_another_service_is_refused(moved):
    """A batch that was begun at another address ends with 3, sends nothing and names the option."""
    code, err = moved.command()

    assert (3, [], True) == (code, moved.service.requests, "--other-origin" in err)


def test_another_service_is_taken_on_request(moved):
    """With --other-origin the batch continues at the new address, now and by the next command."""
    codes = [moved.command("--other-origin")[0], moved.command()[0]]

    assert ([0, 0], {"fox 1": 1}) == (codes, moved.sent())


def test_another_service_of_a_batch(moved, new_loop):
    """`Batch(other_origin=True)` does the same."""
    with pytest.raises(LedgerError, match="other_origin=True"):
        moved.batch(new_loop)
    moved.batch(new_loop, other_origin=True)

    assert {"fox 1": 1} == moved.sent()


def test_a_wrong_address_may_be_put_right(folder):
    """A folder whose items were all refused accepts another address without an option."""
    folder.service.add_fault(Fault.status("submit", 402, times=None))
    folder.command()
    with ThreadedEmulator(seconds=0.01) as other:
        folder.service = other
        code, _ = folder.command()

    assert 0 == code


def test_the_emulator_rebuilds_no_ledger(folder):
    """--rebuild-ledger with --emulator is refused: a paid task must not be read at the emulator."""
    code, err = folder.command("--emulator", "--rebuild-ledger")

    assert code == 2
    assert "the ledger of the emulator's batch cannot be made again; choose another --out" in err


@pytest.mark.parametrize("name", ["submitted.jsonl", "submitting.jsonl"])
def test_the_logs_are_private(folder, name):
    """Only their owner can read the logs."""
    folder.command()

    assert 0o600 == stat.S_IMODE((folder.path / name).stat().st_mode)


def lose_ledger(folder):
    """Delete the ledger."""
    for path in folder.path.glob("ledger.sqlite*"):
        path.unlink()


def test_what_was_being_sent_is_uncertain_after_a_rebuild(folder):
    """If an item's POST had no answer when run and ledger were lost, it is not sent again: it is uncertain."""
    folder.service.add_fault(Fault.cut_after("submit", prompt="fox 1"))
    folder.command()
    for name, end in (
        ("submitting.jsonl", '"state": "uncertain"'),
        ("manifest.jsonl", '"status": "uncertain"'),
    ):
        lines = (folder.path / name).read_text().splitlines(keepends=True)
        (folder.path / name).write_text("".join(line for line in lines if end not in line))
    lose_ledger(folder)
    folder.command("--rebuild-ledger")

    assert (2, {"done": 1, "uncertain": 1}) == (folder.service.billed, folder.counts())


def test_an_unanswered_submit_is_noted_before_it_leaves(folder):
    """Each submit that was sent and never answered is in `submitting.jsonl`. Those that ended have a line
    that says so.
    """
    folder.service.add_fault(Fault.cut_after("submit", prompt="fox 1"))
    folder.command()
    lines = [json.loads(line) for line in (folder.path / "submitting.jsonl").read_text().splitlines()]

    assert {"fox-0": ["submitting"], "fox-1": ["submitting", "uncertain"]} == {
        key: [line["state"] for line in lines if line["key"] == key] for key in ("fox-0", "fox-1")
    }


def test_an_id_that_was_logged_and_not_committed_is_waited_for(folder, new_loop):
    """A run that was killed between the log and the ledger's commit loses no id: the next run waits for that task."""
    folder.service.add_fault(Fault.never_finishes(prompt="fox 1"))
    folder.stop_when_running(new_loop, "fox 1")
    let_end(folder.service)
    with closing(sqlite3.connect(folder.ledger, isolation_level=None)) as connection:
        connection.execute("UPDATE item SET state = 'submitting', task_id = NULL WHERE key = 'fox-1'")
        connection.execute("DELETE FROM meta WHERE name = 'marks'")  # a killed run did not note the log's end
    code, _ = folder.command()

    assert (0, 2, {"done": 2}) == (code, folder.service.billed, folder.counts())


def test_a_log_that_was_lost_is_written_again(folder):
    """Without `submitted.jsonl` a run writes it again, with every id in the ledger."""
    folder.command()
    log = folder.path / "submitted.jsonl"
    before = sorted(log.read_text().splitlines())
    log.unlink()
    folder.command()

    assert before == sorted(log.read_text().splitlines())


def test_a_log_that_was_cut_gets_its_ids_back(folder):
    """If `submitted.jsonl` is shorter than the last run left it, the ids of the ledger are added."""
    folder.command()
    log = folder.path / "submitted.jsonl"
    ids = {json.loads(line)["task_id"] for line in log.read_text().splitlines()}
    log.write_text("")
    folder.command()

    assert ids == {json.loads(line)["task_id"] for line in log.read_text().splitlines()}


class FullLog(SubmittedLog):
    """Logs; one of them is on a full disk after its opening."""

    def __init__(self, folder, full):
        super().__init__(folder)
        self.full = folder / full

    def open(self, connection, *, agrees):
        super().open(connection, agrees=agrees)
        os.close(self._files[self.full])
        self._files[self.full] = os.open("/dev/full", os.O_WRONLY)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
async def test_an_id_that_cannot_be_logged_is_in_the_ledger(tmp_path):
    """If an id cannot be logged, the ledger still has it, and no more is noted."""
    with pytest.raises(LedgerError, match=r"cannot write .*submitted\.jsonl: No space left"):
        async with SqliteLedger.opened(tmp_path / "ledger.db") as ledger:
            await ledger.keep_log(FullLog(tmp_path, "submitted.jsonl"), agrees=True)
            await ledger.submitting("a", "fox", "key")
            await ledger.submitted("a", "task 1")
    async with SqliteLedger.opened(tmp_path / "ledger.db") as ledger:
        assert "task 1" == (await ledger.look_up(["a"]))["a"].task_id


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
async def test_what_cannot_be_logged_is_not_sent(tmp_path):
    """If a submit cannot be logged before it is sent, its caller gets an error, and so does every later one."""
    with pytest.raises(LedgerError):
        async with SqliteLedger.opened(tmp_path / "ledger.db") as ledger:
            await ledger.keep_log(FullLog(tmp_path, "submitting.jsonl"), agrees=True)
            for key in "ab":
                with pytest.raises(LedgerError, match=r"cannot write .*submitting\.jsonl: No space left"):
                    await ledger.submitting(key, "fox", "key")


class ShortLog(SubmittedLog):
    """Logs; one of them takes only the beginning of a write."""

    def open(self, connection, *, agrees):
        super().open(connection, agrees=agrees)
        os.close(self._files[self.submitting])
        self.reader, self._files[self.submitting] = os.pipe()
        os.set_blocking(self._files[self.submitting], False)


async def test_a_line_that_is_written_in_part_is_an_error(tmp_path):
    """A submit whose line was only partly written is not sent."""
    log = ShortLog(tmp_path)
    with pytest.raises(LedgerError):
        async with SqliteLedger.opened(tmp_path / "ledger.db") as ledger:
            await ledger.keep_log(log, agrees=True)
            with pytest.raises(LedgerError, match=r"cannot write .*submitting\.jsonl: Resource temporarily"):
                await ledger.submitting("a" * 1_000_000, "fox", "key")
    os.close(log.reader)


async def test_a_log_that_cannot_be_opened(tmp_path):
    """If a folder is in the place of a log, the error names it."""
    (tmp_path / "submitting.jsonl").mkdir()
    async with SqliteLedger.opened(tmp_path / "ledger.db") as ledger:
        with pytest.raises(LedgerError, match=r"cannot write .*submitting\.jsonl: Is a directory"):
            await ledger.keep_log(SubmittedLog(tmp_path), agrees=True)


async def test_an_id_is_logged_once(tmp_path):
    """An id that the ledger already has, and one that it refuses, add no line."""
    log = SubmittedLog(tmp_path)
    async with SqliteLedger.opened(tmp_path / "ledger.db") as ledger:
        await ledger.keep_log(log, agrees=True)
        await brought(ledger, "failed")
        await ledger.submitted("a", "task 1")
        with pytest.raises(LedgerError):
            await ledger.submitted("unknown", "task 2")

    assert ["task 1"] == [proof.task_id for proof in log.accepted_ids()]


async def test_the_log_keeps_submits_without_an_answer(tmp_path):
    """`submitting.jsonl` is not emptied while the ledger has an unanswered submit."""
    for _ in range(2):
        async with SqliteLedger.opened(tmp_path / "ledger.db") as ledger:
            await ledger.keep_log(SubmittedLog(tmp_path), agrees=True)
            if not await ledger.look_up(["a"]):
                await ledger.submitting("a", "fox", "key")

    assert {("a", "key")} == {(proof.key, proof.idempotency_key) for proof in SubmittedLog(tmp_path).moves()}


def make_hot(folder):
    """Run the batch, then leave a ledger with the journal of a killed commit. Returns the bytes of both."""
    folder.command()
    with closing(sqlite3.connect(folder.ledger, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE item SET state = 'new'")
        connection.execute("CREATE TABLE filler (text)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 3000,)] * 60)
        files = {p: p.read_bytes() for p in folder.path.glob("ledger.sqlite*")}
        connection.execute("ROLLBACK")
    for path, data in files.items():
        path.write_bytes(data)
    return files


def test_status_reads_a_ledger_after_a_killed_commit(folder):
    """`foxapi status` reads a ledger with a hot journal, and changes no byte of either file."""
    files = make_hot(folder)
    counts = folder.counts()

    assert ({"done": 2}, files) == (counts, {path: path.read_bytes() for path in files})


def test_a_ledger_in_use_is_not_copied(folder):
    """While a run has the ledger, a failed read is an error: a copy made now may be torn."""
    make_hot(folder)
    holder = FileLock(folder.ledger)
    code, _, err = folder.foxapi("status", str(folder.path))
    holder.release()

    assert (3, True) == (code, "cannot be written" in err)


def test_there_is_no_room_for_a_copy(folder, monkeypatch):
    """If there is no room for the copy that recovery needs, the error says so, and the copy is removed."""
    make_hot(folder)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(schema.shutil, "copyfile", full)
    monkeypatch.setattr(tempfile, "tempdir", str(folder.path))
    code, _, err = folder.foxapi("status", str(folder.path))

    assert (3, True, []) == (code, "No space left" in err, list(folder.path.glob("foxapi-*")))


# The manifest as evidence.


def test_lines_of_a_manifest_that_prove_nothing():
    """Lines without an id or with an unknown status are left out."""
    lines = [b"[]", b"{}", b'{"id": "a", "status": "odd"}', b'{"id": 5, "status": "done"}', b"{"]

    assert [] == list(proven_ends(lines))


@pytest.mark.parametrize("image", ["https://example.com/a.png", "photos/a.png"])
def test_the_fingerprint_of_a_line_is_that_of_its_request(image):
    """A line of the manifest gives the fingerprint of its request, also with a local file."""
    fields = {"model": "grok-imagine-image", "prompt": "fox", "image_urls": [image]}
    given = {**fields, "image_urls": [image if "://" in image else Path(image)]}
    line = {"id": "a", "status": "done", "task_id": "t", "request": fields, "usage": {"credits_reserved": 5}}
    (proof,) = proven_ends([json.dumps(line).encode()])

    assert (fingerprint(parse_request(given)), 5.0) == (proof.fingerprint, proof.price)


def test_a_request_of_a_later_version_has_a_fingerprint(folder):
    """A line with a request of an unknown form still proves its item."""
    line = {
        "id": "a",
        "status": "failed",
        "request": {"model": "grok-imagine-image"},
        "error": {"charged": "no"},
    }
    (proof,) = proven_ends([json.dumps(line).encode()])

    assert (24, 0.0) == (len(proof.fingerprint), proof.price)


def test_a_long_line_that_was_cut_is_removed(folder):
    """A cut line at the end of the manifest is removed, however long it is; the lines before it stay."""
    folder.command()
    manifest = folder.path / "manifest.jsonl"
    before = manifest.read_text()
    manifest.write_text(before + '{"id": "' + "x" * 200_000)
    folder.command()

    assert before == manifest.read_text()


# The rules of proof, one by one.


def accepted(key, task_id, idempotency_key="key", price=5.0):
    """A line of `submitted.jsonl`."""
    return Proof(
        key=key,
        state=ItemState.SUBMITTED,
        task_id=task_id,
        fingerprint="fox",
        idempotency_key=idempotency_key,
        price=price,
    )


def ended(key, state, task_id=None, price=None):
    """A line of the manifest."""
    return Proof(key=key, state=state, task_id=task_id, fingerprint="fox", price=price, record=f'"{state}"')


def moving(key, idempotency_key, state=ItemState.SUBMITTING):
    """A line of `submitting.jsonl`."""
    return Proof(key=key, state=state, fingerprint="fox", idempotency_key=idempotency_key)


async def brought(ledger, state):
    """An item in the ledger. If its first submit was answered, then with task 1."""
    await ledger.submitting("a", "fox", "key 1", 5)
    if state == "new":
        await ledger.released("a")
    elif state == "refused":
        await ledger.ended("a", ItemState.FAILED, "{}", 0)
    elif state == "uncertain":
        await ledger.ended("a", ItemState.UNCERTAIN, "{}")
    elif state != "submitting":
        await ledger.submitted("a", "task 1")
        if state in ("failed", "again"):
            await ledger.ended("a", ItemState.FAILED, "{}")
        if state == "again":
            await ledger.submitting("a", "fox", "key 2", 5)
        if state == "done":
            await ledger.ended("a", ItemState.DONE, "{}")


DONE, FAILED, UNCERTAIN = ItemState.DONE, ItemState.FAILED, ItemState.UNCERTAIN
SUBMITTING, SUBMITTED = ItemState.SUBMITTING, ItemState.SUBMITTED
ONE, TWO_ = accepted("a", "task 1", "key 1"), accepted("a", "task 2", "key 2")

# The ledger before; the log, the manifest and the unanswered submits; the state and the id afterwards.
REBUILT = {
    "an id": (None, [ONE], [], [], (SUBMITTED, "task 1")),
    "done": (None, [ONE], [ended("a", DONE, "task 1")], [], (DONE, "task 1")),
    "done, by the manifest alone": (None, [], [ended("a", DONE, "task 1")], [], (DONE, "task 1")),
    "failed and sent again": (None, [ONE, TWO_], [ended("a", FAILED, "task 1")], [], (SUBMITTED, "task 2")),
    "failed twice": (
        None,
        [ONE, TWO_],
        [ended("a", FAILED, "task 1"), ended("a", FAILED, "task 2")],
        [],
        (FAILED, "task 2"),
    ),
    "uncertain after a failure": (
        None,
        [ONE],
        [ended("a", FAILED, "task 1"), ended("a", UNCERTAIN)],
        [],
        (UNCERTAIN, None),
    ),
    "under way": (None, [], [], [moving("a", "key 1")], (SUBMITTING, None)),
    "under way, then accepted": (None, [ONE], [], [moving("a", "key 1")], (SUBMITTED, "task 1")),
    "under way again": (
        None,
        [ONE],
        [ended("a", FAILED, "task 1")],
        [moving("a", "key 2")],
        (SUBMITTING, None),
    ),
    "refused": (None, [], [], [moving("a", "key 1"), moving("a", "", ItemState.NEW)], None),
    "an older ledger, submitted": ("submitted", [ONE], [ended("a", DONE, "task 1")], [], (DONE, "task 1")),
    "an older ledger, submitting": ("submitting", [ONE], [], [], (SUBMITTED, "task 1")),
    "an older ledger, new": ("new", [], [ended("a", UNCERTAIN)], [], (UNCERTAIN, None)),
    "an older ledger, failed": (
        "failed",
        [ONE, TWO_],
        [ended("a", FAILED, "task 1")],
        [],
        (SUBMITTED, "task 2"),
    ),
    "an older ledger, refused": ("refused", [TWO_], [], [], (SUBMITTED, "task 2")),
    "an older ledger, under way": ("refused", [], [], [moving("a", "key 2")], (SUBMITTING, None)),
    "a newer ledger, done": ("done", [TWO_], [], [], (DONE, "task 1")),
    "a newer ledger, failed": ("failed", [accepted("a", "task 0", "key 0")], [], [], (FAILED, "task 1")),
    "a newer ledger, sent again": ("again", [ONE], [ended("a", FAILED, "task 1")], [], (SUBMITTING, None)),
    "a newer ledger, refused": ("refused", [], [], [moving("a", "key 1")], (FAILED, None)),
    "a newer ledger, uncertain": ("uncertain", [], [ended("a", FAILED)], [], (UNCERTAIN, None)),
    "the same": ("failed", [ONE], [ended("a", FAILED, "task 1")], [], (FAILED, "task 1")),
}


@pytest.mark.parametrize("name", REBUILT)
async def test_a_rebuilt_ledger_has_what_the_files_prove(tmp_path, name):
    """A rebuilt ledger has what the files prove, and keeps its own better knowledge."""
    before, logged, manifest, moves, expected = REBUILT[name]
    async with SqliteLedger.opened(tmp_path / "ledger.db") as ledger:
        if before is not None:
            await brought(ledger, before)
        await ledger.rebuild(lambda: logged, lambda: manifest, lambda: moves, kept="yes")
        entry = (await ledger.look_up(["a"])).get("a")
        kept = await ledger.meta("kept")

    assert (expected, "yes") == (entry and (entry.state, entry.task_id), kept)


async def test_a_rebuilt_ledger_counts_every_bill(tmp_path):
    """An item that was billed twice counts twice as spent."""
    async with SqliteLedger.opened(tmp_path / "ledger.db") as ledger:
        await ledger.rebuild(lambda: [ONE, TWO_], list, list)

        assert 10.0 == (await ledger.totals()).spent


COMPARED = {
    "an unknown item": (None, ONE, 1),
    "an unknown submit": (None, moving("a", "key 1"), 1),
    "the id that it has": ("submitted", ONE, 0),
    "the id that it had": ("again", ONE, 0),
    "another id": ("failed", TWO_, 1),
    "a submit that it knows": ("new", moving("a", "key 1"), 0),
    "the end that it knows": ("done", ended("a", DONE, "task 1"), 0),
    "an end of what is new": ("new", ended("a", FAILED), 1),
    "the end of another task": ("submitted", ended("a", DONE, "task 2"), 1),
    "an end before it was sent again": ("submitted", ended("a", FAILED, "task 0"), 0),
}


@pytest.mark.parametrize("name", COMPARED)
async def test_what_a_ledger_has_lost(tmp_path, name):
    """The ledger is compared with each line of the files. A fact that it can have without the line is no loss."""
    before, line, lost = COMPARED[name]
    async with SqliteLedger.opened(tmp_path / "ledger.db") as ledger:
        if before is not None:
            await brought(ledger, before)
        found = await ledger.compare(lambda: [line])

    assert (lost, ("a",) * lost, ()) == (found.lost, found.keys, found.late)


async def test_the_last_line_of_an_item_counts(tmp_path):
    """An earlier id of an item is no loss if a later line has the id of the ledger."""
    async with SqliteLedger.opened(tmp_path / "ledger.db") as ledger:
        await brought(ledger, "submitted")
        found = await ledger.compare(lambda: [accepted("a", "task 0", "key 0"), ONE])

    assert 0 == found.lost


def test_a_file_is_known_again(tmp_path):
    """A file that has grown is recognised by its mark; a changed or cut one is not."""
    path = tmp_path / "file"
    missing = mark_of(path)
    path.write_text("one\n")
    mark = mark_of(path)
    path.write_text("one\ntwo\n")
    grown = known_part(path, mark)
    path.write_text("two\n")

    assert ("", 4, None, None) == (missing, grown, known_part(path, mark), known_part(path, ""))


def test_lines_that_are_invalid_are_left_out(tmp_path):
    """Lines of the logs that are not objects, or have no key, prove nothing."""
    log = SubmittedLog(tmp_path)
    for path in (log.submitted, log.submitting):
        path.write_text('[]\n{"key": 5}\n{"key": "a", "state": "odd"}\n{"key"')

    assert ([], []) == (list(log.accepted_ids()), list(log.moves()))


@pytest.mark.virtual
async def test_files_without_a_line_prove_nothing(emulator, fox, tmp_path):
    """Empty files beside a missing ledger name no item, so the batch begins."""
    for name in ("manifest.jsonl", "submitted.jsonl"):
        (tmp_path / name).touch()
    outcomes = [outcome async for outcome in Batch([fox_request()], tmp_path).run(fox)]

    assert [None] == [outcome.error for outcome in outcomes]
    assert 1 == emulator.billed


@pytest.mark.virtual
async def test_a_manifest_that_is_gone_is_written_again(emulator, fox, tmp_path):
    """The ledger has the line of each item that ended."""
    [outcome async for outcome in Batch([fox_request()], tmp_path).run(fox)]
    lines = (tmp_path / "manifest.jsonl").read_text()
    (tmp_path / "manifest.jsonl").unlink()
    [outcome async for outcome in Batch([fox_request()], tmp_path).run(fox)]

    assert lines == (tmp_path / "manifest.jsonl").read_text()
    assert 1 == emulator.billed


# A folder whose items are in a database.

FOLLOWED = Terms(base_url=None, room=0, is_followed=True)


async def move(folder, batch="foxes"):
    """Note that the items of the folder are in a database."""
    async with BatchFolder.opened(folder.path, FOLLOWED) as opened:
        await opened.note_moved(batch)


def ended(status, key="fox", **facts):
    """A line of the manifest."""
    return json.dumps({"id": key, "status": status, "request": TWO[0], **facts})


@pytest.fixture
def in_database(folder, new_loop):
    """The folder after a run of one of two items, when its items are in a database."""
    folder.write(TWO[:1])
    folder.command()
    folder.write(TWO)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(move(folder))
    return folder


def test_items_in_a_database_are_not_sent_from_the_folder(in_database):
    """A local run is refused with 3, and names the batch and the option."""
    code, err = in_database.command()

    assert (3, {"fox 0": 1}) == (code, in_database.sent())
    assert "is in a database now, as batch 'foxes', and only workers send its items. Nothing was sent" in err
    assert "use --dsn" in err


def test_a_batch_in_a_database_is_refused(in_database, new_loop):
    """`Batch` raises the same, in Python's words."""
    with pytest.raises(LedgerError, match=r"read its results with foxapi_async\.cluster"):
        in_database.batch(new_loop)


def test_the_status_names_the_batch_in_the_database(in_database):
    """`foxapi status` says that its states may be old."""
    _, out, _ = in_database.foxapi("status", str(in_database.path))

    assert (
        "\ndatabase: batch foxes; the states are from the last `foxapi batch --dsn` with this folder" in out
    )
    assert "foxes" == in_database.status()["batch"]


def test_a_lost_ledger_of_a_database_bills_nothing_again(in_database):
    """If the ledger is lost, a rebuilt one does not know which items workers have sent: they are uncertain."""
    lose_ledger(in_database)
    in_database.command("--rebuild-ledger")

    assert {"fox 0": 1} == in_database.sent()
    assert {"done": 1, "uncertain": 1} == in_database.counts()


async def test_a_killed_follower_loses_no_end(folder):
    """What the manifest has is in the ledger when the folder is opened again."""
    await move(folder)
    async with BatchFolder.opened(folder.path, FOLLOWED) as opened:
        await opened.manifest.append(ended("done", task_id="a"))
    async with BatchFolder.opened(folder.path, FOLLOWED) as opened:
        found = await opened.ledger.look_up(["fox"])

    assert ItemState.DONE is found["fox"].state


async def test_the_ends_of_workers_are_kept(folder):
    """`keep_ends` writes the lines into the manifest and the ledger at once."""
    line = ended("failed", task_id="a")
    await move(folder)
    async with BatchFolder.opened(folder.path, FOLLOWED) as opened:
        await opened.keep_ends([line], [])
        found = await opened.ledger.look_up(["fox"])

    assert (ItemState.FAILED, line) == (found["fox"].state, found["fox"].record)
    assert [json.loads(line)] == folder.manifest()


@pytest.mark.parametrize("turns", range(1, 12))
async def test_a_cancelled_follower_keeps_an_end_in_both_files(folder, turns):
    """Whenever `keep_ends` is cancelled, the manifest and the ledger have the same."""
    line = ended("failed", task_id="a")
    await move(folder)
    async with BatchFolder.opened(folder.path, FOLLOWED) as opened:
        keeping = asyncio.create_task(opened.keep_ends([line], []))
        for _ in range(turns):
            await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.wait([keeping])
        found = await opened.ledger.look_up(["fox"])

    assert [json.loads(line) for _ in found] == folder.manifest()


async def test_a_later_end_takes_the_place_of_an_earlier_one(folder):
    """An item that was sent again has its last end in the ledger."""
    first, second = ended("failed", task_id="a"), ended("failed", task_id="b")
    await move(folder)
    async with BatchFolder.opened(folder.path, FOLLOWED) as opened:
        await opened.keep_ends([first], [])
        await opened.keep_ends([second], [first])
        found = await opened.ledger.look_up(["fox"])

    assert ("b", second) == (found["fox"].task_id, found["fox"].record)


async def test_a_whole_folder_is_not_read_again(folder):
    """If every line is in the ledger, the next opening reads none: it would see a changed one."""
    await move(folder)
    async with BatchFolder.opened(folder.path, FOLLOWED) as opened:
        await opened.keep_ends([ended("failed", task_id="a"), ended("done", "x" * 5000, task_id="b")], [])
    manifest = folder.path / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace('"fox"', '"owl"', 1))
    async with BatchFolder.opened(folder.path, FOLLOWED) as opened:
        found = await opened.ledger.look_up(["fox", "owl"])

    assert ["fox"] == list(found)


async def test_a_follower_removes_no_part(folder):
    """A worker may be writing the images of the folder."""
    part = folder.path / "images/.fox.part"
    part.parent.mkdir()
    part.touch()
    await move(folder)

    assert part.exists()


async def test_a_folder_knows_its_service(folder):
    """The address at which the folder was begun is known, without its path."""
    async with BatchFolder.opened(folder.path, Terms(base_url="https://x.test/v1", room=0)) as opened:
        assert "https://x.test" == await begun_at(opened.ledger)
