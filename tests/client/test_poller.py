"""The poller with thousands of tasks, on a loop whose clock jumps: budgets, refusals, crowds, and clean-up."""

import asyncio
import collections
import itertools
import math
import random

import pytest
from crowd import Room, Service, room, too_fast
from helpers import WHOLE, now, session_at

from foxapi_async import Cadence, Estimates, Limits, NotFoundError
from foxapi_async._cadence.estimates import model_estimates
from foxapi_async._policy.verdict import Verdict
from foxapi_async._wire.replies import TaskReply
from foxapi_async.emulator import Emulator, Fault

pytestmark = pytest.mark.virtual


def durations(seed: int, median: float = 45.0, spread: float = 0.3):
    """Seconds that tasks take, one after the other."""
    chance = random.Random(seed)
    return (median * math.exp(chance.gauss(0.0, spread)) for _ in itertools.count())


async def finish(handles) -> list[float]:
    """Wait for all of them; returns how long each took."""
    return [(await handle).elapsed for handle in handles]


def lags(service: Service) -> list[float]:
    """For each task, the seconds from its end to the poll that found it."""
    return [task.polls[-1] - task.created - task.duration for task in service.tasks.values()]


# Budgets.


@pytest.mark.thorough
async def test_thousands_of_tasks_share_a_budget():
    """All end and are noticed, no second has more polls than the budget, and nothing is left of any task."""
    thousands = 20 if WHOLE else 10
    service, lives = Service(limit=5.0 * thousands), durations(1)
    async with room(service, keep_events=False) as crowd:
        handles = []
        for _ in range(thousands):
            handles += [crowd.submit(next(lives), timeout=3600.0) for _ in range(1000)]
            await asyncio.sleep(0.5)
        results = await finish(handles)
        at_rest = crowd.at_rest

    assert 1000 * thousands == len(results)
    assert 5 * thousands + 1 >= service.busiest(1.0)
    assert 1000 * thousands <= len(service.asked) < 1500 * thousands
    assert now() < 1000 / 5 + 50 + 60
    assert at_rest


@pytest.mark.thorough
@pytest.mark.parametrize("limit", [0.5, 3.0, 40.0, 999.0, 5000.0])
@pytest.mark.parametrize("latency", [0.0, 0.3])
async def test_no_window_exceeds_the_budget(limit, latency):
    """No stretch of time, of any length, has more polls than the limit allows, plus one."""
    service, lives = Service(limit, latency), durations(2, 5.0)
    async with room(service, cadence=Cadence(poll_price=1e-3)) as crowd:
        handles = [crowd.submit(next(lives), 5.0) for _ in range(200)]
        await asyncio.sleep(3)
        handles += [crowd.submit(next(lives), 5.0) for _ in range(200)]
        await finish(handles)

    for seconds in (0.01, 0.1, 1.0, 10.0):
        assert service.busiest(seconds) <= math.ceil(limit * (seconds + 0.0011)) + 1


@pytest.mark.thorough
async def test_a_session_keeps_the_budget():
    """`Limits(polls_per_second=)` holds for the requests that reach the service, over real connections."""
    async with (
        Emulator(seconds=20) as emulator,
        session_at(emulator, limits=Limits(polls_per_second=5.0)) as fox,
    ):
        outcomes = [outcome async for outcome in fox.as_completed({"model": "grok-imagine-image", "prompt": "a fox"} for _ in range(60))]  # fmt: skip
    moments = [record.when for record in emulator.requests if record.method == "GET"]

    assert 60 == sum(outcome.error is None for outcome in outcomes)
    assert all(later - first > 0.99 for first, later in zip(moments, moments[6:], strict=False))


@pytest.mark.thorough
async def test_a_budget_is_spent_where_it_saves_most():
    """Scarce polls go to tasks that are about to end, not in turn: less lag than with an even interval."""
    service, lives = Service(limit=10.0), durations(3, spread=0.15)
    async with room(service, keep_events=False) as crowd:
        handles = []
        for _ in range(600):
            handles.append(crowd.submit(next(lives)))
            await asyncio.sleep(0.25)
        await finish(handles)
    seen = lags(service)[200:]
    per_task = len(service.asked) / 600

    assert 10.01 >= len(service.asked) / now()
    assert sum(seen) / len(seen) < 0.5 * 45 / (per_task - 0.5) / 1.5


async def test_a_delayed_poll_goes_early_if_there_is_room():
    """A poll that was delayed by the budget goes early if there is room, but not before it is worth its price."""
    service = Service(limit=2.0)
    alone = Service()
    async with room(alone) as quiet:
        await finish([quiet.submit(100.0) for _ in range(20)])
    async with room(service) as crowd:
        crowded = [crowd.submit(1000.0) for _ in range(100)]
        last = crowd.submit(100.0)
        await asyncio.sleep(1.0)
        for handle in crowded:
            handle.stop()
        await last
    waited = service.tasks[last.id].polls[0] - service.tasks[last.id].created
    first_alone = [task.polls[0] - task.created for task in alone.tasks.values()]

    assert min(first_alone) * 0.9 <= waited <= max(first_alone) * 1.1


async def test_scarce_polls_are_never_nearer_than_the_shortest_gap():
    """The demand of tasks that cannot be polled as often as they should does not grow without end either."""
    service = Service(limit=1.0)
    cadence = Cadence(shortest=2.0, longest=5.0)
    async with room(service, cadence=cadence) as crowd:
        handles = [crowd.submit(600.0) for _ in range(50)]
        await asyncio.sleep(500)
        demand = crowd.poller.inspect()["demand"]
        for handle in handles[1:]:
            handle.stop()
        await handles[0]
    gaps = [b - a for task in service.tasks.values() for a, b in itertools.pairwise(task.polls)]

    assert 50 / 5.01 <= demand <= 50 / 1.99
    assert min(gaps) > 1.99


# Refusals.


@pytest.mark.thorough
async def test_a_429_holds_back_every_poll_and_then_the_pace_is_as_before():
    """No poll goes until `Retry-After` is over. Then what has waited does not go at once, but at the usual pace."""
    service, lives = Service(), durations(4, 60.0)
    async with room(service, keep_events=False) as crowd:
        handles = []

        async def submit_all():
            for _ in range(4000):
                handles.append(crowd.submit(next(lives), 60.0))
                await asyncio.sleep(0.1)

        submitting = asyncio.create_task(submit_all())
        await asyncio.sleep(100)
        before = sum(80 < moment <= 100 for moment in service.asked) / 20
        refused = next(handle for handle in handles if not handle.done())
        service.answers = {refused.id: [too_fast(retry_after=5.0)]}
        await asyncio.sleep(100)
        submitting.cancel()
    asked, (at,) = service.asked, service.answered
    first = next(moment for moment in asked if moment > at)

    def pace(start: float, end: float) -> float:
        return sum(first + start <= moment < first + end for moment in asked) / (end - start)

    assert before > 20
    assert first > at + 5
    assert 0.8 * before < pace(0, 1) < 1.2 * before
    assert 0.8 * before < pace(0, 30) < 1.2 * before


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
async def test_refusals_at_random_cost_little_time(seed):
    """If 2 % of the polls are refused at random, 200 tasks of half a second take at most 1.3 times as long."""
    took = []
    for faults in ((), [Fault.rate("poll", 0.02, status=429)]):
        start = now()
        async with Emulator(seconds=0.5, faults=faults, seed=seed) as emulator, session_at(emulator) as fox:
            requests = ({"model": "grok-imagine-image", "prompt": "a fox"} for _ in range(200))
            done = [outcome.error is None async for outcome in fox.as_completed(requests)]
        took.append(now() - start)
        assert (200, 200) == (sum(done), emulator.billed)

    assert emulator.faults_fired > 0
    assert took[1] < 1.3 * took[0]


@pytest.mark.parametrize("share", [0.0, 0.02])
@pytest.mark.parametrize("limit", [2.0, pytest.param(20.0, marks=pytest.mark.thorough)])
async def test_a_limit_of_the_service_is_found_and_kept(limit, share):
    """At four times the limit: after a minute the polls keep to it within 10 %, also with refusals at random."""
    service, chance = Service(), random.Random(1)
    tokens, last = limit, now()
    plain = service.reply_of

    async def limited(task_id: str) -> TaskReply | Verdict:
        nonlocal tokens, last
        tokens, last = min(limit, tokens + (now() - last) * limit), now()
        service.answers[task_id] = []
        if chance.random() < share or tokens < 1:
            service.answers[task_id] = [too_fast()]
        else:
            tokens -= 1
        return await plain(task_id)

    service.reply_of = limited
    steady = Cadence(shortest=2.0, longest=2.0)
    async with room(service, cadence=steady, keep_events=False) as crowd:
        handles = [crowd.submit(9000.0) for _ in range(round(8 * limit))]
        await asyncio.sleep(360)
        for handle in handles:
            handle.stop()
    polls = sum(60 < moment <= 360 for moment in service.asked) / 300
    refused = sum(60 < moment <= 360 for moment in service.answered) / 300

    assert polls < 1.1 * limit / (1 - share)
    assert polls - refused > 0.9 * limit


async def test_refusals_of_many_polls_at_once_cut_once():
    """If a hundred polls get a 429 at the same time, the rate is cut once."""
    service = Service(latency=0.5)
    async with room(service) as crowd:
        handles = [crowd.submit(40.0) for _ in range(100)]
        for handle in handles:
            service.answers[handle.id] = [too_fast(retry_after=1.0)]
            service.tasks[handle.id].duration = 400.0
        await asyncio.sleep(4.3)
        waiting = [handle for handle in handles if not service.answers[handle.id]]
        for handle in handles:
            service.answers[handle.id] = []
        before, at = len(service.asked), now()
        await asyncio.sleep(10)
        for handle in handles:
            handle.stop()

    assert 10 < before == len(waiting)
    assert before * 0.7 < sum(moment > at for moment in service.asked)


async def test_endless_refusals_end_with_the_deadline():
    """Under repeated holds, the handles time out when they should, after few polls."""
    service = Service()
    async with room(service) as crowd:
        handles = [crowd.submit(40.0, timeout=300.0) for _ in range(20)]
        for handle in handles:
            service.answers[handle.id] = [too_fast(retry_after=2.0) for _ in range(1000)]
        outcomes = await asyncio.gather(*(handle.wait() for handle in handles), return_exceptions=True)
        at_rest = crowd.at_rest

    assert {"TaskTimeoutError"} == {type(outcome).__name__ for outcome in outcomes}
    assert 300 == pytest.approx(now(), abs=0.1)
    assert len(service.asked) < 300 / 2 + 20
    assert at_rest


# Crowds.


def thickest(moments: list[float], seconds: float = 0.05) -> int:
    """The largest number of moments in any window of this length."""
    moments = sorted(moments)
    start = most = 0
    for end, moment in enumerate(moments):
        while moments[start] < moment - seconds:
            start += 1
        most = max(most, end - start + 1)
    return most


@pytest.mark.thorough
async def test_tasks_submitted_together_are_not_polled_together():
    """For two thousand first polls of one instant, no twentieth of a second has more than a twelfth."""
    service, lives = Service(), durations(5)
    async with room(service, connections=10_000, keep_events=False) as crowd:
        handles = [crowd.submit(next(lives)) for _ in range(2000)]
        await asyncio.sleep(30)
        firsts = [task.polls[0] for task in service.tasks.values()]
        seconds = [task.polls[1] for task in service.tasks.values() if len(task.polls) > 1]
        for handle in handles:
            handle.stop()

    assert 2000 == len(firsts)
    assert thickest(firsts) < 2000 / 12
    assert thickest(seconds) < 2000 / 12


@pytest.mark.thorough
async def test_tasks_attached_together_are_not_polled_together():
    """After the first poll, which is immediate, they separate too."""
    service, lives = Service(), durations(6)
    async with room(service, connections=10_000, keep_events=False) as crowd:
        handles = [crowd.poller.attach(service.create(next(lives)).id, 45.0, None) for _ in range(2000)]
        await asyncio.sleep(30)
        seconds = [task.polls[1] for task in service.tasks.values()]
        for handle in handles:
            handle.stop()

    assert [0.0] * 2000 == [task.polls[0] for task in service.tasks.values()]
    assert thickest(seconds) < 2000 / 12


async def test_no_more_polls_run_than_there_are_connections():
    """Polls beyond that wait in the schedule."""
    service, lives = Service(latency=2.0), durations(7, 10.0)
    async with room(service, connections=8) as crowd:
        await finish([crowd.submit(next(lives), 10.0) for _ in range(100)])

    assert 8 == service.most_under_way


# Clean-up.


async def leave_by_stop(crowd: Room, handles):
    for handle in handles:
        handle.stop()


async def leave_by_time(crowd: Room, handles):
    await asyncio.gather(*(handle.wait() for handle in handles), return_exceptions=True)


async def leave_the_session(crowd: Room, handles):
    crowd.poller.close()


async def leave_by_refusal(crowd: Room, handles):
    gone = Verdict(NotFoundError("gone", status=404))
    for handle in handles:
        crowd.service.answers[handle.id] = [gone]
    await asyncio.gather(*(handle.wait() for handle in handles), return_exceptions=True)


@pytest.mark.parametrize("leave", [leave_by_stop, leave_by_time, leave_the_session, leave_by_refusal])
@pytest.mark.parametrize("progress", [lambda _: None, lambda done: 100 * done], ids=["silent", "progress"])
@pytest.mark.parametrize("latency", [0.0, 0.7])
async def test_nothing_is_left_of_tasks_that_are_not_polled_any_more(leave, progress, latency):
    """However handles end: no tracked task, no place in line, no demand, and no task in flight is left."""
    service = Service(latency=latency)
    async with room(service) as crowd:
        handles = [crowd.submit(500.0, timeout=60.0, progress=progress) for _ in range(20)]
        handles += [crowd.submit(500.0, None, timeout=60.0, progress=progress) for _ in range(20)]
        twice = [crowd.poller.attach(handle.id, None, 60.0) for handle in handles[:10]]
        elsewhere = [crowd.poller.attach(service.create(500.0).id, 45.0, 60.0) for _ in range(10)]
        await asyncio.sleep(20)
        in_flight = sum(crowd.in_flight)
        await leave(crowd, [*handles, *twice, *elsewhere])
        await asyncio.sleep(100)
        at_rest = crowd.at_rest

    assert in_flight >= 40
    assert at_rest


async def test_an_attached_task_is_no_lesson_in_time():
    """Only a task that was polled from its beginning teaches how long tasks take."""
    service = Service()
    async with room(service) as crowd:
        await finish([crowd.poller.attach(service.create(100.0).id, 45.0, None)])
        attached = model_estimates(crowd.poller.estimates, "fox").timed.learned
        await finish([crowd.submit(100.0)])
        submitted = model_estimates(crowd.poller.estimates, "fox").timed.learned

    assert (False, True) == (attached, submitted)


async def test_one_of_two_handles_keeps_the_task():
    """A task is polled until the last of its handles ends, and then no more."""
    service = Service()
    async with room(service) as crowd:
        one = crowd.submit(500.0)
        two = crowd.poller.attach(one.id, None, None)
        await asyncio.sleep(20)
        one.stop()
        middle = len(service.asked)
        await asyncio.sleep(20)
        two.stop()
        last = len(service.asked)
        await asyncio.sleep(100)
        at_rest = crowd.at_rest

    assert 0 < middle < last == len(service.asked)
    assert at_rest


async def test_an_event_comes_once_for_each_reading():
    """This also holds if a task has several handles."""
    service = Service()
    async with room(service) as crowd:
        one = crowd.submit(45.0)
        two = crowd.poller.attach(one.id, None, None)
        await finish([one, two])

    assert 1 + len(service.asked) == len(crowd.events)
    assert 1 == sum(event.final for event in crowd.events)


# Odd services.


async def test_completed_without_results_is_asked_soon_and_ever_less():
    """The results usually follow within seconds. Until they come the gaps double, up to `longest`."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(10.0, 10.0)
        empty = TaskReply(id=handle.id, model="fox", status="completed")
        service.answers[handle.id] = [empty] * 12
        await handle
        at_rest = crowd.at_rest
    gaps = [b - a for a, b in itertools.pairwise(service.tasks[handle.id].polls)]

    assert [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] == pytest.approx(gaps[:8])
    assert at_rest


async def test_the_type_says_when_to_poll_without_an_estimate():
    """A video is polled less often than an image, unless the service estimates both."""
    polls = {}
    for estimate in (None, 200.0):
        service = Service()
        async with room(service) as crowd:
            handles = [crowd.submit(1000.0, estimate, model=kind, type=kind) for kind in ("image", "video")]
            await asyncio.sleep(30)
            polls[estimate] = [len(service.tasks[handle.id].polls) for handle in handles]

    image, video = polls[None]
    assert 2 * video < image
    assert polls[200.0][0] == pytest.approx(polls[200.0][1], abs=1)


async def test_an_estimate_that_comes_late_is_taken():
    """From the reply that has an estimate on, it is used for polling and for learning."""
    service = Service()
    async with room(service, cadence=Cadence(longest=1000.0)) as crowd:
        handle = crowd.submit(100.0, None)
        remote = service.tasks[handle.id]
        await asyncio.sleep(10)
        remote.estimate = 100.0
        early = len(remote.polls)
        await asyncio.sleep(40)
        timed, untimed, *_ = crowd.in_flight
        await handle
        model = model_estimates(crowd.poller.estimates, "fox")
        at_rest = crowd.at_rest

    assert early >= 2
    assert (1, 0) == (timed, untimed)
    assert (True, False) == (model.timed.learned, model.untimed.learned)
    assert at_rest


async def test_an_estimate_that_comes_with_the_end_knows_the_poll_before():
    """Earlier polls are not forgotten: the end is after the last poll."""
    service = Service()
    async with room(service) as crowd:
        handle = crowd.submit(40.0, None)
        remote = service.tasks[handle.id]
        await asyncio.sleep(39.99)
        before = remote.polls[-1]
        last = TaskReply(id=handle.id, model="fox", status="failed", estimated_time=40.0)
        service.answers[handle.id] = [last]
        await asyncio.wait_for(asyncio.gather(handle.wait(), return_exceptions=True), 60)
        rows = model_estimates(crowd.poller.estimates, "fox").timed._table.rows()

    low = min(row.log_x for row in rows if row.ended > 0.001)
    assert low >= math.log(before / 40) - 0.11


def hostile(seed: int):
    """Replies with arbitrary values."""
    chance = random.Random(seed)
    numbers = [
        None,
        0.0,
        -1.0,
        1e-300,
        3.0,
        50.0,
        99.999,
        100.0,
        1e300,
        math.nan,
        math.inf,
        10**400,
        -math.inf,
    ]
    for i in itertools.count():
        yield lambda task_id, i=i: TaskReply(
            id=task_id,
            model=f"model-{i}",
            status=chance.choice(["processing", "completed", "strange", ""]),
            progress=chance.choice(numbers),
            estimated_time=chance.choice(numbers),
            created=chance.choice([None, 1.0, 1e300, -5.0]),
            date=chance.choice([None, "", "Sun, 06 Nov 1994 08:49:37 GMT", "nonsense"]),
        )


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
async def test_nothing_that_a_service_says_stops_the_poller(seed):
    """With absurd estimates, absurd progress and hundreds of models, every task is polled within bounds, to
    its end.
    """
    service, readings = Service(), hostile(seed)
    async with room(service) as crowd:
        handles = [crowd.submit(300.0, None) for _ in range(100)]
        handles += [crowd.poller.attach(service.create(300.0).id, math.nan, None) for _ in range(50)]
        for task_id in service.tasks:
            service.answers[task_id] = [next(readings)(task_id) for _ in range(6)]
        await finish(handles)
        at_rest = crowd.at_rest
    gaps = [b - a for task in service.tasks.values() for a, b in itertools.pairwise(task.polls)]

    assert at_rest
    assert all(0.0499 < gap < 30.001 for gap in gaps)
    assert all(event.remaining is None or 0 <= event.remaining < math.inf for event in crowd.events)


async def test_timers_that_fire_early_do_not_make_the_poller_spin(monkeypatch):
    """uvloop's timers fire up to a millisecond early. Polls that are due within that are made, in one turn."""
    loop, turns = asyncio.get_running_loop(), []
    call_at = loop.call_at

    def early(when, *args, **kwargs):
        turns.append(when)
        return call_at(when - 0.0009, *args, **kwargs)

    service = Service()
    async with room(service) as crowd:
        await asyncio.sleep(1)
        monkeypatch.setattr(loop, "call_at", early)
        handle = crowd.submit(40.0, timeout=30.0)
        await asyncio.gather(handle.wait(), return_exceptions=True)

    assert 30.9991 == pytest.approx(now(), abs=1e-6)
    assert len(turns) < 2 * len(service.asked) + 5


@pytest.mark.thorough
async def test_a_cadence_without_a_pause_does_not_stop_the_poller():
    """With almost no price and gap there is a poll in every turn, and nothing breaks."""
    service = Service(limit=1000.0)
    async with room(service, cadence=Cadence(poll_price=1e-300, shortest=1e-300)) as crowd:
        await finish([crowd.submit(2.0) for _ in range(3)])

    assert 1500 < len(service.asked) <= 2100


async def test_a_limit_of_next_to_nothing_does_not_stop_the_poller():
    """However scarce polls are, handles time out when they should."""
    service = Service(limit=5e-324)
    async with room(service) as crowd:
        handles = [crowd.submit(40.0, timeout=100.0) for _ in range(20)]
        await asyncio.gather(*(handle.wait() for handle in handles), return_exceptions=True)

    assert 1 == len(service.asked)
    assert 100 == pytest.approx(now(), abs=0.1)


# Learning while polling.


async def costs_in_turn(seed, count):
    """The cost of each of `count` tasks, polls and lag together, in a room without estimates at first."""
    service, lives = Service(), durations(seed, 20.0, 0.1)
    async with room(service) as crowd:
        handles = []
        for _ in range(count):
            handles.append(crowd.submit(next(lives), 45.0))
            await asyncio.sleep(5)
        await finish(handles)
    tasks = list(service.tasks.values())
    costs = [0.075 * len(task.polls) + lag for task, lag in zip(tasks, lags(service), strict=True)]
    return costs, [len(task.polls) for task in tasks]


@pytest.mark.thorough
async def test_a_session_learns_durations():
    """After a hundred tasks, a task costs less than two thirds of the first ones, which had the prior only."""
    first = [cost for seed in range(20) for cost in (await costs_in_turn(seed, 5))[0]]
    costs, polls = await costs_in_turn(8, 300)

    assert sum(costs[100:]) / 200 < 0.67 * sum(first) / len(first)
    assert sum(polls[100:]) / 200 < 9


async def test_estimates_of_one_poller_serve_the_next():
    """The estimates survive the session."""
    known = Estimates()
    for seed in range(2):
        service, lives = Service(), durations(seed, 20.0, 0.1)
        async with room(service, estimates=known) as crowd:
            for _ in range(60):
                await finish([crowd.submit(next(lives), 45.0)])
        counts = collections.Counter(len(task.polls) for task in service.tasks.values())
        first = next(iter(service.tasks.values())).polls[0]

    assert first > 10
    assert max(counts) < 20


async def test_a_429_of_the_real_service_keeps_every_task():
    """Over real connections: refusals in between delay, but lose nothing."""
    async with Emulator(seconds=20) as emulator, session_at(emulator) as fox:
        emulator.add_fault(Fault.rate("poll", 0.1, status=429, retry_after=3))
        requests = ({"model": "grok-imagine-image", "prompt": "a fox"} for _ in range(30))
        outcomes = [outcome async for outcome in fox.as_completed(requests)]

    assert 30 == emulator.billed == sum(outcome.error is None for outcome in outcomes)
    assert now() < 200
