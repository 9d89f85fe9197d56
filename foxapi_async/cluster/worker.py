"""A worker of a cluster: registers, sends heartbeats, and works on the batches of the jobs that it gets.

If it was replaced, or if the database is another one, other workers may work on its items. So it stops by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from foxapi_async._batch.budget import Kind
from foxapi_async._client.hooks import HookEvent
from foxapi_async._client.session import FoxSession
from foxapi_async._errors import FoxError, LedgerError
from foxapi_async._listener import about, log
from foxapi_async.cluster.claims import Claim, ClaimedItem, batches_with_work, claim
from foxapi_async.cluster.control import ControlConnection, idle_seconds
from foxapi_async.cluster.database import (
    Database,
    OtherDatabaseError,
    OutdatedError,
    check_version,
    errors_of,
    first_line,
    problem_of,
)
from foxapi_async.cluster.group_commit import RowWriter
from foxapi_async.cluster.input_files import request_with_files
from foxapi_async.cluster.known_state import KnownState
from foxapi_async.cluster.lease import BEATS, LEASE_SECONDS, Lease, boot_time
from foxapi_async.cluster.ledger import PostgresLedger
from foxapi_async.cluster.pauses import pausing, why_paused
from foxapi_async.cluster.queue import take_jobs
from foxapi_async.cluster.registration import free_unknown, leave, register, replace_lost, send_heartbeat
from foxapi_async.cluster.shared_holds import SharedHolds, account_of
from foxapi_async.cluster.shared_rate import LeasedRate
from foxapi_async.cluster.spool import Spool, SpooledId, spool_path
from foxapi_async.cluster.work import WorkerBatch
from foxapi_async.models import GenerationRequest

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

RETRY_SECONDS = 2.0

LEAVING_SECONDS = 30.0
"""Seconds for which a worker that ends tries to note this in the database."""

_BIND = """
    UPDATE batch SET account = %(account)s, base_url = %(url)s
    WHERE id = %(batch)s AND (account = %(account)s OR (
        account IS NULL AND (base_url IS NULL OR lower(%(url)s) || '/' ^@ (base_url || '/'))
    )) RETURNING price::float8
"""
_STOP_MODEL = """
    UPDATE batch SET stopped_models = array_append(stopped_models, %s)
    WHERE id = %s AND NOT %s = ANY(stopped_models)
"""


@attrs.frozen(kw_only=True)
class WorkerOptions:
    """The options of a worker.

    Attributes:
        out: the folder for the images; each batch has a folder of its own below it.
        concurrency: the most items of a batch in flight.
        rate: submits per second of all workers of the account together; None for no limit.
        lease: seconds for which a heartbeat allows this worker to send. After twice this time without a
            heartbeat it is replaced.
        until_done: whether it stops when no batch has items to claim.
    """

    out: Path
    concurrency: int = 300
    rate: float | None = None
    lease: float = LEASE_SECONDS
    until_done: bool = False


class Worker:
    """A worker in this process. `run` returns when it is stopped.

    Args:
        database: the database of the cluster.
        fox: an open session.
        options: the options of the worker.

    Attributes:
        fault: why it stopped by itself; None if it did not.
        number: its number in the database; 0 before it is registered.
    """

    def __init__(self, database: Database, fox: FoxSession, options: WorkerOptions) -> None:
        self.fault: FoxError | None = None
        self.number = 0
        self._database = database
        self._options = options
        self._engine, _, self._timeout = fox._for_series(options.concurrency)  # noqa: SLF001 - a part of the same package
        self._account = account_of(fox._credentials)  # noqa: SLF001 - as above
        self._holds = SharedHolds(self._engine, self._account)
        self._url = fox._credentials.base_url  # noqa: SLF001 - as above
        self._lease = Lease(options.lease)
        self._rate: LeasedRate | None = None
        self._stopping = asyncio.Event()
        self._batches: dict[str, tuple[WorkerBatch, asyncio.Task[None]]] = {}
        self._ledgers: dict[str, PostgresLedger] = {}
        self._strangers: set[str] = set()
        self._control = ControlConnection(database, options.lease, self._stop_on_other)
        self._writer: RowWriter | None = None
        self._known: KnownState | None = None
        self._has_left = False

    @property
    def transactions(self) -> int:
        """How many transactions have changed items."""
        return 0 if self._writer is None else self._writer.transactions

    def take(self, event: HookEvent) -> None:
        """Take a notice of the session: a refusal that holds all submits back is shared with the other workers."""
        self._holds.take(event)

    def stop(self) -> None:
        """Claim nothing more, wait for the answers to sent submits, hand everything else back, and leave."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`. If this is cancelled, ids that are not in the database yet are written to a file at once.

        Raises:
            FoxError: the worker cannot begin, was replaced, or its package is too old for the tables.
        """
        running = asyncio.create_task(self._run(), name="foxapi worker")
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:  # a database that does not answer can delay the end for long
            if self._writer is not None:
                self._writer.keep_unwritten()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            raise

    async def _run(self) -> None:
        try:
            async with errors_of(self._database):
                await self._register()
            async with self._beating():
                try:
                    async with errors_of(self._database):
                        await self._send_heartbeat()
                    await self._work_until_stopped()
                finally:
                    await self._finish()
        finally:
            await self._control.close()
        if self.fault is not None:
            raise self.fault

    async def _register(self) -> None:
        options = self._options
        async with self._control.use() as connection:
            await check_version(connection)
            self._known = known = await register(connection, options.lease)
        self._control.known, self.number = known, known.worker
        log.info(
            "worker %d works for %s on the database %s",
            self.number,
            self._url,
            self._database,
            extra=about("worker_started"),
        )
        spool = Spool(spool_path(options.out, self.number))
        self._writer = RowWriter(
            self._database, known, spool, self._stop_on, self._held_ids, idle=idle_seconds(options.lease)
        )
        await self._writer.open()
        if options.rate is not None:
            self._rate = LeasedRate(self._engine.api.submit_rate, options.rate)
            self._engine.api.limit_submits(self._rate)

    def _stop_on(self, fault: FoxError) -> None:
        """Stop, because this worker may not send any more."""
        if self.fault is None:
            self.fault = fault
            self._lease.end()
            log.error("worker %d stops: %s", self.number, fault, extra=about("worker_stopped"))
        self._stopping.set()

    async def _work_until_stopped(self) -> None:
        """Take jobs until the worker is stopped. If the queue fails, begin again."""
        name = f"foxapi worker {self.number}"
        while not self._stopping.is_set():
            try:
                await take_jobs(self._database, self._begin, self._sweep, name, self._stopping)
            except _away() as error:
                log.warning(
                    "the queue cannot be reached: %s", problem_of(error), extra=about("database_lost")
                )
            if not self._stopping.is_set():
                await self._pause(RETRY_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _finish(self) -> None:
        """Wait for the answers to sent submits, write everything, and leave."""
        import psycopg  # noqa: PLC0415 - of an extra

        tasks = [task for _, task in self._batches.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        assert self._writer is not None  # noqa: S101 - it was opened before
        await self._writer.close()
        if self.fault is None or isinstance(self.fault, OutdatedError):
            with contextlib.suppress(psycopg.Error, LedgerError, TimeoutError):
                async with asyncio.timeout(LEAVING_SECONDS), self._control.use() as connection:
                    await leave(connection, self.number)
                    self._has_left = True

    def _held_ids(self) -> list[SpooledId]:
        return [spooled for ledger in self._ledgers.values() for spooled in ledger.accepted.values()]

    def _stop_on_other(self, fault: FoxError) -> None:
        """Stop, because the database is another one than before. The writer writes the ids again."""
        assert self._writer is not None  # noqa: S101 - the worker runs
        self._writer.look_again()
        self._stop_on(fault)

    @contextlib.asynccontextmanager
    async def _beating(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self._beat_until_cancelled(), name="foxapi heartbeats")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _beat_until_cancelled(self) -> None:
        import psycopg  # noqa: PLC0415 - of an extra

        while True:
            await asyncio.sleep(self._options.lease / BEATS)
            try:
                await self._send_heartbeat()
            except (psycopg.Error, OSError) as error:
                log.warning("a heartbeat failed: %s", first_line(error), extra=about("database_lost"))
            except OtherDatabaseError as error:
                self._stop_on_other(error)
            except LedgerError as error:
                if self._control.is_open:  # if it is closed, the database could not be reached
                    self._stop_on(error)

    async def _send_heartbeat(self) -> None:
        """Send a heartbeat, and read what concerns this worker: the states of its batches, and the account."""
        async with self._control.use() as connection:
            if self._has_left:
                return
            assert self._known is not None  # noqa: S101 - the worker runs
            asked = boot_time()
            await send_heartbeat(connection, self.number, self._known.beat + 1)
            self._known.beat += 1
            self._lease.renew(asked)
            seconds = 2 * self._options.lease / BEATS
            await self._holds.share(connection, self.number, seconds)
            if self._rate is not None:
                await self._rate.renew(
                    connection, self._account, self.number, seconds, wanted=bool(self._batches)
                )
            cursor = await connection.execute(
                "SELECT id FROM batch WHERE id = ANY(%s) AND state = 'paused'", (list(self._batches),)
            )
            paused = {batch for (batch,) in await cursor.fetchall()}
            for batch in paused & self._batches.keys():
                self._batches[batch][0].stop()

    # The work.

    async def _sweep(self) -> list[str]:
        """Replace workers without a heartbeat, and find the batches that have items without a worker."""
        async with self._control.use() as connection:
            await free_unknown(connection, self.number, self._batches)
            for worker in await replace_lost(connection, self.number):
                log.warning(
                    "worker %d sends no heartbeats: its items are free, and submits without an answer are uncertain",
                    worker,
                    extra=about("worker_lost"),
                )
            batches = await batches_with_work(connection)
        if self._options.until_done and self._strangers.issuperset(batches) and not self._batches:
            self.stop()
        return batches

    async def _begin(self, batch: str) -> bool:
        """Begin to work on a batch. Returns whether this worker has begun now, and there is work for another one, too."""
        if batch in self._batches or batch in self._strangers or self._stopping.is_set():
            return False
        async with self._control.use() as connection:
            values = {"account": self._account, "url": self._url, "batch": batch}
            row = await (await connection.execute(_BIND, values)).fetchone()
        if row is None:
            self._strangers.add(batch)
            log.warning(
                "batch %s belongs to another key, or to another service than %s: this worker leaves it to others",
                batch,
                self._url,
                extra=about("batch_of_others"),
            )
            return False
        assert self._writer is not None  # noqa: S101 - the worker runs
        ledger = self._ledgers.setdefault(batch, PostgresLedger(self._writer, batch))
        work = WorkerBatch(
            self._engine,
            ledger,
            self._options.out / batch,
            self._options.concurrency,
            self._timeout,
            self._lease.is_valid,
            row[0],
        )
        log.info("working on batch %s", batch, extra=about("batch_begun"))
        task = self._engine.spawn(self._work_on(batch, work))
        self._batches[batch] = work, task
        task.add_done_callback(lambda _: self._batches.pop(batch, None))
        async with self._control.use() as connection:
            return bool(await batches_with_work(connection, [batch]))

    async def _work_on(self, batch: str, work: WorkerBatch) -> None:
        import psycopg  # noqa: PLC0415 - of an extra

        try:
            await work.run(
                partial(self._claim, batch), partial(self._request, batch), partial(self._stop_model, batch)
            )
            if work.paused is not None and self.fault is None:
                for statement, values in pausing(batch, work.paused):
                    await self._write(statement, *values)
            why = await self._why_ended(batch) if work.paused is None else work.paused.what_happened
            log.info("the work on batch %s has ended: %s", batch, why, extra=about("batch_ended"))
        except OutdatedError as error:
            self._stop_on(error)
        except OtherDatabaseError as error:
            self._stop_on_other(error)
        except (FoxError, psycopg.Error, OSError) as error:
            log.warning(
                "the work on batch %s was interrupted: %s",
                batch,
                first_line(error),
                extra=about("database_lost"),
            )

    async def _why_ended(self, batch: str) -> str:
        async with self._control.use() as connection:
            return await why_paused(connection, batch) or "it has nothing more to claim"

    async def _claim(self, batch: str, room: int, learned: Mapping[Kind, float | None]) -> Claim:
        import psycopg  # noqa: PLC0415 - of an extra

        if self._stopping.is_set():
            return Claim([], "open")
        try:
            async with self._control.use() as connection:
                is_held = await self._holds.is_held(connection, self.number)
                return await claim(connection, self.number, batch, room, new=not is_held, learned=learned)
        except psycopg.errors.LockNotAvailable:  # another worker reserves credits, perhaps for long
            return Claim([], "open", is_waiting=True)

    async def _request(self, batch: str, claimed: ClaimedItem) -> GenerationRequest:
        fields, files = claimed.request
        async with self._control.use() as connection:
            return await request_with_files(connection, fields, files, self._options.out / batch)

    def _stop_model(self, batch: str, model: str) -> None:
        self._write(_STOP_MODEL, model, batch, model)

    def _write(self, statement: str, *values: object) -> asyncio.Future[None]:
        """Change a batch after all earlier changes of items. If the database is away, the change waits for it."""

        async def write(connection: Connection) -> None:
            await connection.execute(statement.encode(), values)

        assert self._writer is not None  # noqa: S101 - the worker runs
        return self._writer.read(write)


def _away() -> tuple[type[Exception], ...]:
    """The errors of a database that cannot be reached."""
    import psycopg  # noqa: PLC0415 - of an extra
    from procrastinate.exceptions import ProcrastinateException  # noqa: PLC0415 - as above

    return psycopg.Error, ProcrastinateException, LedgerError, OSError, TimeoutError
