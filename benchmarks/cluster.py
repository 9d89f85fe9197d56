"""Batches over PostgreSQL: what the database costs, and what it allows.

    python benchmarks/cluster.py                                all tables
    python benchmarks/cluster.py throughput --items 20000       one of them: throughput, enqueue, growth

The database is that of FOXAPI_TEST_DSN, else a server made for the benchmark. Servers and workers are processes on
127.0.0.1 that share the machine, so items a second say less than the ratios of the CPU that the clients use.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from _table import against, interleave, middle, paired, show
from batch import KEY, PYTHON, REQUEST, in_batch, run, serving

from foxapi_async import FoxSession
from foxapi_async.cluster import Cluster
from foxapi_async.cluster.claims import claim
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.migration import migrate
from foxapi_async.cluster.registration import register
from foxapi_async.cluster.worker import Worker, WorkerOptions

sys.path.append(str(Path(__file__).parent.parent / "tests" / "cluster"))

WORKERS = 2
IN_FLIGHT = 500
ROUNDS = 3
LEAST_RATE = 0.85
MOST_TRANSACTIONS = 0.5
ENQUEUE_SECONDS = 10.0
MOST_GROWTH = 1.3
SIZES = (1_000, 10_000, 100_000)
# Of the claims and ends in a batch of each size.
TRIED = 1_000


class Cost(NamedTuple):
    """What an item took: seconds of the clients' CPU, and of the clock; and the transactions of the workers."""

    cpu: float
    clock: float
    transactions: float = 0.0


@contextlib.contextmanager
def database() -> Iterator[str]:
    """The address of a new database with its tables."""
    from postgres_server import OwnServer, fresh_database, make_server

    server = make_server()
    try:
        with fresh_database(server) as dsn:
            asyncio.run(migrate(Database.at(dsn)))
            yield dsn
    finally:
        if isinstance(server, OwnServer):
            server.remove()


def items_of(count: int) -> list[tuple[str, Any]]:
    """So many items."""
    return [(f"item-{number:06d}", REQUEST) for number in range(count)]


# Throughput.


def in_cluster(dsn: str, url: str, items: int) -> Cost:
    """Have so many items done by workers in processes of their own."""
    batch = f"batch-{secrets.token_hex(4)}"

    async def put() -> None:
        async with Cluster.open(dsn) as cluster:
            await cluster.submit(items_of(items), batch_id=batch)

    asyncio.run(put())
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, __file__, "worker", dsn, url, folder]
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)]
        asyncio.run(_read(dsn, batch, items))
        clock = time.perf_counter() - began
        for worker in workers:
            worker.terminate()
        found = [json.loads(worker.communicate()[0].splitlines()[-1]) for worker in workers]
    cpu, transactions = (sum(figures[name] for figures in found) for name in ("cpu", "transactions"))
    return Cost(cpu / items, clock / items, transactions / items)


async def _read(dsn: str, batch: str, items: int) -> None:
    async with Cluster.open(dsn) as cluster:
        count = 0
        async for end in cluster.results(batch):
            assert end.state == "done", end
            count += 1
        assert count == items, count


async def work(dsn: str, url: str, folder: str) -> None:
    """A worker, until SIGTERM. Prints what it used, without its start."""
    loop = asyncio.get_running_loop()
    async with FoxSession(KEY, base_url=url) as fox:
        worker = Worker(Database.at(dsn), fox, WorkerOptions(out=Path(folder), concurrency=IN_FLIGHT))
        loop.add_signal_handler(15, worker.stop)
        before = time.process_time()
        await worker.run()
        print(json.dumps({"cpu": time.process_time() - before, "transactions": worker.transactions}))


def throughput(given: argparse.Namespace) -> None:
    """Workers over a database against a batch in one process."""
    with database() as dsn, serving("emulator") as url:
        found: dict[str, list[Cost]] = interleave(
            {
                "Batch": lambda: Cost(*run(in_batch, url, given.items)[:2]),
                f"{WORKERS} workers": lambda: in_cluster(dsn, url, given.items),
            },
            given.rounds,
        )
    base, ours = found.values()
    rows = [
        (
            name,
            f"{middle([1 / cost.clock for cost in costs]):.0f}",
            f"{1000 * middle([cost.cpu for cost in costs]):.2f}",
            f"{paired([c.cpu for c in base], [c.cpu for c in costs]):.2f}",
            f"{middle([cost.transactions for cost in costs]):.2f}",
        )
        for name, costs in found.items()
    ]
    show(
        f"Throughput: {given.items:,} items, {IN_FLIGHT} in flight in each of {WORKERS} workers, medians of "
        f"{given.rounds} interleaved rounds, {PYTHON}",
        ("", "items/s", "ms CPU/item of the clients", "items per CPU second, ratio", "transactions/item"),
        rows,
        [
            against(
                "items per CPU second less than a batch's, ratio",
                paired([c.cpu for c in ours], [c.cpu for c in base]),
                1 / LEAST_RATE,
            ),
            against("transactions of an item", middle([c.transactions for c in ours]), MOST_TRANSACTIONS),
        ],
    )


# Enqueueing.


def enqueue(_: argparse.Namespace) -> None:
    """A hundred thousand items into the database."""
    seconds, resident = [], 0.0

    async def put() -> None:
        async with Cluster.open(dsn) as cluster:
            for number in range(ROUNDS):
                began = time.perf_counter()
                await cluster.submit(items_of(SIZES[-1]), batch_id=f"enqueue-{number}")
                seconds.append(time.perf_counter() - began)

    with database() as dsn:
        asyncio.run(put())
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    show(
        f"Enqueue: {SIZES[-1]:,} items, medians of {ROUNDS}, {PYTHON}",
        ("seconds", "resident memory, MiB"),
        [(f"{middle(seconds):.1f}", f"{resident:.0f}")],
        [against("seconds", middle(seconds), ENQUEUE_SECONDS)],
    )


# Growth: what a claim and an end cost in a small and in a large batch.


async def _claims(dsn: str, size: int) -> float:
    """Milliseconds of a claim, per item, in a batch of this size whose first half is done."""
    batch = f"growth-{size}"
    async with Cluster.open(dsn) as cluster:
        await cluster.submit(items_of(size), batch_id=batch)
    connection = await Database.at(dsn).connect()
    try:
        await connection.execute(
            "UPDATE item SET state = 'done', ready = false, ended = pg_current_xact_id() WHERE batch_id = %s "
            "AND place < %s",
            (batch, size // 2),
        )
        await connection.execute("VACUUM ANALYZE")
        worker = (await register(connection, 30)).worker
        began = time.perf_counter()
        count = 0
        while count < min(TRIED, size // 2):
            count += len((await claim(connection, worker, batch, 100, learned={})).items)
        return 1000 * (time.perf_counter() - began) / count
    finally:
        await connection.close()


def _explained(dsn: str) -> str:
    """How the largest batch is claimed."""
    query = (
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT key, kind FROM foxapi.item "
        f"WHERE batch_id = 'growth-{SIZES[-1]}' AND ready AND owner IS NULL AND NOT paid "
        "AND state <> 'submitting' ORDER BY number LIMIT 100 FOR UPDATE SKIP LOCKED"
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        return "\n".join(row[0] for row in connection.execute(query.encode()))


def growth(_: argparse.Namespace) -> None:
    """The cost of a claim as the batch grows."""
    with database() as dsn:
        found = {size: [asyncio.run(_claims(dsn, size))] for size in SIZES}
        plan = _explained(dsn)
    first, last = found[SIZES[0]][0], found[SIZES[-1]][0]
    show(
        f"Growth: milliseconds of a claim, per item, {PYTHON}",
        ("items in the batch", "ms"),
        [(f"{size:,}", f"{costs[0]:.3f}") for size, costs in found.items()],
        [against("largest against smallest, ratio", last / first, MOST_GROWTH)],
    )
    print(plan)


TABLES = {"throughput": throughput, "enqueue": enqueue, "growth": growth}


def main() -> None:
    """Show the tables, or be one of the processes."""
    if sys.argv[1:2] == ["worker"]:
        asyncio.run(work(*sys.argv[2:]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], default=[])
    parser.add_argument("--items", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    os.environ.pop("FOXAPI_DSN", None)
    for name in given.tables or TABLES:
        TABLES[name](given)


if __name__ == "__main__":
    main()
