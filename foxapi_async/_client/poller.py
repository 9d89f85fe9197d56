"""Polls each task of a session at the moments that the cadence gives, and reports to the handles.

One timer serves all tasks. When it fires, `_turn` ends the handles whose deadline has passed, starts the polls that are
due, and sets the timer to the next moment. The number of polls at the same time is at most that of the connections. So
other due tasks wait in the schedule and not inside aiohttp. All handles of one id share a `TrackedTask` and its polls.

Every failure of a task is recorded in its handles. Only a bug of this package raises in the task group.

Each poll is a separate asyncio task: a pool of tasks that do one poll after another saves only 2 % of the CPU time.
"""

from __future__ import annotations

import asyncio
import copy
import math
import random
from collections.abc import Callable, Collection

import attrs

from foxapi_async._cadence.cadence import FIRST_STEPS, Cadence
from foxapi_async._cadence.demand import Demand
from foxapi_async._cadence.estimates import Estimates
from foxapi_async._client.hooks import Attached, HookEvent, Left, Polled, Polling, Retried, Submitted
from foxapi_async._client.schedule import SLACK_SECONDS, Schedule, Timer
from foxapi_async._client.status_reader import StatusReader
from foxapi_async._client.streams import EventSink
from foxapi_async._client.tracked_task import TrackedTask
from foxapi_async._errors import FoxError, NotFoundError
from foxapi_async._handles.handle import DetachedHandles, TaskHandle, end_handle, is_kept, observe
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot, snapshot_of
from foxapi_async._handles.state import Signal
from foxapi_async._listener import RareWarnings
from foxapi_async._policy.prices import Priced
from foxapi_async._policy.verdict import Verdict
from foxapi_async._retry.retry import backoff_seconds, wait_seconds

# How long a 404 may come from a replica that does not know the task yet.
FRESH_AFTER_SUBMIT = 10.0
FRESH_AFTER_ATTACH = 2.0

# This long before a handle's deadline its task is polled once more, because the paid task may be done.
BEFORE_DEADLINE = 1.0

# If the timer is this late, the loop was blocked, the process was stopped, or the computer was asleep. A handle whose
# deadline passed in this time waits for one last poll, up to `LAST_POLL_SECONDS`.
LATE_SECONDS = 1.0
LAST_POLL_SECONDS = 5.0

# While something in front of the service answers polls, there is one warning per this many seconds.
EDGE_WARNING_SECONDS = 600.0

# The longest pause between polls. A longer Retry-After may be wrong, and would stop all polls.
LONGEST_HOLD = 600.0


@attrs.define(eq=False)
class Poller:
    """The tracked tasks of one session.

    Args:
        reader: reads the state of tasks.
        cadence: decides when to poll.
        estimates: the known durations and prices of tasks; learns from every reply.
        connections: the most polls at the same time.
        streams: get every event, once.
        notify: gets every event and a notice of every poll; None without hooks.
    """

    _reader: StatusReader
    _cadence: Cadence
    estimates: Estimates
    _room: int = attrs.field(alias="connections")
    _streams: Collection[EventSink]
    _notify: Callable[[HookEvent], None] | None = None
    _demand: Demand = attrs.field(factory=Demand, init=False)
    _tasks: dict[str, TrackedTask] = attrs.field(factory=dict[str, TrackedTask], init=False)
    _due: Schedule[TrackedTask] = attrs.field(factory=Schedule[TrackedTask], init=False)
    _deadlines: Schedule[TaskHandle] = attrs.field(factory=Schedule[TaskHandle], init=False)
    _detached: DetachedHandles = attrs.field(factory=DetachedHandles, init=False)
    _loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop, init=False)
    _group: asyncio.TaskGroup | None = attrs.field(default=None, init=False)
    _fault: asyncio.Future[None] = attrs.field(init=False)
    _closed: bool = attrs.field(default=False, init=False)
    _closed_by: BaseException | None = attrs.field(default=None, init=False)
    _timer: Timer = attrs.field(init=False)
    _warnings: RareWarnings = attrs.field(factory=RareWarnings, init=False)

    def __attrs_post_init__(self) -> None:
        self._timer = Timer(self._turn)
        self._fault = self._loop.create_future()

    # Adding tasks. These are plain functions, so that nothing can interrupt them before the new id is tracked.

    def adopt(
        self,
        snapshot: TaskSnapshot,
        deadline: float | None,
        timeout: float | None,
        notice: Submitted | None = None,
        expected: int = 1,
        priced: Priced | None = None,
    ) -> TaskHandle:
        """Track a task that was just submitted. Hooks get the `notice` after its id is safe."""
        now = self._loop.time()
        task = self._tasks.get(snapshot.id) or TrackedTask(
            snapshot.id, now, None, now + FRESH_AFTER_SUBMIT, from_start=True
        )
        task.expected, task.priced = expected, priced
        handle = self._join(task, deadline, timeout, kept=True)
        try:
            if notice is not None and self._notify is not None:
                self._notify(notice)
            if self._tasks.get(task.id) is task:  # else a hook stopped its last handle
                self._observe(task, snapshot, None, now)
        except Exception as fault:  # a bug of ours must not lose an id that is paid for
            self._report(fault)
        if self._closed:
            self._end_locally(handle)
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
        """Track a task of another session or process. It is polled at once, unless it is tracked already.

        Args:
            task_id: the task.
            estimated_time: the expected duration in seconds, if known.
            timeout: seconds that the handle lives; None for no limit.
            kept: whether the handle belongs to `unfinished`.
            confirmed: whether a ledger shows that the service accepted the task.
        """
        now, task = self._loop.time(), self._tasks.get(task_id)
        is_new = task is None
        if task is None:
            fresh_until = now + FRESH_AFTER_ATTACH
            task = TrackedTask(task_id, now, estimated_time, fresh_until, from_start=False)
            self._put(task, now)
        task.confirmed = task.confirmed or confirmed
        handle = self._join(task, None if timeout is None else now + timeout, timeout, kept=kept)
        if task.event is not None:
            observe(handle, task.event, None)
        if is_new and self._notify is not None:
            self._notify(Attached(task_id=task_id))
        if self._closed:
            self._end_locally(handle)
        return handle

    def _join(
        self, task: TrackedTask, deadline: float | None, timeout: float | None, *, kept: bool
    ) -> TaskHandle:
        """A new handle of the task."""
        handle = TaskHandle(task.id, self._detach, kept=kept)
        self._tasks[task.id] = task
        task.handles[handle] = timeout
        if deadline is not None:
            task.deadline = min(task.deadline, deadline)
            self._deadlines.put(handle, deadline)
            self._timer.set(deadline)
        return handle

    # The timer.

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Poll until cancelled. Raises a bug of this package."""
        self._group = group
        self._timer.start()
        try:
            await self._fault
        finally:
            self._group = None
            self._timer.stop()

    def _turn(self) -> None:
        """Do everything that is due now, and set the timer to the next moment."""
        now = self._loop.time()
        soon, late = now + SLACK_SECONDS, now - self._timer.when > LATE_SECONDS
        self._timer.when = math.inf
        try:
            while (first_deadline := self._deadlines.first()) is not None and first_deadline[0] <= soon:
                self._time_out(first_deadline[1], now, late=late)
            moment = math.inf if first_deadline is None else first_deadline[0]
            polls = self._reader.polls
            while self._group is not None and self._room and (first := self._due.first()) is not None:
                when, task = first
                opens = polls.next_allowed(now)
                # A poll that was delayed because polls are scarce is sent early if the limiter allows it.
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
                self._timer.set(moment)
        except Exception as fault:
            self._report(fault)

    def _free(self, _: asyncio.Task[None]) -> None:
        """Note that a poll has ended. If all places were in use, start a poll that waits."""
        self._room += 1
        if self._room == 1:
            self._timer.set(-math.inf)

    def _report(self, fault: Exception) -> None:
        """Raise a bug of ours in the task group. `Engine` handles it there."""
        if not self._fault.done():
            self._fault.set_exception(fault)

    def _put(self, task: TrackedTask, when: float, earliest: float = math.inf) -> None:
        """Poll a task at `when`, or from `earliest` on if there is free capacity."""
        if task.poll is not None:
            return  # a poll runs: its reply sets the next moment
        task.earliest = min(earliest, when)
        self._due.put(task, when)
        self._timer.set(task.earliest)

    # One poll.

    async def _poll(self, task: TrackedTask) -> None:
        began, notify = self._loop.time(), self._notify
        if notify is not None:
            notify(Polling(task_id=task.id))
        replies = await self._reader.read({task.id: began < task.fresh_until})
        reply, now = replies[task.id], self._loop.time()
        task.poll = None
        if notify is not None:
            error = copy.copy(reply.error) if isinstance(reply, Verdict) else None
            notify(Polled(task_id=task.id, seconds=now - began, error=error))
            if self._tasks.get(task.id) is not task:  # a hook stopped its last handle
                return
        if isinstance(reply, Verdict):
            self._fail(task, reply, now)
        else:
            self._observe(task, snapshot_of(reply, self._reader.downloads), reply.date, now)
            if task.overdue:
                self._end_overdue(task, began, now)

    def _end_overdue(self, task: TrackedTask, began: float, now: float) -> None:
        """Time out the handles whose last poll found the task running, unless that poll began too early."""
        if began < task.overdue_since:
            self._put(task, -math.inf)
            return
        handles, task.overdue = task.overdue, []
        for handle in (each for each in handles if not each.done()):
            self._time_out(handle, now, late=False)

    def _observe(self, task: TrackedTask, snapshot: TaskSnapshot, date: str | None, now: float) -> None:
        """Report a task's state, and plan its next poll."""
        # The first step is random, so that tasks that were submitted or attached together are not polled together.
        step = random.uniform(*FIRST_STEPS) if task.event is None else 1.0  # noqa: S311 - no secret
        event = task.read(snapshot, date, self.estimates, now)
        if (snapshot.has_results or snapshot.error) and (warning := task.warning_of_status(snapshot)):
            self._warnings.warn("odd_status", now, "%s", warning)
        self._distribute(task, event, step, now)

    def _distribute(self, task: TrackedTask, event: TaskEvent, step: float, now: float) -> None:
        """Give an event to handles, hooks and streams. Plan the next poll, unless the task is over."""
        ending = task.ending(event) if event.final else None
        for handle in task.handles:
            observe(handle, event, ending)
        if ending is not None:
            self._detached.pop(task.id, None)
            self._discard(task)
        else:
            self._plan(task, step, now)
        if self._notify is not None:
            self._notify(event)
        for stream in self._streams:
            stream.put(event)

    def _plan(self, task: TrackedTask, step: float, now: float) -> None:
        """Set the next poll of a running task. If polls are scarce, all tasks are polled less often."""
        gap = free_gap = task.gap(self._cadence, now, step=step)
        scarcity = self._demand.scarcity(self._reader.polls.rate(now))
        if scarcity > 1:
            gap = task.gap(self._cadence, now, step=step, scarcity=scarcity)
        demand = 1 / max(free_gap, SLACK_SECONDS)
        self._demand.change(task.demand, demand)
        task.demand = demand
        last = task.deadline - BEFORE_DEADLINE
        when = last if now + SLACK_SECONDS < last < now + gap else now + gap
        self._put(task, when, now + free_gap)

    def _fail(self, task: TrackedTask, verdict: Verdict, now: float) -> None:
        """Handle a failed poll: plan another one, or end the handles."""
        if verdict.edge:
            text = "something in front of the service answers the polls, which are repeated: %s"
            self._warnings.warn("edge_polls", now, text, verdict.error, every=EDGE_WARNING_SECONDS)
        ending = task.fail(verdict, now, ever_answered=self._reader.reachability.ever_answered)
        if ending is not None:
            for handle in list(task.handles):
                end_handle(handle, Signal.REFUSAL, copy.copy(ending))
                self._detach(handle)
            return
        wait = wait_seconds(verdict, task.failures)
        asked = bool(verdict.retry_after)  # without it, a 429 is counted, and delays only its own task
        if wait > LONGEST_HOLD:
            text = "the service asks for a wait of %.0f s before the next poll; the SDK waits only %.0f s: %s"
            self._warnings.warn("long_hold", now, text, wait, LONGEST_HOLD, verdict.error)
        wait = min(wait, LONGEST_HOLD)
        when = now + min(wait, backoff_seconds(task.failures))
        if isinstance(verdict.error, NotFoundError) and not verdict.edge:
            when = min(when, task.fresh_until)  # from then on a 404 is final, so poll then
        self._put(task, when)
        if self._notify is not None:
            seconds, error = wait if asked else when - now, copy.copy(verdict.error)
            self._notify(Retried(what="poll", task_id=task.id, seconds=seconds, error=error))
        if verdict.hold or asked:
            self._reader.polls.hold(now + (wait if asked else 0.0), verdict.error)

    # Endings.

    def _time_out(self, handle: TaskHandle, now: float, *, late: bool) -> None:
        """End a handle whose deadline has passed. If the turn is `late`, make a last poll first."""
        task = self._tasks[handle.id]
        if late and handle not in task.overdue:
            task.overdue.append(handle)
            task.overdue_since, task.failures = now, 0
            self._deadlines.put(handle, now + LAST_POLL_SECONDS)
            self._put(task, -math.inf)  # before all other due tasks
            return
        if task.completed is not None and task.event is not None:  # it is over, but some results are missing
            self._distribute(task, attrs.evolve(task.event, final=True, remaining=0.0), 1.0, now)
            return
        self._deadlines.discard(handle)
        end_handle(handle, Signal.DEADLINE, task.timeout_error(handle, now))
        self._detach(handle)

    def _detach(self, handle: TaskHandle) -> None:
        """Remove a handle that ended locally from its task. A task without handles is not polled any more."""
        self._deadlines.discard(handle)
        if is_kept(handle):
            self._detached.keep(handle, self._loop.time(), beside=self._closed)
        task = self._tasks[handle.id]
        del task.handles[handle]
        if not task.handles:
            self._discard(task)
            error = handle._ending  # noqa: SLF001 - its waiters raise copies of it
            if self._notify is not None and isinstance(error, FoxError):
                self._notify(Left(task_id=handle.id, error=copy.copy(error)))

    def _discard(self, task: TrackedTask) -> None:
        """Stop tracking a task: it is over, or has no handle any more."""
        self._tasks.pop(task.id, None)
        self._due.discard(task)
        self._demand.change(task.demand, 0.0)
        for handle in task.handles:
            self._deadlines.discard(handle)
        task.close()

    def close(self, bug: BaseException | None = None) -> None:
        """End every handle, and all polls with them. A `bug` is the cause of the handles' errors."""
        if self._closed:
            return
        self._closed, self._closed_by = True, bug
        for handle in [handle for task in self._tasks.values() for handle in task.handles]:
            self._end_locally(handle)

    def _end_locally(self, handle: TaskHandle) -> None:
        """End a handle because the session is closed. Its task continues."""
        if handle.done():  # a hook that gets the end of one handle may stop another
            return
        error = self._tasks[handle.id].abandoned_error(handle, self._closed_by)
        end_handle(handle, Signal.CLOSE, error)
        self._detach(handle)

    def current_events(self) -> list[TaskEvent]:
        """The last event of every tracked task."""
        return [task.event for task in self._tasks.values() if task.event is not None]

    @property
    def unfinished(self) -> list[TaskHandle]:
        """Every handle whose task may still run. If it ended locally, see `DetachedHandles`."""
        waiting = [handle for task in self._tasks.values() for handle in task.handles if is_kept(handle)]
        return list(dict.fromkeys([*waiting, *(handle for handle, _ in self._detached.values())]))

    def inspect(self) -> dict[str, float]:
        """The size of each table. All but `detached` are 0 if nothing is tracked."""
        return {
            "tasks": len(self._tasks),
            "due": len(self._due),
            "deadlines": len(self._deadlines),
            "demand": self._demand.total,
            "detached": len(self._detached),
        }
