"""A session keeps its estimates in a file, and no fault of that file does harm."""

import errno
import json
import logging
import os

import pytest
from helpers import fox_request, session_at

from foxapi_async import ConfigurationError, Estimates, FoxSession
from foxapi_async._cadence.estimates import model_estimates
from foxapi_async.emulator import Emulator

pytestmark = pytest.mark.virtual


async def generate(emulator, count=3, **options):
    """Let a session make a few images."""
    async with session_at(emulator, **options) as fox:
        for _ in range(count):
            await fox.generate(fox_request())


def ended(estimates):
    """Ended tasks of the emulator's model that the estimates include."""
    estimator = model_estimates(estimates, fox_request().model).timed
    return sum(row.ended for row in estimator._table.rows())


async def test_what_is_learned_is_written_on_closing_and_read_on_opening(emulator, tmp_path):
    """The second session continues from the estimates of the first."""
    path = tmp_path / "deep" / "estimates.json"
    await generate(emulator, estimates=path)
    first = Estimates.from_dict(json.loads(path.read_text()))
    await generate(emulator, count=2, estimates=str(path))
    second = Estimates.from_dict(json.loads(path.read_text()))

    assert 3 == pytest.approx(ended(first), abs=0.1)
    assert 5 == pytest.approx(ended(second), abs=0.2)
    assert f"<Estimates of {fox_request().model}>" == repr(second)
    assert ["estimates.json"] == [file.name for file in path.parent.iterdir()]


@pytest.mark.thorough
async def test_learning_shows_in_the_number_of_polls(tmp_path):
    """A session that knows the service needs fewer polls for its first task than a new one."""
    path = tmp_path / "estimates.json"
    async with Emulator(seconds=20, seed=1) as emulator:
        await generate(emulator, count=1)
        await generate(emulator, count=60, estimates=path)
        async with session_at(emulator, estimates=path) as fox:
            results = [await fox.generate(fox_request()) for _ in range(10)]
    polls = [task.polls for task in emulator.tasks.values()]

    assert 10 == len(results)
    assert sum(polls[-10:]) / 10 < polls[0]


async def test_a_session_that_fails_keeps_what_it_learned(emulator, tmp_path):
    """An error of the user's block is raised unchanged, and the file is written."""
    path = tmp_path / "estimates.json"
    with pytest.raises(ZeroDivisionError):
        async with session_at(emulator, estimates=path) as fox:
            await fox.generate(fox_request())
            raise ZeroDivisionError

    assert 1 == pytest.approx(ended(Estimates.from_dict(json.loads(path.read_text()))), abs=0.1)


CORRUPT = {
    "not JSON": b"{",
    "another kind of JSON": b"[]",
    "another format": b'{"format": 99, "models": {}}',
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
    "too deep": b"[" * 100_000,
    "a number too long": b'{"format": ' + b"1" * 5000 + b"}",
    "NaN in a table": b'{"format": 1, "models": {"fox": {"timed": {"ended": [NaN], "running": [NaN]}}}}',
}


@pytest.mark.parametrize("body", CORRUPT.values(), ids=CORRUPT)
async def test_a_corrupt_file_is_refused_before_anything_is_sent(emulator, tmp_path, body):
    """Entering fails with the path in the message; nothing is sent, and the file is unchanged."""
    path = tmp_path / "estimates.json"
    path.write_bytes(body)

    with pytest.raises(ConfigurationError, match=r"estimates=.*estimates\.json") as caught:
        await generate(emulator, estimates=path)

    assert [] == emulator.requests
    assert 0 == emulator.connections
    assert body == path.read_bytes()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", [".", ""])
async def test_a_directory_is_no_file_of_estimates(emulator, tmp_path, monkeypatch, name):
    """A path that cannot be read is refused like a file with other content."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError, match="irectory"):
        await generate(emulator, estimates=name)


async def test_a_file_that_cannot_be_written_is_a_warning(emulator, tmp_path, caplog):
    """The estimates are lost, and nothing else: the session ends normally."""
    folder = tmp_path / "folder"
    folder.write_text("a file where a folder should be")
    with caplog.at_level(logging.WARNING, "foxapi_async"):
        await generate(emulator, count=1, estimates=folder / "estimates.json")

    (record,) = caplog.records
    assert "could not be saved" in record.getMessage()
    assert str(folder) in record.getMessage()


async def test_a_name_that_no_file_can_have_is_a_warning(emulator, caplog):
    """Python's error for it is not an OSError, and is not raised either."""
    with caplog.at_level(logging.WARNING, "foxapi_async"):
        await generate(emulator, count=1, estimates="estimates\0.json")

    (record,) = caplog.records
    assert "null" in record.getMessage()


async def test_a_full_disk_leaves_the_old_file(emulator, tmp_path, caplog, monkeypatch):
    """If the new state cannot be written, the old one stays whole, and no other file is left."""

    def no_space(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "estimates.json"
    await generate(emulator, count=1, estimates=path)
    before = path.read_text()
    monkeypatch.setattr(os, "fsync", no_space)
    await generate(emulator, count=1, estimates=path)

    assert before == path.read_text()
    assert ["estimates.json"] == [file.name for file in tmp_path.iterdir()]
    assert "could not be saved" in caplog.text
    assert os.strerror(errno.ENOSPC) in caplog.text


async def test_two_sessions_may_share_what_they_learn(emulator):
    """Every session that gets an `Estimates` teaches it."""
    shared = Estimates()
    async with session_at(emulator, estimates=shared) as one, session_at(emulator, estimates=shared) as two:
        await one.generate(fox_request())
        await two.generate(fox_request())

    assert 2 == pytest.approx(ended(shared), abs=0.1)
    assert "<Estimates of nothing yet>" == repr(Estimates())


@pytest.mark.parametrize("given", [5, b"estimates", {"format": 1}, Estimates])
def test_anything_else_is_refused(given):
    """The error names the value, when the session is made."""
    with pytest.raises(ConfigurationError, match="estimates="):
        FoxSession("sk-estimates", estimates=given)
