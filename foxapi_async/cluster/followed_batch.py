"""Follows a batch in a database from a folder: workers send the items of a file, and the folder gets their records.

The folder is like that of a local batch. Each end is added to its manifest and to its ledger. So every program that
reads the folder of a local batch can read this folder, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from foxapi_async._batch.expectation import DoneItems, experience_of
from foxapi_async._batch.folder import BatchFolder, Terms
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.input.validation import validated
from foxapi_async._batch.pause import Paused
from foxapi_async._batch.plan import keyed_items
from foxapi_async._batch.record import BatchOutcome, request_in
from foxapi_async._errors import FoxError, LedgerError
from foxapi_async._files.values import SavedFile
from foxapi_async._ledger.entry import ItemState
from foxapi_async._listener import about, log
from foxapi_async._wire.json_values import read_mapping
from foxapi_async.cluster.cluster import Cluster
from foxapi_async.cluster.database import Database, check_version, first_line
from foxapi_async.cluster.folder_transfer import connect_folder
from foxapi_async.cluster.known_state import check_identity
from foxapi_async.cluster.older_state import bring_back, is_older
from foxapi_async.cluster.pauses import hint_of, pause_of
from foxapi_async.cluster.results import ItemEnd, ends
from foxapi_async.cluster.status import ClusterStatus

# Names of texts in the folder's ledger. Each text begins with the identity of the database. The first continues with the
# cursor of the last end in the manifest, the second with a hash of the input file that the database has as a whole.
_CURSOR = "cluster_cursor"
_ENQUEUED = "cluster_enqueued"

REFRESH_SECONDS = 1.0
"""Seconds between two reads of the state of the batch."""

RETRY_SECONDS = 2.0

SILENT_SECONDS = 90.0
"""A worker without a heartbeat for more seconds than this does not count as alive."""

_AT_ONCE = 1000


class RecordedError(FoxError):
    """An error that a worker has recorded.

    Attributes:
        code: the service's reason, or the class of the error.
    """

    def __init__(self, message: str = "", *, code: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.code = code


class FollowedBatch:
    """A batch of a file in a database, with the interface of `Batch` that the command line uses.

    Args:
        database: the database of the batch.
        requests: the input of the batch.
        out: the folder that gets the records.
        batch_id: the name of the batch, which the database may have already. The default is the name of `out`. Then the
            database must not have this name yet.
        budget: the most credits for the whole batch; None keeps the former limit.
        price: credits of one image, if known.
        retry_failed: submit failed items again.
        resubmit_uncertain: submit uncertain items again.
        other_origin: continue although the folder was begun at a service with another address.

    Attributes:
        out: the folder.
        batch_id: the name of the batch; None before it is known.
        expected: how many items the input has; None before it was read.
        paused: why the batch is paused; None if it is not, or before the end of the run.
        state: "open", "paused" or "cancelled"; None before the run.
    """

    def __init__(
        self,
        database: Database,
        requests: InputFile,
        out: Path,
        *,
        batch_id: str | None = None,
        budget: float | None = None,
        price: float | None = None,
        retry_failed: bool = False,
        resubmit_uncertain: bool = False,
        other_origin: bool = False,
    ) -> None:
        self.out = out
        self.batch_id: str | None = None
        self.expected: int | None = None
        self.paused: Paused | None = None
        self._database = database
        self._cluster = Cluster(database)
        self._file = requests
        self._given_id = batch_id
        self._other_origin = other_origin
        self._budget, self._price = budget, price
        self._again = {"retry_failed": retry_failed, "resubmit_uncertain": resubmit_uncertain}
        self._status: ClusterStatus | None = None
        self._spent_before = 0.0
        self._identity = ""
        self._left_at_begin: tuple[int | None, dict[str, DoneItems]] = None, {}
        self._begun = asyncio.Event()
        self._record: dict[str, str] = {}
        self._has_warned = False

    @property
    def tally(self) -> dict[str, int]:
        """How many items are in each state; empty before the batch is in the database."""
        return {} if self._status is None else dict(self._status.counts)

    @property
    def spent(self) -> float:
        """Credits that may have been billed."""
        return 0.0 if self._status is None else self._status.spent

    @property
    def newly_spent(self) -> float:
        """Credits that may have been billed since `run` began."""
        return max(0.0, self.spent - self._spent_before)

    @property
    def state(self) -> str | None:
        """The state of the batch."""
        return None if self._status is None else self._status.state

    def record(self, key: str) -> str:
        """The line of the manifest of an item that `run` has just yielded."""
        return self._record[key]

    async def left(self) -> tuple[int | None, dict[str, DoneItems]]:
        """How many items are not sent yet, and the done ones of earlier runs, once the batch is in the database."""
        await self._begun.wait()
        return self._left_at_begin

    async def run(self) -> AsyncGenerator[BatchOutcome, None]:
        """Put the items into the database, and follow them to their ends. Yields each end that is new in the folder.

        If this is closed or cancelled, the batch continues.

        Raises:
            InvalidRequestError: lines of the file are wrong, or the name is that of another batch.
            LedgerError: the folder is in use or cannot be written; or the database cannot be reached, or has lost the
                batch of the folder.
        """
        terms = Terms(base_url=None, room=0, emulated=False, is_followed=True)
        async with BatchFolder.opened(self.out, terms) as folder:
            batch = await self._begin(folder)
            try:
                async with self._refreshing(), contextlib.aclosing(self._groups(folder, batch)) as groups:
                    async for group in groups:
                        for end in await self._keep(folder, group):
                            yield self._outcome_of(end)
                self.paused = await self._why_paused(batch)
            finally:
                await self._refresh()

    # At the beginning.

    async def _begin(self, folder: BatchFolder) -> str:
        """Check the file, and put its items into the database. Returns the name of the batch."""
        if self._file.is_regular:
            self.expected, _ = await validated(self._file, folder.ledger)
        if folder.is_unproven:
            await self._mark_unproven(folder)
        connection = await self._database.connect()
        try:
            await check_version(connection)
            self._identity = await check_identity(connection)
            batch = await connect_folder(
                connection,
                folder,
                self._given_id,
                budget=self._budget,
                price=self._price,
                other_origin=self._other_origin,
            )
            if await is_older(connection, self._identity, await folder.ledger.meta(_CURSOR)):
                await bring_back(connection, batch, folder)
                for name in (_CURSOR, _ENQUEUED):
                    await folder.ledger.set_meta(name, "")
        finally:
            await connection.close()
        self.batch_id = batch
        self._status = await self._cluster.status(batch)
        self._spent_before = self._status.spent
        await self._enqueue(folder, batch)
        await self._refresh()
        counts = self.tally
        done = await experience_of(folder.ledger)
        self._left_at_begin = counts.get(ItemState.NEW), done.models
        self._begun.set()
        return batch

    async def _mark_unproven(self, folder: BatchFolder) -> None:
        """Record items as uncertain that an earlier run of the folder may have sent, because its ledger was lost."""
        if not self._file.is_regular:
            raise LedgerError(
                f"the ledger of {folder.out} was made again, and an item that it does not know may have been sent: "
                "give the input as a file"
            )
        async with contextlib.aclosing(keyed_items(self._file)) as chunks:
            async for chunk in chunks:
                known = await folder.ledger.look_up(item.key for item in chunk if item.key is not None)
                await folder.mark_unproven([item for item in chunk if item.key not in known])
        await folder.note_all_proven()

    async def _enqueue(self, folder: BatchFolder, batch: str) -> None:
        """Put the items of the file into the database, unless it is known to have all of them."""
        file, ledger = self._file, folder.ledger
        mark = f"{self._identity} {file.validation}"
        # A restored copy of the database may lack the last items.
        is_whole = self.expected is not None and sum(self.tally.values()) >= self.expected
        is_there = file.validation is not None and is_whole and await ledger.meta(_ENQUEUED) == mark
        enqueued = await self._cluster.submit(
            [] if is_there else file, batch_id=batch, budget=self._budget, price=self._price, **self._again
        )
        if self.expected is None:
            self.expected = enqueued.added + enqueued.known
        await ledger.set_meta(_ENQUEUED, f"{self._identity} {file.validation}")

    # While it runs.

    @contextlib.asynccontextmanager
    async def _refreshing(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self._refresh_until_cancelled(), name="foxapi batch state")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _refresh_until_cancelled(self) -> None:
        while True:
            self._warn_without_worker()
            await asyncio.sleep(REFRESH_SECONDS)
            await self._refresh()

    async def _refresh(self) -> None:
        """Ask for the state. If the database cannot be reached, the last state stays."""
        assert self.batch_id is not None  # noqa: S101 - it is in the database
        with contextlib.suppress(LedgerError):
            self._status = await self._cluster.status(self.batch_id)

    def _warn_without_worker(self) -> None:
        status = self._status
        if self._has_warned or status is None:
            return
        waiting = status.counts[ItemState.SUBMITTED]  # workers save their images even in a pause
        if status.state == "open":
            waiting += status.counts[ItemState.NEW]
        is_alive = any(each.state == "alive" and each.silent < SILENT_SECONDS for each in status.workers)
        if not is_alive and waiting:
            self._has_warned = True
            log.warning(
                "no worker is alive: start one with `foxapi worker --dsn`, on any machine that reaches the database",
                extra=about("no_worker"),
            )

    async def _groups(self, folder: BatchFolder, batch: str) -> AsyncGenerator[list[ItemEnd], None]:
        """The ends of items in groups. A group has all ends that have come since the group before."""
        queue: asyncio.Queue[ItemEnd | FoxError | None] = asyncio.Queue(_AT_ONCE)
        server, _, cursor = (await folder.ledger.meta(_CURSOR) or "").partition(" ")
        after = cursor if server == self._identity else None
        reading = asyncio.create_task(self._read(queue, batch, after), name="foxapi batch results")
        try:
            while True:
                group = [await queue.get()]
                while not queue.empty():
                    group.append(queue.get_nowait())
                yield [end for end in group if isinstance(end, ItemEnd)]
                if isinstance(last := group[-1], FoxError):
                    raise last
                if last is None:
                    return
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    async def _read(
        self, queue: asyncio.Queue[ItemEnd | FoxError | None], batch: str, after: str | None
    ) -> None:
        """Read the ends into the queue, and at the end None, or the error. A lost connection is made again."""
        import psycopg  # noqa: PLC0415 - of an extra

        is_reported = False
        while True:
            try:
                async with contextlib.aclosing(ends(self._database, batch, after)) as found:
                    async for end in found:
                        after, is_reported = end.cursor, False
                        await queue.put(end)
                await queue.put(None)
                return
            except (psycopg.Error, LedgerError) as error:
                problem = first_line(error)
            except FoxError as error:
                await queue.put(error)
                return
            if not is_reported:
                is_reported = True
                log.warning(
                    "the database cannot be read, and is tried again: %s",
                    problem,
                    extra=about("database_lost"),
                )
            await asyncio.sleep(RETRY_SECONDS)

    async def _keep(self, folder: BatchFolder, group: list[ItemEnd]) -> list[ItemEnd]:
        """Add the ends to the manifest. Returns the ends that are new there: a moved folder has the older ends."""
        if not group:
            return []
        known = await folder.ledger.look_up({end.key for end in group})
        lines = {end.cursor: json.dumps(end.record) for end in group}
        new = [end for end in group if end.key not in known or known[end.key].record != lines[end.cursor]]
        if new:
            records = [known[end.key].record for end in new if end.key in known]
            await folder.keep_ends([lines[end.cursor] for end in new], filter(None, records))
        folder.ledger.set_meta(_CURSOR, f"{self._identity} {group[-1].cursor}")
        self._record = {end.key: lines[end.cursor] for end in new}
        return new

    def _outcome_of(self, end: ItemEnd) -> BatchOutcome:
        record = end.record
        files = (read_mapping(file) or {} for file in record.get("files") or ())
        return BatchOutcome(
            index=record.get("index", 0),
            key=end.key,
            request=request_in(record),
            task_id=end.task_id,
            result=None,
            error=_error_of(end),
            files=tuple(SavedFile(self.out / file["path"], file["sha256"], file["bytes"]) for file in files),
        )

    async def _why_paused(self, batch: str) -> Paused | None:
        """Why the batch is paused; None if it is not.

        Raises:
            LedgerError: the database cannot be reached.
        """
        connection = await self._database.connect()
        try:
            return await pause_of(connection, batch)
        finally:
            await connection.close()


def _error_of(end: ItemEnd) -> FoxError | None:
    if end.state == ItemState.DONE:
        return None
    problem = read_mapping(end.record.get("error")) or {}
    return RecordedError(
        str(problem.get("message") or f"it is {end.state}"),
        code=problem.get("code"),
        task_id=end.task_id,
        charged=problem.get("charged"),
        hint=hint_of(problem.get("hint")),
    )
