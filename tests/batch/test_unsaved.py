"""Items that were made and paid for, and not saved: their state, their records, and how another run saves them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers import fox_request, posts, session_at

from foxapi_async import Batch, DownloadError, NotFoundError, UnreadableResultError
from foxapi_async._batch.input.file import InputFile
from foxapi_async._ledger.entry import ItemState
from foxapi_async.cli._batch_status import read_status
from foxapi_async.emulator import Emulator, Fault
from foxapi_async.report import write_report

pytestmark = pytest.mark.virtual

GONE = Fault.status("file", 404, times=None)
UNREADABLE = Fault.completes_with({"results": [{"ok": True}]}, times=None)


async def run(emulator, count, out, *, session=None, **options):
    """One complete run: the batch, and its outcomes in the order of the input."""
    batch = Batch([(f"fox-{n}", fox_request(f"fox {n}")) for n in range(count)], out, **options)
    async with session_at(emulator, **(session or {})) as fox:
        outcomes = [outcome async for outcome in batch.run(fox)]
    return batch, sorted(outcomes, key=lambda outcome: outcome.index)


def manifest(out):
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def facts(out):
    """The facts of the report, as it shows them."""
    pairs = re.findall(r"<dt[^>]*>(.*?)</dt><dd[^>]*><span[^>]*>(.*?)</span>", write_report(out).read_text())
    return dict(pairs)


@pytest.fixture
async def service():
    """A service whose tasks take about 5 s of a loop that runs fast."""
    async with Emulator(seconds=5) as emulator:
        yield emulator


async def test_a_file_that_is_gone_leaves_an_item_unsaved(service, tmp_path):
    """Status, batch and report name the state, and the item counts as spent in each of them."""
    service.add_fault(GONE)
    batch, (outcome,) = await run(service, 1, tmp_path)
    status, report = await read_status(tmp_path), facts(tmp_path)

    assert DownloadError is type(outcome.error)
    assert (1, 0) == (batch.tally[ItemState.UNSAVED], batch.tally[ItemState.SUBMITTED])
    assert "0 done, 1 made, not saved (and billed)" == status.states
    assert "1" == report["made, not saved"]
    assert [5.0, 5.0, "5"] == [batch.spent, status.spent, report["credits"]]


async def test_the_files_that_are_saved_are_recorded(service, tmp_path):
    """One of three files is gone: outcome and manifest have the two others. The next run completes them."""
    service.add_fault(Fault.status("file", 404))
    items = [fox_request(num_outputs=3)]
    outcomes, billed = [], []
    for _ in range(2):
        async with session_at(service) as fox:
            outcomes += [outcome async for outcome in Batch(items, tmp_path).run(fox)]
        billed.append(service.billed)
    first, last = outcomes
    lines = manifest(tmp_path)

    assert ([2, 3], [1, 1]) == ([len(first.files), len(last.files)], billed)
    assert (DownloadError, None) == (type(first.error), last.error)
    assert ["unsaved", "done"] == [line["status"] for line in lines]
    assert [file.path.name for file in first.files] == [Path(file["path"]).name for file in lines[0]["files"]]
    assert 3 == len(list((tmp_path / "images").iterdir()))


async def test_a_report_shows_the_files_of_an_unsaved_item(service, tmp_path):
    """What is there of it is seen."""
    service.add_fault(Fault.status("file", 404))
    async with session_at(service) as fox:
        async for _ in Batch([fox_request(num_outputs=3)], tmp_path).run(fox):
            pass
    page = write_report(tmp_path).read_text()

    assert 2 == len(re.findall(r"<img[^>]* src=\"images/", page))
    assert "1" == facts(tmp_path)["made, not saved"]


async def test_the_manifest_has_the_results_as_they_came(service, tmp_path):
    """The address of the file, and what was paid for it, are in the line."""
    service.add_fault(GONE)
    _, (outcome,) = await run(service, 1, tmp_path)
    (line,) = manifest(tmp_path)

    assert ("unsaved", outcome.task_id, 5.0, "yes") == (
        line["status"],
        line["task_id"],
        line["credits"],
        line["error"]["charged"],
    )
    assert [outcome.error.url] == [result["url"] for result in line["results"]]


async def test_results_that_cannot_be_read_are_in_the_manifest(service, tmp_path):
    """The raw results are kept, with the usage of the task."""
    service.add_fault(UNREADABLE)
    _, (outcome,) = await run(service, 1, tmp_path)
    (line,) = manifest(tmp_path)

    assert UnreadableResultError is type(outcome.error)
    assert ("unsaved", [{"ok": True}], 5) == (
        line["status"],
        line["results"],
        line["usage"]["credits_reserved"],
    )


async def test_the_next_run_saves_without_another_bill(service, tmp_path):
    """The same command fetches the files again. It sends no submit, and the item is done."""
    service.add_fault(Fault.status("file", 404, times=1))
    _, (lost,) = await run(service, 1, tmp_path)
    batch, (saved,) = await run(service, 1, tmp_path)

    assert (lost.task_id, 1, 1) == (saved.task_id, len(saved.files), len(posts(service)))
    assert (1, 0) == (batch.tally[ItemState.DONE], batch.tally[ItemState.UNSAVED])
    assert ["unsaved", "done"] == [line["status"] for line in manifest(tmp_path)]
    assert [5.0, 5.0, "5"] == [batch.spent, (await read_status(tmp_path)).spent, facts(tmp_path)["credits"]]


async def test_no_option_sends_it_again(service, tmp_path):
    """Failed and uncertain items may be sent again. This one is not, even if the service no longer knows its task."""
    service.add_fault(GONE)
    await run(service, 1, tmp_path)
    service.add_fault(Fault.not_found(times=None))
    batch, (outcome,) = await run(service, 1, tmp_path, retry_failed=True, resubmit_uncertain=True)

    assert (NotFoundError, 1) == (type(outcome.error), len(posts(service)))
    assert 1 == batch.tally[ItemState.UNSAVED]


async def test_a_finished_input_is_read_again_while_an_item_is_unsaved(service, tmp_path):
    """A batch with such an item is not finished, so each run tries to save it."""
    items = tmp_path / "items.jsonl"
    items.write_text(json.dumps({"id": "fox", "model": "grok-imagine-image", "prompt": "a fox"}) + "\n")
    service.add_fault(Fault.status("file", 404, times=1))
    states = []
    for _ in range(3):
        batch = Batch(InputFile(items), tmp_path / "out")
        async with session_at(service) as fox:
            states.append([outcome.error is None async for outcome in batch.run(fox)])

    assert [[False], [True], []] == states


async def test_a_rebuilt_ledger_keeps_the_state(service, tmp_path):
    """The manifest proves the state: the next run saves the item, and sends nothing."""
    service.add_fault(Fault.status("file", 404, times=2))
    await run(service, 2, tmp_path)
    (tmp_path / "ledger.sqlite").unlink()
    batch, outcomes = await run(service, 2, tmp_path, rebuild_ledger=True)

    assert (2, 2) == (batch.tally[ItemState.DONE], len(posts(service)))
    assert [1, 1] == [len(outcome.files) for outcome in outcomes]


async def test_used_credits_replace_reserved_ones(tmp_path):
    """What the completed task says it used counts in batch, ledger, manifest and report."""
    async with Emulator(seconds=5, results="urls") as service:
        batch, _ = await run(service, 3, tmp_path)
    status = await read_status(tmp_path)

    assert [12.0, 12.0, "12"] == [batch.spent, status.spent, facts(tmp_path)["credits"]]
    assert [4.0] * 3 == [line["credits"] for line in manifest(tmp_path)]


async def test_a_report_counts_running_tasks_and_earlier_submits(service, tmp_path):
    """Its sum is that of the ledger: a running task and a failed submit before the last one are in it."""
    service.add_fault(Fault.fails("no"))
    await run(service, 1, tmp_path)
    await run(service, 1, tmp_path, retry_failed=True)
    status, page = await read_status(tmp_path), write_report(tmp_path).read_text()

    assert (10.0, "10") == (status.spent, facts(tmp_path)["credits"])
    assert "5 earlier submits and running tasks" in page


async def test_a_report_counts_what_has_not_ended(service, tmp_path):
    """A task that still runs has no line in the manifest; the report counts it, and its credits."""
    service.add_fault(Fault.never_finishes(prompt="fox 1"))
    await run(service, 2, tmp_path, session={"task_timeout": 60})
    found = facts(tmp_path)

    assert ("1", "1", "10") == (found["done"], found["not ended"], found["credits"])


async def test_a_report_of_a_ledger_with_damaged_pages_says_so(service, tmp_path):
    """If the ledger opens and its rows cannot be read, the sums are those of the manifest too."""
    await run(service, 20, tmp_path)
    path = tmp_path / "ledger.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))

    assert "because the ledger cannot be read: the ledger" in write_report(tmp_path).read_text()


async def test_a_report_without_its_ledger_says_so(service, tmp_path):
    """If the ledger is damaged, the sums are those of the manifest, and the page says why."""
    await run(service, 2, tmp_path)
    (tmp_path / "ledger.sqlite").write_bytes(b"no ledger at all" * 100)
    page = write_report(tmp_path).read_text()

    assert "The sums come from the manifest, because the ledger cannot be read: " in page
    assert "10" == facts(tmp_path)["credits"]
