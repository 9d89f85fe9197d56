"""Puts the items of a batch into the database."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import attrs

from foxapi_async._batch.budget import kind_of
from foxapi_async._batch.input.file import InputFile
from foxapi_async._batch.keys import id_conflict
from foxapi_async._batch.plan import BatchItems, keyed_items
from foxapi_async._batch.record import (
    WorkItem,
    closing_record,
    item_of,
    opening_record,
    request_in,
    unanswered_error,
)
from foxapi_async._errors import InvalidRequestError
from foxapi_async._ledger.entry import COMES_FROM, ItemState, LedgerEntry
from foxapi_async._ledger.protocol import LedgerView
from foxapi_async._wire.texts import counted
from foxapi_async.cluster.claims import kind_text
from foxapi_async.cluster.input_files import Inputs, Stored, inputs_of, store_files

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

_AT_ONCE = 10_000

SHOWN_PROBLEMS = 20

_INCOMING = """
    CREATE TEMP TABLE incoming (
        place bigint, key text, fingerprint text, kind text, model text, opening text
    ) ON COMMIT DELETE ROWS
"""
_COPY = "COPY incoming FROM STDIN"
_CONFLICTS = """
    SELECT key FROM incoming JOIN item USING (key)
    WHERE batch_id = %s AND item.fingerprint <> incoming.fingerprint ORDER BY incoming.place LIMIT 20
"""
_INSERT = """
    WITH made AS (
        INSERT INTO item (batch_id, place, key, fingerprint, kind, model)
        SELECT %(batch)s, place, key, fingerprint, kind, model FROM incoming ORDER BY place
        ON CONFLICT DO NOTHING RETURNING key
    )
    INSERT INTO request SELECT %(batch)s, key, opening FROM incoming JOIN made USING (key)
"""


class _Row(NamedTuple):
    """An item that is put in. `columns` has its columns of `incoming` without `opening`. `opening` has no local files yet."""

    columns: tuple[object, ...]
    opening: str
    files: Inputs


_Group: TypeAlias = list[tuple[WorkItem, _Row | None]]


@attrs.frozen(kw_only=True)
class Enqueued:
    """The items that `Cluster.submit` has put into the database.

    Attributes:
        batch_id: the name of the batch.
        added: how many items are new.
        known: how many items were there already. They are not put in again.
    """

    batch_id: str
    added: int
    known: int


async def enqueue(connection: Connection, batch: str, given: BatchItems | InputFile) -> Enqueued:
    """Put items into a batch, which must exist in the database.

    A list or a file is put in as a whole or not at all. Items of a generator are put in as they come, and may
    be submitted while it still runs.

    Raises:
        InvalidRequestError: an item is not valid, or an id names another request than before.
    """
    await connection.execute(_INCOMING)
    try:
        if isinstance(given, list | tuple | InputFile):
            async with connection.transaction():
                return await _put_all(connection, batch, given)
        return await _put_all(connection, batch, given)
    finally:
        await connection.execute("DROP TABLE IF EXISTS incoming")


async def _put_all(connection: Connection, batch: str, given: BatchItems | InputFile) -> Enqueued:
    is_whole = isinstance(given, list | tuple | InputFile)
    added = count = 0
    problems: list[str] = []
    files: Stored = {}
    groups = _groups(given)
    async with contextlib.aclosing(_ahead(groups) if is_whole else groups) as ready:
        async for group in ready:
            wrong = [_problem(item, item.error) for item, _ in group if item.error is not None]
            problems += wrong[: SHOWN_PROBLEMS - len(problems)]
            rows = [row for _, row in group if row is not None]
            count += len(rows)
            if not problems:
                added += await _put(connection, batch, rows, files)
                if is_whole:  # otherwise the end of the transaction has emptied the table
                    await connection.execute("TRUNCATE incoming")
            elif not is_whole or len(problems) >= SHOWN_PROBLEMS:
                break
    if problems:
        rest = "" if added == 0 else f" Enqueued before them: {counted(added, 'item')}."
        raise InvalidRequestError(
            f"items are not valid, and were not enqueued.{rest}", problems=tuple(problems)
        )
    return Enqueued(batch_id=batch, added=added, known=count - added)


def _problem(item: WorkItem, error: Exception) -> str:
    text = str(error)
    return text if text.startswith("line ") else f"item {item.index + 1}: {text}"


async def _groups(given: BatchItems | InputFile) -> AsyncGenerator[_Group, None]:
    """The items in larger groups, one COPY for each group. An item without a key has no row."""
    group: _Group = []
    is_live = not isinstance(given, list | tuple | InputFile)
    async with contextlib.aclosing(keyed_items(given)) as chunks:
        async for chunk in chunks:
            group += [(item, None if item.key is None else _row(item)) for item in chunk]
            if len(group) >= (1 if is_live else _AT_ONCE):
                yield group
                group = []
    if group:
        yield group


async def _ahead(groups: AsyncGenerator[_Group, None]) -> AsyncGenerator[_Group, None]:
    """The same groups. While the database takes one group, the next one is made."""
    async with contextlib.aclosing(groups):
        following = asyncio.ensure_future(anext(groups, None))
        try:
            while group := await following:
                following = asyncio.ensure_future(anext(groups, None))
                yield group
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _put(connection: Connection, batch: str, rows: Sequence[_Row], files: Stored) -> int:
    """Put in items that are valid. Returns how many are new."""
    async with connection.transaction():
        openings = [await _opening(connection, row, files) for row in rows]
        async with connection.cursor() as cursor:
            async with cursor.copy(_COPY) as copy:
                for row, opening in zip(rows, openings, strict=True):
                    await copy.write_row((*row.columns, opening))
            await cursor.execute(_INSERT, {"batch": batch})
            added = cursor.rowcount
            if added < len(rows):
                # This is asked after the insert, because another program may put in the same ids at the same time.
                await cursor.execute(_CONFLICTS, (batch,))
                conflicts = [
                    id_conflict(key, used=False, known=True) or "" for (key,) in await cursor.fetchall()
                ]
                if conflicts:
                    raise InvalidRequestError("nothing was enqueued", problems=tuple(conflicts))
    return added


def _row(item: WorkItem) -> _Row:
    request = item.request
    assert request is not None  # noqa: S101 - an item with a key has a request
    columns = (item.index, item.key, item.fingerprint, kind_text(kind_of(request)), request.model)
    return _Row(columns, opening_record(item), inputs_of(request))


async def _opening(connection: Connection, row: _Row, files: Stored) -> str:
    """The column `opening`. The local files are stored first."""
    if not row.files:
        return row.opening
    stored = await store_files(connection, row.files, files)
    return json.dumps({**json.loads(row.opening), "files": stored})


_IMPORTED = """
    CREATE TEMP TABLE imported (
        key text, fingerprint text, place bigint, kind text, model text, state text, idempotency_key text,
        task_id text, price numeric, record text, opening text
    ) ON COMMIT DROP
"""
_IMPORT = """
    WITH made AS (
        INSERT INTO item (batch_id, key, fingerprint, place, kind, model, state, ready, idempotency_key, task_id,
            price, record, ended)
        SELECT %(batch)s, key, fingerprint, place, kind, model, state, state IN ('new', 'submitted', 'unsaved'),
            idempotency_key, task_id, price, record, CASE WHEN record IS NOT NULL THEN pg_current_xact_id() END
        FROM imported ON CONFLICT DO NOTHING RETURNING key
    )
    INSERT INTO request SELECT %(batch)s, key, opening FROM imported JOIN made USING (key)
"""
# Credits of earlier submits of items that were submitted again.
_SUNK = "INSERT INTO tally VALUES (%s, -1, 'done', 0, %s) ON CONFLICT DO NOTHING"


async def import_ledger(connection: Connection, batch: str, ledger: LedgerView) -> int:
    """Put the entries of a local ledger into a batch, in one transaction. Returns how many are new.

    An item that was being submitted becomes uncertain. Spent credits count as spent in the batch, too. An item that the
    batch already has is not changed.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    totals = await ledger.totals()
    priced = 0.0
    files: Stored = {}
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.execute(_IMPORTED)
        async for chunk in in_chunks(ledger.entries()):
            priced += sum(entry.price or 0.0 for entry in chunk)
            rows = [_imported_row(entry, await _stored_files(connection, entry, files)) for entry in chunk]
            async with cursor.copy("COPY imported FROM STDIN") as copy:
                for row in rows:
                    await copy.write_row(row)
        await cursor.execute(_IMPORT, {"batch": batch})
        added = cursor.rowcount
        if added and totals.spent > priced:
            await cursor.execute(_SUNK, (batch, totals.spent - priced))
    return added


async def in_chunks(entries: AsyncGenerator[LedgerEntry, None]) -> AsyncGenerator[list[LedgerEntry], None]:
    """The entries in larger groups, one COPY or one statement for each group."""
    chunk: list[LedgerEntry] = []
    async with contextlib.aclosing(entries):
        async for entry in entries:
            chunk.append(entry)
            if len(chunk) == _AT_ONCE:
                yield chunk
                chunk = []
    yield chunk


async def _stored_files(connection: Connection, entry: LedgerEntry, known: Stored) -> dict[str, str]:
    """The SHA-256 of the local input files of an item that may be submitted again. A file that is gone is left out."""
    if entry.state not in {*COMES_FROM[ItemState.SUBMITTING], ItemState.SUBMITTING}:
        return {}
    request = request_in(json.loads(entry.opening or entry.record or "{}"))
    with contextlib.suppress(InvalidRequestError):
        return {} if request is None else await store_files(connection, inputs_of(request), known)
    return {}


def _imported_row(entry: LedgerEntry, files: dict[str, str]) -> tuple[object, ...]:
    recorded = json.loads(entry.opening or entry.record or "{}")
    request = request_in(recorded)
    opening = {name: recorded[name] for name in ("id", "index", "request", "extra") if name in recorded}
    state, record = entry.state, entry.record
    if state is ItemState.SUBMITTING:
        item = item_of(entry)
        state = ItemState.UNCERTAIN
        record = closing_record(
            item,
            state,
            request=item.recorded_request,
            task_id=None,
            price=entry.price,
            folder=Path(),
            timings={},
            error=unanswered_error(entry),
        )
    return (
        entry.key,
        entry.fingerprint,
        recorded.get("index", 0),
        None if request is None else kind_text(kind_of(request)),
        (recorded.get("request") or {}).get("model"),
        state.value,
        entry.idempotency_key,
        entry.task_id,
        entry.price,
        None if state in {ItemState.NEW, ItemState.SUBMITTED} else record,
        json.dumps({**opening, "files": files} if files else opening),
    )
