"""The state of a batch in the database, as people and programs see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from foxapi_async._errors import InvalidRequestError
from foxapi_async.cluster import statements

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection


@attrs.frozen(kw_only=True)
class WorkerStatus:
    """A worker, as the database knows it.

    Attributes:
        number: its number.
        host: the name of its machine.
        state: "alive", "left" (it ended normally), "lost" (its heartbeats stopped) or "dead" (see `Cluster.forget`).
        silent: seconds since its last heartbeat.
        items: how many items it works on.
    """

    number: int
    host: str
    state: str
    silent: float
    items: int


@attrs.frozen(kw_only=True)
class ClusterStatus:
    """The state of a batch in the database.

    Attributes:
        batch_id: its name.
        state: "open", "paused" or "cancelled".
        reason: why it is paused, in one word; None if it is not.
        problem: why it is paused, as a text for people; None if it is not.
        counts: how many items are in each state, as in `Batch.tally`.
        spent: credits that may have been billed. Items without a known price are not included.
        unpriced: how many items may have been billed at an unknown price.
        budget: the most credits; None for no limit.
        second_tasks: items that were billed twice: the key of each item, and the id of its second task.
        workers: the workers that are alive, or that have items of this batch.
    """

    batch_id: str
    state: str
    reason: str | None
    problem: str | None
    counts: dict[str, int]
    spent: float
    unpriced: int
    budget: float | None
    second_tasks: tuple[tuple[str, str], ...]
    workers: tuple[WorkerStatus, ...]


async def status_of(connection: Connection, batch: str) -> ClusterStatus:
    """The state of a batch.

    Raises:
        InvalidRequestError: there is no such batch.
    """
    cursor = await connection.execute(
        "SELECT state, reason, problem, budget::float8 FROM batch WHERE id = %s", (batch,)
    )
    row = await cursor.fetchone()
    if row is None:
        raise InvalidRequestError(f"there is no batch {batch!r} in the database")
    state, reason, problem, budget = row
    totals = await statements.totals(connection, batch)
    cursor = await connection.execute(
        "SELECT key, task_id FROM second_task WHERE batch_id = %s ORDER BY noted", (batch,)
    )
    seconds = tuple((key, task_id) for key, task_id in await cursor.fetchall())
    cursor = await connection.execute(
        "SELECT id, host, worker.state, extract(epoch FROM now() - seen)::float8, count(item.key) FROM worker "
        "LEFT JOIN item ON item.owner = worker.id AND item.batch_id = %s "
        "GROUP BY worker.id HAVING worker.state = 'alive' OR count(item.key) > 0 ORDER BY worker.id",
        (batch,),
    )
    workers = tuple(
        WorkerStatus(number=number, host=host, state=state, silent=silent, items=items)
        for number, host, state, silent, items in await cursor.fetchall()
    )
    return ClusterStatus(
        batch_id=batch,
        state=state,
        reason=reason,
        problem=problem,
        counts={state.value: count for state, count in totals.counts.items()},
        spent=totals.spent,
        unpriced=totals.unpriced,
        budget=budget,
        second_tasks=seconds,
        workers=workers,
    )
