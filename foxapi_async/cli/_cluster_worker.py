"""`foxapi worker`: works on the batches of a database until it is stopped."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from foxapi_async._client.hooks import HookEvent
from foxapi_async._client.session import FoxSession
from foxapi_async._options import Limits
from foxapi_async._wire.texts import counted, plain
from foxapi_async.cli import _exits
from foxapi_async.cli._cluster import database_of
from foxapi_async.cli._requests import open_folder
from foxapi_async.cli._screen import Screen
from foxapi_async.cluster.database import Database, check_version
from foxapi_async.cluster.spool import read_spool
from foxapi_async.cluster.statements import keep_ids
from foxapi_async.cluster.worker import Worker, WorkerOptions

_AT_ONCE = 1000


class WorkerCommand:
    """One run of the command.

    Args:
        args: the parsed options.
        screen: where it is shown.

    Raises:
        ConfigurationError: there is no usable key or address, or the extra is not installed.
        InvalidRequestError: the output folder cannot be used.
    """

    def __init__(self, args: Namespace, screen: Screen) -> None:
        self._screen = screen
        self._database = database_of(args)
        timeout = {} if args.timeout is None else {"task_timeout": args.timeout}
        limits = Limits(polls_per_second=args.polls_per_second)
        self._session = FoxSession(limits=limits, hooks=[self._on_event], **timeout)
        self._options = WorkerOptions(
            out=open_folder(args.out),
            concurrency=args.concurrency,
            rate=args.submits_per_second,
            lease=args.lease,
            until_done=args.until_done,
        )
        self._worker: Worker | None = None
        self._is_stopped = False

    async def work(self) -> int:
        """Work until `stop`. Returns the exit status.

        Raises:
            FoxError: the worker cannot begin, was replaced, or its package is too old for the tables.
        """
        async with self._session as fox:
            self._worker = Worker(self._database, fox, self._options)
            if self._is_stopped:
                self._worker.stop()
            await self._worker.run()
        self._screen.note("this worker has stopped; other workers can take its items")
        return _exits.DONE

    def stop(self) -> None:
        """Take no more items, and end in order."""
        self._screen.note(
            "stopping: sent requests get their answers, and other workers continue the rest; the same signal again "
            "ends at once"
        )
        self._is_stopped = True
        if self._worker is not None:
            self._worker.stop()

    def _on_event(self, event: HookEvent) -> None:
        assert self._worker is not None  # noqa: S101 - it sends the requests
        self._worker.take(event)


def start_recovery(args: Namespace, screen: Screen) -> Coroutine[Any, Any, int]:
    """The work of `foxapi worker --recover`. It returns the exit status.

    Raises:
        ConfigurationError: there is no address, or it cannot be read, or the extra is not installed.
    """
    return _recover(Path(args.recover), database_of(args), screen)


async def _recover(path: Path, database: Database, screen: Screen) -> int:
    """Write the ids of a file that a worker has left to the database."""
    ids = list(read_spool(path))
    connection = await database.connect()
    try:
        await check_version(connection)
        async with connection.transaction():
            seconds = [
                second
                for start in range(0, len(ids), _AT_ONCE)
                for second in await keep_ids(connection, ids[start : start + _AT_ONCE])
            ]
    finally:
        await connection.close()
    screen.line(f"{path}: {counted(len(ids), 'id')} in the database now")
    for second in seconds:
        screen.error(
            f"item {plain(second.key)} of batch {plain(second.batch)} has another task already: "
            f"{plain(second.task_id)} is billed too"
        )
    second_tasks = [{"batch": each.batch, "id": each.key, "task_id": each.task_id} for each in seconds]
    screen.data({"ids": len(ids), "second_tasks": second_tasks})
    screen.note("the file can be removed")
    return _exits.DONE
