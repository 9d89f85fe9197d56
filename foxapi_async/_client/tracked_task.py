"""One remote task as the poller sees it, and what the service's replies about it mean to users."""

from __future__ import annotations

import asyncio
import math

import attrs

from foxapi_async._cadence.cadence import Cadence
from foxapi_async._cadence.estimates import Estimates
from foxapi_async._cadence.forecast import TaskForecast
from foxapi_async._cadence.priors import is_usable
from foxapi_async._errors import FoxError, Hint, NotFoundError, ResponseDecodeError, TaskTimeoutError
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot
from foxapi_async._handles.state import REMOTELY_OVER, Signal
from foxapi_async._policy.verdict import Verdict
from foxapi_async._wire.headers import age_at_reply
from foxapi_async._wire.texts import shorten

# Before the service itself was heard, so many replies by something in front of it, over so many seconds, end a handle.
EDGE_REPLIES = 5
EDGE_SECONDS = 30.0

# So many replies in a row that are larger than is read end a handle.
TOO_LARGE = 3


@attrs.define(eq=False)
class TrackedTask:
    """One remote task: all handles of its id share its polls. Moments are loop time in seconds.

    Attributes:
        id: the task's id.
        created: when it was created, as far as is known.
        estimated_time: what the caller of `attach` knows of it.
        fresh_until: until then a 404 may mean that the replica asked has not heard of it.
        from_start: whether it is tracked from its beginning; else its age comes with the first reply.
        forecast: what foretells its end; None before the first reply.
        event: the last reply, as users see it.
        handles: its handles, each with its timeout in seconds; None for no limit.
        deadline: when the first of its handles that has a timeout ends.
        poll: the poll under way.
        earliest: when the next poll is worth its own price, though not yet that of a scarce one.
        demand: its share of the polls that all tasks would take at their own price, a second.
        confirmed: whether the service is known to have the task: it accepted the submit, or answered a poll.
        empties: replies in a row of "completed" without results.
        failures: polls in a row that failed.
        failing_since: when the first of these failed; None if the last poll did not fail.
        failure: what the last one that failed met.
        edge_replies: polls that were answered by something in front of the service, before the service was heard.
        edge_since: when the first of these was.
        too_large: replies in a row that were larger than is read.
        overdue: handles whose time ended while no timer could fire. They wait for one last poll.
        overdue_since: when that was found out. A poll that began earlier says nothing about now.
    """

    id: str
    created: float
    estimated_time: float | None
    fresh_until: float
    from_start: bool
    forecast: TaskForecast | None = None
    event: TaskEvent | None = None
    handles: dict[TaskHandle, float | None] = attrs.Factory(dict)
    deadline: float = math.inf
    poll: asyncio.Task[None] | None = None
    earliest: float = 0.0
    demand: float = 0.0
    confirmed: bool = False
    empties: int = 0
    failures: int = 0
    failing_since: float | None = None
    failure: FoxError | None = None
    edge_replies: int = 0
    edge_since: float = 0.0
    too_large: int = 0
    overdue: list[TaskHandle] = attrs.Factory(list)
    overdue_since: float = 0.0

    def read(self, snapshot: TaskSnapshot, date: str | None, estimates: Estimates, now: float) -> TaskEvent:
        """Learn from a reply, and return the event that users see.

        Args:
            snapshot: the reply.
            date: its `Date` header.
            estimates: what is known of how long tasks take; learns from it.
            now: when it came.
        """
        signal = snapshot.signal
        final = signal in REMOTELY_OVER
        if self.event is None and not self.from_start:
            self.created = now - age_at_reply(snapshot.created, date)
        age = max(0.0, now - self.created)
        forecast = self.forecast
        if forecast is None or not forecast.timed:
            estimate = self.estimated_time if is_usable(self.estimated_time) else snapshot.estimated_time
            if forecast is None or is_usable(estimate):
                # This is the first reply, or the first with an estimate. A new forecast begins where the old one ends.
                seen_running = 0.0 if forecast is None else forecast.age
                if forecast is not None:
                    forecast.leave()
                model = estimates.of(snapshot.model)
                self.forecast = forecast = TaskForecast(model, estimate, learned_from=self.from_start)
                forecast.runs(seen_running, None)
        if final:
            forecast.ended(age)
        elif signal is Signal.RUNNING:
            forecast.runs(age, snapshot.progress)
        self.confirmed = True
        self.failures = self.too_large = 0
        self.failing_since = None
        self.event = event = TaskEvent(
            task_id=self.id,
            model=snapshot.model,
            status=snapshot.status,
            progress=snapshot.progress,
            elapsed=age,
            remaining=0.0 if final else forecast.remaining(age),
            final=final,
            snapshot=snapshot,
        )
        return event

    def fail(self, verdict: Verdict, now: float, *, heard: bool) -> FoxError | None:
        """Note a poll that told nothing, and return what the handles end with, or None to poll on.

        Args:
            verdict: what it met.
            now: when.
            heard: whether the service itself ever answered this session.
        """
        error = verdict.error
        self.failure = error
        self.failures += 1
        if self.failing_since is None:
            self.failing_since = now
        self.too_large = self.too_large + 1 if verdict.too_large else 0
        if self.too_large == TOO_LARGE:
            text = f"{TOO_LARGE} replies in a row on task {self.id} were larger than is read: {error.what_happened}"
            return ResponseDecodeError(text, task_id=self.id, charged="yes")
        if verdict.edge:
            if heard or not self._is_cut_off(now):
                return None
            error.charged, error.retryable = "yes", False
        elif verdict.again:
            return None
        elif isinstance(error, NotFoundError) and self.confirmed:
            error.charged = "yes"  # it was accepted, whatever a read says
        elif isinstance(error, NotFoundError):
            for handle in self.handles:
                handle.kept = False
        return error

    def _is_cut_off(self, now: float) -> bool:
        """Count a reply by something in front of a service that was never heard; whether they are too many."""
        if self.edge_replies == 0:
            self.edge_since = now
        self.edge_replies += 1
        return self.edge_replies >= EDGE_REPLIES and now - self.edge_since >= EDGE_SECONDS

    def gap(self, cadence: Cadence, now: float, *, step: float, scarcity: float = 1.0) -> float:
        """Seconds until the next poll: the least that its forecasts ask for."""
        assert self.forecast is not None  # noqa: S101 - there was a reply
        age = max(0.0, now - self.created)
        moments = [cadence.next_look(age, f, step=step, scarcity=scarcity) for f in self.forecast.forecasts]
        return min(moments) - age

    def timeout_error(self, handle: TaskHandle, now: float) -> TaskTimeoutError:
        """What a handle raises whose time is over."""
        last = f"last status: {shorten(handle.snapshot.status, 100) if handle.snapshot else 'not read yet'}"
        if self.failing_since is not None and self.failure is not None:
            since = now - self.failing_since
            last += f"; polls have failed for {since:.0f} s, the last one with: {shorten(self.failure.what_happened, 300)}"
        return TaskTimeoutError(
            f"task {self.id} has not finished within {self.handles[handle]:g} s ({last}); "
            "it continues and stays billed",
            last_poll=last,
            task_id=self.id,
            snapshot=handle.snapshot,
            hint=Hint.RESUME_TASK,
        )
