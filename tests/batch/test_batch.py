"""Batches: each item is done once, even if the run is ended and started again many times."""

import asyncio
import contextlib
import errno
import gc
import hashlib
import json
import logging
import socket
import sqlite3

import pytest
from helpers import fox_request, now, posts, session_at, settle

from foxapi_async import (
    AuthenticationError,
    Batch,
    ConfigurationError,
    ConnectionFailedError,
    DownloadError,
    FoxSession,
    InsufficientQuotaError,
    InvalidRequestError,
    LedgerError,
    Limits,
    NotFoundError,
    TaskFailedError,
    TaskTimeoutError,
    UncertainSubmitError,
)
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.lines import InputRow
from foxapi_async._ledger.entry import ItemState
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async.emulator import Emulator, Fault
from foxapi_async.report import write_report

pytestmark = pytest.mark.virtual


def foxes(count):
    return [fox_request(f"fox {n}") for n in range(count)]


async def run(emulator, requests, out, *, session=None, **options):
    """One complete run: the batch, and its outcomes in the order of the input."""
    batch = Batch(requests, out, **options)
    async with session_at(emulator, **(session or {})) as fox:
        outcomes = [outcome async for outcome in batch.run(fox)]
    return batch, sorted(outcomes, key=lambda outcome: outcome.index)


async def drained(emulator, batch):
    """The outcomes that a run yields before it raises, and the error."""
    outcomes, raised = [], None
    async with session_at(emulator) as fox:
        try:
            async for outcome in batch.run(fox):
                outcomes.append(outcome)  # noqa: PERF401 - what came before the error counts
        except Exception as error:
            raised = error
    return outcomes, raised


def manifest(out):
    """The lines of the manifest."""
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def keys_sent(emulator):
    """The idempotency keys of the accepted submits."""
    return [task.idempotency_key for task in emulator.tasks.values()]


@pytest.fixture
async def service():
    """A service whose tasks take about 5 s."""
    async with Emulator(seconds=5) as emulator:
        yield emulator


async def test_each_item_is_made_and_saved(service, tmp_path):
    """Every item has its whole images under its own name, with size and checksum."""
    requests = [("red", fox_request(num_outputs=2)), fox_request("an owl")]
    batch, (red, owl) = await run(service, requests, tmp_path)

    assert ("red", True) == (red.key, owl.key.endswith("#1"))
    assert ["red-1.jpg", "red-2.jpg"] == [file.path.name for file in red.files]
    for file in [*red.files, *owl.files]:
        data = file.path.read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256)
    assert (2, None) == (batch.tally[ItemState.DONE], batch.paused)


async def test_the_manifest_says_what_ended(service, tmp_path):
    """A line for each item: its id, task, state, files relative to the folder, request, usage and times."""
    _, (outcome,) = await run(service, [("red", fox_request("a red fox"))], tmp_path)
    (line,) = manifest(tmp_path)

    assert {
        "id",
        "index",
        "task_id",
        "status",
        "files",
        "model",
        "request",
        "credits",
        "usage",
        "missing",
        "timings",
        "error",
    } == set(line)
    assert ("red", "done", None) == (line["id"], line["status"], line["error"])
    assert (outcome.task_id, "a red fox") == (line["task_id"], line["request"]["prompt"])
    assert outcome.files[0].sha256 == line["files"][0]["sha256"]
    assert (tmp_path / line["files"][0]["path"]).exists()
    assert {"submitted", "finished", "elapsed", "saved"} == set(line["timings"])


async def test_a_second_run_does_nothing(service, tmp_path):
    """Finished items are skipped: no request, no outcome."""
    await run(service, foxes(3), tmp_path)
    before = len(service.requests)
    batch, outcomes = await run(service, foxes(3), tmp_path)

    assert ([], 3, before) == (outcomes, batch.tally[ItemState.DONE], len(service.requests))


async def test_equal_items_are_counted(service, tmp_path):
    """Three equal requests are three images. After inserting and reordering only new items are billed."""
    await run(service, [fox_request("a")] * 3 + [fox_request("b")], tmp_path)
    _, outcomes = await run(service, [fox_request("b"), fox_request("c"), *[fox_request("a")] * 4], tmp_path)

    assert (6, 2) == (service.billed, len(outcomes))
    assert {"c", "a"} == {outcome.request.prompt for outcome in outcomes}


async def test_an_id_names_its_request(service, tmp_path):
    """An id may come with a mapping or in a pair. A changed request under the same id is an error that says so."""
    await run(
        service,
        [{"id": "x", "model": "grok-imagine-image", "prompt": "a"}, ("y", fox_request("b"))],
        tmp_path,
    )
    _, outcomes = await run(service, [("x", fox_request("a")), ("y", fox_request("changed"))], tmp_path)

    assert (2, 1) == (service.billed, len(outcomes))
    assert isinstance(outcomes[0].error, InvalidRequestError)
    assert "its own id" in str(outcomes[0].error)


async def test_an_id_is_used_once(service, tmp_path):
    """The same id and request twice is one item. With another request it is an error."""
    requests = [("x", fox_request("a")), ("x", fox_request("a")), ("x", fox_request("b"))]
    _, outcomes = await run(service, requests, tmp_path)

    assert (1, 2) == (service.billed, len(outcomes))
    assert "used twice" in str(outcomes[1].error)


async def test_what_cannot_be_asked_is_reported(service, tmp_path):
    """An invalid mapping, and an invalid id, are outcomes. The other items are made."""
    requests = [{"model": "grok-imagine-image"}, ("", fox_request()), fox_request()]
    _, outcomes = await run(service, requests, tmp_path)

    assert [InvalidRequestError, InvalidRequestError, type(None)] == [type(o.error) for o in outcomes]
    assert (1, 1) == (service.billed, len(manifest(tmp_path)))


async def test_a_run_that_is_closed_is_continued(service, tmp_path):
    """After `break` the next run waits for the submitted tasks, and nothing is billed twice."""
    async with session_at(service) as fox:
        outcomes = Batch(foxes(6), tmp_path, max_in_flight=3).run(fox)
        async for _ in outcomes:
            break
        await outcomes.aclose()
    _, rest = await run(service, foxes(6), tmp_path)

    assert (6, 5) == (service.billed, len(rest))
    assert 6 == len({line["task_id"] for line in manifest(tmp_path)})
    assert all(outcome.files for outcome in rest)


async def test_a_task_of_an_earlier_run_needs_no_input(service, tmp_path):
    """A run waits for a task of an earlier run even if its item is not in the input any more."""
    async with session_at(service) as fox:
        outcomes = Batch([("x", fox_request("a"))], tmp_path).run(fox)
        waiting = asyncio.create_task(anext(outcomes))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait([waiting])
    _, (outcome,) = await run(service, [], tmp_path)

    assert ("x", 1) == (outcome.key, service.billed)
    assert "a" == manifest(tmp_path)[0]["request"]["prompt"]


async def test_an_answer_on_its_way_is_waited_for(tmp_path):
    """A run that is closed while a submit has no answer yet waits for the id."""
    async with Emulator(seconds=5, faults=[Fault.slow("submit", 3)]) as emulator:
        async with session_at(emulator) as fox:
            outcomes = Batch(foxes(1), tmp_path).run(fox)
            waiting = asyncio.create_task(anext(outcomes))
            await asyncio.sleep(1)
            waiting.cancel()
            await asyncio.wait([waiting])
            await outcomes.aclose()
            assert 3 == round(now())
        async with SqliteLedger.peek(tmp_path / "ledger.sqlite") as ledger:
            (entry,) = [entry async for entry in ledger.entries()]

        assert (ItemState.SUBMITTED, [entry.task_id]) == (entry.state, list(emulator.tasks))


async def test_an_item_that_was_not_sent_stays_new(tmp_path):
    """An item whose submit still waits for its turn is not uncertain when the run ends."""
    async with Emulator(faults=[Fault.status("submit", 429, retry_after=60, times=None)]) as emulator:
        async with session_at(emulator) as fox:
            outcomes = Batch(foxes(2), tmp_path).run(fox)
            waiting = asyncio.create_task(anext(outcomes))
            await asyncio.sleep(1)
            waiting.cancel()
            await asyncio.wait([waiting])
            await outcomes.aclose()
        async with SqliteLedger.peek(tmp_path / "ledger.sqlite") as ledger:
            assert 2 == ((await ledger.totals()).counts)[ItemState.NEW]


async def states_while_it_runs(fox, out, requests, seconds):
    """The ledger's counts after this many seconds of a run."""
    outcomes = Batch(requests, out).run(fox)
    reading = asyncio.create_task(anext(outcomes))
    await asyncio.sleep(seconds)
    async with SqliteLedger.peek(out / "ledger.sqlite") as ledger:
        counts = (await ledger.totals()).counts
    await outcomes.aclose()
    await asyncio.wait([reading])
    return {state: count for state, count in counts.items() if count}


async def test_what_waits_for_its_turn_is_not_noted_as_sent(tmp_path):
    """If a run is killed while a limit holds items back, none of them becomes uncertain."""
    async with (
        Emulator(seconds=60) as emulator,
        session_at(emulator, limits=Limits(submits_per_second=1)) as fox,
    ):
        assert {ItemState.SUBMITTED: 3} == await states_while_it_runs(fox, tmp_path, foxes(10), 2.5)
        assert 3 == emulator.billed


async def test_what_waits_out_a_refusal_is_not_noted_as_sent(tmp_path):
    """If a run is killed while items wait after a 429, none of them becomes uncertain."""
    fault = Fault.status("submit", 429, retry_after=60)
    async with Emulator(faults=[fault]) as emulator, session_at(emulator) as fox:
        assert {ItemState.NEW: 1} == await states_while_it_runs(fox, tmp_path, foxes(1), 30)
        assert 0 == emulator.billed


async def test_an_uncertain_item_is_shown_and_not_sent_again(tmp_path):
    """A submit without an answer is an outcome once. It is sent again only if requested, with the same key."""
    async with Emulator(seconds=5, faults=[Fault.cut_after("submit")]) as emulator:
        _, (first,) = await run(emulator, foxes(1), tmp_path)
        batch, second = await run(emulator, foxes(1), tmp_path)
        assert (UncertainSubmitError, [], 1) == (type(first.error), second, len(posts(emulator)))
        (line,) = manifest(tmp_path)
        assert (1, "uncertain", {"finished"}) == (
            batch.tally[ItemState.UNCERTAIN],
            line["status"],
            set(line["timings"]),
        )
        _, (third,) = await run(emulator, foxes(1), tmp_path, resubmit_uncertain=True)

        assert third.files
        assert 1 == len(set(keys_sent(emulator)))
        assert ["done"] == [line["status"] for line in manifest(tmp_path)][-1:]


async def test_a_submit_that_a_kill_interrupted_is_uncertain(service, tmp_path):
    """What the ledger has as being submitted when a run begins may have been billed: it is shown, not sent."""
    async with SqliteLedger.opened(tmp_path / "ledger.sqlite") as ledger:
        await ledger.submitting(
            "x", "f" * 24, "key-1", 5.0, '{"id": "x", "index": 7, "request": {"prompt": "a"}}'
        )
    batch, (outcome,) = await run(service, [], tmp_path, budget=100)

    assert (7, "x", "key-1") == (outcome.index, outcome.key, outcome.error.idempotency_key)
    assert (0, 5.0, 1) == (service.billed, batch.spent, batch.tally[ItemState.UNCERTAIN])
    assert "uncertain" == manifest(tmp_path)[0]["status"]


async def test_a_failed_item_is_rerun_when_asked(tmp_path):
    """A failed task is recorded with its code as paid for. `retry_failed` submits it again, with another key."""
    async with Emulator(seconds=5, faults=[Fault.fails("content_policy_violation")]) as emulator:
        _, (first,) = await run(emulator, foxes(1), tmp_path)
        _, second = await run(emulator, foxes(1), tmp_path)
        assert (TaskFailedError, []) == (type(first.error), second)
        assert "content_policy_violation" == manifest(tmp_path)[0]["error"]["code"]
        batch, (third,) = await run(emulator, foxes(1), tmp_path, retry_failed=True)

        assert (1, 2, 10) == (len(third.files), len(set(keys_sent(emulator))), batch.spent)
        assert (1, 0) == (batch.tally[ItemState.DONE], batch.tally[ItemState.FAILED])
        await run(emulator, [], tmp_path)
        assert ["failed", "done"] == [line["status"] for line in manifest(tmp_path)]


@pytest.mark.parametrize(("status", "error"), [(401, AuthenticationError), (402, InsufficientQuotaError)])
async def test_a_refused_account_pauses_the_batch(tmp_path, status, error):
    """A 401 or 402 ends the submitting, yields the running items, is raised, and everything can be resumed."""
    faults = [Fault.status("submit", status, after=2, times=1)]
    async with Emulator(seconds=5, faults=faults) as emulator:
        batch = Batch(foxes(6), tmp_path, max_in_flight=2)
        outcomes, raised = await drained(emulator, batch)
        assert error is type(raised)
        assert (2, 2) == (len(outcomes), emulator.billed)
        assert "run the batch again" in batch.paused
        await run(emulator, foxes(6), tmp_path)

        assert (6, 6) == (emulator.billed, len(list((tmp_path / "images").iterdir())))


@pytest.mark.thorough
async def test_a_429_slows_the_whole_batch(tmp_path):
    """Every item is made, only later, and no item fails."""
    faults = [Fault.status("submit", 429, retry_after=30, times=3, after=2)]
    async with Emulator(seconds=5, faults=faults) as emulator:
        _, outcomes = await run(emulator, foxes(10), tmp_path)

        assert (10, [None] * 10) == (emulator.billed, [outcome.error for outcome in outcomes])
        assert now() > 30


async def test_a_long_429_is_waited_out(tmp_path):
    """If all tries of a submit were refused for the moment, its item waits and tries again."""
    async with Emulator(seconds=5, faults=[Fault.status("submit", 429, times=12)]) as emulator:
        _, (outcome,) = await run(emulator, foxes(1), tmp_path)

        assert (1, None) == (emulator.billed, outcome.error)


@contextlib.contextmanager
def closed_port():
    """An address without a listener."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{closed.getsockname()[1]}"


async def test_a_run_that_the_service_never_answered_ends_after_a_minute(tmp_path):
    """If no connection ever opens, the batch pauses after 60 s, and nothing is lost."""
    batch = Batch(foxes(3), tmp_path)
    with closed_port() as url:
        async with FoxSession("sk-test-12345", base_url=url) as fox:
            with pytest.raises(ConnectionFailedError):
                async for _ in batch.run(fox):
                    raise AssertionError("an outcome")

    assert 60 == pytest.approx(now(), abs=1)
    assert 3 == batch.tally[ItemState.NEW]


async def test_an_outage_is_waited_out_and_ends_the_run_after_ten_minutes(tmp_path):
    """While the network is down the batch waits. Ten minutes after the service's last answer it ends, and
    nothing is lost.
    """
    batch = Batch(foxes(3), tmp_path)
    async with Emulator() as emulator, session_at(emulator) as fox:
        await fox.generate(fox_request())
        with closed_port() as url:
            fox._engine._transport._root = url
            began = now()
            with pytest.raises(ConnectionFailedError):
                async for _ in batch.run(fox):
                    raise AssertionError("an outcome")

    assert 600 == pytest.approx(now() - began, abs=1)
    assert 3 == batch.tally[ItemState.NEW]


async def test_a_refused_request_is_its_own_failure(tmp_path):
    """A 422 fails its item, costs nothing, and is not repeated."""
    async with Emulator(seconds=5, faults=[Fault.status("submit", 422)]) as emulator:
        batch, outcomes = await run(emulator, foxes(2), tmp_path, max_in_flight=1, budget=100)
        _, again = await run(emulator, foxes(2), tmp_path)

        assert (1, [], 5) == (emulator.billed, again, batch.spent)
        assert [422, None] == [outcome.error and outcome.error.status for outcome in outcomes]


async def test_the_next_run_polls_a_task_that_timed_out(tmp_path):
    """A timeout is an outcome and the task continues; the next run gets its images without a second bill."""
    async with Emulator(seconds=100) as emulator:
        _, (late,) = await run(emulator, foxes(1), tmp_path, session={"task_timeout": 20})
        assert (TaskTimeoutError, []) == (type(late.error), manifest(tmp_path))
        _, (made,) = await run(emulator, foxes(1), tmp_path)

        assert (1, late.task_id, 1) == (len(made.files), made.task_id, emulator.billed)


async def test_a_task_that_the_service_does_not_know_stays_submitted(tmp_path):
    """If every poll gets 404, the wait ends with that error. The item stays submitted, and may be billed."""
    async with Emulator(seconds=100, faults=[Fault.not_found(times=None)]) as emulator:
        batch, (outcome,) = await run(emulator, foxes(1), tmp_path)

    assert type(outcome.error) is NotFoundError
    assert outcome.error.charged == "yes"
    assert manifest(tmp_path) == []
    assert batch.tally["submitted"] == 1


async def test_an_image_that_cannot_be_fetched_is_fetched_by_the_next_run(tmp_path):
    """A failed download leaves its item open: the next run saves it without a new bill."""
    async with Emulator(seconds=5, faults=[Fault.status("file", 400)]) as emulator:
        _, (first,) = await run(emulator, foxes(1), tmp_path)
        _, (second,) = await run(emulator, foxes(1), tmp_path)

        assert (DownloadError, 1, 1) == (type(first.error), len(second.files), emulator.billed)


@pytest.mark.parametrize("tear", [lambda text: text[:-20], lambda text: ""])
async def test_lines_that_the_manifest_lacks_are_added(service, tmp_path, tear, monkeypatch):
    """The next run adds each line that the manifest lacks, and removes a line that was cut off."""
    monkeypatch.setattr("foxapi_async._batch.manifest._AT_ONCE", 2)
    await run(service, foxes(3), tmp_path)
    whole = (tmp_path / "manifest.jsonl").read_text()
    (tmp_path / "manifest.jsonl").write_text(tear(whole))
    await run(service, foxes(3), tmp_path)

    assert sorted(whole.splitlines()) == sorted((tmp_path / "manifest.jsonl").read_text().splitlines())


async def test_what_a_killed_download_left_is_removed(service, tmp_path):
    """The next run removes part files that no process writes any more; the images stay."""
    await run(service, foxes(1), tmp_path)
    left = tmp_path / "images" / "0001" / ".fox-1.1234abcd.part"
    left.parent.mkdir()
    left.write_bytes(b"half")
    await run(service, foxes(1), tmp_path)

    assert (False, 1) == (left.exists(), len(list((tmp_path / "images").glob("*.jpg"))))


async def test_nothing_that_a_run_writes_holds_the_key(tmp_path, caplog):
    """If the service repeats the key in its refusals, neither ledger, manifest, report nor log contains it."""
    caplog.set_level(logging.DEBUG)
    async with Emulator(seconds=5, key="sk-very-secret-1") as emulator:
        for status in (422, 500, 403):
            emulator.add_fault(Fault.status("submit", status, message=f"no such key: {emulator.key}"))
        emulator.add_fault(Fault.fails(message=f"refused for {emulator.key}"))
        for _ in range(3):
            await drained(emulator, Batch(foxes(4), tmp_path, max_in_flight=1))
    write_report(tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    assert {"ledger.sqlite", "manifest.jsonl", "report.html"} <= set(written)
    assert [] == [name for name, data in written.items() if b"sk-very-secret" in data]
    assert "sk-very-secret" not in caplog.text
    assert b"no such key: ***" in written["manifest.jsonl"]


async def test_one_run_at_a_time(service, tmp_path):
    """A second run on the same folder is refused."""
    async with session_at(service) as fox:
        first = Batch(foxes(2), tmp_path).run(fox)
        await anext(first)
        with pytest.raises(LedgerError, match="in use by"):
            await anext(Batch(foxes(2), tmp_path).run(fox))
        await first.aclose()


async def test_a_run_whose_closing_is_cancelled_waits_for_no_answer(service, tmp_path):
    """Cancelling `aclose` ends the wait for answers: the items are uncertain, and not sent again."""
    service.add_fault(Fault.hang("submit", times=None))
    async with session_at(service) as fox:
        outcomes = Batch(foxes(2), tmp_path).run(fox)
        reading = asyncio.create_task(anext(outcomes))
        while len(service.requests) < 2:
            await settle(1)
        began = now()
        closing = asyncio.create_task(outcomes.aclose())
        await settle()
        closing.cancel()
        await asyncio.wait([closing, reading])
    assert now() - began < 1

    batch = Batch(foxes(2), tmp_path)
    async with session_at(service) as fox:
        assert [UncertainSubmitError] * 2 == [type(o.error) async for o in batch.run(fox)]
    assert 2 == len(service.requests)


async def test_a_source_is_pulled_as_far_as_there_is_room(service, tmp_path):
    """From an endless generator only as many items are pulled as can start, and at the end it is closed."""
    pulled = []

    async def endless():
        try:
            while True:
                pulled.append(len(pulled))
                yield fox_request(f"fox {len(pulled)}")
        finally:
            pulled.append("closed")

    async with session_at(service) as fox:
        outcomes = Batch(endless(), tmp_path, max_in_flight=3).run(fox)
        async for _ in outcomes:
            break
        await outcomes.aclose()

    assert len(pulled) <= 6
    assert "closed" == pulled[-1]


@pytest.mark.thorough
async def test_nothing_is_kept_of_what_was_handed_out(service, tmp_path):
    """Items of an earlier run and new ones leave no handle behind after their outcomes were yielded."""
    async with session_at(service) as fox:
        outcomes = Batch(foxes(3), tmp_path, max_in_flight=2).run(fox)
        await anext(outcomes)
        await outcomes.aclose()
    async with session_at(service) as fox:
        outcomes = [outcome async for outcome in Batch(foxes(6), tmp_path).run(fox)]
        assert () == fox.unfinished
        assert set() == {each for each in fox._engine.pipelines if each.handles}

    assert 5 == len(outcomes)


async def test_a_refused_resubmission_leaves_an_item_as_it_was(tmp_path):
    """An uncertain item whose new submit is refused for now stays uncertain."""
    async with Emulator(seconds=5, faults=[Fault.cut_after("submit")]) as emulator:
        await run(emulator, foxes(1), tmp_path)
        emulator.add_fault(Fault.status("submit", 402))
        batch = Batch(foxes(1), tmp_path, resubmit_uncertain=True)
        _, raised = await drained(emulator, batch)

        assert InsufficientQuotaError is type(raised)
        assert (1, 0) == (batch.tally[ItemState.UNCERTAIN], batch.tally[ItemState.NEW])


async def test_an_error_of_the_source_comes_last(service, tmp_path):
    """The outcomes of submitted items come first, then the source's own error is raised."""

    def broken():
        yield fox_request()
        raise RuntimeError("no more")

    outcomes, raised = await drained(service, Batch(broken(), tmp_path))

    assert ([True], "no more") == ([bool(outcome.files) for outcome in outcomes], str(raised))


async def test_a_session_that_is_closed_ends_the_run(service, tmp_path):
    """Closing the session during a run leaves everything resumable."""
    async with session_at(service) as fox:
        outcomes = Batch(foxes(3), tmp_path).run(fox)
        waiting = asyncio.create_task(anext(outcomes))
        await asyncio.sleep(1)
    await asyncio.wait([waiting])
    await outcomes.aclose()
    _, rest = await run(service, foxes(3), tmp_path)

    assert (3, 3) == (service.billed, len(rest))


@pytest.mark.thorough
async def test_a_full_disk_ends_the_run(service, tmp_path, monkeypatch):
    """If images cannot be written, submitting ends: nothing is paid for that could not be kept."""

    def full(*_, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("foxapi_async._files.disk.PartFile.commit", full)
        batch = Batch(foxes(8), tmp_path, max_in_flight=2)
        outcomes, raised = await drained(service, batch)
    assert (DownloadError, True) == (type(raised), raised.local)
    assert "No space left" in batch.paused
    assert len(outcomes) == service.billed < 6
    await run(service, foxes(8), tmp_path)

    assert (8, 8) == (service.billed, len(manifest(tmp_path)))


async def test_a_ledger_that_cannot_be_written_ends_the_run_with_the_ids(service, tmp_path, monkeypatch):
    """If the ledger breaks during a run, nothing more is sent, and each id that it may not have is yielded."""

    def full(connection, *_):
        raise sqlite3.OperationalError("database or disk is full")

    batch = Batch(foxes(9), tmp_path, max_in_flight=3)
    with monkeypatch.context() as patched:
        patched.setattr("foxapi_async._ledger.statements.ended", full)
        outcomes, raised = await drained(service, batch)

    assert LedgerError is type(raised)
    assert {outcome.task_id for outcome in outcomes} == set(service.tasks)
    assert {LedgerError} == {type(outcome.error) for outcome in outcomes}
    assert 3 == service.billed


async def test_a_manifest_that_cannot_be_written_ends_the_run(service, tmp_path, monkeypatch):
    """The same holds for the manifest: items that are done in the ledger are not made again."""

    def full(*_, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("foxapi_async._batch.manifest.append_whole", full)
        _, raised = await drained(service, Batch(foxes(3), tmp_path))
    assert "No space left" in str(raised)
    await run(service, foxes(3), tmp_path)

    assert (3, 3) == (service.billed, len(manifest(tmp_path)))


@pytest.mark.thorough
async def test_many_images_are_spread_over_folders(service, tmp_path, monkeypatch):
    """From the thousandth item on each thousand has its own folder, which the manifest names."""
    monkeypatch.setattr("foxapi_async._batch.item.FILES_IN_FOLDER", 2)
    await run(service, foxes(5), tmp_path)

    folders = {line["index"]: line["files"][0]["path"].rsplit("/", 1)[0] for line in manifest(tmp_path)}
    assert {0: "images", 1: "images", 2: "images/0001", 3: "images/0001", 4: "images/0002"} == folders


async def test_a_run_that_was_not_begun_is_closed_without_a_trace(service, tmp_path):
    """Closing a run that was never iterated over does nothing. A closed session starts no run."""
    async with session_at(service) as fox:
        await Batch(foxes(1), tmp_path / "a").run(fox).aclose()
        late = Batch(foxes(1), tmp_path / "b").run(fox)
    with pytest.raises(ConfigurationError, match="before the batch began"):
        await anext(late)

    assert [] == list(tmp_path.iterdir())


async def test_a_run_that_is_closed_while_it_opens_sends_nothing(service, tmp_path):
    """If a run is closed before its ledger is open, it ends as soon as the ledger is open; nothing is sent."""
    async with session_at(service) as fox:
        outcomes = Batch(foxes(1), tmp_path).run(fox)
        waiting = asyncio.create_task(anext(outcomes))
        await asyncio.sleep(0)
        await outcomes.aclose()
        await asyncio.wait([waiting])

    assert isinstance(waiting.exception(), StopAsyncIteration)
    assert 0 == service.billed


async def test_a_run_whose_closing_is_cancelled_while_it_opens_is_closed(service, tmp_path):
    """Cancelling `aclose` before the ledger is open leaves it to the session; nothing is sent."""
    async with session_at(service) as fox:
        outcomes = Batch(foxes(1), tmp_path).run(fox)
        waiting = asyncio.create_task(anext(outcomes))
        await asyncio.sleep(0)
        closing = asyncio.create_task(outcomes.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing, waiting])

    assert closing.cancelled()
    assert 0 == service.billed


async def test_a_run_that_is_dropped_closes_its_ledger(service, tmp_path):
    """Without `aclose`, a dropped iterator ends the run as well, and another run may start at once."""
    async with session_at(service) as fox:
        async for _ in Batch(foxes(4), tmp_path, max_in_flight=2).run(fox):
            break
        gc.collect()
        await asyncio.sleep(1)
        rest = [outcome async for outcome in Batch(foxes(4), tmp_path).run(fox)]

    assert (4, 3) == (service.billed, len(rest))


async def test_after_its_end_a_run_stays_ended(service, tmp_path):
    """An error is raised once; after that the iterator just ends."""
    (tmp_path / "out").write_text("")
    async with session_at(service) as fox:
        outcomes = Batch(foxes(1), tmp_path / "out").run(fox)
        with pytest.raises(LedgerError):
            await anext(outcomes)
        with pytest.raises(StopAsyncIteration):
            await anext(outcomes)


async def test_a_file_is_validated_before_anything_is_sent(service, tmp_path):
    """All wrong lines are named with their numbers, and nothing is billed."""
    file = tmp_path / "in.jsonl"
    file.write_text('{"prompt": "a"}\n{"prompt": ""}\n{"prompt": "c", "num_outputs": 9}\n')
    lines = InputFile(file, defaults={"model": "grok-imagine-image"})
    _, raised = await drained(service, Batch(lines, tmp_path / "out"))

    assert InvalidRequestError is type(raised)
    assert ["line 2", "line 3"] == [problem.partition(":")[0] for problem in raised.problems]
    assert 0 == service.billed


async def test_ids_of_a_file_are_compared_before_anything_is_sent(service, tmp_path):
    """An id that names two requests, here or in an earlier run, is a wrong line. The same line twice is correct."""
    file = tmp_path / "in.jsonl"

    async def problems_of(*rows):
        file.write_text("".join(json.dumps({"id": item, "prompt": prompt}) + "\n" for item, prompt in rows))
        lines = InputFile(file, defaults={"model": "grok-imagine-image"})
        _, raised = await drained(service, Batch(lines, tmp_path / "out"))
        return [] if raised is None else [problem[:19] for problem in raised.problems]

    assert ["line 3: id='x' is u"] == await problems_of(("x", "a"), ("x", "a"), ("x", "b"))
    assert [] == await problems_of(("x", "a"), ("x", "a"), ("y", "b"))
    assert ["line 2: id='x' was "] == await problems_of(("y", "b"), ("x", "changed"))
    assert 2 == service.billed


async def test_a_file_that_is_finished_is_not_read_again(service, tmp_path, monkeypatch):
    """A second run of the same file reads only its checksum; if a line was added, it does that line."""
    file = tmp_path / "in.txt"
    file.write_text("a fox\nan owl\n")

    def lines():
        return InputFile(file, defaults={"model": "grok-imagine-image"})

    batch, outcomes = await run(service, lines(), tmp_path / "out")
    assert (2, 2) == (batch.expected, len(outcomes))
    with monkeypatch.context() as patched:
        patched.setattr(InputFile, "chunks", None)
        batch, outcomes = await run(service, lines(), tmp_path / "out")
    assert (2, []) == (batch.expected, outcomes)
    with file.open("a") as more:
        more.write("a lynx\n")
    _, outcomes = await run(service, lines(), tmp_path / "out")

    assert ["a lynx"] == [outcome.request.prompt for outcome in outcomes]


async def test_a_finished_file_with_open_items_is_gone_through(tmp_path):
    """`retry_failed` finds the failed items of a finished file."""
    file = tmp_path / "in.txt"
    file.write_text("a fox\nan owl\n")
    async with Emulator(seconds=5, faults=[Fault.fails()]) as emulator:
        for options in ({}, {"retry_failed": True}):
            lines = InputFile(file, defaults={"model": "grok-imagine-image"})
            _, outcomes = await run(emulator, lines, tmp_path / "out", **options)

        assert (1, 3) == (len(outcomes), emulator.billed)


async def test_wrong_lines_of_a_pipe_are_outcomes(service, tmp_path):
    """Lines are done as they arrive; a wrong one is reported with its number."""
    lines = [
        InputRow(1, request=fox_request()),
        InputRow(2, problems=("prompt: missing",)),
        InputRow(3, "x", fox_request()),
    ]
    _, outcomes = await run(service, lines, tmp_path)

    assert [None, "line 2: prompt: missing", None] == [o.error and str(o.error) for o in outcomes]
    assert "x" == outcomes[2].key


async def test_a_folder_that_cannot_be_written_is_reported_before_anything_is_sent(service, tmp_path):
    """A file in place of the folder is a LedgerError, and nothing is billed."""
    (tmp_path / "out").write_text("")
    async with session_at(service) as fox:
        with pytest.raises(LedgerError):
            await anext(Batch(foxes(1), tmp_path / "out").run(fox))

    assert 0 == service.billed


@pytest.mark.parametrize(
    "options", [{"max_in_flight": 0}, {"budget": -1}, {"budget": "5"}, {"price": float("nan")}]
)
def test_a_wrong_setting_is_reported_at_once(tmp_path, options):
    """An invalid number is a ConfigurationError that names it."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Batch([], tmp_path, **options)


def test_before_the_run_there_is_nothing(tmp_path):
    """A batch that was not run has no counts, has spent nothing and is not paused."""
    batch = Batch([], tmp_path)

    assert ({}, 0.0, None) == (batch.tally, batch.spent, batch.paused)
