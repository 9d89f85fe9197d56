"""The statements of a ledger in PostgreSQL: each moves many items at once, and returns the keys that moved.

The conditions are those of `COMES_FROM`. Also, a worker changes only rows that it owns, or that have no owner. The
exception is the id of a task: it is stored even if another worker owns the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from foxapi_async._ledger.entry import COMES_FROM, KEEPS_ITS_ID, ItemState, LedgerEntry
from foxapi_async._ledger.protocol import Totals
from foxapi_async.cluster.schema import names
from foxapi_async.cluster.spool import SpooledId

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

CHUNK = 1000

_STATES = {state.value: state for state in ItemState}

_IS_OURS = "(owner IS NULL OR (owner = %(worker)s AND item.epoch = given.epoch))"

INSERT_MISSING = """
    WITH given AS (
        SELECT * FROM unnest(%(key)s::text[], %(fingerprint)s::text[], %(opening)s::text[])
        AS given(key, fingerprint, opening)
    ), made AS (
        INSERT INTO item (batch_id, key, fingerprint) SELECT %(batch)s, key, fingerprint FROM given ORDER BY key
        ON CONFLICT DO NOTHING RETURNING key
    )
    INSERT INTO request SELECT %(batch)s, key, opening FROM given JOIN made USING (key) WHERE opening IS NOT NULL
"""
SUBMITTING = f"""
    WITH given AS (
        SELECT * FROM unnest(%(key)s::text[], %(fingerprint)s::text[], %(idempotency_key)s::text[],
            %(price)s::numeric[], %(epoch)s::integer[])
        AS given(key, fingerprint, idempotency_key, price, epoch)
    )
    UPDATE item SET
        state = 'submitting', origin = state, ready = true, owner = %(worker)s, sender = %(worker)s,
        epoch = item.epoch + (owner IS NULL)::integer, idempotency_key = given.idempotency_key,
        former_task_id = coalesce(task_id, former_task_id), task_id = NULL,
        sunk = sunk + coalesce(item.price, 0), price = given.price,
        changed = clock_timestamp(), ended = NULL
    FROM given
    WHERE batch_id = %(batch)s AND item.key = given.key AND item.fingerprint = given.fingerprint
        AND state IN ({names(COMES_FROM[ItemState.SUBMITTING])}) AND {_IS_OURS}
    RETURNING item.key, item.epoch
"""  # noqa: S608 - of constants
SUBMITTED = f"""
    WITH given AS (
        SELECT * FROM unnest(%(key)s::text[], %(task_id)s::text[], %(price)s::numeric[])
        AS given(key, task_id, price)
    )
    UPDATE item SET
        state = 'submitted', ready = true, task_id = given.task_id, price = coalesce(given.price, item.price),
        changed = clock_timestamp(), ended = NULL
    FROM given
    WHERE batch_id = %(batch)s AND item.key = given.key AND state IN ({names(COMES_FROM[ItemState.SUBMITTED])})
        AND (item.task_id = given.task_id OR state NOT IN ({names(KEEPS_ITS_ID)}))
    RETURNING item.key, item.epoch
"""  # noqa: S608 - of constants
RELEASED = f"""
    WITH given AS (SELECT * FROM unnest(%(key)s::text[], %(epoch)s::integer[]) AS given(key, epoch))
    UPDATE item SET
        state = origin, price = NULL, changed = clock_timestamp()
    FROM given
    WHERE batch_id = %(batch)s AND item.key = given.key AND state IN ({names(COMES_FROM[ItemState.NEW])})
        AND {_IS_OURS}
    RETURNING item.key, item.epoch
"""  # noqa: S608 - of constants
ENDED = {
    state: f"""
    WITH given AS (
        SELECT * FROM unnest(%(key)s::text[], %(record)s::text[], %(price)s::numeric[], %(epoch)s::integer[])
        AS given(key, record, price, epoch)
    )
    UPDATE item SET
        state = '{state.value}', ready = false, owner = NULL,
        price = coalesce(given.price, item.price), record = given.record,
        changed = clock_timestamp(), ended = pg_current_xact_id()
    FROM given
    WHERE batch_id = %(batch)s AND item.key = given.key AND state IN ({names(COMES_FROM[state])}) AND {_IS_OURS}
    RETURNING item.key, item.epoch
"""  # noqa: S608 - of constants
    for state in (ItemState.DONE, ItemState.UNSAVED, ItemState.FAILED, ItemState.UNCERTAIN)
}
# `ready` is false for an item that no other worker should try now. An item that is being sent keeps its owner: if that
# worker ends, the submit becomes uncertain.
HANDED_BACK = """
    WITH given AS (
        SELECT * FROM unnest(%(key)s::text[], %(ready)s::boolean[], %(epoch)s::integer[]) AS given(key, ready, epoch)
    )
    UPDATE item SET owner = CASE WHEN state = 'submitting' THEN owner END, ready = given.ready FROM given
    WHERE batch_id = %(batch)s AND item.key = given.key AND owner = %(worker)s AND item.epoch = given.epoch
    RETURNING item.key, item.epoch
"""
SECOND_TASK = """
    INSERT INTO second_task (batch_id, key, task_id, price, worker)
    VALUES (%(batch)s, %(key)s, %(task_id)s, %(price)s, nullif(%(worker)s, 0)) ON CONFLICT DO NOTHING
"""

ENTRIES = """
    SELECT item.key, fingerprint, state, idempotency_key, task_id, price::float8, record,
        extract(epoch FROM changed)::float8, CASE WHEN ended IS NULL THEN opening END
    FROM item LEFT JOIN request USING (batch_id, key)
    WHERE batch_id = %(batch)s
"""


def entry_of(row: Sequence[Any]) -> LedgerEntry:
    """The entry in the columns of `ENTRIES`."""
    key, fingerprint, state, *rest = row
    return LedgerEntry(key, fingerprint, _STATES[state], *rest)


async def look_up(connection: Connection, batch: str, keys: Iterable[str]) -> dict[str, LedgerEntry]:
    """The entries of these keys."""
    cursor = await connection.execute(
        f"{ENTRIES} AND item.key = ANY(%(keys)s)".encode(), {"batch": batch, "keys": list(keys)}
    )
    return {row[0]: entry_of(row) for row in await cursor.fetchall()}


async def entries(
    connection: Connection, batch: str, states: Iterable[ItemState], last: int
) -> tuple[int, list[LedgerEntry]]:
    """Some entries in these states whose number is greater than `last`, and the number of the last one."""
    cursor = await connection.execute(
        f"{ENTRIES.replace('SELECT', 'SELECT number,', 1)} AND number > %(last)s AND state = ANY(%(states)s) "
        f"ORDER BY number LIMIT {CHUNK}".encode(),
        {"batch": batch, "last": last, "states": [state.value for state in states]},
    )
    rows = await cursor.fetchall()
    return (rows[-1][0] if rows else last), [entry_of(row[1:]) for row in rows]


async def totals(connection: Connection, batch: str) -> Totals:
    """The totals of a batch, without the credits that are reserved for items that are not sent yet."""
    cursor = await connection.execute(
        "SELECT state, sum(items)::bigint, sum(credits)::float8 FROM tally WHERE batch_id = %s GROUP BY state",
        (batch,),
    )
    rows = await cursor.fetchall()
    counts = {state: items for state, items, _ in rows}
    cursor = await connection.execute(
        "SELECT count(*) FROM item WHERE batch_id = %s AND price IS NULL AND sunk = 0 AND state <> 'new'",
        (batch,),
    )
    (unpriced,) = await cursor.fetchone() or (0,)
    return Totals(
        {state: counts.get(state.value, 0) for state in ItemState}, sum(row[2] for row in rows), unpriced
    )


MOVES: dict[ItemState | None, tuple[bytes, tuple[str, ...]]] = {
    ItemState.SUBMITTING: (
        SUBMITTING.encode(),
        ("key", "fingerprint", "idempotency_key", "price", "epoch"),
    ),
    ItemState.SUBMITTED: (SUBMITTED.encode(), ("key", "task_id", "price")),
    ItemState.NEW: (RELEASED.encode(), ("key", "epoch")),
    None: (HANDED_BACK.encode(), ("key", "ready", "epoch")),
    **{state: (text.encode(), ("key", "record", "price", "epoch")) for state, text in ENDED.items()},
}
"""The statement that moves items to each state, and its columns. None hands items back."""

# Writes the ids of billed tasks into the present rows of their items, if these have no task id yet.
_KEEP_IDS = """
    WITH given AS (
        SELECT DISTINCT ON (batch, key) *
        FROM unnest(%(batch)s::text[], %(key)s::text[], %(task_id)s::text[], %(price)s::numeric[])
        AS given(batch, key, task_id, price)
    )
    UPDATE item SET
        state = 'submitted', task_id = given.task_id, price = coalesce(given.price, item.price),
        owner = NULL, ready = true, changed = clock_timestamp(), ended = NULL
    FROM given
    WHERE batch_id = given.batch AND item.key = given.key AND item.task_id IS NULL
        AND state IN ('new', 'submitting', 'uncertain', 'failed')
"""
_KEEP_SECONDS = """
    INSERT INTO second_task (batch_id, key, task_id, price)
    SELECT batch, given.key, given.task_id, given.price
    FROM unnest(%(batch)s::text[], %(key)s::text[], %(task_id)s::text[], %(price)s::numeric[])
        AS given(batch, key, task_id, price)
        LEFT JOIN item ON item.batch_id = batch AND item.key = given.key
    WHERE item.task_id IS DISTINCT FROM given.task_id AND item.former_task_id IS DISTINCT FROM given.task_id
    ON CONFLICT DO NOTHING
    RETURNING batch_id, key, task_id
"""


async def keep_ids(connection: Connection, ids: Sequence[SpooledId]) -> list[SpooledId]:
    """Store these ids of billed tasks, even if other workers own the rows. If an item has another id already, the new id
    is stored as a second one. Returns these second ids.
    """
    columns = {
        "batch": [spooled.batch for spooled in ids],
        "key": [spooled.key for spooled in ids],
        "task_id": [spooled.task_id for spooled in ids],
        "price": [spooled.price for spooled in ids],
    }
    await connection.execute(_KEEP_IDS.encode(), columns)
    cursor = await connection.execute(_KEEP_SECONDS.encode(), columns)
    return [SpooledId(*row) for row in await cursor.fetchall()]
