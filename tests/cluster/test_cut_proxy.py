"""The proxy passes on everything, and cuts at the moment that a test names."""

from __future__ import annotations

import asyncio

import psycopg
import pytest


async def numbers(dsn):
    """What the table `kept` has."""
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute("SELECT n FROM kept ORDER BY n")
        return [number for (number,) in await cursor.fetchall()]


async def connect(proxy, **options):
    return await psycopg.AsyncConnection.connect(proxy.dsn, **options)


async def insert(connection, number):
    await connection.execute("INSERT INTO kept VALUES (%s)", (number,))


async def insert_and_commit(connection, number):
    await insert(connection, number)
    await connection.commit()


@pytest.fixture
async def kept(database):
    """A database with an empty table."""
    async with await psycopg.AsyncConnection.connect(database) as connection:
        await connection.execute("CREATE TABLE kept (n int)")
    return database


async def test_a_large_answer_passes(proxy):
    """An answer that needs many packets arrives whole."""
    async with await connect(proxy) as connection:
        cursor = await connection.execute("SELECT repeat('fox', 1000000)")

        assert ("fox" * 1_000_000,) == await cursor.fetchone()


async def test_a_copy_passes(kept, proxy):
    """Rows that are copied in arrive."""
    async with await connect(proxy) as connection, connection.cursor().copy("COPY kept FROM STDIN") as copy:
        for number in range(1000):
            await copy.write_row((number,))

    assert list(range(1000)) == await numbers(kept)


async def test_a_request_to_cancel_passes(proxy):
    """A statement can be cancelled, which takes a second connection."""
    async with await connect(proxy) as connection:
        sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(600)"))
        async with await connect(proxy, autocommit=True) as other:
            while True:
                cursor = await other.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'"
                )
                if await cursor.fetchone():
                    break
        await connection.cancel_safe()

        with pytest.raises(psycopg.errors.QueryCanceled):
            await sleeping


async def test_all_connections_are_cut(proxy):
    """Every open connection is gone at once, and a new one is accepted."""
    two = [await connect(proxy), await connect(proxy)]
    proxy.cut()
    for connection in two:
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT 1")
        await connection.close()

    await (await connect(proxy)).close()
    assert 3 == proxy.connections


async def test_connections_are_refused_for_a_while(proxy):
    """New connections are refused while open ones go on; then they are accepted at the same address."""
    async with await connect(proxy) as connection:
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError, match="Connection refused"):
            await connect(proxy)
        await connection.execute("SELECT 1")
    await proxy.accept()

    await (await connect(proxy)).close()


async def test_nothing_passes_while_it_stalls(proxy):
    """A statement waits, and is answered when bytes flow again."""
    async with await connect(proxy) as connection:
        proxy.stall()
        waiting = asyncio.create_task(connection.execute("SELECT 1"))
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        assert set() == done
        proxy.flow()

        assert (1,) == await (await waiting).fetchone()


async def test_a_commit_whose_answer_is_lost(kept, proxy):
    """The server commits, and the client hears that the connection is lost."""
    cut = proxy.cut_after("COMMIT")
    connection = await connect(proxy)
    with pytest.raises(psycopg.OperationalError):
        await insert_and_commit(connection, 1)
    await connection.close()

    assert ["COMMIT"] == cut.lost
    assert [1] == await numbers(kept)


async def test_a_commit_that_is_lost(kept, proxy):
    """The server never gets it, so it keeps nothing; the client hears the same as if the answer were lost."""
    cut = proxy.cut_before("COMMIT")
    connection = await connect(proxy)
    with pytest.raises(psycopg.OperationalError):
        await insert_and_commit(connection, 1)
    await connection.close()

    assert cut.happened.is_set()
    assert [] == await numbers(kept)


@pytest.mark.parametrize(("way", "left"), [("cut_after", [1]), ("cut_before", [])])
async def test_a_commit_in_a_pipeline(kept, proxy, way, left):
    """A COMMIT of the extended protocol is cut like a simple one."""
    getattr(proxy, way)("COMMIT")
    connection = await connect(proxy)
    with pytest.raises(psycopg.OperationalError):
        async with connection.pipeline(), connection.transaction():
            await insert(connection, 1)
    await connection.close()

    assert left == await numbers(kept)


async def test_an_earlier_answer_in_a_pipeline_arrives(kept, proxy):
    """What ended with an earlier sync is answered. Only the answers after it are lost."""
    cut = proxy.cut_after("INSERT INTO kept VALUES .*2")
    connection = await connect(proxy, autocommit=True)
    with pytest.raises(psycopg.OperationalError):
        async with connection.pipeline() as pipeline:
            first = await connection.execute("INSERT INTO kept VALUES (1) RETURNING n")
            await pipeline.sync()
            assert (1,) == await first.fetchone()
            await connection.execute("INSERT INTO kept VALUES (2)")
    await connection.close()

    assert ["INSERT 0 1"] == cut.lost
    assert [1, 2] == await numbers(kept)


@pytest.mark.parametrize(("way", "left"), [("cut_after", [1, 2]), ("cut_before", [1])])
async def test_a_statement_that_is_a_transaction_of_its_own(kept, proxy, way, left):
    """With autocommit, the statement itself is cut, also if it was prepared before; `passing` lets the first one pass."""
    getattr(proxy, way)("INSERT", passing=1)
    connection = await connect(proxy, autocommit=True)
    for number in (1, 2):
        statement = connection.execute("INSERT INTO kept VALUES (%s)", (number,), prepare=True)
        if number == 1:
            await statement
        else:
            with pytest.raises(psycopg.OperationalError):
                await statement
    await connection.close()

    assert left == await numbers(kept)


async def test_a_cut_happens_once(kept, proxy):
    """The connection that takes its place is not cut, and another one is not touched."""
    async with await connect(proxy) as other:
        await insert(other, 1)
        proxy.cut_after("COMMIT")
        connection = await connect(proxy)
        with pytest.raises(psycopg.OperationalError):
            await insert_and_commit(connection, 2)
        await connection.close()
        async with await connect(proxy) as connection:
            await insert_and_commit(connection, 3)

    assert [1, 2, 3] == await numbers(kept)


async def test_a_stopped_server(own_postgres, kept, proxy):
    """While the server is away, a client of the proxy is not served; then it is."""
    own_postgres.stop()
    with pytest.raises(psycopg.OperationalError):
        await connect(proxy)
    own_postgres.start()

    assert [] == await numbers(proxy.dsn)
