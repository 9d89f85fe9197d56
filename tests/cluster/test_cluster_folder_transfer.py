"""A folder and its batch know each other, whatever happens between the two."""

from __future__ import annotations

import uuid

import pytest
from cluster_parts import LateStep, made_batch, run

from foxapi_async import InvalidRequestError
from foxapi_async._batch.folder import BatchFolder, Terms
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.folder_transfer import connect_folder

TERMS = Terms(base_url=None, room=0, emulated=False, is_followed=True)


@pytest.fixture
def database(shared_dsn):
    """A database with the tables."""
    return Database.at(shared_dsn)


@pytest.fixture
async def folder(tmp_path):
    """A new folder, whose name no other test has."""
    out = tmp_path / uuid.uuid4().hex
    out.mkdir()
    async with BatchFolder.opened(out, TERMS) as opened:
        yield opened


async def connected(database, folder):
    """The name of the folder's batch, which takes the name of the folder."""
    connection = await database.connect()
    try:
        return await connect_folder(connection, folder, None, budget=None, price=None, other_origin=False)
    finally:
        await connection.close()


async def test_a_folder_whose_batch_was_never_committed_makes_it(database, folder):
    """The process was killed after the folder was marked. Nothing was sent, so nothing is lost."""
    batch = await connected(database, folder)
    await run(database, "DELETE FROM batch WHERE id = %s", batch)
    await folder.ledger.set_meta("cluster_is_there", "")

    assert batch == await connected(database, folder)
    assert [(batch,)] == await run(database, "SELECT id FROM batch WHERE id = %s", batch)


async def test_of_two_folders_with_one_name_one_makes_its_batch(database, folder):
    """The other one has made it between the question and the answer."""
    name = folder.out.name
    late = LateStep(database, "INSERT INTO batch (id, budget", lambda: made_batch(database, name))
    with pytest.raises(InvalidRequestError, match="was begun from another folder"):
        await connected(late, folder)

    assert late.happened
