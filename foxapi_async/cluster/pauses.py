"""Why a batch is paused. A worker writes the reason into the database, and other programs read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from foxapi_async._batch.pause import Paused
from foxapi_async._hints import Hint
from foxapi_async._policy.brake import Reason

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

_LEAST_BUDGET = """
    INSERT INTO batch_meta VALUES (%s, 'least_budget', %s)
    ON CONFLICT (batch_id, name) DO UPDATE SET value = excluded.value
"""
_PAUSE = """
    UPDATE batch SET state = 'paused', reason = %s, problem = %s, hint = %s WHERE id = %s AND state = 'open'
"""
_READ = """
    SELECT state, reason, problem, hint,
        (SELECT value FROM batch_meta WHERE batch_id = batch.id AND name = 'least_budget')::float8
    FROM batch WHERE id = %s
"""


def pausing(batch: str, paused: Paused) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The statements that pause an open batch, with their values, in order."""
    if paused.least_budget is not None:
        yield _LEAST_BUDGET, (batch, str(paused.least_budget))
    hint = None if paused.hint is None else paused.hint.value
    yield _PAUSE, (paused.reason, paused.what_happened, hint, batch)


async def pause_of(connection: Connection, batch: str) -> Paused | None:
    """Why the batch is paused; None if it is not."""
    cursor = await connection.execute(_READ, (batch,))
    state, reason, problem, hint, least = await cursor.fetchone() or (None, None, None, None, None)
    if state != "paused":
        return None
    return Paused(
        str(problem or reason), cast(Reason, reason), hint_of(hint), least if reason == "budget" else None
    )


async def why_paused(connection: Connection, batch: str) -> str | None:
    """The same in words for the log of a worker; None if it is not paused."""
    paused = await pause_of(connection, batch)
    if paused is None:
        return None
    if str(paused.reason) == "user":
        return f"a person has paused it: `foxapi cluster resume {batch}` continues it"
    return f"it is paused, because {paused.what_happened}"


def hint_of(value: object) -> Hint | None:
    """The hint with this value; None if there is none, or if only a newer version of the package knows it."""
    return next((hint for hint in Hint if hint.value == value), None)
