"""When handles end because their time is over, though their tasks go on."""

from __future__ import annotations

from foxapi_async._client.schedule import Schedule
from foxapi_async._errors import TaskTimeoutError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._wire.texts import shorten


class Deadlines:
    """The handles with a timeout. Moments are loop time in seconds."""

    def __init__(self) -> None:
        self._schedule: Schedule[TaskHandle] = Schedule()
        self._timeouts: dict[TaskHandle, float] = {}

    def put(self, handle: TaskHandle, when: float, timeout: float) -> None:
        """Let a handle end at a moment, `timeout` seconds after it was asked for."""
        self._timeouts[handle] = timeout
        self._schedule.put(handle, when)

    def discard(self, handle: TaskHandle) -> None:
        """Forget a handle, which has ended in another way."""
        self._schedule.discard(handle)
        self._timeouts.pop(handle, None)

    def take_due(self, now: float) -> list[TaskHandle]:
        """The handles whose time is over."""
        return self._schedule.take_due(now)

    def next_when(self) -> float | None:
        """When the next one is; None if there is none."""
        return self._schedule.next_when()

    def error(self, handle: TaskHandle) -> TaskTimeoutError:
        """What a handle whose time is over raises."""
        status = shorten(handle.snapshot.status, 100) if handle.snapshot else "not read yet"
        return TaskTimeoutError(
            f"task {handle.id} has not finished within {self._timeouts[handle]:g} s (last status: {status}); "
            f"it goes on and stays billed: attach({handle.id!r}) looks again",
            task_id=handle.id,
            snapshot=handle.snapshot,
        )
