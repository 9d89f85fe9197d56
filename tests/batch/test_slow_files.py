"""Files that come too slowly: they are broken off, and do not keep others waiting."""

from __future__ import annotations

import asyncio

import pytest
from helpers import WHOLE, fox_request, now
from helpers import session_at as session

from foxapi_async import Batch, DownloadError
from foxapi_async._files.download_slots import DownloadSlots
from foxapi_async.emulator import Emulator, Fault, _images

pytestmark = pytest.mark.virtual

COUNT = 100 if WHOLE else 30
DRIP = Fault.trickle("file", 5.0, prompt="slow", times=None)


@pytest.mark.wide
@pytest.mark.thorough
async def test_slow_files_delay_no_other_file(tmp_path):
    """Sixteen files drip a byte every 5 s beside good ones, of a hundred in all. The good ones are there soon, the others are not saved."""
    requests = [fox_request(f"slow {n}" if n < 16 else f"fox {n}") for n in range(COUNT)]
    ends = {}
    async with Emulator(seconds=5, faults=[DRIP]) as emulator, session(emulator) as fox:
        batch = Batch(requests, tmp_path, max_in_flight=100)
        async for outcome in batch.run(fox):
            ends[outcome.index] = (now(), type(outcome.error))
        billed = emulator.billed
    good, slow = [ends[n] for n in range(16, COUNT)], [ends[n] for n in range(16)]

    assert {type(None)} == {error for _, error in good}
    assert {DownloadError} == {error for _, error in slow}
    assert max(when for when, _ in good) < 60
    assert max(when for when, _ in slow) < 300
    assert (COUNT, COUNT - 16, 16) == (billed, batch.tally["done"], batch.tally["unsaved"])


@pytest.fixture
def large_images(monkeypatch):
    """Images of a megabyte."""
    monkeypatch.setattr(_images, "render", lambda _: b"\xff\xd8\xff" + bytes(1_000_000))


@pytest.mark.usefixtures("large_images")
@pytest.mark.thorough
async def test_files_that_come_steadily_but_slowly_delay_no_other_file(tmp_path):
    """Sixteen files come with 2 kB a second, which is enough: they take minutes, and the good ones do not wait for them."""
    steady = Fault.trickle("file", 1.0, size=2000, prompt="slow", times=None)
    requests = [fox_request(f"slow {n}" if n < 16 else f"fox {n}") for n in range(24)]
    ends = {}
    async with Emulator(seconds=5, faults=[steady]) as emulator, session(emulator) as fox:
        batch = Batch(requests, tmp_path, max_in_flight=24)
        async for outcome in batch.run(fox):
            ends[outcome.index] = now()
        billed = emulator.billed

    assert max(ends[n] for n in range(16, 24)) < 60
    assert min(ends[n] for n in range(16)) > 500
    assert (24, 24) == (billed, batch.tally["done"])


async def test_slots_are_held_for_a_while():
    """A slot that is held for 30 s is free for another file. At its end it is not freed again."""
    slots, began = DownloadSlots(1), []

    async def hold(seconds):
        async with slots.slot():
            began.append(now())
            await asyncio.sleep(seconds)

    start = now()
    async with asyncio.TaskGroup() as group:
        for seconds in (100, 10, 10, 100, 1):
            group.create_task(hold(seconds))

    assert [0, 30, 40, 50, 80] == [round(moment - start) for moment in began]


async def test_not_every_slow_file_gives_up_its_slot(monkeypatch):
    """At most so many files run beside the slots: they share the connections with the polls."""
    monkeypatch.setattr("foxapi_async._files.download_slots.MOST_BESIDE", 1)
    slots, began = DownloadSlots(1), []

    async def hold():
        async with slots.slot():
            began.append(now())
            await asyncio.sleep(100)

    start = now()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(hold())

    assert [0, 30, 130] == [round(moment - start) for moment in began]


async def test_the_reason_is_named(tmp_path):
    """The error says how few bytes came in which time."""
    async with Emulator(seconds=5, faults=[DRIP]) as emulator, session(emulator) as fox:
        result = await fox.generate(fox_request("slow"))
        with pytest.raises(DownloadError, match=r"cannot download: only \d bytes in 30 s"):
            await result.images[0].read()


async def test_a_file_that_comes_steadily_is_taken(tmp_path):
    """A slow file that comes with more than 1 KiB a second is whole in the end, however long it takes."""
    steady = Fault.trickle("file", 12.0, size=14_000)
    async with Emulator(seconds=5, faults=[steady]) as emulator, session(emulator) as fox:
        result = await fox.generate(fox_request("a fox"))
        began = now()
        (path,) = await result.save(tmp_path)

    assert path.stat().st_size > 2 * 14_000
    assert now() - began > 30
