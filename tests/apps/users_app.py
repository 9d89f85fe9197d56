import asyncio
import contextlib
import json
import logging
import os
import secrets
import sqlite3
import time
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import FileResponse

from foxapi_async import (
    FoxError,
    FoxSession,
    InvalidRequestError,
    TaskCancelledError,
    TaskFailedError,
    TaskHandle,
)
from foxapi_async.fastapi import Fox, add_error_handlers, fox_lifespan, image_router
from foxapi_async.models import GenerationRequest

LEASE = 30.0  # after so many seconds without news of a replica, another one takes over its rows
FILES_LAST = 24 * 3600.0  # the service keeps a file for so many seconds
LONGEST_PROMPT = 4000  # characters
DATA = Path(os.environ.get("APP_DATA", "data"))
held: set[int] = set()  # the rows that this replica works on
unrecorded: dict[int, str] = {}  # the task ids that are not yet written to their rows
log = logging.getLogger("app")


def run_now(statement: str, *values: object) -> list[sqlite3.Row]:
    connection = sqlite3.connect(DATA / "app.sqlite", timeout=30)
    with contextlib.closing(connection), connection:  # a transaction of its own
        connection.row_factory = sqlite3.Row
        return connection.execute(statement, values).fetchall()


async def run(statement: str, *values: object) -> list[sqlite3.Row]:
    return await asyncio.to_thread(run_now, statement, *values)


async def user_of(authorization: Annotated[str, Header()] = "") -> str:
    for pair in os.environ["APP_USERS"].split():  # such as "ann:a-long-secret bob:another-long-secret"
        user, _, token = pair.partition(":")
        if secrets.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            return user
    raise HTTPException(401, "who are you?")


User = Annotated[str, Depends(user_of)]


async def own_task(request: Request, user: User) -> None:
    task_id = request.path_params.get("task_id")  # `POST /images` has none
    if task_id and not await run("select 1 from images where task_id = ? and owner = ?", task_id, user):
        raise HTTPException(404, "There is no such task.")  # the same for a task of another user


async def record(row: int, task_id: str) -> None:
    """Write the id of a task. If that fails, `claimed` tries again."""
    unrecorded[row] = task_id
    write = "update images set state = 'running', task_id = ?, leased = 0 where id = ? and task_id is null"
    try:
        await run(write, task_id, row)
    except sqlite3.Error:
        log.exception("task %s is billed, but its id cannot be written to row %d yet", task_id, row)
    else:
        unrecorded.pop(row, None)


@dataclass(frozen=True)
class KnownTask:
    id: str


class Recorded:
    """Sends a request after its row is written. A row that never gets an id is uncertain: it may be billed."""

    def __init__(self, user: User, fox: Fox, idempotency_key: Annotated[str, Header()] = "") -> None:
        self.fox = fox
        self.user = user
        self.sent_key = uuid.uuid4().hex  # for the service: another one for each row
        self.key = idempotency_key or self.sent_key

    async def __call__(self, request: GenerationRequest) -> TaskHandle | KnownTask:
        length = len(request.prompt or "")
        if length > LONGEST_PROMPT:
            raise InvalidRequestError(f"prompt: {length} characters; give at most {LONGEST_PROMPT}")
        now = time.time()
        insert = """insert into images (owner, key, sent_key, state, begun, leased)
            values (?, ?, ?, 'submitting', ?, ?) on conflict do nothing returning id"""
        if not (rows := await run(insert, self.user, self.key, self.sent_key, now, now + LEASE)):
            return await self.repeated()
        ((row,),) = rows
        held.add(row)
        try:
            handle = await self.fox.submit(request, idempotency_key=self.sent_key)
        except FoxError as error:
            if error.charged == "no":  # so the same key may be sent again
                await run("delete from images where id = ?", row)
            raise
        finally:
            held.discard(row)
        await record(row, handle.id)
        return handle

    async def repeated(self) -> KnownTask:
        select = "select task_id from images where owner = ? and key = ? and task_id is not null"
        if not (rows := await run(select, self.user, self.key)):
            raise HTTPException(409, "The first request with this key has no task yet, or is uncertain.")
        return KnownTask(rows[0]["task_id"])


async def claimed() -> list[sqlite3.Row]:
    """Write what is unrecorded, renew the leases of this replica, and take the tasks whose replica is gone."""
    for row, task_id in [*unrecorded.items()]:
        await record(row, task_id)
    now = time.time()
    renew = "update images set leased = ? where leased > 0 and id in (select value from json_each(?))"
    await run(renew, now + LEASE, json.dumps([*held, *unrecorded]))
    await run("update images set state = 'uncertain' where state = 'submitting' and leased < ?", now)
    await run("update images set state = 'lost' where state = 'running' and begun < ?", now - 2 * FILES_LAST)
    claim = "update images set leased = ? where state = 'running' and leased < ? returning id, task_id"
    return await run(claim, now + LEASE, now)


async def keep(fox: FoxSession, row: int, task_id: str) -> None:
    """Save the files of a task when it ends. What fails is tried again after the lease."""
    try:
        try:
            paths = await (await fox.attach(task_id)).save(DATA / "files", overwrite=True)
            end = "kept", json.dumps([path.name for path in paths])
        except (TaskFailedError, TaskCancelledError):
            end = "failed", "[]"
        await run("update images set state = ?, files = ? where id = ?", *end, row)
    except Exception as error:
        log.warning("task %s is not kept yet: %s", task_id, error)
    finally:
        held.discard(row)


async def sweep(fox: FoxSession) -> None:
    async with asyncio.TaskGroup() as keeping:
        while True:
            try:
                for row, task_id in await claimed():
                    if row not in held:
                        held.add(row)
                        keeping.create_task(keep(fox, row, task_id))
            except Exception:
                log.exception("a round of the sweep failed; the next one follows")
            await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Any], None]:
    await asyncio.to_thread(DATA.mkdir, parents=True, exist_ok=True)
    await run("""create table if not exists images (id integer primary key, owner text, key text, sent_key text,
        state text, task_id text unique, files text default '[]', begun real, leased real, unique (owner, key))""")
    async with fox_lifespan()(app) as state:
        sweeper = asyncio.create_task(sweep(state["fox"]))
        try:
            yield state
        finally:
            sweeper.cancel()
            await asyncio.wait([sweeper])
            for row, task_id in [*unrecorded.items()]:
                await record(row, task_id)


app = FastAPI(lifespan=lifespan)
add_error_handlers(app)
app.include_router(image_router(dependencies=[Depends(own_task)], submit=Depends(Recorded)))


@app.get("/images")
async def own_images(user: User) -> list[dict[str, Any]]:
    rows = await run(
        "select key, sent_key, state, task_id, files from images where owner = ? order by id desc", user
    )
    return [{**dict(row), "files": len(json.loads(row["files"]))} for row in rows]


@app.get("/images/{task_id}/kept/{n}", dependencies=[Depends(own_task)])
async def kept_file(task_id: str, n: int) -> FileResponse:
    ((files,),) = await run("select files from images where task_id = ?", task_id)
    names: list[str] = json.loads(files)
    if not 1 <= n <= len(names):
        raise HTTPException(404, "This file is not kept.")
    safe = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}
    return FileResponse(DATA / "files" / names[n - 1], headers=safe)  # no script in a file runs
