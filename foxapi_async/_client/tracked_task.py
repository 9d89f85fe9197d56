"""One remote task as the poller sees it, and what its readings mean to users."""

from __future__ import annotations

import asyncio
import math

import attrs

from foxapi_async._cadence.cadence import Cadence
from foxapi_async._cadence.estimates import Estimates
from foxapi_async._cadence.forecast import TaskForecast
from foxapi_async._cadence.priors import is_usable
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot
from foxapi_async._handles.state import REMOTELY_OVER, Signal
from foxapi_async._wire.headers import age_at_reply


@attrs.define(eq=False)
class TrackedTask:
    """One remote task: the poll stream that all handles of its id share. Moments are loop time in seconds.

    Attributes:
        id: the task's.
        created: when it was created, as far as is known.
        estimated_time: what the caller of `attach` knows of it.
        fresh_until: until then a 404 may mean that the replica asked has not heard of it.
        from_start: whether it is watched from its beginning; else its age comes with the first reading.
        course: what foretells its end; None before the first reading.
        failures: polls in a row that told nothing.
        empties: readings in a row of "completed" without results.
        event: the last reading, as users see it.
        poll: the poll under way.
        deadline: when the first of its handles that has one ends.
        earliest: when the next poll is worth its own price, though not yet that of a scarce one.
        demand: its share of the polls that all tasks would take at their own price, a second.
        handles: whoever waits for it.
    """

    id: str
    created: float
    estimated_time: float | None
    fresh_until: float
    from_start: bool
    course: TaskForecast | None = None
    failures: int = 0
    empties: int = 0
    event: TaskEvent | None = None
    poll: asyncio.Task[None] | None = None
    deadline: float = math.inf
    earliest: float = 0.0
    demand: float = 0.0
    handles: list[TaskHandle] = attrs.Factory(list)

    def age(self, now: float) -> float:
        """Seconds since it was created."""
        return max(0.0, now - self.created)

    def learn(
        self, snapshot: TaskSnapshot, date: str | None, signal: Signal, estimates: Estimates, now: float
    ) -> None:
        """Take in a reading of the task, and what it tells."""
        if self.course is None and not self.from_start:
            self.created = now - age_at_reply(snapshot.created, date)
        course = self._course_of(snapshot, estimates)
        if signal in REMOTELY_OVER:
            course.ended(self.age(now))
        elif signal is Signal.RUNNING:
            course.runs(self.age(now), snapshot.progress)

    def _course_of(self, snapshot: TaskSnapshot, estimates: Estimates) -> TaskForecast:
        """The course so far, or a new one where this is the first reading, or the first with an estimate."""
        course = self.course
        estimate = self.estimated_time if is_usable(self.estimated_time) else snapshot.estimated_time
        if course is None or (not course.timed and is_usable(estimate)):
            seen_running = 0.0 if course is None else course.age
            self.forget()
            model = estimates.of(snapshot.model)
            self.course = course = TaskForecast(model, estimate, learned_from=self.from_start)
            course.runs(seen_running, None)
        return course

    def gap(self, cadence: Cadence, now: float, *, step: float, scarcity: float = 1.0) -> float:
        """Seconds until the next poll; the earliest of what its forecasts ask for."""
        assert self.course is not None  # noqa: S101 - there was a reading
        age = self.age(now)
        moments = [cadence.next_look(age, f, step=step, scarcity=scarcity) for f in self.course.forecasts]
        return min(moments) - age

    def forget(self) -> None:
        """Learn nothing more of it."""
        if self.course is not None:
            self.course.leave()
        self.course = None

    def event_of(self, snapshot: TaskSnapshot, now: float, *, final: bool) -> TaskEvent:
        """What a reading tells users."""
        age = self.age(now)
        remaining = self.course.remaining(age) if self.course and not final else None
        return TaskEvent(
            task_id=self.id,
            model=snapshot.model,
            status=snapshot.status,
            progress=snapshot.progress,
            elapsed=age,
            remaining=0.0 if final else remaining,
            final=final,
            snapshot=snapshot,
        )
