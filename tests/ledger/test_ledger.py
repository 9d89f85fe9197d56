"""The ledger: facts that it has confirmed are on the disk, after any kill, full disk or fault."""

import asyncio
import collections
import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from helpers import now, settle
from hypothesis import given, settings
from hypothesis import strategies as st

from foxapi_async import LedgerError
from foxapi_async._ledger import file_errors, group_commit, lock, schema, statements
from foxapi_async._ledger.entry import COMES_FROM, ItemState, LedgerEntry
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async._wire.json_values import read_price

CHILD = Path(__file__).parents[1] / "ledger_child.py"


@pytest.fixture
def path(tmp_path):
    """The path of the ledger; its folder does not exist yet."""
    return tmp_path / "out" / "ledger.db"


@pytest.fixture
async def ledger(path):
    """An open ledger."""
    async with SqliteLedger.opened(path) as opened:
        yield opened


async def entry_of(ledger, key):
    """The entry of one key."""
    return (await ledger.look_up([key])).get(key)


async def bring(ledger, key, state, *, price=None):
    """Bring a new item to a state."""
    await ledger.submitting(key, "fox", f"key of {key}", price)
    if state in (ItemState.SUBMITTED, ItemState.DONE, ItemState.UNSAVED):
        await ledger.submitted(key, f"task of {key}")
    if state is ItemState.NEW:
        await ledger.released(key)
    if state in (ItemState.DONE, ItemState.UNSAVED, ItemState.FAILED, ItemState.UNCERTAIN):
        await ledger.ended(key, state, '{"id": 1}')


def move(ledger, key, state):
    """Request one move."""
    if state is ItemState.SUBMITTING:
        return ledger.submitting(key, "fox", "again")
    if state is ItemState.SUBMITTED:
        return ledger.submitted(key, f"task of {key}")
    return ledger.released(key) if state is ItemState.NEW else ledger.ended(key, state, "{}")


def columns(path, query):
    """The data that another program reads in the file."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


async def test_the_life_of_an_item(path):
    """Every step is kept: state, keys, id, price, record and time."""
    async with SqliteLedger.opened(path) as ledger:
        assert {} == await ledger.look_up(["a fox"])
        await ledger.submitting("a fox", "f00", "idem", 4)
        submitting = await entry_of(ledger, "a fox")
        await ledger.submitted("a fox", "task-1", 5)
        submitted = await entry_of(ledger, "a fox")
        await ledger.ended("a fox", ItemState.DONE, '{"id": "a fox"}')
    async with SqliteLedger.opened(path) as ledger:
        done = await entry_of(ledger, "a fox")
        created = float(await ledger.meta("created"))

    assert (ItemState.SUBMITTING, "idem", None, 4.0, None) == _facts(submitting)
    assert (ItemState.SUBMITTED, "idem", "task-1", 5.0, None) == _facts(submitted)
    assert (ItemState.DONE, "idem", "task-1", 5.0, '{"id": "a fox"}') == _facts(done)
    assert "f00" == done.fingerprint
    # The text of `created` has 15 digits.
    assert created - 1e-4 <= submitting.changed <= submitted.changed <= done.changed < created + 3600
    assert ["ledger.db", "ledger.db.lock"] == sorted(file.name for file in path.parent.iterdir())


def _facts(entry):
    return entry.state, entry.idempotency_key, entry.task_id, entry.price, entry.record


async def test_the_file_is_durable_by_its_settings(ledger, path):
    """WAL with synchronous=FULL is on disk after each commit, also after a power failure."""
    connection = ledger._writer._file.connection
    pragmas = [
        await ledger._writer.put(partial(schema._pragma, text=name))
        for name in ("journal_mode", "synchronous", "temp_store")
    ]

    assert ["wal", 2, 1] == pragmas
    assert isinstance(connection, sqlite3.Connection)
    assert [("wal",)] == columns(path, "PRAGMA journal_mode")


def test_no_transition_leads_out_of_done():
    """No move leads out of DONE, and no item that may run or be billed is submitted again by itself."""
    assert not any(ItemState.DONE in sources for sources in COMES_FROM.values())
    assert {ItemState.NEW, ItemState.FAILED, ItemState.UNCERTAIN} == COMES_FROM[ItemState.SUBMITTING]


async def test_a_failed_item_may_come_back_with_its_id(ledger):
    """A failed download continues with its id, at no new price; another id is refused."""
    await ledger.submitting("a", "fox", "key", 2)
    await ledger.submitted("a", "task-1")
    await ledger.ended("a", ItemState.FAILED, "{}")
    with pytest.raises(
        LedgerError, match="cannot become submitted: it is failed in the ledger as task task-1"
    ):
        await ledger.submitted("a", "task-2")
    await ledger.submitted("a", "task-1")
    with pytest.raises(LedgerError, match="it is submitted in the ledger as task task-1"):
        await ledger.submitted("a", "task-2")
    await ledger.submitted("a", "task-1", 3)

    assert (ItemState.SUBMITTED, 3.0) == ((await entry_of(ledger, "a")).state, (await ledger.totals()).spent)


async def test_what_counts_as_spent(ledger):
    """Unanswered, failed and uncertain submits count; refused ones do not, nor a failure that was not billed."""
    for number, state in enumerate(ItemState):
        await bring(ledger, state.value, state, price=10**number)
    assert 1111110.0 == (await ledger.totals()).spent
    await ledger.submitting("refused", "fox", "key", 7)
    await ledger.ended("refused", ItemState.FAILED, "{}", 0)
    await ledger.submitting(ItemState.FAILED.value, "fox", "key", 0.5)  # a second bill, beside the first

    assert 1111110.5 == (await ledger.totals()).spent
    assert {**dict.fromkeys(ItemState, 1), ItemState.SUBMITTING: 2} == (await ledger.totals()).counts


STRANGE = [None, float("nan"), float("inf"), -1, 10**400, "many", True, [], {}]


@pytest.mark.parametrize("price", STRANGE, ids=repr)
async def test_a_strange_price_costs_no_id(ledger, price):
    """A price that cannot be added is unknown; the id beside it is kept."""
    await ledger.submitting("a", "fox", "key")
    await ledger.submitted("a", "task-1", price)
    entry = await entry_of(ledger, "a")

    assert ("task-1", None, 0.0) == (entry.task_id, entry.price, (await ledger.totals()).spent)


def test_prices_are_numbers_from_zero_up():
    """Zero, whole numbers and fractions are prices."""
    assert [0.0, 5.0, 0.25] == [read_price(price) for price in (0, 5, 0.25)]


async def test_any_number_of_keys_is_looked_up(ledger):
    """Chunks of any size give the same as single look-ups; unknown keys are missing, duplicates are one."""
    keys = [f"item {n}" for n in range(1203)]
    await asyncio.gather(*(ledger.submitting(key, "fox", key) for key in keys))
    found = await ledger.look_up(iter([*keys, "unknown", keys[0]]))

    assert set(keys) == set(found)
    assert all(key == entry.key == entry.idempotency_key for key, entry in found.items())
    assert {} == await ledger.look_up([])


@pytest.mark.parametrize(
    "key", ["", "a'b\"; --", "ключ 🦊", "nul \0 here", "%_*?", "x" * 10_000, " ", "e\u0301"]
)
async def test_any_text_is_a_key(ledger, key):
    """Keys are kept exactly."""
    await ledger.submitting(key, "fox", key)

    assert {key: key} == {
        name: entry.idempotency_key for name, entry in (await ledger.look_up([key])).items()
    }


async def test_entries_come_in_order(ledger):
    """Entries come in the order of their first submits, by state or all; leaving early blocks nothing."""
    await asyncio.gather(*(ledger.submitting(f"{-n}", "fox", "key") for n in range(1201)))
    await asyncio.gather(*(ledger.submitted(f"{-n}", f"task-{n}") for n in range(0, 1201, 3)))
    every = [entry.key async for entry in ledger.entries()]
    submitted = [entry.task_id async for entry in ledger.entries(ItemState.SUBMITTED)]
    both = [entry async for entry in ledger.entries(ItemState.SUBMITTED, ItemState.SUBMITTING)]
    async for entry in ledger.entries():
        first = entry.key
        break

    assert [f"{-n}" for n in range(1201)] == every
    assert [f"task-{n}" for n in range(0, 1201, 3)] == submitted
    assert (1201, "0") == (len(both), first)
    assert [] == [entry async for entry in ledger.entries(ItemState.DONE)]


async def test_entries_may_change_while_they_are_iterated(ledger):
    """Moving each entry during the iteration neither skips nor repeats one."""
    await asyncio.gather(*(ledger.submitting(f"{n}", "fox", "key") for n in range(1100)))
    seen, moves = [], []
    async for entry in ledger.entries(ItemState.SUBMITTING):
        seen.append(entry.key)
        moves.append(ledger.ended(entry.key, ItemState.UNCERTAIN, "{}"))
    await asyncio.gather(*moves)

    assert [f"{n}" for n in range(1100)] == seen


async def test_notes_of_the_batch_are_kept(path):
    """A text under a name is there in the next run, the latest one."""
    async with SqliteLedger.opened(path) as ledger:
        assert None is await ledger.meta("input")
        await ledger.set_meta("input", "sha 1")
        await ledger.set_meta("input", "sha 2")
    async with SqliteLedger.opened(path) as ledger:
        assert "sha 2" == await ledger.meta("input")


# The writer's thread.


@pytest.mark.thorough
async def test_many_records_share_one_commit(ledger):
    """A thousand records that are requested at once are durable within a few transactions."""
    commits = []
    commit = ledger._writer._transact
    ledger._writer._transact = lambda group: (commits.append(len(group)), commit(group))
    await asyncio.gather(*(ledger.submitting(f"{n}", "fox", "key") for n in range(1000)))

    assert 1000 == sum(commits)
    assert len(commits) < 100


async def test_a_refused_record_does_not_affect_its_neighbours(ledger):
    """In one group, only a refused move and values that no file can hold fail."""
    await ledger.submitting("a", "fox", "key")
    group = [
        ledger.submitted("a", "task-1"),
        ledger.ended("unknown", ItemState.DONE, "{}"),
        ledger.set_meta("bad", "\ud800"),
        ledger.set_meta("none", None),
        ledger.set_meta("object", object()),
        ledger._writer.put(partial(statements.meta, name=2**80)),
        ledger.ended("a", ItemState.DONE, None),
        ledger.ended("a", ItemState.FAILED, "\udfff"),
        ledger.ended("a", ItemState.DONE, '{"id": "a"}'),
        ledger.set_meta("good", "yes"),
    ]
    outcomes = await asyncio.gather(*group, return_exceptions=True)

    assert [None, *[LedgerError] * 7, None, None] == [outcome and type(outcome) for outcome in outcomes]
    assert ("yes", ItemState.DONE) == (await ledger.meta("good"), (await entry_of(ledger, "a")).state)
    assert {None} == {error.__cause__ or error.__context__ for error in outcomes if error}


async def test_a_cancelled_waiter_loses_no_record(ledger):
    """A record is written also if its waiter has gone; other waiters get their results."""
    await ledger.submitting("a", "fox", "key")
    await ledger.submitting("b", "fox", "key")
    left, kept = ledger.submitted("a", "task-a"), ledger.submitted("b", "task-b")
    left.cancel()
    await kept

    assert "task-a" == (await entry_of(ledger, "a")).task_id


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancelled_submitting_is_taken_back(ledger, turns):
    """Whenever `submitting` is cancelled, the item is free again: nothing was sent."""
    task = asyncio.create_task(ledger.submitting("a", "fox", "key", 9))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    entry = await entry_of(ledger, "a")

    assert (not task.cancelled()) == (entry is not None and entry.state is ItemState.SUBMITTING)
    assert (9.0 if not task.cancelled() else 0.0) == (await ledger.totals()).spent


async def test_a_submitting_that_was_recorded_and_cancelled_at_once_is_taken_back(ledger):
    """Also if the cancellation comes between the commit and the waiter's next step."""
    task = asyncio.create_task(ledger.submitting("a", "fox", "key", 9))
    await asyncio.sleep(0)
    await ledger.meta(
        "after it"
    )  # done in the same turn or later: the task has its result, and has not run yet
    task.cancel()
    await asyncio.wait([task])
    entry = await entry_of(ledger, "a")

    assert (ItemState.NEW if task.cancelled() else ItemState.SUBMITTING) is entry.state


async def test_taking_back_concerns_only_the_own_note(ledger):
    """A cancelled `submitting` that was refused leaves the item to the run that has it."""
    await ledger.submitting("a", "fox", "key")
    task = asyncio.create_task(ledger.submitting("a", "fox", "key"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert ItemState.SUBMITTING is (await entry_of(ledger, "a")).state


async def test_closing_waits_for_the_queue(path):
    """All requested records are written before the ledger closes; later calls are refused."""
    async with SqliteLedger.opened(path) as ledger:
        futures = [ledger.set_meta(f"{n}", "kept") for n in range(700)]
    assert all(future.done() for future in futures)
    with pytest.raises(LedgerError, match=r"the ledger .*ledger\.db is closed"):
        await ledger.totals()
    async with SqliteLedger.peek(path) as view:
        assert ["kept"] * 2 == [await view.meta("0"), await view.meta("699")]


async def test_what_another_run_needs_is_kept_until_the_end(ledger):
    """The opening record of a submit is there until its final record is. One that no file can hold leaves
    nothing behind.
    """
    for bad in ("\ud800", 5):
        with pytest.raises(LedgerError):
            await ledger.submitting("a", "fox", "key", None, bad)
        assert None is await entry_of(ledger, "a")
    await ledger.submitting("a", "fox", "key", None, "opened")
    assert ("opened", None) == ((await entry_of(ledger, "a")).opening, (await entry_of(ledger, "a")).record)
    await ledger.ended("a", ItemState.FAILED, "ended")
    assert (None, "ended") == ((await entry_of(ledger, "a")).opening, (await entry_of(ledger, "a")).record)
    await ledger.submitting("a", "fox", "key", None, "again")
    assert ("again", "ended") == ((await entry_of(ledger, "a")).opening, (await entry_of(ledger, "a")).record)


async def test_a_cancelled_exit_closes_all_the_same(path):
    """Cancelled twice while it closes, the ledger is closed and its lock free when the cancellation arrives."""
    gate, leaving, moved = threading.Event(), asyncio.Event(), []

    async def hold():
        async with SqliteLedger.opened(path) as ledger:
            await ledger.submitting("a", "fox", "key")
            ledger._writer.put(lambda _: gate.wait())
            moved.append(ledger.submitted("a", "task-1"))
            leaving.set()

    task = asyncio.create_task(hold())
    await leaving.wait()
    for _ in range(2):
        await settle()
        task.cancel()
    await settle()
    assert not task.done()
    gate.set()
    await asyncio.wait([task])

    assert task.cancelled()
    assert None is moved[0].result()
    async with SqliteLedger.opened(path) as ledger:
        assert "task-1" == (await entry_of(ledger, "a")).task_id


async def test_a_cancelled_opening_leaves_no_lock(path):
    """Cancelled while it opens, it leaves nothing behind."""
    for turns in range(4):
        task = asyncio.create_task(SqliteLedger.opened(path).__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    async with SqliteLedger.opened(path) as ledger:
        assert 0 == sum(((await ledger.totals()).counts).values())


async def test_an_error_of_the_body_is_raised_unchanged(path):
    """The ledger is closed, and the block's own error is raised."""
    with pytest.raises(ZeroDivisionError):
        async with SqliteLedger.opened(path):
            raise ZeroDivisionError
    async with SqliteLedger.opened(path):
        pass


@pytest.mark.virtual
async def test_a_commit_takes_no_virtual_time(path):
    """The virtual clock waits for the writer's thread."""
    async with SqliteLedger.opened(path) as ledger, asyncio.timeout(0.001):
        start = now()
        sleeper = asyncio.create_task(asyncio.sleep(0.0005))
        await ledger.submitting("a", "fox", "key")
        await ledger.submitted("a", "task-1")

        assert start == now()
        await sleeper


def test_a_closed_loop_loses_no_record(path, new_loop):
    """Requested records are written also if the loop is closed before the confirmation."""
    loop = new_loop()
    opened = SqliteLedger.opened(path)
    gate = threading.Event()

    async def begin():
        ledger = await opened.__aenter__()
        await ledger.submitting("a", "fox", "key")
        ledger._writer.put(lambda _: gate.wait())
        ledger.submitted("a", "task-1")
        return ledger

    ledger = loop.run_until_complete(begin())
    loop.close()
    gate.set()
    ledger._writer._executor.submit(ledger._writer._close).result()
    ledger._writer._executor.shutdown()

    with pytest.raises(LedgerError, match="opened on another event loop"):
        ledger.submitted("a", "task-1")
    assert [("task-1",)] == columns(path, "SELECT task_id FROM item")


async def test_another_loop_is_refused(ledger):
    """A ledger belongs to its event loop."""
    with pytest.raises(LedgerError, match="opened on another event loop"):
        await asyncio.to_thread(asyncio.run, ledger.totals())
    assert 0 == sum(((await ledger.totals()).counts).values())


async def test_no_thread_can_be_had(path):
    """While the interpreter ends there are no threads: the waiter gets an error, and nothing hangs."""
    opened = SqliteLedger.opened(path)
    ledger = await opened.__aenter__()
    executor = ledger._writer._executor
    executor.submit(ledger._writer._close).result()
    executor.shutdown()

    with pytest.raises(LedgerError, match="cannot schedule new futures after shutdown"):
        await ledger.submitting("a", "fox", "key")


# Faults of the file.


async def test_a_full_disk_ends_everything_but_ids(path):
    """If a commit finds no space, only the id of its group is written. Others fail, also later; reads do not,
    and closing reports it.
    """
    with pytest.raises(LedgerError, match="cannot grow: free some space"):
        async with SqliteLedger.opened(path) as ledger:
            await ledger.submitting("kept", "fox", "key")
            await ledger._writer.put(partial(schema._pragma, text="max_page_count=20"))
            await ledger._writer.put(partial(schema._pragma, text="cache_size=5"))
            big = [ledger.set_meta(f"{n}", "x" * 20_000) for n in range(9)]
            small = ledger.submitted("kept", "task-1")
            outcomes = await asyncio.gather(*big, small, return_exceptions=True)
            assert [*[LedgerError] * 9, type(None)] == [type(outcome) for outcome in outcomes]
            assert 10 == len({id(outcome) for outcome in outcomes})
            with pytest.raises(LedgerError, match="cannot grow"):
                await ledger.submitting("new", "fox", "key")
            assert 1 == (await ledger.totals()).counts[ItemState.SUBMITTED]
    async with SqliteLedger.opened(path) as ledger:
        assert "task-1" == (await entry_of(ledger, "kept")).task_id


async def test_an_internal_error_ends_every_wait(path):
    """An unforeseen exception reaches all waiters, and the ledger stops."""
    with pytest.raises(LedgerError, match=r"cannot be used \('fox'\)"):
        async with SqliteLedger.opened(path) as ledger:
            with pytest.raises(LedgerError, match="'fox'"):
                await ledger._writer.put(lambda _: {}["fox"])


async def run_child(what, path, **options):
    """Another run in its own process."""
    return await asyncio.create_subprocess_exec(
        sys.executable, CHILD, what, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
    )


async def test_a_file_that_may_not_grow(path):
    """With a real limit of the file's size, all confirmed records are there, and the error names the disk."""
    child = await run_child("fill", path)
    reported, _ = await child.communicate()
    durable, errors = json.loads(reported)
    async with SqliteLedger.opened(path) as ledger:
        kept = ((await ledger.totals()).counts)[ItemState.SUBMITTING]

    assert durable > 10
    assert durable <= kept <= durable + 1
    assert 2 == len(errors) == sum("cannot be read or written: check its disk" in text for text in errors)


async def test_a_second_run_is_refused(path):
    """Two runs never share a ledger: the second gets the first one's process id, and may read."""
    child = await run_child("hold", path)
    assert b"open\n" == await child.stdout.readline()
    with pytest.raises(LedgerError, match=f"in use by process {child.pid}: wait for its end, or stop it"):
        async with SqliteLedger.opened(path):
            raise AssertionError
    async with SqliteLedger.peek(path) as view:
        assert "held" == (await entry_of(view, "held")).key
    child.kill()
    await child.communicate()

    async with SqliteLedger.opened(path) as ledger:
        assert ItemState.SUBMITTING is (await entry_of(ledger, "held")).state
        with pytest.raises(LedgerError, match=f"process {os.getpid()}:"):
            async with SqliteLedger.opened(path):
                raise AssertionError


async def test_a_lock_without_a_name(path):
    """If the holder of the lock has not written its id yet, the error says "another process"."""
    path.parent.mkdir()
    holder = lock.FileLock(path)
    path.with_name("ledger.db.lock").write_text("")
    with pytest.raises(LedgerError, match="in use by another process"):
        schema.open_to_write(path)
    holder.release()


async def test_a_check_of_the_lock_stops_no_run(path, monkeypatch):
    """A check whether a run is active has the lock for an instant: the run tries again."""
    path.parent.mkdir()
    observer = lock.FileLock(path)
    monkeypatch.setattr(lock.time, "sleep", lambda pause: observer.release() if pause else None)
    lock.FileLock(path).release()


async def test_a_forked_child_cannot_use_the_ledger(path):
    """A forked child cannot use the ledger, does no harm to its parent's, and holds no lock when the parent
    is killed.
    """
    # Not measured: a tracer that is forked during its work may wait for itself. And not asyncio's: its `wait`
    # also waits for the pipes, which the orphan holds.
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, CHILD, "fork", path], env=quiet, **pipes) as child:  # noqa: ASYNC220 - see above
        lines = [child.stdout.readline() for _ in range(2)]
        orphan = int(lines[1].split()[1])
        try:
            child.wait(timeout=60)
            async with SqliteLedger.opened(path) as ledger:
                keys = [entry.key async for entry in ledger.entries()]
        finally:
            os.kill(orphan, signal.SIGKILL)

    assert b"opened by another process: a forked one cannot use it" in lines[0]
    assert (-signal.SIGKILL, ["before", "after"]) == (child.returncode, keys)


async def test_in_a_forked_child(path, monkeypatch):
    """A forked child releases the lock, which another may take; its exit does not touch the file."""
    async with SqliteLedger.opened(path) as ledger:
        await ledger.submitting("a", "fox", "key")
        with monkeypatch.context() as child:
            child.setattr(ledger._writer, "_process", -1)
            with pytest.raises(LedgerError, match="a forked one cannot use it"):
                ledger.submitted("a", "task-1")
            await ledger._writer.close()
        await ledger.submitted("a", "task-1")
    path = path.with_name("another.db")
    _held_by_parent = lock.FileLock(path)
    lock._release_in_child()
    lock.FileLock(path).release()


@pytest.mark.thorough
async def test_killed_at_any_moment(path):
    """A run that is killed repeatedly keeps everything that it confirmed, in a sound file, and its lock is free."""
    child = await run_child("kill", path)
    reported = {}
    rounds = 0
    async for line in child.stdout:
        rounds += 1
        for key, step in json.loads(line):
            reported.setdefault(key, []).append(step)
        async with SqliteLedger.opened(path) as ledger:
            known = {entry.key: entry async for entry in ledger.entries()}
        assert set(reported) <= set(known)
        assert all(_is_at_least(known[key], steps[-1]) for key, steps in reported.items())
        child.stdin.write(b"\n")
    await child.wait()

    assert (24, 0) == (rounds, child.returncode)
    assert len(reported) > 100


def _is_at_least(entry, step):
    order = [ItemState.SUBMITTING, ItemState.SUBMITTED, ItemState.DONE]
    reached = ItemState.DONE if entry.state is ItemState.FAILED else entry.state
    wanted = {"submitting": 0, "submitted": 1, "ended": 2}[step]
    has_id = wanted == 0 or entry.task_id == f"task of {entry.key}"
    return order.index(reached) >= wanted and has_id and (wanted < 2 or entry.record is not None)


def foreign(path):
    """Another program's database."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url)")
    connection.commit()
    connection.close()


async def damage(path):
    """A ledger with an overwritten page."""
    async with SqliteLedger.opened(path) as ledger:
        await asyncio.gather(*(ledger.submitting(f"{n}", "fox", "key") for n in range(2000)))
    with path.open("r+b") as file:
        for page in range(4, 20):
            file.seek(page * 4096)
            file.write(b"\xff" * 1000)


async def renew(path):
    """A ledger of a future version."""
    async with SqliteLedger.opened(path) as ledger:
        await ledger.submitting("kept", "fox", "key")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


WRONG = {
    "a text": (lambda path: path.write_text("prompt\n" * 1000), "is not a ledger"),
    "another database": (foreign, "is another program's database: give another folder"),
    "a newer version": (
        renew,
        r"newer foxapi-async \(ledger version 99; this one knows \d+\): upgrade with `pip",
    ),
    "a folder": (
        lambda path: path.mkdir(),
        "cannot be opened: check that its folder exists|there is no ledger",
    ),
}


@pytest.mark.parametrize("way", [SqliteLedger.opened, SqliteLedger.peek])
@pytest.mark.parametrize(("make", "words"), WRONG.values(), ids=WRONG)
async def test_what_is_no_ledger_is_left_alone(path, make, words, way):
    """A file that is not our ledger is refused with the reason, and no byte of it is changed."""
    path.parent.mkdir()
    if (made := make(path)) is not None and not isinstance(made, int):
        await made
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(LedgerError, match=words) as caught:
        async with way(path):
            raise AssertionError

    assert before == (path.read_bytes() if path.is_file() else None)
    assert None is caught.value.__context__ is caught.value.__cause__


async def test_a_damaged_ledger_is_not_used(path):
    """Damage is noticed on opening, and the message names the step to avoid."""
    await damage(path)
    with pytest.raises(LedgerError, match=r"is damaged: keep it, .*\.recover.* bill everything again"):
        async with SqliteLedger.opened(path):
            raise AssertionError


UNUSABLE = {
    "below a file": lambda folder: folder / "file" / "ledger.db",
    "an impossible name": lambda folder: folder / "nul\0.db",
    "a name too long": lambda folder: folder / ("x" * 300),
}


@pytest.mark.parametrize("make", UNUSABLE.values(), ids=UNUSABLE)
async def test_paths_that_cannot_be(tmp_path, make):
    """A path that cannot be written is a LedgerError with the system's reason."""
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match=r"the ledger .* cannot be used \("):
        async with SqliteLedger.opened(make(tmp_path)):
            raise AssertionError


async def test_names_that_are_special_elsewhere(tmp_path, monkeypatch):
    """`:memory:`, URIs and their signs are normal file names, also for reading."""
    monkeypatch.chdir(tmp_path)
    for name in (":memory:", "file:x?mode=memory", "a b%20#?.db", "лиса"):
        async with SqliteLedger.opened(name) as ledger:
            await ledger.submitting(name, "fox", "key")
        async with SqliteLedger.peek(name) as view:
            assert name == (await entry_of(view, name)).key
        assert (tmp_path / name).is_file()


async def test_reading_a_missing_ledger_makes_no_file(path):
    """Before the first run there is nothing to read, and reading makes no file."""
    with pytest.raises(LedgerError, match=r"there is no ledger .*no run has begun there"):
        async with SqliteLedger.peek(path):
            raise AssertionError
    path.parent.mkdir()
    path.touch()
    with pytest.raises(LedgerError, match=r"there is no ledger .*no run has begun there"):
        async with SqliteLedger.peek(path):
            raise AssertionError

    assert [path] == list(path.parent.iterdir())
    assert b"" == path.read_bytes()


async def test_reading_changes_nothing(ledger, path):
    """A read sees the durable state during the run, delays no commit, and cannot write."""
    async with SqliteLedger.peek(path) as view, SqliteLedger.peek(path) as second:
        for n in range(5):
            await ledger.submitting(f"{n}", "fox", "key", 2)
            assert n + 1 == ((await view.totals()).counts)[ItemState.SUBMITTING]
        assert 10.0 == (await second.totals()).spent
        assert ["0", "1"] == [entry.key async for entry in second.entries() if entry.key < "2"]
        assert None is not await view.meta("created")
        with pytest.raises(LedgerError, match="cannot be written: check that you own the file"):
            await view._writer.put(partial(statements.set_meta, name="a", value="b"))
    await ledger.submitting("after", "fox", "key")


async def test_older_versions_are_brought_up_to_date(path, monkeypatch):
    """A newer version of the package adds the missing parts and keeps all entries, permanently."""
    async with SqliteLedger.opened(path) as ledger:
        await bring(ledger, "kept", ItemState.DONE)
    step = "ALTER TABLE item ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm';"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    async with SqliteLedger.peek(path) as view:
        assert ItemState.DONE is (await entry_of(view, "kept")).state
    for _ in range(2):
        async with SqliteLedger.opened(path) as ledger:
            assert ItemState.DONE is (await entry_of(ledger, "kept")).state

    assert [("calm",)] == columns(path, "SELECT mood FROM item")
    assert [(len(schema.MIGRATIONS),)] == columns(path, "PRAGMA user_version")


async def test_a_migration_that_fails_changes_nothing(path, monkeypatch):
    """A step that fails leaves the older version, whole."""
    async with SqliteLedger.opened(path) as ledger:
        await bring(ledger, "kept", ItemState.DONE)
    step = "ALTER TABLE item ADD COLUMN mood TEXT; ALTER TABLE absent ADD COLUMN mood TEXT;"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
        with pytest.raises(LedgerError, match="no such table: absent"):
            async with SqliteLedger.opened(path):
                raise AssertionError
    async with SqliteLedger.opened(path) as ledger:
        assert ItemState.DONE is (await entry_of(ledger, "kept")).state


async def test_a_file_system_without_shared_memory(path, monkeypatch):
    """Without WAL the ledger works with a rollback journal, just as durably."""
    pragma = schema._pragma
    monkeypatch.setattr(
        schema,
        "_pragma",
        lambda connection, text: "delete" if text == "journal_mode=WAL" else pragma(connection, text),
    )
    async with SqliteLedger.opened(path) as ledger, SqliteLedger.peek(path) as view:
        await bring(ledger, "a", ItemState.DONE)
        assert ItemState.DONE is (await entry_of(view, "a")).state
        settings = [
            await ledger._writer.put(partial(schema._pragma, text=name))
            for name in ("journal_mode", "synchronous")
        ]

    assert ["delete", 2] == settings


async def test_a_file_system_without_locks(path, monkeypatch):
    """Without a lock there is no run: two of them would bill twice."""

    def unsupported(file):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock, "_lock", unsupported)
    with pytest.raises(LedgerError, match="No locks available"):
        async with SqliteLedger.opened(path):
            raise AssertionError


async def test_closing_troubles_are_not_logged(path, monkeypatch):
    """All confirmed records are on the disk: an error during the clean-up is not raised, and the lock is freed."""
    async with SqliteLedger.opened(path) as ledger:
        await ledger.submitting("a", "fox", "key")
        file = ledger._writer._file

        class Stubborn:
            execute = file.connection.execute

            def close(self):
                file.connection.close()
                raise sqlite3.OperationalError("disk I/O error")

        ledger._writer._file = schema.LedgerFile(Stubborn(), file.lock)
    async with SqliteLedger.opened(path) as ledger:
        assert ItemState.SUBMITTING is (await entry_of(ledger, "a")).state


def test_every_advice_has_its_code():
    """An error of SQLite is recognised by its primary code, with any detail."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE

    assert "check its disk" in str(file_errors.explained(Path("x"), error))
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE  # SQLite says so if there is no space for `-shm`
    assert "free some space" in str(file_errors.explained(Path("x"), error))
    assert "cannot be used (RuntimeError)" in str(file_errors.explained(Path("x"), RuntimeError()))


# All operations in all orders.

KEYS = st.sampled_from(["a", "b", "c"])
PRICES = st.sampled_from([None, 0.0, 1.5, 4.0])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(ItemState), KEYS, PRICES, st.sampled_from(["fox", "fox", "fox", "wolf"])),
        st.just("reopen"),
    ),
    max_size=40,
)


class Model:
    """The ledger as a dictionary."""

    def __init__(self):
        self.items = {}
        self.spent = 0.0

    def allows(self, state, key, fingerprint):
        item = self.items.get(key)
        if item is None:
            return state is ItemState.SUBMITTING
        if item["state"] not in COMES_FROM[state]:
            return False
        if state is ItemState.SUBMITTED and item["state"] in (ItemState.SUBMITTED, ItemState.FAILED):
            return item["task"] == f"task of {fingerprint}"
        return state is not ItemState.SUBMITTING or item["fingerprint"] == fingerprint

    def move(self, state, key, price, fingerprint):
        item = self.items.setdefault(
            key, {"fingerprint": fingerprint, "state": ItemState.NEW, "sunk": 0, "price": None}
        )
        if state is ItemState.SUBMITTING:
            item |= {"origin": item["state"], "sunk": item["sunk"] + (item["price"] or 0)}
            item |= {"price": price, "task": None}
        elif state is ItemState.NEW:
            item["price"], state = None, item["origin"]
        elif price is not None:
            item["price"] = price
        if state is ItemState.SUBMITTED:
            item["task"] = f"task of {fingerprint}"
        item["state"] = state

    def total(self):
        return sum(item["sunk"] + (item["price"] or 0) for item in self.items.values())


def ask(ledger, state, key, price, fingerprint):
    """One step at the ledger."""
    if state is ItemState.SUBMITTING:
        return ledger.submitting(key, fingerprint, "key", price)
    if state is ItemState.SUBMITTED:
        return ledger.submitted(key, f"task of {fingerprint}", price)
    return ledger.released(key) if state is ItemState.NEW else ledger.ended(key, state, "{}", price)


async def play(path, steps):
    """Do the steps at a ledger and at the model, and compare after each run."""
    model, steps = Model(), collections.deque([*steps, "reopen"])
    while steps:
        async with SqliteLedger.opened(path) as ledger:
            while (step := steps.popleft()) != "reopen":
                state, key, _, fingerprint = step
                if model.allows(state, key, fingerprint):
                    await ask(ledger, *step)
                    model.move(*step)
                else:
                    with pytest.raises(LedgerError):
                        await ask(ledger, *step)
            found = {entry.key: entry async for entry in ledger.entries()}
            assert model.total() == (await ledger.totals()).spent
            assert len(model.items) == sum(((await ledger.totals()).counts).values())
        assert {key: (item["state"], item["task"], item["price"]) for key, item in model.items.items()} == {
            key: (entry.state, entry.task_id, entry.price) for key, entry in found.items()
        }


@settings(max_examples=60)
@given(STEPS)
@pytest.mark.thorough
def test_the_ledger_equals_a_dictionary(tmp_path_factory, steps):
    """For all operations in any order, with reopenings between, it equals a dictionary."""
    asyncio.run(play(tmp_path_factory.mktemp("ledger") / "ledger.db", steps))


def test_entries_are_values():
    """An entry is a frozen value with all known facts."""
    entry = LedgerEntry("a", "fox", ItemState.NEW, "key", None, None, None, 0.0)

    assert entry == LedgerEntry("a", "fox", ItemState.NEW, "key", None, None, None, 0.0)
    with pytest.raises(AttributeError):
        entry.state = ItemState.DONE


def test_the_writer_names_what_is_its_own():
    """An error of the file is never taken for an error of one statement."""
    assert not issubclass(sqlite3.OperationalError, group_commit._STATEMENT_ERRORS)
    assert not issubclass(sqlite3.DatabaseError, group_commit._STATEMENT_ERRORS)
