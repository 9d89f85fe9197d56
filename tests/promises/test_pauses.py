"""A paused run gives its reason in one word, every item can be resumed, and nothing is billed twice."""

import asyncio
import copy
import errno
import json
import pickle
import socket
from pathlib import Path

import pytest
from counted import run_batch, small, smalls
from helpers import fox_request, posts

from foxapi_async import (
    ConnectionFailedError,
    DownloadError,
    InsufficientQuotaError,
    NotFoundError,
    UncertainSubmitError,
)
from foxapi_async._batch.input import file
from foxapi_async._batch.input.file import InputFile
from foxapi_async._ledger.sqlite import SqliteLedger
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual

SHORT = {"task_timeout": 5}
"""A session whose wait ends before a task of 60 s does."""


async def paused(emulator, requests, out, **options):
    """One run, and why it paused."""
    seen = await run_batch(emulator, requests, out, **options)
    return seen, seen.paused and seen.paused.reason


async def begun(emulator, folder, requests):
    """A batch whose items are all submitted and not ended."""
    await run_batch(emulator, requests, folder, session=SHORT)


def forgetful(emulator):
    """Let the service know no task for longer than the SDK tolerates this for an id of an earlier run."""
    return lambda: emulator.outage(3, Fault.not_found("poll"))


def records(folder):
    """The lines of the manifest."""
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


# One word for each reason.


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.status("submit", 401, times=None), "account"),
        (Fault.status("submit", 402, times=None), "account"),
        (Fault.status("submit", 403, times=None), "account"),
        (Fault.edge("all", 404, times=None), "path"),
        (Fault.status("submit", 429, retry_after=3600, times=None), "hold"),
    ],
)
async def test_a_refusal_has_its_reason(fault, reason, tmp_path):
    """A run whose submits are refused pauses with the reason of the refusal, and every item stays new."""
    async with Emulator(seconds=5, faults=[fault]) as emulator:
        seen, why = await paused(emulator, smalls(20), tmp_path)

    assert why == reason
    assert seen.states == (0, 0, 0, 0)


async def test_a_reached_budget_is_the_reason_of_a_pause(tmp_path):
    """A run whose budget is reached pauses with that reason, and raises nothing."""
    async with Emulator(seconds=5) as emulator:
        seen, why = await paused(emulator, [fox_request(f"fox {n}") for n in range(9)], tmp_path, budget=12)

    assert (why, seen.raised, seen.done) == ("budget", None, 2)


async def test_a_service_out_of_reach_is_an_outage(tmp_path):
    """A run that cannot reach the service pauses with the reason "outage"."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with Emulator() as emulator:
        seen, why = await paused(
            emulator, smalls(3), tmp_path, session={"base_url": f"http://127.0.0.1:{port}"}
        )

    assert (why, type(seen.raised)) == ("outage", ConnectionFailedError)


async def test_a_full_disk_is_the_reason_of_a_pause(tmp_path, monkeypatch):
    """A run whose images cannot be written pauses with the reason "disk"."""

    def full(*_, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("foxapi_async._files.disk.PartFile.commit", full)
    async with Emulator(seconds=5) as emulator:
        seen, why = await paused(emulator, smalls(3), tmp_path)

    assert (why, type(seen.raised)) == ("disk", DownloadError)


async def test_many_uncertain_submits_are_the_reason_of_a_pause(tmp_path):
    """A run pauses if more than 10 + 1 % of its submits are uncertain; its error counts them."""
    fault = Fault.cut_after("submit", probability=0.15, times=None)
    async with Emulator(seconds=5, faults=[fault]) as emulator:
        seen, why = await paused(emulator, smalls(400), tmp_path)

    assert (why, type(seen.raised)) == ("uncertain", UncertainSubmitError)
    assert f"{seen.uncertain} of " in str(seen.raised)
    assert (seen.done, seen.billed) == (seen.posts - seen.uncertain, seen.posts)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda text: pickle.loads(pickle.dumps(text))])
async def test_the_reason_is_kept_in_copies(again, tmp_path):
    """The value of `paused` is a text, and its copies have the reason too."""
    async with Emulator(seconds=5) as emulator:
        seen = await run_batch(emulator, [fox_request()], tmp_path, budget=0, price=5)
    text = again(seen.paused)

    assert isinstance(text, str)
    assert (text, text.reason) == (seen.paused, "budget")


# A quota of one model


@pytest.mark.thorough
async def test_a_stopped_model_begins_no_item(tmp_path):
    """Items of a model whose quota is used up stay new, also later ones; the run ends paused."""
    other = "gpt-image-1"
    requests = [small("first", other), *smalls(30), *[small(f"late {n}", other) for n in range(30)]]
    async with Emulator(seconds=5, faults=[Fault.quota(times=None, model=other)]) as emulator:
        seen, why = await paused(emulator, requests, tmp_path, max_in_flight=4)

    assert (why, type(seen.raised)) == ("account", InsufficientQuotaError)
    assert seen.states == (30, 0, 0, 0)
    assert seen.posts == 31


# On a resume


async def test_a_key_that_is_refused_on_polls_pauses_the_run(tmp_path):
    """A key that the service refuses on a poll pauses the run, and the items stay submitted."""
    async with Emulator(seconds=60) as emulator:
        await begun(emulator, tmp_path, smalls(5))
        seen, why = await paused(emulator, smalls(5), tmp_path, session={"api_key": "sk-another"})

    assert why == "account"
    assert (seen.states, seen.posts) == ((0, 0, 0, 5), 0)


async def test_pages_alone_on_polls_pause_the_run(tmp_path):
    """If only pages answer the polls and the service was never heard, the run pauses; the items stay submitted."""
    async with Emulator(seconds=60) as emulator:
        await begun(emulator, tmp_path, smalls(5))
        page = Fault.edge("all", 404)
        seen, why = await paused(emulator, smalls(5), tmp_path, begin=lambda: emulator.outage(3600, page))

    assert why == "path"
    assert (seen.states, seen.posts) == ((0, 0, 0, 5), 0)
    assert seen.seconds < 180


async def test_two_unknown_tasks_pause_nothing(tmp_path):
    """Two tasks that the service does not know are outcomes with their error: the run does its new items."""
    async with Emulator(seconds=60) as emulator:
        await begun(emulator, tmp_path, smalls(2))
        emulator.add_fault(Fault.not_found("poll", None, prompt="fox 0"))
        emulator.add_fault(Fault.not_found("poll", None, prompt="fox 1"))
        seen, why = await paused(emulator, smalls(4), tmp_path)

    assert (why, [type(error) for error in seen.errors]) == (None, [NotFoundError] * 2)
    assert seen.states == (2, 0, 0, 2)


async def test_unknown_tasks_beside_known_ones_pause_nothing(tmp_path):
    """Three tasks that the service does not know pause nothing if it knows another one."""
    async with Emulator(seconds=60) as emulator:
        await begun(emulator, tmp_path, smalls(4))
        for n in range(3):
            emulator.add_fault(Fault.not_found("poll", None, prompt=f"fox {n}"))
        seen, why = await paused(emulator, smalls(4), tmp_path)

    assert (why, seen.states) == (None, (1, 0, 0, 3))


async def test_a_known_task_that_fails_is_known(tmp_path):
    """Three tasks that the service does not know pause nothing if one that it knew failed before."""
    fails = Fault.fails("content_policy_violation", prompt="fox 3")
    async with Emulator(seconds=60, faults=[fails]) as emulator:
        await begun(emulator, tmp_path, smalls(4))
        await asyncio.sleep(300)
        for n in range(3):
            emulator.add_fault(Fault.not_found("poll", None, prompt=f"fox {n}"))
        seen, why = await paused(emulator, smalls(4), tmp_path)

    assert (why, seen.states) == (None, (0, 1, 0, 3))


async def test_an_unknown_task_is_sent_again_with_its_key(tmp_path):
    """With `resubmit_uncertain`, a task that the service does not know is sent again with the same
    idempotency key.
    """
    async with Emulator(seconds=60) as emulator:
        await begun(emulator, tmp_path, smalls(1))
        seen = await run_batch(
            emulator, smalls(1), tmp_path, resubmit_uncertain=True, begin=forgetful(emulator)
        )
        keys = {task.idempotency_key for task in emulator.tasks.values()}

    assert (seen.states, seen.posts) == ((1, 0, 0, 0), 1)
    assert len(keys) == 1
    assert [record["status"] for record in records(tmp_path)] == ["uncertain", "done"]


async def test_unknown_tasks_are_sent_again_once(tmp_path):
    """Each is sent again once, also if the input is read while they are found to be unknown."""
    async with Emulator(seconds=60) as emulator:
        await run_batch(emulator, smalls(4), tmp_path, session=SHORT, max_in_flight=4)
        seen = await run_batch(
            emulator,
            smalls(5),
            tmp_path,
            resubmit_uncertain=True,
            max_in_flight=4,
            begin=forgetful(emulator),
        )

    assert (seen.raised, seen.states, seen.posts) == (None, (5, 0, 0, 0), 5)


async def test_an_unknown_task_with_a_local_file_is_sent_again(tmp_path):
    """The whole request is sent again, with its local file, and without the input."""
    picture = tmp_path / "fox.gif"
    picture.write_bytes(b"GIF89a")
    request = fox_request(image_urls=[picture, "https://example.com/a.png"])
    async with Emulator(seconds=60) as emulator:
        await begun(emulator, tmp_path / "out", [request])
        seen = await run_batch(
            emulator, [], tmp_path / "out", resubmit_uncertain=True, begin=forgetful(emulator)
        )

    assert (seen.states, seen.posts) == ((1, 0, 0, 0), 1)


async def test_an_unknown_task_is_not_sent_again_beyond_the_budget(tmp_path):
    """A new submit is paid for again: a budget that is too small leaves the item uncertain."""
    async with Emulator(seconds=60) as emulator:
        await begun(emulator, tmp_path, [fox_request()])
        seen, why = await paused(
            emulator,
            [fox_request()],
            tmp_path,
            resubmit_uncertain=True,
            budget=9,
            price=5,
            begin=forgetful(emulator),
        )

    assert (why, seen.states, seen.posts) == ("budget", (0, 0, 1, 0), 0)


@pytest.mark.parametrize(
    "request_kept", [None, {"model": "grok-imagine-image"}, {"model": "x", "prompt": "y"}]
)
async def test_an_unknown_task_without_its_request_is_not_sent_again(request_kept, tmp_path):
    """A task whose request the ledger does not have whole stays submitted."""
    async with SqliteLedger.opened(tmp_path / "ledger.sqlite") as ledger:
        opening = json.dumps({"id": "x", "index": 0, "request": request_kept})
        await ledger.submitting("x", "f" * 24, "key-1", 5.0, opening)
        await ledger.submitted("x", "task-unified-1-abc")
    async with Emulator(seconds=5) as emulator:
        seen = await run_batch(emulator, [], tmp_path, resubmit_uncertain=True)
        assert posts(emulator) == []

    assert seen.states == (0, 0, 0, 1)


# How often a file is read


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that a batch has opened to read its input."""
    opened = []

    class Counted(file.FileIO):
        def __init__(self, source, **options):
            opened.append(Path(source).name)
            super().__init__(source, **options)

    monkeypatch.setattr(file, "FileIO", Counted)
    return opened


async def from_file(emulator, path, out):
    """One run of a file of prompts."""
    return await run_batch(emulator, InputFile(path, defaults={"model": "grok-imagine-image"}), out)


async def test_a_new_file_is_read_twice(reads, tmp_path):
    """A file that the ledger does not know is read to check it, and to send it."""
    (tmp_path / "in.txt").write_text("a fox\nan owl\n")
    async with Emulator(seconds=5) as emulator:
        await from_file(emulator, tmp_path / "in.txt", tmp_path / "out")

    assert reads == ["in.txt"] * 2


async def test_a_finished_file_is_read_once(reads, tmp_path):
    """A file that was finished is read only for its checksum."""
    (tmp_path / "in.txt").write_text("a fox\nan owl\n")
    async with Emulator(seconds=5) as emulator:
        await from_file(emulator, tmp_path / "in.txt", tmp_path / "out")
        reads.clear()
        await from_file(emulator, tmp_path / "in.txt", tmp_path / "out")

    assert reads == ["in.txt"]


async def test_a_file_that_has_grown_is_read_twice(reads, tmp_path):
    """A file with another line than in an earlier run is read to check it, and to send it."""
    (tmp_path / "in.txt").write_text("a fox\nan owl\n")
    async with Emulator(seconds=5) as emulator:
        await from_file(emulator, tmp_path / "in.txt", tmp_path / "out")
        reads.clear()
        (tmp_path / "in.txt").write_text("a fox\nan owl\na lynx\n")
        seen = await from_file(emulator, tmp_path / "in.txt", tmp_path / "out")

    assert (reads, seen.done) == (["in.txt"] * 2, 3)


async def test_a_changed_file_of_the_same_size_is_checked(tmp_path):
    """A file with other content and the same size is checked before any of it is sent."""
    (tmp_path / "in.txt").write_text("a fox\nan owl\n")
    async with Emulator(seconds=5) as emulator:
        await from_file(emulator, tmp_path / "in.txt", tmp_path / "out")
        (tmp_path / "in.txt").write_text("a fox\na wolf\n")
        seen = await from_file(emulator, tmp_path / "in.txt", tmp_path / "out")

    assert seen.done == 3
