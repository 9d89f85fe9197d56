"""What a task's progress forecasts, and when it is trusted."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import Progress, Simulated, simulate

from foxapi_async import Cadence
from foxapi_async._cadence.estimates import ModelEstimates
from foxapi_async._cadence.forecast import TaskForecast, forecast_by_time
from foxapi_async._cadence.priors import PROGRESS_FROM, progress_group

PRICE = Cadence().poll_price


def linear(done: float) -> float:
    return math.floor(100 * done)


def stuck(done: float) -> float:
    return 0.0


def jumping(done: float) -> float:
    """10 from a quarter on, 50 from a half, 90 from three quarters."""
    return 90.0 if done >= 0.75 else 50.0 if done >= 0.5 else 10.0 if done >= 0.25 else 0.0


def cost(tasks: list[Simulated]) -> float:
    return sum(task.lag + PRICE * task.poll_ages for task in tasks) / len(tasks)


def lag(tasks: list[Simulated]) -> float:
    return sum(task.lag for task in tasks) / len(tasks)


def poll_ages(tasks: list[Simulated]) -> float:
    return sum(task.poll_ages for task in tasks) / len(tasks)


def made(
    progress: Progress | None,
    count: int = 150,
    spread: float = 0.4,
    seed: int = 1,
    *,
    every: float = math.inf,
) -> list[Simulated]:
    """Tasks of one model that take about 45 s, one after the other."""
    chance = random.Random(seed)
    durations = (45 * math.exp(chance.gauss(0.0, spread)) for _ in range(count))
    return simulate(ModelEstimates(), durations, count, estimate=45.0, every=every, progress=progress)


def creeping(seconds: float) -> Progress:
    """Progress that is fast at first and then slow, like invented progress bars, for a task of 45 s."""
    return lambda done: 99 * (1 - math.exp(-45 * done / seconds))


# Progress that is right.


@pytest.mark.parametrize("spread", [0.2, 0.4, 0.8])
@pytest.mark.thorough
def test_linear_progress_is_learned_and_takes_the_place_of_time(spread):
    """After a hundred tasks, two to five polls per task are enough, at less lag than without progress."""
    with_it, without = made(linear, spread=spread)[100:], made(None, spread=spread)[100:]

    assert 2 <= poll_ages(with_it) < 5.5
    assert lag(with_it) < lag(without)
    assert cost(with_it) < 0.7 * cost(without)


def test_linear_progress_makes_remaining_exact():
    """When progress is trusted, the remaining time follows the progress, not the estimate."""
    model = ModelEstimates()
    chance = random.Random(2)
    simulate(
        model,
        (45 * math.exp(chance.gauss(0.0, 0.4)) for _ in range(100)),
        100,
        estimate=45.0,
        progress=linear,
    )
    task_forecast = TaskForecast(model, 45.0)
    task_forecast.runs(30.0, 30.0)

    assert 70 == pytest.approx(task_forecast.remaining(30.0), rel=0.08)
    assert 60 == pytest.approx(task_forecast.remaining(40.0), rel=0.1)


def test_progress_is_not_trusted_at_first():
    """The remaining time follows the estimate until progress has forecast ends."""
    task_forecast = TaskForecast(ModelEstimates(), 45.0)
    before = task_forecast.remaining(30.0)
    task_forecast.runs(30.0, 10.0)

    assert before == task_forecast.remaining(30.0)


# Progress that is wrong.


def test_progress_that_stands_still_changes_nothing():
    """Polls, lags and the learned values equal those of a service without progress, to the last digit."""
    assert [(task.poll_ages, task.lag) for task in made(None)] == [
        (task.poll_ages, task.lag) for task in made(stuck)
    ]


LIARS = {
    "jumping": jumping,
    "creeping fast": creeping(4.0),
    "creeping": creeping(8.0),
    "creeping slowly": creeping(20.0),
    "at once": lambda done: 99.0,
    "late": lambda done: 100 * done**4,
    "early": lambda done: 100 * done**0.25,
    "behind by half": lambda done: 50 * done,
}


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("progress", LIARS.values(), ids=LIARS)
def test_progress_that_misleads_does_little_harm(progress, seed):
    """For every shape of progress, neither the lag nor the cost of lag and polls grows by more than a third."""
    with_it, without = made(progress, seed=seed), made(None, seed=seed)

    assert cost(with_it) < 1.33 * cost(without)
    assert lag(with_it) < 1.33 * lag(without)


@pytest.mark.thorough
@pytest.mark.parametrize("progress", LIARS.values(), ids=LIARS)
def test_the_first_tasks_are_not_harmed_either(progress):
    """In a burst of fifty tasks of an unknown model, lag and polls cost at most a quarter more, and no lag
    doubles.
    """
    with_it, without = made(progress, 50, every=0.0), made(None, 50, every=0.0)

    assert lag(with_it) < 2 * lag(without)
    assert cost(with_it) < 1.25 * cost(without)


@pytest.mark.parametrize(
    "progress", [math.nan, math.inf, -math.inf, -5.0, 0.0, 2.9, 100.0, 101.0, 1e300, None]
)
def test_a_progress_that_cannot_be_is_ignored(progress):
    """NaN, negative values, a hundred and more, and values that are too small to divide by."""
    task_forecast = TaskForecast(ModelEstimates(), 45.0)
    task_forecast.runs(10.0, progress)

    assert None is progress_group(progress)
    assert 1 == len(task_forecast.forecasts)


def test_progress_that_goes_backwards_is_ignored():
    """A constant progress is ignored too: only an increase has new information."""
    model = ModelEstimates()
    task_forecast = TaskForecast(model, 45.0)
    task_forecast.runs(10.0, 30.0)
    before = task_forecast.forecasts[1].scale
    task_forecast.runs(12.0, 30.0)
    task_forecast.runs(14.0, 20.0)

    assert 10 / 0.3 == pytest.approx(before)
    assert before == task_forecast.forecasts[1].scale
    assert 1 == sum(estimator._in_flight for estimator in model.by_progress)


def test_of_each_group_of_progresses_the_newest_is_kept():
    """A task is in flight once in each table that it has reached."""
    model = ModelEstimates()
    task_forecast = TaskForecast(model, 45.0)
    for age in range(1, 40):
        task_forecast.runs(age, 2.5 * age)
    in_flight = [estimator._in_flight for estimator in model.by_progress]
    newest = [record.scale for record in task_forecast._by_progress.values()]
    task_forecast.close()

    assert [1] * 6 == in_flight
    assert [40.0] * 6 == pytest.approx(newest)
    assert [0] * 6 == [estimator._in_flight for estimator in model.by_progress]


@given(st.floats() | st.integers(-10, 110).map(float))
def test_each_progress_has_at_most_one_group(progress):
    """The group is the last one that begins at or below it."""
    group = progress_group(progress)
    reached = [start for start in PROGRESS_FROM if start <= progress < 100]

    assert (len(reached) - 1 if reached else None) == group


def test_without_an_estimate_nothing_remains_to_report():
    """Without an estimate, the remaining time is unknown until a task has ended."""
    model = ModelEstimates()
    before = TaskForecast(model, None).remaining(0.0)
    simulate(model, iter([70.0] * 10), 10, estimate=None)

    assert None is before
    assert 70 == pytest.approx(TaskForecast(model, None).remaining(0.0), rel=0.2)


def test_what_remains_of_a_young_task_is_about_its_estimate():
    """At the start the median of the remaining time is near the estimate; much later, it is a fraction of the age."""
    task_forecast = TaskForecast(ModelEstimates(), 45.0)

    assert 0.8 * 45 < task_forecast.remaining(0.0) < 1.1 * 45
    assert 5.0 < task_forecast.remaining(60.0) < 60.0


@given(st.floats(1, 3600), st.floats(0, 100), st.floats(0, 100))
def test_the_expected_end_never_moves_back(estimate, ratio, other):
    """The longer a task has run, the later is the median of its end."""
    first, second = sorted([ratio * estimate, other * estimate])
    remaining = TaskForecast(ModelEstimates(), estimate).remaining

    assert first + remaining(first) <= second + remaining(second) + 1e-6 * estimate


# The type of a task without an estimate.


def polls_of(duration, estimate, kind=""):
    """The ages at which a task of an unknown model is polled until it ends."""
    forecast = TaskForecast(ModelEstimates(), estimate, kind=kind)
    ages = [0.0]
    while ages[-1] < duration:
        ages.append(min(Cadence()._next_poll(ages[-1], each) for each in forecast.forecasts))
        if ages[-1] < duration:
            forecast.runs(ages[-1], None)
    return ages[1:]


def test_a_video_is_polled_later_than_an_image():
    """In its first half minute it is polled half as often, because so few videos end then."""
    video, image = (polls_of(30.0, None, kind) for kind in ("video", "image"))

    assert video[0] > 2 * image[0]
    assert 2 * len(video) < len(image)


@pytest.mark.parametrize("seconds", [45.0, 120.0, 300.0])
def test_the_end_of_a_video_is_noticed_soon(seconds):
    """Within ten seconds, with a poll for each five seconds at most."""
    ages = polls_of(seconds, None, "video")

    assert ages[-1] - seconds < 10
    assert len(ages) <= seconds / 5


@pytest.mark.parametrize("kind", ["", "image", "audio", "document", "llm", "hologram"])
def test_other_types_are_polled_alike(kind):
    """They are expected after tens of seconds."""
    assert polls_of(60.0, None) == polls_of(60.0, None, kind)


def test_the_type_changes_nothing_beside_an_estimate():
    """The service knows better."""
    assert polls_of(60.0, 45.0) == polls_of(60.0, 45.0, "video")


@pytest.mark.parametrize("seconds", [15.0, 600.0])
def test_videos_are_learned(seconds):
    """After thirty tasks of a model, only what they took counts."""
    model = ModelEstimates()
    simulate(model, iter([seconds] * 30), 30, estimate=None, kind="video")

    assert seconds == pytest.approx(TaskForecast(model, None, kind="video").remaining(0.0), rel=0.2)


def test_the_first_type_of_a_model_stays():
    """A reply without a type does not change the unit in which its tasks are learned."""
    model = ModelEstimates()
    before = TaskForecast(model, None, kind="video").forecasts

    assert before == TaskForecast(model, None).forecasts == [forecast_by_time(model, None)]
