"""What users hold while a task runs."""

from foxapi_async import TaskHandle


async def test_an_events_reader_is_its_own_iterator():
    """`aiter` of a handle's reader is that reader, as the protocol asks."""
    reader = aiter(TaskHandle("task-1", lambda _: None))

    assert reader is aiter(reader)
