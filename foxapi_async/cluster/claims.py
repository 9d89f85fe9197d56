"""A worker claims items of a batch: it becomes their owner, and reserves the credits that they may cost.

The rows decide. `FOR UPDATE SKIP LOCKED` gives each row to one worker. If the batch has a budget, its row is
locked, so that one worker at a time reserves credits. The rules of the budget are those of a local batch.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from foxapi_async._batch.budget import Budget, BudgetDecision, Kind
from foxapi_async._errors import LedgerError
from foxapi_async._ledger.entry import LedgerEntry
from foxapi_async.cluster.database import OtherDatabaseError, OutdatedError, identities
from foxapi_async.cluster.schema import VERSION
from foxapi_async.cluster.statements import entry_of

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

_CHECK = """
    SELECT (SELECT value FROM meta WHERE name = 'version')::integer,
        (SELECT state FROM worker WHERE id = %s FOR KEY SHARE)
"""
_BATCH = "SELECT state, budget::float8, price::float8, stopped_models, account FROM batch WHERE id = %s"

_COLUMNS = """
    item.key, fingerprint, state, idempotency_key, task_id, price::float8, record,
    extract(epoch FROM changed)::float8, opening, place, kind, item.epoch
"""
_PAID = f"""
    WITH picked AS (
        SELECT key FROM item WHERE batch_id = %(batch)s AND ready AND owner IS NULL AND paid
        ORDER BY number LIMIT %(room)s FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE item SET owner = %(worker)s, epoch = epoch + 1 FROM picked
        WHERE batch_id = %(batch)s AND item.key = picked.key RETURNING item.*
    )
    SELECT {_COLUMNS} FROM claimed AS item LEFT JOIN request USING (batch_id, key) ORDER BY number
"""  # noqa: S608 - of constants
_CANDIDATES = """
    SELECT key, kind FROM item
    WHERE batch_id = %(batch)s AND ready AND owner IS NULL AND NOT paid AND state <> 'submitting'
        AND (model IS NULL OR model <> ALL(%(stopped)s))
    ORDER BY number LIMIT %(room)s FOR UPDATE SKIP LOCKED
"""
_CLAIM = f"""
    WITH claimed AS (
        UPDATE item SET owner = %(worker)s, epoch = epoch + 1
        WHERE batch_id = %(batch)s AND key = ANY(%(keys)s) RETURNING item.*
    )
    SELECT {_COLUMNS} FROM claimed AS item LEFT JOIN request USING (batch_id, key) ORDER BY number
"""  # noqa: S608 - of constants

# The values that a budget needs: the spent credits, which include those of submits without an answer; the number of
# submits at an unknown price; and for each kind, the items that workers have claimed to send, or are sending. This is
# one statement, because items change between two statements.
_BUDGET = """
    WITH under_way AS (
        SELECT kind, count(*) AS items, coalesce(sum(price) FILTER (WHERE state = 'submitting'), 0) AS credits
        FROM item WHERE batch_id = %(batch)s AND owner IS NOT NULL AND NOT paid AND kind IS NOT NULL GROUP BY kind
    )
    SELECT (SELECT coalesce(sum(credits), 0)::float8 FROM tally WHERE batch_id = %(batch)s),
        (
            SELECT count(*) FROM item WHERE batch_id = %(batch)s AND price IS NULL AND sunk = 0 AND state <> 'new'
                AND state <> 'submitting'
        ), kind, coalesce(items, 0), coalesce(credits, 0)::float8
    FROM (SELECT) AS one LEFT JOIN under_way ON true
"""
_LEARN = """
    INSERT INTO price SELECT batch.account, given.kind, given.credits
    FROM unnest(%(kinds)s::text[], %(credits)s::numeric[]) AS given(kind, credits)
        JOIN batch ON batch.id = %(batch)s AND batch.account IS NOT NULL
    ON CONFLICT (account, kind) DO UPDATE SET credits = greatest(price.credits, excluded.credits)
"""
_PRICES = "SELECT kind, credits::float8 FROM price WHERE account = %s"

_Candidate = tuple[str, Kind | None]
"""The key of an item, and what decides its price."""


@attrs.frozen
class ClaimedItem:
    """An item that this worker owns.

    Attributes:
        entry: its entry. `opening` is always there: it has the request.
        place: its position in the input, from 0.
        kind: what decides its price.
        epoch: the epoch that began with the claim.
    """

    entry: LedgerEntry
    place: int
    kind: Kind | None
    epoch: int

    @property
    def request(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The fields of its request, and the SHA-256 of each local file in them."""
        opening: dict[str, Any] = json.loads(self.entry.opening or "{}")
        return opening.get("request") or {}, opening.get("files") or {}


@attrs.frozen
class Claim:
    """The answer to a claim.

    Attributes:
        items: the claimed items.
        state: the state of the batch: "open", "paused" or "cancelled".
        is_waiting: whether more items can be claimed after some submits have ended.
        exceeded: the budget and the kind that it does not allow; None if it allows more.
        is_limited: whether the batch has a budget.
        prices: the prices of the kinds that the account knows; only for a batch with a budget.
    """

    items: list[ClaimedItem]
    state: str
    is_waiting: bool = False
    exceeded: tuple[Budget, Kind] | None = None
    is_limited: bool = False
    prices: Mapping[Kind, float | None] = attrs.field(factory=dict[Kind, float | None])

    @property
    def kinds(self) -> set[Kind]:
        """The kinds of the items."""
        return {item.kind for item in self.items if item.kind is not None}


async def claim(
    connection: Connection,
    worker: int,
    batch: str,
    room: int,
    *,
    new: bool = True,
    learned: Mapping[Kind, float | None] = MappingProxyType({}),
) -> Claim:
    """Claim at most `room` items: first the paid tasks whose images are not saved, then items to submit.

    Args:
        connection: the connection of this worker.
        worker: the number of this worker.
        batch: the name of the batch.
        room: the most items to claim.
        new: whether to claim items to submit, too.
        learned: the prices that this worker has learned since its last claim; None for a kind without one.

    Raises:
        OutdatedError: the tables have another version than this worker knows.
        OtherDatabaseError: the database is another one than before.
        LedgerError: this worker was replaced, or the batch is not there.
    """
    async with connection.transaction():
        await _check(connection, worker)
        row = await _row_of(connection, batch, reserves=new)
        if learned:
            kinds = [kind_text(kind) for kind in learned]
            values = {"kinds": kinds, "credits": list(learned.values()), "batch": batch}
            await connection.execute(_LEARN, values)
        state, limit, price, stopped, account = row
        values = {"batch": batch, "worker": worker, "room": room, "stopped": stopped}
        cursor = await connection.execute(_PAID.encode(), values)
        items = [_claimed(row) for row in await cursor.fetchall()]
        if state != "open" or not new or len(items) >= room:
            return Claim(items, state)
        cursor = await connection.execute(_CANDIDATES, {**values, "room": room - len(items)})
        candidates = [(key, read_kind(kind)) for key, kind in await cursor.fetchall()]
        if limit is None:
            return Claim([*items, *await _take(connection, values, candidates)], state)
        cursor = await connection.execute(_PRICES, (account,))
        prices = {kind: credit for text, credit in await cursor.fetchall() if (kind := read_kind(text))}
        budget = await _budget(connection, batch, limit, price, prices)
        allowed, answer = _affordable(budget, candidates)
        items += await _take(connection, values, allowed)
        is_final = answer in {BudgetDecision.REACHED, BudgetDecision.UNPRICED}
        kind = candidates[len(allowed)][1] if is_final else None
    return Claim(
        items,
        state,
        is_waiting=answer is BudgetDecision.WAIT,
        exceeded=None if kind is None else (budget, kind),
        is_limited=True,
        prices=prices,
    )


async def _row_of(connection: Connection, batch: str, *, reserves: bool) -> tuple[Any, ...]:
    """The row of the batch. If it has a budget, one worker at a time `reserves` credits: its row is locked."""
    row = await (await connection.execute(_BATCH, (batch,))).fetchone()
    if row is None:
        raise LedgerError(f"there is no batch {batch!r} in the database")
    if row[1] is None or not reserves:
        return row
    return (
        await (await connection.execute(f"{_BATCH} FOR NO KEY UPDATE".encode(), (batch,))).fetchone() or row
    )


def _affordable(budget: Budget, candidates: list[_Candidate]) -> tuple[list[_Candidate], BudgetDecision]:
    """The candidates before the first one that the budget does not allow now, and the budget's answer to that one."""
    for number, (_, kind) in enumerate(candidates):
        if kind is not None:
            if (answer := budget.ask(kind)) is not BudgetDecision.GO:
                return candidates[:number], answer
            budget.take(kind)
    return candidates, BudgetDecision.GO


async def _take(
    connection: Connection, values: Mapping[str, Any], candidates: list[_Candidate]
) -> list[ClaimedItem]:
    """Make the worker the owner of these items."""
    if not candidates:
        return []
    keys = [key for key, _ in candidates]
    cursor = await connection.execute(_CLAIM.encode(), {**values, "keys": keys})
    return [_claimed(row) for row in await cursor.fetchall()]


async def _check(connection: Connection, worker: int) -> None:
    cursor = await connection.execute(_CHECK, (worker,))
    version, state = await cursor.fetchone() or (0, None)
    if version != VERSION:
        raise OutdatedError(
            f"the tables of the database have version {version} now, and this worker knows {VERSION}: start it "
            "with the new version of foxapi-async"
        )
    if state != "alive":
        raise LedgerError(
            f"worker {worker} was replaced, because the database got no heartbeat from it for too long"
        )
    identity, noted = await identities(connection)
    if identity != noted:
        raise OtherDatabaseError("the database is another one than before")


async def _budget(
    connection: Connection,
    batch: str,
    limit: float,
    price: float | None,
    prices: Mapping[Kind, float | None],
) -> Budget:
    """The budget of the batch as it is now, for all workers together."""
    rows = await (await connection.execute(_BUDGET, {"batch": batch})).fetchall()
    spent, unpriced = rows[0][:2]
    under_way = [
        (kind, count, credit) for *_, text, count, credit in rows if (kind := read_kind(text)) is not None
    ]
    # `take` reserves these credits again below, at the present price.
    unanswered = sum(credit for _, _, credit in under_way)
    budget = Budget(limit, spent=spent - unanswered, price=price, unpriced=unpriced)
    for known, credits_of_one in prices.items():
        budget.learn(known, credits_of_one)
    for sent, count, _ in under_way:
        for _ in range(count):
            budget.take(sent)
    return budget


def _claimed(row: Sequence[Any]) -> ClaimedItem:
    *columns, place, kind, epoch = row
    return ClaimedItem(entry_of(columns), place, read_kind(kind), epoch)


@functools.lru_cache(maxsize=1024)
def kind_text(kind: Kind) -> str:
    """The kind as a text, for the column `kind`."""
    return json.dumps(attrs.astuple(kind))


def read_kind(text: str | None) -> Kind | None:
    """The kind in the column `kind`."""
    return None if text is None else Kind(*json.loads(text))


async def batches_with_work(connection: Connection, batches: Collection[str] = ()) -> list[str]:
    """The batches with items that a worker may claim; all, or those of `batches`."""
    cursor = await connection.execute(
        "SELECT id FROM batch WHERE (%(all)s OR id = ANY(%(ids)s)) AND (EXISTS ("
        "SELECT 1 FROM item WHERE batch_id = batch.id AND ready AND owner IS NULL AND paid) OR (state = 'open' "
        "AND EXISTS (SELECT 1 FROM item WHERE batch_id = batch.id AND ready AND owner IS NULL AND NOT paid "
        "AND (model IS NULL OR model <> ALL(stopped_models)))))",
        {"all": not batches, "ids": list(batches)},
    )
    return [batch for (batch,) in await cursor.fetchall()]
