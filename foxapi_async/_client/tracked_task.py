"""One remote task as the poller tracks it, and the events and errors that its replies give to users."""

from __future__ import annotations

import asyncio
import json
import math

import attrs

from foxapi_async._cadence.cadence import Cadence
from foxapi_async._cadence.estimates import Estimates, model_estimates, price_book
from foxapi_async._cadence.forecast import TaskForecast
from foxapi_async._cadence.priors import is_usable
from foxapi_async._errors import (
    FoxError,
    NotFoundError,
    ResponseDecodeError,
    TaskAbandonedError,
    TaskTimeoutError,
)
from foxapi_async._handles.handle import TaskHandle, disown
from foxapi_async._handles.result import TaskResult
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot, ending_of, missing_of, signal_of
from foxapi_async._handles.state import REMOTELY_OVER, Signal
from foxapi_async._hints import Hint
from foxapi_async._listener import about, log
from foxapi_async._policy.prices import Priced
from foxapi_async._policy.verdict import Verdict
from foxapi_async._wire.headers import age_at_reply
from foxapi_async._wire.replies import credits_of
from foxapi_async._wire.texts import shorten

# "Edge" is anything in front of the service that answers for it, such as a proxy. If the service itself has never
# answered, this many replies from an edge, over at least this many seconds, end a handle.
EDGE_REPLIES = 5
EDGE_SECONDS = 30.0

# A task that is "completed" without results gets them within seconds. The first poll for them comes after twice this
# time. Each next poll waits twice as long as the one before.
EMPTY_SECONDS = 0.25

# A task that is "completed" with fewer results than requested is polled this long for the rest.
RESULT_SECONDS = 15.0

# This many too large replies in a row end a handle.
TOO_LARGE = 3


@attrs.define(eq=False)
class TrackedTask:
    """One remote task: all handles of its id share its polls. Moments are loop time in seconds.

    Attributes:
        id: the task's id.
        created: when it was created, if known.
        estimated_time: the estimate from the caller of `attach`.
        fresh_until: until then, a 404 may come from a replica that does not know the task yet.
        from_start: whether it is tracked from its beginning. If not, the first reply shows its age.
        forecast: the forecast of its end; None before the first reply.
        event: the last reply, as users see it.
        handles: its handles, each with its timeout in seconds; None for no limit.
        deadline: the earliest end of its handles; infinite if none has a timeout.
        poll: the running poll, if any.
        earliest: when the next poll would be due if polls were not scarce.
        demand: polls per second that it would take if polls were not scarce.
        confirmed: whether the service is known to have the task: it accepted the submit, or answered a poll.
        expected: how many results were requested.
        priced: the kind of its results, which decides their price; None if the request is not known.
        stated: the credits that the service last stated; None if it stated none.
        empties: replies in a row of "completed" without results, or with too few.
        completed: since when it is "completed" with too few results, or with results that cannot be read; else None.
        failures: failed polls in a row.
        failing_since: when the first of these failed; None if the last poll did not fail.
        failure: the error of the last failed poll.
        edge_replies: polls that an edge answered, before the service itself ever answered.
        edge_since: when the first of these was answered.
        too_large: too large replies in a row.
        overdue: handles whose time ended while no timer could fire. They wait for one last poll.
        overdue_since: when this was noticed. A poll that began earlier says nothing about the present.
    """

    id: str
    created: float
    estimated_time: float | None
    fresh_until: float
    from_start: bool
    forecast: TaskForecast | None = None
    event: TaskEvent | None = None
    handles: dict[TaskHandle, float | None] = attrs.Factory(dict[TaskHandle, float | None])
    deadline: float = math.inf
    poll: asyncio.Task[None] | None = None
    earliest: float = 0.0
    demand: float = 0.0
    confirmed: bool = False
    expected: int = 1
    priced: Priced | None = None
    stated: float | None = None
    empties: int = 0
    completed: float | None = None
    failures: int = 0
    failing_since: float | None = None
    failure: FoxError | None = None
    edge_replies: int = 0
    edge_since: float = 0.0
    too_large: int = 0
    overdue: list[TaskHandle] = attrs.Factory(list[TaskHandle])
    overdue_since: float = 0.0

    def read(self, snapshot: TaskSnapshot, date: str | None, estimates: Estimates, now: float) -> TaskEvent:
        """Learn from a reply, and return the event for users.

        Args:
            snapshot: the reply.
            date: its `Date` header.
            estimates: the known durations and prices of tasks. They learn from the reply.
            now: when it came.
        """
        signal = signal_of(snapshot)
        ended = now
        if signal is Signal.COMPLETED and missing_of(snapshot, self.expected):
            ended = self.completed = now if self.completed is None else self.completed
            if now < self.completed + RESULT_SECONDS:
                signal = Signal.EMPTY
        else:
            self.completed = None
        final = signal in REMOTELY_OVER
        self._note_price(snapshot, signal, estimates)
        if self.event is None and not self.from_start:
            self.created = now - age_at_reply(snapshot.created, date)
        age = max(0.0, now - self.created)
        forecast = self.forecast
        if forecast is None or not forecast.timed:
            estimate = self.estimated_time if is_usable(self.estimated_time) else snapshot.estimated_time
            if forecast is None or is_usable(estimate):
                # This is the first reply, or the first with an estimate. A new forecast begins where the old
                # one ends.
                seen_running = 0.0 if forecast is None else forecast.age
                if forecast is not None:
                    forecast.close()
                model = model_estimates(estimates, snapshot.model)
                self.forecast = forecast = TaskForecast(
                    model, estimate, kind=snapshot.type, learned_from=self.from_start
                )
                forecast.runs(seen_running, None)
        if final:
            forecast.ended(max(0.0, ended - self.created))
        elif signal is Signal.RUNNING:
            forecast.runs(age, snapshot.progress)
        self.confirmed = True
        self.empties = self.empties + 1 if signal is Signal.EMPTY else 0
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

    def _note_price(self, snapshot: TaskSnapshot, signal: Signal, estimates: Estimates) -> None:
        """Keep the credits that a reply states. If the task has given all its results, learn its price from the last
        stated credits. They are its cost, or the credits that were reserved if no reply states the cost.
        """
        stated = credits_of(snapshot.usage)
        if stated is not None:
            self.stated = stated
        if signal is not Signal.COMPLETED or self.priced is None or self.stated is None:
            return
        if not missing_of(snapshot, self.expected):
            price_book(estimates).learn(self.priced, self.stated / self.expected)

    def warning_of_status(self, snapshot: TaskSnapshot) -> str | None:
        """What to log about a reply with results or an error, if its status is not documented."""
        if snapshot.status.lower() in {"pending", "processing"} or signal_of(snapshot) is not Signal.RUNNING:
            return None
        status = shorten(snapshot.status, 100)
        return f"task {self.id} has results or an error, but its status {status!r} is not documented: polling continues"

    def ending(self, event: TaskEvent) -> TaskResult | FoxError:
        """The result or error that a final event gives."""
        ending = ending_of(event.snapshot, event.elapsed, self.expected)
        if isinstance(ending, TaskResult) and ending.missing:
            text = "task %s gave %d of %d images, and the rest did not come"
            count = len(ending.images)
            log.warning(text, self.id, count, self.expected, extra=about("images_missing", task_id=self.id))
        return ending

    def fail(self, verdict: Verdict, now: float, *, ever_answered: bool) -> FoxError | None:
        """Note a failed poll. Return the final error of the handles, or None to poll again.

        Args:
            verdict: the verdict on the poll.
            now: when it came.
            ever_answered: whether the service itself ever answered this session.
        """
        error = verdict.error
        self.failure = error
        self.failures += 1
        if self.failing_since is None:
            self.failing_since = now
        self.too_large = self.too_large + 1 if verdict.too_large else 0
        if self.too_large == TOO_LARGE:
            text = f"{TOO_LARGE} replies in a row on task {self.id} were too large: {error.what_happened}"
            return ResponseDecodeError(text, task_id=self.id, charged="yes")
        if verdict.edge:
            if ever_answered or not self._has_only_edge(now):
                return None
            error.charged, error.retryable = "yes", False
        elif verdict.again:
            return None
        elif isinstance(error, NotFoundError) and self.confirmed:
            error.charged = "yes"  # it was accepted, although the service does not find it now
        elif isinstance(error, NotFoundError):
            for handle in self.handles:
                disown(handle)
        return error

    def close(self) -> None:
        """Remove the handles, and end the poll: the task is not tracked any more."""
        self.demand = 0.0
        if self.forecast is not None:
            self.forecast.close()
            self.forecast = None
        self.handles, self.overdue = {}, []
        if self.poll is not None:
            self.poll.cancel()

    def _has_only_edge(self, now: float) -> bool:
        """Count a reply from an edge before the service ever answered. Return whether there are too many."""
        if self.edge_replies == 0:
            self.edge_since = now
        self.edge_replies += 1
        return self.edge_replies >= EDGE_REPLIES and now - self.edge_since >= EDGE_SECONDS

    def gap(self, cadence: Cadence, now: float, *, step: float, scarcity: float = 1.0) -> float:
        """Seconds until the next poll, by the forecast that asks for the earliest one. If only the results of the task
        are missing, a shorter time.
        """
        if self.empties:
            soon = min(cadence.longest, EMPTY_SECONDS * 2.0 ** min(self.empties, 16))
            return soon if self.completed is None else min(soon, self.completed + RESULT_SECONDS - now)
        assert self.forecast is not None  # noqa: S101 - there was a reply
        age = max(0.0, now - self.created)
        moments = [
            cadence._next_poll(age, forecast, step=step, scarcity=scarcity)  # noqa: SLF001 - not for users
            for forecast in self.forecast.forecasts
        ]
        return min(moments) - age

    def timeout_error(self, handle: TaskHandle, now: float) -> TaskTimeoutError:
        """The error for a handle whose deadline has passed."""
        last = f"last status: {shorten(handle.snapshot.status, 100) if handle.snapshot else 'not read yet'}"
        if self.failing_since is not None and self.failure is not None:
            since = now - self.failing_since
            last += f"; polls have failed for {since:.0f} s, the last one with: {shorten(self.failure.what_happened, 300)}"
        what, still = "has not finished", "it continues and stays billed"
        if self.empties and handle.snapshot:
            body = shorten(json.dumps(dict(handle.snapshot.raw), ensure_ascii=False))
            what, still = (
                "is completed, but has given no results",
                f"it stays billed; the service says: {body}",
            )
        return TaskTimeoutError(
            f"task {self.id} {what} within {self.handles[handle]:g} s ({last}); {still}",
            last_poll=last,
            task_id=self.id,
            snapshot=handle.snapshot,
            hint=Hint.RESUME_TASK,
        )

    def abandoned_error(self, handle: TaskHandle, bug: BaseException | None) -> TaskAbandonedError:
        """The error for a handle whose session was closed, or has stopped on a `bug` of this package."""
        why = "the poller stopped on an internal error" if bug else "the session was closed"
        text = f"{why} before task {self.id} finished; it continues"
        hint = Hint.RESUME_TASK
        error = TaskAbandonedError(text, task_id=self.id, snapshot=handle.snapshot, hint=hint)
        error.__cause__ = bug
        return error
