"""A simulated service in this process, for a poller without a session. It records each poll, exact to the
microsecond.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

import attrs

from foxapi_async import Cadence, Estimates, RateLimitError
from foxapi_async._client.poller import Poller
from foxapi_async._handles.handle import TaskHandle
from foxapi_async._handles.snapshot import TaskEvent, snapshot_of
from foxapi_async._policy.rate import AdaptiveRate
from foxapi_async._policy.reachability import Reachability
from foxapi_async._policy.verdict import Verdict
from foxapi_async._retry.rate_limiter import PacedLimiter
from foxapi_async._wire.replies import TaskReply

USUAL = Cadence()


@attrs.define
class Remote:
    """A task of the service; its moments are loop time."""

    id: str
    created: float
    duration: float
    estimate: float | None
    model: str = "fox"
    type: str = "image"
    progress: Callable[[float], float | None] = lambda _: None
    polls: list[float] = attrs.Factory(list)

    def reply(self, now: float) -> TaskReply:
        age = now - self.created
        if age >= self.duration:
            return TaskReply(
                id=self.id, model=self.model, status="completed", has_results=True, has_values=True
            )
        return TaskReply(
            id=self.id,
            model=self.model,
            type=self.type,
            status="processing",
            progress=self.progress(age / self.duration),
            estimated_time=self.estimate,
        )


class Service:
    """The parts of the API that the poller needs, without a network.

    Attributes:
        polls: the limiter of the polls.
        reachability: whether the service was heard; a test sets this.
        downloads: the downloads for images; there are none.
        asked: when each poll came.
        answers: other answers than the true one, by id; each is used once.
        answered: when each of these was used.
    """

    def __init__(self, limit: float | None = None, latency: float = 0.0) -> None:
        self.polls = PacedLimiter(AdaptiveRate(limit))
        self.downloads = None
        self.reachability = Reachability()
        self.latency = latency
        self.asked: list[float] = []
        self.answered: list[float] = []
        self.answers: dict[str, list[TaskReply | Verdict]] = {}
        self.tasks: dict[str, Remote] = {}
        self.under_way = self.most_under_way = 0
        self._loop = asyncio.get_running_loop()

    def create(self, duration: float, estimate: float | None = 45.0, **fields) -> Remote:
        """A new task."""
        remote = Remote(f"task-{len(self.tasks)}", self._loop.time(), duration, estimate, **fields)
        self.tasks[remote.id] = remote
        return remote

    async def read(self, tasks: Mapping[str, bool]) -> dict[str, TaskReply | Verdict]:
        return {task_id: await self.reply_of(task_id) for task_id in tasks}

    async def reply_of(self, task_id: str) -> TaskReply | Verdict:
        remote, now = self.tasks[task_id], self._loop.time()
        self.asked.append(now)
        remote.polls.append(now)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
        finally:
            self.under_way -= 1
        if answers := self.answers.get(task_id):
            self.answered.append(self._loop.time())
            return answers.pop(0)
        return remote.reply(now)

    def busiest(self, seconds: float) -> int:
        """The most polls in any window of this many seconds."""
        most = start = 0
        for end, moment in enumerate(self.asked):
            while self.asked[start] <= moment - seconds:
                start += 1
            most = max(most, end - start + 1)
        return most


def too_fast(retry_after: float | None = None) -> Verdict:
    """A 429."""
    error = RateLimitError("too fast", status=429, retry_after=retry_after)
    return Verdict(error, again=True, hold=True)


@attrs.frozen
class Sink:
    """A reader of events that takes each at once."""

    put: Callable[[TaskEvent], None]


class Room:
    """A running poller, and its service."""

    def __init__(self, service: Service, poller: Poller, events: list[TaskEvent]) -> None:
        self.service = service
        self.poller = poller
        self.events = events

    def submit(self, duration: float, estimate: float | None = 45.0, *, timeout=None, **fields) -> TaskHandle:
        """A new task at the service, adopted."""
        remote = self.service.create(duration, estimate, **fields)
        now = remote.created
        deadline = None if timeout is None else now + timeout
        return self.poller.adopt(snapshot_of(remote.reply(now)), deadline, timeout)

    @property
    def in_flight(self) -> list[int]:
        """For each table of every model, how many tasks count as in flight."""
        models = self.poller.estimates._models.values()
        return [e._in_flight for m in models for e in (m.timed, m.untimed, *m.by_progress)]

    @property
    def at_rest(self) -> bool:
        """Whether nothing is left of any task."""
        left = self.poller.inspect()
        del left["detached"]
        return all(size < 1e-6 for size in left.values()) and not any(self.in_flight)


@contextlib.asynccontextmanager
async def room(
    service: Service,
    *,
    cadence: Cadence = USUAL,
    estimates: Estimates | None = None,
    connections: int = 100,
    keep_events: bool = True,
) -> AsyncIterator[Room]:
    """A running poller at that service; its error is raised at the end."""
    events: list[TaskEvent] = []
    streams = [Sink(events.append)] if keep_events else []
    poller = Poller(service, cadence, estimates or Estimates(), connections, streams)
    async with asyncio.TaskGroup() as group:
        runner = group.create_task(poller.run(group))
        await asyncio.sleep(0)
        try:
            yield Room(service, poller, events)
        finally:
            poller.close()
            runner.cancel()
