"""The local input files of a batch: from a disk into the database, and from there to a worker."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cluster_parts import run
from helpers import fox_request

from foxapi_async import InvalidRequestError, LedgerError
from foxapi_async.cluster import input_files
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.input_files import inputs_of, request_with_files, store_files

CONTENT = b"\xff\xd8\xff a fox"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def database(shared_dsn):
    """A database with the tables."""
    return Database.at(shared_dsn)


@pytest.fixture
async def connection(database):
    """A connection to it."""
    opened = await database.connect()
    yield opened
    await opened.close()


@pytest.fixture
def picture(tmp_path):
    """A file."""
    path = tmp_path / "fox.jpg"
    path.write_bytes(CONTENT)
    return path


async def test_a_file_of_many_items_is_stored_once(connection, database, picture):
    """It is read once too: it is gone when the next item needs it."""
    known = {}
    first = await store_files(connection, [(None, picture)], known)
    picture.unlink()
    second = await store_files(connection, [(None, picture)], known)

    assert {str(picture): DIGEST} == first == second
    stored = "SELECT content FROM input_file WHERE sha256 = decode(%s, 'hex')"
    assert [(CONTENT,)] == await run(database, stored, DIGEST)


async def test_a_missing_file_is_refused(connection, tmp_path):
    """The message has its path and the reason."""
    with pytest.raises(InvalidRequestError, match=r"cannot use the input file .*gone\.jpg: No such file"):
        await store_files(connection, [(None, tmp_path / "gone.jpg")], {})


async def test_a_file_that_is_too_large_is_refused(connection, picture, monkeypatch):
    """It could not be uploaded."""
    monkeypatch.setattr(input_files, "MAX_UPLOAD_BYTES", 5)
    with pytest.raises(InvalidRequestError, match="it has 9 bytes, and an upload has at most 5"):
        await store_files(connection, [(None, picture)], {})


async def test_a_file_that_its_field_does_not_take_is_refused(connection, tmp_path):
    """A text may be a secret of this machine: its content does not get into the database."""
    (tmp_path / "notes.png").write_text("a secret of this machine")
    request = fox_request(image_urls=[tmp_path / "notes.png"])
    with pytest.raises(InvalidRequestError, match=r"notes\.png: the file is a text, not an image"):
        await store_files(connection, inputs_of(request), {})


async def test_a_file_that_goes_while_it_is_read_is_refused(connection, picture, monkeypatch):
    """The check has seen it."""
    monkeypatch.setattr(input_files, "input_problem", lambda path, _: Path(path).unlink())
    with pytest.raises(InvalidRequestError, match=r"cannot use the input file .*fox\.jpg: No such file"):
        await store_files(connection, [(None, picture)], {})


@pytest.fixture
async def fields(connection, picture):
    """The fields of a request with a file, which the database has, and the disk no more."""
    await store_files(connection, [(None, picture)], {})
    picture.unlink()
    return {**fox_request().to_dict(), "image_urls": [str(picture), "https://example.com/a.jpg"]}


@pytest.fixture
def fetched(connection, fields, picture, tmp_path):
    """Makes the request of a worker. Returns its local files."""

    async def fetch(digest=DIGEST):
        request = await request_with_files(connection, fields, {str(picture): digest}, tmp_path / "out")
        return list(request.local_files())

    return fetch


async def test_a_worker_fetches_a_file(fetched, tmp_path):
    """It has its name, so that the upload has it too. An address stays as it is."""
    (path,) = await fetched()

    assert CONTENT == path.read_bytes()
    assert "fox.jpg" == path.name
    assert tmp_path / "out" in path.parents


async def test_a_worker_fetches_a_file_once(fetched, database):
    """The next item finds it in the folder."""
    first = await fetched()
    await run(database, "DELETE FROM input_file WHERE sha256 = decode(%s, 'hex')", DIGEST)

    assert first == await fetched()


async def test_a_file_that_the_database_lacks_is_an_error(fetched):
    """The message has the path that the user has given."""
    with pytest.raises(LedgerError, match=r"the content of .*fox\.jpg is not in the database"):
        await fetched("00" * 32)


async def test_a_file_that_cannot_be_written_is_an_error(fetched, tmp_path):
    """The message has the place and the reason."""
    (tmp_path / "out").write_text("a file, and no folder")
    with pytest.raises(LedgerError, match=r"cannot write .*fox\.jpg: "):
        await fetched()
