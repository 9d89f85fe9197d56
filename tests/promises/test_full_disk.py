"""A full disk: the ledger keeps every billed id, or the id is on the screen. Here the disk is scripted, and time is
virtual; `test_small_disk.py` has real ones.
"""

import asyncio
import errno
import functools
import json
import os
import sqlite3
import stat
import threading
import time

import pytest
from counted import run_batch, smalls
from disks import ScriptedDisk
from helpers import fox_request, posts, session_at
from ledgers import states
from shell import point_to

from foxapi_async import Batch, LedgerError
from foxapi_async._files import disk as files
from foxapi_async._ledger import group_commit, schema
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async.cli import main
from foxapi_async.emulator import Emulator, Fault, ThreadedEmulator

pytestmark = pytest.mark.virtual

WAITS = {"task_timeout": 600}


@pytest.fixture
def disk(monkeypatch):
    """The disk of every database that is opened from now on."""
    return ScriptedDisk().installed(monkeypatch)


def unkept(caplog):
    """The ids that the log reports as not kept, in order."""
    return [record.task_id for record in caplog.records if record.event == "id_unkept"]


def kept_later(caplog):
    """The ids that the log reports as kept after all."""
    return [record.task_id for record in caplog.records if record.event == "id_kept"]


def ids(folder):
    """The ids in the ledger."""
    connection = sqlite3.connect(folder / "ledger.sqlite")
    try:
        return {row[0] for row in connection.execute("SELECT task_id FROM item WHERE task_id NOT NULL")}
    finally:
        connection.close()


# The reserve.


async def reserve_at_first_post(emulator, folder, **options):
    """The bytes that the reserve takes on the disk when the first POST arrives, and its mode."""
    seen = []

    def look(_):
        if posts(emulator) and not seen:
            status = (folder / "ledger.reserve").stat()
            seen.append((status.st_blocks * 512, status.st_size, stat.S_IMODE(status.st_mode)))

    async with session_at(emulator, hooks=[look]) as fox:
        async for _ in Batch([fox_request()], folder, **options).run(fox):
            pass
    return seen


@pytest.mark.parametrize(("room", "kilobytes"), [(1, 72), (100, 864), (250, 2064)])
async def test_the_reserve_is_written_before_the_first_post(tmp_path, room, kilobytes):
    """When the first POST arrives, the reserve has 64 KiB, and 8 KiB for each item in flight, in real bytes."""
    async with Emulator(seconds=5) as emulator:
        seen = await reserve_at_first_post(emulator, tmp_path, max_in_flight=room)

    size = kilobytes * 1024
    assert seen == [(size, size, 0o600)]


async def test_a_clean_end_removes_the_reserve(tmp_path):
    """After a clean end there is no reserve."""
    async with Emulator(seconds=5) as emulator:
        await run_batch(emulator, smalls(1), tmp_path)

    assert not (tmp_path / "ledger.reserve").exists()


async def test_without_a_reserve_nothing_is_sent(tmp_path, monkeypatch):
    """If there is no space for the reserve, nothing is sent, the error says so, and the space is free again."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(schema, "append_whole", full)
    async with Emulator(seconds=5) as emulator:
        seen = await run_batch(emulator, smalls(3), tmp_path)
        requests = emulator.requests

    assert (type(seen.raised), requests) == (LedgerError, [])
    assert "ledger.reserve: No space left on device. Nothing was sent" in str(seen.raised)
    assert not (tmp_path / "ledger.reserve").exists()


async def test_a_folder_in_place_of_the_reserve_is_an_error(tmp_path):
    """If the reserve cannot be opened, the run does not begin."""
    (tmp_path / "ledger.reserve").mkdir()
    async with Emulator(seconds=5) as emulator:
        seen = await run_batch(emulator, smalls(1), tmp_path)

    assert "ledger.reserve: Is a directory. Nothing was sent" in str(seen.raised)
    assert seen.billed == 0


# An id that finds space in the reserve.


async def begun(emulator, folder, disk, *, items=6, **full):
    """A run whose disk becomes full while all of its POSTs are unanswered."""
    hold = Fault.slow("submit", 2, times=None)
    emulator.add_fault(hold)
    asyncio.get_running_loop().call_later(1, functools.partial(disk.fill, **full))
    return await run_batch(emulator, smalls(items), folder, max_in_flight=items, session=WAITS)


async def test_the_reserve_takes_the_ids(disk, tmp_path, caplog):
    """If the disk becomes full with POSTs in flight, their ids are in the ledger, by the space of the reserve."""
    async with Emulator(seconds=5) as emulator:
        seen = await begun(emulator, tmp_path, disk)
        billed = set(emulator.tasks)

    assert (ids(tmp_path), seen.billed) == (billed, 6)
    assert unkept(caplog) == []


async def test_a_full_disk_pauses_the_run(disk, tmp_path):
    """A run whose ledger finds no space pauses with the reason "disk", and raises the ledger's error."""
    async with Emulator(seconds=5) as emulator:
        seen = await begun(emulator, tmp_path, disk)

    assert (seen.paused.reason, type(seen.raised)) == ("disk", LedgerError)
    assert "cannot grow" in str(seen.raised)


async def test_a_full_disk_stops_sending(disk, tmp_path):
    """On a full disk no new item is sent: items that had not begun stay new."""
    async with Emulator(seconds=5) as emulator:
        asyncio.get_running_loop().call_later(1, disk.fill)
        emulator.add_fault(Fault.slow("submit", 2, times=None))
        seen = await run_batch(emulator, smalls(30), tmp_path, max_in_flight=4)

    assert (seen.posts, set(states(tmp_path).values())) == (4, {"submitted"})


async def test_a_full_disk_fetches_no_images(disk, tmp_path):
    """After the ledger found no space, no image is fetched: it would take the space of the ids."""
    async with Emulator(seconds=20) as emulator:
        asyncio.get_running_loop().call_later(3, disk.fill)
        await run_batch(emulator, smalls(5), tmp_path)
        fetched = [record for record in emulator.requests if record.path.startswith("/files/")]

    assert len(fetched) <= 1  # by the item that found the full disk


async def test_after_a_full_disk_the_same_batch_continues(disk, tmp_path):
    """With space again the same batch ends: every item is done, and none is billed again."""
    async with Emulator(seconds=5) as emulator:
        await begun(emulator, tmp_path, disk)
        disk.free()
        seen = await run_batch(emulator, smalls(6), tmp_path)

    assert (seen.done, seen.billed, seen.posts) == (6, 6, 0)


async def test_a_refusal_is_written_in_the_reserve(disk, tmp_path):
    """A submit that is refused on a full disk is new again, and not uncertain."""
    fault = Fault.status("submit", 402, times=None)
    async with Emulator(seconds=5, faults=[fault]) as emulator:
        await begun(emulator, tmp_path, disk, items=3)

    assert set(states(tmp_path).values()) == {"new"}


# An id that finds no space at all.


async def test_an_id_without_space_is_logged(disk, tmp_path, caplog):
    """Each id that cannot be written is logged at once, once, also if there are more than ten."""
    async with Emulator(seconds=5) as emulator:
        emulator.add_fault(Fault.slow("submit", 2, times=None))
        asyncio.get_running_loop().call_later(1, functools.partial(disk.fill, uses_reserve=False))
        await run_batch(emulator, smalls(12), tmp_path, max_in_flight=12, session=WAITS)
        billed = sorted(emulator.tasks)

    assert sorted(unkept(caplog)) == billed


async def test_an_id_without_space_is_tried_again(disk, tmp_path, caplog):
    """An id that cannot be written is tried again every 5 s. With space it is in the ledger, and the run ends."""
    async with Emulator(seconds=5) as emulator:
        asyncio.get_running_loop().call_later(63, disk.free)
        seen = await begun(emulator, tmp_path, disk, items=3, uses_reserve=False)
        billed = set(emulator.tasks)

    assert (ids(tmp_path), set(kept_later(caplog))) == (billed, billed)
    assert 63 <= seen.seconds <= 69
    assert seen.paused.reason == "disk"


async def test_after_ten_minutes_it_gives_up(disk, tmp_path, caplog):
    """After ten minutes without space the run ends with the ledger's error. The ids are in the log."""
    async with Emulator(seconds=5) as emulator:
        seen = await begun(emulator, tmp_path, disk, items=3, uses_reserve=False)
        billed = set(emulator.tasks)

    assert (ids(tmp_path), set(unkept(caplog)), kept_later(caplog)) == (set(), billed, [])
    assert 600 <= seen.seconds <= 615
    assert (seen.paused.reason, "cannot grow" in str(seen.raised)) == ("disk", True)


async def test_what_was_given_up_is_in_the_log_of_ids(disk, tmp_path):
    """An id that only `submitted.jsonl` has is in the ledger after the next run, and is not billed again."""
    async with Emulator(seconds=5) as emulator:
        await begun(emulator, tmp_path, disk, items=3, uses_reserve=False)
        disk.free()
        seen = await run_batch(emulator, smalls(3), tmp_path)

    assert (seen.done, seen.billed, seen.posts) == (3, 3, 0)


async def test_a_run_that_is_closed_waits_for_no_space(disk, tmp_path, caplog):
    """A run that is closed while ids wait for space tries once more, and ends."""
    async with Emulator(seconds=5) as emulator, session_at(emulator) as fox:
        emulator.add_fault(Fault.slow("submit", 2, times=None))
        loop = asyncio.get_running_loop()
        loop.call_later(1, functools.partial(disk.fill, uses_reserve=False))
        outcomes = Batch(smalls(2), tmp_path).run(fox)
        reading = asyncio.create_task(drained(outcomes))
        await asyncio.sleep(30)
        began = loop.time()
        reading.cancel()
        await asyncio.wait([reading])
        with pytest.raises(LedgerError, match="cannot grow"):
            await outcomes.aclose()

        assert (set(unkept(caplog)), loop.time() - began) == (set(emulator.tasks), 0)


async def test_closing_writes_what_finds_space(disk, tmp_path):
    """A run that is closed when there is space again writes the ids that waited for it."""
    async with Emulator(seconds=5) as emulator, session_at(emulator) as fox:
        emulator.add_fault(Fault.slow("submit", 2, times=None))
        asyncio.get_running_loop().call_later(1, functools.partial(disk.fill, uses_reserve=False))
        outcomes = Batch(smalls(2), tmp_path).run(fox)
        reading = asyncio.create_task(drained(outcomes))
        await asyncio.sleep(30)
        disk.free()
        reading.cancel()
        await asyncio.wait([reading])
        with pytest.raises(LedgerError, match="cannot grow"):  # the reason of the pause
            await outcomes.aclose()

        assert ids(tmp_path) == set(emulator.tasks)


async def drained(outcomes):
    """Read the outcomes to their end."""
    async for _ in outcomes:
        pass


# Faults of the disk that are not its space.


async def test_an_id_is_logged_if_the_ledger_breaks(tmp_path, caplog):
    """Also if the ledger breaks in another way, an id that it does not have is logged."""
    with pytest.raises(LedgerError, match="cannot be used"):
        async with SqliteLedger.opened(tmp_path / "ledger.sqlite") as ledger:
            await ledger.submitting("a", "fox", "key")
            with pytest.raises(LedgerError):
                await ledger._writer.put(lambda _: {}["fox"])
            with pytest.raises(LedgerError) as caught:
                await ledger.submitted("a", "task 1")

    assert (unkept(caplog), caught.value.task_id, caught.value.charged) == (["task 1"], "task 1", "yes")


async def test_an_id_that_comes_after_the_end_is_logged(tmp_path, caplog):
    """An id that comes when the ledger is closed is logged."""
    async with SqliteLedger.opened(tmp_path / "ledger.sqlite") as ledger:
        await ledger.submitting("a", "fox", "key")
    with pytest.raises(LedgerError, match="is closed"):
        await ledger.submitted("a", "task 1")

    assert unkept(caplog) == ["task 1"]


async def test_a_ledger_that_breaks_while_an_id_waits_ends_the_waiting(disk, tmp_path, caplog):
    """If the ledger breaks in another way while an id waits for space, nothing waits for it any more."""
    with pytest.raises(LedgerError, match="'fox'"):
        async with SqliteLedger.opened(tmp_path / "ledger.sqlite") as ledger:
            await ledger.submitting("a", "fox", "key")
            disk.fill(uses_reserve=False)
            with pytest.raises(LedgerError, match="cannot grow"):
                await ledger.submitted("a", "task 1")
            with pytest.raises(LedgerError, match="'fox'"):
                await ledger._writer.put(lambda _: {}["fox"], reads=True)
            assert "'fox'" in str(await ledger.written())

    assert unkept(caplog) == ["task 1"]


@pytest.fixture
async def waiting(disk, tmp_path):
    """A ledger that has no space for the id of its item."""
    with pytest.raises(LedgerError):  # it reports the full disk at its end
        async with SqliteLedger.opened(tmp_path / "ledger.sqlite") as ledger:
            await ledger.submitting("a", "fox", "key")
            disk.fill(uses_reserve=False)
            with pytest.raises(LedgerError, match="cannot grow"):
                await ledger.submitted("a", "task 1")
            yield ledger


async def test_a_ledger_without_space_can_be_read(waiting):
    """While an id waits for space, the ledger can be read. It shows the state before the id."""
    assert (await waiting.totals()).counts["submitting"] == 1


async def test_a_retry_gives_no_caller_a_wrong_result(disk, tmp_path):
    """A caller whose id finds no space gets the error, also if the thread tries the id again at that moment."""
    begun, over = threading.Event(), threading.Event()
    with pytest.raises(LedgerError, match="cannot grow"):
        async with SqliteLedger.opened(tmp_path / "ledger.sqlite") as ledger:
            await ledger.submitting("a", "fox", "key")
            disk.fill(uses_reserve=False)
            kept = ledger.submitted("a", "task 1")
            while ledger._writer._busy:  # the loop does not run, so the caller has no result yet
                time.sleep(0.001)  # noqa: ASYNC251 - this is the point
            retry = ledger._writer.put(lambda _: (begun.set(), over.wait(5)), reads=True)
            begun.wait()
            with pytest.raises(LedgerError, match="cannot grow"):
                await kept
            over.set()
            await retry


def failing(*errors):
    """Work whose calls raise these errors in turn."""
    remaining = iter(errors)

    def work(_):
        raise next(remaining)

    return work


def no_space():
    """SQLite's error if there is no space."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


async def test_a_read_without_space_loses_no_id(waiting, disk, tmp_path):
    """If a read finds no space either, it fails. The id still waits, and is written when there is space."""
    with pytest.raises(LedgerError, match="cannot grow"):
        await waiting._writer.put(failing(no_space(), no_space()), reads=True)
    disk.free()
    await waiting.written()

    assert (await waiting.look_up("a"))["a"].task_id == "task 1"


async def test_a_read_that_breaks_the_ledger_ends_the_waiting(waiting):
    """If a read breaks the ledger while an id waits for space, nothing waits for it any more."""
    with pytest.raises(LedgerError, match="'fox'"):
        await waiting._writer.put(failing(no_space(), KeyError("fox")), reads=True)

    assert "'fox'" in str(await waiting.written())


# Lines are whole.


def test_a_line_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """If only a part of a line can be written, the file is as long as before."""
    write = os.write

    def short(file, data):
        if len(data) < 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data[:5])

    path = tmp_path / "log"
    path.write_bytes(b"first\n")
    file = files.open_private(path, os.O_WRONLY | os.O_APPEND)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", short)
        with pytest.raises(OSError, match="No space left"):
            files.append_whole(file, b"a long second line\n")
    os.close(file)

    assert path.read_bytes() == b"first\n"


# The command line.


@pytest.fixture
def printed(disk, tmp_path, capfd, monkeypatch):
    """Run `foxapi batch` whose disk has no space for the only id: the id, the exit status and both streams."""
    monkeypatch.setattr(group_commit, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(group_commit, "GIVE_UP_SECONDS", 0.2)
    (tmp_path / "p.txt").write_text("a fox\n")

    def run(*words):
        def fill():
            while not posts(service) and not over.wait(0.005):
                pass
            disk.fill(uses_reserve=False)

        over = threading.Event()
        with ThreadedEmulator(seconds=0.01, faults=[Fault.slow("submit", 0.5)]) as service:
            point_to(service, monkeypatch)
            filling = threading.Thread(target=fill)
            filling.start()
            code = main(["batch", str(tmp_path / "p.txt"), "--out", str(tmp_path / "out"), *words])
            over.set()
            filling.join()
        (task_id,) = service.tasks
        return task_id, code, *capfd.readouterr()

    return run


def test_the_command_prints_an_id_that_is_not_kept(printed, tmp_path):
    """An id that cannot be written is on both streams, with the command that waits for its task."""
    task_id, code, out, err = printed()
    command = f"foxapi wait {task_id} --out {tmp_path / 'out'}"

    assert (code, out.splitlines()) == (3, [command])
    assert err.count(f"foxapi: keep this id: {command}\n") == 1


def test_the_command_prints_an_id_that_is_not_kept_as_json(printed, tmp_path):
    """With `--json` that id is an object of its own, and the reason of the pause another."""
    task_id, code, out, err = printed("--json")
    unkept, paused = map(json.loads, out.splitlines())

    assert (code, unkept["unkept"]["task_id"], paused["paused"]["reason"]) == (3, task_id, "disk")
    assert unkept["unkept"]["resume"] == f"foxapi wait {task_id} --out {tmp_path / 'out'}"
    assert task_id in err
