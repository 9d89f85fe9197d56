"""The handles that users hold while a task runs."""

from foxapi_async import TaskHandle


async def test_an_events_reader_is_its_own_iterator():
    """`aiter` of an iterator over a handle is that iterator, as the protocol requires."""
    reader = aiter(TaskHandle("task-1", lambda _: None))

    assert reader is aiter(reader)
