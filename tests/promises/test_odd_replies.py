"""Replies with oddities that do not matter: they lose no paid task."""

import math

import pytest
from counted import ended, small
from helpers import now, polls, posts, session_at

from foxapi_async import TaskFailedError, TaskHandle, TaskResult, TaskSnapshot, UncertainSubmitError
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual

MIB = 1024 * 1024
HEADERS = {
    "a header of 9 kB": {"X-Trace": "x" * 9_000},
    "a header of 60 kB": {"X-Trace": "x" * 60_000},
    "130 headers": {f"X-{n}": "v" for n in range(130)},
}
# `usage` is not needed, `model` is a label, `progress` a hint, `created` has a substitute.
ODD = {
    "an invalid byte in a field of its own": {"note": b"caf\xe9"},
    "an invalid byte in model": {"model": b"gpt-\xff"},
    "NaN in progress": {"progress": math.nan},
    "infinity in usage": {"usage": {"credits_reserved": math.inf}},
    "minus infinity in a field of its own": {"note": -math.inf},
    "NaN in task_info": {"task_info": {"estimated_time": math.nan}},
    "a lone surrogate in model": {"model": "fox \ud83d"},
    "a lone surrogate in a field of its own": {"note": ["\udfff"]},
}


async def submitted(fault):
    """The result of a submit under a fault, and the service."""
    async with Emulator(seconds=5, faults=[fault]) as emulator, session_at(emulator) as fox:
        return await ended(fox.submit(small())), emulator


async def generated(fault, seconds=5, **options):
    """The result of a task whose polls meet a fault, and the service."""
    async with Emulator(seconds=seconds, faults=[fault]) as emulator, session_at(emulator, **options) as fox:
        return await ended(fox.generate(small())), emulator


# Headers


@pytest.mark.parametrize("name", HEADERS)
async def test_headers_of_a_submit(name):
    """Large or many headers in the answer to a submit lose no id."""
    handle, emulator = await submitted(Fault.with_headers("submit", HEADERS[name]))

    assert isinstance(handle, TaskHandle)
    assert [handle.id] == list(emulator.tasks)


@pytest.mark.parametrize("name", HEADERS)
async def test_headers_of_a_poll(name):
    """Large or many headers in every status reply do no harm."""
    fault = Fault.with_headers("poll", HEADERS[name], times=None)
    result, _ = await generated(fault, task_timeout=60)

    assert isinstance(result, TaskResult)


@pytest.mark.parametrize("name", HEADERS)
async def test_headers_of_a_file(name, tmp_path):
    """Large or many headers in the reply with a file do no harm."""
    fault = Fault.with_headers("file", HEADERS[name], times=None)
    async with Emulator(seconds=5, faults=[fault]) as emulator, session_at(emulator) as fox:
        result = await fox.generate(small())
        saved = await ended(result.save(tmp_path))

    assert isinstance(saved, list)
    assert len(saved) == 1


# Fields that are not needed


@pytest.mark.parametrize("name", ODD)
async def test_odd_fields_of_a_submit(name):
    """Invalid bytes, non-finite numbers and lone surrogates in fields that are not needed lose no id."""
    handle, emulator = await submitted(Fault.altered("submit", ODD[name]))

    assert isinstance(handle, TaskHandle)
    assert [handle.id] == list(emulator.tasks)


@pytest.mark.parametrize("name", ODD)
async def test_odd_fields_of_a_poll(name):
    """Invalid bytes, non-finite numbers and lone surrogates in fields that are not needed harm no status reply."""
    result, _ = await generated(Fault.altered("poll", ODD[name], times=None), task_timeout=60)

    assert isinstance(result, TaskResult)
    assert len(result.images) == 1


@pytest.mark.parametrize("field", ["model", "status"])
async def test_texts_are_made_clean(field):
    """A text of a reply with a lone surrogate can be written as UTF-8."""
    fault = Fault.altered("poll", {field: "fox \ud83d"})
    async with Emulator(seconds=5, faults=[fault]) as emulator, session_at(emulator) as fox:
        handle = await fox.submit(small())
        snapshot = await ended(fox.fetch(handle.id))

    assert isinstance(snapshot, TaskSnapshot)
    assert clean(getattr(snapshot, field))
    assert getattr(snapshot, field).startswith("fox ")


async def test_the_error_of_a_failed_task_is_made_clean():
    """The texts of a failed task whose code and message end within an emoji can be written."""
    words = {"code": "x\ud83d", "message": "cut in an emoji \ud83d", "type": "task_error"}
    fault = Fault.altered("poll", {"status": "failed", "error": words, "model": "fox \ud83d"}, times=None)
    error, _ = await generated(fault)

    assert isinstance(error, TaskFailedError)
    assert [clean(text) for text in (error.code, error.message, str(error), error.snapshot.model)] == [
        True
    ] * 4


def clean(text):
    """Whether a text can be written as UTF-8."""
    return text.encode("utf-8", "replace") == text.encode("utf-8", "surrogatepass")


# The id itself


@pytest.mark.parametrize(
    "task_id", [b"task-unified-1-ab\xff", "task-unified-1-ab\ud83d"], ids=["byte", "surrogate"]
)
async def test_an_id_with_replaced_bytes(task_id):
    """An id with replaced bytes is quoted as uncertain and not polled."""
    async with (
        Emulator(seconds=5, faults=[Fault.altered("submit", {"id": task_id})]) as emulator,
        session_at(emulator) as fox,
    ):
        error = await ended(fox.generate(small(), timeout=60))

    assert isinstance(error, UncertainSubmitError)
    assert "task-unified-1-ab" in str(error)
    assert clean(str(error))
    assert (len(posts(emulator)), len(polls(emulator))) == (1, 0)


# Large status replies


@pytest.mark.parametrize("size", [300_000, 1_200_000])
async def test_a_large_status_reply(size):
    """A status reply of 1.2 MB is read."""
    result, _ = await generated(Fault.huge("poll", size=size, times=None), task_timeout=60)

    assert isinstance(result, TaskResult)


@pytest.mark.thorough
async def test_the_largest_status_reply():
    """A status reply of 31 MiB is read."""
    result, _ = await generated(Fault.huge("poll", size=31 * MIB, times=None), task_timeout=20)

    assert isinstance(result, TaskResult)


@pytest.mark.thorough
async def test_three_status_replies_that_are_too_large():
    """The third status reply of more than 32 MiB ends the handle, and the error names the limit."""
    fault = Fault.huge("poll", size=33 * MIB, times=None)
    async with Emulator(seconds=5, faults=[fault]) as emulator, session_at(emulator, task_timeout=20) as fox:
        handle = await fox.submit(small())
        error = await ended(handle.wait())
        seconds = now()

    assert getattr(error, "task_id", None) == handle.id
    assert error.charged == "yes"
    assert "32 MiB" in str(error)
    assert len(polls(emulator)) == 3
    assert seconds < 20
