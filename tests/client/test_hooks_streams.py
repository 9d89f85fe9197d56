"""Hooks do no harm, and streams lose no end of a task."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from foxapi_async import FoxSession, GrokImagineImage
from foxapi_async._client.hooks import Hooks
from foxapi_async._client.streams import EventStream
from foxapi_async._errors import ConfigurationError
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot


def event(task_id: str = "a", progress: float | None = None, *, final: bool = False) -> TaskEvent:
    return TaskEvent(
        task_id=task_id,
        model="m",
        status="completed" if final else "processing",
        progress=progress,
        elapsed=1.0,
        remaining=None,
        final=final,
        snapshot=TaskSnapshot(id=task_id),
    )


def test_hooks_are_called_in_order():
    """Every hook gets every event, in the order of the list."""
    seen: list[tuple[str, TaskEvent]] = []
    hooks = Hooks(iter([lambda e: seen.append(("one", e)), lambda e: seen.append(("two", e))]))
    first, second = event(progress=1), event(progress=2)
    hooks(first)
    hooks(second)

    assert seen == [("one", first), ("two", first), ("one", second), ("two", second)]


def test_a_hook_that_raises_does_no_harm(caplog):
    """The error of a hook is logged once, with its task; other hooks and later events are still served."""
    seen: list[TaskEvent] = []
    calls: list[TaskEvent] = []

    def broken(event: TaskEvent) -> None:
        calls.append(event)
        raise ValueError("mine")

    hooks = Hooks([broken, seen.append])
    hooks(event())
    hooks(event("b"))

    assert len(seen) == len(calls) == 2
    assert [(r.levelno, r.name) for r in caplog.records] == [(logging.ERROR, "foxapi_async")]
    assert "task a" in caplog.text
    assert "ValueError: mine" in caplog.text


def test_each_broken_hook_is_logged(caplog):
    """One hook's error does not hide another's."""
    hooks = Hooks([lambda _: 1 / 0, lambda event: event.no_such_field])
    hooks(event())
    hooks(event())

    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError, AttributeError]


def test_a_hook_does_not_swallow_an_interrupt():
    """KeyboardInterrupt and similar errors pass through."""

    def interrupt(_: TaskEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Hooks([interrupt])(event())


def test_hooks_are_functions():
    """An object that cannot be called is refused when the session is made."""
    with pytest.raises(ConfigurationError, match="'print' is not a plain function"):
        Hooks([print, "print"])


async def test_a_late_stream_starts_with_the_current_state():
    """A new stream begins with the last event of every running task."""
    stream = EventStream([event("a"), event("b")])
    stream.close()

    assert [e.task_id async for e in stream] == ["a", "b"]


async def test_a_slow_reader_gets_the_latest_of_each_task():
    """A newer event of a task replaces an unread one; the end of every task is kept."""
    stream = EventStream([])
    for progress in range(100):
        stream.put(event("a", progress))
        stream.put(event("b", progress))
    stream.put(event("a", 100, final=True))
    stream.close()

    assert [(e.task_id, e.progress, e.final) async for e in stream] == [("b", 99, False), ("a", 100, True)]


async def test_a_reader_waits_for_an_event():
    """A reader that has read everything gets the next event when it comes, and ends when the stream ends."""
    stream = EventStream([])
    seen: list[TaskEvent] = []

    async def read() -> None:
        seen.extend([e async for e in stream])

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    stream.put(event("a", 1))
    await asyncio.sleep(0)
    stream.put(event("a", 2))
    await asyncio.sleep(0)
    stream.close()
    await asyncio.wait_for(reader, 5)

    assert [e.progress for e in seen] == [1, 2]


async def test_two_readers_share_a_stream():
    """Two tasks that read one stream get each event once between them, and both end with it."""
    stream = EventStream([])
    seen: list[TaskEvent] = []

    async def read() -> None:
        seen.extend([e async for e in stream])

    readers = [asyncio.create_task(read()) for _ in range(2)]
    await asyncio.sleep(0)
    stream.put(event("a"))
    stream.put(event("b"))
    await asyncio.sleep(0)
    stream.close()
    await asyncio.wait_for(asyncio.gather(*readers), 5)

    assert sorted(e.task_id for e in seen) == ["a", "b"]


async def test_a_cancelled_reader_loses_nothing():
    """Cancelling one `anext` leaves the stream complete for the next."""
    stream = EventStream([])
    reader = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait([reader])
    stream.put(event("a"))

    assert (await anext(stream)).task_id == "a"


async def test_a_closed_stream_takes_nothing_more():
    """After `close` pending events can be read; after `aclose` none; neither takes new events."""
    stream, dropped = EventStream([event("a")]), EventStream([event("a")])
    stream.close()
    stream.put(event("b"))
    await dropped.aclose()
    dropped.put(event("b"))

    assert [e.task_id async for e in stream] == ["a"]
    assert [e async for e in dropped] == []


@pytest.mark.virtual
async def test_streams_feed_all_until_closed(emulator):
    """Every open stream gets every event, and all end with the session."""
    async with FoxSession(emulator.key, base_url=emulator.url) as fox:
        readers = [fox.events() for _ in range(3)]
        handle = await fox.submit(GrokImagineImage("a fox"))
        await handle
    ends = [[event.task_id async for event in reader if event.final] for reader in readers]

    assert [[handle.id]] * 3 == ends


@pytest.mark.virtual
async def test_a_dropped_stream_vanishes(fox):
    """A stream without a reader does not get events forever."""
    kept = fox.events()
    fox.events()
    gc.collect()
    handle = await fox.submit(GrokImagineImage("a fox"))
    first = await anext(kept)

    assert [kept] == list(fox._engine.streams)
    assert handle.id == first.task_id
