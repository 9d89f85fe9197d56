"""What ended here while its task was not known to be over: a paid task to attach to, as long as that is of use."""

from __future__ import annotations

from foxapi_async._handles.handle import TaskHandle

# What was given up this long ago is forgotten: if its task has ended, its files are gone (they live for 24 hours), and a
# server runs for months.
KEPT_SECONDS = 48 * 3600.0


class DetachedHandles:
    """The last handle of each id. Moments are loop time in seconds."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[TaskHandle, float]] = {}  # the oldest first
        self._left: list[TaskHandle] = []

    def put(self, handle: TaskHandle, now: float) -> None:
        """Keep a handle that ended here, unless it was not meant to be kept."""
        if not handle.kept:
            return
        self._last.pop(handle.id, None)
        self._last[handle.id] = (handle, now)
        while now - self._last[oldest := next(iter(self._last))][1] > KEPT_SECONDS:
            del self._last[oldest]

    def put_left(self, handle: TaskHandle) -> None:
        """Keep a handle that ended because the session was left, beside others of its id."""
        if handle.kept:
            self._left.append(handle)

    def forget(self, task_id: str) -> None:
        """The task is over."""
        self._last.pop(task_id, None)

    @property
    def handles(self) -> list[TaskHandle]:
        """All of them."""
        return [*(handle for handle, _ in self._last.values()), *self._left]
