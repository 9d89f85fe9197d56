"""`foxapi cluster` and `foxapi status BATCH --dsn`: the tables, the workers and the batches of a database."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from foxapi_async._errors import ConfigurationError
from foxapi_async._ledger.entry import ItemState
from foxapi_async._wire.texts import counted, duration, grouped, plain
from foxapi_async.cli import _exits
from foxapi_async.cli._batch_status import SHOWN_KEYS, BatchStatus
from foxapi_async.cli._screen import Screen
from foxapi_async.cluster import Cluster, ClusterStatus
from foxapi_async.cluster.database import Database
from foxapi_async.cluster.migration import migrate, printed
from foxapi_async.cluster.uncertain import first_uncertain

SHOWN_TASKS = 20


def database_of(args: Namespace) -> Database:
    """The database of --dsn, or else that of FOXAPI_DSN.

    Raises:
        ConfigurationError: there is no address, or it cannot be read, or the extra is not installed.
    """
    return Database.at(args.dsn)


def words_of(args: Namespace) -> list[str]:
    """The words of the command, without the address of the database if it has a password."""
    dsn: str | None = args.dsn
    if not dsn or not any("password" in name for name in database_of(args).settings()):
        return list(args.words)
    return [word.removesuffix(f"={dsn}") for word in args.words if word != dsn]


def command_for(args: Namespace, *words: str) -> str:
    """Another command for the same database, without a password."""
    given = words_of(args)
    address = next((word for word in given if word.startswith("--dsn=")), None)
    if address is None and args.dsn in given:
        address = f"--dsn={args.dsn}"
    return shlex.join(["foxapi", *words, address or "--dsn"])


def start_cluster(args: Namespace, screen: Screen) -> Coroutine[Any, Any, int]:
    """The work of `foxapi cluster`. It returns the exit status.

    Raises:
        ConfigurationError: there is no address, or it cannot be read, or the extra is not installed.
    """
    if args.action == "migrate":
        return _print_tables(screen) if args.print else _migrate(database_of(args), screen)
    return _act(args, screen, Cluster(database_of(args)))


async def _print_tables(screen: Screen) -> int:
    try:
        script = printed()
    except ImportError:
        script = ""
    if not script:
        raise ConfigurationError("the tables need the extra: pip install 'foxapi-async[cluster]'")
    screen.line(script)
    screen.data({"script": script})
    return _exits.DONE


async def _migrate(database: Database, screen: Screen) -> int:
    before, now = await migrate(database)
    if before == now:
        words = f"the tables have version {now} already"
    else:
        words = f"the tables have version {now} now" + (
            f"; before, they had version {before}" if before else ""
        )
    screen.line(f"{database}: {words}")
    screen.data({"before": before, "version": now})
    return _exits.DONE


async def _act(args: Namespace, screen: Screen, cluster: Cluster) -> int:
    words = await ACTIONS[args.action](args, cluster)
    screen.line(words)
    about = {"worker": args.worker} if args.action == "forget" else {"batch": args.batch}
    screen.data({**about, "done": args.action})
    return _exits.DONE


async def _forget(args: Namespace, cluster: Cluster) -> str:
    await cluster.forget(args.worker)
    return f"worker {args.worker} is declared dead: other workers continue its items, and --resubmit-uncertain may send its uncertain items again"


async def _pause(args: Namespace, cluster: Cluster) -> str:
    if args.all:
        return f"batches paused: {await cluster.pause_all()}; each waits until it is resumed"
    await cluster.pause(args.batch)
    return f"batch {args.batch} is paused: nothing more is sent; the workers wait for running tasks, and save their results"


async def _resume(args: Namespace, cluster: Cluster) -> str:
    await cluster.resume(args.batch, budget=args.budget)
    return f"batch {args.batch} continues"


async def _cancel(args: Namespace, cluster: Cluster) -> str:
    left = await cluster.cancel(args.batch)
    return (
        f"batch {args.batch} is cancelled and cannot be resumed: {counted(left, 'item')} will not be sent; items that a "
        "worker has taken already are billed and delivered"
    )


async def _remove(args: Namespace, cluster: Cluster) -> str:
    count = await cluster.remove(args.batch)
    return f"batch {args.batch} is removed, with {counted(count, 'item')}"


ACTIONS: Mapping[str, Callable[[Namespace, Cluster], Awaitable[str]]] = {
    "forget": _forget,
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
    "remove": _remove,
}


async def show_batch(args: Namespace, screen: Screen) -> int:
    """Print the state of a batch in a database. Returns the exit status.

    Raises:
        ConfigurationError: there is no address, or it cannot be read, or the extra is not installed.
        InvalidRequestError: there is no such batch.
        LedgerError: the database cannot be reached.
    """
    database = database_of(args)
    status = await Cluster(database).status(args.id)
    is_certain = status.counts[ItemState.UNCERTAIN] == 0
    uncertain = () if is_certain else await first_uncertain(database, args.id, SHOWN_KEYS)
    counts = _batch_status_of(status, uncertain)
    screen.line(f"{status.batch_id}: {counts.states}")
    reason = f", because {status.problem or status.reason}" if status.state == "paused" else ""
    screen.line(f"state: {status.state}{reason}")
    limit = "" if status.budget is None else f" of {grouped(status.budget)}"
    screen.line(f"spent: {counts.cost or 'not known'}{limit}")
    for worker in status.workers:
        silent = duration(worker.silent)
        screen.line(
            f"worker {worker.number} on {plain(worker.host)}: {worker.state}, {counted(worker.items, 'item')}, "
            f"last heartbeat {silent} ago"
        )
    if not status.workers:
        screen.line("workers: none")
    if counts.unclear:
        screen.line(f"uncertain: {counts.uncertain_words}")
    for key, task_id in status.second_tasks[:SHOWN_TASKS]:
        screen.line(f"billed twice: {plain(key)}, also as task {plain(task_id)}")
    screen.data(_object_of(status, uncertain))
    return _exits.DONE


def _batch_status_of(status: ClusterStatus, uncertain: tuple[str, ...]) -> BatchStatus:
    """The state of a batch in a database, as the state of a local batch that runs."""
    return BatchStatus(
        counts={state: status.counts[state] for state in ItemState},
        spent=status.spent,
        uncertain=uncertain,
        oldest=None,
        run="its workers",
    )


def _object_of(status: ClusterStatus, uncertain: tuple[str, ...]) -> dict[str, Any]:
    return {
        "batch": status.batch_id,
        "state": status.state,
        "reason": status.reason,
        "problem": status.problem,
        "counts": status.counts,
        "spent": status.spent,
        "budget": status.budget,
        "uncertain": list(uncertain),
        "second_tasks": [{"id": key, "task_id": task_id} for key, task_id in status.second_tasks],
        "workers": [
            {
                "number": worker.number,
                "host": worker.host,
                "state": worker.state,
                "silent": round(worker.silent, 1),
                "items": worker.items,
            }
            for worker in status.workers
        ],
    }
