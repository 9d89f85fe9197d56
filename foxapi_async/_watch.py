"""One remote task as the poller sees it, and what its readings mean to users."""

from __future__ import annotations

import asyncio

import attrs

from foxapi_async import _wire
from foxapi_async._cadence import median_remaining
from foxapi_async._events import TaskEvent, TaskSnapshot
from foxapi_async._results import TaskResult
from foxapi_async._state import Signal
from foxapi_async._task import Ending, TaskHandle


@attrs.define(eq=False)
class Watch:
    """One remote task: the poll stream that all handles of its id share. Moments are loop time in seconds."""

    id: str
    born: float
    estimated_time: float | None
    fresh_until: float
    age_known: bool
    failures: int = 0
    empties: int = 0
    step: float = 1.0
    event: TaskEvent | None = None
    poll: asyncio.Task[None] | None = None
    handles: list[TaskHandle] = attrs.Factory(list)

    def take_step(self) -> float:
        """How far the poll integral grows until the next poll: the phase once, then 1."""
        step, self.step = self.step, 1.0
        return step

    def event_of(self, snapshot: TaskSnapshot, now: float) -> TaskEvent:
        """What a reading tells users."""
        age, final = max(0.0, now - self.born), snapshot.finished
        return TaskEvent(
            task_id=self.id,
            model=snapshot.model,
            status=snapshot.status,
            progress=snapshot.progress,
            elapsed=age,
            remaining=0.0 if final else median_remaining(age, self.estimated_time),
            final=final,
            snapshot=snapshot,
        )


def ending_of(snapshot: TaskSnapshot, elapsed: float) -> Ending:
    """The result or the error that a finished task stands for."""
    if snapshot.signal is not Signal.COMPLETED:
        return _wire.task_failure(snapshot)
    return TaskResult(
        task_id=snapshot.id,
        model=snapshot.model,
        images=snapshot.images,
        usage=snapshot.usage or {},
        elapsed=elapsed,
        raw=snapshot.raw,
    )
