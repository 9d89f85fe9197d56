"""A batch that is followed from a folder, while the database troubles the reader."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from cluster_parts import run
from cut_proxy import CutProxy
from helpers import fox_request

from foxapi_async import InvalidRequestError
from foxapi_async._batch.input.file import InputFile
from foxapi_async.cluster import followed_batch
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.followed_batch import FollowedBatch


@pytest.fixture
async def proxy(cluster_dsn):
    """A proxy before a database with the tables."""
    async with CutProxy(cluster_dsn) as running:
        yield running


@pytest.fixture
async def deleted(cluster_dsn, proxy, tmp_path):
    """Follows a batch of one item, without a worker, until it is deleted. Raises how that ends."""
    source = tmp_path / "p.jsonl"
    source.write_text(json.dumps(fox_request().to_dict()) + "\n")
    out = tmp_path / "out"
    out.mkdir()
    batch = FollowedBatch(Database.at(proxy.dsn), InputFile(source), out)

    async def follow():
        async with contextlib.aclosing(batch.run()) as outcomes:
            return [outcome async for outcome in outcomes]

    async def delete(*cuts):
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(follow())
            await batch.left()
            for cut in cuts:
                await cut.happened.wait()
            await run(Database.at(cluster_dsn), "DELETE FROM batch")

    return delete


async def test_a_batch_that_is_deleted_meanwhile_is_an_error(deleted):
    """Its results end nowhere else."""
    with pytest.raises(ExceptionGroup) as caught:
        await deleted()

    (error,) = caught.value.exceptions
    assert isinstance(error, InvalidRequestError)
    assert "there is no batch 'out' in the database" == str(error)


async def test_a_connection_that_is_lost_twice_is_reported_once(deleted, proxy, monkeypatch, caplog):
    """Nothing new was read in between."""
    monkeypatch.setattr(followed_batch, "RETRY_SECONDS", 0.01)
    cuts = [proxy.cut_before(r"SELECT batch\.sealed") for _ in range(3)]
    with pytest.raises(ExceptionGroup):
        await deleted(*cuts)

    assert 1 == caplog.text.count("the database cannot be read, and is tried again")
