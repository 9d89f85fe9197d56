"""Looks at every task of a session at the moments the cadence names, and tells the handles.

There is one timer for all: its turn takes what is due, hands it to a crew of tasks in the task group, and sets the
timer to the next moment. At most as many polls run as there are connections; what is due beyond that waits in the
schedule and not inside aiohttp. Handles of one id share one `TrackedTask`, which is polled once for all of them.

What can go wrong with a task is recorded in its handles. Only a fault of this package raises inside the group.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable, Iterable
from typing import Protocol

from foxapi_async._cadence.cadence import FIRST_STEPS, Cadence
from foxapi_async._cadence.demand import Demand
from foxapi_async._cadence.estimates import Estimates
from foxapi_async._client.deadlines import Deadlines
from foxapi_async._client.detached_handles import DetachedHandles
from foxapi_async._client.notices import Attached, Left, Notice, Polled, Polling, Retried, Submitted
from foxapi_async._client.schedule import SLACK_SECONDS, Schedule
from foxapi_async._client.timer import Timer
from foxapi_async._client.tracked_task import TrackedTask
from foxapi_async._client.worker_pool import WorkerPool
from foxapi_async._errors import FoxError, NotFoundError, TaskAbandonedError
from foxapi_async._files.downloads import Downloads
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.snapshot import TaskEvent, TaskSnapshot, ending_of
from foxapi_async._handles.state import REMOTELY_OVER, Signal
from foxapi_async._policy.verdict import Verdict
from foxapi_async._retry.limiter import RateLimiter
from foxapi_async._retry.retry import backoff_seconds, wait_seconds
from foxapi_async._wire.replies import TaskReply

# How long a 404 may mean that the replica asked has not heard of the task yet.
FRESH_AFTER_SUBMIT = 10.0
FRESH_AFTER_ATTACH = 2.0

# "completed" without results: they follow within seconds, so look soon, then less and less.
EMPTY_SECONDS = 0.25

# Before a handle's time is over its task is looked at once more: it is paid for, and may be done.
LAST_LOOK = 1.0


class StatusReader(Protocol):
    """What the poller needs of the API."""

    polls: RateLimiter
    downloads: Downloads

    async def poll(self, task_id: str, *, fresh: bool) -> TaskReply | Verdict:
        """One status read."""
        ...


class Poller:
    """The watches of one session.

    Args:
        api: answers status reads.
        cadence: says when.
        estimates: what is known of how long tasks take, and learned.
        connections: polls under way at a time, at most.
        publish: is given every event, once.
        tell: is told of every poll; None where nobody listens.
    """

    def __init__(
        self,
        api: StatusReader,
        cadence: Cadence,
        estimates: Estimates,
        connections: int,
        publish: Callable[[TaskEvent], None],
        tell: Callable[[Notice], None] | None = None,
    ) -> None:
        self._api = api
        self._cadence = cadence
        self.estimates = estimates
        self._demand = Demand()
        self._connections = connections
        self._publish = publish
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._crew: WorkerPool[TrackedTask] | None = None
        self._trouble: asyncio.Future[None] = self._loop.create_future()
        self._alarm = Timer(self._turn)
        self._watches: dict[str, TrackedTask] = {}
        self._due: Schedule[TrackedTask] = Schedule()
        self._deadlines = Deadlines()
        self._given_up = DetachedHandles()
        self._closed_by: BaseException | None = None
        self._closed = False

    # Taking tasks on: plain functions, so that an id is never between two owners.

    def adopt(
        self,
        snapshot: TaskSnapshot,
        deadline: float | None,
        timeout: float | None,
        news: Submitted | None = None,
    ) -> TaskHandle:
        """Begin to watch a task that was just submitted; hooks hear the `news` once its id is in safe hands."""
        now = self._loop.time()
        handle = TaskHandle(snapshot.id, self._retire)
        watch = self._watches.get(snapshot.id) or TrackedTask(
            id=snapshot.id,
            created=now,
            estimated_time=None,
            fresh_until=now + FRESH_AFTER_SUBMIT,
            from_start=True,
        )
        self._join(handle, watch, deadline, timeout)
        try:
            if news is None or self._is_wanted_after(news, watch):
                self._saw(watch, snapshot, None, now)
        except Exception as fault:  # ours: it must not cost the caller an id that is paid for
            self._report(fault)
        self._leave_if_closed(handle)
        return handle

    def attach(
        self, task_id: str, estimated_time: float | None, timeout: float | None, *, kept: bool = True
    ) -> TaskHandle:
        """Begin to watch a task of another time or place, with a look at once unless it is watched already."""
        now = self._loop.time()
        handle = TaskHandle(task_id, self._retire, kept=kept)
        watch = self._watches.get(task_id)
        if watch is None:
            fresh_until = now + FRESH_AFTER_ATTACH
            watch = TrackedTask(task_id, now, estimated_time, fresh_until, from_start=False)
            self._put(watch, now)
        is_new = not watch.handles
        self._join(handle, watch, None if timeout is None else now + timeout, timeout)
        if watch.event is not None:
            handle.observe(watch.event, None)
        if is_new and self._tell is not None:
            self._tell(Attached(task_id=task_id))
        self._leave_if_closed(handle)
        return handle

    def _join(
        self, handle: TaskHandle, watch: TrackedTask, deadline: float | None, timeout: float | None
    ) -> None:
        self._watches[watch.id] = watch
        watch.handles.append(handle)
        if deadline is not None and timeout is not None:
            watch.deadline = min(watch.deadline, deadline)
            self._deadlines.put(handle, deadline, timeout)
            self._alarm.nudge(deadline)

    # The one timer.

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Poll until cancelled; raises a fault of the poller."""
        self._crew = crew = WorkerPool(group, self._connections, self._poll, self._turn_soon)
        self._alarm.start()
        try:
            await self._trouble
        finally:
            self._crew = None
            self._alarm.stop()
            crew.dismiss()

    def _turn_soon(self) -> None:
        self._alarm.nudge(self._loop.time())

    def _turn(self) -> float | None:
        """Do all that is due now; the next moment."""
        try:
            now = self._loop.time()
            for handle in self._deadlines.take_due(now):
                if not handle.done():  # a hook that hears of one may stop another
                    handle.end(Signal.DEADLINE, self._deadlines.error(handle))
                    self._retire(handle)
            self._start_due(now)
            return self._next_moment(now)
        except Exception as fault:
            self._report(fault)
            return None

    def _report(self, fault: Exception) -> None:
        """Raise a fault of ours where it can be seen: in the task group."""
        if not self._trouble.done():
            self._trouble.set_exception(fault)

    def _start_due(self, now: float) -> None:
        crew, gate, soon = self._crew, self._api.polls, now + SLACK_SECONDS
        while crew and crew.room > 0 and gate.next_allowed(now) <= soon and (first := self._due.first()):
            when, watch = first
            if min(when, watch.earliest) > soon:
                return
            self._due.discard(watch)
            gate.take(now)
            watch.poll = crew.hand(watch)

    def _next_moment(self, now: float) -> float | None:
        moments = [self._deadlines.next_when()]
        first = self._due.first()
        if first is not None and self._crew and self._crew.room > 0:
            when, watch = first
            opens = self._api.polls.next_allowed(now)
            # A place that is free, though places are scarce, is not wasted.
            moments.append(max(min(when, watch.earliest), opens))
            if opens > max(now, when) + SLACK_SECONDS:
                self._api.polls.report(max(now, when))
        return min((when for when in moments if when is not None), default=None)

    def _put(self, watch: TrackedTask, when: float, earliest: float | None = None) -> None:
        if watch.poll is not None:
            return  # under way: its answer sets the next moment
        watch.earliest = when if earliest is None else min(earliest, when)
        self._due.put(watch, when)
        self._alarm.nudge(watch.earliest)

    # One poll.

    async def _poll(self, watch: TrackedTask) -> None:
        began, tell = self._loop.time(), self._tell
        if tell is not None:
            tell(Polling(task_id=watch.id))
        seen = await self._api.poll(watch.id, fresh=began < watch.fresh_until)
        now = self._loop.time()
        watch.poll = None
        if tell is not None:
            error = copy.copy(seen.error) if isinstance(seen, Verdict) else None
            if not self._is_wanted_after(Polled(task_id=watch.id, seconds=now - began, error=error), watch):
                return
        if isinstance(seen, Verdict):
            self._missed(watch, seen, now)
        else:
            self._saw(watch, TaskSnapshot.of(seen, self._api.downloads), seen.date, now)

    def _is_wanted_after(self, notice: Notice, watch: TrackedTask) -> bool:
        """Tell the hooks: one of them may stop the last handle of the very task."""
        assert self._tell is not None  # noqa: S101 - else no notice was made
        self._tell(notice)
        return self._watches.get(watch.id) is watch

    def _saw(self, watch: TrackedTask, snapshot: TaskSnapshot, date: str | None, now: float) -> None:
        # Tasks that are submitted or attached together are not polled together.
        step = random.uniform(*FIRST_STEPS) if watch.event is None else 1.0  # noqa: S311 - no secret
        signal = snapshot.signal
        watch.failures = 0
        watch.learn(snapshot, date, signal, self.estimates, now)
        watch.event = event = watch.event_of(snapshot, now, final=signal in REMOTELY_OVER)
        ending = ending_of(snapshot, event.elapsed) if event.final else None
        for handle in watch.handles:
            handle.observe(event, ending)
        if ending is not None:
            self._given_up.forget(watch.id)
            self._drop(watch)
        elif signal is Signal.EMPTY:
            watch.empties += 1
            self._put(watch, now + min(self._cadence.longest, EMPTY_SECONDS * 2.0 ** min(watch.empties, 16)))
        else:
            self._plan(watch, now, step)
        self._publish(event)

    def _plan(self, watch: TrackedTask, now: float, step: float) -> None:
        """Set the next poll of a task that runs, at the price that all tasks share."""
        scarcity = self._demand.scarcity(self._api.polls.rate(now))
        gap = free_gap = watch.gap(self._cadence, now, step=step)
        if scarcity > 1:
            gap = watch.gap(self._cadence, now, step=step, scarcity=scarcity)
        self._ask(watch, 1 / max(free_gap, SLACK_SECONDS))
        when, last = now + gap, watch.deadline - LAST_LOOK
        if now < last < when:
            when = last
        self._put(watch, when, now + free_gap)

    def _ask(self, watch: TrackedTask, demand: float) -> None:
        self._demand.change(watch.demand, demand)
        watch.demand = demand

    def _missed(self, watch: TrackedTask, verdict: Verdict, now: float) -> None:
        watch.failures += 1
        if not verdict.again:
            for handle in list(watch.handles):
                handle.end(Signal.REFUSAL, copy.copy(verdict.error))
                self._retire(handle)
            return
        wait = wait_seconds(verdict, watch.failures)
        hold = verdict.hold or verdict.retry_after is not None
        when = now + min(wait, backoff_seconds(watch.failures))
        if isinstance(verdict.error, NotFoundError):
            when = min(when, watch.fresh_until)  # where the grace ends, a 404 is the truth: learn it then
        self._put(watch, when)
        if self._tell is not None:
            seconds, error = wait if hold else when - now, copy.copy(verdict.error)
            self._tell(Retried(what="poll", task_id=watch.id, seconds=seconds, error=error))
        if hold:
            self._api.polls.hold(now + wait, verdict.error)

    # Endings.

    def _retire(self, handle: TaskHandle) -> None:
        """Take a handle that ended here off its watch; a watch without handles is not polled any more."""
        self._deadlines.discard(handle)
        self._given_up.put(handle, self._loop.time())
        watch = self._watches[handle.id]
        watch.handles.remove(handle)
        if not watch.handles:
            self._drop(watch)
            self._tell_left(handle)

    def _tell_left(self, handle: TaskHandle) -> None:
        error = handle._ending  # noqa: SLF001 - what its waiters raise copies of
        if self._tell is not None and isinstance(error, FoxError):
            self._tell(Left(task_id=handle.id, error=copy.copy(error)))

    def _drop(self, watch: TrackedTask) -> None:
        self._watches.pop(watch.id, None)
        self._due.discard(watch)
        self._ask(watch, 0.0)
        watch.forget()
        for handle in watch.handles:
            self._deadlines.discard(handle)
        watch.handles = []
        if watch.poll is not None:
            watch.poll.cancel()

    def close(self, bug: BaseException | None = None) -> None:
        """End every handle, and with the last of each watch its polls; a `bug` is the cause of what they raise."""
        if self._closed:
            return
        self._closed, self._closed_by = True, bug
        waiting = [handle for watch in self._watches.values() for handle in watch.handles]
        self._leave(waiting)

    def _leave_if_closed(self, handle: TaskHandle) -> None:
        """An id that comes while the session is being left is kept, but looked at no more."""
        if self._closed and not handle.done():
            self._leave([handle])

    def _leave(self, handles: Iterable[TaskHandle]) -> None:
        for handle in list(handles):
            if handle.done():  # a hook that hears of one may stop another
                continue
            why = "the poller stopped on an internal error" if self._closed_by else "the session was left"
            text = f"{why} before task {handle.id} finished; it goes on: attach({handle.id!r}) looks again"
            error = TaskAbandonedError(text, task_id=handle.id, snapshot=handle.snapshot)
            error.__cause__ = self._closed_by
            handle.end(Signal.LEAVE, error)
            self._given_up.put_left(handle)
            self._retire(handle)

    def current_events(self) -> list[TaskEvent]:
        """The last event of every task that is watched."""
        return [watch.event for watch in self._watches.values() if watch.event is not None]

    @property
    def unfinished(self) -> list[TaskHandle]:
        """Every handle whose task is not known to be over; of those that were given up, the last for each id."""
        waiting = [h for watch in self._watches.values() for h in watch.handles if h.kept]
        return list(dict.fromkeys([*waiting, *self._given_up.handles]))
