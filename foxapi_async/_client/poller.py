"""Polls each task of a session at the moments that the cadence gives, and reports to the handles.

One timer serves all tasks. Its turn ends the handles whose time is over, starts the polls that are due, and sets the
timer to the next moment. There are at most as many polls under way as there are connections; other due tasks wait in
the schedule and not inside aiohttp. All handles of one id share a `TrackedTask` and its polls.

Whatever goes wrong with a task is recorded in its handles. Only a fault of this package raises in the task group.

Each poll is a task of its own in the group. A pool of tasks that do one poll after another was tried and saves about
2 % of a poll's CPU time: not worth its code.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import logging
import math
import random
from collections.abc import Callable, Collection
from typing import Protocol

from foxapi_async._cadence.cadence import FIRST_STEPS, Cadence
from foxapi_async._cadence.demand import Demand
from foxapi_async._cadence.estimates import Estimates
from foxapi_async._client.notices import Attached, HookEvent, Left, Polled, Polling, Retried, Submitted
from foxapi_async._client.schedule import SLACK_SECONDS, Schedule
from foxapi_async._client.tracked_task import TrackedTask
from foxapi_async._errors import FoxError, NotFoundError, TaskAbandonedError
from foxapi_async._files.downloads import Downloads
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot, ending_of
from foxapi_async._handles.state import Signal
from foxapi_async._policy.contact import Contact
from foxapi_async._policy.verdict import Verdict
from foxapi_async._retry.limiter import RateLimiter
from foxapi_async._retry.retry import backoff_seconds, wait_seconds
from foxapi_async._wire.replies import TaskReply

_log = logging.getLogger("foxapi_async")

# How long a 404 may mean that the replica asked has not heard of the task yet.
FRESH_AFTER_SUBMIT = 10.0
FRESH_AFTER_ATTACH = 2.0

# The results of a task that is "completed" without any follow within seconds: poll soon, then less and less often.
EMPTY_SECONDS = 0.25

# So long before a handle's time is over its task is polled once more: it is paid for, and may be done.
BEFORE_DEADLINE = 1.0

# A timer that fires later than this tells that the loop was blocked, the process stopped, or the computer asleep. A
# handle whose time ended meanwhile waits for one last poll, for so many seconds.
LATE_SECONDS = 1.0
LAST_POLL_SECONDS = 5.0

# While something in front of the service answers polls, one warning in so many seconds.
EDGE_WARNING_SECONDS = 600.0

# Longer the service is not left alone, whatever it asks for: a wrong Retry-After would silence the session.
LONGEST_HOLD = 600.0

# A handle that ended here is forgotten after two days: by then the files of its task are gone (they live for 24 hours),
# and a server runs for months.
KEPT_SECONDS = 48 * 3600.0


class StatusReader(Protocol):
    """What the poller needs of the API."""

    polls: RateLimiter
    downloads: Downloads
    contact: Contact

    async def poll(self, task_id: str, *, fresh: bool) -> TaskReply | Verdict:
        """One status read."""
        ...


class EventSink(Protocol):
    """A reader of events."""

    def put(self, event: TaskEvent) -> None:
        """Take an event, without waiting."""
        ...


class Poller:
    """The tracked tasks of one session.

    Args:
        api: answers status reads.
        cadence: says when to poll.
        estimates: what is known of how long tasks take; learns from every reply.
        connections: polls under way at a time, at most.
        streams: are given every event, once.
        notify: is given every event and a notice of every poll; None without hooks.
    """

    def __init__(
        self,
        api: StatusReader,
        cadence: Cadence,
        estimates: Estimates,
        connections: int,
        streams: Collection[EventSink],
        notify: Callable[[HookEvent], None] | None = None,
    ) -> None:
        self.estimates = estimates
        self._api = api
        self._cadence = cadence
        self._room = connections
        self._streams = streams
        self._notify = notify
        self._demand = Demand()
        self._tasks: dict[str, TrackedTask] = {}
        self._due: Schedule[TrackedTask] = Schedule()
        self._deadlines: Schedule[TaskHandle] = Schedule()
        # Handles that ended locally while the remote task may still run, the oldest first. Of each id the last one is
        # kept; when the session is closed, all of them.
        self._detached: dict[str | TaskHandle, tuple[TaskHandle, float]] = {}
        self._loop = asyncio.get_running_loop()
        self._group: asyncio.TaskGroup | None = None
        self._fault: asyncio.Future[None] = self._loop.create_future()
        self._closed = False
        self._closed_by: BaseException | None = None
        # Turns and polls run in the session's context. One that sets the timer is not kept alive by it, and its
        # context variables do not reach the polls of others.
        self._context = contextvars.copy_context()
        self._timer: asyncio.TimerHandle | None = None
        self._turn_at = math.inf
        self._edge_warning_at = -math.inf
        self._long_hold_logged = False

    # Taking tasks on: plain functions, so that an id is never between two owners.

    def adopt(
        self,
        snapshot: TaskSnapshot,
        deadline: float | None,
        timeout: float | None,
        notice: Submitted | None = None,
    ) -> TaskHandle:
        """Track a task that was just submitted. Hooks get the `notice` once its id is in safe hands."""
        now = self._loop.time()
        task = self._tasks.get(snapshot.id) or TrackedTask(
            snapshot.id, now, None, now + FRESH_AFTER_SUBMIT, from_start=True
        )
        handle = self._join(task, deadline, timeout, kept=True)
        try:
            if notice is not None and self._notify is not None:
                self._notify(notice)
            if self._tasks.get(task.id) is task:  # else a hook stopped its last handle
                self._observe(task, snapshot, None, now)
        except Exception as fault:  # ours: it must not cost the caller an id that is paid for
            self._report(fault)
        if self._closed:
            self._abandon(handle)
        return handle

    def attach(
        self,
        task_id: str,
        estimated_time: float | None,
        timeout: float | None,
        *,
        kept: bool = True,
        confirmed: bool = False,
    ) -> TaskHandle:
        """Track a task of another time or place. It is polled at once, unless it is tracked already.

        Args:
            task_id: the task.
            estimated_time: what is known of how long it takes.
            timeout: seconds that the handle lives; None for no limit.
            kept: whether the handle is among the unfinished ones.
            confirmed: whether a ledger has it that the service accepted the task.
        """
        now = self._loop.time()
        task = self._tasks.get(task_id)
        is_new = task is None
        if task is None:
            fresh_until = now + FRESH_AFTER_ATTACH
            task = TrackedTask(task_id, now, estimated_time, fresh_until, from_start=False)
            self._put(task, now)
        task.confirmed = task.confirmed or confirmed
        handle = self._join(task, None if timeout is None else now + timeout, timeout, kept=kept)
        if task.event is not None:
            handle.observe(task.event, None)
        if is_new and self._notify is not None:
            self._notify(Attached(task_id=task_id))
        if self._closed:
            self._abandon(handle)
        return handle

    def _join(
        self, task: TrackedTask, deadline: float | None, timeout: float | None, *, kept: bool
    ) -> TaskHandle:
        """A new handle of the task."""
        handle = TaskHandle(task.id, self._retire, kept=kept)
        self._tasks[task.id] = task
        task.handles[handle] = timeout
        if deadline is not None:
            task.deadline = min(task.deadline, deadline)
            self._deadlines.put(handle, deadline)
            self._wake_at(deadline)
        return handle

    # The one timer.

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Poll until cancelled; raises a fault of this package."""
        self._group = group
        self._wake_at(self._loop.time())
        try:
            await self._fault
        finally:
            self._group = None
            if self._timer is not None:
                self._timer.cancel()

    def _wake_at(self, when: float) -> None:
        """Have a turn at `when`, unless there is one earlier."""
        when = max(when, self._loop.time())
        if self._group is None or when >= self._turn_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._turn_at = when
        self._timer = self._loop.call_at(when, self._turn, context=self._context.copy())

    def _turn(self) -> None:
        """Do all that is due now, and set the timer to the next moment."""
        now = self._loop.time()
        soon, late = now + SLACK_SECONDS, now - self._turn_at > LATE_SECONDS
        self._timer, self._turn_at = None, math.inf
        try:
            while (over := self._deadlines.first()) is not None and over[0] <= soon:
                self._time_out(over[1], now, late=late)
            moment = math.inf if over is None else over[0]
            polls = self._api.polls
            while self._group is not None and self._room and (first := self._due.first()) is not None:
                when, task = first
                opens = polls.next_allowed(now)
                # A poll that was put off because polls are scarce goes early if the limiter has time for it.
                ready = max(min(when, task.earliest), opens)
                if ready > soon:
                    moment = min(moment, ready)
                    if opens > max(now, when) + SLACK_SECONDS:
                        polls.report(max(now, when))
                    break
                self._due.discard(task)
                polls.take(now)
                self._room -= 1
                task.poll = self._group.create_task(self._poll(task))
                # A task that is cancelled before its first step never runs its `finally`.
                task.poll.add_done_callback(self._free)
            if moment < math.inf:
                self._wake_at(moment)
        except Exception as fault:
            self._report(fault)

    def _free(self, _: asyncio.Task[None]) -> None:
        """A poll is over. If there was no room for another, look for one that waits."""
        self._room += 1
        if self._room == 1:
            self._wake_at(self._loop.time())

    def _report(self, fault: Exception) -> None:
        """Raise a fault of ours where it can be seen: in the task group."""
        if not self._fault.done():
            self._fault.set_exception(fault)

    def _put(self, task: TrackedTask, when: float, earliest: float = math.inf) -> None:
        """Poll a task at `when`, or from `earliest` on if there is capacity to spare."""
        if task.poll is not None:
            return  # under way: its reply sets the next moment
        task.earliest = min(earliest, when)
        self._due.put(task, when)
        self._wake_at(task.earliest)

    # One poll.

    async def _poll(self, task: TrackedTask) -> None:
        began, notify = self._loop.time(), self._notify
        if notify is not None:
            notify(Polling(task_id=task.id))
        reply = await self._api.poll(task.id, fresh=began < task.fresh_until)
        now = self._loop.time()
        task.poll = None
        if notify is not None:
            error = copy.copy(reply.error) if isinstance(reply, Verdict) else None
            notify(Polled(task_id=task.id, seconds=now - began, error=error))
            if self._tasks.get(task.id) is not task:  # a hook stopped its last handle
                return
        if isinstance(reply, Verdict):
            self._fail(task, reply, now)
        else:
            self._observe(task, TaskSnapshot.of(reply, self._api.downloads), reply.date, now)
            if task.overdue:
                self._end_overdue(task, began, now)

    def _end_overdue(self, task: TrackedTask, began: float, now: float) -> None:
        """The last poll of some handles told that their task still runs, unless it began too early to tell."""
        if began < task.overdue_since:
            self._put(task, -math.inf)
            return
        handles, task.overdue = task.overdue, []
        for handle in handles:
            if not handle.done():
                self._time_out(handle, now, late=False)

    def _observe(self, task: TrackedTask, snapshot: TaskSnapshot, date: str | None, now: float) -> None:
        """Pass on what the service says of a task, and plan its next poll."""
        # Tasks that are submitted or attached together are not polled together.
        step = random.uniform(*FIRST_STEPS) if task.event is None else 1.0  # noqa: S311 - no secret
        event = task.read(snapshot, date, self.estimates, now)
        ending = ending_of(snapshot, event.elapsed) if event.final else None
        for handle in task.handles:
            handle.observe(event, ending)
        if ending is not None:
            self._detached.pop(task.id, None)
            self._discard(task)
        else:
            self._plan(task, snapshot, step, now)
        if self._notify is not None:
            self._notify(event)
        for stream in self._streams or ():
            stream.put(event)

    def _plan(self, task: TrackedTask, snapshot: TaskSnapshot, step: float, now: float) -> None:
        """Set the next poll of a task that runs, at the price that all tasks share."""
        if snapshot.signal is Signal.EMPTY:
            task.empties += 1
            gap = free_gap = min(self._cadence.longest, EMPTY_SECONDS * 2.0 ** min(task.empties, 16))
        else:
            scarcity = self._demand.scarcity(self._api.polls.rate(now))
            gap = free_gap = task.gap(self._cadence, now, step=step)
            if scarcity > 1:
                gap = task.gap(self._cadence, now, step=step, scarcity=scarcity)
            demand = 1 / max(free_gap, SLACK_SECONDS)
            self._demand.change(task.demand, demand)
            task.demand = demand
        when, last = now + gap, task.deadline - BEFORE_DEADLINE
        if now + SLACK_SECONDS < last < when:
            when = last
        self._put(task, when, now + free_gap)

    def _fail(self, task: TrackedTask, verdict: Verdict, now: float) -> None:
        """A poll told nothing: plan another one, or end the handles."""
        if verdict.edge and now >= self._edge_warning_at:
            self._edge_warning_at = now + EDGE_WARNING_SECONDS
            text = "polls are answered by something in front of the service, and repeated: %s"
            _log.warning(text, verdict.error)
        ending = task.fail(verdict, now, heard=self._api.contact.heard)
        if ending is not None:
            for handle in list(task.handles):
                handle.end(Signal.REFUSAL, copy.copy(ending))
                self._retire(handle)
            return
        wait = wait_seconds(verdict, task.failures)
        hold = verdict.hold or verdict.retry_after is not None
        if wait > LONGEST_HOLD:
            if not self._long_hold_logged:
                self._long_hold_logged = True
                _log.warning(
                    "the service asks for no poll within %.0f s; it is polled every %.0f s all the same: %s",
                    wait,
                    LONGEST_HOLD,
                    verdict.error,
                )
            wait = LONGEST_HOLD
        when = now + min(wait, backoff_seconds(task.failures))
        if isinstance(verdict.error, NotFoundError) and not verdict.edge:
            when = min(when, task.fresh_until)  # where the grace ends, a 404 is the truth: learn it then
        self._put(task, when)
        if self._notify is not None:
            seconds, error = wait if hold else when - now, copy.copy(verdict.error)
            self._notify(Retried(what="poll", task_id=task.id, seconds=seconds, error=error))
        if hold:
            self._api.polls.hold(now + wait, verdict.error)

    # Endings.

    def _time_out(self, handle: TaskHandle, now: float, *, late: bool) -> None:
        """End a handle whose time is over; if the turn is `late`, not without a last poll."""
        task = self._tasks[handle.id]
        if late and handle not in task.overdue:
            task.overdue.append(handle)
            task.overdue_since, task.failures = now, 0
            self._deadlines.put(handle, now + LAST_POLL_SECONDS)
            self._put(task, -math.inf)  # before all others that are due
            return
        self._deadlines.discard(handle)
        handle.end(Signal.DEADLINE, task.timeout_error(handle, now))
        self._retire(handle)

    def _retire(self, handle: TaskHandle) -> None:
        """Take a handle that ended here off its task. A task without handles is not polled any more."""
        self._deadlines.discard(handle)
        if handle.kept:
            now, key = self._loop.time(), handle if self._closed else handle.id
            self._detached.pop(key, None)
            self._detached[key] = (handle, now)
            while now - self._detached[oldest := next(iter(self._detached))][1] > KEPT_SECONDS:
                del self._detached[oldest]
        task = self._tasks[handle.id]
        del task.handles[handle]
        if not task.handles:
            self._discard(task)
            error = handle._ending  # noqa: SLF001 - what its waiters raise copies of
            if self._notify is not None and isinstance(error, FoxError):
                self._notify(Left(task_id=handle.id, error=copy.copy(error)))

    def _discard(self, task: TrackedTask) -> None:
        """Track a task no longer: it is over, or has no handle any more."""
        self._tasks.pop(task.id, None)
        self._due.discard(task)
        self._demand.change(task.demand, 0.0)
        task.demand = 0.0
        if task.forecast is not None:
            task.forecast.leave()
            task.forecast = None
        for handle in task.handles:
            self._deadlines.discard(handle)
        task.handles, task.overdue = {}, []
        if task.poll is not None:
            task.poll.cancel()

    def close(self, bug: BaseException | None = None) -> None:
        """End every handle, and all polls with them; a `bug` is the cause of what the handles raise."""
        if self._closed:
            return
        self._closed, self._closed_by = True, bug
        for handle in [handle for task in self._tasks.values() for handle in task.handles]:
            self._abandon(handle)

    def _abandon(self, handle: TaskHandle) -> None:
        """End a handle because the session is closed: its task goes on."""
        if handle.done():  # a hook that hears of one handle may stop another
            return
        why = "the poller stopped on an internal error" if self._closed_by else "the session was left"
        text = f"{why} before task {handle.id} finished; it goes on: attach({handle.id!r}) looks again"
        error = TaskAbandonedError(text, task_id=handle.id, snapshot=handle.snapshot)
        error.__cause__ = self._closed_by
        handle.end(Signal.LEAVE, error)
        self._retire(handle)

    # What others may see.

    def current_events(self) -> list[TaskEvent]:
        """The last event of every task that is tracked."""
        return [task.event for task in self._tasks.values() if task.event is not None]

    @property
    def unfinished(self) -> list[TaskHandle]:
        """Every handle whose task is not known to be over; of those that ended here, the last for each id."""
        waiting = [handle for task in self._tasks.values() for handle in task.handles if handle.kept]
        return list(dict.fromkeys([*waiting, *(handle for handle, _ in self._detached.values())]))

    def inspect(self) -> dict[str, float]:
        """How much there is in each table. All but `detached` is 0 once nothing is tracked."""
        return {
            "tasks": len(self._tasks),
            "due": len(self._due),
            "deadlines": len(self._deadlines),
            "demand": self._demand.total,
            "detached": len(self._detached),
        }
