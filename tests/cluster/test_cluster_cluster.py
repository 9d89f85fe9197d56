"""`Cluster`: how it is opened, what it refuses, and which batches it knows."""

from __future__ import annotations

import uuid

import pytest
from helpers import fox_request

from foxapi_async import ConfigurationError, InvalidRequestError
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database


@pytest.fixture
def cluster(shared_dsn):
    """A cluster in which each test has a batch of its own."""
    return Cluster(Database.at(shared_dsn))


async def test_an_awaited_cluster_is_open(shared_dsn):
    """It can be used with `async with` too, which gives the same."""
    cluster = await Cluster.open(shared_dsn)
    async with cluster as same:
        assert same is cluster
        assert isinstance(await cluster.batches(), list)


async def test_an_opening_gives_a_cluster(shared_dsn):
    """`async with` opens it."""
    async with Cluster.open(shared_dsn) as cluster:
        assert isinstance(await cluster.batches(), list)


async def test_a_database_without_tables_opens_no_cluster(database):
    """The message names the command that makes them."""
    with pytest.raises(ConfigurationError, match="foxapi cluster migrate"):
        await Cluster.open(database)


def test_a_cluster_shows_its_database(cluster):
    """Its text has no password."""
    assert repr(cluster).startswith("<Cluster foxapi_")
    assert "@" not in repr(cluster)


async def test_the_newest_batch_is_the_first(cluster):
    """All names are there."""
    names = [uuid.uuid4().hex for _ in range(3)]
    for name in names:
        await cluster.submit([fox_request()], batch_id=name)

    assert names[::-1] == [name for name in await cluster.batches() if name in names]


async def test_a_batch_gets_a_name(cluster):
    """The user has given none."""
    enqueued = await cluster.submit([fox_request()])

    assert enqueued.batch_id in await cluster.batches()


@pytest.mark.parametrize("name", ["../out", " ", "-x", "x" * 101])
async def test_a_name_with_other_signs_is_refused(cluster, name):
    """It would be the name of a folder."""
    with pytest.raises(InvalidRequestError, match="use letters, digits"):
        await cluster.submit([fox_request()], batch_id=name)


@pytest.mark.parametrize("value", [-1, float("nan"), "5", True])
@pytest.mark.parametrize("name", ["budget", "price"])
async def test_credits_are_a_number(cluster, name, value):
    """The message names the option, and shows what was given."""
    with pytest.raises(ConfigurationError, match=f"{name}={value!r}: give credits as a number"):
        await cluster.submit([fox_request()], **{name: value})


@pytest.mark.parametrize("way", ["pause", "resume", "cancel", "status"])
async def test_an_unknown_batch_is_an_error(cluster, way):
    """The message has its name."""
    with pytest.raises(InvalidRequestError, match="there is no batch 'unknown'"):
        await getattr(cluster, way)("unknown")


@pytest.mark.parametrize("way", ["pause", "resume"])
async def test_a_cancelled_batch_stays_cancelled(cluster, way):
    """It is neither paused nor continued."""
    batch = (await cluster.submit([fox_request()])).batch_id
    await cluster.cancel(batch)
    with pytest.raises(InvalidRequestError, match="was cancelled, which is final"):
        await getattr(cluster, way)(batch)

    assert "cancelled" == (await cluster.status(batch)).state
