"""Connects a folder with its batch in the database, and copies what the folder's ledger knows into the database.

A folder and its batch have the same random text, which proves that they belong together. The folder is marked before
the database commits. So the items of a folder are never sent both by a local run and by workers, even if a process is
killed in between.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from foxapi_async._batch.folder import BatchFolder, begun_at, moved_to
from foxapi_async._errors import InvalidRequestError, LedgerError
from foxapi_async._hints import Hint
from foxapi_async._ledger.entry import ItemState
from foxapi_async.cluster.database import identity_of
from foxapi_async.cluster.enqueue import import_ledger

if TYPE_CHECKING:
    from foxapi_async.cluster.database import Connection

# Names of texts in the folder's ledger.
_TOKEN = "cluster_token"  # noqa: S105 - no secret: it is in the database too
_PLACE = "cluster_database"  # the server and the name of the database
_IS_THERE = "cluster_is_there"  # the database has committed the batch

_FOLDER = "folder"
"""The name of the folder's random text in `batch_meta`."""

_FIND = """
    SELECT (SELECT value FROM batch_meta WHERE batch_id = batch.id AND name = %s) FROM batch WHERE id = %s
"""
_MAKE = """
    INSERT INTO batch (id, budget, price, base_url) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_KEEP_TOKEN = "INSERT INTO batch_meta VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"  # noqa: S105 - as above


def name_of(out: Path) -> str:
    """A name for the batch of a folder, made from the folder's name."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", out.absolute().name).lstrip(".-")[:100]
    return name or "batch"


async def connect_folder(
    connection: Connection,
    folder: BatchFolder,
    name: str | None,
    *,
    budget: float | None,
    price: float | None,
    other_origin: bool,
) -> str:
    """The name of the folder's batch. If the database does not have it yet, it is made there, with all that the
    folder's ledger knows.

    Args:
        connection: the connection to the database.
        folder: the folder of the batch.
        name: the name of the batch, which the database may have already. None for the name of the folder. Then the
            database must not have this name yet.
        budget: the most credits for the whole batch; None for no limit.
        price: credits of one image, if known.
        other_origin: continue although the folder was begun at a service with another address.

    Raises:
        InvalidRequestError: the name is that of another batch.
        LedgerError: the database has lost the batch of this folder, or is another one.
    """
    ledger = folder.ledger
    known = await moved_to(ledger)
    if known is not None and name not in {None, known}:
        raise InvalidRequestError(
            f"{folder.out} is the folder of batch {known!r} of a database, not of {name!r}",
            hint=Hint.OTHER_FOLDER,
        )
    batch = known or name or name_of(folder.out)
    place = await _place_of(connection)
    found = await (await connection.execute(_FIND, (_FOLDER, batch))).fetchone()
    if known is None:
        if found is not None:
            await _join(connection, folder, batch, place, found[0], is_named=name is not None)
            return batch
    elif found is not None and found[0] == await ledger.meta(_TOKEN):
        await ledger.set_meta(_PLACE, place)
        return batch
    elif found is not None or await ledger.meta(_IS_THERE) or place != await ledger.meta(_PLACE):
        raise LedgerError(
            f"the database does not have the batch {batch!r} of {folder.out}: it is another database, or an older "
            "copy. Nothing was sent: a new batch would bill everything again"
        )
    origin = None if other_origin else await _origin_of_tasks(folder)
    async with connection.transaction():
        made = await connection.execute(_MAKE, (batch, budget, price, origin))
        if not made.rowcount:
            raise _taken(batch)
        token = await _mark(folder, batch, place)
        await connection.execute(_KEEP_TOKEN, (batch, _FOLDER, token))
        await import_ledger(connection, batch, ledger)
    await ledger.set_meta(_IS_THERE, "yes")
    return batch


async def _place_of(connection: Connection) -> str:
    system = (await identity_of(connection)).partition("/")[0]
    return f"{system}/{connection.info.dbname}"


async def _origin_of_tasks(folder: BatchFolder) -> str | None:
    """The service that knows the tasks of this folder; None if there are none."""
    counts = (await folder.ledger.totals()).counts
    return await begun_at(folder.ledger) if sum(counts.values()) > counts[ItemState.NEW] else None


async def _mark(folder: BatchFolder, batch: str, place: str, token: str | None = None) -> str:
    """Note in the folder where its items are. Returns the random text."""
    ledger = folder.ledger
    token = token or await ledger.meta(_TOKEN) or secrets.token_hex(16)
    await ledger.set_meta(_TOKEN, token)
    await ledger.set_meta(_PLACE, place)
    await folder.note_moved(batch)
    return token


async def _join(
    connection: Connection, folder: BatchFolder, batch: str, place: str, token: str | None, *, is_named: bool
) -> None:
    """Connect a folder without items with a batch that is there already.

    Raises:
        InvalidRequestError: the user has not named the batch, or the folder has items of its own.
    """
    if not is_named:
        raise _taken(batch)
    if any((await folder.ledger.totals()).counts.values()):
        raise InvalidRequestError(
            f"{folder.out} has items of its own, and the database has another batch {batch!r}: give a name that is "
            "not there yet with --batch NAME"
        )
    own = token or secrets.token_hex(16)
    await connection.execute(_KEEP_TOKEN, (batch, _FOLDER, own))
    await _mark(folder, batch, place, own)
    await folder.ledger.set_meta(_IS_THERE, "yes")


def _taken(batch: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"the database has a batch {batch!r} already, which was begun from another folder: to join it, use "
        f"--batch {batch}, and for a batch of its own --batch NAME with another name"
    )
