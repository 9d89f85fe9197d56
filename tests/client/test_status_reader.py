"""What every reader of states keeps: the same facts for the service's API and for one that follows a script."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from crowd import Service, room

from foxapi_async import Cadence, FoxSession, GrokImagineImage, NotFoundError
from foxapi_async._policy.verdict import Verdict
from foxapi_async._wire.replies import TaskReply
from foxapi_async.emulator import Emulator


@contextlib.asynccontextmanager
async def of_the_service(count):
    """The API of a session, and tasks that are under way."""
    async with Emulator(seconds=30) as emulator, FoxSession(emulator.key, base_url=emulator.url) as fox:
        handles = [await fox.submit(GrokImagineImage("a fox")) for _ in range(count)]
        yield fox._engine.api, [handle.id for handle in handles]


@contextlib.asynccontextmanager
async def by_script(count):
    """Tasks that a test made up."""
    service = Scripted()
    yield service, [service.create(30.0).id for _ in range(count)]


class Scripted(Service):
    """A service that does not know every task."""

    async def reply_of(self, task_id):
        if task_id not in self.tasks:
            return Verdict(NotFoundError(f"no task {task_id}", status=404, task_id=task_id))
        return await super().reply_of(task_id)


READERS = {"api": of_the_service, "script": by_script}


@pytest.fixture(params=READERS)
def reader_with(request):
    return READERS[request.param]


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_each_id_has_its_reply(reader_with, count):
    """The replies have the ids that were asked for, and no others."""
    async with reader_with(count) as (reader, ids):
        replies = await reader.read(dict.fromkeys(ids, False))

    assert sorted(ids) == sorted(replies)
    assert [TaskReply] * count == [type(reply) for reply in replies.values()]
    assert ids == [replies[task_id].id for task_id in ids]


async def test_a_task_that_cannot_be_read_costs_no_other(reader_with):
    """An unknown id has a verdict with its error; its neighbour has its reply."""
    async with reader_with(1) as (reader, [known]):
        replies = await reader.read({"unknown": False, known: False})

    assert [Verdict, NotFoundError] == [type(replies["unknown"]), type(replies["unknown"].error)]
    assert known == replies[known].id


async def test_a_reader_knows_how_it_is_limited(reader_with):
    """The poller finds the limiter of the reads, and whether the service was heard."""
    async with reader_with(0) as (reader, _):
        assert reader.polls.next_allowed(3.0) == 3.0
        assert reader.reachability.ever_answered in {True, False}


@pytest.mark.virtual
async def test_the_poller_needs_no_more_of_a_reader():
    """A task that a script makes up is awaited to its end."""
    async with room(Scripted(), cadence=Cadence()) as at:
        handle = at.submit(30.0)
        result = await asyncio.wait_for(handle, 60)

    assert handle.id == result.task_id
