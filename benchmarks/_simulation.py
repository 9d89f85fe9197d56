"""Runs the real poller against a service that exists only in numbers, in virtual time: exact, and the same every time."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from foxapi_async import Cadence, Estimates, TaskEvent, TaskHandle
from foxapi_async._client.poller import Poller
from foxapi_async._handles.snapshot import snapshot_of
from foxapi_async._policy.rate import AdaptiveRate
from foxapi_async._policy.reachability import Reachability
from foxapi_async._retry.rate_limiter import PacedLimiter
from foxapi_async._wire.replies import TaskReply

MODEL = "simulated"


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer. There is no I/O to wait for."""

    def __init__(self) -> None:
        self._now = 0.0
        selector = selectors.DefaultSelector()
        selector.select = self._jump  # type: ignore[method-assign]
        super().__init__(selector)

    def _jump(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is due any more, and the simulation has not ended")
        self._now += max(0.0, timeout)
        return []

    def time(self) -> float:
        return self._now


@attrs.define
class Run:
    """One task: how long it took, and what was spent to see its end."""

    seconds: float
    born: float = 0.0
    polls: int = 0
    lag: float = 0.0

    def cost(self, price: float) -> float:
        """Lag and polls in one figure, in seconds."""
        return self.lag + price * self.polls


class Service:
    """Knows when each task ends, tells it to polls, and notes what they cost."""

    def __init__(self, runs: Sequence[Run], estimate: float, limit: float | None) -> None:
        self.polls = PacedLimiter(AdaptiveRate(limit))
        self.reachability = Reachability()
        self.downloads = None
        self._runs = runs
        self._estimate = estimate
        self._loop = asyncio.get_running_loop()

    def submit(self, poller: Poller, index: int) -> TaskHandle:
        """Begin the task of that number."""
        self._runs[index].born = self._loop.time()
        return poller.adopt(snapshot_of(self._reply(index, "pending")), None, None)

    async def read(self, tasks: Mapping[str, bool]) -> dict[str, TaskReply]:
        """One status read for each."""
        replies, now = {}, self._loop.time()
        for task_id in tasks:
            index = int(task_id)
            run = self._runs[index]
            run.polls += 1
            run.lag = now - run.born - run.seconds
            replies[task_id] = self._reply(index, "completed" if run.lag >= 0 else "processing")
        return replies

    def _reply(self, index: int, status: str) -> TaskReply:
        return TaskReply(
            id=str(index),
            model=MODEL,
            status=status,
            estimated_time=self._estimate,
            has_results=status == "completed",
        )


@attrs.frozen
class Sink:
    """A reader of events that takes each at once."""

    put: Callable[[TaskEvent], None]


@attrs.frozen(kw_only=True)
class Plan:
    """How a simulation is run.

    Attributes:
        estimate: the service's `estimated_time` in seconds.
        cadence: how eagerly to poll.
        in_flight: tasks at a time, the next beginning as one ends; None if `arrivals` says when they begin.
        arrivals: tasks a second that begin, at random (a Poisson process).
        limit: polls a second at most.
    """

    estimate: float
    cadence: Cadence
    in_flight: int | None = None
    arrivals: float | None = None
    limit: float | None = None


def simulate(seconds: Sequence[float], plan: Plan, estimates: Estimates, seed: int) -> list[Run]:
    """What polling cost for tasks that take so long, in their order."""
    random.seed(seed)  # the poller's phases too
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_simulate([Run(each) for each in seconds], plan, estimates))


async def _simulate(runs: list[Run], plan: Plan, estimates: Estimates) -> list[Run]:
    service = Service(runs, plan.estimate, plan.limit)
    numbers = iter(range(len(runs)))
    left = len(runs)
    all_done = asyncio.Event()

    def note(event: TaskEvent) -> None:
        nonlocal left
        if not event.final:
            return
        left -= 1
        if plan.in_flight is not None:
            _begin(service, poller, numbers)
        if left == 0:
            all_done.set()

    poller = Poller(service, plan.cadence, estimates, 100_000, [Sink(note)])
    async with asyncio.TaskGroup() as group:
        polling = group.create_task(poller.run(group))
        await _begin_all(service, poller, numbers, plan)
        await all_done.wait()
        polling.cancel()
    return runs


def _begin(service: Service, poller: Poller, numbers: Iterator[int]) -> bool:
    for index in numbers:
        service.submit(poller, index)
        return True
    return False


async def _begin_all(service: Service, poller: Poller, numbers: Iterator[int], plan: Plan) -> None:
    if plan.in_flight is not None:
        for _ in range(plan.in_flight):
            _begin(service, poller, numbers)
    elif plan.arrivals is not None:
        for gap in _gaps(plan.arrivals):
            if not _begin(service, poller, numbers):
                return
            await asyncio.sleep(gap)


def _gaps(rate: float) -> Iterator[float]:
    while True:
        yield random.expovariate(rate)


def draw(count: int, seed: int) -> list[float]:
    """Numbers from 0 to 1, the same for the same seed."""
    source = random.Random(seed)
    return [source.random() for _ in range(count)]
